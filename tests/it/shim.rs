//! Drives `shim.c`: a library between the binary and libc that counts what happens to the files of a work directory, writes it
//! down, and makes a chosen call fail or kill the process.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Calls by which a work directory changes: the instants at which a kill can matter.
pub(crate) const CHANGES: [&str; 7] = ["create", "write", "truncate", "sync", "rename", "unlink", "mkdir"];

/// What a runner and its workers hand to each other.
pub(crate) const HAND_OVERS: [&str; 2] = ["send", "receive"];

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Runner,
    /// The first worker that comes to the chosen step.
    Worker,
}

/// What not every file system has, and nobody may ask for.
pub(crate) const NEVER: [&str; 2] = ["link", "lock"];

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The process dies before it.
    Kill,
    /// The process dies in the middle of a write, and after any other call.
    Torn,
    /// Half is written, and said so.
    Short,
    /// Half is written, and nothing from then on: the disk is full.
    Full,
    /// This error, by its number.
    Fail(i32),
    /// This error, and from then on always.
    FailsForEver(i32),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Kill => f.write_str("killed before"),
            Action::Torn => f.write_str("killed in or after"),
            Action::Short => f.write_str("half written"),
            Action::Full => f.write_str("disk full from"),
            Action::Fail(error) => write!(f, "{} at", name_of(*error)),
            Action::FailsForEver(error) => write!(f, "{} from", name_of(*error)),
        }
    }
}

/// Errors by their names, as numbers of Linux on every machine that this is built for.
pub(crate) const EINTR: i32 = 4;
pub(crate) const EIO: i32 = 5;
pub(crate) const EACCES: i32 = 13;
pub(crate) const EMFILE: i32 = 24;
pub(crate) const ENOSPC: i32 = 28;
pub(crate) const EROFS: i32 = 30;
pub(crate) const EDQUOT: i32 = 122;

fn name_of(error: i32) -> &'static str {
    match error {
        EINTR => "EINTR",
        EIO => "EIO",
        EACCES => "EACCES",
        EMFILE => "EMFILE",
        ENOSPC => "ENOSPC",
        EROFS => "EROFS",
        EDQUOT => "EDQUOT",
        _ => "an error",
    }
}

/// One thing that is to go wrong.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// The kinds of calls that are counted.
    pub(crate) kinds: Vec<&'static str>,
    /// The number of the call, from 1.
    pub(crate) at: usize,
    /// What happens there.
    pub(crate) action: Action,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kinds[..] {
            [kind] => kind,
            _ if self.kinds[..] == HAND_OVERS => "hand-over",
            _ => "change",
        };
        write!(f, "{} {kind} {}", self.action, self.at)
    }
}

/// One call, as it was written down.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// `create`, `write` …
    pub(crate) kind: String,
    /// What it returned; an error as a negative number.
    pub(crate) result: i64,
    /// Where in the file; for `create` 1 when it empties the file.
    pub(crate) offset: i64,
    /// The file or folder.
    pub(crate) path: PathBuf,
    /// The new name of a `rename`; `all` for a `sync` of everything.
    pub(crate) other: PathBuf,
    /// The bytes of a `write`, if they were asked for.
    pub(crate) data: Vec<u8>,
}

/// Puts the shim before `command`, watching `work`; its calls are written to `trace`, with the bytes if `data` says so.
pub(crate) fn watch(command: &mut Command, work: &Path, trace: &Path, data: bool, fault: Option<&Fault>) {
    // The system says where an open file lies without symbolic links; the folder itself need not be there yet.
    let root = work.parent().unwrap().canonicalize().unwrap().join(work.file_name().unwrap());
    command.env("LD_PRELOAD", library()).env("SHIM_ROOT", root).env("SHIM_TRACE", trace);
    if data {
        command.env("SHIM_DATA", "1");
    }
    if let Some(fault) = fault {
        plant(command, fault);
    }
}

/// The same for what one side of the pipes between a runner and its workers sends and receives.
pub(crate) fn watch_hand_overs(command: &mut Command, side: Side, trace: &Path, fault: Option<&Fault>) {
    let side = if side == Side::Runner { "runner" } else { "worker" };
    command.env("LD_PRELOAD", library()).env("SHIM_SIDE", side).env("SHIM_TRACE", trace);
    if let Some(fault) = fault {
        plant(command, fault);
    }
}

fn plant(command: &mut Command, fault: &Fault) {
    let action = match fault.action {
        Action::Kill => "kill".to_string(),
        Action::Torn => "torn".to_string(),
        Action::Short => "short".to_string(),
        Action::Full => "full".to_string(),
        Action::Fail(error) | Action::FailsForEver(error) => error.to_string(),
    };
    if let Action::FailsForEver(_) = fault.action {
        command.env("SHIM_LASTING", "1");
    }
    let kinds = format!(",{},", fault.kinds.join(","));
    command.env("SHIM_KINDS", kinds).env("SHIM_AT", fault.at.to_string()).env("SHIM_ACTION", action);
}

/// Reads a trace; one that ends in the middle of a line ends before it.
pub(crate) fn read_trace(path: &Path) -> Vec<Call> {
    let bytes = std::fs::read(path).unwrap();
    let (mut calls, mut at) = (Vec::new(), 0);
    while let Some(end) = bytes[at..].iter().position(|byte| *byte == b'\n').map(|n| at + n) {
        let line = std::str::from_utf8(&bytes[at..end]).unwrap();
        let fields: Vec<&str> = line.split('\t').collect();
        let [kind, result, offset, length, path, other] = fields[..] else { panic!("trace: {line}") };
        let length: usize = length.parse().unwrap();
        let data = bytes[end + 1..end + 1 + length].to_vec();
        at = end + 1 + length;
        calls.push(Call {
            kind: kind.to_string(),
            result: result.parse().unwrap(),
            offset: offset.parse().unwrap(),
            path: path.into(),
            other: other.into(),
            data,
        });
    }
    calls
}

/// The library, compiled once per version of its source and build folder.
fn library() -> PathBuf {
    let source = include_str!("shim.c");
    let build = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let done = build.join(format!("shim-{}.so", &blake3::hash(source.as_bytes()).to_hex()[..16]));
    if done.exists() {
        return done;
    }
    let scratch = tempfile::tempdir_in(build).unwrap();
    let (from, to) = (scratch.path().join("shim.c"), scratch.path().join("shim.so"));
    std::fs::write(&from, source).unwrap();
    let status = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&to, &from]).status();
    assert!(status.expect("the tests need a C compiler (./setup.sh installs it)").success(), "shim.c");
    // Another test process may have been faster: it is the same library.
    std::fs::rename(&to, &done).unwrap();
    done
}
