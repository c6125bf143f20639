//! What a system says of every clip: class probabilities as rows, and their CSV file.
//!
//! Every system (zero-shot, linear probe, audio, audio-visual, late fusion) ends in [`Predictions`], and everything that
//! judges or combines systems starts from them. A table follows one [`Protocol`]:
//!
//! | protocol | rows | `second` |
//! |---|---|---|
//! | `10s` ([`Protocol::PerClip`]) | one decision per clip, of ten seconds or whatever its length | `None` |
//! | `1s` ([`Protocol::PerSecond`]) | one decision per second of a clip | counted from 0 |
//!
//! # Invariants, checked when a table is read, written or used ([`Predictions::truths`])
//!
//! - at least two classes, all different;
//! - `[K]` probabilities per row: f64, in 0..=1, sum 1 within 1e-4 (room for files with five decimals);
//! - the label is one of the classes; `second` is there exactly in the protocol `1s`;
//! - no (id, second) occurs twice, and all seconds of an id have one label, group, city and split;
//! - ids are not empty, and a group or city that is there is not empty.
//!
//! # The CSV file
//!
//! Columns `id,second,label,group,city,split,predicted,p_<class>…`. An empty second, group or city means none. Numbers are
//! written with as many digits as it takes to read the same f64 again, so writing and reading loses no bit. `predicted`
//! follows from the probabilities (the first largest) and is checked when read.

mod error;
mod predictions;
mod table;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use predictions::{Prediction, Predictions, Protocol};
