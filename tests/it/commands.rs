//! What a person types and reads.

use crate::lab::{CLIPS, Lab, PICTURES};

#[test]
fn dry_run_says_what_is_due_and_why_and_exits_3() {
    let lab = Lab::new();
    let said = lab.pipeline(&["run", "all", "--dry-run"]).ended(3);
    assert!(said.stdout.contains("6 to do"), "{}", said.stdout);
    assert!(!lab.path("work").exists(), "a dry run writes nothing");
    lab.run(&["all"]);
    lab.pipeline(&["run", "all", "--dry-run"]).ended(0);
    let said = lab.pipeline(&["run", "all", "--dry-run", "--set", "log-mel.n_mels=40"]).ended(3);
    assert!(said.stdout.contains("params.n_mels 128 → 40"), "{}", said.stdout);
}

#[test]
fn status_tells_what_is_done() {
    let lab = Lab::new();
    lab.run(&["log-mel"]);
    let said = lab.pipeline(&["status"]).ended(0);
    assert!(said.stdout.contains("up to date: 6 done"), "{}", said.stdout);
    assert!(said.stdout.contains("encode-clip     6 to do"), "{}", said.stdout);
    let json: serde_json::Value = serde_json::from_str(&lab.pipeline(&["status", "--json"]).ended(0).stdout).unwrap();
    assert_eq!(json["items"], CLIPS);
}

#[test]
fn no_file_is_needed_for_a_first_try() {
    let lab = Lab::new();
    std::fs::remove_file(lab.path("pipeline.toml")).unwrap();
    lab.pipeline(&["run", "log-mel", "--data", "clips", "--work", "out"]).ended(0);
    assert_eq!(lab.shards_in("out").len(), 1);
    let said = lab.pipeline(&["run", "log-mel"]).ended(2);
    assert!(said.stderr.contains("--data PATH"), "{}", said.stderr);
}

#[test]
fn naming_extract_frames_keeps_pictures_named_as_in_the_reference() {
    let lab = Lab::new();
    lab.run(&["extract-frames"]);
    let mut names: Vec<String> = std::fs::read_dir(lab.path("work/extract-frames"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| std::path::Path::new(name).extension().is_some_and(|e| e == "png"))
        .collect();
    names.sort();
    assert_eq!(names.len(), CLIPS * PICTURES);
    assert_eq!(names[0], "park-park-lisbon-0-1-01.png");
    // And they are the command's pictures, byte for byte once decoded.
    let reference = tempfile::tempdir().unwrap();
    crate::lab::ffmpeg(
        &["-i", lab.clip("park", 0, "mp4").to_str().unwrap(), "-vf", "fps=1", "-pix_fmt", "rgb24"],
        &reference.path().join("%02d.png"),
    );
    for number in 1..=PICTURES {
        let ours = image::open(lab.path(&format!("work/extract-frames/park-park-lisbon-0-1-{number:02}.png"))).unwrap();
        let theirs = image::open(reference.path().join(format!("{number:02}.png"))).unwrap();
        assert_eq!(ours.to_rgb8(), theirs.to_rgb8(), "picture {number}");
    }
}

#[test]
fn kept_pictures_are_used_again_and_give_the_same_bytes() {
    let streamed = Lab::new();
    streamed.run(&["encode-clip"]);
    let lab = Lab::new();
    lab.run(&["extract-frames"]);
    // One picture is not what was kept any more, and one is gone: those two videos are decoded.
    std::fs::write(lab.path("work/extract-frames/park-park-lisbon-0-1-02.png"), b"other").unwrap();
    std::fs::remove_file(lab.path("work/extract-frames/tram-tram-lisbon-1-1-01.png")).unwrap();
    let said = lab.run(&["encode-clip"]);
    assert!(said.stdout.contains("{\"event\":\"kept-pictures\",\"items\":6}"), "{}", said.stdout);
    let embeddings =
        |lab: &Lab| lab.shards().into_iter().filter(|(name, _)| name.starts_with("encode")).collect::<Vec<_>>();
    assert_eq!(embeddings(&lab), embeddings(&streamed));
    // Another rate is made of other pictures.
    let said = lab.run(&["encode-clip", "--set", "extract-frames.fps=2"]);
    assert!(!said.stdout.contains("kept-pictures"), "{}", said.stdout);
}

#[test]
fn run_all_ends_with_a_table_and_streams_pictures() {
    let lab = Lab::new();
    let said = lab.pipeline(&["run", "all"]).ended(0);
    assert!(said.stdout.contains("linear-probe") && said.stdout.contains("accuracy"), "{}", said.stdout);
    let pictures = std::fs::read_dir(lab.path("work/extract-frames")).into_iter().flatten().count();
    assert_eq!(pictures, 0, "`run all` keeps no pictures unless asked");
    for product in
        ["linear-probe/model.json", "linear-probe/predictions.csv", "evaluate/metrics.json", "discover/items.csv"]
    {
        assert!(lab.path("work").join(product).exists(), "{product}");
    }
}

#[test]
fn broken_and_missing_files_are_recorded_and_the_rest_is_done() {
    let lab = Lab::new();
    std::fs::write(lab.clip("park", 0, "mp4"), b"not a video").unwrap();
    std::fs::write(lab.clip("tram", 1, "wav"), b"RIFF").unwrap();
    let said = lab.pipeline(&["run", "log-mel", "encode-clip"]).ended(4);
    assert!(said.stderr.contains("failed: encode-clip park-park-lisbon-0-1"), "{}", said.stderr);
    let list = lab.pipeline(&["failures"]).ended(0).stdout;
    assert_eq!(list.lines().filter(|line| line.starts_with(|c: char| "le".contains(c))).count(), 2, "{list}");
    // Lasting failures are not tried again, and are still told.
    let again = lab.pipeline(&["run", "log-mel", "encode-clip", "--json"]).ended(4);
    assert_eq!((again.computed("log-mel"), again.computed("encode-clip")), (0, 0));
    let limited = lab.pipeline(&["run", "log-mel", "--work", "w2", "--set", "run.max_failures=0"]).ended(1);
    assert!(limited.stderr.contains("run.max_failures = 0"), "{}", limited.stderr);
}

#[test]
fn a_mistyped_word_gets_a_suggestion() {
    let lab = Lab::new();
    for (args, hint) in [
        (&["run", "log-mell"][..], "did you mean `log-mel`?"),
        (&["run", "all", "--set", "log-mel.n_mel=3"], "did you mean `n_mels`?"),
        (&["explain", "log-mel", "park-park-lisbon-0-2"], "did you mean `park-park-lisbon-0-1`?"),
    ] {
        let said = lab.pipeline(args).ended(2);
        assert!(said.stderr.contains(hint), "{args:?}: {}", said.stderr);
    }
}

/// A dozen mistakes of a first hour.
#[test]
fn a_mistake_is_answered_with_what_to_do() {
    let lab = Lab::new();
    std::fs::write(lab.path("file"), "").unwrap();
    for (args, hint) in [
        (&["run"][..], "Usage: pipeline run"),
        (&["run", "clips"], "a data set is named by --data clips"),
        (&["run", "log-mel", "--work", "file"], "the work directory cannot be file: file is a file"),
        (&["status", "--work", "file/below"], "the work directory cannot be file/below: file is a file"),
        (
            &["run", "log-mel", "--items", "zebra"],
            "the data set has no such item; its first one is `park-park-lisbon-0-1`",
        ),
        (&["explain", "log-mel", "zebra"], "the data set has no item `zebra`; its first one is `park-park-lisbon-0-1`"),
        (&["run", "log-mel", "--set", "run.jobs=many"], "--set run.jobs=many: "),
        (&["retry", "--class", "timout"], "did you mean `timeout`?"),
        (&["logs"], "nothing was run in work"),
        (&["slurm", "status"], "nothing was submitted for work: `pipeline slurm submit` does it"),
    ] {
        let said = lab.pipeline(args).ended(2);
        assert!(said.stderr.contains(hint), "{args:?}: {}", said.stderr);
    }
    let said = lab.pipeline(&["run", "log-mel", "--data", "clps"]).ended(1);
    assert!(said.stderr.contains("(did you mean `clips`?); beside it: clips, pipeline.toml"), "{}", said.stderr);
    let said = lab.command(&["slurm", "submit", "log-mel"]).env("PATH", lab.path("clips")).output().unwrap();
    let said = crate::lab::Said::new(&said).ended(1);
    assert!(
        said.stderr.contains("is this a machine of the cluster? `pipeline run` works without Slurm"),
        "{}",
        said.stderr
    );
    lab.pipeline(&["slurm", "status"]).ended(2);
    for (args, answer) in [
        (&["failures"][..], "nothing was run in work\n"),
        (&["retry"], "no item has failed: there is nothing to try again\n"),
        (&["verify"], "nothing is stored in work\n"),
        (&["explain", "discover"], "discover: lists the data set anew in each run; 6 items now\n"),
        (&["explain", "zero-shot"], "zero-shot: due: never run\n"),
        (&["explain", "log-mel", "--data", "clips/park/park-lisbon-0-1.mp4"], "log-mel         1 to do"),
        (&["explain", "zero-shot", "--data", "clips/park"], "zero-shot: left out: "),
    ] {
        let said = lab.pipeline(args).ended(0);
        assert!(said.stdout.contains(answer), "{args:?}: {}", said.stdout);
    }
    let said = lab.pipeline(&["explain", "zero-shot", "--json"]).ended(0).stdout;
    assert!(serde_json::from_str::<serde_json::Value>(&said).unwrap()["stages"].is_array(), "{said}");
}

#[test]
fn a_model_that_is_not_there_says_what_to_do() {
    let lab = Lab::new();
    let said = lab.pipeline(&["run", "encode-clip", "--set", "encode-clip.model=./nowhere"]).ended(1);
    assert!(said.stderr.contains("nowhere") && said.stderr.starts_with("error: encode-clip:"), "{}", said.stderr);
    // What needs no model has a status all the same.
    lab.run(&["log-mel"]);
    let status = lab.pipeline(&["status", "--set", "encode-clip.model=./nowhere"]).ended(0);
    assert!(status.stdout.contains("up to date: 6 done"), "{}", status.stdout);
    assert!(status.stdout.contains("encode-clip is left out, and what reads it"), "{}", status.stdout);
}
