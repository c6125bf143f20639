//! The pictures of a clip: heard from the worker or taken from those that were kept, placed as files, handed on as windows.

use std::path::PathBuf;

use contract::Failure;
use crossbeam_channel::bounded;
use encode_clip::Preprocess;
use extract_frames::Pick;

use crate::error::Error;
use crate::key::NO_CONTENT;
use crate::run::clip::ended::{Ended, Interrupted};
use crate::run::clip::job::{Hand, Job};
use crate::run::clip::{Lane, confused};
use crate::run::writer::{Outcome, WriterMessage};
use crate::store::publish::place_bytes;
use crate::worker::MediaWorker;
use crate::worker::protocol::{Reply, Wanted};

impl Lane<'_> {
    /// Takes each picture as it comes: memory does not grow with the length of the clip.
    pub(super) fn hear_pictures(
        &mut self,
        job: &mut Job<'_>,
        wanted: Wanted,
        worker: &mut MediaWorker<'_>,
    ) -> Result<(), Interrupted> {
        loop {
            match self.hear(worker)? {
                Reply::Picture { pick, width, height, file } if file <= self.bulk.len() => {
                    if wanted.files {
                        self.place_picture(job, &pick, (width, height), file).map_err(Ended::Failed)?;
                    }
                    if wanted.windows {
                        self.window(job, file)?;
                    }
                    job.hand.times.push(pick.time);
                }
                Reply::Length(seconds) => {
                    worker.allow_more(self.context.settings.limits.for_length(job.bytes(), seconds));
                }
                Reply::StartOver => self.start_over(job)?,
                Reply::Pictures(outcome) => return Ok(self.end_pictures(job, outcome)?),
                _ => return Err(confused(worker)),
            }
        }
    }

    /// Waits until no row in the store vouches for pictures of this item whose names are about to be taken.
    pub(super) fn displace_pictures(&self, job: &Job<'_>) -> Result<(), Ended> {
        let Some(files) = job.due.iter().find(|due| self.stage(due) == extract_frames::DECL.id) else { return Ok(()) };
        if self.context.plans[files.position].index.files.is_empty() {
            return Ok(());
        }
        let (done, displaced) = bounded(1);
        let message = WriterMessage::Displacing { item: job.item, key: files.key, done };
        self.to_writer.send((files.position, message))?;
        displaced.recv().map_err(|_| Ended::Disconnected)
    }

    /// Gives the picture file at the front of the bulk its name. A disk that takes no more is no fault of the clip: it ends the run.
    pub(super) fn place_picture(
        &self,
        job: &mut Job<'_>,
        pick: &Pick,
        (width, height): (usize, usize),
        file: usize,
    ) -> Result<(), Error> {
        let bytes = &self.bulk[..file];
        let path = self.picture_path(job.item, pick.number, self.context.science.files.format);
        // Synced before the row that vouches for it is published; see `StageWriter`.
        place_bytes(&path, bytes)?;
        job.hand.rows.push(pick, width, height, blake3::hash(bytes).as_bytes());
        Ok(())
    }

    /// Hands on the window that lies in the bulk behind `file` bytes.
    pub(super) fn window(&mut self, job: &Job<'_>, file: usize) -> Result<(), Ended> {
        let embedder = self.embedder.as_mut().expect("an embedding is due, so there is an encoder");
        embedder.window((job.item, job.hand.attempt), &self.bulk[file..])
    }

    /// What was taken of the pictures so far is worth nothing; another attempt follows.
    pub(super) fn start_over(&mut self, job: &mut Job<'_>) -> Result<(), Ended> {
        if let Some(embedder) = &mut self.embedder {
            embedder.abandon((job.item, job.hand.attempt))?;
        }
        job.hand = Hand { attempt: job.hand.attempt + 1, ..Hand::default() };
        Ok(())
    }

    /// There are no more pictures: what was made of them goes to the writer.
    pub(super) fn end_pictures(&mut self, job: &mut Job<'_>, outcome: Result<(), Failure>) -> Result<(), Ended> {
        let hand = std::mem::take(&mut job.hand);
        let outcome = outcome.and_then(|()| job.unchanged());
        let content = job.content.unwrap_or(NO_CONTENT);
        if let Some(files) = self.no_longer_due(job, extract_frames::DECL.id) {
            // What was placed before it was known that the item fails belongs to nothing.
            self.remove_pictures_beyond(job.item, if outcome.is_ok() { hand.times.len() } else { 0 });
            let rows = outcome.clone().map(|()| hand.rows.into_rows());
            self.send(job.item, &files, content, Outcome::Computed(rows))?;
        }
        if let Some(embedding) = self.no_longer_due(job, encode_clip::DECL.id) {
            let embedder = self.embedder.as_mut().expect("an embedding is due, so there is an encoder");
            let attempt = (job.item, hand.attempt);
            let rows = match outcome {
                Ok(()) => embedder.end(attempt, embedding.key, content, hand.times)?,
                Err(failure) => {
                    embedder.abandon(attempt)?;
                    Some(Err(failure))
                }
            };
            if let Some(rows) = rows {
                self.send(job.item, &embedding, content, Outcome::Computed(rows))?;
            }
        }
        Ok(())
    }

    /// Takes the pictures that an earlier run kept, if embeddings alone are due, and every picture is there as it was kept.
    pub(super) fn take_kept(&mut self, job: &mut Job<'_>) -> Result<bool, Ended> {
        let wanted = self.wanted(job);
        let kept = self.context.kept.filter(|_| wanted.windows && !wanted.files);
        let content = job.content.unwrap_or(NO_CONTENT);
        let (Some(pictures), Some(clip)) = (kept.and_then(|kept| kept.of(&content)), &self.context.science.clip) else {
            return Ok(false);
        };
        let mut preprocess = match self.preprocess.take() {
            Some(preprocess) => preprocess,
            None => Preprocess::of(&clip.recipe).expect("tried once when it was resolved"),
        };
        for kept in &pictures {
            let picture = kept.read();
            let Some(window) = picture.as_ref().and_then(|picture| preprocess.crop(picture).ok()) else {
                self.start_over(job)?;
                return Ok(false);
            };
            self.bulk.clear();
            self.bulk.extend_from_slice(window);
            self.window(job, 0)?;
            job.hand.times.push(kept.pick.time);
        }
        self.preprocess = Some(preprocess);
        Ok(true)
    }

    /// Pictures of this item from another rate or format would stand beside the new ones as if they belonged to them.
    fn remove_pictures_beyond(&self, item: usize, count: usize) {
        for format in extract_frames::Format::ALL {
            let kept = if format == self.context.science.files.format { count } else { 0 };
            let mut number = kept as u32 + 1;
            while std::fs::remove_file(self.picture_path(item, number, format)).is_ok() {
                number += 1;
            }
        }
    }

    fn picture_path(&self, item: usize, number: u32, format: extract_frames::Format) -> PathBuf {
        let name = extract_frames::picture_name(&self.context.items[item].id, number, format);
        self.context.work.stage(extract_frames::DECL.id).join(name)
    }
}
