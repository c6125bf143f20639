//! Running: a plan becomes values in the store.
//!
//! ```text
//! feeder ──tasks──▶ workers (decode, log-mel) ──pixels──▶ encoder ──▶ writer (shards)
//!                        └───────────values──────────────────────────▶
//! ```
//!
//! Every channel is bounded, so memory does not grow with the data set or with the length of a clip, and whoever is ahead
//! waits. A stop (signal, too many failures, an error) ends the feeder; everything downstream drains, and the writer
//! publishes what is finished.

pub mod clip;
pub mod encode;
pub mod kept;
pub mod sets;
pub mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use contract::{Decl, Item, Kind};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use discover::Dataset;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::events::{Event, Reporter, StageEnd};
use crate::plan::{ItemState, Look, StagePlan, known_content, plan_stage};
use crate::resolve::{Science, Source, resolve};
use crate::run::clip::{Context, Task, Worker};
use crate::run::encode::ToEncoder;
use crate::run::kept::KeptPictures;
use crate::run::writer::{StageWriter, Tally, ToWriter, WriterMessage};
use crate::store::WorkDir;
use crate::store::digests::Digests;
use crate::store::publish::{publish_bytes, sweep_temporaries};

/// Finished values that may wait for the writer.
const WRITER_QUEUE: usize = 64;

/// Everything that a command needs before it runs or only looks.
pub struct Session {
    /// The configuration.
    pub config: Config,
    /// The selected stages in topological order.
    pub selected: Vec<&'static Decl>,
    /// The data set.
    pub dataset: Dataset,
    /// The store.
    pub work: WorkDir,
    /// The digest cache.
    pub digests: Digests,
    /// The resolved item stages.
    pub science: Science,
    /// The plan of each item stage, in the order of `science.stages`.
    pub plans: Vec<StagePlan>,
}

impl Session {
    /// Reads the data set and the store and plans the item stages. With `set_aside`, damaged files are put out of the way.
    pub fn open(config: Config, mut selected: Vec<&'static Decl>, set_aside: bool) -> Result<Session> {
        let mut dataset = discover::discover(config.data()?, &config.discover)?;
        let dropped = drop_what_cannot_apply(&dataset, &mut selected);
        dataset.notes.extend(dropped);
        let work = config.work_dir();
        let digests = Digests::load(&work.digests());
        let science = resolve(&config, &selected, &digests)?;
        let look = Look { shard_size: config.store.shard_size, set_aside };
        let plans = science
            .stages
            .iter()
            .map(|stage| plan_stage(stage, &dataset.items, &work, &digests, look))
            .collect::<Result<_>>()?;
        Ok(Session { config, selected, dataset, work, digests, science, plans })
    }
}

/// `run all` on a data set without pictures is about its sound, and one without labels is about features: what cannot apply to
/// any item is left out, with a note.
fn drop_what_cannot_apply(dataset: &Dataset, selected: &mut Vec<&'static Decl>) -> Vec<String> {
    let mut notes = Vec::new();
    let mut drop = |ids: &[&str], why: &str| {
        let before = selected.len();
        selected.retain(|s| !ids.contains(&s.id));
        if selected.len() < before {
            notes.push(format!("{why}: {} left out", ids.join(", ")));
        }
    };
    let models = [linear_probe::DECL.id, evaluate::DECL.id];
    if dataset.items.iter().all(|item| item.video.is_none()) {
        drop(&[extract_frames::DECL.id, encode_clip::DECL.id, models[0], models[1]], "no item has a video file");
    }
    if dataset.items.iter().all(|item| item.label.is_none()) {
        drop(&models, "no item has a label");
    }
    notes
}

/// Runs the selected stages to the end, or until `stop` is set. Returns whether it was stopped.
pub fn run(session: &Session, reporter: &dyn Reporter, stop: &AtomicBool) -> Result<Finish> {
    let start = Instant::now();
    let Session { dataset, work, digests, plans, .. } = session;
    reporter.report(&Event::Discovered {
        name: dataset.name.clone(),
        items: dataset.items.len(),
        notes: dataset.notes.clone(),
    });
    publish_items(work, &dataset.items)?;
    sweep(work);
    for plan in plans {
        for damaged in &plan.index.damaged {
            reporter.report(&Event::Warning {
                message: format!(
                    "{} was damaged ({}): it was set aside as `.damaged`, and its items are computed again",
                    damaged.path.display(),
                    damaged.message
                ),
            });
        }
        reporter.report(&Event::Planned { stage: plan.decl.id, counts: plan.counts() });
    }
    let tallies = item_stages(session, reporter, stop);
    // Hashes are worth keeping whatever became of the run.
    digests.save()?;
    let tallies = tallies?;
    let stopped = stop.load(Ordering::Relaxed);
    let stages: Vec<StageEnd> = plans.iter().zip(&tallies).map(|(plan, tally)| stage_end(work, plan, tally)).collect();
    let failed = stages.iter().map(|s| s.failed).sum();
    let mut report = None;
    if !stopped {
        report = sets::run(session, reporter)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    reporter.report(&Event::Finished { stages: stages.clone(), seconds, stopped });
    Ok(Finish { stopped, failed, stages, report })
}

/// Removes what dead processes left under temporary names.
fn sweep(work: &WorkDir) {
    for decl in crate::registry::STAGES {
        for folder in [work.stage(decl.id), work.parts(decl.id)] {
            sweep_temporaries(&folder);
        }
    }
    for file in [work.index(""), work.digests()] {
        file.parent().map(sweep_temporaries);
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Finish {
    /// By a signal, before everything was done.
    pub stopped: bool,
    /// Recorded failures over all item stages.
    pub failed: usize,
    /// Per item stage.
    pub stages: Vec<StageEnd>,
    /// The table of `evaluate`, where it ran.
    pub report: Option<String>,
}

fn stage_end(work: &WorkDir, plan: &StagePlan, tally: &Tally) -> StageEnd {
    let counts = plan.counts();
    StageEnd {
        stage: plan.decl.id,
        folder: work.stage(plan.decl.id),
        computed: tally.computed,
        copied: tally.copied,
        reused: tally.reused,
        failed: counts.failed + tally.failed,
        items: counts.items,
    }
}

/// `discover`'s product: the list of items as a table that a person can read.
fn publish_items(work: &WorkDir, items: &[Item]) -> Result<()> {
    let bytes = discover::to_csv(items);
    let path = work.stage(discover::DECL.id).join("items.csv");
    if std::fs::read(&path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    publish_bytes(&path, &bytes)
}

/// Runs every item stage in one pass over the clips.
fn item_stages(session: &Session, reporter: &dyn Reporter, stop: &AtomicBool) -> Result<Vec<Tally>> {
    let Session { config, dataset, work, digests, science, plans, .. } = session;
    let items = &dataset.items;
    let kept = kept_pictures(session, reporter)?;
    let context = Context { items, plans, science, digests, work, kept: kept.as_ref() };
    let stale = |plan: &StagePlan| plan.shards.iter().any(|s| s.stale.is_some());
    let due = |plan: &StagePlan| {
        plan.shards.iter().flat_map(|s| s.stale.iter().flatten()).any(|state| matches!(state, ItemState::Due(_)))
    };

    let clip_stage = plans.iter().position(|plan| plan.decl.id == encode_clip::DECL.id && due(plan));
    let encoder = match (clip_stage, &science.clip) {
        (Some(_), Some(clip)) => {
            let encoder =
                encode_clip::Encoder::load(&clip.checkpoint, &clip.spec, config.run.device, config.run.batch_size)
                    .map_err(|e| crate::resolve::refuse(encode_clip::DECL.id, &e))?;
            let backend = encoder.backend();
            let random = if clip.checkpoint.describe().random_weights { " (RANDOM weights)" } else { "" };
            let model = format!(
                "{}{random} on {} ({}, {})",
                clip.checkpoint.describe().name,
                backend.device,
                backend.instructions,
                backend.library
            );
            if !encoder.unexpected_tensors().is_empty() {
                let names = encoder.unexpected_tensors().join(", ");
                reporter.report(&Event::Warning {
                    message: format!("the checkpoint has tensors that are not used: {names}"),
                });
            }
            reporter.report(&Event::ModelLoaded { stage: encode_clip::DECL.id, model });
            Some(encoder)
        }
        _ => None,
    };

    let publish_every = Duration::from_secs_f64(config.run.publish_every);
    let mut writers: Vec<StageWriter<'_>> = plans
        .iter()
        .zip(&science.stages)
        .map(|(plan, stage)| StageWriter::new(work, items, plan, stage.columns.clone(), publish_every, reporter))
        .collect();
    if !plans.iter().any(stale) {
        return writers.into_iter().map(StageWriter::finish).collect();
    }

    let jobs = match config.run.jobs {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        jobs => jobs,
    };
    let (task_out, task_in) = bounded::<Task>(jobs);
    let (to_writer, writer_in) = bounded::<ToWriter>(WRITER_QUEUE);
    let (to_encoder, encoder_in) = bounded::<ToEncoder>(2 * config.run.batch_size);

    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        let feed_writer = to_writer.clone();
        threads.push(scope.spawn(move || {
            feed(plans, &task_out, &feed_writer, stop);
            Ok(())
        }));
        for _ in 0..jobs {
            let tasks = task_in.clone();
            let encoder = encoder.is_some().then(|| to_encoder.clone());
            let mut worker = Worker::new(context, to_writer.clone(), encoder);
            threads.push(scope.spawn(move || {
                for task in &tasks {
                    if worker.process(&task).is_err() {
                        break;
                    }
                }
                Ok(())
            }));
        }
        drop((task_in, to_encoder));
        if let (Some(encoder), Some(clip), Some(stage)) = (&encoder, &science.clip, clip_stage) {
            let (to_writer, batch_size) = (to_writer.clone(), config.run.batch_size);
            threads.push(scope.spawn(move || encode::run(clip, encoder, batch_size, stage, &encoder_in, &to_writer)));
        } else {
            drop(encoder_in);
        }
        drop(to_writer);

        let written = write(&mut writers, writer_in, config, stop);
        if written.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        let joined: Vec<Result<()>> = threads
            .into_iter()
            .map(|t| t.join().unwrap_or_else(|panic| Err(Error::Internal(panic_message(&*panic)))))
            .collect();
        // Whatever went wrong, what is finished is published before it is told.
        let tallies: Result<Vec<Tally>> = writers.into_iter().map(StageWriter::finish).collect();
        written?;
        joined.into_iter().collect::<Result<()>>()?;
        tallies
    })
}

/// Pictures in the store that embeddings can be made of, where any embedding is due.
fn kept_pictures(session: &Session, reporter: &dyn Reporter) -> Result<Option<KeptPictures>> {
    let due: Vec<usize> = session
        .plans
        .iter()
        .filter(|plan| plan.decl.id == encode_clip::DECL.id)
        .flat_map(|plan| &plan.shards)
        .flat_map(|shard| shard.items.clone().zip(shard.stale.iter().flatten()))
        .filter_map(|(item, state)| matches!(state, ItemState::Due(_)).then_some(item))
        .collect();
    if due.is_empty() {
        return Ok(None);
    }
    let kept = KeptPictures::open(&session.work, &session.science)?;
    if let Some(kept) = &kept {
        let contents = due
            .iter()
            .filter_map(|item| known_content(&session.dataset.items[*item], Source::Pictures, &session.digests));
        let items = contents.filter(|content| kept.lists(content)).count();
        if items > 0 {
            reporter.report(&Event::KeptPictures { items });
        }
    }
    Ok(kept)
}

/// Hands out the work shard by shard, in order of the data set.
fn feed(plans: &[StagePlan], tasks: &Sender<Task>, to_writer: &Sender<ToWriter>, stop: &AtomicBool) {
    let shard_count = plans.iter().map(|plan| plan.shards.len()).max().unwrap_or(0);
    for shard in 0..shard_count {
        let range = plans[0].shards[shard].items.clone();
        for (position, plan) in plans.iter().enumerate() {
            if plan.shards[shard].stale.is_some() && to_writer.send((position, WriterMessage::Begin(shard))).is_err() {
                return;
            }
        }
        for item in range.clone() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let due: Vec<_> = plans
                .iter()
                .enumerate()
                .filter_map(|(position, plan)| match plan.shards[shard].stale.as_ref()?.get(item - range.start)? {
                    ItemState::Due(reason) => Some((position, reason.clone())),
                    ItemState::Known(_) => None,
                })
                .collect();
            if !due.is_empty() && tasks.send(Task { item, due }).is_err() {
                return;
            }
        }
    }
}

/// The writer loop, on the calling thread.
#[expect(clippy::needless_pass_by_value, reason = "dropping the inbox on an error is what tells the senders to stop")]
fn write(writers: &mut [StageWriter<'_>], inbox: Receiver<ToWriter>, config: &Config, stop: &AtomicBool) -> Result<()> {
    loop {
        match inbox.recv_timeout(Duration::from_millis(200)) {
            Ok((stage, WriterMessage::Begin(shard))) => writers[stage].begin(shard)?,
            Ok((stage, WriterMessage::Finished(finished))) => writers[stage].take(finished)?,
            Err(RecvTimeoutError::Timeout) => {
                for writer in writers.iter_mut() {
                    writer.tick()?;
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        let failed: usize = writers.iter().map(|w| w.tally.failed).sum();
        let limit = config.run.max_failures;
        if limit >= 0 && failed as i64 > limit && !stop.load(Ordering::Relaxed) {
            return Err(Error::TooManyFailures { failed, limit });
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a thread panicked")
        .to_string()
}

/// Whether a selection contains a set stage.
pub fn has_set_stage(selected: &[&'static Decl]) -> bool {
    selected.iter().any(|decl| decl.kind == Kind::Set)
}

/// The name of the file that a person should look at, relative to where they stand if it is below.
pub fn shown(path: &Path) -> String {
    std::env::current_dir()
        .ok()
        .and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf))
        .unwrap_or_else(|| path.to_path_buf())
        .display()
        .to_string()
}
