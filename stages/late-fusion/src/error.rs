//! Why systems cannot be fused.

use contract::{Cause, Classify};
use predictions::Protocol;

/// Why systems cannot be fused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A table of predictions that breaks an invariant.
    #[error(transparent)]
    Predictions(#[from] predictions::Error),
    /// A system that is to be fused has no predictions.
    #[error(
        "there are no predictions of {system} ({protocol}); there are those of: {present}. Run {system}, or leave it out of \
         `systems` in [late-fusion]"
    )]
    NoSystem {
        /// The system.
        system: String,
        /// The protocol wanted.
        protocol: Protocol,
        /// Those that have some.
        present: String,
    },
    /// Two systems that do not go together.
    #[error("{a} and {b} ({protocol}): {problem}. Run both on one data set")]
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
    /// The systems share no row.
    #[error("{systems} ({protocol}) share no item: there is nothing to fuse")]
    NothingShared {
        /// The systems.
        systems: String,
        /// Their protocol.
        protocol: Protocol,
    },
    /// Weights need validation rows.
    #[error(
        "method = \"weighted\" finds its weights on the split `val`, and {systems} have no item of it in common. Give the data \
         set a validation part, or set method = \"mean\" in [late-fusion]"
    )]
    NoValidation {
        /// The systems.
        systems: String,
    },
    /// The probabilities to fuse are of other systems than the fusion was made for.
    #[error("the fusion has {weights} weights for {systems} systems: its model.json is damaged")]
    Weights {
        /// Number of weights.
        weights: usize,
        /// Number of systems.
        systems: usize,
    },
}

impl Classify for Error {
    fn class(&self) -> Cause {
        match self {
            Error::Predictions(error) => error.class(),
            Error::NoSystem { .. } | Error::NothingShared { .. } | Error::NoValidation { .. } => Cause::Missing,
            Error::Pair { .. } | Error::Weights { .. } => Cause::Corrupt,
        }
    }
}
