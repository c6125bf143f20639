//! What is known of the items of a shard that is being gathered.

use crate::key::{Content, Key};
use crate::run::stored::Source;
use crate::run::writer::{Finished, Outcome};

/// What is known of one item of an open shard.
pub(super) enum Slot {
    /// Nothing yet.
    Open,
    /// In a file of the store; `copied` when it was there before this run.
    Stored { source: Source, key: Key, content: Content, copied: bool },
    /// In memory.
    Waiting(Finished),
}

/// Whether it is a failure of this run.
pub(super) fn has_failed(slot: &Slot) -> bool {
    matches!(slot, Slot::Waiting(Finished { outcome: Outcome::Computed(Err(_)), .. }))
}

pub(super) fn key_of(slot: &Slot) -> &Key {
    match slot {
        Slot::Stored { key, .. } | Slot::Waiting(Finished { key, .. }) => key,
        Slot::Open => unreachable!("only complete shards are asked for their keys"),
    }
}

pub(super) fn waiting_bytes(slot: &Slot) -> usize {
    match slot {
        Slot::Waiting(finished) => bytes_of(&finished.outcome),
        _ => 0,
    }
}

/// What an outcome costs in memory, at least 1 so that a failure, too, is worth a part.
pub(super) fn bytes_of(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Computed(Ok(rows)) => 1 + rows.columns.iter().map(|c| c.values.len() * 4).sum::<usize>(),
        _ => 1,
    }
}
