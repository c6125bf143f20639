//! The plan is a value: configuration + data set + store → work and reasons. Making it runs nothing and writes nothing;
//! `run`, `run --dry-run`, `status` and `explain` all start from it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use contract::{Cause, Decl, Item};
use rayon::prelude::*;
use serde::Serialize;

use crate::error;
use crate::exchange::imported;
use crate::key::{Content, Difference, Key, NO_CONTENT, Template, differences};
use crate::resolve::{ItemStage, Source};
use crate::store::WorkDir;
use crate::store::digests::Digests;
use crate::store::index::{Index, IndexedItem, Location};
use crate::store::layout::shard_name;
use crate::store::pictures::PictureNames;

/// Why an item must be computed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The store has nothing under this id and nothing with this key.
    New,
    /// The file's content is not the one that the stored value was made of.
    ContentChanged,
    /// The stored value was made with other parameters or facts; the number is a position in [`StagePlan::changes`].
    ParametersChanged(usize),
    /// The row is there but a picture that it lists is not.
    PictureMissing,
    /// It failed, for a cause that may have gone away or that is asked to be tried again.
    Retry(Cause),
    /// The file has not been hashed since it was last touched; the run reads it and may find that nothing is due.
    NotHashed,
    /// It is there and good, and `--force` asks for it again.
    Forced,
}

/// As a string, since a reason is a key of [`Counts::reasons`].
impl Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Reason::New => serializer.serialize_str("new"),
            Reason::ContentChanged => serializer.serialize_str("content-changed"),
            Reason::ParametersChanged(at) => serializer.collect_str(&format_args!("parameters-changed-{at}")),
            Reason::PictureMissing => serializer.serialize_str("picture-missing"),
            Reason::Retry(cause) => serializer.collect_str(&format_args!("retry-{cause}")),
            Reason::NotHashed => serializer.serialize_str("not-hashed"),
            Reason::Forced => serializer.serialize_str("forced"),
        }
    }
}

/// What is known of one item of a shard that is not current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemState {
    /// The store has the value (or a lasting failure) under this key: it is copied.
    Known(Location),
    /// It must be computed, or at least hashed.
    Due(Reason),
    /// It must be computed, but not by this run.
    LeftOut,
}

/// One shard of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardPlan {
    /// Its items, as positions in the data set.
    pub items: Range<usize>,
    /// `None`: published and current. Otherwise the state of each item.
    pub stale: Option<Vec<ItemState>>,
}

/// What is to be done for one item stage.
#[derive(Debug)]
pub struct StagePlan {
    /// The stage.
    pub decl: &'static Decl,
    /// What it reads.
    pub source: Source,
    /// Its key template now.
    pub template: Template,
    /// What the store says.
    pub index: Index,
    /// Where each known key is; empty when every shard is current.
    pub locations: HashMap<Key, Location>,
    /// The picture files that are there, for the stage that keeps some.
    pub pictures: PictureNames,
    /// The shards in order.
    pub shards: Vec<ShardPlan>,
    /// For each distinct set of old parameters that [`Reason::ParametersChanged`] points at: what differs.
    pub changes: Vec<Vec<Difference>>,
    /// The digest of all rows, once something was keyed by it while every shard was current.
    pub rows: OnceLock<String>,
}

/// How many items of a stage are in which state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Items of the data set.
    pub items: usize,
    /// Values in the store under the present key.
    pub done: usize,
    /// Lasting failures in the store under the present key.
    pub failed: usize,
    /// Items to compute.
    pub due: usize,
    /// Items to compute that this run does not take up.
    pub left_out: usize,
    /// Of the due ones: files that were not hashed yet and may turn out to be known.
    pub not_hashed: usize,
    /// Shards in all.
    pub shards: usize,
    /// Shards of which this run computes or copies something.
    pub stale_shards: usize,
    /// The due items by reason.
    pub reasons: BTreeMap<Reason, usize>,
}

impl Counts {
    /// Whether the run has nothing to do for the stage.
    pub fn is_current(&self) -> bool {
        self.stale_shards == 0
    }

    /// Failed items among those to compute.
    pub fn retries(&self) -> usize {
        self.reasons.iter().filter(|(reason, _)| matches!(reason, Reason::Retry(_))).map(|(_, n)| n).sum()
    }
}

/// The content of the file that a stage reads of an item: `None` when it must be hashed first, [`NO_CONTENT`] when there is
/// none to be hashed.
pub fn known_content(item: &Item, source: Source, digests: &Digests, depth: Depth) -> Option<Content> {
    known_contents(std::slice::from_ref(item), source, digests, depth).pop().expect("one of one")
}

/// The same of several.
fn known_contents(items: &[Item], source: Source, digests: &Digests, depth: Depth) -> Vec<Option<Content>> {
    let paths: Vec<Option<&Path>> = items.iter().map(|item| source.path(item)).collect();
    let there: Vec<&Path> = paths.iter().copied().flatten().collect();
    let mut known = digests.all_known(&there, depth == Depth::Glance).into_iter();
    // A file that cannot be looked at has no content; the worker finds out why and records it.
    let of = |path: Option<&Path>| match path {
        Some(_) => known.next().expect("one for each file").unwrap_or(Some(NO_CONTENT)),
        None => Some(NO_CONTENT),
    };
    paths.into_iter().map(of).collect()
}

/// Files that are looked up together.
const TOGETHER: usize = 64;

/// How closely a plan looks at the files that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// At every file, and damaged shards are renamed out of the way: for a run.
    Run,
    /// At every file; damaged shards are only reported.
    Look,
    /// Like [`Depth::Look`], but a media file that was hashed once is taken to be what it was then: asking a network file system about
    /// two million files takes minutes, and nothing is done on the strength of the answer.
    Glance,
}

/// How a plan looks at the store.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// Items per shard.
    pub shard_size: usize,
    /// How closely.
    pub depth: Depth,
    /// Which part of it the run takes up.
    pub part: &'a Part,
}

/// Which part of the work a run takes up, and what it does although it is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Causes of failures that are to be tried again although they are lasting; where there are any, nothing else is computed.
    pub retry: Vec<Cause>,
    /// Which items; `None`: all.
    pub items: Option<Vec<bool>>,
    /// Stages that only have to be there: nothing of them is computed.
    pub settled: Vec<&'static str>,
    /// Stages of which everything is computed again.
    pub force: Vec<&'static str>,
}

impl Part {
    fn tries_again(&self, cause: Cause) -> bool {
        cause.is_transient() || self.retry.contains(&cause)
    }

    /// Whether an item of a stage is to be computed in this run if it is due for this reason.
    fn takes_up(&self, stage: &str, item: usize, reason: &Reason) -> bool {
        let is_asked_for = self.retry.is_empty() || matches!(reason, Reason::Retry(_));
        is_asked_for && self.items.as_ref().is_none_or(|items| items[item]) && !self.settled.contains(&stage)
    }

    /// Whether an item that is good is to be computed again.
    fn forces(&self, stage: &str, item: usize) -> bool {
        self.force.contains(&stage) && self.takes_up(stage, item, &Reason::Forced)
    }
}

impl ShardPlan {
    /// Whether this run has anything to do with it: something to compute, or all that there is to copy.
    pub fn is_taken_up(&self) -> bool {
        let is_due = |states: &Vec<ItemState>| states.iter().any(|state| matches!(state, ItemState::Due(_)));
        self.stale.as_ref().is_some_and(|states| is_due(states) || !states.contains(&ItemState::LeftOut))
    }
}

/// Plans one item stage.
pub fn plan_stage(
    stage: &ItemStage,
    items: &[Item],
    work: &WorkDir,
    digests: &Digests,
    look: Look<'_>,
) -> error::Result<StagePlan> {
    let index = Index::open(work, stage.decl.id, look.depth == Depth::Run)?;
    let template = stage.template.clone();
    let contents: Vec<Option<Content>> = if stage.source == Source::Imported {
        imported_contents(stage.decl.id, items, &index, &template)?
    } else {
        items
            .par_chunks(TOGETHER)
            .flat_map_iter(|items| known_contents(items, stage.source, digests, look.depth))
            .collect()
    };
    let published: HashMap<&Path, usize> =
        index.files.iter().enumerate().map(|(i, file)| (file.path.as_path(), i)).collect();
    let pictures = match stage.pictures {
        Some(files) => PictureNames::list(&work.stage(stage.decl.id), files)?,
        None => PictureNames::none(),
    };
    let count = items.len().div_ceil(look.shard_size);
    let mut shards: Vec<ShardPlan> = (0..count)
        .into_par_iter()
        .map(|k| {
            let range = k * look.shard_size..((k + 1) * look.shard_size).min(items.len());
            let path = work.stage(stage.decl.id).join(shard_name(k, count));
            // Under one template equal contents are equal keys: no key is made where nothing is due.
            let current =
                published.get(path.as_path()).is_some_and(|at| {
                    let file = &index.files[*at];
                    file.template == template.text()
                        && file.items.len() == range.len()
                        && file.items.iter().zip(range.clone()).all(|(stored, i)| {
                            stored.id == items[i].id && contents[i].as_ref() == Some(&stored.content)
                        })
                        && !file.failures().any(|cause| look.part.tries_again(cause))
                        && file.items.iter().all(|item| pictures.has_all(&item.id, item.rows))
                });
            let current = current && !range.clone().any(|i| look.part.forces(stage.decl.id, i));
            ShardPlan { items: range, stale: if current { None } else { Some(Vec::new()) } }
        })
        .collect();
    drop(published);

    let mut plan = StagePlan {
        decl: stage.decl,
        source: stage.source,
        template,
        index,
        locations: HashMap::new(),
        pictures: PictureNames::none(),
        shards: Vec::new(),
        changes: Vec::new(),
        rows: OnceLock::new(),
    };
    if shards.iter().any(|shard| shard.stale.is_some()) {
        plan.locations = plan.index.locations();
        let history = History::new(&plan.index, &plan.template);
        shards.par_iter_mut().for_each(|shard| {
            let Some(states) = &mut shard.stale else { return };
            let state = |i: usize| match plan.state(&items[i], contents[i].as_ref(), &pictures, &history, look.part) {
                ItemState::Due(reason) if !look.part.takes_up(plan.decl.id, i, &reason) => ItemState::LeftOut,
                ItemState::Known(_) if look.part.forces(plan.decl.id, i) => ItemState::Due(Reason::Forced),
                state => state,
            };
            *states = shard.items.clone().map(state).collect();
        });
        plan.changes = history.changes;
    }
    plan.shards = shards;
    plan.pictures = pictures;
    Ok(plan)
}

/// The content of each item's imported values. Nothing of an imported stage is computed, so every item must have been there.
fn imported_contents(
    stage: &'static str,
    items: &[Item],
    index: &Index,
    template: &Template,
) -> error::Result<Vec<Option<Content>>> {
    let known = imported::contents(index, template);
    let contents: Vec<Option<Content>> = items.iter().map(|item| known.get(item.id.as_str()).copied()).collect();
    let mut without = items.iter().zip(&contents).filter(|(_, content)| content.is_none());
    let Some((first, _)) = without.next() else { return Ok(contents) };
    let message = format!(
        "its values were imported, and {} of the data set, first `{}`, were not part of it: run `pipeline import {stage}` again",
        crate::ui::plural(1 + without.count(), "item"),
        first.id
    );
    Err(error::Error::Stage { stage, message })
}

impl StagePlan {
    /// Whether the store has every shard as it is asked for.
    pub fn is_current(&self) -> bool {
        self.shards.iter().all(|shard| shard.stale.is_none())
    }

    /// The content that the key of an item is made of; `None` when its file must be hashed first.
    pub fn content(&self, item: &Item, digests: &Digests) -> Option<Content> {
        match self.source {
            Source::Imported => imported::contents(&self.index, &self.template).get(item.id.as_str()).copied(),
            source => known_content(item, source, digests, Depth::Look),
        }
    }

    fn state(
        &self,
        item: &Item,
        content: Option<&Content>,
        pictures: &PictureNames,
        history: &History<'_>,
        part: &Part,
    ) -> ItemState {
        let Some(content) = content else {
            // What failed before is tried again without being looked at first: it will be read anyway.
            let failed = history.failure(&item.id).filter(|cause| part.retry.contains(cause));
            return ItemState::Due(failed.map_or(Reason::NotHashed, Reason::Retry));
        };
        if let Some(at) = self.locations.get(&self.template.key(content)) {
            let known = self.index.item(*at);
            return match &known.failed {
                Some((cause, _)) if part.tries_again(*cause) => ItemState::Due(Reason::Retry(*cause)),
                None if !pictures.stand_behind(known, &item.id) => ItemState::Due(Reason::PictureMissing),
                _ => ItemState::Known(*at),
            };
        }
        ItemState::Due(history.reason(&item.id, content))
    }

    /// The counts.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { shards: self.shards.len(), ..Counts::default() };
        let count_known =
            |counts: &mut Counts, failed: bool| if failed { counts.failed += 1 } else { counts.done += 1 };
        let current: HashMap<usize, &crate::store::index::IndexedFile> = self
            .index
            .files
            .iter()
            .filter_map(|file| {
                let name = file.path.file_name()?.to_str()?;
                let (k, of) = crate::store::layout::parse_shard_name(name)?;
                (of == self.shards.len()).then_some((k, file))
            })
            .collect();
        for (k, shard) in self.shards.iter().enumerate() {
            counts.items += shard.items.len();
            match &shard.stale {
                None => {
                    for item in current.get(&k).map_or(&[][..], |file| &file.items) {
                        count_known(&mut counts, item.failed.is_some());
                    }
                }
                Some(states) => {
                    counts.stale_shards += usize::from(shard.is_taken_up());
                    for state in states {
                        match state {
                            ItemState::Known(at) => count_known(&mut counts, self.index.item(*at).failed.is_some()),
                            ItemState::LeftOut => counts.left_out += 1,
                            ItemState::Due(reason) => {
                                counts.due += 1;
                                counts.not_hashed += usize::from(*reason == Reason::NotHashed);
                                *counts.reasons.entry(reason.clone()).or_default() += 1;
                            }
                        }
                    }
                }
            }
        }
        counts
    }
}

/// What the store held under an id before: the reason for work on it.
struct History<'a> {
    /// Id → (template position, item), the latest file winning.
    by_id: HashMap<&'a str, (usize, &'a IndexedItem)>,
    /// Differences of each distinct old template, in order of first appearance.
    changes: Vec<Vec<Difference>>,
}

impl<'a> History<'a> {
    fn new(index: &'a Index, now: &Template) -> Self {
        let mut texts: Vec<&str> = Vec::new();
        let mut by_id = HashMap::new();
        // Shards stand before parts in the index; walking backwards lets the shard's word stand.
        for file in index.files.iter().rev() {
            let at = texts.iter().position(|t| *t == file.template).unwrap_or_else(|| {
                texts.push(&file.template);
                texts.len() - 1
            });
            by_id.extend(file.items.iter().map(|item| (item.id.as_str(), (at, item))));
        }
        let changes = texts
            .iter()
            .map(|text| {
                let old = serde_json::from_str(text).unwrap_or(serde_json::Value::Null);
                differences(&old, &now.value())
            })
            .collect();
        History { by_id, changes }
    }

    fn reason(&self, id: &str, content: &Content) -> Reason {
        match self.by_id.get(id) {
            Some((at, _)) if !self.changes[*at].is_empty() => Reason::ParametersChanged(*at),
            Some((_, old)) if old.content != *content => Reason::ContentChanged,
            _ => Reason::New,
        }
    }

    /// Why the item failed when it was last looked at, if it did.
    fn failure(&self, id: &str) -> Option<Cause> {
        self.by_id.get(id).and_then(|(_, item)| item.failed.as_ref()).map(|(cause, _)| *cause)
    }
}
