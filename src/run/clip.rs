//! One clip through every item stage that is due for it, in one pass: read top to bottom.
//!
//! ```text
//! video ── hash ── timeline ── which pictures ── decode ─┬─ picture files   (extract-frames)
//!                                                        └─ pixels ──────── encoder thread (encode-clip)
//! sound ── hash ── samples ── log-mel ─────────────────────────────────────  (log-mel)
//! ```
//!
//! A value is only recorded for the bytes that were hashed: the file's stamp is taken before it is hashed and compared
//! after it was decoded.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use contract::{Cause, Failure, Item, Picture, Rows};
use crossbeam_channel::Sender;
use extract_frames::{Pick, PictureRows};

use crate::error::panic_message;
use crate::key::{Content, Key, NO_CONTENT};
use crate::plan::{Reason, StagePlan};
use crate::resolve::{ClipScience, Science, Source};
use crate::run::encode::ToEncoder;
use crate::run::kept::KeptPictures;
use crate::run::writer::{Finished, Outcome, ToWriter, WriterMessage};
use crate::store::WorkDir;
use crate::store::digests::{Digests, Stamp};
use crate::store::index::Location;
use crate::store::publish::place_bytes;

/// One clip and the stages that are due for it, with the reason for each.
#[derive(Debug)]
pub struct Task {
    /// Position of the item in the data set.
    pub item: usize,
    /// Position of the stage in the run's list, and why it is due.
    pub due: Vec<(usize, Reason)>,
}

/// The other end is gone: the run is ending on an error that is reported there.
#[derive(Debug)]
pub struct Disconnected;

/// What every worker shares.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The data set.
    pub items: &'a [Item],
    /// The plans of the run's item stages.
    pub plans: &'a [StagePlan],
    /// The resolved stages.
    pub science: &'a Science,
    /// The digest cache.
    pub digests: &'a Digests,
    /// The store.
    pub work: &'a WorkDir,
    /// Pictures that can stand for decoding.
    pub kept: Option<&'a KeptPictures>,
}

/// One worker: its planned transforms and its ends of the channels.
pub struct Worker<'a> {
    context: Context<'a>,
    preprocess: Option<encode_clip::Preprocess>,
    log_mel: Option<log_mel::LogMel>,
    to_writer: Sender<ToWriter>,
    to_encoder: Option<Sender<ToEncoder>>,
}

/// A stage that is due for the clip at hand.
struct Due {
    position: usize,
    key: Key,
}

impl<'a> Worker<'a> {
    /// A worker with its own scratch memory.
    pub fn new(context: Context<'a>, to_writer: Sender<ToWriter>, to_encoder: Option<Sender<ToEncoder>>) -> Self {
        let science = context.science;
        Worker {
            context,
            preprocess: science.clip.as_ref().map(ClipScience::preprocess),
            log_mel: science
                .log_mel
                .as_ref()
                .map(|spec| log_mel::LogMel::new(spec).expect("tried once when it was resolved")),
            to_writer,
            to_encoder,
        }
    }

    /// Takes a clip through everything that is due for it.
    pub fn process(&mut self, task: &Task) -> Result<(), Disconnected> {
        for source in [Source::Pictures, Source::Sound] {
            let plans = self.context.plans;
            let wanted: Vec<&(usize, Reason)> = task.due.iter().filter(|(at, _)| plans[*at].source == source).collect();
            if !wanted.is_empty() {
                self.process_source(task.item, source, &wanted)?;
            }
        }
        Ok(())
    }

    /// Hashes the file, leaves out what turns out to be known, and computes the rest.
    fn process_source(&mut self, item: usize, source: Source, wanted: &[&(usize, Reason)]) -> Result<(), Disconnected> {
        let clip = &self.context.items[item];
        let read = source.path(clip).ok_or_else(|| source.absent()).and_then(|path| {
            let stamp = Stamp::of(path).map_err(|e| unreadable(&e))?;
            let content = self.context.digests.digest(path).map_err(|e| unreadable(&e))?;
            Ok((path, stamp, content))
        });
        let content = read.as_ref().map_or(NO_CONTENT, |(_, _, content)| *content);
        let mut due = Vec::new();
        for (position, reason) in wanted.iter().copied() {
            let key = self.context.plans[*position].template.key(&content);
            match self.known(*position, reason, &key, &clip.id) {
                Some(at) => self.send(*position, item, key, content, Outcome::Known(at))?,
                None => due.push(Due { position: *position, key }),
            }
        }
        if due.is_empty() {
            return Ok(());
        }
        match (read, source) {
            (Err(failure), _) => {
                for stage in &due {
                    self.send(stage.position, item, stage.key, content, Outcome::Computed(Err(failure.clone())))?;
                }
                Ok(())
            }
            (Ok((path, stamp, content)), Source::Pictures) => self.pictures(item, path, stamp, content, &due),
            (Ok(_), Source::Imported) => unreachable!("an imported stage reads no file"),
            (Ok((path, stamp, content)), Source::Sound) => {
                let outcome = guarded(|| self.sound(path)).and_then(|rows| unchanged(path, stamp).map(|()| rows));
                self.send(due[0].position, item, due[0].key, content, Outcome::Computed(outcome))
            }
        }
    }

    /// Where the store has this key already, unless the plan asked for it to be computed again.
    fn known(&self, position: usize, reason: &Reason, key: &Key, id: &str) -> Option<Location> {
        let plan = &self.context.plans[position];
        let at = *plan.locations.get(key)?;
        let item = plan.index.item(at);
        let lasting = item.failed.as_ref().is_none_or(|(cause, _)| !cause.is_transient());
        (lasting && plan.pictures.has_all(id, item.rows) && !matches!(reason, Reason::Retry(_))).then_some(at)
    }

    fn sound(&mut self, path: &Path) -> Result<Rows, Failure> {
        let sound = media::sound(path).map_err(|e| Failure::from_error(&e))?;
        let log_mel = self.log_mel.as_mut().expect("log-mel is due, so it was resolved");
        log_mel.compute(&sound).map_err(|e| Failure::from_error(&e))
    }

    /// Decodes the wanted pictures and hands each on as it comes: memory does not grow with the length of the clip.
    fn pictures(
        &mut self,
        item: usize,
        path: &Path,
        stamp: Stamp,
        content: Content,
        due: &[Due],
    ) -> Result<(), Disconnected> {
        let stage = |id: &str| due.iter().find(|d| self.context.plans[d.position].decl.id == id);
        let (files, embedding) = (stage(extract_frames::DECL.id), stage(encode_clip::DECL.id));
        let mut hand = Hand { item, keeps: files.is_some(), encodes: embedding.is_some(), ..Hand::default() };
        let taken = self.take_kept(&content, &mut hand);
        let decoded = if taken { Ok(()) } else { guarded(|| self.each_picture(path, &mut hand)) };
        let decoded = decoded.and_then(|()| unchanged(path, stamp));
        if hand.disconnected {
            return Err(Disconnected);
        }
        if let Some(files) = files {
            let outcome = decoded.clone().map(|()| {
                self.remove_pictures_beyond(item, hand.times.len());
                std::mem::take(&mut hand.rows).into_rows()
            });
            self.send(files.position, item, files.key, content, Outcome::Computed(outcome))?;
        }
        if let Some(embedding) = embedding {
            let times = decoded.map(|()| hand.times);
            let end = ToEncoder::End { attempt: (item, hand.attempt), key: embedding.key, content, times };
            self.encoder().send(end).map_err(|_| Disconnected)?;
        }
        Ok(())
    }

    /// Takes the pictures that an earlier run kept, if there are any and every one is as it was kept.
    fn take_kept(&mut self, content: &Content, hand: &mut Hand) -> bool {
        let kept = self.context.kept.filter(|_| hand.encodes && !hand.keeps);
        let Some(pictures) = kept.and_then(|kept| kept.of(content)) else { return false };
        for kept in &pictures {
            let taken = kept.read().is_some_and(|picture| self.take_picture(&kept.pick, &picture, hand).is_ok());
            if !taken {
                self.start_over(hand);
                return hand.disconnected;
            }
        }
        true
    }

    /// What was taken so far is worth nothing; another attempt follows.
    fn start_over(&self, hand: &mut Hand) {
        if hand.encodes && self.encoder().send(ToEncoder::Abandon((hand.item, hand.attempt))).is_err() {
            hand.disconnected = true;
        }
        hand.attempt += 1;
        hand.rows = PictureRows::default();
        hand.times.clear();
    }

    /// Takes every wanted picture of the clip, in order.
    fn each_picture(&mut self, path: &Path, hand: &mut Hand) -> Result<(), Failure> {
        let mut video = media::Video::open(path).map_err(|e| Failure::from_error(&e))?;
        loop {
            let picks = extract_frames::select(video.timeline(), &self.context.science.frames)
                .map_err(|e| Failure::from_error(&e))?;
            if picks.is_empty() {
                let message = "too short for a single picture: a clip must last at least half of one period of `fps`";
                return Err(Failure::new(Cause::TooShort, message));
            }
            let mut frames: Vec<usize> = picks.iter().map(|pick| pick.frame).collect();
            frames.dedup();
            let mut taken = Ok(());
            let mut next = picks.iter().peekable();
            let outcome = video.decode(&frames, &mut |frame, picture| {
                // A frame that is held for several seconds is several pictures.
                while let Some(pick) = next.next_if(|pick| pick.frame == frame) {
                    taken = self.take_picture(pick, picture, hand);
                    if taken.is_err() {
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            });
            match outcome.map_err(|e| Failure::from_error(&e))? {
                media::Outcome::Done | media::Outcome::Stopped => return taken,
                media::Outcome::Revised => {
                    self.start_over(hand);
                    if hand.disconnected {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn take_picture(&mut self, pick: &Pick, picture: &Picture, hand: &mut Hand) -> Result<(), Failure> {
        if hand.keeps {
            let files = &self.context.science.files;
            let bytes = extract_frames::encode_picture(picture, files).map_err(|e| Failure::from_error(&e))?;
            let path = self.picture_path(hand.item, pick.number, files.format);
            // Synced before the row that vouches for it is published; see `StageWriter`.
            place_bytes(&path, &bytes)
                .map_err(|e| Failure::new(Cause::Unreadable, format!("a picture cannot be written: {e}")))?;
            hand.rows.push(pick, picture, blake3::hash(&bytes).as_bytes());
        }
        if hand.encodes {
            let preprocess = self.preprocess.as_mut().expect("an embedding is due, so there is a model");
            let mut pixels = vec![0.0; preprocess.values()];
            preprocess.apply(picture, &mut pixels).map_err(|e| Failure::from_error(&e))?;
            let frame = ToEncoder::Frame { attempt: (hand.item, hand.attempt), pixels };
            if self.encoder().send(frame).is_err() {
                hand.disconnected = true;
                return Err(Failure::new(Cause::Internal, "the run is ending"));
            }
        }
        hand.times.push(pick.time);
        Ok(())
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

    fn encoder(&self) -> &Sender<ToEncoder> {
        self.to_encoder.as_ref().expect("an embedding is due, so there is an encoder")
    }

    fn send(
        &self,
        stage: usize,
        item: usize,
        key: Key,
        content: Content,
        outcome: Outcome,
    ) -> Result<(), Disconnected> {
        let finished = Finished { item, key, content, outcome };
        self.to_writer.send((stage, WriterMessage::Finished(finished))).map_err(|_| Disconnected)
    }
}

/// What the pictures of one clip are gathered in.
#[derive(Default)]
struct Hand {
    item: usize,
    attempt: u32,
    keeps: bool,
    encodes: bool,
    rows: PictureRows,
    /// Seconds of each picture so far.
    times: Vec<f64>,
    disconnected: bool,
}

/// Turns a panic in a decoder into a failure of this item.
fn guarded<T>(decode: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        Err(Failure::new(Cause::Internal, format!("a defect of this program: {}", panic_message(&*panic))))
    })
}

/// Why a file cannot be looked at, as data.
fn unreadable(error: &std::io::Error) -> Failure {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match error.kind() {
        NotFound | NotADirectory => Failure::new(Cause::Missing, "there is no such file"),
        kind => Failure::new(Cause::Unreadable, format!("the file cannot be read: {kind}")),
    }
}

/// Refuses a value whose file is no longer the one that was hashed.
fn unchanged(path: &Path, stamp: Stamp) -> Result<(), Failure> {
    match Stamp::of(path) {
        Ok(now) if now == stamp => Ok(()),
        _ => Err(Failure::new(Cause::Changed, "the file changed while it was being read; the next run tries again")),
    }
}
