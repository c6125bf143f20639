//! A classifier of scenes that hears and sees.
