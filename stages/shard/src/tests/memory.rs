//! Memory does not grow with the data, and shards go from thread to thread.

use std::path::Path;
use std::process::Command;

use super::{Made, entry, header, rows};
use crate::{Shard, Writer};

const PATH: &str = "SHARD_TEST_MEMORY";

/// Not a test by itself: run by [`memory_does_not_grow_with_the_rows`] in a process of its own.
#[test]
fn child_writes_and_reads_200_mb() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let path = Path::new(&path);
    let mut made = Made { id: String::new(), outcome: Ok(rows(100, 1000, 1)) };
    let cycle = |count: usize, made: &mut Made| {
        let mut writer = Writer::create(path, &header(1000), Some(count)).unwrap();
        for i in 0..count {
            made.id = format!("clip-{i}");
            writer.push(entry(made)).unwrap();
        }
        writer.finish().unwrap();
        Shard::open(path).unwrap().check_data().unwrap();
    };
    cycle(20, &mut made); // buffers and caches reach their size
    let before = peak_kib();
    cycle(500, &mut made);
    assert!(std::fs::metadata(path).unwrap().len() > 200_000_000);
    let growth = peak_kib() - before;
    assert!(growth < 4096, "the peak grew by {growth} KiB");
    eprintln!("the peak grew by {growth} KiB");
}

fn peak_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn memory_does_not_grow_with_the_rows() {
    if !Path::new("/proc/self/status").exists() {
        eprintln!("skipped: memory_does_not_grow_with_the_rows: no /proc");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::memory::child_writes_and_reads_200_mb", "--nocapture"])
        .env(PATH, folder.path().join("a.h5"))
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && err.contains("the peak grew by"), "{err}");
}

#[test]
fn shards_are_read_from_several_threads() {
    let folder = tempfile::tempdir().unwrap();
    let made = super::items(60, 64);
    let paths: Vec<_> = (0..3).map(|i| folder.path().join(format!("{i}.h5"))).collect();
    std::thread::scope(|scope| {
        for path in &paths {
            scope.spawn(|| super::write(path, &header(64), &made).unwrap());
        }
    });
    let shared = Shard::open(&paths[0]).unwrap();
    std::thread::scope(|scope| {
        for path in &paths {
            scope.spawn(|| Shard::open(path).unwrap().check_data().unwrap());
            scope.spawn(|| shared.check_data().unwrap());
        }
    });
    assert!(std::fs::read(&paths[0]).unwrap() == std::fs::read(&paths[2]).unwrap());
}
