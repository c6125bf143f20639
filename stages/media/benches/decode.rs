//! What one picture per second of a clip costs, beside the ffmpeg command on one thread.
//!
//! ```text
//! cargo bench --bench decode                      a clip that the command makes
//! cargo bench --bench decode -- A.mp4 B.mp4 …     these clips
//! cargo bench --bench decode -- FOLDER            every file of a folder, naming those that cost more than the command
//! ```
//!
//! In turn: read the file, choose the frames, decode them to RGB here; `ffmpeg -threads 1 -i CLIP -an -vf fps=1 -f null -` there, which
//! converts and stores nothing, but starts a process. CPU time counts, as it is steadier than wall time on a machine that has other work: that of
//! this thread, and user and system time of the whole command; beside it that which the command states with `-benchmark`, its start and the opening
//! of the file left out. Each figure is the least of the rounds (`BENCH_ROUNDS`, 5 by default; 2 for a folder), the ratio that of the figures.

#![expect(clippy::print_stdout, reason = "prints a table")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use extract_frames::FrameSpec;
use media::{MediaError, MediaFile, Outcome, Video};

/// Milliseconds of CPU.
#[derive(Clone, Copy)]
struct Cost {
    ours: f64,
    theirs: f64,
    /// The command's, its start left out.
    stated: f64,
}

/// CPU time of this thread so far, in milliseconds, as of the last tick of the scheduler (some milliseconds ago); Linux tells.
fn thread_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux system");
    text.split_ascii_whitespace().next().and_then(|ns| ns.parse().ok()).map_or(0.0, |ns: f64| ns / 1e6)
}

/// CPU time of all children so far, in milliseconds; Linux counts it in steps of 10 ms.
fn children_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("a Linux system");
    // The name of the process, in brackets, may hold blanks; the times of children are fields 16 and 17.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_ascii_whitespace().skip(13).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() * 10.0
}

/// Milliseconds, and the number of pictures.
fn ours(path: &Path) -> Result<(f64, usize), MediaError> {
    let start = thread_cpu();
    let mut video = Video::open_for(&MediaFile::read(path)?, FrameSpec::at(1, 1).period())?;
    let mut pictures = 0;
    // A timeline that did not hold is replaced, once.
    for _ in 0..2 {
        let picks = extract_frames::select(video.timeline(), &FrameSpec::at(1, 1));
        let wanted: Vec<usize> = picks.unwrap_or_default().iter().map(|p| p.frame).collect();
        pictures = wanted.len();
        let outcome = video.decode(&wanted, &mut |_, picture| {
            std::hint::black_box(picture);
            ControlFlow::Continue(())
        })?;
        if outcome == Outcome::Done {
            break;
        }
    }
    drop(video);
    Ok((thread_cpu() - start, pictures))
}

/// Milliseconds: all, and without the start; `None` if the command fails.
fn command(path: &Path) -> Option<(f64, f64)> {
    let start = children_cpu();
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-nostats", "-benchmark", "-threads", "1", "-i"])
        .arg(path)
        .args(["-an", "-vf", "fps=1", "-f", "null", "-"])
        .output()
        .expect("the ffmpeg command is installed");
    let all = children_cpu() - start;
    // `bench: utime=0.950s stime=0.031s rtime=0.512s`
    let text = String::from_utf8_lossy(&output.stderr);
    let seconds = |name: &str| -> Option<f64> { text.split_once(name)?.1.split_once('s')?.0.parse().ok() };
    let stated = (seconds("bench: utime=")? + seconds(" stime=")?) * 1e3;
    output.status.success().then_some((all, stated))
}

/// The least of each figure, or why there is none.
fn cost(path: &Path, rounds: usize) -> Result<(Cost, usize), String> {
    let mut least = Cost { ours: f64::MAX, theirs: f64::MAX, stated: f64::MAX };
    let mut pictures = 0;
    for _ in 0..rounds {
        let (mine, count) = ours(path).map_err(|e| e.to_string())?;
        let (theirs, stated) = command(path).ok_or("the command makes nothing of it")?;
        pictures = count;
        least = Cost { ours: least.ours.min(mine), theirs: least.theirs.min(theirs), stated: least.stated.min(stated) };
    }
    Ok((least, pictures))
}

fn synthesize(folder: &Path) -> PathBuf {
    let path = folder.join("clip.mp4");
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25:d=10"])
        .args(["-vf", "noise=alls=12:allf=t,format=yuv420p"])
        .args(["-c:v", "libx264", "-preset", "fast", "-bf", "3", "-b:v", "4M"])
        .arg(&path)
        .status()
        .expect("the ffmpeg command is installed");
    assert!(status.success(), "the ffmpeg command made no clip");
    path
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder that can be read") {
        let path = entry.expect("a folder that can be read").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

fn main() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    // Cargo itself adds `--bench`.
    let named = std::env::args_os().skip(1).filter(|arg| !arg.to_string_lossy().starts_with("--")).map(PathBuf::from);
    let (mut paths, mut whole_folder) = (Vec::new(), false);
    for path in named {
        if path.is_dir() {
            whole_folder = true;
            files(&path, &mut paths);
        } else {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        paths.push(synthesize(temporary.path()));
    }
    paths.sort();
    let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|v| v.parse().ok());
    let rounds = rounds.unwrap_or(if whole_folder { 2 } else { 5 }).max(1);

    println!(
        "ms of CPU, the least of {rounds}; ratio: media / ffmpeg -threads 1; stated: without the start of the command"
    );
    println!("{:<44}{:>9}{:>9}{:>9}{:>7}{:>9}{:>8}", "", "pictures", "media", "ffmpeg", "ratio", "stated", "ratio");
    let (mut ratios, mut costly) = (Vec::new(), Vec::new());
    for path in &paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match cost(path, rounds) {
            Ok((cost, pictures)) => {
                let (ratio, stated) = (cost.ours / cost.theirs, cost.ours / cost.stated);
                println!(
                    "{name:<44}{pictures:>9}{:>9.1}{:>9.0}{ratio:>7.2}{:>9.1}{stated:>8.2}",
                    cost.ours, cost.theirs, cost.stated
                );
                if ratio > 1.0 {
                    costly.push(name);
                }
                ratios.push((ratio, stated));
            }
            Err(error) => println!("{name:<44}{error}"),
        }
    }
    if !ratios.is_empty() {
        let (of_all, of_stated) = ratios.iter().copied().unzip();
        println!("median of {}: {:.3}, stated {:.3}", ratios.len(), median(of_all), median(of_stated));
    }
    if whole_folder {
        println!("{} above 1.0: {costly:?}", costly.len());
    }
}
