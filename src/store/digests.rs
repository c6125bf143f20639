//! The BLAKE3 of every media file's content, remembered by a stat record so that unchanged files are not read again.
//!
//! A record is only trusted when inode, size, mtime and ctime are the same *and* the file was last touched
//! clearly before it was hashed: within one tick of the file system's clock a file can change without its times telling. The device number is left out: the nodes of a cluster number the
//! same network file system differently.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::key::Content;
use crate::store::publish::publish_bytes;

/// Grain of a file system whose times have fractions of a second: they advance with the kernel's tick, 10 ms at the coarsest.
const FINE_GRAIN_NS: i128 = 100_000_000;

/// Grain of one whose times are whole seconds (ext3, HFS+, some network file systems: 1 s; FAT: 2 s).
const COARSE_GRAIN_NS: i128 = 2_000_000_000;

/// Version of the file; another version is ignored and rebuilt.
const SCHEMA: u32 = 1;

/// What `stat` says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    inode: u64,
    size: u64,
    mtime_ns: i128,
    ctime_ns: i128,
}

impl Stamp {
    /// The stamp of the file at `path`.
    pub fn of(path: &Path) -> std::io::Result<Stamp> {
        let m = fs::metadata(path)?;
        Ok(Stamp {
            inode: m.ino(),
            size: m.size(),
            mtime_ns: i128::from(m.mtime()) * 1_000_000_000 + i128::from(m.mtime_nsec()),
            ctime_ns: i128::from(m.ctime()) * 1_000_000_000 + i128::from(m.ctime_nsec()),
        })
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// A file that is about to be hashed: what it was before, and when that was.
#[derive(Debug, Clone, Copy)]
pub struct Hashing {
    /// What the file was.
    pub stamp: Stamp,
    hashed_at_ns: i128,
}

impl Hashing {
    /// Now, and the stamp of the file at `path`.
    pub fn begin(path: &Path) -> std::io::Result<Hashing> {
        Ok(Hashing { stamp: Stamp::of(path)?, hashed_at_ns: now_ns() })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    stamp: Stamp,
    hashed_at_ns: i128,
    digest: Content,
}

impl Record {
    fn vouches_for(&self, stamp: &Stamp) -> bool {
        let touched = self.stamp.mtime_ns.max(self.stamp.ctime_ns);
        let whole_seconds = touched % 1_000_000_000 == 0;
        let grain = if whole_seconds { COARSE_GRAIN_NS } else { FINE_GRAIN_NS };
        self.stamp == *stamp && touched + grain < self.hashed_at_ns
    }
}

/// The digest cache of a work directory.
#[derive(Debug)]
pub struct Digests {
    path: PathBuf,
    records: Mutex<HashMap<PathBuf, Record>>,
}

impl Digests {
    /// Reads the cache; a missing, damaged or foreign file is an empty cache.
    pub fn load(path: &Path) -> Self {
        let records = fs::read(path).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        Digests { path: path.to_path_buf(), records: Mutex::new(records) }
    }

    /// The digest of a file that has not changed since it was hashed. `Ok(None)`: it must be hashed. An error: it cannot
    /// be looked at.
    pub fn known(&self, path: &Path) -> std::io::Result<Option<Content>> {
        let stamp = Stamp::of(path)?;
        let records = self.records.lock().expect("no holder panics");
        Ok(records.get(path).filter(|r| r.vouches_for(&stamp)).map(|r| r.digest))
    }

    /// The digest of the file, hashing it if need be.
    pub fn digest(&self, path: &Path) -> std::io::Result<Content> {
        if let Some(digest) = self.known(path)? {
            return Ok(digest);
        }
        let hashing = Hashing::begin(path)?;
        let mut hasher = blake3::Hasher::new();
        std::io::copy(&mut fs::File::open(path)?, &mut hasher)?;
        let digest = *hasher.finalize().as_bytes();
        self.remember(path, hashing, digest)?;
        Ok(digest)
    }

    /// Remembers what somebody hashed since `hashing` was begun. A file that changed meanwhile is not remembered; whoever decodes it
    /// compares stamps as well.
    pub fn remember(&self, path: &Path, hashing: Hashing, digest: Content) -> std::io::Result<()> {
        let Hashing { stamp, hashed_at_ns } = hashing;
        if Stamp::of(path)? == stamp {
            let record = Record { stamp, hashed_at_ns, digest };
            self.records.lock().expect("no holder panics").insert(path.to_path_buf(), record);
        }
        Ok(())
    }

    /// Publishes the cache, together with what other processes have published meanwhile.
    pub fn save(&self) -> Result<()> {
        let mut all = fs::read(&self.path).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        {
            let records = self.records.lock().expect("no holder panics");
            if records.iter().all(|(path, record)| all.get(path) == Some(record)) {
                return Ok(());
            }
            all.extend(records.iter().map(|(path, record)| (path.clone(), *record)));
        }
        let mut sorted: Vec<_> = all.into_iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let body = postcard::to_stdvec(&(SCHEMA, sorted)).expect("plain data");
        publish_bytes(&self.path, &seal(body))
    }
}

fn decode(bytes: &[u8]) -> Option<HashMap<PathBuf, Record>> {
    let (schema, records): (u32, Vec<(PathBuf, Record)>) = postcard::from_bytes(unseal(bytes)?).ok()?;
    (schema == SCHEMA).then(|| records.into_iter().collect())
}

/// Appends a checksum, so that a torn or flipped cache file is noticed.
pub(super) fn seal(mut body: Vec<u8>) -> Vec<u8> {
    let digest = blake3::hash(&body);
    body.extend_from_slice(digest.as_bytes());
    body
}

/// The body of a sealed file, if its checksum holds.
pub(super) fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (body, digest) = bytes.split_last_chunk::<32>()?;
    (blake3::hash(body) == *digest).then_some(body)
}

fn now_ns() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos().cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aged_file(folder: &Path, bytes: &[u8]) -> PathBuf {
        let path = folder.join("a.wav");
        fs::write(&path, bytes).expect("write");
        path
    }

    #[test]
    fn a_young_file_is_hashed_again_and_an_old_one_is_not() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = aged_file(folder.path(), b"one");
        let digests = Digests::load(&folder.path().join("digests"));
        let digest = digests.digest(&path).expect("hash");
        assert_eq!(digest, *blake3::hash(b"one").as_bytes());
        assert_eq!(digests.known(&path).expect("stat"), None, "just written: its times cannot be trusted");
        // The same record made three seconds later would be trusted.
        digests.records.lock().expect("lock").get_mut(&path).expect("record").hashed_at_ns += 3_000_000_000;
        assert_eq!(digests.known(&path).expect("stat"), Some(digest));
    }

    #[test]
    fn the_cache_survives_a_round_trip_and_a_torn_file_is_empty() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = aged_file(folder.path(), b"one");
        let cache = folder.path().join("digests");
        let digests = Digests::load(&cache);
        digests.digest(&path).expect("hash");
        digests.save().expect("save");
        assert_eq!(Digests::load(&cache).records.lock().expect("lock").len(), 1);
        let bytes = fs::read(&cache).expect("read");
        fs::write(&cache, &bytes[..bytes.len() - 1]).expect("write");
        assert!(Digests::load(&cache).records.lock().expect("lock").is_empty());
    }
}
