#![expect(clippy::unwrap_used, reason = "tests")]

mod bad_input;
mod parity;
mod real;
mod runs;
mod toy;
