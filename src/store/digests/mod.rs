//! The BLAKE3 of every media file's content, remembered by a stat record so that unchanged files are not read again.
//!
//! A record is only trusted when inode, size, mtime and ctime are the same *and* the file was last touched
//! clearly before it was hashed: within one tick of the file system's clock a file can change without its times telling. The device number is left out: the nodes of a cluster number the
//! same network file system differently.
//!
//! A data set of a million clips has two million records, and every command looks at all of them: they are a sorted [`table`] of fixed size,
//! searched by the hash of the path, with no memory of their own each.

mod table;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::key::Content;
use table::Table;

/// Grain of a file system whose times have fractions of a second: they advance with the kernel's tick, 10 ms at the coarsest.
const FINE_GRAIN_NS: i64 = 100_000_000;

/// Grain of one whose times are whole seconds (ext3, HFS+, some network file systems: 1 s; FAT: 2 s).
const COARSE_GRAIN_NS: i64 = 2_000_000_000;

/// What `stat` says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    inode: u64,
    size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
}

impl Stamp {
    /// The stamp of the file at `path`.
    pub fn of(path: &Path) -> std::io::Result<Stamp> {
        let m = fs::metadata(path)?;
        Ok(Stamp {
            inode: m.ino(),
            size: m.size(),
            mtime_ns: nanoseconds(m.mtime(), m.mtime_nsec()),
            ctime_ns: nanoseconds(m.ctime(), m.ctime_nsec()),
        })
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether the file was last touched clearly before this time, so that the stamp of any later content is another one.
    pub fn is_settled_at(&self, time_ns: i64) -> bool {
        let touched = self.mtime_ns.max(self.ctime_ns);
        let whole_seconds = touched % 1_000_000_000 == 0;
        let grain = if whole_seconds { COARSE_GRAIN_NS } else { FINE_GRAIN_NS };
        touched.saturating_add(grain) < time_ns
    }

    /// Whether it is the same file under, perhaps, another name: a rename changes the ctime alone.
    pub fn is_same_file(&self, other: &Stamp) -> bool {
        (self.inode, self.size, self.mtime_ns) == (other.inode, other.size, other.mtime_ns)
    }
}

/// Nanoseconds since 1970, for times from 1678 to 2262; beyond them the nearest of these.
fn nanoseconds(seconds: i64, fraction: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(fraction)
}

/// A file that is about to be hashed: what it was before, and when that was.
#[derive(Debug, Clone, Copy)]
pub struct Hashing {
    /// What the file was.
    pub stamp: Stamp,
    hashed_at_ns: i64,
}

impl Hashing {
    /// Now, and the stamp of the file at `path`.
    pub fn begin(path: &Path) -> std::io::Result<Hashing> {
        Ok(Hashing { stamp: Stamp::of(path)?, hashed_at_ns: now_ns() })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    stamp: Stamp,
    hashed_at_ns: i64,
    digest: Content,
}

impl Record {
    fn vouches_for(&self, stamp: &Stamp) -> bool {
        self.stamp == *stamp && self.stamp.is_settled_at(self.hashed_at_ns)
    }
}

/// Stands for a path: half of its BLAKE3. Two of 10^9 paths share one with a probability of 10^-21.
type Name = u128;

/// However a data set is named, from whatever folder: a file is one file. `here` is the folder that relative paths start at; asking the
/// system for it once a file would cost more than all the rest.
fn name_of(path: &Path, here: &Path) -> Name {
    let [written, here_written] = [path, here].map(|path| path.as_os_str().as_encoded_bytes());
    let (base, below) = match written.strip_prefix(b"/") {
        Some(below) => (&[][..], below),
        None => (here_written.strip_suffix(b"/").unwrap_or(here_written), written),
    };
    let digest = if below.split(|byte| *byte == b'/').all(|part| !part.is_empty() && part != b".") {
        // As paths usually are: the same as below, without a path made for it.
        blake3::Hasher::new().update(base).update(b"/").update(below).finalize()
    } else {
        let joined = here.join(path);
        blake3::hash(std::path::absolute(&joined).unwrap_or(joined).as_os_str().as_encoded_bytes())
    };
    Name::from_le_bytes(*digest.as_bytes().first_chunk().expect("32 bytes"))
}

/// What this process has hashed.
#[derive(Debug, Default)]
struct Fresh {
    records: HashMap<Name, Record>,
    unsaved: bool,
    asked: Vec<PathBuf>,
}

/// The digest cache of a work directory.
#[derive(Debug)]
pub struct Digests {
    path: PathBuf,
    here: PathBuf,
    published: Table,
    fresh: RwLock<Fresh>,
}

impl Digests {
    /// Reads the cache; a missing, damaged or foreign file is an empty cache.
    pub fn load(path: &Path) -> Self {
        let published = Table::read(path).unwrap_or_default();
        let here = std::env::current_dir().unwrap_or_default();
        Digests { path: path.to_path_buf(), here, published, fresh: RwLock::default() }
    }

    /// The digest of a file that has not changed since it was hashed. `Ok(None)`: it must be hashed. An error: it cannot
    /// be looked at.
    pub fn known(&self, path: &Path) -> std::io::Result<Option<Content>> {
        let stamp = Stamp::of(path)?;
        Ok(self.record(path).filter(|r| r.vouches_for(&stamp)).map(|r| r.digest))
    }

    /// The digest that the file had when it was last hashed, without a look at it.
    pub fn recorded(&self, path: &Path) -> Option<Content> {
        self.record(path).map(|record| record.digest)
    }

    fn record(&self, path: &Path) -> Option<Record> {
        let name = name_of(path, &self.here);
        let fresh = self.fresh.read().expect("no holder panics");
        fresh.records.get(&name).copied().or_else(|| self.published.get(name))
    }

    /// The files that were asked for by [`Digests::digest`]: what is read beside media, models and products above all.
    pub fn asked(&self) -> Vec<PathBuf> {
        self.fresh.read().expect("no holder panics").asked.clone()
    }

    /// The digest of the file, hashing it if need be.
    pub fn digest(&self, path: &Path) -> std::io::Result<Content> {
        self.fresh.write().expect("no holder panics").asked.push(path.to_path_buf());
        if let Some(digest) = self.known(path)? {
            return Ok(digest);
        }
        let hashing = Hashing::begin(path)?;
        let digest = hash_file(path)?;
        self.remember(path, hashing, digest)?;
        Ok(digest)
    }

    /// Remembers what somebody hashed since `hashing` was begun. A file that changed meanwhile is not remembered; whoever decodes it
    /// compares stamps as well.
    pub fn remember(&self, path: &Path, hashing: Hashing, digest: Content) -> std::io::Result<()> {
        let Hashing { stamp, hashed_at_ns } = hashing;
        if Stamp::of(path)? == stamp {
            let record = Record { stamp, hashed_at_ns, digest };
            let mut fresh = self.fresh.write().expect("no holder panics");
            fresh.records.insert(name_of(path, &self.here), record);
            fresh.unsaved = true;
        }
        Ok(())
    }

    /// Publishes the cache, together with what other processes have published meanwhile. Nothing is read or written when this one has
    /// hashed nothing since the last time.
    pub fn save(&self) -> Result<()> {
        let mut all: Vec<(Name, Record)> = {
            let mut fresh = self.fresh.write().expect("no holder panics");
            if !std::mem::take(&mut fresh.unsaved) {
                return Ok(());
            }
            fresh.records.iter().map(|(name, record)| (*name, *record)).collect()
        };
        let theirs = Table::read(&self.path);
        let before = theirs.as_ref().unwrap_or(&self.published);
        all.extend(before.iter());
        // Of one name what was hashed here stands first, and stays.
        all.sort_by_key(|(name, _)| *name);
        all.dedup_by_key(|(name, _)| *name);
        Table::publish(&self.path, &all)
    }
}

/// The digest of what lies at `path`.
pub fn hash_file(path: &Path) -> std::io::Result<Content> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path)?)?;
    Ok(*hasher.finalize().as_bytes())
}

/// Now, in nanoseconds since 1970.
pub fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos().try_into().unwrap_or(i64::MAX))
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
        let mut fresh = digests.fresh.write().expect("lock");
        fresh.records.get_mut(&name_of(&path, Path::new("/"))).expect("record").hashed_at_ns += 3_000_000_000;
        drop(fresh);
        assert_eq!(digests.known(&path).expect("stat"), Some(digest));
    }

    #[test]
    fn a_file_has_one_name_however_it_is_written() {
        let here = Path::new("/data/set");
        let name = name_of(Path::new("/data/set/clips/a.wav"), here);
        for written in ["clips/a.wav", "./clips/a.wav", "clips//a.wav", "clips/./a.wav", "/data//set/clips/a.wav"] {
            assert_eq!(name_of(Path::new(written), here), name, "{written}");
        }
        assert_eq!(name_of(Path::new("data"), Path::new("/")), name_of(Path::new("/data"), here), "in the root folder");
        assert_ne!(name_of(Path::new("clips/b.wav"), here), name);
    }

    #[test]
    fn the_cache_survives_a_round_trip_and_a_torn_file_is_empty() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = aged_file(folder.path(), b"one");
        let cache = folder.path().join("digests");
        let digests = Digests::load(&cache);
        digests.digest(&path).expect("hash");
        digests.save().expect("save");
        assert_eq!(
            Digests::load(&cache).published.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            [name_of(&path, Path::new("/"))]
        );
        let bytes = fs::read(&cache).expect("read");
        fs::write(&cache, &bytes[..bytes.len() - 1]).expect("write");
        assert!(Digests::load(&cache).published.iter().next().is_none());
    }

    #[test]
    fn what_two_processes_hash_is_kept_and_what_was_hashed_last_stands() {
        let folder = tempfile::tempdir().expect("tempdir");
        let cache = folder.path().join("digests");
        let paths: Vec<PathBuf> = (0..100).map(|n| folder.path().join(format!("{n}.wav"))).collect();
        for path in &paths {
            fs::write(path, path.as_os_str().as_encoded_bytes()).expect("write");
        }
        let (one, other) = (Digests::load(&cache), Digests::load(&cache));
        assert!(paths[..60].iter().all(|path| one.digest(path).is_ok()));
        fs::write(&paths[50], b"changed").expect("write");
        assert!(paths[40..].iter().all(|path| other.digest(path).is_ok()));
        one.save().expect("save");
        other.save().expect("save");
        let both = Digests::load(&cache);
        assert_eq!(both.published.iter().count(), 100);
        for path in &paths {
            let wanted = *blake3::hash(&fs::read(path).expect("read")).as_bytes();
            assert_eq!(both.published.get(name_of(path, Path::new("/"))).expect("record").digest, wanted);
        }
        fs::remove_file(&cache).expect("remove");
        both.save().expect("nothing to save");
        assert!(!cache.exists(), "a process that hashed nothing writes nothing");
    }
}
