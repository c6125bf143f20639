//! Running: a plan becomes values in the store. First the item stages in one pass over the clips ([`pass`]), then the set
//! stages, which see the whole data set ([`sets`]).

pub mod clip;
pub mod embed;
pub mod encode;
pub mod kept;
pub mod painting;
pub mod pass;
pub mod predict;
pub mod retract;
pub mod sets;
pub mod stored;
pub mod writer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use contract::Item;

use crate::error::{Error, Result};
use crate::events::{Event, Reporter, StageEnd};
use crate::plan::StagePlan;
use crate::run::painting::Painting;
use crate::run::writer::Tally;
use crate::session::Session;
use crate::store::WorkDir;
use crate::store::publish::{publish_bytes, sweep_temporaries};
use crate::ui::plural;

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
    let (painting, is_stale) = Painting::begin(session, reporter)?;
    let planned_again = if is_stale { Some(session.planned_again()?) } else { None };
    let session = planned_again.as_ref().unwrap_or(session);
    for plan in &session.plans {
        for damaged in &plan.index.damaged {
            reporter.report(&Event::damaged(&damaged.path, &damaged.message));
        }
        reporter.report(&Event::Planned { stage: plan.decl.id, counts: plan.counts() });
    }
    sets::check(session)?;
    let pass = Instant::now();
    let mut tallies = one_pass(session, reporter, stop)?;
    let mut written_over = painting.check(reporter)?;
    let mut replanned = None;
    for _ in 1..PASSES {
        let lost = written_over + tallies.iter().map(|tally| tally.lost).sum::<usize>();
        if lost == 0 || stop.load(Ordering::Relaxed) {
            break;
        }
        let what = plural(lost, "value or shard");
        let message = format!("{what} that the store had a moment ago, now gone or damaged: found or computed again");
        reporter.report(&Event::Warning { message });
        let session = &*replanned.insert(session.again()?);
        let again = one_pass(session, reporter, stop)?;
        written_over = painting.check(reporter)?;
        tallies = tallies.into_iter().zip(again).map(|(before, now)| now.after(before)).collect();
    }
    let item_seconds = pass.elapsed().as_secs_f64();
    let session = replanned.as_ref().unwrap_or(session);
    let Session { work, plans, .. } = session;
    let mut stopped = stop.load(Ordering::Relaxed);
    if !stopped && let Some((plan, tally)) = plans.iter().zip(&tallies).find(|(_, tally)| tally.lost > 0) {
        let what = plural(tally.lost, "value or shard");
        let message = format!(
            "another process keeps taking its shards away: {what} missing in {}",
            work.stage(plan.decl.id).display()
        );
        return Err(Error::Stage { stage: plan.decl.id, message });
    }
    if !stopped && written_over > 0 {
        let message = format!(
            "another process keeps writing other pictures into {}: run again when that one has ended, or use another work directory",
            work.stage(extract_frames::DECL.id).display()
        );
        return Err(Error::Stage { stage: extract_frames::DECL.id, message });
    }
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

/// How often values that went missing under a run are gone after.
const PASSES: usize = 4;

fn one_pass(session: &Session, reporter: &dyn Reporter, stop: &AtomicBool) -> Result<Vec<Tally>> {
    let tallies = pass::run(session, reporter, stop);
    // Hashes are worth keeping whatever became of the run.
    session.digests.save()?;
    tallies
}

/// Removes what dead processes left under temporary names.
fn sweep(work: &WorkDir) {
    for decl in crate::registry::STAGES {
        for folder in [work.stage(decl.id), work.parts(decl.id)] {
            sweep_temporaries(&folder);
        }
    }
    // Any stage's index: they lie beside each other.
    for file in [work.index(discover::DECL.id), work.digests()] {
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
