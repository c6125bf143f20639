//! Real files, where they are at hand.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::against::compare;

/// Files that may differ, each with its cause.
const EXPLAINED: &[(&str, &str)] = &[];

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn every_file_of_the_shared_media_gives_the_pictures_of_the_command() {
    let Some(root) = std::env::var_os("PIPELINE_TEST_MEDIA") else {
        eprintln!(
            "skipped: every_file_of_the_shared_media_gives_the_pictures_of_the_command (PIPELINE_TEST_MEDIA is not set)"
        );
        return;
    };
    let mut paths = Vec::new();
    files(&Path::new(&root).join("media/video"), &mut paths);
    assert!(!paths.is_empty());
    // The longest first, so that the threads end together.
    paths.sort_by_key(|p| std::cmp::Reverse(p.metadata().unwrap().len()));
    let queue = Mutex::new(paths.into_iter());
    let lines = Mutex::new(Vec::new());
    let next = || queue.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(path) = next() {
                    let name = path.file_name().unwrap().to_string_lossy().into_owned();
                    let result = compare(&path, "1");
                    lines.lock().unwrap().push((name, result));
                }
            });
        }
    });
    let mut lines = lines.into_inner().unwrap();
    lines.sort();
    let (mut equal, mut failed) = (0, Vec::new());
    for (name, result) in &lines {
        let explained = EXPLAINED.iter().find(|(n, _)| n == name).map(|(_, why)| *why);
        match (result, explained) {
            (Ok(line), None) => {
                equal += 1;
                eprintln!("equal      {name}: {line}");
            }
            (Err(line), Some(why)) => eprintln!("explained  {name}: {line} ({why})"),
            (Ok(line), Some(_)) => failed.push(format!("{name}: no longer differs ({line}): take it off the list")),
            (Err(line), None) => {
                eprintln!("DIFFERENT  {name}: {line}");
                failed.push(format!("{name}: {line}"));
            }
        }
    }
    eprintln!("{equal} of {} files equal to the command", lines.len());
    assert!(failed.is_empty(), "{failed:#?}");
}
