#![expect(clippy::unwrap_used, reason = "tests")]

mod bad_input;
mod runs;
mod toy;
