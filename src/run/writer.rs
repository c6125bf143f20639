//! The ordered shard writer: the only thread that touches HDF5.
//!
//! Values arrive in any order. The writer keeps them until their shard is complete and publishes it, items in order of the
//! data set; every few seconds it publishes what is waiting as a part, so that a kill loses seconds. Rows that the store
//! already has are copied. The bytes of a shard depend on its items alone, never on the order of arrival or on how often the
//! run was interrupted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use contract::{ColumnSpec, Failure, Item, Rows};
use shard::{Entry, Header, Shard};

use crate::error::{Error, Result, ShardContext};
use crate::events::{Event, Reporter};
use crate::key::{Content, Key, canonical};
use crate::plan::{ItemState, StagePlan};
use crate::store::WorkDir;
use crate::store::index::{Index, IndexedFile, IndexedItem, Location, identity};
use crate::store::publish::{host, publish, remove, retire, sync_file_system};

/// Waiting rows of one stage are published as a part beyond this many bytes, whatever the clock says.
const PART_BYTES: usize = 64 << 20;

/// Shards kept open for copying.
const OPEN_SOURCES: usize = 8;

/// What became of an item.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Computed now.
    Computed(Result<Rows, Failure>),
    /// Found in the store once the file was hashed.
    Known(Location),
}

/// An outcome on its way to the writer.
#[derive(Debug)]
pub struct Finished {
    /// Position of the item in the data set.
    pub item: usize,
    /// Its key.
    pub key: Key,
    /// The content that it was made of.
    pub content: Content,
    /// The value.
    pub outcome: Outcome,
}

impl Finished {
    /// Whether it was tried and failed.
    pub fn is_failure(&self) -> bool {
        matches!(self.outcome, Outcome::Computed(Err(_)))
    }
}

/// What the writer is told.
#[derive(Debug)]
pub enum WriterMessage {
    /// A stale shard is about to be fed.
    Begin(usize),
    /// An item is finished.
    Finished(Finished),
}

/// A message to the writer, with the position of its stage in the run's list.
pub type ToWriter = (usize, WriterMessage);

/// What is known of one item of an open shard.
enum Slot {
    /// Nothing yet.
    Open,
    /// In a file of the store; `copied` when it was there before this run.
    Stored { source: Source, key: Key, content: Content, copied: bool },
    /// In memory.
    Waiting(Finished),
}

/// A row in a file: where, and at which position.
#[derive(Clone)]
struct Source {
    path: PathBuf,
    position: usize,
}

/// One item stage being written.
pub struct StageWriter<'a> {
    work: &'a WorkDir,
    items: &'a [Item],
    plan: &'a StagePlan,
    header: Header,
    reporter: &'a dyn Reporter,
    open: BTreeMap<usize, Vec<Slot>>,
    /// Where superseded shards went during this run.
    moved: HashMap<PathBuf, PathBuf>,
    sources: Vec<(PathBuf, Shard)>,
    waiting_bytes: usize,
    last_part: Instant,
    publish_every: Duration,
    parts_written: usize,
    /// Parts of this run and the shards that still need them.
    parts: Vec<(PathBuf, HashSet<usize>)>,
    /// Index entries of the shards that this run published.
    published: BTreeMap<usize, IndexedFile>,
    /// Counts for the end of the run.
    pub tally: Tally,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Values and failures computed.
    pub computed: usize,
    /// Rows copied from elsewhere in the store.
    pub copied: usize,
    /// Items in shards that were current.
    pub reused: usize,
    /// Failures among the items that came to the writer one by one.
    pub failed: usize,
}

impl<'a> StageWriter<'a> {
    /// A writer for what the plan says is stale.
    pub fn new(
        work: &'a WorkDir,
        items: &'a [Item],
        plan: &'a StagePlan,
        columns: Vec<ColumnSpec>,
        publish_every: Duration,
        reporter: &'a dyn Reporter,
    ) -> Self {
        let header = Header {
            stage: plan.decl.id.to_string(),
            version: plan.decl.version,
            key_template: plan.template.text().to_string(),
            columns,
            attributes: provenance(plan),
            position: None,
        };
        let reused = plan.shards.iter().filter(|s| s.stale.is_none()).map(|s| s.items.len()).sum();
        StageWriter {
            work,
            items,
            plan,
            header,
            reporter,
            open: BTreeMap::new(),
            moved: HashMap::new(),
            sources: Vec::new(),
            waiting_bytes: 0,
            last_part: Instant::now(),
            publish_every,
            parts_written: 0,
            parts: Vec::new(),
            published: BTreeMap::new(),
            tally: Tally { reused, ..Tally::default() },
        }
    }

    /// The stage.
    pub fn id(&self) -> &'static str {
        self.plan.decl.id
    }

    /// Starts a stale shard: what the plan knows of it is in place, and if that is all, it is published at once.
    pub fn begin(&mut self, shard: usize) -> Result<()> {
        let Some(states) = &self.plan.shards[shard].stale else { return Ok(()) };
        let slots = states
            .iter()
            .map(|state| match state {
                ItemState::Known(at) => self.stored(*at),
                ItemState::Due(_) | ItemState::LeftOut => Slot::Open,
            })
            .collect();
        self.open.insert(shard, slots);
        self.publish_if_complete(shard)
    }

    /// Takes an outcome.
    pub fn take(&mut self, finished: Finished) -> Result<()> {
        let shard_size = self.plan.shards[0].items.len();
        let shard = finished.item / shard_size;
        let at = finished.item - self.plan.shards[shard].items.start;
        let failure = match &finished.outcome {
            Outcome::Computed(outcome) => outcome.as_ref().err().cloned(),
            Outcome::Known(at) => {
                let failed = self.plan.index.item(*at).failed.as_ref();
                failed.map(|(cause, message)| Failure::new(*cause, message.clone()))
            }
        };
        let copied = matches!(finished.outcome, Outcome::Known(_));
        self.tally.computed += usize::from(!copied);
        self.tally.failed += usize::from(failure.is_some());
        self.reporter.report(&Event::Item {
            stage: self.plan.decl.id,
            id: self.items[finished.item].id.clone(),
            failure,
            copied,
        });
        let slot = match finished.outcome {
            Outcome::Known(location) => self.stored(location),
            Outcome::Computed(_) => {
                self.waiting_bytes += bytes_of(&finished.outcome);
                Slot::Waiting(finished)
            }
        };
        let slots = self.open.get_mut(&shard).ok_or_else(|| Error::Internal(format!("shard {shard} was not begun")))?;
        slots[at] = slot;
        self.publish_if_complete(shard)
    }

    /// Publishes a part if it is time.
    pub fn tick(&mut self) -> Result<()> {
        if self.waiting_bytes > PART_BYTES || (self.waiting_bytes > 0 && self.last_part.elapsed() >= self.publish_every)
        {
            self.publish_part()?;
        }
        Ok(())
    }

    /// Ends the stage: what waits becomes a part, what is superseded is put away, and the index is published.
    pub fn finish(mut self) -> Result<Tally> {
        if self.plan.is_current() && self.plan.index.files.len() == self.plan.shards.len() {
            // The store is what the plan saw: nothing is read again.
            if self.plan.index.is_changed() {
                self.plan.index.save()?;
            }
            return Ok(self.tally);
        }
        self.publish_part()?;
        let stale = self.plan.shards.iter().enumerate().filter(|(_, s)| s.stale.is_some());
        let complete = stale.clone().all(|(k, _)| self.published.contains_key(&k));
        if stale.count() > 0 || self.plan.index.files.len() != self.plan.shards.len() {
            self.put_away(complete)?;
        }
        let index = Index::open(self.work, self.plan.decl.id, true)?;
        if index.is_changed() {
            index.save()?;
        }
        Ok(self.tally)
    }

    fn stored(&self, at: Location) -> Slot {
        let file = &self.plan.index.files[at.file];
        let item = &file.items[at.item];
        let source = Source { path: file.path.clone(), position: at.item };
        Slot::Stored { source, key: item.key, content: item.content, copied: true }
    }

    fn publish_if_complete(&mut self, shard: usize) -> Result<()> {
        if self.open.get(&shard).is_some_and(|slots| !slots.iter().any(|slot| matches!(slot, Slot::Open))) {
            let slots = self.open.remove(&shard).expect("just seen");
            self.publish_shard(shard, &slots)?;
        }
        Ok(())
    }

    fn publish_shard(&mut self, shard: usize, slots: &[Slot]) -> Result<()> {
        let range = self.plan.shards[shard].items.clone();
        let ids = self.items[range.clone()].iter().map(|item| item.id.as_str());
        let identity = identity(ids.zip(slots.iter().map(key_of)));
        let path = self.work.shard(self.plan.decl.id, shard, self.plan.shards.len());
        let old = self.plan.index.file(&path);
        let copied = slots.iter().filter(|slot| matches!(slot, Slot::Stored { copied: true, .. })).count();
        if let Some(old) = old.filter(|old| old.identity == identity && copied == slots.len()) {
            // The files had to be hashed to see it, but nothing has changed.
            self.tally.reused += slots.len();
            self.published.insert(shard, old.clone());
            return Ok(());
        }
        if let Some(old) = old {
            self.supersede(old, slots)?;
        }
        let mut header = self.header.clone();
        header.position = Some((shard as u32, self.plan.shards.len() as u32));
        let members: Vec<(usize, &Slot)> = range.zip(slots).collect();
        self.sync_pictures()?;
        publish(&path, |temporary| self.write(temporary, &header, &members))?;
        self.published.insert(shard, IndexedFile::read(&path)?);
        self.tally.copied += copied;
        self.waiting_bytes -= members.iter().map(|(_, slot)| waiting_bytes(slot)).sum::<usize>();
        self.reporter.report(&Event::Shard { stage: self.plan.decl.id, path, items: slots.len() });
        self.drop_swallowed_parts(shard)
    }

    /// Removes the parts of this run that only the shard just published still needed.
    fn drop_swallowed_parts(&mut self, shard: usize) -> Result<()> {
        for (_, needed_by) in &mut self.parts {
            needed_by.remove(&shard);
        }
        for (path, _) in self.parts.extract_if(.., |(_, needed_by)| needed_by.is_empty()) {
            self.sources.retain(|(open, _)| *open != path);
            remove(&path)?;
        }
        Ok(())
    }

    /// A shard that is about to be replaced may hold rows that the new one does not: it goes to the parts first, so that
    /// at no instant such a row is nowhere.
    fn supersede(&mut self, old: &IndexedFile, slots: &[Slot]) -> Result<()> {
        let kept: HashSet<&Key> = slots.iter().map(key_of).collect();
        if old.items.iter().all(|item| item.failed.is_some() || kept.contains(&item.key)) {
            // Still needed as a source while the new one is written; the rename then replaces it.
            return Ok(());
        }
        let name = format!("superseded-{}.h5", blake3::Hash::from_bytes(old.identity).to_hex());
        let aside = self.work.parts(self.plan.decl.id).join(name);
        retire(&old.path, &aside)?;
        self.moved.insert(old.path.clone(), aside);
        Ok(())
    }

    fn write(&mut self, path: &Path, header: &Header, members: &[(usize, &Slot)]) -> Result<()> {
        let mut writer = shard::Writer::create(path, header, Some(members.len())).in_shard(path)?;
        for (item, slot) in members {
            let id = self.items[*item].id.as_str();
            match slot {
                Slot::Open => return Err(Error::Internal(format!("{id} has no value to write"))),
                Slot::Waiting(Finished { key, content, outcome: Outcome::Computed(outcome), .. }) => {
                    writer
                        .push(Entry { id, key: *key, content: *content, outcome: outcome.as_ref() })
                        .in_shard(path)?;
                }
                Slot::Waiting(_) => return Err(Error::Internal(format!("{id} is known and waiting at once"))),
                Slot::Stored { source, key, content, .. } => {
                    let outcome = self.load(source)?;
                    writer
                        .push(Entry { id, key: *key, content: *content, outcome: outcome.as_ref() })
                        .in_shard(path)?;
                }
            }
        }
        writer.finish().in_shard(path)?;
        Shard::open(path).and_then(|shard| shard.check()).in_shard(path)
    }

    /// Reads a row out of the store.
    fn load(&mut self, source: &Source) -> Result<Result<Rows, Failure>> {
        let path = self.moved.get(&source.path).unwrap_or(&source.path).clone();
        if !self.sources.iter().any(|(open, _)| *open == path) {
            if self.sources.len() == OPEN_SOURCES {
                self.sources.remove(0);
            }
            let shard = Shard::open(&path).in_shard(&path)?;
            self.sources.push((path.clone(), shard));
        }
        let (_, shard) = self.sources.iter().find(|(open, _)| *open == path).expect("just opened");
        match &shard.items()[source.position].outcome {
            Ok(_) => Ok(Ok(shard.rows(source.position).in_shard(&path)?)),
            Err(failure) => Ok(Err(failure.clone())),
        }
    }

    /// Publishes everything that waits in memory as one part and forgets the values.
    fn publish_part(&mut self) -> Result<()> {
        self.last_part = Instant::now();
        let open = std::mem::take(&mut self.open);
        let members: Vec<(usize, &Slot)> = open
            .iter()
            .flat_map(|(shard, slots)| self.plan.shards[*shard].items.clone().zip(slots))
            .filter(|(_, slot)| matches!(slot, Slot::Waiting(_)))
            .collect();
        if members.is_empty() {
            self.open = open;
            return Ok(());
        }
        let header = self.header.clone();
        let path = self.work.parts(self.plan.decl.id).join(self.part_name());
        self.sync_pictures()?;
        publish(&path, |temporary| self.write(temporary, &header, &members))?;
        self.reporter.report(&Event::Part { stage: self.plan.decl.id, items: members.len() });
        self.open = open;
        let mut position = 0;
        let mut needed_by = HashSet::new();
        for (shard, slot) in self.open.iter_mut().flat_map(|(shard, slots)| slots.iter_mut().map(|slot| (*shard, slot)))
        {
            if let Slot::Waiting(Finished { key, content, .. }) = slot {
                let source = Source { path: path.clone(), position };
                *slot = Slot::Stored { source, key: *key, content: *content, copied: false };
                position += 1;
                needed_by.insert(shard);
            }
        }
        self.parts.push((path, needed_by));
        self.waiting_bytes = 0;
        Ok(())
    }

    /// Picture files are placed without waiting for the disk; they are made durable together, before rows vouch for them.
    fn sync_pictures(&self) -> Result<()> {
        let folder = self.work.stage(extract_frames::DECL.id);
        if self.plan.decl.id == extract_frames::DECL.id && folder.exists() { sync_file_system(&folder) } else { Ok(()) }
    }

    fn part_name(&mut self) -> String {
        self.parts_written += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        format!("part-{now:014}-{}-{}-{}.h5", host(), std::process::id(), self.parts_written)
    }

    /// Removes parts and superseded shards whose every value a published shard holds. Once all shards are published, shards
    /// of another count go to the parts, where `gc` finds them: a row is never thrown away by a run.
    fn put_away(&mut self, complete: bool) -> Result<()> {
        let index = Index::open(self.work, self.plan.decl.id, true)?;
        let names: HashSet<PathBuf> = (0..self.plan.shards.len())
            .map(|k| self.work.shard(self.plan.decl.id, k, self.plan.shards.len()))
            .collect();
        let held: HashSet<&Key> = index
            .files
            .iter()
            .filter(|f| names.contains(&f.path))
            .flat_map(|f| f.items.iter().map(|i| &i.key))
            .collect();
        for file in index.files.iter().filter(|f| !names.contains(&f.path)) {
            let is_part = file.path.starts_with(self.work.parts(self.plan.decl.id));
            if !complete && !is_part {
                continue;
            }
            // A failure of an unfinished run is worth keeping: it need not be found out again.
            let disposable = |item: &IndexedItem| held.contains(&item.key) || (complete && item.failed.is_some());
            if file.items.iter().all(disposable) {
                remove(&file.path)?;
            } else if !is_part {
                let name = format!("superseded-{}.h5", blake3::Hash::from_bytes(file.identity).to_hex());
                retire(&file.path, &self.work.parts(self.plan.decl.id).join(name))?;
            }
        }
        Ok(())
    }
}

/// What a reader without this program may want to know; all of it is the same for every writer of the same shard.
fn provenance(plan: &StagePlan) -> BTreeMap<String, String> {
    let preimage = plan.template.value();
    BTreeMap::from([
        ("tool".to_string(), format!("pipeline {}", env!("CARGO_PKG_VERSION"))),
        ("parameters".to_string(), canonical(&preimage["params"])),
        ("facts".to_string(), canonical(&preimage["facts"])),
    ])
}

fn key_of(slot: &Slot) -> &Key {
    match slot {
        Slot::Stored { key, .. } | Slot::Waiting(Finished { key, .. }) => key,
        Slot::Open => unreachable!("only complete shards are asked for their keys"),
    }
}

fn waiting_bytes(slot: &Slot) -> usize {
    match slot {
        Slot::Waiting(finished) => bytes_of(&finished.outcome),
        _ => 0,
    }
}

/// What an outcome costs in memory, at least 1 so that a failure, too, is worth a part.
fn bytes_of(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Computed(Ok(rows)) => 1 + rows.columns.iter().map(|c| c.values.len() * 4).sum::<usize>(),
        _ => 1,
    }
}
