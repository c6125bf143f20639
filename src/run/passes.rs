//! Passes over the clips until one has lost nothing to other processes.
//!
//! Other runs on the same work directory may take away what this one counts on. Another pass finds it elsewhere or computes it again, and
//! sooner or later the others have ended. Only of two runs that want other pictures under the same names each spoils what the other has made; so
//! that not both begin anew for ever, each waits for a time of its own before it does, and one gets ahead.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::events::{Event, Reporter};
use crate::run::painting::Painting;
use crate::run::pass;
use crate::run::writer::Tally;
use crate::session::Session;

/// A run gives up after this many passes that lost something ...
const PASSES: u32 = 4;

/// ... but not so long after the first of them that the others might be about to end, on however slow a machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// The longest that it waits between two passes.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How often a run that waits looks whether it is to stop.
const TICK: Duration = Duration::from_millis(50);

/// Runs the item stages. Returns the session as it was planned last, if more than once, and the tally of each stage.
pub(super) fn run(
    session: &Session,
    painting: &mut Painting,
    reporter: &dyn Reporter,
    stop: &AtomicBool,
) -> Result<(Option<Session>, Vec<Tally>)> {
    let mut begun = Instant::now();
    let mut tallies = one_pass(session, reporter, stop)?;
    let mut written_over = painting.check(reporter)?;
    let mut replanned = None;
    let first_loss = Instant::now();
    for passes in 1.. {
        let lost = written_over + tallies.iter().map(|tally| tally.lost).sum::<usize>();
        if lost == 0 || stop.load(Ordering::Relaxed) {
            break;
        }
        if passes >= PASSES && first_loss.elapsed() >= PATIENCE {
            return Err(giving_up(session, &tallies, written_over, painting));
        }
        let what = values_or_shards(lost);
        let message = format!("{what} that the store had a moment ago, now gone or damaged: found or computed again");
        reporter.report(&Event::Warning { message });
        wait(begun.elapsed(), passes, stop);
        begun = Instant::now();
        let mut planned_again = session.again()?;
        while painting.announce(&planned_again, reporter)? {
            planned_again = session.again()?;
        }
        let again = one_pass(replanned.insert(planned_again), reporter, stop)?;
        written_over = painting.check(reporter)?;
        tallies = tallies.into_iter().zip(again).map(|(before, now)| now.after(before)).collect();
    }
    Ok((replanned, tallies))
}

fn one_pass(session: &Session, reporter: &dyn Reporter, stop: &AtomicBool) -> Result<Vec<Tally>> {
    let tallies = pass::run(session, reporter, stop);
    // Hashes are worth keeping whatever became of the run.
    session.digests.save()?;
    tallies
}

/// Nothing after the first pass, which most often is enough; then by chance up to the time that the last one took, and twice that after each more.
fn wait(pass: Duration, passes: u32, stop: &AtomicBool) {
    let Some(doublings) = passes.checked_sub(2) else { return };
    let longest = pass.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_WAIT);
    // The keys of a hash table are the chance that the standard library has.
    let chance = RandomState::new().hash_one(passes) as f64 / u64::MAX as f64;
    let until = Instant::now() + longest.mul_f64(chance);
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(TICK.min(until.saturating_duration_since(Instant::now())));
    }
}

/// The error of a run that gives up after such a last pass.
fn giving_up(session: &Session, tallies: &[Tally], written_over: usize, painting: &Painting) -> Error {
    let lost = session.plans.iter().zip(tallies).map(|(plan, tally)| (plan.decl.id, tally.lost));
    let lost: Vec<(&'static str, usize)> = lost.filter(|(_, lost)| *lost > 0).collect();
    // Rows go with the pictures that others write over.
    let is_painted = written_over > 0 || (painting.has_rivals() && lost.iter().any(|(stage, _)| *stage == PICTURES));
    let (stage, message) = reason(&lost, is_painted, |stage| session.work.stage(stage).display().to_string());
    Error::Stage { stage, message }
}

const PICTURES: &str = extract_frames::DECL.id;

/// What the others did, and the first stage that they did it to.
fn reason(
    lost: &[(&'static str, usize)],
    is_painted: bool,
    folder: impl Fn(&'static str) -> String,
) -> (&'static str, String) {
    let painted = || (PICTURES, format!("another process keeps writing other pictures into {}", folder(PICTURES)));
    let taken = |(stage, lost): &(&'static str, usize)| {
        let what = values_or_shards(*lost);
        (*stage, format!("another process keeps taking shards away: {what} missing in {}", folder(stage)))
    };
    let others = lost.iter().filter(|(stage, _)| !(is_painted && *stage == PICTURES));
    let reasons: Vec<(&str, String)> = is_painted.then(painted).into_iter().chain(others.map(taken)).collect();
    let stage = reasons.first().map_or(PICTURES, |(stage, _)| *stage);
    let reasons: Vec<String> = reasons.into_iter().map(|(_, reason)| reason).collect();
    let advice = "run again when that one has ended, or use another work directory";
    (stage, format!("{}: {advice}", reasons.join(", and ")))
}

fn values_or_shards(n: usize) -> String {
    if n == 1 { "1 value or shard".to_string() } else { format!("{n} values or shards") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_for_giving_up_is_what_the_others_did() {
        let reason = |lost: &[(&'static str, usize)], is_painted| {
            let (stage, message) = reason(lost, is_painted, |stage| format!("work/{stage}"));
            (
                stage,
                message
                    .strip_suffix(": run again when that one has ended, or use another work directory")
                    .expect("advice")
                    .to_string(),
            )
        };
        let pictures = "another process keeps writing other pictures into work/extract-frames";
        let taken = |what: &str, stage: &str| {
            format!("another process keeps taking shards away: {what} missing in work/{stage}")
        };
        assert_eq!(reason(&[], true), ("extract-frames", pictures.to_string()));
        assert_eq!(reason(&[("extract-frames", 1)], true), ("extract-frames", pictures.to_string()));
        let rows = taken("1 value or shard", "extract-frames");
        assert_eq!(reason(&[("extract-frames", 1)], false), ("extract-frames", rows));
        let shards = taken("2 values or shards", "log-mel");
        assert_eq!(reason(&[("log-mel", 2)], false), ("log-mel", shards.clone()));
        let both = format!("{pictures}, and {shards}");
        assert_eq!(reason(&[("extract-frames", 1), ("log-mel", 2)], true), ("extract-frames", both));
    }

    #[test]
    fn whoever_waits_is_told_to_stop() {
        let begun = Instant::now();
        wait(Duration::from_hours(1), 1, &AtomicBool::new(false));
        wait(Duration::from_hours(1), 9, &AtomicBool::new(true));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
