//! Why there are no figures.

use contract::{Cause, Classify};
use predictions::Protocol;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A table of predictions that breaks an invariant.
    #[error(transparent)]
    Predictions(#[from] predictions::Error),
    /// No row belongs to the split.
    #[error("{system} ({protocol}): no rows of the split `{split}`; there are: {present}. Set `split` in [evaluate]")]
    EmptySplit {
        /// The system.
        system: String,
        /// Its protocol.
        protocol: Protocol,
        /// The split asked for.
        split: String,
        /// The splits that occur, with their numbers of rows.
        present: String,
    },
    /// There is nothing to evaluate.
    #[error("no predictions of any system: run one of zero-shot, linear-probe, audio, audio-visual first")]
    NoSystems,
    /// Two tables of one system and protocol.
    #[error("{system} ({protocol}): two tables of predictions of the same system and protocol")]
    Twice {
        /// The system.
        system: String,
        /// Its protocol.
        protocol: Protocol,
    },
    /// Two systems that cannot be compared.
    #[error("{a} and {b} ({protocol}): {problem}")]
    Pair {
        /// One system.
        a: String,
        /// The other.
        b: String,
        /// Their protocol.
        protocol: Protocol,
        /// What they disagree in.
        problem: String,
    },
    /// An id that the challenge's file cannot hold.
    #[error("{system}: item `{id}`: a tab or line break in it cannot be written into a tab-separated submission")]
    Unwritable {
        /// The system.
        system: String,
        /// The id, or the class.
        id: String,
    },
}

impl Classify for Error {
    fn class(&self) -> Cause {
        match self {
            Error::Predictions(error) => error.class(),
            Error::EmptySplit { .. } | Error::NoSystems => Cause::Missing,
            Error::Twice { .. } | Error::Pair { .. } => Cause::Corrupt,
            Error::Unwritable { .. } => Cause::Unsupported,
        }
    }
}
