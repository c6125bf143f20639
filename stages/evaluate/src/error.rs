//! Why there are no figures.

use contract::{Cause, Classify};

/// Why there are no figures, or why predictions could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No row belongs to the split.
    #[error("{system}: no rows of the split `{split}`; there are: {present}. Set `split` in [evaluate]")]
    EmptySplit {
        /// The system.
        system: String,
        /// The split asked for.
        split: String,
        /// The splits that occur, with their numbers of rows.
        present: String,
    },
    /// A row that cannot be evaluated.
    #[error("{system}: item `{id}`: {problem}")]
    Row {
        /// The system.
        system: String,
        /// Id of the row.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The list of classes is not a list of at least two different names.
    #[error("{system}: {problem}")]
    Classes {
        /// The system.
        system: String,
        /// What is wrong.
        problem: String,
    },
    /// The table of predictions is not one.
    #[error("predictions, line {line}: {problem}")]
    Line {
        /// Line of the file, from 1.
        line: u64,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// Reading or writing failed.
    #[error("predictions: {0}")]
    Io(#[from] std::io::Error),
}

impl Classify for Error {
    fn class(&self) -> Cause {
        match self {
            Error::EmptySplit { .. } => Cause::Missing,
            Error::Row { .. } | Error::Classes { .. } | Error::Line { .. } => Cause::Corrupt,
            Error::Io(_) => Cause::Unreadable,
        }
    }
}
