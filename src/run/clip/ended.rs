//! Why a lane stops in the middle of a clip, or begins its file anew.

use crossbeam_channel::SendError;

use crate::error::Error;
use crate::worker::{Death, DeathOf};

/// Why a lane stops in the middle of a clip.
#[derive(Debug)]
pub enum Ended {
    /// The other end of a channel is gone: the run is ending on an error that is reported there.
    Disconnected,
    /// The run was asked to end, and waits for this clip no longer.
    Drained,
    /// Something is wrong that is no affair of this clip.
    Failed(Error),
}

impl<T> From<SendError<T>> for Ended {
    fn from(_: SendError<T>) -> Self {
        Ended::Disconnected
    }
}

/// What interrupts the work on a file.
pub(super) enum Interrupted {
    /// The worker died.
    Died(Death),
    /// The lane ends.
    Ended(Ended),
}

impl From<Death> for Interrupted {
    fn from(death: Death) -> Self {
        match death.of {
            DeathOf::EndOfRun => Interrupted::Ended(Ended::Drained),
            _ => Interrupted::Died(death),
        }
    }
}

impl From<Ended> for Interrupted {
    fn from(ended: Ended) -> Self {
        Interrupted::Ended(ended)
    }
}
