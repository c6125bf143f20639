//! The BLAKE3 of every media file's content, remembered by a stat record so that unchanged files are not read again.
//!
//! A record is only trusted when inode, size, mtime and ctime are the same *and* the file was last touched
//! clearly before it was hashed: within one tick of the file system's clock a file can change without its times telling. The device number is left out: the nodes of a cluster number the
//! same network file system differently.
//!
//! A data set of a million clips has two million records, and every command looks at all of them: they are a sorted [`table`] of fixed size,
//! searched by the hash of the path, with no memory of their own each. Each process adds a table of its own to the folder ([`segments`]).

mod segments;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::key::Content;
use crate::store::publish::{own_name, remove};
use segments::{Segment, is_small_beside};
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
    folder: PathBuf,
    here: PathBuf,
    published: Vec<Segment>,
    fresh: RwLock<Fresh>,
    /// What this process has published.
    own: Mutex<Option<PathBuf>>,
}

impl Digests {
    /// Reads the cache in this folder.
    pub fn load(folder: &Path) -> Self {
        let here = std::env::current_dir().unwrap_or_default();
        Digests {
            folder: folder.to_path_buf(),
            here,
            published: Segment::read_all(folder),
            fresh: RwLock::default(),
            own: Mutex::default(),
        }
    }

    /// The digest of a file that has not changed since it was hashed. `Ok(None)`: it must be hashed. An error: it cannot
    /// be looked at.
    pub fn known(&self, path: &Path) -> std::io::Result<Option<Content>> {
        self.all_known(&[path], false).pop().expect("one of one")
    }

    /// What [`Digests::known`] says of each of these files, in less time than one by one. `unseen`: what was hashed once is taken to be what it was then,
    /// without a look at it.
    pub fn all_known(&self, paths: &[&Path], unseen: bool) -> Vec<std::io::Result<Option<Content>>> {
        let known = |(path, record): (&&Path, Option<Record>)| match record {
            Some(record) if unseen => Ok(Some(record.digest)),
            record => {
                let stamp = Stamp::of(path)?;
                Ok(record.filter(|r| r.vouches_for(&stamp)).map(|r| r.digest))
            }
        };
        paths.iter().zip(self.records(paths)).map(known).collect()
    }

    fn records(&self, paths: &[&Path]) -> Vec<Option<Record>> {
        let names: Vec<Name> = paths.iter().map(|path| name_of(path, &self.here)).collect();
        let mut found: Vec<Option<Record>> = vec![None; names.len()];
        for segment in &self.published {
            for (found, record) in found.iter_mut().zip(segment.table.get_all(&names)) {
                // Of two the one that was hashed later.
                *found = record.into_iter().chain(found.take()).max_by_key(|record| record.hashed_at_ns);
            }
        }
        let fresh = self.fresh.read().expect("no holder panics");
        if !fresh.records.is_empty() {
            for (found, name) in found.iter_mut().zip(&names) {
                *found = fresh.records.get(name).copied().or(found.take());
            }
        }
        found
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

    /// Publishes everything that this process has hashed, together with what it has read of smaller segments, which it removes. Nothing is
    /// read or written when it has hashed nothing since the last time, unless the segments are too many.
    pub fn save(&self) -> Result<()> {
        let mut own = self.own.lock().expect("no holder panics");
        let mut entries: Vec<(Name, Record)> = {
            let mut fresh = self.fresh.write().expect("no holder panics");
            let is_tidy = own.is_some() || self.published.iter().all(Segment::is_one_file);
            if !std::mem::take(&mut fresh.unsaved) && is_tidy {
                return Ok(());
            }
            fresh.records.iter().map(|(name, record)| (*name, *record)).collect()
        };
        // What it takes up once it takes up each time, since what it has hashed only grows: its new segment holds all of its last one.
        let mut superseded: Vec<PathBuf> = own.iter().cloned().collect();
        for segment in &self.published {
            if !segment.is_one_file() || is_small_beside(segment, entries.len()) {
                entries.extend(segment.table.iter());
                superseded.extend_from_slice(&segment.files);
            }
        }
        if self.folder.is_file() {
            // The cache of earlier versions was a file of this name.
            remove(&self.folder)?;
        }
        let path = self.folder.join(own_name("digests"));
        Table::of(entries).publish(&path)?;
        *own = Some(path);
        superseded.iter().try_for_each(|path| remove(path))
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
