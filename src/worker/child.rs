//! The runner's end of a media worker: start it, ask, hear, and find out how it died.
//!
//! The one who starts a worker must be the thread that uses it: Linux kills the worker when that thread ends, so that a runner that is
//! killed leaves no orphan even where the worker is deep in a decoder and does not see its input close.

use std::io::{self, BufReader, BufWriter, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use contract::{Cause, Failure};

use crate::error::{Error, Result};
use crate::worker::limits::{Drain, Patient};
use crate::worker::protocol::{Hello, Reply, Request, Settings, receive, send};

/// Names another worker than the one beside this program.
pub const WORKER_VARIABLE: &str = "PIPELINE_MEDIA_WORKER";

/// The worker's name.
const NAME: &str = "pipeline-media";

/// How often a worker is started that is ended by a signal before it is ready.
const STARTS: u32 = 3;

/// How long one may take to start: it loads libav, perhaps over a network.
const START: Duration = Duration::from_mins(2);

/// How the death of a process that was killed begins.
const SIGNAL: &str = "signal";

/// What Rust says before it ends a program that asked for more memory than it may have.
const NO_MEMORY: &str = "memory allocation of";

/// How much of a worker's last words is kept.
const LAST_WORDS: usize = 4096;

/// glibc gives the memory of each decoded picture back to the system and asks for it again for the next, and every fresh page costs more
/// than it took to fill it. A worker keeps what it had: its pictures are of one size for hours. (Other allocators do not know the names.)
const ALLOCATOR: [(&str, &str); 2] = [("MALLOC_MMAP_THRESHOLD_", "33554432"), ("MALLOC_TRIM_THRESHOLD_", "268435456")];

/// A worker process.
pub struct MediaWorker<'a> {
    process: Child,
    to: BufWriter<ChildStdin>,
    from: BufReader<Patient<'a>>,
    words: Option<JoinHandle<Vec<u8>>>,
}

/// How a worker ended that should not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// Of what.
    pub of: DeathOf,
    /// In plain words, e.g. `signal 11`.
    pub how: String,
    /// The last line that it wrote to its standard error; empty where it wrote nothing.
    pub words: String,
}

/// What a worker died of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeathOf {
    /// Whatever it was given, or somebody from outside.
    Anything,
    /// It took longer than it may.
    Time,
    /// It asked for more memory than it may have.
    Memory,
    /// The run was asked to end and waits no longer.
    EndOfRun,
}

impl Death {
    /// The failure of the item that it died on.
    pub fn failure(&self) -> Failure {
        match self.of {
            DeathOf::Time => Failure::new(
                Cause::Timeout,
                format!(
                    "it was not decoded in time: {}; run.clip_timeout and run.clip_timeout_per_second allow more",
                    self.how
                ),
            ),
            DeathOf::Memory => Failure::new(
                Cause::TooLarge,
                format!("decoding it takes more memory than run.worker_memory allows ({})", self.words),
            ),
            DeathOf::Anything | DeathOf::EndOfRun => {
                Failure::new(Cause::Crashed, format!("the process that decoded it died, twice ({})", self.how))
            }
        }
    }
}

impl<'a> MediaWorker<'a> {
    /// Starts a worker and waits until it is ready. One that is ended from outside before it is gets a successor: whoever asks all
    /// processes of a run to end may meet one that does not yet ignore it.
    pub fn start(settings: &Settings, drain: &'a Drain<'a>) -> Result<MediaWorker<'a>> {
        Self::start_program(&find()?, settings, drain)
    }

    /// [`MediaWorker::start`] of this program.
    pub fn start_program(program: &Path, settings: &Settings, drain: &'a Drain<'a>) -> Result<MediaWorker<'a>> {
        let mut starts = 1;
        loop {
            match Self::start_once(program, settings, drain)? {
                Ok(worker) => return Ok(worker),
                Err(death) if starts < STARTS && death.how.starts_with(SIGNAL) => starts += 1,
                Err(death) => {
                    let message = format!("it ended at once ({}) {}", death.how, death.words).trim_end().to_string();
                    return Err(Error::Worker { path: program.to_path_buf(), message });
                }
            }
        }
    }

    fn start_once(program: &Path, settings: &Settings, drain: &'a Drain<'a>) -> Result<Result<MediaWorker<'a>, Death>> {
        let fail = |message: String| Error::Worker { path: program.to_path_buf(), message };
        let mut process = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .envs(ALLOCATOR)
            // Ctrl-C in a terminal goes to a whole group, and what the workers have begun is to be finished.
            .process_group(0)
            .spawn()
            .map_err(|e| fail(format!("it cannot be started ({e})")))?;
        let (stdin, stdout, stderr) = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(fail("it has no pipes".to_string()));
        };
        let mut worker = MediaWorker {
            process,
            to: BufWriter::new(stdin),
            from: BufReader::with_capacity(1 << 16, Patient::new(stdout, drain)),
            words: Some(std::thread::spawn(move || last_words(stderr))),
        };
        worker.allow(START);
        let hello = match worker.receive(&mut Vec::new()) {
            Ok(hello) => hello,
            Err(death) => return Ok(Err(death)),
        };
        match hello {
            Reply::Hello(hello) if hello == Hello::ours() => {}
            Reply::Hello(hello) => {
                let ours = Hello::ours();
                return Err(fail(format!(
                    "it is of another build (version {}, protocol {}, {}; wanted: {}, {}, {})",
                    hello.version, hello.protocol, hello.libav, ours.version, ours.protocol, ours.libav
                )));
            }
            _ => return Err(fail("it does not say who it is".to_string())),
        }
        let told = worker.send(&Request::Settings(settings.to_text()));
        Ok(told.map(|()| worker))
    }

    /// Asks. A worker that is not there any more is found out by [`MediaWorker::receive`] at the latest.
    pub fn send(&mut self, request: &Request) -> Result<(), Death> {
        send(&mut self.to, request, &[]).map_err(|_| self.bury())
    }

    /// From here on it may take this long, all waiting for it taken together.
    pub fn allow(&mut self, time: Duration) {
        self.from.get_mut().allow(time);
    }

    /// And this much longer.
    pub fn allow_more(&mut self, time: Duration) {
        self.from.get_mut().allow_more(time);
    }

    /// Waits for the next reply; `bulk` becomes what came with it.
    pub fn receive(&mut self, bulk: &mut Vec<u8>) -> Result<Reply, Death> {
        match receive(&mut self.from, bulk) {
            Ok(Some(reply)) => Ok(reply),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(self.replace("it said what nobody understands"))
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(self.end_late()),
            Ok(None) | Err(_) => Err(self.bury()),
        }
    }

    /// Ends a worker that went wrong in its own way.
    pub fn replace(&mut self, how: &str) -> Death {
        Death { of: DeathOf::Anything, how: how.to_string(), ..self.bury() }
    }

    /// Ends a worker that has had its time.
    fn end_late(&mut self) -> Death {
        let (of, how) = if self.from.get_ref().drain.is_over() {
            (DeathOf::EndOfRun, "the run was asked to end")
        } else {
            (DeathOf::Time, "it was waited for as long as it may take")
        };
        // It does nothing that would be missed, and need not be asked twice.
        let _ = self.process.kill();
        Death { of, how: how.to_string(), ..self.bury() }
    }

    /// Ends the process, if it has not ended, and says how it did.
    fn bury(&mut self) -> Death {
        // It closes its output when it ends, so there is little to wait for; one that has closed it and goes on is of no use.
        let status = match self.process.try_wait() {
            Ok(Some(status)) => Some(status),
            _ => wait_a_little(&mut self.process),
        };
        let words = self.words.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        // Rust may say more behind it.
        let no_memory = words.lines().find(|line| line.contains(NO_MEMORY));
        let of = match status.and_then(|status| status.signal()) {
            Some(signal_hook::consts::SIGXCPU) => DeathOf::Time,
            _ if no_memory.is_some() => DeathOf::Memory,
            _ => DeathOf::Anything,
        };
        let last = || words.lines().rfind(|line| !line.trim().is_empty());
        let words = no_memory.or_else(last).unwrap_or_default().trim().to_string();
        Death { of, how: status.map_or_else(|| "it closed its output".to_string(), told), words }
    }
}

impl Drop for MediaWorker<'_> {
    fn drop(&mut self) {
        // It holds nothing that would be missed, and may be in the middle of an hour of video.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The status of a process that is about to end; it is made to end when it does not.
fn wait_a_little(process: &mut Child) -> Option<ExitStatus> {
    for _ in 0..50 {
        std::thread::sleep(std::time::Duration::from_millis(2));
        if let Ok(Some(status)) = process.try_wait() {
            return Some(status);
        }
    }
    let _ = process.kill();
    let _ = process.wait();
    None
}

fn told(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("{SIGNAL} {signal}"),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "no status".to_string(),
    }
}

/// Reads to the end and keeps the end of it.
fn last_words(mut stderr: ChildStderr) -> Vec<u8> {
    let (mut words, mut piece) = (Vec::new(), [0; 1024]);
    while let Ok(n @ 1..) = stderr.read(&mut piece) {
        words.extend_from_slice(&piece[..n]);
        let excess = words.len().saturating_sub(LAST_WORDS);
        words.drain(..excess);
    }
    words
}

/// The path as a request carries it.
pub fn path_bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

/// The worker's executable: beside this one, or one folder up (where Cargo puts what it builds, seen from a test).
pub(crate) fn find() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(WORKER_VARIABLE).filter(|named| !named.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let own = std::env::current_exe().map_err(|e| Error::Internal(format!("where this program lies: {e}")))?;
    let folder = own.parent().unwrap_or(Path::new("/"));
    let places = [folder.join(NAME), folder.parent().unwrap_or(folder).join(NAME)];
    let found = places.iter().find(|place| place.is_file()).cloned();
    found.ok_or_else(|| {
        let message = format!(
            "it is not there; it is built and installed with `pipeline` (`cargo build --bins`, `cargo install --path .`), and \
             {WORKER_VARIABLE} names another place"
        );
        Error::Worker { path: places[0].clone(), message }
    })
}
