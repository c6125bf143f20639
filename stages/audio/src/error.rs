//! Why there is no network to train or to listen to.

use contract::{Cause, Classify};
use networks::Architecture;

/// Why there is no network to train or to listen to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network and the log-mel do not go together.
    #[error("[audio] network = \"{network}\" {why}; the log-mel has {found}: {advice}", network = network.name())]
    LogMel {
        /// The network.
        network: Architecture,
        /// What it wants.
        why: String,
        /// What it would get.
        found: String,
        /// What to do.
        advice: String,
    },
    /// The weights, the network, or the training.
    #[error(transparent)]
    Training(#[from] training::Error),
    /// The network or its weights.
    #[error(transparent)]
    Network(#[from] networks::Error),
}

impl Classify for Error {
    fn class(&self) -> Cause {
        match self {
            Error::LogMel { .. } => Cause::Unsupported,
            Error::Training(error) => error.class(),
            Error::Network(_) => Cause::Corrupt,
        }
    }
}
