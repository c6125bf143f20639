//! The report from outside: its files, and the page in a browser.
#![expect(clippy::unwrap_used, reason = "tests")]

mod browser;
mod files;
mod made_up;
mod page;
mod samples;
