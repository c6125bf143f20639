//! A file on its way through what is due for it.

use std::path::Path;

use contract::{Cause, Failure};
use extract_frames::PictureRows;

use crate::key::{Content, Key};
use crate::plan::Reason;
use crate::store::digests::{Hashing, Stamp};

/// A stage that is due for the file at hand.
pub(super) struct Due {
    pub(super) position: usize,
    pub(super) key: Key,
}

/// Stages that are wanted of a file, and why.
pub(super) type Wishes<'t> = Vec<&'t (usize, Reason)>;

/// A file on its way through what is due for it.
pub(super) struct Job<'t> {
    pub(super) item: usize,
    pub(super) path: &'t Path,
    pub(super) wanted: Wishes<'t>,
    pub(super) hashing: Hashing,
    pub(super) content: Option<Content>,
    pub(super) due: Vec<Due>,
    pub(super) hand: Hand,
    /// Where it is, and how often a worker died there.
    pub(super) phase: Phase,
    pub(super) deaths: [u32; 3],
}

#[derive(Clone, Copy)]
pub(super) enum Phase {
    Opening,
    Pictures,
    Sound,
}

/// What the pictures of one clip are gathered in.
#[derive(Default)]
pub(super) struct Hand {
    pub(super) attempt: u32,
    pub(super) rows: PictureRows,
    /// Seconds of each picture so far.
    pub(super) times: Vec<f64>,
}

impl<'t> Job<'t> {
    pub(super) fn new(item: usize, path: &'t Path, wanted: Wishes<'t>, hashing: Hashing) -> Self {
        let (hand, phase) = (Hand::default(), Phase::Opening);
        Job { item, path, wanted, hashing, content: None, due: Vec::new(), hand, phase, deaths: [0; 3] }
    }

    /// The size of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.hashing.stamp.size()
    }

    /// Refuses a value whose file is no longer the one that was hashed.
    pub(super) fn unchanged(&self) -> Result<(), Failure> {
        match Stamp::of(self.path) {
            Ok(now) if now == self.hashing.stamp => Ok(()),
            _ => {
                Err(Failure::new(Cause::Changed, "the file changed while it was being read; the next run tries again"))
            }
        }
    }
}
