//! The Python readers, with real h5py, on shards that Rust wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

use contract::{Column, Element, Rows, Values};
use half::f16;

use super::{Made, header, items, spec, write};
use crate::{Header, merge};

/// The interpreter of `PIPELINE_PYTHON`, or `python3`, if it can import this module.
fn python_with(module: &str) -> Option<String> {
    let python = std::env::var("PIPELINE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let import = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    import.is_ok_and(|output| output.status.success()).then_some(python)
}

/// A folder as `test_pipeline_shards.py` wants it.
fn write_samples(folder: &Path) {
    let made = items(50, 4);
    let stage = folder.join("stage");
    std::fs::create_dir(&stage).unwrap();
    let paths: Vec<PathBuf> = (0..4).map(|i| stage.join(format!("{i:05}-of-00004.h5"))).collect();
    for (i, part) in made.chunks(13).enumerate() {
        write(&paths[i], &Header { position: Some((i as u32, 4)), ..header(4) }, part).unwrap();
    }
    merge(&paths, &folder.join("all.h5")).unwrap();

    let expected: Vec<String> = made.iter().map(json).collect();
    std::fs::write(folder.join("expected.json"), format!("[{}]", expected.join(",\n"))).unwrap();

    let columns = vec![
        spec("a", Some(3), Element::U8, ""),
        spec("b", None, Element::I64, "row"),
        spec("c", Some(1), Element::F16, "dB"),
        spec("d", Some(2), Element::F32, "µV²/Hz"),
        spec("e", None, Element::F64, "s"),
    ];
    let column = |name: &str, width, values| Column { name: name.to_owned(), width, values };
    let values = vec![
        column("a", Some(3), Values::U8(vec![0, 127, 255, 1, 2, 3])),
        column("b", None, Values::I64(vec![i64::MIN, i64::MAX])),
        column("c", Some(1), Values::F16(vec![f16::from_f32(0.5), f16::MIN])),
        column("d", Some(2), Values::F32(vec![1.0; 4])),
        column("e", None, Values::F64(vec![1.0; 2])),
    ];
    let item = Made { id: "x".to_owned(), outcome: Ok(Rows { len: 2, columns: values }) };
    write(&folder.join("types.h5"), &Header { columns, position: None, ..header(4) }, &[item]).unwrap();
}

/// One item for `expected.json`. Ids and messages of the fixtures need no escapes; `{:?}` of f32 reads back exactly.
fn json(made: &Made) -> String {
    match &made.outcome {
        Ok(rows) => {
            let Values::F32(values) = &rows.columns[0].values else { panic!("another type") };
            format!(r#"{{"id": "{}", "embedding": {values:?}}}"#, made.id)
        }
        Err(failure) => {
            format!(r#"{{"id": "{}", "cause": "{}", "message": "{}"}}"#, made.id, failure.cause, failure.message)
        }
    }
}

#[test]
fn the_python_readers_read_what_was_written() {
    let Some(python) = python_with("h5py") else {
        eprintln!(
            "skipped: the_python_readers_read_what_was_written: h5py not installed (PIPELINE_PYTHON names an interpreter)"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    write_samples(folder.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/test_pipeline_shards.py");
    let output = Command::new(python)
        .args(["-B".as_ref(), script.as_os_str()])
        .env("SHARD_TEST_FOLDER", folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    for line in told.lines().filter(|line| line.contains("skipped")) {
        eprintln!("skipped: {line}");
    }
}
