//! Why there is no page.

use contract::{Cause, Classify};

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The figures cannot be read.
    #[error("the metrics.json of evaluate cannot be read: {0}. Run evaluate again")]
    Json(#[from] serde_json::Error),
    /// The figures contradict themselves.
    #[error("the metrics.json of evaluate: {system} ({protocol}): {problem}. Run evaluate again")]
    Figures {
        /// The system.
        system: String,
        /// Its protocol.
        protocol: predictions::Protocol,
        /// What is wrong.
        problem: String,
    },
    /// A sample's picture of another format.
    #[error("the picture of `{id}` is neither PNG nor JPEG")]
    Picture {
        /// Id of the item.
        id: String,
    },
}

impl Classify for Error {
    fn class(&self) -> Cause {
        match self {
            Error::Json(_) | Error::Figures { .. } => Cause::Corrupt,
            Error::Picture { .. } => Cause::Unsupported,
        }
    }
}
