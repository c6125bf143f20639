//! Failures as data: which there are, how often each was tried, what is tried again, and when a run stops for them.

use crate::lab::{CLIPS, Lab, id};

/// A lab in which two sounds are no sounds and one is not there.
fn broken() -> Lab {
    let lab = Lab::new();
    for location in [0, 1] {
        std::fs::write(lab.clip("park", location, "wav"), b"RIFF").unwrap();
    }
    let gone = lab.clip("tram", 2, "wav");
    std::fs::remove_file(&gone).unwrap();
    std::os::unix::fs::symlink("nowhere", gone).unwrap();
    lab
}

fn failures(lab: &Lab, args: &[&str]) -> Vec<(String, String, u64)> {
    let said = lab.pipeline(&[&["failures", "--json"], args].concat()).ended(0);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&said.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
    rows.iter().map(|row| (text(&row["id"]), text(&row["cause"]), row["attempts"].as_u64().unwrap())).collect()
}

#[test]
fn retry_tries_what_failed_and_nothing_else() {
    let lab = broken();
    // Some items are not done at all yet.
    lab.pipeline(&["run", "log-mel"]).ended(4);
    let row = |class: &str, location, cause: &str, attempts| (id(class, location), cause.to_string(), attempts);
    let first = [row("park", 0, "corrupt", 1), row("park", 1, "corrupt", 1), row("tram", 2, "missing", 1)];
    assert_eq!(failures(&lab, &[]), first);
    assert_eq!(failures(&lab, &["--class", "missing"]), first[2..]);
    let said = lab.pipeline(&["retry", "--class", "corrupt", "--json"]).ended(4);
    assert_eq!(said.computed("log-mel"), 2);
    assert_eq!(said.stages().keys().collect::<Vec<_>>(), ["log-mel"], "what never ran is no failure");
    assert_eq!(failures(&lab, &[]), [row("park", 0, "corrupt", 2), row("park", 1, "corrupt", 2), first[2].clone()]);
    // A failure that is fixed by new content is no failure of the new content.
    let good = std::fs::read(lab.clip("park", 2, "wav")).unwrap();
    let path = lab.clip("tram", 2, "wav");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, good).unwrap();
    let said = lab.pipeline(&["run", "log-mel", "--json"]).ended(4);
    assert_eq!(said.computed("log-mel"), 0, "another clip of the same bytes has the value");
    assert_eq!(failures(&lab, &[]).len(), 2);
    let said = lab.pipeline(&["retry", "--class", "missing"]).ended(0);
    assert!(said.stdout.contains("nothing to try again"), "{}", said.stdout);
    let said = lab.pipeline(&["retry", "--class", "corupt"]).ended(2);
    assert!(said.stderr.contains("did you mean `corrupt`?"), "{}", said.stderr);
}

#[test]
fn failures_are_told_as_text_csv_and_json() {
    let lab = broken();
    assert!(lab.pipeline(&["failures"]).ended(0).stdout.contains("nothing was run in work"));
    lab.pipeline(&["run", "log-mel"]).ended(4);
    let text = lab.pipeline(&["failures"]).ended(0).stdout;
    assert!(text.contains("corrupt      2 values") && text.contains("`pipeline retry` tries them again"), "{text}");
    let csv = lab.pipeline(&["failures", "--csv"]).ended(0).stdout;
    assert_eq!(csv.lines().next(), Some("stage,id,cause,attempts,message"));
    assert_eq!(csv.lines().count(), 4, "{csv}");
    let help = lab.pipeline(&["failures", "--help"]).ended(0).stdout;
    let words: Vec<&str> = help.split_whitespace().collect();
    assert!(contract::Cause::ALL.iter().all(|cause| words.join(" ").contains(cause.meaning())), "{help}");
}

#[test]
fn a_brake_stops_a_run_and_keeps_what_is_done() {
    let lab = broken();
    let jobs = ["--set", "run.jobs=1"];
    let work = |brake: &[&str]| brake.join("").replace('-', "");
    for (brake, stops) in [
        (&["--fail-fast"][..], true),
        (&["--max-failures", "1"], true),
        (&["--max-failures", "20%"], true),
        (&["--max-failures", "3"], false),
        (&["--max-failures", "50%"], false),
        (&["--keep-going", "--set", "run.max_failures=0"], false),
    ] {
        let said = lab.pipeline(&[&["run", "log-mel", "--work", &work(brake)], brake, &jobs[..]].concat());
        let said = said.ended(if stops { 1 } else { 4 });
        assert_eq!(said.stderr.contains("failed, more than run.max_failures"), stops, "{}", said.stderr);
    }
    let said = lab.pipeline(&["run", "log-mel", "--max-failures", "many"]).ended(2);
    assert!(said.stderr.contains("a share such as `5%`"), "{}", said.stderr);
    // What was done before the brake is not done again.
    let done = |work: &str| {
        let said = lab.pipeline(&["run", "log-mel", "--work", work, "--json"]).ended(4);
        CLIPS as u64 - said.computed("log-mel")
    };
    assert!(done("maxfailures1") >= 2, "two failures were recorded");
}

/// A system that never saw most of a class would look judged and be none.
#[test]
fn a_class_that_lost_too_much_stops_what_sees_the_whole_data_set() {
    let lab = Lab::new();
    std::fs::write(lab.clip("park", 0, "mp4"), b"no video").unwrap();
    let said = lab.pipeline(&["run", "zero-shot"]).ended(1);
    assert!(said.stderr.contains("1 of 3 clips of the class `park` failed (corrupt: 1)"), "{}", said.stderr);
    assert!(!lab.path("work/zero-shot/predictions.csv").exists());
    let said = lab.pipeline(&["run", "zero-shot", "--set", "run.max_class_loss=0.34"]).ended(4);
    assert!(said.stderr.contains("zero-shot"), "{}", said.stderr);
    assert!(lab.path("work/zero-shot/predictions.csv").exists());
}

#[test]
fn verify_names_what_is_missing_foreign_or_damaged() {
    let lab = Lab::new();
    lab.run(&["all"]);
    assert!(lab.pipeline(&["verify"]).ended(0).stdout.contains("all good"));
    assert!(lab.pipeline(&["verify", "--read-data"]).ended(0).stdout.contains("read whole: all good"));
    let before = lab.shards();
    // Missing: not damaged, but due.
    std::fs::remove_file(lab.path("work/log-mel/00000-of-00002.h5")).unwrap();
    let said = lab.pipeline(&["verify"]).ended(0);
    assert!(
        said.stdout.contains("missing: work/log-mel/00000-of-00002.h5 (4 items, of which 4 to compute)"),
        "{}",
        said.stdout
    );
    lab.run(&["all"]);
    // Foreign: good shards in wrong places.
    let copy = |from: &str, to: &str| std::fs::copy(lab.path(from), lab.path(to)).unwrap();
    copy("work/encode-clip/00000-of-00002.h5", "work/log-mel/00000-of-00002.h5");
    copy("work/encode-clip/00000-of-00002.h5", "work/encode-clip/00001-of-00002.h5");
    let said = lab.pipeline(&["verify"]).ended(1);
    assert!(said.stdout.contains("a shard of encode-clip, not of log-mel; set aside"), "{}", said.stdout);
    assert!(said.stdout.contains("it is shard 0 of 2; set aside"), "{}", said.stdout);
    lab.run(&["all"]);
    assert_eq!(lab.shards(), before);
    // Damaged products of a set stage.
    std::fs::write(lab.path("work/linear-probe/model.json"), b"{}").unwrap();
    let said = lab.pipeline(&["verify"]).ended(1);
    assert!(said.stdout.contains("work/linear-probe/model.json: missing, or not the bytes"), "{}", said.stdout);
    lab.run(&["all"]);
    lab.pipeline(&["verify", "--read-data"]).ended(0);
    // What was set aside goes with `gc`, and nothing else.
    let said = lab.pipeline(&["gc", "--dry-run"]).ended(0);
    assert!(said.stdout.contains(".foreign (set aside)"), "{}", said.stdout);
    lab.pipeline(&["gc"]).ended(0);
    assert_eq!(lab.shards(), before);
    assert!(lab.pipeline(&["gc", "--dry-run"]).ended(0).stdout.starts_with("0 files"));
}
