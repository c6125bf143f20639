//! Real files, where they are at hand.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::against::{Threads, command, compare_with, ours_and_damage};

/// Files that are compared with the command on one thread, because it does not agree with itself otherwise, each with its cause.
const ONE_THREAD: &[(&str, &str)] = &[
    ("corrupted.mp4", "damaged H.264: the command's bytes depend on its number of threads"),
    ("empty_edit_5s.mp4", "H.264 4:4:4 that libav decodes with errors: the command's bytes differ from run to run"),
];

/// Files of which only a part is good, each with what is told of it. All others count as whole.
const PARTIAL: &[(&str, &str)] = &[
    ("corrupted.mp4", "damaged from 3 s on: 1 of 50 pictures do not decode and 1 are decoded with errors"),
    ("displaymatrix.mp4", "missing from 1.061 s on (byte 58324): 675 of 708 pictures lie beyond the end of the file"),
    // Whole, but libav does not decode its 4:4:4 without errors, and what it gives differs from run to run.
    ("empty_edit_5s.mp4", "damaged from 0 s on: 29 of 100 pictures are decoded with errors"),
    ("roundup1414.mp4", "damaged from 1.543 s on: the container marks a picture as incomplete or lost"),
    (
        "two_first_slice.mp4",
        "missing from 2.266 s on (byte 512000): 187 of 221 pictures lie beyond the end of the file",
    ),
    ("wwwq_cut.mp4", "missing from 3.971 s on (byte 2048000): 318 of 437 pictures lie beyond the end of the file"),
];

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
                    let one = ONE_THREAD.iter().any(|(n, _)| *n == name);
                    let ours = ours_and_damage(&path, "1");
                    let damage = ours.as_ref().ok().and_then(|(_, damage)| damage.clone());
                    let theirs = command(&path, "1", if one { Threads::One } else { Threads::Auto });
                    let result = compare_with(ours.map(|(shots, _)| shots), theirs);
                    lines.lock().unwrap().push((name, result, damage));
                }
            });
        }
    });
    let mut lines = lines.into_inner().unwrap();
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    let (mut equal, mut failed) = (0, Vec::new());
    for (name, result, _) in &lines {
        match result {
            Ok(line) => {
                equal += 1;
                eprintln!("equal      {name}: {line}");
            }
            Err(line) => {
                eprintln!("DIFFERENT  {name}: {line}");
                failed.push(format!("{name}: {line}"));
            }
        }
    }
    eprintln!("{equal} of {} files equal to the command", lines.len());
    for (name, why) in ONE_THREAD.iter().filter(|(one, _)| lines.iter().any(|(name, ..)| name == one)) {
        eprintln!("of these compared with `ffmpeg -threads 1`: {name} ({why})");
    }
    assert!(failed.is_empty(), "{failed:#?}");
    let partial: Vec<(&str, String)> =
        lines.iter().filter_map(|(name, _, damage)| Some((name.as_str(), damage.as_ref()?.to_string()))).collect();
    let expected: Vec<(&str, String)> = PARTIAL.iter().map(|(name, what)| (*name, (*what).to_string())).collect();
    assert_eq!(partial, expected);
}
