//! One dataset per clip: what goes in comes out, h5py agrees in both directions, and foreign files cannot do harm.

use std::path::Path;
use std::process::Command;

use hdf5_metno::File;

use crate::ShardError;
use crate::per_clip::{Features, PerClip, PerClipWriter};

fn write(path: &Path, clips: &[(&str, usize, usize)]) {
    let mut writer = PerClipWriter::create(path).unwrap();
    for (id, rows, columns) in clips {
        let values: Vec<f32> = (0..rows * columns).map(|i| i as f32 - 100.25).collect();
        writer.push(id, *rows, *columns, &values).unwrap();
    }
    writer.finish().unwrap();
}

const CLIPS: [(&str, usize, usize); 4] =
    [("tram-vienna-2-9", 3, 5), ("airport-lisbon-1000-40000", 128, 501), ("straße", 1, 512), ("empty", 128, 0)];

#[test]
fn what_goes_in_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    write(&path, &CLIPS);
    let file = PerClip::open(&path).unwrap();
    assert_eq!(
        file.ids(),
        ["airport-lisbon-1000-40000", "empty", "straße", "tram-vienna-2-9"],
        "sorted, as h5py lists them"
    );
    assert!(file.ignored().is_empty());
    for (id, rows, columns) in CLIPS {
        let values = (0..rows * columns).map(|i| i as f32 - 100.25).collect();
        assert_eq!(file.read(id).unwrap(), Features { shape: vec![rows, columns], values }, "{id}");
    }
    let again = folder.path().join("b.h5");
    write(&again, &CLIPS);
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&again).unwrap(), "same clips, same bytes");
}

#[test]
fn refusals_name_the_clip() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = PerClipWriter::create(&folder.path().join("a.h5")).unwrap();
    writer.push("a", 1, 2, &[0.0, 1.0]).unwrap();
    assert!(matches!(writer.push("a", 1, 1, &[0.0]), Err(ShardError::DuplicateId { .. })));
    for bad in ["a/b", ".", ""] {
        assert!(matches!(writer.push(bad, 1, 1, &[0.0]), Err(ShardError::BadId { .. })), "{bad}");
    }
    assert_eq!(writer.push("b", 2, 2, &[0.0]).unwrap_err().to_string(), "item \"b\": 1 values are not 2 x 2");
    let missing = PerClip::open(&folder.path().join("absent.h5")).unwrap_err().to_string();
    assert_eq!(missing, "cannot open the file: No such file or directory (os error 2)");
    std::fs::write(folder.path().join("text.h5"), "no HDF5").unwrap();
    assert!(PerClip::open(&folder.path().join("text.h5")).is_err());
}

#[test]
fn foreign_datasets_are_converted_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    write(&folder.path().join("other.h5"), &[("secret", 1, 1)]);
    let file = File::create(&path).unwrap();
    file.new_dataset::<f64>().shape(3).create("double").unwrap().write_raw(&[1.5_f64, -2.0, 0.25]).unwrap();
    file.new_dataset::<half::f16>()
        .shape((1, 1))
        .create("half")
        .unwrap()
        .write_raw(&[half::f16::from_f32(0.5)])
        .unwrap();
    file.new_dataset::<i16>().shape(3).create("wave").unwrap();
    file.new_dataset::<f32>().shape((1, 2, 3)).create("cube").unwrap();
    file.new_dataset::<f32>().shape(()).create("scalar").unwrap();
    file.new_dataset::<f32>().shape((1_usize << 40, 4)).create("bomb").unwrap();
    file.create_group("group").unwrap();
    file.link_external(folder.path().join("other.h5").to_str().unwrap(), "secret", "elsewhere").unwrap();
    file.close().unwrap();
    let file = PerClip::open(&path).unwrap();
    assert_eq!(file.ignored(), ["elsewhere", "group"]);
    assert_eq!(file.read("double").unwrap(), Features { shape: vec![3], values: vec![1.5, -2.0, 0.25] });
    assert_eq!(file.read("half").unwrap().values, [0.5]);
    for (id, message) in [("wave", "its type is int16"), ("cube", "[1, 2, 3]"), ("scalar", "[]"), ("bomb", "1024 MiB")]
    {
        let error = file.read(id).unwrap_err().to_string();
        assert!(error.contains(message) && error.contains(id), "{error}");
    }
}

#[test]
fn h5py_reads_and_writes_the_same() {
    let python = std::env::var("PIPELINE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let can = Command::new(&python).args(["-c", "import h5py"]).output().is_ok_and(|o| o.status.success());
    if !can {
        eprintln!("skipped: h5py_reads_and_writes_the_same (no python3 with h5py; PIPELINE_PYTHON names one)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("ours.h5"), &CLIPS);
    let program = r"
import h5py, numpy as np
with h5py.File('ours.h5') as f:
    assert list(f.keys()) == ['airport-lisbon-1000-40000', 'empty', 'straße', 'tram-vienna-2-9'], list(f.keys())
    x = f['airport-lisbon-1000-40000']
    assert x.shape == (128, 501) and x.dtype == np.float32 and x.chunks is None and x.compression is None and not x.attrs
    assert (x[:].ravel() == np.arange(128 * 501, dtype=np.float32) - 100.25).all()
with h5py.File('theirs.h5', 'w') as f:
    f.create_dataset('airport-lisbon-1000-40000', data=np.arange(12, dtype=np.float32).reshape(3, 4))
    f.create_dataset('vector', data=np.arange(5) / 4)
";
    let output = Command::new(&python).current_dir(folder.path()).args(["-c", program]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs = PerClip::open(&folder.path().join("theirs.h5")).unwrap();
    let matrix = theirs.read("airport-lisbon-1000-40000").unwrap();
    assert_eq!((matrix.shape, matrix.values), (vec![3, 4], (0..12).map(|i| i as f32).collect()));
    assert_eq!(theirs.read("vector").unwrap().values, [0.0, 0.25, 0.5, 0.75, 1.0]);
}
