//! What set stages read: the rows of an item stage, item by item, and whatever stands for them in a key.
//!
//! Shards are opened as they are needed and a few are kept open, so that memory does not grow with the data set and reading
//! in order opens each shard once.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use contract::{Failure, Rows, Values};
use rayon::prelude::*;
use serde_json::{Value, json};
use shard::Shard;

use crate::error::{Error, Result, ShardContext};
use crate::plan::StagePlan;
use crate::session::Session;
use crate::store::index::{Index, IndexedItem};

/// Shards kept open.
const OPEN: usize = 32;

/// The published rows of an item stage of a session.
pub struct Features<'a> {
    plan: &'a StagePlan,
    shard_size: usize,
    /// The shards in order.
    paths: Vec<PathBuf>,
    /// What the store says after a run that wrote something; otherwise the plan knows it.
    fresh: Option<Index>,
    /// Position of each shard in the index.
    files: Vec<Option<usize>>,
    /// The most recently used stands last.
    open: Mutex<VecDeque<(usize, Shard)>>,
}

impl<'a> Features<'a> {
    /// The rows of the stage with this id, for `reader`, which brings that stage into every session that it is in.
    pub fn open(session: &'a Session, id: &str, reader: &str) -> Result<Self> {
        let plan = session.plans.iter().find(|plan| plan.decl.id == id);
        let plan = plan.ok_or_else(|| Error::Internal(format!("{reader} is to run without {id}")))?;
        // The plan was made before the run; what the run published is in the store.
        let fresh = if plan.is_current() { None } else { Some(Index::open(&session.work, id, false)?) };
        let index = fresh.as_ref().unwrap_or(&plan.index);
        let count = plan.shards.len();
        let paths: Vec<PathBuf> = (0..count).map(|k| session.work.shard(id, k, count)).collect();
        let known: HashMap<&Path, usize> = index.files.iter().zip(0..).map(|(f, at)| (f.path.as_path(), at)).collect();
        let files = paths.iter().map(|path| known.get(path.as_path()).copied()).collect();
        let shard_size = session.config.store.shard_size;
        Ok(Features { plan, shard_size, paths, fresh, files, open: Mutex::default() })
    }

    fn index(&self) -> &Index {
        self.fresh.as_ref().unwrap_or(&self.plan.index)
    }

    /// What the index says of the published items, in order.
    pub fn indexed(&self) -> impl Iterator<Item = &IndexedItem> {
        self.files.iter().flat_map(|file| file.map_or(&[][..], |file| &self.index().files[file].items))
    }

    /// What the rows are, for the preimage of what is made of them.
    pub fn preimage(&self) -> Value {
        let digest = || {
            let lines = |file: &Option<usize>| {
                let mut lines = String::new();
                for item in file.map_or(&[][..], |file| &self.index().files[file].items) {
                    let key = blake3::Hash::from_bytes(item.key).to_hex();
                    writeln!(lines, "{}\t{key}\t{}", item.id, item.failed.is_some()).expect("writing to memory");
                }
                lines
            };
            let mut items = blake3::Hasher::new();
            for some in self.files.chunks(64) {
                for lines in some.par_iter().map(lines).collect::<Vec<_>>() {
                    items.update(lines.as_bytes());
                }
            }
            items.finalize().to_hex().to_string()
        };
        let items = match self.fresh {
            Some(_) => &digest(),
            // Every stage that reads these rows asks, and more than once.
            None => self.plan.rows.get_or_init(digest),
        };
        json!({ "items": items, "key": self.plan.template.value() })
    }

    /// Why the item at this position of the data set has no rows; `None`: it has.
    pub fn failure(&self, item: usize) -> Result<Option<Failure>> {
        let failed = self.indexed_at(item)?.failed.as_ref();
        Ok(failed.map(|(cause, message)| Failure::new(*cause, message.clone())))
    }

    /// How many rows it has.
    pub fn row_count(&self, item: usize) -> Result<usize> {
        Ok(self.indexed_at(item)?.rows as usize)
    }

    fn indexed_at(&self, item: usize) -> Result<&IndexedItem> {
        let path = &self.paths[item / self.shard_size];
        let found = self.files[item / self.shard_size]
            .and_then(|file| self.index().files[file].items.get(item % self.shard_size));
        found.ok_or_else(|| Error::Internal(format!("{} is not published, or lacks an item", path.display())))
    }

    /// The rows of the item at this position of the data set, or why it has none.
    pub fn rows(&self, item: usize) -> Result<Result<Rows, Failure>> {
        let (k, within) = (item / self.shard_size, item % self.shard_size);
        let path = &self.paths[k];
        let mut open = self.open.lock().map_err(|_| Error::Internal("a reader of shards died".into()))?;
        let shard = match open.iter().position(|(at, _)| *at == k) {
            Some(at) => open.remove(at).expect("it was found there").1,
            None => Shard::open(path).in_shard(path)?,
        };
        let key = self.indexed_at(item)?.key;
        let rows = match shard.items().get(within).filter(|record| record.key == key).map(|record| &record.outcome) {
            Some(Ok(_)) => Ok(shard.rows(within).in_shard(path)?),
            Some(Err(failure)) => Err(failure.clone()),
            None => {
                let message = format!(
                    "another process has put other values in their place ({}): run again when that one has ended",
                    path.display()
                );
                return Err(Error::Stage { stage: self.plan.decl.id, message });
            }
        };
        open.push_back((k, shard));
        if open.len() > OPEN {
            open.pop_front();
        }
        Ok(rows)
    }
}

/// A column as single precision, and its width.
pub fn column(rows: Rows, name: &str) -> Result<(Vec<f32>, usize)> {
    let column = rows.columns.into_iter().find(|column| column.name == name);
    let column = column.ok_or_else(|| Error::Internal(format!("the rows have no column {name}")))?;
    let values = match column.values {
        Values::F32(v) => v,
        Values::F16(v) => v.into_iter().map(half::f16::to_f32).collect(),
        Values::F64(v) => v.into_iter().map(|x| x as f32).collect(),
        Values::I64(v) => v.into_iter().map(|x| x as f32).collect(),
        Values::U8(v) => v.into_iter().map(f32::from).collect(),
    };
    Ok((values, column.width.unwrap_or(1)))
}
