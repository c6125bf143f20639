//! `status`: what it takes from what it said before, and that nothing which it rests on escapes it.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::lab::{CLIPS, Lab};

const REMEMBERED: &str = "work/.pipeline/v1/status";

/// A lab whose data set is a table, with everything but the networks done.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.run(&["log-mel", "encode-clip"]);
    fs::copy(lab.path("work/discover/items.csv"), lab.path("items.csv")).unwrap();
    let data = "name = \"listed\"\nroot = \"$LAB_ROOT\"\ntable = \"items.csv\"\n";
    fs::write(lab.path("data.toml"), data).unwrap();
    fs::create_dir(lab.path("elsewhere")).unwrap();
    let config = fs::read_to_string(lab.path("pipeline.toml")).unwrap();
    fs::write(lab.path("pipeline.toml"), config.replace("data = \"clips\"", "data = \"data.toml\"")).unwrap();
    let ended = lab.command(&["run", "all"]).env("LAB_ROOT", ".").output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    lab
}

fn status_at(lab: &Lab, root: &str) -> String {
    let output = lab.command(&["status"]).env("LAB_ROOT", root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn status(lab: &Lab) -> String {
    status_at(lab, ".")
}

fn remembered_at(lab: &Lab) -> SystemTime {
    fs::metadata(lab.path(REMEMBERED)).unwrap().modified().unwrap()
}

/// Lets what was changed settle: nothing is remembered of files that changed a moment ago.
fn settle() {
    std::thread::sleep(Duration::from_millis(150));
}

#[test]
fn what_status_said_is_said_again_until_something_that_it_rests_on_changes() {
    let lab = lab();
    settle();
    let first = status(&lab);
    assert!(first.contains(&format!("up to date: {CLIPS} done")), "{first}");
    let at = remembered_at(&lab);
    assert_eq!(status(&lab), first);
    assert_eq!(remembered_at(&lab), at, "the second time nothing is worked out");

    let shard = lab.path("work/log-mel/00001-of-00002.h5");
    let shard_bytes = fs::read(&shard).unwrap();
    let metrics = lab.path("work/evaluate/metrics.json");
    let metrics_bytes = fs::read(&metrics).unwrap();
    let table = fs::read_to_string(lab.path("items.csv")).unwrap();
    let shorter: String = table.split_inclusive('\n').take(CLIPS).collect();
    let changes: [Change<'_>; 4] = [
        (
            "a shard is gone",
            &|| fs::remove_file(&shard).unwrap(),
            &|| fs::write(&shard, &shard_bytes).unwrap(),
            "2 to do, 4 done",
        ),
        (
            "a product has other bytes",
            &|| fs::write(&metrics, "{}").unwrap(),
            &|| fs::write(&metrics, &metrics_bytes).unwrap(),
            "metrics.json is missing or damaged",
        ),
        (
            "the table lists fewer items",
            &|| fs::write(lab.path("items.csv"), &shorter).unwrap(),
            &|| fs::write(lab.path("items.csv"), &table).unwrap(),
            "listed: 5 items",
        ),
        (
            "the configuration asks for other values",
            &|| replace(&lab, "[run]", "[log-mel]\nn_mels = 40\n[run]"),
            &|| replace(&lab, "[log-mel]\nn_mels = 40\n[run]", "[run]"),
            "params.n_mels 128 → 40",
        ),
    ];
    for (what, change, undo, seen) in changes {
        change();
        let said = status(&lab);
        assert!(said.contains(seen), "{what}:\n{said}");
        settle();
        let again = status(&lab);
        assert_eq!(again, said, "{what}: worked out and remembered");
        assert_eq!(status(&lab), said, "{what}: remembered");
        undo();
        assert_eq!(status(&lab), first, "{what}, and no longer");
        settle();
        status(&lab);
    }
    // The media are elsewhere, by a variable that the manifest names: nothing is known of those.
    let elsewhere = status_at(&lab, "elsewhere");
    assert!(!elsewhere.contains(&format!("log-mel         up to date: {CLIPS} done\n")), "{elsewhere}");
    assert_eq!(status(&lab), first);
}

/// What it is, doing it, undoing it, and what `status` says of it.
type Change<'a> = (&'a str, &'a dyn Fn(), &'a dyn Fn(), &'a str);

fn replace(lab: &Lab, from: &str, to: &str) {
    let config = fs::read_to_string(lab.path("pipeline.toml")).unwrap();
    assert!(config.contains(from));
    fs::write(lab.path("pipeline.toml"), config.replace(from, to)).unwrap();
}

#[test]
fn status_takes_media_to_be_as_they_were_and_a_dry_run_looks_at_them() {
    let lab = lab();
    settle();
    let before = status(&lab);
    let clip = lab.clip("park", 0, "wav");
    let mut bytes = fs::read(&clip).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&clip, bytes).unwrap();
    assert_eq!(status(&lab), before);
    assert!(before.contains("`pipeline run all --dry-run` looks at each"), "{before}");
    let dry = lab.command(&["run", "all", "--dry-run"]).env("LAB_ROOT", ".").output().unwrap();
    assert_eq!(dry.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&dry.stdout).contains("1 item: the file is new or was touched"));
}

/// What was left out for want of a model is not left out any longer than that.
#[test]
fn a_model_that_comes_later_is_seen() {
    let lab = lab();
    settle();
    let status = || {
        let args = ["status", "--set", "encode-clip.model=./later"];
        let output = lab.command(&args).env("LAB_ROOT", ".").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(status().contains("encode-clip is left out"));
    crate::lab::copy_folder(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/clip/fixtures/pair-quick-gelu"),
        &lab.path("later"),
    );
    let said = status();
    assert!(said.contains(&format!("encode-clip     up to date: {CLIPS} done")), "{said}");
}

/// What a run left out is not told to be left.
#[test]
fn what_is_skipped_has_no_status() {
    let lab = Lab::new();
    lab.run(&["all", "--skip", "linear-probe"]);
    let said = |args: &[&str]| lab.pipeline(args).ended(0).stdout;
    assert!(said(&["status"]).contains("linear-probe    to run"), "{}", said(&["status"]));
    let by_configuration = "run.skip=[\"audio\", \"audio-visual\", \"linear-probe\"]";
    for skip in [["--skip", "linear-probe"], ["--set", by_configuration]] {
        for command in ["status", "graph"] {
            let text = said(&[command, skip[0], skip[1]]);
            assert!(text.contains(" zero-shot ") && !text.contains(" linear-probe "), "{command} {skip:?}: {text}");
            assert!(!text.contains("to run") && !text.contains('•'), "{command} {skip:?}: {text}");
            assert_eq!(said(&[command, skip[0], skip[1]]), text);
        }
        assert_eq!(said(&["explain", "evaluate", skip[0], skip[1]]), "evaluate: up to date\n", "{skip:?}");
    }
    assert!(said(&["explain", "evaluate"]).contains("evaluate: due"));
    assert!(!said(&["graph", "--bare", "--skip", "linear-probe"]).contains("linear-probe"));
    let mistyped = lab.pipeline(&["status", "--skip", "linear-prob"]).ended(2);
    assert!(mistyped.stderr.contains("did you mean `linear-probe`?"), "{}", mistyped.stderr);
}

#[test]
fn status_of_a_part_tells_of_that_part() {
    let lab = lab();
    settle();
    let whole = status(&lab);
    let part = |args: &[&str]| {
        let output = lab.command(&[&["status"], args].concat()).env("LAB_ROOT", ".").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!part(&["--until", "log-mel"]).contains("zero-shot"));
    let of_park = part(&["--items", "park-*", "--set", "log-mel.n_mels=40"]);
    assert!(of_park.contains("log-mel         3 to do") && of_park.contains("3 items left out"), "{of_park}");
    let last = part(&["--from", "evaluate", "--set", "zero-shot.frame=1"]);
    assert!(last.contains("zero-shot       taken for done (--from, --only), and is not\n"), "{last}");
    assert!(last.contains("linear-probe    up to date\n"), "{last}");
    let last = part(&["--only", "evaluate", "--set", "log-mel.n_mels=40"]);
    assert!(last.contains("log-mel         taken for done (--from, --only), and is not; 6 items left out"), "{last}");
    assert_eq!(status(&lab), whole, "a part is not remembered as the whole");
}

#[test]
fn a_damaged_answer_is_worked_out_again() {
    let lab = lab();
    settle();
    let said = status(&lab);
    let mut bytes = fs::read(lab.path(REMEMBERED)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(lab.path(REMEMBERED), bytes).unwrap();
    assert_eq!(status(&lab), said);
}
