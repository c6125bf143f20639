#![expect(clippy::unwrap_used, reason = "tests")]

mod counts;
mod kernels;
