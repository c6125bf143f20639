//! Features out of one work directory and into another, without media.

use std::path::Path;
use std::process::Command;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use shard::per_clip::{PerClip, PerClipWriter};

use crate::lab::{CLIPS, Lab, PICTURES, id};

/// A manifest of the lab's items without their media, as a person would get it.
fn features_only(lab: &Lab) {
    let table = std::fs::read_to_string(lab.path("work/discover/items.csv")).unwrap();
    let column = |line: &str, at: usize| line.split(',').nth(at).unwrap().to_string();
    let rows: Vec<String> = table.lines().map(|l| [0, 3, 4, 5, 6].map(|at| column(l, at)).join(",")).collect();
    std::fs::write(lab.path("items.csv"), rows.join("\n") + "\n").unwrap();
    std::fs::write(lab.path("m.toml"), "name = \"clips\"\nfeatures_only = true\ntable = \"items.csv\"\n").unwrap();
}

/// A lab with values of both stages, and what a model made of them.
fn ran() -> Lab {
    let lab = Lab::new();
    lab.run(&["log-mel", "linear-probe", "evaluate"]);
    features_only(&lab);
    lab
}

fn read(lab: &Lab, path: &str) -> String {
    std::fs::read_to_string(lab.path(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The figures without the remarks on where the embeddings come from.
fn figures(lab: &Lab, work: &str) -> serde_json::Value {
    let mut metrics: serde_json::Value =
        serde_json::from_str(&read(lab, &format!("{work}/evaluate/metrics.json"))).unwrap();
    metrics.as_object_mut().unwrap().remove("notes");
    metrics
}

const THERE: [&str; 4] = ["--data", "m.toml", "--work", "there"];

#[test]
fn what_one_exports_another_imports_and_gets_the_same_figures() {
    let lab = ran();
    for (stage, out) in [("encode-clip", "e.h5"), ("log-mel", "l.h5"), ("encode-clip", "e"), ("log-mel", "l")] {
        let said = lab.pipeline(&["export", stage, "--out", out]).ended(0);
        assert!(said.stdout.contains(&format!("{CLIPS} items")), "{}", said.stdout);
    }
    std::fs::remove_dir_all(lab.path("clips")).unwrap();
    let npy = |stage: &str, folder: &str, matrix: &str, work: &str| {
        let [matrix, ids, offsets] = [matrix, "ids.txt", "offsets.npy"].map(|name| format!("{folder}/{name}"));
        let args = ["import", stage, &matrix, "--ids", &ids, "--offsets", &offsets, "--data", "m.toml", "--work", work];
        lab.pipeline(&[&args[..], if stage == "log-mel" { &["--orientation", "time-mel"] } else { &[] }].concat())
            .ended(0);
    };
    for work in ["there", "elsewhere"] {
        if work == "there" {
            lab.pipeline(&[&["import", "encode-clip", "e.h5"][..], &THERE].concat()).ended(0);
            lab.pipeline(&[&["import", "log-mel", "l.h5"][..], &THERE].concat()).ended(0);
        } else {
            npy("encode-clip", "e", "embedding.npy", work);
            npy("log-mel", "l", "log_mel.npy", work);
        }
        // No model is needed, and none is looked for.
        let set = ["--data", "m.toml", "--work", work, "--set", "encode-clip.model=./nowhere"];
        let said = lab.run(&[&["log-mel", "linear-probe", "evaluate"][..], &set].concat());
        assert!(said.stages().values().all(|s| *s == (0, CLIPS as u64, 0)), "{:?}", said.stages());
        assert!(said.stdout.contains("encode-clip is imported, not computed: 6 items from e"), "{}", said.stdout);
        for product in ["linear-probe/predictions.csv", "linear-probe/model.json"] {
            assert_eq!(read(&lab, &format!("{work}/{product}")), read(&lab, &format!("work/{product}")), "{product}");
        }
        assert_eq!(figures(&lab, work), figures(&lab, "work"));
        // And the values are the very ones that were computed.
        for stage in ["encode-clip", "log-mel"] {
            let again = format!("{work}-{stage}.h5");
            lab.pipeline(&["export", stage, "--out", &again, "--work", work]).ended(0);
            let first = std::fs::read(lab.path(if stage == "log-mel" { "l.h5" } else { "e.h5" })).unwrap();
            assert!(std::fs::read(lab.path(&again)).unwrap() == first, "{stage} in {work}");
        }
    }
}

#[test]
fn the_reference_layout_is_one_dataset_per_clip() {
    let lab = ran();
    lab.pipeline(&["export", "log-mel", "--out", "train.h5", "--split", "train"]).ended(0);
    let file = PerClip::open(&lab.path("train.h5")).unwrap();
    let items = read(&lab, "work/discover/items.csv");
    let train = items.lines().filter(|line| line.ends_with(",train")).count();
    assert!(train > 0 && train < CLIPS && file.ids().len() == train);
    let features = file.read(&file.ids()[0]).unwrap();
    // 3 s at 50 frames a second, and one; bands first
    assert_eq!(features.shape, [128, 151]);
    let shard = shard::Shard::open(&lab.path("work/log-mel/00000-of-00002.h5")).unwrap();
    let at = shard.items().iter().position(|item| item.id == file.ids()[0]).unwrap();
    let contract::Values::F32(rows) = shard.rows(at).unwrap().columns.remove(0).values else { panic!("f32") };
    assert!(
        (0..128).all(|mel| (0..151).all(|t| features.values[mel * 151 + t].to_bits() == rows[t * 128 + mel].to_bits()))
    );
}

#[test]
fn parquet_has_a_row_per_row() {
    let lab = ran();
    lab.pipeline(&["export", "encode-clip", "--out", "e.parquet"]).ended(0);
    let file = SerializedFileReader::new(std::fs::File::open(lab.path("e.parquet")).unwrap()).unwrap();
    assert_eq!(file.metadata().num_row_groups(), 2, "one per shard");
    let rows: Vec<_> = file.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), CLIPS * PICTURES);
    let shard = shard::Shard::open(&lab.path("work/encode-clip/00001-of-00002.h5")).unwrap();
    let contract::Values::F32(last) = shard.read_column("embedding").unwrap() else { panic!("f32") };
    let row = &rows[CLIPS * PICTURES - 1];
    assert_eq!(*row.get_string(0).unwrap(), shard.items().last().unwrap().id);
    assert_eq!((row.get_long(1).unwrap(), row.get_double(3).unwrap()), (2, 2.0));
    let list = row.get_list(2).unwrap();
    let values: Vec<f32> = list
        .elements()
        .iter()
        .map(|field| match field {
            parquet::record::Field::Float(value) => *value,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(values, last[last.len() - values.len()..]);
}

#[test]
fn numpy_reads_the_matrices() {
    let python = std::env::var("PIPELINE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    if !Command::new(&python).args(["-c", "import numpy"]).output().is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: numpy_reads_the_matrices (no python3 with numpy; PIPELINE_PYTHON names one)");
        return;
    }
    let lab = ran();
    lab.pipeline(&["export", "encode-clip", "--out", "e"]).ended(0);
    let program = "
import numpy as np
x, t, offsets = np.load('e/embedding.npy'), np.load('e/time.npy'), np.load('e/offsets.npy')
ids = open('e/ids.txt').read().split()
assert x.dtype == np.float32 and t.dtype == np.float64 and offsets.dtype == np.int64
assert len(x) == len(t) == offsets[-1] == 18 and len(ids) + 1 == len(offsets) == 7
assert (t == np.tile([0., 1., 2.], 6)).all() and np.isfinite(x).all()
np.save('mean.npy', np.stack([x[a:b].mean(0) for a, b in zip(offsets, offsets[1:])]))
np.save('turned.npy', np.asfortranarray(x))
";
    let output = Command::new(&python).current_dir(lab.path("")).args(["-c", program]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // What numpy writes is imported: here one vector per clip, which stands for it whatever picture it is of.
    let args = ["import", "encode-clip", "mean.npy", "--ids", "e/ids.txt"];
    lab.pipeline(&[&args[..], &THERE].concat()).ended(0);
    let run = [&["run", "linear-probe"][..], &THERE].concat();
    // The lab's probe asks for picture 2.
    lab.pipeline(&run).ended(1);
    lab.pipeline(&[&run[..], &["--set", "linear-probe.frame=1"]].concat()).ended(0);
    let fortran = lab.pipeline(&[&["import", "encode-clip", "turned.npy", "--ids", "e/ids.txt"][..], &THERE].concat());
    assert!(fortran.stderr.contains("np.ascontiguousarray"), "{}", fortran.stderr);
}

#[test]
fn what_is_unknown_missing_or_no_number_is_told_and_recorded() {
    let lab = ran();
    let ids: Vec<String> = ["park", "tram"].iter().flat_map(|c| (0..3).map(move |l| id(c, l))).collect();
    let mut writer = PerClipWriter::create(&lab.path("x.h5")).unwrap();
    for (n, id) in ids.iter().enumerate().skip(1) {
        let mut values = vec![n as f32; 8];
        values[3] = if n == 2 { f32::NAN } else { 0.5 };
        let columns = if n == 3 { 4 } else { 8 };
        writer.push(id, 8 / columns, columns, &values).unwrap();
    }
    writer.push("stranger", 1, 8, &[0.0; 8]).unwrap();
    writer.finish().unwrap();
    let said = lab.pipeline(&[&["import", "encode-clip", "x.h5"][..], &THERE].concat()).ended(4);
    for part in [
        "3 of 6 items imported, 8 numbers a row".to_string(),
        "1 name in the files and not in the data set, left out: stranger".to_string(),
        format!("without values: {}: missing: the imported files have no features of this item", ids[0]),
        format!("without values: {}: corrupt: value 3 of its features is NaN", ids[2]),
        format!("without values: {}: corrupt: its features have the shape [2, 4]", ids[3]),
    ] {
        assert!(said.stdout.contains(&part), "{part} in\n{}", said.stdout);
    }
    let failures = lab.pipeline(&[&["failures"][..], &THERE].concat()).ended(0).stdout;
    assert_eq!(failures.lines().filter(|line| line.starts_with("encode-clip")).count(), 3, "{failures}");
    // The next run finds them recorded and does not try again; another cut of the store copies.
    for set in ["store.shard_size=4", "store.shard_size=5", "store.shard_size=4"] {
        let run = [&["run", "encode-clip", "--json", "--set", set][..], &THERE].concat();
        assert_eq!(lab.pipeline(&run).ended(4).stages()["encode-clip"], (0, 6, 3));
    }
    let explained = lab.pipeline(&[&["explain", "encode-clip", &ids[4]][..], &THERE].concat()).ended(0).stdout;
    assert!(explained.contains("up to date") && explained.contains("file (none)"), "{explained}");
    lab.pipeline(&[&["verify"][..], &THERE].concat()).ended(0);
    // An item that was not part of the import is refused by name, not failed in silence.
    let table = read(&lab, "items.csv");
    std::fs::write(lab.path("items.csv"), table + "newcomer,park,x,lisbon,train\n").unwrap();
    let said = lab.pipeline(&[&["run", "encode-clip"][..], &THERE].concat()).ended(1);
    assert!(
        said.stderr.contains("first `newcomer`") && said.stderr.contains("pipeline import encode-clip"),
        "{}",
        said.stderr
    );
    // A second import takes the place of the first.
    lab.pipeline(&[&["import", "encode-clip", "x.h5"][..], &THERE].concat()).ended(4);
    lab.pipeline(&[&["run", "encode-clip"][..], &THERE].concat()).ended(4);
}

#[test]
fn an_import_that_makes_no_sense_is_refused_before_anything_is_touched() {
    let lab = ran();
    lab.pipeline(&["export", "log-mel", "--out", "l.h5"]).ended(0);
    lab.pipeline(&["export", "log-mel", "--out", "l"]).ended(0);
    let refused = |args: &[&str], code: i32, why: &str| {
        let said = lab.pipeline(args).ended(code);
        assert!(said.stderr.contains(why), "{why} in\n{}", said.stderr);
    };
    let before = lab.shards();
    refused(&["import", "log-mel", "l.h5"], 1, "holds values that this program computed");
    assert_eq!(lab.shards(), before);
    let there = |args: &[&'static str]| [args, &THERE[..]].concat();
    refused(
        &there(&["import", "log-mel", "l.h5", "--orientation", "time-mel"]),
        1,
        "with --orientation mel-time it would be",
    );
    refused(
        &there(&["import", "log-mel", "l.h5", "--set", "log-mel.n_mels=64"]),
        1,
        "[128, 151], which is not [64, T]",
    );
    refused(&there(&["import", "log-mel", "l/log_mel.npy"]), 2, "--ids FILE");
    refused(
        &there(&["import", "log-mel", "l/log_mel.npy", "--ids", "l/ids.txt"]),
        2,
        "6 ids, but the matrix has 906 clips",
    );
    refused(&there(&["import", "log-mel", "l.h5", "--ids", "l/ids.txt"]), 2, "an HDF5 file names its clips itself");
    refused(&there(&["import", "log-mel", "l.h5", "l.h5"]), 1, "is in l.h5 and in l.h5");
    refused(&there(&["import", "log-mel", "pipeline.toml"]), 1, "pipeline.toml");
    refused(&there(&["import", "evaluate", "l.h5"]), 2, "`evaluate` cannot be imported");
    PerClipWriter::create(&lab.path("none.h5")).unwrap().finish().unwrap();
    refused(&there(&["import", "log-mel", "none.h5"]), 1, "no id of none.h5 is in the data set");
    assert!(!lab.path("there").exists());
    // Bands that the configuration does not speak of would be read wrongly later.
    lab.pipeline(&there(&["import", "log-mel", "l.h5"])).ended(0);
    refused(&there(&["run", "log-mel", "--set", "log-mel.n_mels=64"]), 1, "have 128 bands and [log-mel] says 64");
    // An import that was killed before its last shard says so.
    let record = read(&lab, "there/log-mel/imported.json");
    std::fs::write(lab.path("there/log-mel/imported.json"), record.replace("true", "false")).unwrap();
    refused(&there(&["run", "log-mel"]), 2, "unfinished import: run `pipeline import log-mel` again");
    assert_eq!(record.matches("true").count(), 1);
    lab.pipeline(&there(&["import", "log-mel", "l.h5"])).ended(0);
    lab.pipeline(&there(&["run", "log-mel"])).ended(0);
}

#[test]
fn an_incomplete_set_is_only_exported_when_asked() {
    let lab = ran();
    let refused = |args: &[&str], code: i32, why: &str| {
        let said = lab.pipeline(args).ended(code);
        assert!(said.stderr.contains(why), "{why} in\n{}", said.stderr);
    };
    std::fs::remove_file(lab.path("work/encode-clip/00001-of-00002.h5")).unwrap();
    refused(&["export", "encode-clip", "--out", "e.h5"], 1, "1 shard of 2 are missing (00001-of-00002.h5)");
    assert!(!lab.path("e.h5").exists());
    let said = lab.pipeline(&["export", "encode-clip", "--out", "e.h5", "--partial"]).ended(4);
    assert!(
        said.stdout.contains("4 items") && said.stdout.contains("1 shard missing: 00001-of-00002.h5"),
        "{}",
        said.stdout
    );
    assert_eq!(PerClip::open(&lab.path("e.h5")).unwrap().ids().len(), 4);
    refused(&["export", "encode-clip", "--out", "e.h5"], 2, "it exists already");
    refused(&["export", "encode-clip", "--out", "e.pickle"], 2, "`.pickle` is no format");
    refused(&["export", "evaluate", "--out", "e"], 2, "`evaluate` cannot be exported; can be: log-mel, encode-clip");
    refused(&["export", "log-mel", "--out", "e", "--work", "nowhere"], 1, "has no shards");
    refused(&["export", "log-mel", "--out", "e", "--split", "dev"], 2, "no item is in the split `dev`");
    // A failed clip is told, and the rest is there.
    std::fs::write(lab.clip("park", 0, "wav"), b"RIFF").unwrap();
    lab.pipeline(&["run", "log-mel"]).ended(4);
    let said = lab.pipeline(&["export", "log-mel", "--out", "l"]).ended(4);
    assert!(said.stdout.contains(&format!("without values: {}", id("park", 0))), "{}", said.stdout);
    assert_eq!(read(&lab, "l/ids.txt").lines().count(), CLIPS - 1);
    // Nothing half-written is left.
    let leftovers: Vec<_> = std::fs::read_dir(lab.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    assert!(!Path::new("e").exists());
}
