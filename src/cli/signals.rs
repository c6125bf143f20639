//! Signals: SIGINT, SIGTERM and SIGUSR1 ask a run for an orderly end within a set time; a second SIGINT ends it at once. Either way nothing
//! that was published is lost, and the same command goes on from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};

use crate::beside::beside;
use crate::events::{Event, Reporter};
use crate::exit;

/// What publishing may take on top of `run.drain`, before the process ends as if it were killed - which is safe, too.
const PUBLISHING: Duration = Duration::from_secs(30);

/// How often somebody looks whether a signal came.
const LOOK: Duration = Duration::from_millis(50);

/// The signals that a run listens to, from [`Signals::listen`] on.
pub(super) struct Signals {
    stop: Arc<AtomicBool>,
    /// Set by signals alone, while a run stops itself for other reasons, too.
    asked: Arc<AtomicBool>,
}

impl Signals {
    pub(super) fn listen() -> Signals {
        let signals = Signals { stop: Arc::default(), asked: Arc::default() };
        let (again, code) = (Arc::clone(&signals.asked), i32::from(exit::STOPPED));
        signal_hook::flag::register_conditional_shutdown(SIGINT, code, again).expect("SIGINT may be handled");
        for signal in [SIGINT, SIGTERM, SIGUSR1] {
            for flag in [&signals.stop, &signals.asked] {
                signal_hook::flag::register(signal, Arc::clone(flag)).expect("the signal may be handled");
            }
        }
        signals
    }

    /// What is set when the run is to end.
    pub(super) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// Does the work; beside it, tells when a signal came, and sees to it that the process then ends in time.
    pub(super) fn during<T>(&self, drain: f64, reporter: &dyn Reporter, work: impl FnOnce() -> T) -> T {
        beside(|done| self.watch(drain, reporter, done), work)
    }

    fn watch(&self, drain: f64, reporter: &dyn Reporter, done: &AtomicBool) {
        let mut asked: Option<Instant> = None;
        while !done.load(Ordering::Relaxed) {
            if asked.is_none() && self.asked.load(Ordering::Relaxed) {
                asked = Some(Instant::now());
                reporter.report(&Event::Draining { seconds: drain });
            }
            if asked.is_some_and(|since| since.elapsed() > Duration::from_secs_f64(drain) + PUBLISHING) {
                signal_hook::low_level::exit(i32::from(exit::STOPPED));
            }
            std::thread::sleep(LOOK);
        }
    }
}
