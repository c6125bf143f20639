//! A classifier of scenes that only hears.
