//! Kills, torn files, deleted files: the defects that resumable tools are known for, by their numbers.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lab::{CLIPS, Lab, Said, ffmpeg, files_below};
use crate::scenes::computed_in_all_runs;
use crate::shim::{Action, Fault, read_trace, watch};

const STAGES: [&str; 3] = ["extract-frames", "log-mel", "encode-clip"];

fn leftovers(lab: &Lab) -> Vec<PathBuf> {
    files_below(&lab.path("work")).into_iter().filter(|p| p.to_str().unwrap().contains(".tmp-")).collect()
}

/// R1, R12: `kill -9` at any instant, started again at once: same bytes, no leftovers, little redone.
#[test]
fn r01_killed_at_random_instants_ends_in_the_same_bytes() {
    const ROUNDS: usize = 8;
    const KILLS_A_ROUND: usize = 4;
    let clean = Lab::new();
    let started = std::time::Instant::now();
    clean.run(&STAGES);
    let whole = started.elapsed();

    let lab = Lab::new();
    let mut args = vec!["run"];
    args.extend(STAGES);
    args.extend(["--json", "--set", "run.publish_every=0.01"]);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut kills, mut redone) = (0, 0);
    for round in 0..ROUNDS {
        for _ in 0..KILLS_A_ROUND {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mut child = lab.command(&args).stdout(std::process::Stdio::null()).spawn().unwrap();
            std::thread::sleep(whole.mul_f64(0.8 * (seed >> 40) as f64 / f64::from(1 << 24)));
            kills += usize::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
        lab.run(&STAGES);
        assert_eq!(lab.shards(), clean.shards(), "round {round}");
        assert_eq!(leftovers(&lab), Vec::<PathBuf>::new(), "round {round}");
        redone += computed_in_all_runs(&lab.path("work")) - STAGES.len() * CLIPS;
        std::fs::remove_dir_all(lab.path("work")).unwrap();
    }
    let values = ROUNDS * STAGES.len() * CLIPS;
    eprintln!("{kills} kills in {ROUNDS} rounds of {whole:.1?}; {redone} of {values} values were computed twice");
    assert!(kills >= ROUNDS / 2, "only {kills} runs were still alive when they were to be killed");
}

/// Shards replace each other in three steps where a file system cannot exchange two names; no row gets lost then either.
#[test]
fn rows_of_replaced_shards_are_kept_where_names_cannot_be_exchanged() {
    const RENAME_EXCHANGE: i64 = 2;
    let lab = Lab::new();
    let stages = ["log-mel", "encode-clip"];
    let run = |knobs: &[&str]| {
        let mut command = lab.command(&[&["run", "--json"], &stages[..], knobs].concat());
        watch(&mut command, &lab.path("work"), &lab.path("trace"), false, None);
        Said::new(&command.env("SHIM_NO_SWAP", "1").output().unwrap()).ended(0)
    };
    let other = ["--set", "log-mel.n_mels=40", "--set", "encode-clip.normalize=true"];
    run(&[]);
    let before = lab.shards();
    for (knobs, due) in [(&other[..], CLIPS), (&[][..], 0), (&other[..], 0), (&[][..], 0)] {
        let said = run(knobs);
        for stage in stages {
            assert_eq!(said.computed(stage), due as u64, "{stage} with {knobs:?}: {}", said.stdout);
        }
    }
    assert_eq!(lab.shards(), before);
    lab.pipeline(&["verify", "--read-data"]).ended(0);
    // It is the other way that ran: what was replaced went to the parts by a name of its own, and nothing was exchanged.
    let trace = read_trace(&lab.path("trace"));
    let renames: Vec<_> = trace.iter().filter(|call| call.kind == "rename").collect();
    assert!(renames.iter().any(|call| call.other.to_string_lossy().contains("superseded")), "{renames:?}");
    assert!(renames.iter().all(|call| call.offset & RENAME_EXCHANGE == 0), "{renames:?}");
}

/// R2: a damaged shard is found, named, set aside and rebuilt.
#[test]
fn r02_truncated_and_flipped_shards_are_rebuilt() {
    let lab = Lab::new();
    lab.run(&STAGES);
    let before = lab.shards();
    let names: Vec<&String> = before.keys().collect();
    // Truncated: any run notices.
    let truncated = lab.path("work").join(names[0]);
    let bytes = std::fs::read(&truncated).unwrap();
    std::fs::write(&truncated, &bytes[..bytes.len() / 2]).unwrap();
    let said = lab.run(&STAGES);
    assert!(said.stdout.contains("was damaged"), "{}", said.stdout);
    assert_eq!(lab.shards(), before);
    // Flipped within a value: `verify` notices.
    let flipped = lab.path("work").join(names[names.len() - 1]);
    let mut bytes = std::fs::read(&flipped).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x10;
    std::fs::write(&flipped, &bytes).unwrap();
    let said = lab.pipeline(&["verify", "--read-data"]).ended(1);
    assert!(said.stdout.contains("damaged"), "{}", said.stdout);
    lab.run(&STAGES);
    assert_eq!(lab.shards(), before);
    lab.pipeline(&["verify", "--read-data"]).ended(0);
}

/// R2 for pictures: a picture with other bytes is found by `verify` and made again.
#[test]
fn r02_damaged_pictures_are_rebuilt() {
    let lab = Lab::new();
    lab.run(&["extract-frames"]);
    let picture = lab.path("work/extract-frames/tram-tram-lisbon-2-1-02.png");
    let good = std::fs::read(&picture).unwrap();
    std::fs::write(&picture, &good[..good.len() - 9]).unwrap();
    lab.pipeline(&["verify", "--read-data"]).ended(1);
    assert_eq!(lab.run(&["extract-frames"]).computed("extract-frames"), 1);
    assert_eq!(std::fs::read(&picture).unwrap(), good);
}

/// R4: same path, same size, same modification time, other content.
#[test]
fn r04_content_replaced_behind_an_old_time_stamp_is_noticed() {
    let lab = Lab::new();
    let path = lab.clip("tram", 0, "wav");
    let old_time = std::time::SystemTime::now() - Duration::from_hours(1);
    let stamp = |path: &Path| {
        std::fs::File::options().append(true).open(path).unwrap().set_modified(old_time).unwrap();
    };
    stamp(&path);
    lab.run(&["log-mel"]);
    let size = std::fs::metadata(&path).unwrap().len();
    ffmpeg(&["-f", "lavfi", "-i", "sine=f=1234:r=48000:d=3", "-ac", "2", "-c:a", "pcm_s24le"], &path);
    stamp(&path);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), size);
    assert_eq!(lab.run(&["log-mel"]).computed("log-mel"), 1);
}

/// R5: one parameter at a time, for the ones that peers forget.
#[test]
fn r05_a_changed_parameter_never_reuses_old_output() {
    let lab = Lab::new();
    lab.run(&STAGES);
    for (stage, set) in [
        ("log-mel", "log-mel.hop_length=320"),
        ("log-mel", "log-mel.fmax=12000"),
        ("log-mel", "log-mel.mel_scale=htk"),
        ("encode-clip", "encode-clip.preprocessing=openai"),
        ("encode-clip", "encode-clip.normalize=true"),
        ("extract-frames", "extract-frames.fps=2"),
    ] {
        let said = lab.run(&[&STAGES[..], &["--set", set]].concat());
        assert_eq!(said.computed(stage), CLIPS as u64, "{set}");
    }
}

/// R5 for pictures, whose names are the same for every rate and content: a row never vouches for pictures that took the place of its own,
/// neither after a run that ended nor after one that was killed among them.
#[test]
fn r05_pictures_that_took_the_place_of_others_are_not_believed() {
    let lab = Lab::new();
    let pictures = || {
        let all = files_below(&lab.path("work/extract-frames")).into_iter();
        let pictures = all.filter(|path| path.extension().is_some_and(|e| e == "png"));
        pictures.map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect::<Vec<_>>()
    };
    lab.run(&["extract-frames"]);
    let (wanted, shards) = (pictures(), lab.shards());
    let faster = ["run", "extract-frames", "--set", "extract-frames.fps=2"];
    lab.pipeline(&faster).ended(0);
    assert!(pictures() != wanted);
    lab.run(&["extract-frames"]);
    assert!(pictures() == wanted && lab.shards() == shards, "back from another rate");
    for at in [2, 5, 9] {
        let mut command = lab.command(&faster);
        let fault = Fault { kinds: vec!["rename"], at, action: Action::Kill };
        watch(&mut command, &lab.path("work"), &lab.path("trace"), false, Some(&fault));
        assert_eq!(command.output().unwrap().status.code(), None);
        lab.run(&["extract-frames"]);
        assert!(pictures() == wanted && lab.shards() == shards, "killed before rename {at}");
    }
    // Another content, and back, with a kill between.
    let (one, other) = (lab.clip("tram", 1, "mp4"), lab.clip("park", 1, "mp4"));
    let content = std::fs::read(&one).unwrap();
    std::fs::copy(&other, &one).unwrap();
    let mut command = lab.command(&["run", "extract-frames"]);
    let fault = Fault { kinds: vec!["rename"], at: 5, action: Action::Kill };
    watch(&mut command, &lab.path("work"), &lab.path("trace"), false, Some(&fault));
    assert_eq!(command.output().unwrap().status.code(), None);
    assert!(pictures() != wanted, "some are those of the other content");
    std::fs::write(&one, content).unwrap();
    let said = lab.run(&["extract-frames"]);
    assert!(pictures() == wanted && lab.shards() == shards, "back from another content");
    assert!(said.computed("extract-frames") < 3, "the other clips keep theirs");
    lab.pipeline(&["verify"]).ended(0);
}

/// The same for pictures that another run wrote while this one was at it: it left a sign, and every row is held against its pictures.
#[test]
fn r05_pictures_that_another_run_wrote_at_the_same_time_are_not_believed() {
    let lab = Lab::new();
    lab.run(&["extract-frames"]);
    let shards = lab.shards();
    lab.run(&["extract-frames", "--work", "other", "--set", "extract-frames.fps=2"]);
    let picture = lab.path("work/extract-frames/tram-tram-lisbon-2-1-02.png");
    let good = std::fs::read(&picture).unwrap();
    let written_over = || {
        std::fs::copy(lab.path("other/extract-frames/tram-tram-lisbon-2-1-02.png"), &picture).unwrap();
        assert!(std::fs::read(&picture).unwrap() != good);
    };
    // It has more pictures of a clip, and had come to the last when it ended.
    let stray = lab.path("work/extract-frames/tram-tram-lisbon-1-1-07.png");
    let written_beside = || std::fs::copy(&picture, &stray).unwrap();
    written_over();
    written_beside();
    let sign = |owner: &str| {
        let path = lab.path("work/.pipeline/v1/painters").join(format!("0123456789abcdef-{owner}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, b"").unwrap();
        path
    };
    // Of another host's nobody knows whether it is over: it stays, and every run looks.
    let elsewhere = sign("else-where-1");
    for _ in 0..2 {
        let said = lab.run(&["extract-frames"]);
        assert_eq!(said.computed("extract-frames"), 1);
        assert!(said.stdout.contains("has written over the pictures of 1 clip"), "{}", said.stdout);
        assert!(std::fs::read(&picture).unwrap() == good && lab.shards() == shards && elsewhere.exists());
        assert!(!stray.exists());
        written_over();
        written_beside();
    }
    std::fs::remove_file(elsewhere).unwrap();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host = host.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "_");
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let over = sign(&format!("{host}-{}", child.id()));
    child.wait().unwrap();
    assert_eq!(lab.run(&["extract-frames"]).computed("extract-frames"), 1);
    assert!(std::fs::read(&picture).unwrap() == good && lab.shards() == shards && !stray.exists());
    assert_eq!(files_below(over.parent().unwrap()), Vec::<PathBuf>::new(), "the signs of what is over are taken down");
    lab.pipeline(&["verify", "--read-data"]).ended(0);
}

/// R6: torn bookkeeping is a cache miss, not a loss.
#[test]
fn r06_torn_or_deleted_bookkeeping_costs_nothing() {
    let lab = Lab::new();
    lab.run(&STAGES);
    let before = lab.shards();
    for file in files_below(&lab.path("work/.pipeline/v1")) {
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() * 2 / 3]).unwrap();
    }
    assert!(lab.run(&STAGES).stages().values().all(|(computed, _, _)| *computed == 0));
    std::fs::remove_dir_all(lab.path("work/.pipeline")).unwrap();
    assert!(lab.run(&STAGES).stages().values().all(|(computed, _, _)| *computed == 0));
    assert_eq!(lab.shards(), before);
}

/// R7: listed as done, file missing.
#[test]
fn r07_deleted_outputs_are_made_again() {
    let lab = Lab::new();
    lab.run(&["all"]);
    lab.run(&["extract-frames"]);
    let before = lab.shards();
    std::fs::remove_file(lab.path("work/log-mel/00001-of-00002.h5")).unwrap();
    std::fs::remove_file(lab.path("work/extract-frames/park-park-lisbon-1-1-03.png")).unwrap();
    std::fs::remove_file(lab.path("work/linear-probe/model.json")).unwrap();
    let said = lab.run(&["all", "extract-frames"]);
    assert_eq!((said.computed("log-mel"), said.computed("extract-frames"), said.computed("encode-clip")), (2, 1, 0));
    assert!(lab.path("work/linear-probe/model.json").exists());
    assert_eq!(lab.shards(), before);
}

/// R8: what a dead process left - temporary files, half a part, a file that looks like a lock - stops nobody, and what may
/// belong to a living process on another host is left alone.
#[test]
fn r08_leftovers_of_the_dead_do_not_stop_a_run() {
    let lab = Lab::new();
    lab.run(&["log-mel"]);
    let before = lab.shards();
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let dead = child.id();
    child.wait().unwrap();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let parts = lab.path("work/.pipeline/v1/parts/log-mel");
    let ours = parts.join(format!(".part-1.h5.tmp-{host}-{dead}-0"));
    let theirs = parts.join(".part-1.h5.tmp-elsewhere-1-0");
    std::fs::create_dir_all(&parts).unwrap();
    for path in [&ours, &theirs, &parts.join("part-torn.h5"), &lab.path("work/.pipeline/v1/lock")] {
        std::fs::write(path, b"half").unwrap();
    }
    let said = lab.run(&["log-mel", "--set", "store.shard_size=3"]);
    assert_eq!(said.computed("log-mel"), 0);
    assert!(said.stdout.contains("part-torn.h5 was damaged"), "{}", said.stdout);
    assert!(!ours.exists() && theirs.exists());
    lab.run(&["log-mel"]);
    assert_eq!(lab.shards(), before);
}

/// R9: an input edited while it is read is never recorded under a hash that its value does not have.
#[test]
fn r09_an_input_that_changes_during_the_run_is_refused_or_exact() {
    let lab = Lab::new();
    let path = lab.clip("park", 0, "wav");
    let tone = |f: u32| {
        let out = lab.path("tone.wav");
        let source = format!("sine=f={f}:r=48000:d=30");
        ffmpeg(&["-f", "lavfi", "-i", &source, "-ac", "2", "-c:a", "pcm_s24le"], &out);
        std::fs::read(out).unwrap()
    };
    let variants = [tone(300), tone(900)];
    let done = std::sync::atomic::AtomicBool::new(false);
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0.. {
                if done.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                std::fs::write(&path, &variants[turn % 2]).unwrap();
            }
        });
        let said = lab.pipeline(&["run", "log-mel", "--json"]);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        said
    });
    // Whatever was recorded, with the file at rest the store ends as if it had never moved.
    std::fs::write(&path, &variants[0]).unwrap();
    eprintln!("while it changed: exit {}, {:?}", said.code, said.stages());
    lab.run(&["log-mel"]);
    let reference = Lab::new();
    std::fs::write(reference.clip("park", 0, "wav"), &variants[0]).unwrap();
    reference.run(&["log-mel"]);
    assert_eq!(lab.shards(), reference.shards());
}

/// R10: what a crashed process left is removed, and nothing that is needed.
#[test]
fn r10_gc_removes_what_no_plan_needs_and_nothing_else() {
    let lab = Lab::new();
    lab.run(&STAGES);
    lab.run(&["log-mel", "--set", "log-mel.n_mels=40"]);
    let superseded = files_below(&lab.path("work/.pipeline/v1/parts"));
    assert!(!superseded.is_empty(), "the first values were put aside");
    // They are needed while the plan asks for them …
    lab.pipeline(&["gc"]).ended(0);
    assert_eq!(files_below(&lab.path("work/.pipeline/v1/parts")), superseded);
    // … and not when it asks for the present ones.
    let set = ["--set", "log-mel.n_mels=40"];
    let dry = lab.pipeline(&[&["gc", "--dry-run"][..], &set].concat()).ended(0);
    assert!(dry.stdout.contains("would remove"), "{}", dry.stdout);
    assert_eq!(files_below(&lab.path("work/.pipeline/v1/parts")), superseded);
    let before = lab.shards();
    lab.pipeline(&[&["gc"][..], &set].concat()).ended(0);
    assert_eq!(files_below(&lab.path("work/.pipeline/v1/parts")), Vec::<PathBuf>::new());
    assert_eq!(lab.shards(), before);
}

/// R11, R13: a failure is kept and told; a success on a later try is the same hit as one on the first.
#[test]
fn r13_a_success_on_a_later_try_is_the_same_value() {
    let lab = Lab::new();
    let path = lab.clip("park", 1, "wav");
    let good = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    lab.pipeline(&["run", "log-mel"]).ended(4);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, good).unwrap();
    assert_eq!(lab.run(&["log-mel"]).computed("log-mel"), 1);
    let clean = Lab::new();
    clean.run(&["log-mel"]);
    assert_eq!(lab.shards(), clean.shards());
}

/// An orderly stop: SIGTERM publishes what is finished and exits 75; the next run goes on from there.
#[test]
fn a_signal_drains_and_the_next_run_goes_on() {
    let lab = Lab::new();
    let mut child =
        lab.command(&["run", "log-mel", "encode-clip", "--json"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // Planned, so the work has begun and is far from done.
    assert!(events.any(|event| event.contains("\"planned\"")));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    let last = events.last().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert!(last.contains("\"finished\"") && last.contains("\"stopped\":true"), "{last}");
    let clean = Lab::new();
    clean.run(&["log-mel", "encode-clip"]);
    lab.run(&["log-mel", "encode-clip"]);
    assert_eq!(lab.shards(), clean.shards());
}
