#![expect(clippy::unwrap_used, reason = "tests")]

mod bad_input;
mod parity;
mod runs;
mod toy;
