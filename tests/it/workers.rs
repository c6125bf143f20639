//! The processes that decode: who loads libav, what a dead one costs, and that none is left behind.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::lab::{CLIPS, Lab, Said, copy_folder, ffmpeg, id};

const STAGES: [&str; 3] = ["extract-frames", "log-mel", "encode-clip"];

/// Names the executable that the runner starts.
const WORKER: &str = "PIPELINE_MEDIA_WORKER";

/// Names a fault and a part of the paths that it strikes at.
pub(crate) const FAULT: &str = "PIPELINE_MEDIA_FAULT";

fn worker() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_pipeline-media"))
}

/// What the dynamic loader would load.
fn libraries(program: &Path) -> String {
    let output = Command::new(program).env("LD_TRACE_LOADED_OBJECTS", "1").output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_worker_loads_libav_and_the_main_program_does_not() {
    let libav = ["libavcodec", "libavformat", "libavutil", "libswscale", "libswresample"];
    let (main, worker) = (libraries(Path::new(env!("CARGO_BIN_EXE_pipeline"))), libraries(worker()));
    assert!(main.contains("libc."), "the loader does not list what it loads: {main}");
    assert!(libav.iter().all(|library| !main.contains(library)), "{main}");
    assert!(worker.contains("libavcodec"), "{worker}");
    assert!(!worker.contains("hdf5"), "a worker writes no file: {worker}");
}

/// A script in the lab that stands in for the worker.
fn stand_in(lab: &Lab, body: &str) -> PathBuf {
    let path = lab.path("worker.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn what_decodes_nothing_needs_no_worker() {
    let lab = Lab::new();
    lab.run(&STAGES);
    let said = |args: &[&str]| Said::new(&lab.command(args).env(WORKER, "/nowhere/worker").output().unwrap());
    said(&["status"]).ended(0);
    said(&["run", "extract-frames", "log-mel", "encode-clip"]).ended(0);
    let missing = said(&["run", "log-mel", "--work", "other"]).ended(1);
    assert!(
        missing.stderr.contains("/nowhere/worker") && missing.stderr.contains("cannot be started"),
        "{}",
        missing.stderr
    );
    // Kept pictures are files of our own: embeddings are made of them without a worker.
    let embed = ["run", "encode-clip", "--set", "encode-clip.normalize=true"];
    said(&embed).ended(0);
    let other = stand_in(&lab, "echo hello");
    let said = Said::new(&lab.command(&["run", "log-mel", "--work", "other"]).env(WORKER, other).output().unwrap());
    assert!(said.ended(1).stderr.contains("the media worker"), "a program that is no worker");
}

#[test]
fn a_worker_that_is_killed_once_costs_nothing() {
    let clean = Lab::new();
    clean.run(&STAGES);
    let lab = Lab::new();
    // The first dies of the third clip, the second finds it good.
    let flag = lab.path("died");
    let body = format!(
        "test -e {flag} && exec {worker}\n: > {flag}\nexec env {FAULT}=die:park-lisbon-2 {worker}",
        flag = flag.display(),
        worker = worker().display()
    );
    let script = stand_in(&lab, &body);
    let mut args = vec!["run"];
    args.extend(STAGES);
    args.extend(["--json", "--set", "run.jobs=1"]);
    let said = Said::new(&lab.command(&args).env(WORKER, script).output().unwrap()).ended(0);
    assert!(said.stdout.contains("died (signal 6) and was replaced"), "{}", said.stdout);
    assert_eq!(lab.shards(), clean.shards());
}

#[test]
fn a_file_that_kills_every_worker_costs_its_own_values() {
    let clean = Lab::new();
    clean.run(&STAGES);
    let lab = Lab::new();
    let run = |deadly: &str, args: &[&str]| {
        let mut all = vec!["run"];
        all.extend(STAGES);
        all.extend(args);
        Said::new(&lab.command(&all).env(FAULT, format!("die:{deadly}")).output().unwrap())
    };
    // Only the video is deadly: the sound of the clip is its own file.
    let said = run("tram-lisbon-1-1.mp4", &["--json"]).ended(4);
    let failed = |stage: &str| said.stages()[stage].2;
    assert_eq!((failed("extract-frames"), failed("log-mel"), failed("encode-clip")), (1, 0, 1));
    let list = lab.pipeline(&["failures"]).ended(0).stdout;
    assert!(list.contains(&id("tram", 1)) && list.contains("crashed") && list.contains("signal 6"), "{list}");
    // It is lasting: the next run does not try it again, and one with other parameters does.
    assert_eq!(run("tram-lisbon-1-1.mp4", &["--json"]).ended(4).computed("encode-clip"), 0);
    let log_mel = |lab: &Lab| lab.shards().into_iter().filter(|(name, _)| name.starts_with("log")).collect::<Vec<_>>();
    assert_eq!(log_mel(&lab), log_mel(&clean));
    let said = run("nothing", &["--json", "--set", "extract-frames.fps=2"]).ended(0);
    assert_eq!(said.computed("encode-clip"), CLIPS as u64);
}

/// Pictures and sound of one file are made by one reading of it, and are what two readings gave.
#[test]
fn a_video_with_its_own_sound_is_read_once() {
    let lab = Lab::new();
    let clips = lab.path("own");
    std::fs::create_dir_all(&clips).unwrap();
    let (video, sound) = (lab.clip("park", 0, "mp4"), lab.clip("park", 0, "wav"));
    let inputs = ["-i", video.to_str().unwrap(), "-i", sound.to_str().unwrap(), "-c:v", "copy", "-c:a", "flac"];
    ffmpeg(&[&inputs[..], &["-strict", "-2"]].concat(), &clips.join("a.mp4"));
    let each = |work: &str, stages: &[&str]| {
        let args = [&["run"], stages, &["--data", "own", "--work", work]].concat();
        lab.pipeline(&args).ended(0);
        lab.shards_in(work)
    };
    let mut alone = each("pictures", &["extract-frames", "encode-clip"]);
    alone.extend(each("sound", &["log-mel"]));
    assert_eq!(each("both", &STAGES), alone);
    assert_eq!(alone.len(), 3);
}

/// The children of a process, by name.
pub(crate) fn children(process: u32, name: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // PID (NAME) STATE PARENT …, where NAME may hold anything but is cut at 15 bytes.
        let Some((head, tail)) = stat.rsplit_once(')') else { continue };
        let parent = tail.split_whitespace().nth(1).and_then(|parent| parent.parse().ok());
        if parent == Some(process) && head.contains(&name[..name.len().min(15)]) && !tail.trim_start().starts_with('Z')
        {
            found.extend(head.split_once(' ').and_then(|(id, _)| id.parse::<u32>().ok()));
        }
    }
    found
}

fn is_alive(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, tail)| !tail.trim_start().starts_with('Z'))
}

pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Enough clips that a run is not done before it is found at work.
pub(crate) fn more_clips(lab: &Lab) {
    for copy in 0..20 {
        copy_folder(&lab.path("clips/park"), &lab.path(&format!("clips/park{copy}")));
    }
}

/// Batch systems ask every process of a job to end: the runner then ends in order, and its workers finish what they have begun.
#[test]
fn a_request_to_end_that_reaches_the_workers_fails_no_item() {
    use rustix::process::{Pid, Signal, kill_process};
    let lab = Lab::new();
    more_clips(&lab);
    let args = [&["run"], &STAGES[..], &["--json"]].concat();
    let runner = lab.command(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut workers = Vec::new();
    wait_until("there is a worker", || {
        workers = children(runner.id(), "pipeline-media");
        !workers.is_empty()
    });
    // Long enough for it to have said that it does not listen to signals.
    std::thread::sleep(Duration::from_millis(500));
    for process in workers.iter().chain([&runner.id()]) {
        let process = Pid::from_raw(i32::try_from(*process).unwrap()).unwrap();
        // One that is done already is no failure of this test.
        let _ = kill_process(process, Signal::TERM);
    }
    let said = Said::new(&runner.wait_with_output().unwrap());
    assert!(said.code == 75 || said.code == 0, "{}\n{}", said.code, said.stderr);
    assert!(!said.stdout.contains("was replaced"), "{}", said.stdout);
    assert!(said.stages().values().all(|(_, _, failed)| *failed == 0), "{}", said.stdout);
    lab.run(&STAGES);
}

#[test]
fn a_runner_that_is_killed_leaves_no_worker_behind() {
    let lab = Lab::new();
    more_clips(&lab);
    let mut args = vec!["run"];
    args.extend(STAGES);
    let mut runner = lab.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut workers = Vec::new();
    wait_until("there is a worker", || {
        workers = children(runner.id(), "pipeline-media");
        !workers.is_empty()
    });
    runner.kill().unwrap();
    runner.wait().unwrap();
    wait_until("the workers are gone", || !workers.iter().any(|worker| is_alive(*worker)));
}
