//! The ordered shard writer: the only thread that touches HDF5.
//!
//! Values arrive in any order. The writer keeps them until their shard is complete and publishes it, items in order of the
//! data set; every few seconds it publishes what is waiting as a part, so that a kill loses seconds. Rows that the store
//! already has are copied. The bytes of a shard depend on its items alone, never on the order of arrival or on how often the
//! run was interrupted.
//!
//! Other processes may work on the same directory. Nothing of theirs is trusted to stay where the plan saw it: a row is looked for by its key
//! wherever it is by now, and one that is nowhere any more is left to another pass ([`Tally::lost`]).

mod finished;
mod parts;
mod shards;
mod slot;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use contract::{ColumnSpec, Failure, Item};
use shard::Header;

use crate::error::{Error, Result};
use crate::events::{Event, Reporter};
use crate::key::{Key, canonical};
use crate::plan::{ItemState, StagePlan};
use crate::run::retract::Vouchers;
use crate::run::stored::{Source, StoredRows};
use crate::run::writer::slot::{Slot, bytes_of};
use crate::store::WorkDir;
use crate::store::index::{Index, Location};
use crate::store::publish::own_name;

pub use crate::run::writer::finished::{Finished, Outcome, Tally, ToWriter, WriterMessage};

/// Waiting rows of one stage are published as a part beyond this many bytes, whatever the clock says.
const PART_BYTES: usize = 64 << 20;

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
    /// Parts of this run and the shards that still need them.
    parts: Vec<(PathBuf, HashSet<usize>)>,
    /// The shards that this run published.
    published: BTreeSet<usize>,
    /// Counts for the end of the run.
    pub tally: Tally,
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
        let gone = vouchers.retract(&items[item].id, key, || parts.join(own_name("part") + ".h5"));
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
