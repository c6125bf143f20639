//! What the shards and parts of a stage say, remembered so that a run with nothing to do opens none of them.
//!
//! The files are the truth; the index is a cache of them and may be deleted at any time. [`Index::open`] lists the
//! folder, believes the cache where a file's stamp is unchanged, and opens the rest. A file that is damaged is set
//! aside under another name and reported; its items are computed again.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use contract::Cause;
use serde::{Deserialize, Serialize};
use shard::Shard;

use crate::error::{IoContext, Result, ShardContext};
use crate::key::{Content, Key};
use crate::store::WorkDir;
use crate::store::digests::Stamp;
use crate::store::layout::parse_shard_name;
use crate::store::publish::{publish_bytes, retire};
use crate::store::sealed::{seal, unseal};

/// Version of the cache file; another version is ignored and rebuilt.
const SCHEMA: u32 = 1;

/// One item in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedItem {
    /// The item's id when the file was written.
    pub id: String,
    /// Its key.
    pub key: Key,
    /// The content that the key was made of.
    pub content: Content,
    /// Rows of the value; 0 for a failed item.
    pub rows: u32,
    /// Why it failed, if it did.
    pub failed: Option<(Cause, String)>,
}

/// One shard or part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The key template that its rows were made with.
    pub template: String,
    /// [`identity`] of its items.
    pub identity: [u8; 32],
    /// Its items in order.
    pub items: Vec<IndexedItem>,
    stamp: Stamp,
}

impl IndexedFile {
    /// Reads what a file says of itself.
    pub fn read(path: &Path) -> Result<Self> {
        let stamp = Stamp::of(path).at("look at", path)?;
        let shard = Shard::open(path).in_shard(path)?;
        let items: Vec<IndexedItem> = shard
            .items()
            .iter()
            .map(|item| {
                let (rows, failed) = match &item.outcome {
                    Ok(range) => ((range.end - range.start) as u32, None),
                    Err(failure) => (0, Some((failure.cause, failure.message.clone()))),
                };
                IndexedItem { id: item.id.clone(), key: item.key, content: item.content, rows, failed }
            })
            .collect();
        let identity = identity(items.iter().map(|item| (item.id.as_str(), &item.key)));
        Ok(IndexedFile {
            path: path.to_path_buf(),
            template: shard.header().key_template.clone(),
            identity,
            items,
            stamp,
        })
    }

    /// Looks at what lies under a path while other processes may replace it.
    pub fn look(path: &Path) -> Result<Look> {
        loop {
            let stamp = match Stamp::of(path) {
                Ok(stamp) => stamp,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Look::Gone),
                Err(error) => return Err(error).at("look at", path),
            };
            let error = match IndexedFile::read(path) {
                Ok(file) => return Ok(Look::Good(file)),
                Err(error) => error,
            };
            // Only what lay there all the time is to blame for the error.
            if Stamp::of(path).is_ok_and(|now| now == stamp) {
                return if error.is_damage() { Ok(Look::Damaged(stamp, error.to_string())) } else { Err(error) };
            }
        }
    }

    /// The file's stamp when it was read.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Why its failed items failed.
    pub fn failures(&self) -> impl Iterator<Item = Cause> {
        self.items.iter().filter_map(|item| item.failed.as_ref().map(|(cause, _)| *cause))
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.stamp.size()
    }
}

/// What lies under a path.
#[derive(Debug)]
pub enum Look {
    /// Nothing; another process may have moved it since it was listed.
    Gone,
    /// A shard or part.
    Good(IndexedFile),
    /// Something that cannot be believed, and what is wrong with it.
    Damaged(Stamp, String),
}

/// Renames a damaged file to `NAME.damaged`, where no run looks, unless another one has its name by now.
pub fn set_aside(path: &Path, stamp: &Stamp) -> Result<()> {
    set_aside_as(path, stamp, "damaged")
}

/// The same with another word than `damaged`.
pub fn set_aside_as(path: &Path, stamp: &Stamp, word: &str) -> Result<()> {
    let mut name = path.file_name().expect("a file").to_os_string();
    name.push(format!(".{word}"));
    if Stamp::of(path).is_ok_and(|now| now == *stamp) {
        retire(path, &path.with_file_name(name))?;
    }
    Ok(())
}

/// Which items, in which order, with which keys: two files with the same identity hold the same bytes.
pub fn identity<'a>(items: impl Iterator<Item = (&'a str, &'a Key)>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for (id, key) in items {
        hasher.update(&(id.len() as u64).to_le_bytes());
        hasher.update(id.as_bytes());
        hasher.update(key);
    }
    *hasher.finalize().as_bytes()
}

/// Where a row is: file and item position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Position in [`Index::files`].
    pub file: usize,
    /// Position in [`IndexedFile::items`].
    pub item: usize,
}

/// A file that could not be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Where it was.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
}

/// All shards and parts of one stage.
#[derive(Debug)]
pub struct Index {
    cache: PathBuf,
    root: PathBuf,
    /// Shards first, then parts, each in order of their names.
    pub files: Vec<IndexedFile>,
    /// Files that had to be opened because the cache did not know them.
    pub opened: usize,
    /// Files that were set aside.
    pub damaged: Vec<Damaged>,
    changed: bool,
}

impl Index {
    /// Lists and reads the files of a stage. With `set_aside`, a damaged one is renamed to `NAME.damaged`; without (a
    /// dry run), it is only reported.
    pub fn open(work: &WorkDir, stage: &str, set_aside: bool) -> Result<Index> {
        let cache = work.index(stage);
        let mut known: HashMap<PathBuf, IndexedFile> =
            fs::read(&cache).ok().and_then(|bytes| decode(bytes, work.root())).unwrap_or_default();
        let before = known.len();
        let mut index = Index {
            cache,
            root: work.root().to_path_buf(),
            files: Vec::new(),
            opened: 0,
            damaged: Vec::new(),
            changed: false,
        };
        for path in list(work, stage)? {
            let stamp = match Stamp::of(&path) {
                Ok(stamp) => stamp,
                // Another process has swallowed this part between the listing and now.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).at("look at", &path),
            };
            if let Some(file) = known.remove(&path).filter(|file| file.stamp == stamp) {
                index.files.push(file);
                continue;
            }
            index.opened += 1;
            match IndexedFile::look(&path)? {
                Look::Gone => {}
                Look::Good(file) => {
                    index.files.push(file);
                    index.changed = true;
                }
                Look::Damaged(stamp, message) => {
                    if set_aside {
                        self::set_aside(&path, &stamp)?;
                    }
                    index.damaged.push(Damaged { path, message });
                }
            }
        }
        index.changed |= index.files.len() != before;
        Ok(index)
    }

    /// Where each key is. A success wins over a failure, a shard over a part.
    pub fn locations(&self) -> HashMap<Key, Location> {
        let mut found: HashMap<Key, Location> = HashMap::new();
        for (file, entry) in self.files.iter().enumerate() {
            for (item, row) in entry.items.iter().enumerate() {
                let better =
                    found.get(&row.key).is_none_or(|at| self.item(*at).failed.is_some() && row.failed.is_none());
                if better {
                    found.insert(row.key, Location { file, item });
                }
            }
        }
        found
    }

    /// The item at a location.
    pub fn item(&self, at: Location) -> &IndexedItem {
        &self.files[at.file].items[at.item]
    }

    /// The file published under this path.
    pub fn file(&self, path: &Path) -> Option<&IndexedFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether saving would write anything.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Publishes the cache.
    pub fn save(&self) -> Result<()> {
        // Paths below the work directory, so that the cache holds wherever the directory is mounted or moved to.
        let mut files = self.files.clone();
        for file in &mut files {
            file.path =
                file.path.strip_prefix(&self.root).expect("every file lies in the work directory").to_path_buf();
        }
        let body = postcard::to_stdvec(&(SCHEMA, &files)).expect("plain data");
        publish_bytes(&self.cache, &seal(body))
    }
}

fn decode(bytes: Vec<u8>, root: &Path) -> Option<HashMap<PathBuf, IndexedFile>> {
    let (schema, files): (u32, Vec<IndexedFile>) = postcard::from_bytes(&unseal(bytes)?).ok()?;
    let keyed = |mut file: IndexedFile| {
        file.path = root.join(&file.path);
        (file.path.clone(), file)
    };
    (schema == SCHEMA).then(|| files.into_iter().map(keyed).collect())
}

/// The shards and then the parts of a stage.
fn list(work: &WorkDir, stage: &str) -> Result<Vec<PathBuf>> {
    let is_part = |name: &str| Path::new(name).extension().is_some_and(|e| e == "h5") && !name.starts_with('.');
    let mut files = list_folder(&work.stage(stage), |name| parse_shard_name(name).is_some())?;
    files.extend(list_folder(&work.parts(stage), is_part)?);
    Ok(files)
}

fn list_folder(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).at("list", folder),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.at("list", folder)?.file_name();
        if name.to_str().is_some_and(&wanted) {
            found.push(folder.join(name));
        }
    }
    found.sort();
    Ok(found)
}
