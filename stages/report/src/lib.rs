//! The report: everything about the systems on one page.
