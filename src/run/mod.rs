//! Running: a plan becomes values in the store. First the item stages in one pass over the clips ([`pass`]), or several where
//! other processes take something away ([`passes`]), then the set stages, which see the whole data set ([`sets`]).

pub mod clip;
pub mod embed;
pub mod encode;
pub mod kept;
pub mod painting;
pub mod pass;
mod passes;
pub mod predict;
pub mod retract;
pub mod sets;
pub mod stored;
pub mod writer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use contract::Item;

use crate::error::Result;
use crate::events::{Event, Reporter, StageEnd};
use crate::plan::StagePlan;
use crate::run::painting::Painting;
use crate::run::writer::Tally;
use crate::session::Session;
use crate::store::WorkDir;
use crate::store::publish::{publish_bytes, sweep_temporaries};

/// Runs the selected stages to the end, or until `stop` is set. Returns whether it was stopped.
pub fn run(session: &Session, reporter: &dyn Reporter, stop: &AtomicBool) -> Result<Finish> {
    let start = Instant::now();
    let Session { dataset, work, .. } = session;
    reporter.report(&Event::Discovered {
        name: dataset.name.clone(),
        items: dataset.items.len(),
        notes: dataset.notes.clone(),
    });
    publish_items(work, &dataset.items)?;
    sweep(work);
    let (mut painting, mut planned_again) = (Painting::of(session), None);
    while painting.announce(planned_again.as_ref().unwrap_or(session), reporter)? {
        planned_again = Some(session.planned_again()?);
    }
    let session = planned_again.as_ref().unwrap_or(session);
    for plan in &session.plans {
        for damaged in &plan.index.damaged {
            reporter.report(&Event::damaged(&damaged.path, &damaged.message));
        }
        reporter.report(&Event::Planned { stage: plan.decl.id, counts: plan.counts() });
    }
    sets::check(session)?;
    let pass = Instant::now();
    let (replanned, tallies) = passes::run(session, &mut painting, reporter, stop)?;
    let item_seconds = pass.elapsed().as_secs_f64();
    let session = replanned.as_ref().unwrap_or(session);
    let Session { work, plans, .. } = session;
    let mut stopped = stop.load(Ordering::Relaxed);
    painting.end()?;
    let stages: Vec<StageEnd> = plans.iter().zip(&tallies).map(|(plan, tally)| stage_end(work, plan, tally)).collect();
    let failed = stages.iter().map(|s| s.failed).sum();
    let mut report = None;
    if !stopped {
        (report, stopped) = sets::run(session, reporter, stop)?;
        session.digests.save()?;
    }
    let seconds = start.elapsed().as_secs_f64();
    reporter.report(&Event::Finished { stages: stages.clone(), seconds, item_seconds, stopped });
    Ok(Finish { stopped, failed, stages, report })
}

/// Removes what dead processes left under temporary names.
fn sweep(work: &WorkDir) {
    for decl in crate::registry::STAGES {
        for folder in [work.stage(decl.id), work.parts(decl.id)] {
            sweep_temporaries(&folder);
        }
    }
    // Any stage's: they lie beside each other.
    let beside = [work.index(discover::DECL.id), work.checkpoint(discover::DECL.id), work.status()];
    let state = beside.iter().filter_map(|file| file.parent());
    for folder in state.chain([&*work.digests(), &*work.painters()]) {
        sweep_temporaries(folder);
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
