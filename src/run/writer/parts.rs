//! What waits for its shard goes to a part, and what published shards hold goes from there.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::Instant;

use crate::error::Result;
use crate::events::Event;
use crate::key::Key;
use crate::run::stored::Source;
use crate::run::writer::slot::Slot;
use crate::run::writer::{Finished, StageWriter};
use crate::store::digests::Stamp;
use crate::store::index::{Index, IndexedFile, IndexedItem};
use crate::store::publish::{Draft, own_name, remove, sync_file_system};

impl StageWriter<'_> {
    /// Publishes everything that waits in memory as one part and forgets the values.
    pub(super) fn publish_part(&mut self) -> Result<()> {
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
    pub(super) fn publish_waiting(&mut self, open: &BTreeMap<usize, Vec<Slot>>) -> Result<Option<PathBuf>> {
        let members: Vec<(usize, &Slot)> = open
            .iter()
            .flat_map(|(shard, slots)| self.plan.shards[*shard].items.clone().zip(slots))
            .filter(|(_, slot)| matches!(slot, Slot::Waiting(_)))
            .collect();
        if members.is_empty() {
            return Ok(None);
        }
        let header = self.header.clone();
        let path = self.work.parts(self.plan.decl.id).join(own_name("part") + ".h5");
        self.sync_pictures()?;
        let draft = Draft::begin(&path)?;
        self.write(draft.temporary(), &header, &members)?;
        draft.sync()?;
        draft.publish()?;
        self.reporter.report(&Event::Part { stage: self.plan.decl.id, items: members.len() });
        Ok(Some(path))
    }

    /// Picture files are placed without waiting for the disk; they are made durable together, before rows vouch for them.
    pub(super) fn sync_pictures(&self) -> Result<()> {
        let folder = self.work.stage(extract_frames::DECL.id);
        if self.plan.decl.id == extract_frames::DECL.id && folder.exists() { sync_file_system(&folder) } else { Ok(()) }
    }

    /// Removes parts and superseded shards whose every value a published shard holds. Once all shards are published, shards
    /// of another count go to the parts, where `gc` finds them: a row is never thrown away by a run.
    pub(super) fn put_away(&mut self, complete: bool) -> Result<()> {
        let index = Index::open(self.work, self.plan.decl.id, true)?;
        let names: HashSet<PathBuf> = self.shard_paths().into_iter().collect();
        let (holders, others): (Vec<_>, Vec<_>) = index.files.iter().partition(|file| names.contains(&file.path));
        let rows = || holders.iter().flat_map(|file| &file.items);
        let held: HashSet<&Key> = rows().map(|item| &item.key).collect();
        let values: HashSet<&Key> = rows().filter(|item| item.failed.is_none()).map(|item| &item.key).collect();
        // A failure of an unfinished run is worth keeping: it need not be found out again.
        let disposable = |item: &IndexedItem| match item.failed {
            None => values.contains(&item.key),
            Some(_) => complete || held.contains(&item.key),
        };
        let mut superseded = Vec::new();
        for file in others {
            let all_disposable = file.items.iter().all(disposable);
            let is_part = file.path.starts_with(self.work.parts(self.plan.decl.id));
            if (if is_part { all_disposable } else { complete })
                && let Some(aside) = self.put_aside(&file.path)?
                && all_disposable
            {
                superseded.push((file.stamp(), aside));
            }
        }
        // Two processes with shards of different sizes may do this to each other: whoever finds its own still there after it has moved
        // the other's away is the only one to remove. And a part may be the very shard that is thought to hold its values, exchanged for another one
        // while the store was listed.
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
