//! How often each failed value was tried. Beside the shards and not in them, since their bytes must not depend on how often a run was
//! interrupted. A cache: deleting it forgets the counts and nothing else; of two runs at once the one that saves later is believed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::key::Key;
use crate::store::publish::publish_bytes;
use crate::store::sealed::{seal, unseal};

/// Version of the file; another version is ignored.
const SCHEMA: u32 = 1;

/// Tries that failed, by item and key.
#[derive(Debug)]
pub struct Attempts {
    path: PathBuf,
    counts: HashMap<String, HashMap<Key, u32>>,
    unsaved: bool,
}

impl Attempts {
    /// Reads the counts; a missing or damaged file holds none.
    pub fn load(path: &Path) -> Self {
        let read = || {
            let bytes = std::fs::read(path).ok()?;
            let (schema, counts): (u32, HashMap<String, HashMap<Key, u32>>) =
                postcard::from_bytes(&unseal(bytes)?).ok()?;
            (schema == SCHEMA).then_some(counts)
        };
        Attempts { path: path.to_path_buf(), counts: read().unwrap_or_default(), unsaved: false }
    }

    /// One more try of this item's value has failed.
    pub fn count(&mut self, id: &str, key: Key) {
        *self.counts.entry(id.to_string()).or_default().entry(key).or_default() += 1;
        self.unsaved = true;
    }

    /// How often an item's value that has failed was tried: at least once.
    pub fn of(&self, id: &str, key: &Key) -> u32 {
        self.counts.get(id).and_then(|keys| keys.get(key)).copied().unwrap_or(1)
    }

    /// Publishes the counts, if there are new ones.
    pub fn save(&mut self) -> Result<()> {
        if self.unsaved {
            publish_bytes(&self.path, &seal(postcard::to_stdvec(&(SCHEMA, &self.counts)).expect("plain data")))?;
            self.unsaved = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_counted_across_runs_and_a_torn_file_is_none() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("attempts");
        for run in 1..=3 {
            let mut attempts = Attempts::load(&path);
            attempts.count("a", [7; 32]);
            assert_eq!((attempts.of("a", &[7; 32]), attempts.of("b", &[7; 32])), (run, 1));
            attempts.save().expect("saved");
        }
        let bytes = std::fs::read(&path).expect("there");
        std::fs::write(&path, &bytes[..bytes.len() - 1]).expect("write");
        assert_eq!(Attempts::load(&path).of("a", &[7; 32]), 1);
    }
}
