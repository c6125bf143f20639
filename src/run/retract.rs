//! Rows that vouch for picture files must go before the files do.
//!
//! Pictures have the names of the reference example, whatever they were made of: those of other parameters, or of another content of the
//! file, take the place of the ones before. From that instant on the old rows would vouch for pictures that are not theirs, and a run that
//! goes back, or one after a kill, would believe them. So the store forgets these rows first, for good. Where another run may have written
//! pictures at the same time, no order helps ([`crate::run::painting`]): then every row is held against its pictures.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use contract::Values;
use extract_frames::Format;
use rayon::prelude::*;
use shard::{Entry, Shard};

use crate::error::{Result, ShardContext};
use crate::key::Key;
use crate::plan::{ItemState, StagePlan};
use crate::store::WorkDir;
use crate::store::index::{Index, IndexedFile, IndexedItem, set_aside};
use crate::store::pictures::{Listed, format_as_made, remove_strays};
use crate::store::publish::{own_name, publish, remove_for_good};

/// The rows of a stage that keeps pictures, by the items whose pictures they list.
pub struct Vouchers<'a> {
    plan: &'a StagePlan,
    /// Files of the index with a row of this id.
    by_id: HashMap<&'a str, Vec<usize>>,
    /// Items that are to be computed.
    due: HashSet<&'a str>,
    retracted: HashSet<usize>,
}

impl<'a> Vouchers<'a> {
    /// What the plan's index holds; `ids` are those of the data set, in order.
    pub fn new(plan: &'a StagePlan, ids: impl Fn(usize) -> &'a str) -> Self {
        let mut by_id: HashMap<&str, Vec<usize>> = HashMap::new();
        for (position, file) in plan.index.files.iter().enumerate() {
            for item in file.items.iter().filter(|item| item.failed.is_none()) {
                by_id.entry(item.id.as_str()).or_default().push(position);
            }
        }
        let stale = plan.shards.iter().flat_map(|shard| shard.items.clone().zip(shard.stale.iter().flatten()));
        let due = stale.filter(|(_, state)| matches!(state, ItemState::Due(_))).map(|(item, _)| ids(item)).collect();
        Vouchers { plan, by_id, due, retracted: HashSet::new() }
    }

    /// Pictures under this id and key are about to be written: rows that list others are taken out of the store. The good rows beside
    /// them move to `part`; what is returned is gone.
    pub fn retract(&mut self, id: &str, key: &Key, mut part: impl FnMut() -> PathBuf) -> Result<Vec<PathBuf>> {
        let mut gone = Vec::new();
        for position in self.by_id.get(id).cloned().unwrap_or_default() {
            let file = &self.plan.index.files[position];
            let lists_others = |item: &IndexedItem| item.failed.is_none() && item.id == id && item.key != *key;
            if self.retracted.contains(&position) || !file.items.iter().any(lists_others) {
                continue;
            }
            // With other parameters every item that is due will come to this; then it is done at once.
            let outdated = file.template != self.plan.template.text();
            let goes = |item: &IndexedItem| lists_others(item) || (outdated && self.due.contains(item.id.as_str()));
            take_out(file, |position| !goes(&file.items[position]), &mut part)?;
            self.retracted.insert(position);
            gone.push(file.path.clone());
        }
        Ok(gone)
    }
}

/// What a row is worth beside the pictures that are there.
enum Worth {
    /// Its pictures are there as they were made.
    Pictures(Format),
    /// It says that there are none.
    Failure,
    /// Its pictures are not there, or others.
    Untrue,
}

/// Takes every row out of the store whose pictures are not there as they were made; returns how many went. Pictures beside those of a row that
/// stays, which another run has numbered on, go as well.
pub fn retract_false_rows(work: &WorkDir) -> Result<usize> {
    let folder = work.stage(extract_frames::DECL.id);
    let mut gone = 0;
    loop {
        let mut listed = Listed::new();
        let files = Index::open(work, extract_frames::DECL.id, true)?.files;
        let untrue = files.iter().map(|file| retract_from(file, work, &mut listed)).collect::<Result<Vec<_>>>()?;
        gone += untrue.iter().flatten().sum::<usize>();
        // What another process has moved meanwhile is looked at where it lies now.
        if untrue.iter().all(Option::is_some) {
            remove_strays(&folder, &listed)?;
            return Ok(gone);
        }
    }
}

/// The same for one file; adds to `listed` what stays. `None`: it lies elsewhere by now.
fn retract_from(file: &IndexedFile, work: &WorkDir, listed: &mut Listed) -> Result<Option<usize>> {
    let stage = extract_frames::DECL.id;
    let worths = match hold_against_pictures(file, &work.stage(stage)) {
        Err(error) if error.is_damage() => {
            set_aside(&file.path, &file.stamp())?;
            return Ok(Some(0));
        }
        Err(_) if !file.path.exists() => return Ok(None),
        Ok(None) => return Ok(None),
        Ok(Some(worths)) => worths,
        Err(error) => return Err(error),
    };
    let untrue = worths.iter().filter(|worth| matches!(worth, Worth::Untrue)).count();
    if untrue > 0 {
        let is_kept = |position: usize| !matches!(worths[position], Worth::Untrue);
        take_out(file, is_kept, &mut || work.parts(stage).join(own_name("part") + ".h5"))?;
    }
    for (item, worth) in file.items.iter().zip(&worths) {
        if let Worth::Pictures(format) = worth {
            listed.entry(item.id.clone()).or_default().push((*format, item.rows));
        }
    }
    Ok(Some(untrue))
}

/// Whether this is what a file was when it was listed; another process may have published another one under its name since.
fn is_still(file: &IndexedFile, shard: &Shard) -> bool {
    shard.items().iter().map(|item| item.key).eq(file.items.iter().map(|item| item.key))
}

/// What each row of a file is worth; `None` where another one has its name by now.
fn hold_against_pictures(file: &IndexedFile, folder: &Path) -> Result<Option<Vec<Worth>>> {
    let shard = Shard::open(&file.path).in_shard(&file.path)?;
    if !is_still(file, &shard) {
        return Ok(None);
    }
    let digests = |position: usize| -> Result<Option<Vec<u8>>> {
        if shard.items()[position].outcome.is_err() {
            return Ok(None);
        }
        let rows = shard.rows(position).in_shard(&file.path)?;
        let column = rows.columns.into_iter().find(|column| column.name == "digest");
        Ok(column.and_then(|column| if let Values::U8(digests) = column.values { Some(digests) } else { None }))
    };
    // Of HDF5 there is one at a time, of pictures as many as there are cores.
    let digests: Vec<Option<Vec<u8>>> = (0..file.items.len()).map(digests).collect::<Result<_>>()?;
    let worth = |(item, digests): (&IndexedItem, &Option<Vec<u8>>)| {
        let Some(digests) = digests else { return Ok(Worth::Failure) };
        Ok(format_as_made(folder, &item.id, digests)?.map_or(Worth::Untrue, Worth::Pictures))
    };
    file.items.par_iter().zip(&digests).map(worth).collect::<Result<_>>().map(Some)
}

/// Moves the rows at the positions that are kept to a part, and removes the file.
fn take_out(file: &IndexedFile, is_kept: impl Fn(usize) -> bool, part: &mut impl FnMut() -> PathBuf) -> Result<()> {
    match move_rows(file, is_kept, part) {
        // Not where it is the part that could not be written.
        Err(error) if error.is_damage_of(&file.path) => set_aside(&file.path, &file.stamp()),
        Ok(false) => Ok(()),
        moved => moved.and_then(|_| remove_for_good(&file.path)),
    }
}

/// Publishes the rows of a file that are kept as a part; `false` where another file has its name by now.
fn move_rows(file: &IndexedFile, is_kept: impl Fn(usize) -> bool, part: &mut impl FnMut() -> PathBuf) -> Result<bool> {
    let kept: Vec<usize> = (0..file.items.len()).filter(|position| is_kept(*position)).collect();
    // One that another process has moved is forgotten where it is by the next run that looks.
    let source = match Shard::open(&file.path) {
        Err(_) if !file.path.exists() => return Ok(true),
        opened => opened.in_shard(&file.path)?,
    };
    if !is_still(file, &source) {
        return Ok(false);
    }
    if kept.is_empty() {
        return Ok(true);
    }
    let mut header = source.header().clone();
    header.position = None;
    publish(&part(), |temporary| {
        let mut writer = shard::Writer::create(temporary, &header, Some(kept.len())).in_shard(temporary)?;
        for position in &kept {
            let item = &source.items()[*position];
            let rows = match &item.outcome {
                Ok(_) => Ok(source.rows(*position).in_shard(&file.path)?),
                Err(failure) => Err(failure),
            };
            let outcome = rows.as_ref().map_err(|failure| *failure);
            let entry = Entry { id: &item.id, key: item.key, content: item.content, outcome };
            writer.push(entry).in_shard(temporary)?;
        }
        writer.finish().in_shard(temporary)?;
        Shard::open(temporary).and_then(|shard| shard.check()).in_shard(temporary)
    })?;
    Ok(true)
}
