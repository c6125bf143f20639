//! One test for each row of the table in `src/key.rs` that a user can turn. (The rest - format, stage version, library
//! versions - are unit tests beside the table.)

use crate::lab::{CLASSES, CLIPS, Lab, ffmpeg, id};

const ALL: u64 = CLIPS as u64;

#[test]
fn nothing_changed_nothing_computed() {
    let lab = Lab::new();
    assert_eq!(lab.run(&["all"]).stages()["log-mel"], (ALL, 0, 0));
    let before = lab.shards();
    let again = lab.run(&["all"]);
    assert!(again.stages().values().all(|(computed, kept, _)| (*computed, *kept) == (0, ALL)), "{:?}", again.stages());
    assert_eq!(lab.shards(), before);
}

#[test]
fn a_parameter_of_log_mel_recomputes_log_mel_alone() {
    let lab = Lab::new();
    lab.run(&["all"]);
    let said = lab.run(&["all", "--set", "log-mel.n_mels=40"]);
    assert_eq!((said.computed("log-mel"), said.computed("encode-clip")), (ALL, 0));
    // And back: the old values were put aside, not thrown away.
    assert_eq!(lab.run(&["all"]).computed("log-mel"), 0);
}

#[test]
fn the_picture_rate_recomputes_embeddings_and_not_sound() {
    let lab = Lab::new();
    lab.run(&["all"]);
    let said = lab.run(&["all", "--set", "extract-frames.fps=2"]);
    assert_eq!((said.computed("log-mel"), said.computed("encode-clip")), (0, ALL));
}

#[test]
fn the_format_of_picture_files_does_not_reach_embeddings() {
    let lab = Lab::new();
    lab.run(&["extract-frames", "encode-clip"]);
    let said = lab.run(&["extract-frames", "encode-clip", "--set", "extract-frames.format=jpeg"]);
    assert_eq!((said.computed("extract-frames"), said.computed("encode-clip")), (ALL, 0));
}

#[test]
fn other_weights_recompute_embeddings_alone() {
    let lab = Lab::new();
    lab.run(&["log-mel", "encode-clip"]);
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/clip/fixtures");
    let set = format!("encode-clip.model={:?}", fixtures.join("tiny-gelu").display().to_string());
    let said = lab.run(&["log-mel", "encode-clip", "--set", &set]);
    assert_eq!((said.computed("log-mel"), said.computed("encode-clip")), (0, ALL));
}

#[test]
fn a_file_with_new_content_is_one_item() {
    let lab = Lab::new();
    lab.run(&["log-mel", "encode-clip"]);
    ffmpeg(&["-f", "lavfi", "-i", "sine=f=777:r=48000:d=3", "-c:a", "pcm_s24le"], &lab.clip("park", 1, "wav"));
    let said = lab.run(&["log-mel", "encode-clip"]);
    assert_eq!((said.computed("log-mel"), said.computed("encode-clip")), (1, 0));
}

#[test]
fn labels_reach_set_stages_alone() {
    let lab = Lab::new();
    lab.run(&["all"]);
    // The class is the folder: moving a clip relabels and renames it.
    for extension in ["mp4", "wav"] {
        let from = lab.clip(CLASSES[0], 2, extension);
        std::fs::rename(&from, lab.path("clips").join(CLASSES[1]).join(from.file_name().unwrap())).unwrap();
    }
    let said = lab.run(&["all"]);
    assert!(said.stages().values().all(|(computed, _, _)| *computed == 0), "{:?}", said.stages());
    assert!(
        said.stdout.lines().any(|l| l.contains("\"linear-probe\"") && l.contains("\"reused\":false")),
        "{}",
        said.stdout
    );
}

#[test]
fn modification_times_do_not_matter() {
    // R14: touch everything.
    let lab = Lab::new();
    lab.run(&["all"]);
    for class in CLASSES {
        for location in 0..3 {
            for extension in ["mp4", "wav"] {
                let file = std::fs::File::options().append(true).open(lab.clip(class, location, extension)).unwrap();
                file.set_modified(std::time::SystemTime::now()).unwrap();
            }
        }
    }
    assert!(lab.run(&["all"]).stages().values().all(|(computed, _, _)| *computed == 0));
}

#[test]
fn names_and_places_do_not_matter() {
    let lab = Lab::new();
    lab.run(&["log-mel", "encode-clip"]);
    std::fs::rename(lab.path("clips"), lab.path("moved")).unwrap();
    let said = lab.run(&["log-mel", "encode-clip", "--data", "moved"]);
    assert!(said.stages().values().all(|(computed, _, _)| *computed == 0));
    for extension in ["mp4", "wav"] {
        let from = lab.path("moved/park").join(lab.clip("park", 0, extension).file_name().unwrap());
        std::fs::rename(&from, from.with_file_name(format!("zzz.{extension}"))).unwrap();
    }
    let said = lab.run(&["log-mel", "encode-clip", "--data", "moved"]);
    assert!(said.stages().values().all(|(computed, _, _)| *computed == 0), "{:?}", said.stages());
}

#[test]
fn shard_size_order_and_membership_copy_rows() {
    // R3: none of the peers survives a change of the item → shard mapping.
    let lab = Lab::new();
    lab.run(&["log-mel", "encode-clip"]);
    let before = lab.shards();
    let resized = lab.run(&["log-mel", "encode-clip", "--set", "store.shard_size=2"]);
    assert!(resized.stages().values().all(|(computed, _, _)| *computed == 0));
    assert_eq!(lab.shards().len(), 2 * CLIPS / 2);
    // An item that sorts first shifts every other one.
    for extension in ["mp4", "wav"] {
        let name = format!("aaa.{extension}");
        std::fs::copy(lab.clip("tram", 2, extension), lab.path("clips/park").join(name)).unwrap();
    }
    ffmpeg(&["-f", "lavfi", "-i", "sine=f=99:r=48000:d=3"], &lab.path("clips/park/aaa.wav"));
    let inserted = lab.run(&["log-mel", "encode-clip"]);
    assert_eq!((inserted.computed("log-mel"), inserted.computed("encode-clip")), (1, 0));
    // Taken out again, the bytes are what they were.
    for extension in ["mp4", "wav"] {
        std::fs::remove_file(lab.path("clips/park").join(format!("aaa.{extension}"))).unwrap();
    }
    assert!(lab.run(&["log-mel", "encode-clip"]).stages().values().all(|(computed, _, _)| *computed == 0));
    assert_eq!(lab.shards(), before);
}

#[test]
fn threads_and_batches_do_not_change_a_byte() {
    let lab = Lab::new();
    let runs = [
        ("a", "1", "1", "clip"),
        ("b", "5", "2", "auto"),
        ("c", "2", "32", "clip"),
        ("d", "2", "32", "across"),
        ("e", "3", "2", "across"),
    ];
    for (work, jobs, batch, batching) in runs {
        let knobs = [("jobs", jobs), ("batch_size", batch), ("batching", batching)];
        let knobs = knobs.map(|(knob, value)| format!("run.{knob}={value}"));
        let mut args = vec!["extract-frames", "log-mel", "encode-clip", "--work", work];
        args.extend(knobs.iter().flat_map(|knob| ["--set", knob]));
        lab.run(&args);
    }
    assert_eq!(lab.shards_in("a").len(), 3 * CLIPS.div_ceil(4));
    for (work, ..) in &runs[1..] {
        assert_eq!(lab.shards_in("a"), lab.shards_in(work), "{work}");
    }
}

#[test]
fn explain_names_every_field_that_differs() {
    let lab = Lab::new();
    lab.run(&["log-mel", "encode-clip"]);
    let set = ["--set", "log-mel.n_mels=40", "--set", "log-mel.fmin=60"];
    let item = id("park", 1);
    let mut args = vec!["explain", "log-mel", item.as_str()];
    args.extend(set);
    let said = lab.pipeline(&args).ended(0);
    for field in ["params.n_mels", "params.fmin"] {
        assert!(said.stdout.contains(field), "{}", said.stdout);
    }
    assert!(said.stdout.contains("stored  128") && said.stdout.contains("now     40"), "{}", said.stdout);
    let upstream = lab.pipeline(&["explain", "encode-clip", &item, "--set", "extract-frames.fps=2"]).ended(0);
    assert!(upstream.stdout.contains("inputs.frames.params.fps"), "{}", upstream.stdout);
    let same = lab.pipeline(&["explain", "log-mel", &item]).ended(0);
    assert!(same.stdout.contains("up to date"), "{}", same.stdout);
}
