//! The ordered shard writer: the only thread that touches HDF5.
//!
//! Values arrive in any order. The writer keeps them until their shard is complete and publishes it, items in order of the
//! data set; every few seconds it publishes what is waiting as a part, so that a kill loses seconds. Rows that the store
//! already has are copied. The bytes of a shard depend on its items alone, never on the order of arrival or on how often the
//! run was interrupted.
//!
//! Other processes may work on the same directory. Nothing of theirs is trusted to stay where the plan saw it: a row is looked for by its key
//! wherever it is by now, and one that is nowhere any more is left to another pass ([`Tally::lost`]).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use contract::{Cause, ColumnSpec, Failure, Item, Rows};
use crossbeam_channel::Sender;
use shard::{Entry, Header, Shard};

use crate::error::{Error, Result, ShardContext};
use crate::events::{Event, Reporter};
use crate::key::{Content, Key, canonical};
use crate::plan::{ItemState, StagePlan};
use crate::run::retract::Vouchers;
use crate::run::stored::{Source, StoredRows};
use crate::store::WorkDir;
use crate::store::digests::Stamp;
use crate::store::index::{Index, IndexedFile, IndexedItem, Location, identity};
use crate::store::publish::{Draft, host, remove, retire, sync_file_system};

/// Waiting rows of one stage are published as a part beyond this many bytes, whatever the clock says.
const PART_BYTES: usize = 64 << 20;

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
    /// Picture files of an item are about to be written under this key; the sender waits until `done`.
    Displacing {
        /// Position of the item in the data set.
        item: usize,
        /// The key of the new pictures.
        key: Key,
        /// Told when no row vouches for the old ones any more.
        done: Sender<()>,
    },
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

/// One item stage being written.
pub struct StageWriter<'a> {
    work: &'a WorkDir,
    items: &'a [Item],
    plan: &'a StagePlan,
    header: Header,
    reporter: &'a dyn Reporter,
    open: BTreeMap<usize, Vec<Slot>>,
    stored: StoredRows<'a>,
    /// For the stage that keeps pictures, once some are written.
    vouchers: Option<Vouchers<'a>>,
    waiting_bytes: usize,
    last_part: Instant,
    publish_every: Duration,
    names_given: usize,
    /// Parts of this run and the shards that still need them.
    parts: Vec<(PathBuf, HashSet<usize>)>,
    /// The shards that this run published.
    published: BTreeSet<usize>,
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
    /// Rows and shards that were in the store and are not any more: another process took them, or they were damaged. Another pass
    /// finds or computes them.
    pub lost: usize,
}

impl Tally {
    /// The tally of a run that needed another pass for what was lost in the one before.
    #[must_use]
    pub fn after(self, before: Tally) -> Tally {
        Tally { computed: before.computed + self.computed, copied: before.copied + self.copied, ..self }
    }
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
            stored: StoredRows::new(work, plan.decl.id, reporter),
            vouchers: None,
            waiting_bytes: 0,
            last_part: Instant::now(),
            publish_every,
            names_given: 0,
            parts: Vec::new(),
            published: BTreeSet::new(),
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
                ItemState::Known(at) => self.slot(*at),
                ItemState::Due(_) | ItemState::LeftOut => Slot::Open,
            })
            .collect();
        self.open.insert(shard, slots);
        self.publish_if_complete(shard)
    }

    /// Makes sure that no row of another key vouches for the pictures of this item.
    pub fn displace(&mut self, item: usize, key: &Key) -> Result<()> {
        let (plan, items) = (self.plan, self.items);
        let mut vouchers = self.vouchers.take().unwrap_or_else(|| Vouchers::new(plan, |item| items[item].id.as_str()));
        let parts = self.work.parts(plan.decl.id);
        let gone = vouchers.retract(&items[item].id, key, || parts.join(self.own_name("part")));
        self.vouchers = Some(vouchers);
        gone?.iter().for_each(|path| self.stored.close(path));
        Ok(())
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
            Outcome::Known(location) => self.slot(location),
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
        let complete = stale.clone().all(|(k, _)| self.published.contains(&k));
        if stale.count() > 0 || self.plan.index.files.len() != self.plan.shards.len() {
            self.put_away(complete)?;
        }
        let index = Index::open(self.work, self.plan.decl.id, true)?;
        if index.is_changed() {
            index.save()?;
        }
        // Shards of another size or data set in their place are those of a process that ended later. None at all: two have put away each
        // other's, and this one publishes again.
        let parts = self.work.parts(self.plan.decl.id);
        if complete && index.files.iter().all(|file| file.path.starts_with(&parts)) {
            self.tally.lost += self.plan.shards.len();
        }
        Ok(self.tally)
    }

    /// Where the shards of the plan lie.
    fn shard_paths(&self) -> Vec<PathBuf> {
        let count = self.plan.shards.len();
        (0..count).map(|k| self.work.shard(self.plan.decl.id, k, count)).collect()
    }

    fn slot(&self, at: Location) -> Slot {
        let file = &self.plan.index.files[at.file];
        let item = &file.items[at.item];
        let source = Source { path: file.path.clone(), position: at.item };
        Slot::Stored { source, key: item.key, content: item.content, copied: true }
    }

    fn publish_if_complete(&mut self, shard: usize) -> Result<()> {
        if self.open.get(&shard).is_some_and(|slots| !slots.iter().any(|slot| matches!(slot, Slot::Open))) {
            let mut slots = self.open.remove(&shard).expect("just seen");
            let published = self.publish_shard(shard, &mut slots);
            if !matches!(published, Ok(true)) {
                // What it holds is still to become a part.
                self.open.insert(shard, slots);
            }
            published?;
        }
        Ok(())
    }

    /// Publishes a shard of which every item is known; `false` when one of them is not in the store any more.
    fn publish_shard(&mut self, shard: usize, slots: &mut [Slot]) -> Result<bool> {
        let range = self.plan.shards[shard].items.clone();
        let ids = self.items[range.clone()].iter().map(|item| item.id.as_str());
        let identity = identity(ids.zip(slots.iter().map(key_of)));
        let path = self.work.shard(self.plan.decl.id, shard, self.plan.shards.len());
        let copied = slots.iter().filter(|slot| matches!(slot, Slot::Stored { copied: true, .. })).count();
        if let Some(there) = self.stored.look(&path, &self.plan.index)? {
            if there.identity == identity && copied == slots.len() && !there.failures().any(Cause::is_transient) {
                // The files had to be hashed to see it, but nothing has changed.
                self.tally.reused += slots.len();
                self.published.insert(shard);
                return Ok(true);
            }
            self.prefer_successes(slots, &there);
        }
        let mut header = self.header.clone();
        header.position = Some((shard as u32, self.plan.shards.len() as u32));
        self.sync_pictures()?;
        let members: Vec<(usize, &Slot)> = range.clone().zip(&*slots).collect();
        let draft = Draft::begin(&path)?;
        if let Some(lost) = self.write(draft.temporary(), &header, &members)? {
            slots[lost - range.start] = Slot::Open;
            self.tally.lost += 1;
            return Ok(false);
        }
        draft.sync()?;
        // Looked at again now, since another process may have published it while this one wrote.
        if let Some(there) = self.stored.look(&path, &self.plan.index)? {
            self.supersede(&there, slots)?;
        }
        draft.publish()?;
        self.published.insert(shard);
        self.tally.copied += copied;
        self.waiting_bytes -= slots.iter().map(waiting_bytes).sum::<usize>();
        self.reporter.report(&Event::Shard { stage: self.plan.decl.id, path, items: slots.len() });
        self.drop_swallowed_parts(shard)?;
        Ok(true)
    }

    /// An item that failed here may have a value in the shard that another process has published meanwhile.
    fn prefer_successes(&mut self, slots: &mut [Slot], there: &IndexedFile) {
        for slot in slots.iter_mut().filter(|slot| has_failed(slot)) {
            let Slot::Waiting(Finished { key, content, .. }) = slot else { continue };
            let position = there.items.iter().position(|item| item.key == *key && item.failed.is_none());
            if let Some(position) = position {
                let source = Source { path: there.path.clone(), position };
                let (key, content) = (*key, *content);
                self.waiting_bytes -= waiting_bytes(slot);
                *slot = Slot::Stored { source, key, content, copied: false };
            }
        }
    }

    /// Removes the parts of this run that only the shard just published still needed.
    fn drop_swallowed_parts(&mut self, shard: usize) -> Result<()> {
        for (_, needed_by) in &mut self.parts {
            needed_by.remove(&shard);
        }
        for (path, _) in self.parts.extract_if(.., |(_, needed_by)| needed_by.is_empty()) {
            self.stored.close(&path);
            remove(&path)?;
        }
        Ok(())
    }

    /// A shard that is about to be replaced may hold rows that the new one does not: it goes to the parts first, so that
    /// at no instant such a row is nowhere.
    fn supersede(&mut self, old: &IndexedFile, slots: &[Slot]) -> Result<()> {
        let kept: HashSet<&Key> = slots.iter().filter(|slot| !has_failed(slot)).map(key_of).collect();
        if old.items.iter().all(|item| item.failed.is_some() || kept.contains(&item.key)) {
            // The rename replaces it.
            return Ok(());
        }
        if let Some(aside) = self.put_aside(&old.path)? {
            self.stored.has_moved(&old.path, aside);
        }
        Ok(())
    }

    /// Gives a shard a name among the parts that nobody has; `None` when it is gone already.
    fn put_aside(&mut self, path: &Path) -> Result<Option<PathBuf>> {
        let aside = self.work.parts(self.plan.decl.id).join(self.own_name("superseded"));
        Ok(retire(path, &aside)?.then_some(aside))
    }

    /// Writes a shard or part, and checks it. `Some`: this item is in the store no longer, and nothing is finished.
    fn write(&mut self, path: &Path, header: &Header, members: &[(usize, &Slot)]) -> Result<Option<usize>> {
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
                    let Some(outcome) = self.stored.load(source, key)? else { return Ok(Some(*item)) };
                    writer
                        .push(Entry { id, key: *key, content: *content, outcome: outcome.as_ref() })
                        .in_shard(path)?;
                }
            }
        }
        writer.finish().in_shard(path)?;
        Shard::open(path).and_then(|shard| shard.check()).in_shard(path)?;
        Ok(None)
    }

    /// Publishes everything that waits in memory as one part and forgets the values.
    fn publish_part(&mut self) -> Result<()> {
        self.last_part = Instant::now();
        let open = std::mem::take(&mut self.open);
        let published = self.publish_waiting(&open);
        self.open = open;
        let Some(path) = published? else { return Ok(()) };
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

    /// Writes the part; `None` where nothing waits.
    fn publish_waiting(&mut self, open: &BTreeMap<usize, Vec<Slot>>) -> Result<Option<PathBuf>> {
        let members: Vec<(usize, &Slot)> = open
            .iter()
            .flat_map(|(shard, slots)| self.plan.shards[*shard].items.clone().zip(slots))
            .filter(|(_, slot)| matches!(slot, Slot::Waiting(_)))
            .collect();
        if members.is_empty() {
            return Ok(None);
        }
        let header = self.header.clone();
        let path = self.work.parts(self.plan.decl.id).join(self.own_name("part"));
        self.sync_pictures()?;
        let draft = Draft::begin(&path)?;
        self.write(draft.temporary(), &header, &members)?;
        draft.sync()?;
        draft.publish()?;
        self.reporter.report(&Event::Part { stage: self.plan.decl.id, items: members.len() });
        Ok(Some(path))
    }

    /// Picture files are placed without waiting for the disk; they are made durable together, before rows vouch for them.
    fn sync_pictures(&self) -> Result<()> {
        let folder = self.work.stage(extract_frames::DECL.id);
        if self.plan.decl.id == extract_frames::DECL.id && folder.exists() { sync_file_system(&folder) } else { Ok(()) }
    }

    /// A file name that no other process and no other file of this one has.
    fn own_name(&mut self, kind: &str) -> String {
        self.names_given += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        format!("{kind}-{now:014}-{}-{}-{}.h5", host(), std::process::id(), self.names_given)
    }

    /// Removes parts and superseded shards whose every value a published shard holds. Once all shards are published, shards
    /// of another count go to the parts, where `gc` finds them: a row is never thrown away by a run.
    fn put_away(&mut self, complete: bool) -> Result<()> {
        let index = Index::open(self.work, self.plan.decl.id, true)?;
        let names: HashSet<PathBuf> = self.shard_paths().into_iter().collect();
        let (holders, others): (Vec<_>, Vec<_>) = index.files.iter().partition(|file| names.contains(&file.path));
        let held: HashSet<&Key> = holders.iter().flat_map(|file| file.items.iter().map(|item| &item.key)).collect();
        // A failure of an unfinished run is worth keeping: it need not be found out again.
        let disposable = |item: &IndexedItem| held.contains(&item.key) || (complete && item.failed.is_some());
        let mut superseded = Vec::new();
        for file in others {
            let all_disposable = file.items.iter().all(disposable);
            if file.path.starts_with(self.work.parts(self.plan.decl.id)) {
                if all_disposable {
                    remove(&file.path)?;
                }
            } else if complete
                && let Some(aside) = self.put_aside(&file.path)?
                && all_disposable
            {
                superseded.push((file.stamp(), aside));
            }
        }
        // Two processes with shards of different sizes may do this to each other: whoever finds its own still there after it has moved
        // the other's away is the only one to remove.
        let standing = |file: &&IndexedFile| Stamp::of(&file.path).is_ok_and(|now| now == file.stamp());
        if holders.iter().all(standing) {
            for (stamp, aside) in superseded {
                if Stamp::of(&aside).is_ok_and(|now| now.is_same_file(&stamp)) {
                    remove(&aside)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether it is a failure of this run.
fn has_failed(slot: &Slot) -> bool {
    matches!(slot, Slot::Waiting(Finished { outcome: Outcome::Computed(Err(_)), .. }))
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
