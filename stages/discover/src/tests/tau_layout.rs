use std::fmt::Write;
use std::time::Instant;

use super::*;

const SCENES: [&str; 10] = [
    "airport",
    "bus",
    "metro",
    "metro_station",
    "park",
    "public_square",
    "shopping_mall",
    "street_pedestrian",
    "street_traffic",
    "tram",
];

/// Tables of the size of the real ones: 431 locations, of which the last 126 are in the evaluation part.
fn full_size(folder: &Path, prefix: &str, newline: &str) {
    let mut meta = format!("\u{feff}filename_audio\tfilename_video\tscene_label\tidentifier{newline}");
    let mut parts = [String::new(), String::new(), String::new()];
    for part in &mut parts[..2] {
        *part = format!("filename_audio\tfilename_video\tscene_label{newline}");
    }
    parts[2] = format!("filename_audio\tfilename_video{newline}");
    for n in 0..12_291 {
        let (location, scene) = (n % 431, SCENES[n % 431 % 10]);
        let id = format!("{scene}-lisbon-{location}-{n}");
        let files = format!("audio/{id}.wav\tvideo/{id}.mp4");
        write!(meta, "{files}\t{scene}\tlisbon-{location}{newline}").unwrap();
        if location < 305 {
            write!(parts[0], "{files}\t{scene}{newline}").unwrap();
        } else {
            write!(parts[1], "{files}\t{scene}{newline}").unwrap();
            write!(parts[2], "{files}{newline}").unwrap();
        }
    }
    write(folder, &format!("{prefix}meta.csv"), &meta);
    for (name, text) in ["train", "evaluate", "test"].iter().zip(&parts) {
        write(folder, &format!("{prefix}evaluation_setup/fold1_{name}.csv"), text);
    }
}

#[test]
fn the_full_size_is_read_in_no_time() {
    for (prefix, newline) in [("", "\n"), ("TAU-development.meta/", "\r\n")] {
        let root = tree(&["TAU-development.audio.1/audio/x.wav", "video/x.mp4"]);
        full_size(root.path(), prefix, newline);
        let start = Instant::now();
        let data = found(root.path());
        eprintln!("12,291 rows of meta.csv and fold 1: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
        assert_eq!((data.items.len(), data.classes.len()), (12_291, 10));
        let test = data.items.iter().filter(|i| i.split.as_deref() == Some("test")).count();
        assert_eq!(test, (0..12_291).filter(|n| n % 431 >= 305).count());
        assert_eq!(
            lines(&data, root.path())[0],
            "airport-lisbon-0-0 video/airport-lisbon-0-0.mp4 TAU-development.audio.1/audio/airport-lisbon-0-0.wav airport lisbon-0 train"
        );
        assert_eq!(data.notes.len(), 2, "no torn groups, nothing left out: {:?}", data.notes);
        assert_eq!(data.notes[0], "the split is the official fold 1");
        assert!(data.notes[1].starts_with("the data set names no validation part; "), "{}", data.notes[1]);
        assert_eq!(data.items[0].city.as_deref(), Some("lisbon"));
    }
}

fn small(meta: &str, train: &str, evaluate: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let header = "filename_audio\tfilename_video\tscene_label";
    let rows = |names: &str| {
        let row = |name: &str| format!("audio/{name}.wav\tvideo/{name}.mp4\t{}\n", name.split('-').next().unwrap());
        names.split_whitespace().map(row).collect::<String>()
    };
    write(root.path(), "meta.csv", &format!("{header}\n{}", rows(meta)));
    write(root.path(), "evaluation_setup/fold1_train.csv", &format!("{header}\n{}", rows(train)));
    write(root.path(), "evaluation_setup/fold1_evaluate.csv", &format!("{header}\n{}", rows(evaluate)));
    root
}

#[test]
fn contradictions_are_errors_with_a_line() {
    let (a, b) = ("bus-lyon-1-10", "tram-lyon-2-20");
    let cases = [
        (small(&format!("{a} {a}"), a, ""), "meta.csv:3: the id `bus-lyon-1-10` is already that of line 2"),
        (small(a, &format!("{a} {b}"), ""), "fold1_train.csv:3: `tram-lyon-2-20` is not in meta.csv"),
        (
            small(&format!("{a} {b}"), a, &format!("{b} {a}")),
            "fold1_evaluate.csv:3: `bus-lyon-1-10` is in `train` and in `evaluate`",
        ),
        (small("bus-lyon", "", ""), "meta.csv:2: the name of `audio/bus-lyon.wav` is not scene-city-location-segment"),
        (small("", "", ""), "meta.csv: there is no item in it"),
    ];
    for (root, message) in cases {
        assert!(error(root.path()).starts_with(message), "{}", error(root.path()));
    }
    let root = small(a, a, "");
    fs::remove_file(root.path().join("evaluation_setup/fold1_evaluate.csv")).unwrap();
    assert_eq!(error(root.path()), "fold1_evaluate.csv: no such file or folder");
    let half = small(a, a, "");
    fs::remove_dir_all(half.path().join("evaluation_setup")).unwrap();
    assert!(error(half.path()).contains("holds both meta.csv and evaluation_setup/"), "not read as a plain folder");
    write(
        root.path(),
        "evaluation_setup/fold1_evaluate.csv",
        "filename_audio\tscene_label\naudio/bus-lyon-1-10.wav\ttram\n",
    );
    assert_eq!(
        error(root.path()),
        "fold1_evaluate.csv:2: `bus-lyon-1-10` has the label `tram` here and `bus` in meta.csv"
    );
}

#[test]
fn a_clip_in_no_fold_is_noted_and_missing_media_are_not_looked_for() {
    let root = small("bus-lyon-1-10 tram-lyon-2-20 bus-lyon-3-1", "bus-lyon-1-10", "tram-lyon-2-20");
    let data = found(root.path());
    assert_eq!(data.items[2].split, None);
    assert_eq!(data.notes[1], "1 items are in no split: they get features and take no part in training");
}
