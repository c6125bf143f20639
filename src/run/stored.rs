//! Rows of the store on their way into another shard, wherever other processes have moved them meanwhile.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use contract::{Failure, Rows};
use shard::Shard;

use crate::error::{Error, IoContext, Result, ShardContext};
use crate::events::{Event, Reporter};
use crate::key::Key;
use crate::store::WorkDir;
use crate::store::digests::Stamp;
use crate::store::index::{Index, IndexedFile, Location, Look, set_aside};

/// Shards kept open for copying.
const OPEN_SOURCES: usize = 8;

/// How often the store is listed again for a row that other processes may be moving about.
const SEARCHES: usize = 3;

/// A row in a file: where, and at which position.
#[derive(Debug, Clone)]
pub struct Source {
    /// The shard or part.
    pub path: PathBuf,
    /// The item's position in it.
    pub position: usize,
}

/// The rows of a stage.
pub struct StoredRows<'a> {
    work: &'a WorkDir,
    stage: &'static str,
    reporter: &'a dyn Reporter,
    /// Where superseded shards went during this run.
    moved: HashMap<PathBuf, PathBuf>,
    /// Open files, with what they were when they were opened.
    sources: Vec<(PathBuf, Stamp, Shard)>,
    /// The store as it was when a row was last not where it had been.
    elsewhere: Option<(Index, HashMap<Key, Location>)>,
}

impl<'a> StoredRows<'a> {
    /// Those of this stage.
    pub fn new(work: &'a WorkDir, stage: &'static str, reporter: &'a dyn Reporter) -> Self {
        StoredRows { work, stage, reporter, moved: HashMap::new(), sources: Vec::new(), elsewhere: None }
    }

    /// A file has another name now.
    pub fn has_moved(&mut self, from: &Path, to: PathBuf) {
        self.moved.insert(from.to_path_buf(), to);
    }

    /// A file is about to be removed.
    pub fn close(&mut self, path: &Path) {
        self.sources.retain(|(open, ..)| open != path);
    }

    /// The shard under this path now, read if it is not the one that the index knows; one that cannot be believed is set aside.
    pub fn look(&self, path: &Path, known: &Index) -> Result<Option<IndexedFile>> {
        if let Some(planned) = known.file(path)
            && Stamp::of(path).is_ok_and(|now| now == planned.stamp())
        {
            return Ok(Some(planned.clone()));
        }
        match IndexedFile::look(path)? {
            Look::Gone => Ok(None),
            Look::Good(file) => Ok(Some(file)),
            Look::Damaged(stamp, message) => {
                self.condemn(path, &stamp, &message)?;
                Ok(None)
            }
        }
    }

    fn condemn(&self, path: &Path, stamp: &Stamp, message: &str) -> Result<()> {
        set_aside(path, stamp)?;
        self.reporter.report(&Event::damaged(path, message));
        Ok(())
    }

    /// Reads a row out of the store, wherever it is by now; `None` when it is nowhere.
    pub fn load(&mut self, source: &Source, key: &Key) -> Result<Option<Result<Rows, Failure>>> {
        let path = self.moved.get(&source.path).unwrap_or(&source.path).clone();
        if let Some(found) = self.load_from(&path, source.position, key)? {
            return Ok(Some(found));
        }
        for search in 0..SEARCHES {
            if search > 0 || self.elsewhere.is_none() {
                let index = Index::open(self.work, self.stage, true)?;
                let locations = index.locations();
                self.elsewhere = Some((index, locations));
            }
            let found = self.elsewhere.as_ref().and_then(|(index, locations)| {
                let at = locations.get(key)?;
                Some((index.files[at.file].path.clone(), at.item))
            });
            let Some((path, position)) = found else { continue };
            if let Some(found) = self.load_from(&path, position, key)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Reads the row of this key out of a file, at this position if it is the file that it was; `None` where it is not.
    fn load_from(&mut self, path: &Path, position: usize, key: &Key) -> Result<Option<Result<Rows, Failure>>> {
        if !self.sources.iter().any(|(open, ..)| open == path) {
            let stamp = match Stamp::of(path) {
                Ok(stamp) => stamp,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error).at("look at", path),
            };
            let shard = match Shard::open(path).in_shard(path) {
                Ok(shard) => shard,
                Err(error) => return self.refuse(path, &stamp, error),
            };
            if self.sources.len() == OPEN_SOURCES {
                self.sources.remove(0);
            }
            self.sources.push((path.to_path_buf(), stamp, shard));
        }
        let (_, stamp, shard) = self.sources.iter().find(|(open, ..)| open == path).expect("just opened");
        let items = shard.items();
        let is_it = |position: &usize| items.get(*position).is_some_and(|item| item.key == *key);
        let Some(position) = Some(position).filter(is_it).or_else(|| (0..items.len()).find(is_it)) else {
            return Ok(None);
        };
        match &items[position].outcome {
            Err(failure) => Ok(Some(Err(failure.clone()))),
            Ok(_) => match shard.rows(position).in_shard(path) {
                Ok(rows) => Ok(Some(Ok(rows))),
                Err(error) => {
                    let stamp = *stamp;
                    self.refuse(path, &stamp, error)
                }
            },
        }
    }

    /// What a file that cannot be read means for a row in it: another one may hold it, unless the system refuses to say.
    fn refuse(&mut self, path: &Path, stamp: &Stamp, error: Error) -> Result<Option<Result<Rows, Failure>>> {
        self.close(path);
        // Taken away or replaced between two looks: what was said is no word about what lies there, if anything does.
        match Stamp::of(path) {
            Ok(now) if now == *stamp => {}
            Ok(_) => return Ok(None),
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(_) => return Err(error),
        }
        if !error.is_damage() {
            return Err(error);
        }
        self.condemn(path, stamp, &error.to_string())?;
        Ok(None)
    }
}
