//! A complete shard takes its name. Another process may have published one there meanwhile: what that has and this one lacks is kept.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use contract::Cause;
use shard::{Entry, Header, Shard};

use crate::error::{Error, Result, ShardContext};
use crate::events::Event;
use crate::key::Key;
use crate::run::stored::Source;
use crate::run::writer::slot::{Slot, has_failed, key_of, waiting_bytes};
use crate::run::writer::{Finished, Outcome, StageWriter};
use crate::store::index::{IndexedFile, identity};
use crate::store::publish::{Draft, Published, own_name, remove, retire};

impl StageWriter<'_> {
    /// Publishes a shard of which every item is known; `false` when one of them is not in the store any more.
    pub(super) fn publish_shard(&mut self, shard: usize, slots: &mut [Slot]) -> Result<bool> {
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
        let aside = self.work.parts(self.plan.decl.id).join(own_name("superseded") + ".h5");
        match draft.publish_beside(&aside)? {
            Published::New => {}
            Published::Displacing => self.let_go(&path, aside, slots)?,
            Published::Taken => {
                self.tally.lost += 1;
                return Ok(false);
            }
            Published::Unable(draft) => {
                // What another process publishes between this look and the name costs its values.
                if let Some(there) = self.stored.look(&path, &self.plan.index)? {
                    self.supersede(&there, slots)?;
                }
                draft.publish()?;
            }
        }
        self.published.insert(shard);
        self.tally.copied += copied;
        self.waiting_bytes -= slots.iter().map(waiting_bytes).sum::<usize>();
        self.reporter.report(&Event::Shard { stage: self.plan.decl.id, path, items: slots.len() });
        self.drop_swallowed_parts(shard)?;
        Ok(true)
    }

    /// An item that failed here may have a value in the shard that another process has published meanwhile.
    pub(super) fn prefer_successes(&mut self, slots: &mut [Slot], there: &IndexedFile) {
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
    pub(super) fn drop_swallowed_parts(&mut self, shard: usize) -> Result<()> {
        for (_, needed_by) in &mut self.parts {
            needed_by.remove(&shard);
        }
        for (path, _) in self.parts.extract_if(.., |(_, needed_by)| needed_by.is_empty()) {
            self.stored.close(&path);
            remove(&path)?;
        }
        Ok(())
    }

    /// A shard that was replaced stays among the parts if it holds rows that the new one does not.
    fn let_go(&mut self, path: &Path, aside: PathBuf, slots: &[Slot]) -> Result<()> {
        match self.stored.look(&aside, &self.plan.index)? {
            Some(old) if !is_held(&old, slots) => self.stored.has_moved(path, aside),
            Some(_) => {
                self.stored.close(path);
                remove(&aside)?;
            }
            // Damaged and set aside, or taken by another process.
            None => {}
        }
        Ok(())
    }

    /// A shard that is about to be replaced may hold rows that the new one does not: it goes to the parts first, so that
    /// at no instant such a row is nowhere.
    pub(super) fn supersede(&mut self, old: &IndexedFile, slots: &[Slot]) -> Result<()> {
        if is_held(old, slots) {
            // The rename replaces it.
            return Ok(());
        }
        if let Some(aside) = self.put_aside(&old.path)? {
            self.stored.has_moved(&old.path, aside);
        }
        Ok(())
    }

    /// Gives a shard a name among the parts that nobody has; `None` when it is gone already.
    pub(super) fn put_aside(&mut self, path: &Path) -> Result<Option<PathBuf>> {
        let aside = self.work.parts(self.plan.decl.id).join(own_name("superseded") + ".h5");
        Ok(retire(path, &aside)?.then_some(aside))
    }

    /// Writes a shard or part, and checks it. `Some`: this item is in the store no longer, and nothing is finished.
    pub(super) fn write(&mut self, path: &Path, header: &Header, members: &[(usize, &Slot)]) -> Result<Option<usize>> {
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
}

/// Whether every value of a shard is among those of the one that takes its place.
fn is_held(old: &IndexedFile, slots: &[Slot]) -> bool {
    let kept: HashSet<&Key> = slots.iter().filter(|slot| !has_failed(slot)).map(key_of).collect();
    old.items.iter().all(|item| item.failed.is_some() || kept.contains(&item.key))
}
