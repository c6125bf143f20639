//! Where a run keeps what it needs to go on.

use std::io;
use std::sync::Mutex;

/// Keeps the one checkpoint of a run.
pub trait Keeper {
    /// The checkpoint, where there is one.
    fn load(&self) -> io::Result<Option<Vec<u8>>>;
    /// Puts another in its place, whole or not at all: a crash in the middle must leave the old one.
    fn save(&self, checkpoint: &[u8]) -> io::Result<()>;
}

/// A keeper in memory: a run that is stopped can go on in this process, and not after it.
#[derive(Debug, Default)]
pub struct InMemory(Mutex<Option<Vec<u8>>>);

impl Keeper for InMemory {
    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone())
    }

    fn save(&self, checkpoint: &[u8]) -> io::Result<()> {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(checkpoint.to_vec());
        Ok(())
    }
}
