//! Rows that vouch for picture files must go before the files do.
//!
//! Pictures have the names of the reference example, whatever they were made of: those of other parameters, or of another content of the
//! file, take the place of the ones before. From that instant on the old rows would vouch for pictures that are not theirs, and a run that
//! goes back, or one after a kill, would believe them. So the store forgets these rows first, for good.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use shard::Shard;

use crate::error::{Result, ShardContext};
use crate::key::Key;
use crate::plan::{ItemState, StagePlan};
use crate::store::index::{IndexedFile, IndexedItem, set_aside};
use crate::store::publish::{publish, remove_for_good};

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
            let is_kept = |item: &IndexedItem| !goes(item);
            match move_rows(file, is_kept, &mut part) {
                Err(error) if error.is_damage() => set_aside(&file.path, &file.stamp())?,
                moved => moved.and_then(|()| remove_for_good(&file.path))?,
            }
            self.retracted.insert(position);
            gone.push(file.path.clone());
        }
        Ok(gone)
    }
}

/// Publishes the rows of a file that are kept as a part.
fn move_rows(
    file: &IndexedFile,
    is_kept: impl Fn(&IndexedItem) -> bool,
    part: &mut impl FnMut() -> PathBuf,
) -> Result<()> {
    let kept: Vec<usize> = (0..file.items.len()).filter(|position| is_kept(&file.items[*position])).collect();
    // One that another process has moved is forgotten where it is by the next run that looks.
    if kept.is_empty() || !file.path.exists() {
        return Ok(());
    }
    let source = Shard::open(&file.path).in_shard(&file.path)?;
    let mut header = source.header().clone();
    header.position = None;
    publish(&part(), |temporary| {
        let mut writer = shard::Writer::create(temporary, &header, Some(kept.len())).in_shard(temporary)?;
        for position in &kept {
            source.copy_item(*position, &mut writer).in_shard(temporary)?;
        }
        writer.finish().in_shard(temporary)?;
        Shard::open(temporary).and_then(|shard| shard.check()).in_shard(temporary)
    })
}
