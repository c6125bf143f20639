//! Why a table of predictions is none.

use contract::{Cause, Classify};

/// Why predictions could not be used, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A row that breaks an invariant.
    #[error("{system} ({protocol}): item `{id}`: {problem}")]
    Row {
        /// The system.
        system: String,
        /// Its protocol.
        protocol: crate::Protocol,
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
    /// The file is not a table of predictions.
    #[error("predictions of {system}, line {line}: {problem}")]
    Line {
        /// The system.
        system: String,
        /// Line of the file, from 1.
        line: u64,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// Reading or writing failed.
    #[error("predictions of {system}: {error}")]
    Io {
        /// The system.
        system: String,
        /// What the operating system says.
        #[source]
        error: std::io::Error,
    },
}

impl Classify for Error {
    fn class(&self) -> Cause {
        match self {
            Error::Row { .. } | Error::Classes { .. } | Error::Line { .. } => Cause::Corrupt,
            Error::Io { .. } => Cause::Unreadable,
        }
    }
}
