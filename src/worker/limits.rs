//! How much time and memory a worker may take for one file, and how long a run that was asked to end waits for it: so a hang or a bomb
//! costs its item and nothing else.

use std::io::{self, Read};
use std::process::ChildStdout;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use crate::config::Run;

/// Bytes a second at which files are read, and the sound in them is decoded, at the least.
const SLOWEST: f64 = 1e6;

/// Bytes that a second of a real clip has at least. What a container says of its length is believed up to there: a header may promise days.
const THINNEST: f64 = 1e3;

/// How often a reader looks whether the run has been asked to end.
const LOOK: Duration = Duration::from_millis(100);

/// What one file may take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Seconds for any file.
    pub seconds: f64,
    /// More for each second of its length.
    pub per_second: f64,
    /// Bytes of address space; 0: no limit.
    pub address_space: u64,
}

impl Limits {
    /// As `[run]` says.
    pub fn of(run: &Run) -> Limits {
        let address_space = run.worker_memory << 20;
        Limits { seconds: run.clip_timeout, per_second: run.clip_timeout_per_second, address_space }
    }

    /// For a file of this size, as long as its length is not known.
    pub fn at_first(&self, bytes: u64) -> Duration {
        duration(self.seconds + bytes as f64 / SLOWEST)
    }

    /// More, once its packets say that it lasts this many seconds.
    pub fn for_length(&self, bytes: u64, seconds: f64) -> Duration {
        duration(self.per_second * seconds.min(bytes as f64 / THINNEST))
    }
}

/// Of seconds that may be none, or more than a clock can tell.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::from_hours(24 * 365))
}

/// Until when a run that was asked to end waits for what it has begun.
#[derive(Debug)]
pub struct Drain<'a> {
    stop: &'a AtomicBool,
    grace: Duration,
    since: OnceLock<Instant>,
}

impl<'a> Drain<'a> {
    /// `grace` from the moment that `stop` is seen to be set.
    pub fn new(stop: &'a AtomicBool, grace: Duration) -> Self {
        Drain { stop, grace, since: OnceLock::new() }
    }

    /// Whether the run was asked to end, and the time for it is over.
    pub fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) && self.since.get_or_init(Instant::now).elapsed() >= self.grace
    }
}

/// A worker's output, read until its time is up: then reading fails with [`io::ErrorKind::TimedOut`].
///
/// Only waiting counts. What the reader does in between - encoding pictures, say - is not the worker's time.
pub(super) struct Patient<'a> {
    output: ChildStdout,
    left: Duration,
    pub(super) drain: &'a Drain<'a>,
}

impl<'a> Patient<'a> {
    pub(super) fn new(output: ChildStdout, drain: &'a Drain<'a>) -> Self {
        Patient { output, left: Duration::ZERO, drain }
    }

    /// From here on it may take this long.
    pub(super) fn allow(&mut self, time: Duration) {
        self.left = time;
    }

    /// And this much longer.
    pub(super) fn allow_more(&mut self, time: Duration) {
        self.left = self.left.saturating_add(time);
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let slice = LOOK.min(self.left);
            let timeout = Timespec { tv_sec: 0, tv_nsec: slice.subsec_nanos().into() };
            let start = Instant::now();
            let ready = poll(&mut [PollFd::new(&self.output, PollFlags::IN)], Some(&timeout));
            self.left = self.left.saturating_sub(start.elapsed());
            match ready {
                // What is there is taken, however late it is.
                Ok(1..) => return self.output.read(buffer),
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if self.left.is_zero() || self.drain.is_over() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn length_counts_as_far_as_the_size_bears_it_out() {
        let limits = Limits { seconds: 60.0, per_second: 4.0, address_space: 0 };
        let megabytes = 5_000_000;
        assert_eq!(limits.at_first(megabytes), Duration::from_secs(65));
        assert_eq!(limits.for_length(megabytes, 10.0), Duration::from_secs(40));
        // A header that promises 143,165 s in 100 kB.
        assert_eq!(limits.for_length(100_000, 143_165.0), Duration::from_secs(400));
        for odd in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(limits.for_length(1000, odd) <= Duration::from_secs(4), "{odd}");
        }
    }

    #[test]
    fn only_waiting_counts_and_the_end_of_a_run_ends_it() {
        let stop = AtomicBool::new(false);
        let drain = Drain::new(&stop, Duration::ZERO);
        let mut sleeper = Command::new("sleep").arg("30").stdout(Stdio::piped()).spawn().expect("sleep");
        let mut patient = Patient::new(sleeper.stdout.take().expect("piped"), &drain);
        patient.allow(Duration::from_millis(30));
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(patient.left, Duration::from_millis(30));
        let timed_out = |patient: &mut Patient<'_>| {
            let error = patient.read(&mut [0; 8]).expect_err("nothing comes");
            error.kind() == io::ErrorKind::TimedOut
        };
        assert!(timed_out(&mut patient) && patient.left.is_zero());
        stop.store(true, Ordering::Relaxed);
        patient.allow(Duration::from_hours(1));
        assert!(timed_out(&mut patient) && !patient.left.is_zero());
        sleeper.kill().expect("kill");
        sleeper.wait().expect("wait");
        assert_eq!(patient.read(&mut [0; 8]).expect("the end"), 0);
    }
}
