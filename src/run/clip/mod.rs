//! One clip through every item stage that is due for it, in one pass over each of its files: read top to bottom.
//!
//! ```text
//!        media worker (a process)                          lane (a thread of this one)
//! file ── read ── hash ─────────────────────── digest ──▶ what is due? known values are copied
//!           ├─ timeline ── decode ─┬─ picture files ────▶ placed in the store            (extract-frames)
//!           │                      └─ windows ──────────▶ encoded here or on the device  (encode-clip)
//!           └─ samples ── log-mel ──────────────────────▶                                (log-mel)
//! ```
//!
//! A lane and its worker take turns, so a lane keeps one core busy. A worker that dies is replaced and the file is tried once more: whoever
//! killed it from outside costs nothing, and a file that kills two costs its item. One that takes longer, or more memory, than a file may
//! ([`crate::worker::limits`]) is ended, and costs its item at once.
//!
//! A value is only recorded for the bytes that were hashed: the worker decodes what it hashed, and where the digest was known before, the
//! file's stamp is taken first and compared when it was decoded.

mod ended;
mod job;
mod pictures;
mod sound;

use std::path::Path;
use std::time::{Duration, Instant};

use contract::{Cause, Failure, Item};
use crossbeam_channel::Sender;
use encode_clip::Preprocess;

use crate::events::{Event, Reporter};
use crate::key::{Content, NO_CONTENT};
use crate::plan::{Reason, StagePlan};
use crate::resolve::{Science, Source};
use crate::run::clip::ended::Interrupted;
use crate::run::clip::job::{Due, Job, Phase, Wishes};
use crate::run::embed::Embedder;
use crate::run::kept::KeptPictures;
use crate::run::writer::{Finished, Outcome, ToWriter, WriterMessage};
use crate::store::WorkDir;
use crate::store::digests::{Digests, Hashing};
use crate::store::index::Location;
use crate::trace::{Queue, Trace};
use crate::worker::child::path_bytes;
use crate::worker::protocol::{Reply, Request, Wanted};
use crate::worker::{Death, DeathOf, Drain, MediaWorker, Settings};

pub use crate::run::clip::ended::Ended;

/// One clip and the stages that are due for it, with the reason for each.
#[derive(Debug)]
pub struct Task {
    /// Position of the item in the data set.
    pub item: usize,
    /// Position of the stage in the run's list, and why it is due.
    pub due: Vec<(usize, Reason)>,
}

/// What every lane shares.
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
    /// What workers are told.
    pub settings: &'a Settings,
    /// Who is told of a worker that died.
    pub reporter: &'a dyn Reporter,
    /// How long a lane waits for its worker once the run is to end.
    pub drain: &'a Drain<'a>,
    /// Takes what each clip took.
    pub trace: Option<&'a Trace>,
}

/// One lane: its worker, its way to embeddings, and its end of the writer's channel.
pub struct Lane<'a> {
    /// Counted from 1.
    number: usize,
    context: Context<'a>,
    worker: Option<MediaWorker<'a>>,
    /// For kept pictures, which need no worker.
    preprocess: Option<Preprocess>,
    embedder: Option<Embedder<'a>>,
    to_writer: Sender<ToWriter>,
    bulk: Vec<u8>,
}

/// What is waited for less long is not traced.
const WORTH_A_LINE: Duration = Duration::from_millis(1);

/// Workers that may die of one file in one phase.
const DEATHS: u32 = 2;

impl<'a> Lane<'a> {
    /// A lane; its worker is started for the first file.
    pub fn new(
        number: usize,
        context: Context<'a>,
        to_writer: Sender<ToWriter>,
        embedder: Option<Embedder<'a>>,
    ) -> Self {
        if let Some(trace) = context.trace {
            trace.name(number, &format!("lane {number}"));
        }
        Lane { number, context, worker: None, preprocess: None, embedder, to_writer, bulk: Vec::new() }
    }

    /// Takes a clip through everything that is due for it.
    pub fn process(&mut self, task: &Task) -> Result<(), Ended> {
        let begin = Instant::now();
        let outcome = self.process_untraced(task);
        if let Some(trace) = self.context.trace {
            trace.span(self.number, &self.context.items[task.item].id, begin, "");
        }
        outcome
    }

    fn process_untraced(&mut self, task: &Task) -> Result<(), Ended> {
        let clip = &self.context.items[task.item];
        let mut files: Vec<(Option<&Path>, Wishes<'_>)> = Vec::new();
        for due in &task.due {
            let path = self.context.plans[due.0].source.path(clip);
            match files.iter_mut().find(|(known, _)| *known == path) {
                Some((_, wanted)) => wanted.push(due),
                None => files.push((path, vec![due])),
            }
        }
        for (path, wanted) in files {
            let begun = path.map(|path| Hashing::begin(path).map(|hashing| (path, hashing)));
            match begun {
                Some(Ok((path, hashing))) => self.file(Job::new(task.item, path, wanted, hashing))?,
                Some(Err(error)) => self.fail_unopened(task.item, &wanted, |_| unreadable(&error))?,
                None => self.fail_unopened(task.item, &wanted, Source::absent)?,
            }
        }
        Ok(())
    }

    /// There is no file to look at: that is what is recorded, unless it is known.
    fn fail_unopened(
        &mut self,
        item: usize,
        wanted: &[&(usize, Reason)],
        failure: impl Fn(Source) -> Failure,
    ) -> Result<(), Ended> {
        for due in self.due(item, wanted, &NO_CONTENT)? {
            let failure = failure(self.context.plans[due.position].source);
            self.send(item, &due, NO_CONTENT, Outcome::Computed(Err(failure)))?;
        }
        Ok(())
    }

    /// Those of the wanted stages that the store does not know with this content; the others are told to the writer.
    fn due(&self, item: usize, wanted: &[&(usize, Reason)], content: &Content) -> Result<Vec<Due>, Ended> {
        let mut due = Vec::new();
        for (position, reason) in wanted.iter().copied() {
            let stage = Due { position: *position, key: self.context.plans[*position].template.key(content) };
            match self.known(&stage, reason, &self.context.items[item].id) {
                Some(at) => self.send(item, &stage, *content, Outcome::Known(at))?,
                None => due.push(stage),
            }
        }
        Ok(due)
    }

    /// Where the store has this key already, unless the plan asked for it to be computed again.
    fn known(&self, due: &Due, reason: &Reason, id: &str) -> Option<Location> {
        let plan = &self.context.plans[due.position];
        let at = *plan.locations.get(&due.key)?;
        let item = plan.index.item(at);
        let lasting = item.failed.as_ref().is_none_or(|(cause, _)| !cause.is_transient());
        (lasting && plan.pictures.stand_behind(item, id) && !matches!(reason, Reason::Retry(_) | Reason::Forced))
            .then_some(at)
    }

    /// Takes a file through what is due for it, past workers that die.
    fn file(&mut self, mut job: Job<'_>) -> Result<(), Ended> {
        if let Ok(Some(content)) = self.context.digests.known(job.path) {
            self.settle(&mut job, content)?;
        }
        while job.content.is_none() || !job.due.is_empty() {
            match self.attempt(&mut job) {
                Ok(()) => {}
                Err(Interrupted::Ended(ended)) => return Err(ended),
                Err(Interrupted::Died(death)) => self.survive(&mut job, &death)?,
            }
        }
        Ok(())
    }

    /// The content is known, and with it what is due.
    fn settle(&mut self, job: &mut Job<'_>, content: Content) -> Result<(), Ended> {
        job.content = Some(content);
        job.due = self.due(job.item, &job.wanted, &content)?;
        if self.take_kept(job)? {
            self.end_pictures(job, Ok(()))?;
        }
        Ok(())
    }

    fn attempt(&mut self, job: &mut Job<'_>) -> Result<(), Interrupted> {
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => MediaWorker::start(self.context.settings, self.context.drain).map_err(Ended::Failed)?,
        };
        job.phase = Phase::Opening;
        let known = job.content.is_some();
        worker.allow(self.context.settings.limits.at_first(job.bytes()));
        worker.send(&Request::Open { path: path_bytes(job.path), hash: !known })?;
        if known {
            // Nothing depends on the answer: the worker need not wait for the next question.
            worker.send(&Request::Make(self.wanted(job)))?;
        }
        match self.hear(&mut worker)? {
            Reply::Opened(Ok(digest)) => {
                if let Some(content) = digest {
                    // A file that is gone by now is not remembered, and is found to be changed in the end.
                    let _ = self.context.digests.remember(job.path, job.hashing, content);
                    self.settle(job, content)?;
                }
            }
            Reply::Opened(Err(failure)) => {
                if !known {
                    self.settle(job, NO_CONTENT)?;
                    worker.send(&Request::Make(Wanted::default()))?;
                }
                self.worker = Some(worker);
                return Ok(self.fail(job, &failure)?);
            }
            _ => return Err(confused(&mut worker)),
        }
        let wanted = self.wanted(job);
        if !known {
            worker.send(&Request::Make(wanted))?;
        }
        if wanted.pictures() {
            job.phase = Phase::Pictures;
            self.displace_pictures(job)?;
            self.hear_pictures(job, wanted, &mut worker)?;
        }
        if wanted.sound {
            job.phase = Phase::Sound;
            self.hear_sound(job, &mut worker)?;
        }
        self.worker = Some(worker);
        Ok(())
    }

    /// Another worker takes over. What two of them died of is not tried a third time, and what took too much not a second time.
    fn survive(&mut self, job: &mut Job<'_>, death: &Death) -> Result<(), Ended> {
        let deaths = &mut job.deaths[job.phase as usize];
        *deaths += 1;
        let last = *deaths == DEATHS || death.of != DeathOf::Anything;
        let (id, words) = (&self.context.items[job.item].id, &death.words);
        let words = if words.is_empty() { String::new() } else { format!(": {words}") };
        let ended = if death.of == DeathOf::Time { "was ended" } else { "died" };
        let message = format!("the process that decoded {id} {ended} ({}) and was replaced{words}", death.how);
        self.context.reporter.report(&Event::Warning { message });
        match (last, job.phase) {
            (false, _) => self.start_over(job),
            (true, Phase::Pictures) => self.end_pictures(job, Err(death.failure())),
            (true, Phase::Sound) => self.end_sound(job, Err(death.failure())),
            (true, Phase::Opening) => {
                if job.content.is_none() {
                    self.settle(job, NO_CONTENT)?;
                }
                self.fail(job, &death.failure())
            }
        }
    }

    /// What is asked of the worker for what is due.
    fn wanted(&self, job: &Job<'_>) -> Wanted {
        let is_due = |id: &str| job.due.iter().any(|due| self.stage(due) == id);
        Wanted {
            files: is_due(extract_frames::DECL.id),
            windows: is_due(encode_clip::DECL.id),
            sound: is_due(log_mel::DECL.id),
        }
    }

    fn stage(&self, due: &Due) -> &'static str {
        self.context.plans[due.position].decl.id
    }

    /// What the worker says next, its bulk in `self.bulk`; how long it was waited for is traced.
    fn hear(&mut self, worker: &mut MediaWorker<'_>) -> Result<Reply, Death> {
        let begin = Instant::now();
        let reply = worker.receive(&mut self.bulk);
        if let Some(trace) = self.context.trace.filter(|_| begin.elapsed() > WORTH_A_LINE) {
            trace.span(self.number, "wait for the worker", begin, "");
        }
        reply
    }

    /// Nothing can be made of the file.
    fn fail(&mut self, job: &mut Job<'_>, failure: &Failure) -> Result<(), Ended> {
        self.start_over(job)?;
        for due in std::mem::take(&mut job.due) {
            let content = job.content.unwrap_or(NO_CONTENT);
            self.send(job.item, &due, content, Outcome::Computed(Err(failure.clone())))?;
        }
        Ok(())
    }

    fn no_longer_due(&self, job: &mut Job<'_>, stage: &str) -> Option<Due> {
        let at = job.due.iter().position(|due| self.stage(due) == stage)?;
        Some(job.due.remove(at))
    }

    fn send(&self, item: usize, due: &Due, content: Content, outcome: Outcome) -> Result<(), Ended> {
        let finished = Finished { item, key: due.key, content, outcome };
        self.to_writer.send((due.position, WriterMessage::Finished(finished)))?;
        if let Some(trace) = self.context.trace {
            trace.depth(Queue::Values, self.to_writer.len());
        }
        Ok(())
    }
}

/// A worker that says something else than it was asked.
fn confused(worker: &mut MediaWorker<'_>) -> Interrupted {
    Interrupted::Died(worker.replace("it said what it was not asked"))
}

/// Why a file cannot be looked at, as data.
fn unreadable(error: &std::io::Error) -> Failure {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match error.kind() {
        NotFound | NotADirectory => Failure::new(Cause::Missing, "there is no such file"),
        kind => Failure::new(Cause::Unreadable, format!("the file cannot be read: {kind}")),
    }
}
