#![expect(clippy::unwrap_used, reason = "tests")]

mod composed;
mod counts;
mod filler;
mod kernels;
mod pytorch;
mod sounds;
mod weights;
