//! One pass over the clips for every item stage that is due.
//!
//! ```text
//! feeder ──tasks──▶ lanes ──────────────────values──────────────────▶ writer (shards)
//!                   │ ▲ └─windows, for a GPU──────▶ encoder ──values──▶
//!                   ▼ │
//!                   media workers, one a lane (processes)
//! ```
//!
//! Every channel is bounded, so memory does not grow with the data set or with the length of a clip, and whoever is ahead
//! waits. A stop (signal, too many failures, an error) ends the feeder; everything downstream drains, for `run.drain` seconds at most, and
//! the writer publishes what is finished.
//!
//! `run.jobs` lanes work at the same time, by default one a core. A lane and its worker take turns, and on a CPU a lane encodes its own
//! pictures on its own thread, so that no core idles while clips are left and none has two to serve.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use encode_clip::Encoder;

use crate::config::Config;
use crate::error::{Error, Result, panic_message};
use crate::events::{Event, Reporter};
use crate::plan::{Depth, ItemState, StagePlan, known_content};
use crate::resolve::{ClipScience, Source, refuse};
use crate::run::clip::{Context, Ended, Lane, Task};
use crate::run::embed::{Embedder, Encoding};
use crate::run::encode::{self, ToEncoder};
use crate::run::kept::KeptPictures;
use crate::run::writer::{StageWriter, Tally, ToWriter, WriterMessage};
use crate::session::Session;
use crate::store::attempts::Attempts;
use crate::trace::{self, Queue};
use crate::worker::Drain;

/// Finished values that may wait for the writer.
const WRITER_QUEUE: usize = 64;

/// What the writer does in less time is not traced.
const WORTH_A_LINE: Duration = Duration::from_millis(1);

/// Runs every item stage in one pass over the clips.
pub fn run(session: &Session, reporter: &dyn Reporter, stop: &AtomicBool) -> Result<Vec<Tally>> {
    let Session { config, dataset, work, digests, science, plans, .. } = session;
    let items = &dataset.items;
    let kept = kept_pictures(session, reporter)?;
    let settings = session.worker_settings();
    let kept = kept.as_ref();
    let drain = Drain::new(stop, Duration::from_secs_f64(config.run.drain));
    let (settings, drain, trace) = (&settings, &drain, session.trace.as_deref());
    let context = Context { items, plans, science, digests, work, kept, settings, reporter, drain, trace };
    let stale = |plan: &StagePlan| plan.shards.iter().any(|s| s.stale.is_some());
    let due = |plan: &StagePlan| {
        plan.shards.iter().flat_map(|s| s.stale.iter().flatten()).any(|state| matches!(state, ItemState::Due(_)))
    };

    let clip_stage = plans.iter().position(|plan| plan.decl.id == encode_clip::DECL.id && due(plan));
    let jobs = match config.run.jobs {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        jobs => jobs,
    };
    let load = |clip| load_encoder(clip, config, reporter);
    let encoding = science.clip.as_ref().filter(|_| clip_stage.is_some());
    let encoding = encoding.map(|clip| Encoding::new(clip, &config.run, jobs, move || load(clip)));
    let encoding = encoding.as_ref();

    let publish_every = Duration::from_secs_f64(config.run.publish_every);
    let mut writers: Vec<StageWriter<'_>> = plans
        .iter()
        .zip(&science.stages)
        .map(|(plan, stage)| StageWriter::new(work, items, plan, stage.columns.clone(), publish_every, reporter))
        .collect();
    if !plans.iter().any(stale) {
        return writers.into_iter().map(StageWriter::finish).collect();
    }

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
        for lane in 1..=jobs {
            let (tasks, to_writer) = (task_in.clone(), to_writer.clone());
            let traced = trace.map(|trace| (trace, lane));
            let embedder = encoding.map(|encoding| Embedder::new(encoding, to_encoder.clone(), traced));
            threads.push(scope.spawn(move || {
                let outcome = run_lane(Lane::new(lane, context, to_writer, embedder), &tasks, stop);
                if let Some(encoding) = encoding {
                    encoding.rest();
                }
                outcome
            }));
        }
        drop((task_in, to_encoder));
        if let (Some(encoding), Some(clip), Some(stage)) = (encoding, &science.clip, clip_stage) {
            let (to_writer, batch_size) = (to_writer.clone(), config.run.batch_size);
            threads.push(scope.spawn(move || {
                let encoder = match encoding.encoder() {
                    Ok(encoder) => encoder,
                    Err(ended) => return give_up(ended, stop),
                };
                if encoding.is_across(encoder) {
                    let traced = trace.map(|trace| (trace, jobs + 1));
                    encode::run(clip, encoder, batch_size, stage, &encoder_in, &to_writer, traced)
                } else {
                    Ok(())
                }
            }));
        } else {
            drop(encoder_in);
        }
        drop(to_writer);

        let written = write(&mut writers, writer_in, session, stop);
        if written.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        let joined: Vec<Result<()>> = threads
            .into_iter()
            .map(|t| t.join().unwrap_or_else(|panic| Err(Error::Internal(panic_message(&*panic)))))
            .collect();
        if let Some(n) = encoding.and_then(Encoding::reduced_to) {
            let message = format!(
                "the device was out of memory; from then on it took {n} pictures at a time, which may change the last digits of embeddings. \
                 End what else uses the device, or take a smaller model"
            );
            reporter.report(&Event::Warning { message });
        }
        // Whatever went wrong, what is finished is published before it is told, in every stage.
        let tallies: Vec<Result<Tally>> = writers.into_iter().map(StageWriter::finish).collect();
        written?;
        joined.into_iter().collect::<Result<()>>()?;
        tallies.into_iter().collect()
    })
}

/// One lane, from its first clip to the last.
fn run_lane(mut lane: Lane<'_>, tasks: &Receiver<Task>, stop: &AtomicBool) -> Result<()> {
    for task in tasks {
        if let Err(ended) = lane.process(&task) {
            return give_up(ended, stop);
        }
    }
    Ok(())
}

/// The other lanes finish what they have begun.
fn give_up(ended: Ended, stop: &AtomicBool) -> Result<()> {
    match ended {
        Ended::Disconnected | Ended::Drained => Ok(()),
        Ended::Failed(error) => {
            stop.store(true, Ordering::Relaxed);
            Err(error)
        }
    }
}

/// Loads the model and says what it is and where it runs.
fn load_encoder(clip: &ClipScience, config: &Config, reporter: &dyn Reporter) -> Result<Encoder> {
    let encoder = Encoder::load(&clip.checkpoint, &clip.spec, config.run.device, config.run.batch_size)
        .map_err(|e| refuse(encode_clip::DECL.id, &e))?;
    if !encoder.unexpected_tensors().is_empty() {
        let names = encoder.unexpected_tensors().join(", ");
        reporter.report(&Event::Warning { message: format!("the checkpoint has tensors that are not used: {names}") });
    }
    let (info, backend) = (clip.checkpoint.describe(), encoder.backend());
    let random = if info.random_weights { " (RANDOM weights)" } else { "" };
    let model = format!("{}{random} on {backend}", info.name);
    reporter.report(&Event::ModelLoaded { stage: encode_clip::DECL.id, model });
    Ok(encoder)
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
        let contents = due.iter().filter_map(|item| {
            known_content(&session.dataset.items[*item], Source::Pictures, &session.digests, Depth::Run)
        });
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
            if plan.shards[shard].is_taken_up() && to_writer.send((position, WriterMessage::Begin(shard))).is_err() {
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
                    ItemState::LeftOut | ItemState::Known(_) => None,
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
fn write(
    writers: &mut [StageWriter<'_>],
    inbox: Receiver<ToWriter>,
    session: &Session,
    stop: &AtomicBool,
) -> Result<()> {
    let Session { config, dataset, digests, work, .. } = session;
    let publish_every = Duration::from_secs_f64(config.run.publish_every);
    let (mut digests_saved, mut pause) = (Instant::now(), publish_every);
    let mut attempts = Attempts::load(&work.attempts());
    let outcome = loop {
        let message = inbox.recv_timeout(Duration::from_millis(200));
        if let Some(trace) = session.trace.as_ref().filter(|_| message.is_ok()) {
            trace.depth(Queue::Values, inbox.len());
        }
        match message {
            Ok((stage, WriterMessage::Begin(shard))) => writers[stage].begin(shard)?,
            Ok((stage, WriterMessage::Displacing { item, key, done })) => {
                writers[stage].displace(item, &key)?;
                // A lane that is gone does not wait.
                let _ = done.send(());
            }
            Ok((stage, WriterMessage::Finished(finished))) => {
                if finished.is_failure() {
                    attempts.count(&dataset.items[finished.item].id, finished.key);
                }
                let begin = Instant::now();
                writers[stage].take(finished)?;
                // What only lies in memory is not worth a line.
                if let Some(trace) = session.trace.as_ref().filter(|_| begin.elapsed() > WORTH_A_LINE) {
                    trace.span(trace::WRITER, "publish", begin, writers[stage].id());
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break Ok(()),
        }
        // Every stage, since the one that is ahead may be waiting for nothing more.
        for writer in writers.iter_mut() {
            writer.tick()?;
        }
        if digests_saved.elapsed() >= pause {
            // Hashes are hours of reading on a large data set; a large cache is saved less often, to stay below 5 % of the time.
            let start = Instant::now();
            digests.save()?;
            attempts.save()?;
            pause = publish_every.max(start.elapsed() * 20);
            digests_saved = Instant::now();
        }
        let failed: usize = writers.iter().map(|w| w.tally.failed).sum();
        let limit = config.run.max_failures;
        if limit.is_passed(failed, dataset.items.len()) && !stop.load(Ordering::Relaxed) {
            break Err(Error::TooManyFailures { failed, limit: limit.to_string() });
        }
    };
    attempts.save()?;
    outcome
}
