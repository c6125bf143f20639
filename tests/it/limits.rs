//! What a file may take, and how a run ends when it is asked to: hangs, bombs, signals.

use std::process::{Child, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use pipeline::worker::child::path_bytes;
use pipeline::worker::protocol::{Reply, Request, Wanted};
use pipeline::worker::{DeathOf, Drain, Limits, MediaWorker, Settings};
use rustix::process::{Pid, Signal, kill_process};

use crate::lab::{CLIPS, Lab, Said, id};
use crate::workers::{FAULT, children, wait_until};

const STAGES: [&str; 3] = ["extract-frames", "log-mel", "encode-clip"];

/// The lab's shards when the video of one clip strikes, and the causes of what failed.
fn struck(lab: &Lab, fault: &str, knobs: &[&str]) -> (Said, Vec<serde_json::Value>) {
    let mut args = vec!["run"];
    args.extend(STAGES);
    args.push("--json");
    args.extend(knobs.iter().flat_map(|knob| ["--set", knob]));
    let said = Said::new(&lab.command(&args).env(FAULT, format!("{fault}:tram-lisbon-1-1.mp4")).output().unwrap());
    let failures = serde_json::from_str(&lab.pipeline(&["failures", "--json"]).ended(0).stdout).unwrap();
    (said, failures)
}

#[test]
fn a_file_that_hangs_costs_its_own_values_and_is_tried_again() {
    let clean = Lab::new();
    clean.run(&STAGES);
    let lab = Lab::new();
    let start = Instant::now();
    let (said, failures) = struck(&lab, "hang", &["run.clip_timeout=1", "run.clip_timeout_per_second=0"]);
    let said = said.ended(4);
    assert!(start.elapsed() < Duration::from_secs(20), "{:.1?}", start.elapsed());
    let failed = |stage: &str| said.stages()[stage].2;
    assert_eq!((failed("extract-frames"), failed("log-mel"), failed("encode-clip")), (1, 0, 1));
    for failure in &failures {
        assert_eq!((&failure["id"], &failure["cause"]), (&id("tram", 1).into(), &"timeout".into()), "{failure}");
        assert!(failure["message"].as_str().unwrap().contains("run.clip_timeout"), "{failure}");
    }
    assert!(said.stdout.contains("was ended"), "{}", said.stdout);
    // A limit on time says nothing about the file: the next run tries again by itself.
    assert_eq!(lab.run(&STAGES).computed("encode-clip"), 1);
    assert_eq!(lab.shards(), clean.shards());
}

#[test]
fn a_bomb_costs_its_own_values_at_once_and_is_not_tried_again() {
    let clean = Lab::new();
    clean.run(&STAGES);
    let lab = Lab::new();
    let (said, failures) = struck(&lab, "eat", &["run.worker_memory=1024"]);
    let said = said.ended(4);
    assert_eq!(failures.len(), 2, "{failures:?}");
    for failure in &failures {
        assert_eq!((&failure["id"], &failure["cause"]), (&id("tram", 1).into(), &"too-large".into()), "{failure}");
    }
    // One process for the one file: what asks for too much once does so again.
    assert_eq!(said.stdout.matches("was replaced").count(), 1, "{}", said.stdout);
    assert_eq!(lab.pipeline(&["run", "encode-clip", "--json"]).ended(4).computed("encode-clip"), 0);
    let retried = Said::new(&lab.command(&["retry", "--class", "too-large", "--json"]).output().unwrap()).ended(0);
    assert_eq!((retried.computed("extract-frames"), retried.computed("encode-clip")), (1, 1));
    assert_eq!(lab.shards(), clean.shards());
}

/// A decoder that is refused memory says so, and its process lives on.
#[test]
fn a_picture_that_needs_more_memory_than_there_may_be_is_too_large() {
    let lab = Lab::new();
    let clip = lab.clip("tram", 1, "mp4");
    let made = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "color=s=14000x14000:r=1:d=1", "-c:v", "mjpeg"])
        .arg(&clip)
        .status()
        .unwrap();
    assert!(made.success());
    let args = ["run", "extract-frames", "--json", "--set", "run.worker_memory=512"];
    let said = lab.pipeline(&args).ended(4);
    let failures: serde_json::Value =
        serde_json::from_str(&lab.pipeline(&["failures", "--json"]).ended(0).stdout).unwrap();
    let [failure] = &failures.as_array().unwrap()[..] else { panic!("{failures}") };
    assert_eq!((&failure["id"], &failure["cause"]), (&id("tram", 1).into(), &"too-large".into()), "{failure}");
    assert!(failure["message"].as_str().unwrap().contains("more memory"), "{failure}");
    assert!(!said.stdout.contains("was replaced"), "{}", said.stdout);
}

/// The runner's clock is not the only one: where nobody looks, the system ends a worker that has used its processor time.
#[test]
fn a_worker_that_computes_for_ever_is_ended_by_the_system() {
    let lab = Lab::new();
    let settings = Settings {
        extract_frames: extract_frames::Params::default(),
        log_mel: None,
        encode_clip: None,
        limits: Limits { seconds: 0.2, per_second: 0.0, address_space: 1 << 32 },
    };
    // The worker reads its environment when it starts, and each test is a process of its own only under nextest: so by a child's.
    let (stop, path) = (AtomicBool::new(false), lab.clip("park", 0, "mp4"));
    let drain = Drain::new(&stop, Duration::ZERO);
    let script = lab.path("spins.sh");
    let worker = env!("CARGO_BIN_EXE_pipeline-media");
    std::fs::write(&script, format!("#!/bin/sh\nexec env {FAULT}=spin:park {worker}\n")).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut worker = MediaWorker::start_program(&script, &settings, &drain).unwrap();
    worker.allow(Duration::from_mins(2));
    worker.send(&Request::Open { path: path_bytes(&path), hash: false }).unwrap();
    worker.send(&Request::Make(Wanted { files: true, ..Wanted::default() })).unwrap();
    let mut bulk = Vec::new();
    assert!(matches!(worker.receive(&mut bulk), Ok(Reply::Opened(Ok(None)))));
    let death = worker.receive(&mut bulk).unwrap_err();
    assert_eq!((death.of, death.how.as_str()), (DeathOf::Time, "signal 24"), "{death:?}");
}

/// A run of which one lane hangs, and the moment at which it does.
fn hanging(lab: &Lab, drain: &str) -> Child {
    let mut args = vec!["run"];
    args.extend(STAGES);
    args.extend(["--json", "--set", drain, "--set", "run.publish_every=0.05"]);
    let mut command = lab.command(&args);
    let mut run =
        command.env(FAULT, "hang:tram-lisbon-1-1").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let runs = lab.path("work/.pipeline/v1/runs");
    let finished = || {
        let records = std::fs::read_dir(&runs).into_iter().flatten().flatten();
        let text: String = records.filter_map(|record| std::fs::read_to_string(record.path()).ok()).collect();
        text.lines().filter(|line| line.contains("\"event\":\"item\"")).count()
    };
    // All but the one that hangs.
    wait_until("the other clips are done", || {
        finished() == STAGES.len() * (CLIPS - 1) || run.try_wait().unwrap().is_some()
    });
    assert!(run.try_wait().unwrap().is_none(), "it waits for the clip that hangs");
    run
}

fn signal(run: &Child, signal: Signal) {
    kill_process(Pid::from_child(run), signal).unwrap();
}

#[test]
fn each_signal_ends_a_run_in_the_set_time_and_keeps_what_is_done() {
    let clean = Lab::new();
    clean.run(&STAGES);
    for name in [Signal::TERM, Signal::INT, Signal::USR1] {
        let lab = Lab::new();
        let run = hanging(&lab, "run.drain=1");
        let workers = children(run.id(), "pipeline-media");
        let start = Instant::now();
        signal(&run, name);
        let said = Said::new(&run.wait_with_output().unwrap()).ended(75);
        let took = start.elapsed();
        assert!(took > Duration::from_millis(900) && took < Duration::from_secs(10), "{name:?}: {took:.1?}");
        assert!(said.stdout.contains("\"draining\"") && said.stdout.contains("\"stopped\":true"), "{}", said.stdout);
        assert!(!workers.is_empty() && children(1, "pipeline-media").iter().all(|left| !workers.contains(left)));
        let again = lab.run(&STAGES);
        assert!(STAGES.iter().all(|stage| again.computed(stage) == 1), "{name:?}: {:?}", again.stages());
        assert_eq!(lab.shards(), clean.shards(), "{name:?}");
    }
}

#[test]
fn a_second_interrupt_ends_a_run_at_once() {
    let lab = Lab::new();
    let run = hanging(&lab, "run.drain=60");
    let start = Instant::now();
    signal(&run, Signal::INT);
    std::thread::sleep(Duration::from_millis(300));
    signal(&run, Signal::INT);
    Said::new(&run.wait_with_output().unwrap()).ended(75);
    assert!(start.elapsed() < Duration::from_secs(10), "{:.1?}", start.elapsed());
    lab.run(&STAGES);
}

/// What a person reads when they press Ctrl-C.
#[test]
fn a_stopped_run_says_how_to_go_on() {
    let lab = Lab::new();
    let mut command = lab.command(&["run", "log-mel", "--set", "run.drain=0.5"]);
    let run = command.env(FAULT, "hang:tram").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("it has begun", || !children(run.id(), "pipeline-media").is_empty());
    std::thread::sleep(Duration::from_millis(500));
    signal(&run, Signal::INT);
    let said = Said::new(&run.wait_with_output().unwrap()).ended(75);
    assert!(said.stderr.contains("stopping: what has begun is finished"), "{}", said.stderr);
    assert!(said.stderr.contains("the same command goes on from here"), "{}", said.stderr);
}
