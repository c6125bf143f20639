//! What the writer is told, and what it says in the end.

use contract::{Failure, Rows};
use crossbeam_channel::Sender;

use crate::key::{Content, Key};
use crate::store::index::Location;

/// What became of an item.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Computed now.
    Computed(Result<Rows, Failure>),
    /// Found in the store once the file was hashed.
    Known(Location),
}

/// An outcome on its way to the writer.
#[derive(Debug)]
pub struct Finished {
    /// Position of the item in the data set.
    pub item: usize,
    /// Its key.
    pub key: Key,
    /// The content that it was made of.
    pub content: Content,
    /// The value.
    pub outcome: Outcome,
}

impl Finished {
    /// Whether it was tried and failed.
    pub fn is_failure(&self) -> bool {
        matches!(self.outcome, Outcome::Computed(Err(_)))
    }
}

/// What the writer is told.
#[derive(Debug)]
pub enum WriterMessage {
    /// A stale shard is about to be fed.
    Begin(usize),
    /// Picture files of an item are about to be written under this key; the sender waits until `done`.
    Displacing {
        /// Position of the item in the data set.
        item: usize,
        /// The key of the new pictures.
        key: Key,
        /// Told when no row vouches for the old ones any more.
        done: Sender<()>,
    },
    /// An item is finished.
    Finished(Finished),
}

/// A message to the writer, with the position of its stage in the run's list.
pub type ToWriter = (usize, WriterMessage);

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Values and failures computed.
    pub computed: usize,
    /// Rows copied from elsewhere in the store.
    pub copied: usize,
    /// Items in shards that were current.
    pub reused: usize,
    /// Failures among the items that came to the writer one by one.
    pub failed: usize,
    /// Rows and shards that were in the store and are not any more: another process took them, or they were damaged. Another pass
    /// finds or computes them.
    pub lost: usize,
}

impl Tally {
    /// The tally of a run that needed another pass for what was lost in the one before.
    #[must_use]
    pub fn after(self, before: Tally) -> Tally {
        Tally { computed: before.computed + self.computed, copied: before.copied + self.copied, ..self }
    }
}
