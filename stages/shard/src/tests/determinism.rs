//! Same items, same bytes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{entry, header, items, write};
use crate::{Shard, Writer};

const OUT: &str = "SHARD_TEST_OUT";

/// Not a test by itself: run by [`two_processes_in_two_seconds_write_the_same_bytes`] in a process of its own.
#[test]
fn child_writes_a_shard() {
    if let Some(path) = std::env::var_os(OUT) {
        write(Path::new(&path), &header(512), &items(300, 512)).unwrap();
    }
}

#[test]
fn two_processes_in_two_seconds_write_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = |name: &str| {
        let path = folder.path().join(name);
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::determinism::child_writes_a_shard"])
            .env(OUT, &path)
            .output()
            .unwrap();
        assert!(status.status.success());
        std::fs::read(path).unwrap()
    };
    let first = bytes("first.h5");
    std::thread::sleep(Duration::from_millis(1100));
    assert!(first.len() > 1 << 20);
    assert!(first == bytes("a-longer-name.h5"));
}

/// As the runner does it: parts of any size are swallowed by the shard.
#[test]
fn bytes_do_not_depend_on_the_parts_that_the_shard_swallowed() {
    let folder = tempfile::tempdir().unwrap();
    let made = items(120, 512);
    let whole = folder.path().join("whole.h5");
    write(&whole, &header(512), &made).unwrap();
    for size in [1, 7, 50, 119] {
        let path = folder.path().join("from-parts.h5");
        let mut writer = Writer::create(&path, &header(512), Some(made.len())).unwrap();
        for part in made.chunks(size) {
            let part_path = folder.path().join("part.h5");
            write(&part_path, &header(512), part).unwrap();
            let shard = Shard::open(&part_path).unwrap();
            for i in 0..shard.len() {
                shard.copy_item(i, &mut writer).unwrap();
            }
        }
        writer.finish().unwrap();
        assert!(std::fs::read(&whole).unwrap() == std::fs::read(&path).unwrap(), "parts of {size}");
    }
}

/// The tripwire: another layout needs another `SCHEMA_VERSION`. The digest is that of the whole file as libhdf5 1.10
/// writes it; values and texts are fixed, so it holds for any machine.
#[test]
fn the_bytes_of_schema_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let mut writer = Writer::create(&path, &header(8), None).unwrap();
    for made in &items(30, 8) {
        writer.push(entry(made)).unwrap();
    }
    writer.finish().unwrap();
    let found = blake3::hash(&std::fs::read(&path).unwrap()).to_hex();
    if hdf5_metno::library_version() >= (1, 12, 0) {
        eprintln!("skipped: the_bytes_of_schema_1: libhdf5 is not 1.10");
        return;
    }
    assert_eq!(
        (crate::SCHEMA_VERSION, found.as_str()),
        (1, "50b33583eb20a78375d8eab8c02e62c0899abc521b9d898693a72540e6debff8")
    );
}
