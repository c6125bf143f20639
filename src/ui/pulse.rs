//! Tells at regular times how far a run is and how busy the machine, beside what happens to be reported. It must hear of an event before
//! others do: then nothing follows the last one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::beside::beside;
use crate::events::{Event, Reporter, StageProgress};
use crate::usage::Usage;

/// How often somebody looks whether the run has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Counts what is reported to it.
pub struct Pulse {
    begin: Instant,
    state: Mutex<State>,
}

struct State {
    /// When the first stage was planned.
    since: Instant,
    stages: Vec<Counted>,
    is_over: bool,
}

struct Counted {
    stage: &'static str,
    due: usize,
    done: usize,
    failed: usize,
}

impl Pulse {
    /// Of a run that begins now.
    pub fn new() -> Pulse {
        let now = Instant::now();
        Pulse { begin: now, state: Mutex::new(State { since: now, stages: Vec::new(), is_over: false }) }
    }

    /// Does the work, and hands an event to `tell` every `period` meanwhile.
    pub fn during<T>(&self, period: Duration, tell: impl Fn(&Event) + Sync, work: impl FnOnce() -> T) -> T {
        let beat = |done: &AtomicBool| {
            let (mut usage, mut last) = (Usage::new(), Instant::now());
            while !done.load(Ordering::Relaxed) {
                if last.elapsed() >= period {
                    last = Instant::now();
                    self.beat(&mut usage, &tell);
                }
                std::thread::sleep(LOOK.min(period));
            }
        };
        beside(beat, work)
    }

    /// Tells it while nothing else can be counted, so that nothing is told of a run that has ended.
    fn beat(&self, usage: &mut Usage, tell: &impl Fn(&Event)) {
        let state = self.state.lock().expect("no holder panics");
        if state.is_over {
            return;
        }
        let elapsed = state.since.elapsed().as_secs_f64().max(1e-3);
        let progress = |counted: &Counted| {
            let rate = counted.done as f64 / elapsed;
            let left = counted.due.saturating_sub(counted.done) as f64;
            StageProgress {
                stage: counted.stage,
                done: counted.done,
                due: counted.due,
                failed: counted.failed,
                rate,
                seconds_left: (counted.done > 0).then(|| left / rate),
            }
        };
        let stages = state.stages.iter().map(progress).collect();
        let seconds = self.begin.elapsed().as_secs_f64();
        tell(&Event::Progress { seconds, stages, cpu: usage.cpu(), gpus: usage.gpus() });
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse::new()
    }
}

impl Reporter for Pulse {
    fn report(&self, event: &Event) {
        let mut state = self.state.lock().expect("no holder panics");
        match event {
            Event::Planned { stage, counts } if counts.due > 0 => {
                state.since = Instant::now();
                state.stages.push(Counted { stage, due: counts.due, done: 0, failed: 0 });
            }
            Event::Item { stage, failure, .. } => {
                if let Some(counted) = state.stages.iter_mut().find(|counted| counted.stage == *stage) {
                    counted.done += 1;
                    counted.failed += usize::from(failure.is_some());
                }
            }
            Event::Finished { .. } => state.is_over = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Counts;

    #[test]
    fn it_counts_while_the_work_lasts_and_then_ends() {
        let (pulse, told) = (Pulse::new(), Mutex::new(Vec::new()));
        pulse.report(&Event::Planned { stage: "log-mel", counts: Counts { due: 3, ..Counts::default() } });
        pulse.report(&Event::Planned { stage: "encode-clip", counts: Counts::default() });
        let failure = contract::Failure::new(contract::Cause::Corrupt, "broken");
        for failure in [None, Some(failure)] {
            pulse.report(&Event::Item { stage: "log-mel", id: "x".into(), failure, copied: false });
        }
        let tell = |event: &Event| told.lock().expect("no panic").push(event.clone());
        let work = || {
            while told.lock().expect("no panic").len() < 2 {
                std::thread::sleep(Duration::from_millis(1));
            }
            "done"
        };
        assert_eq!(pulse.during(Duration::from_millis(5), tell, work), "done");
        let told = told.into_inner().expect("no panic");
        let Some(Event::Progress { stages, .. }) = told.last() else { panic!("{told:?}") };
        assert_eq!(stages.len(), 1, "a stage with nothing to do is none to wait for");
        assert_eq!((stages[0].stage, stages[0].done, stages[0].due, stages[0].failed), ("log-mel", 2, 3, 1));
        let left = stages[0].seconds_left.expect("one is left");
        assert!((left * stages[0].rate - 1.0).abs() < 1e-9, "{left} s at {}/s", stages[0].rate);
    }
}
