//! What one picture per second of a clip costs, beside the ffmpeg command on one thread: `cargo bench -p media --bench decode [-- CLIP.mp4]`.
//!
//! In turn, and the best of seven counts: open the clip, choose the frames, decode them to RGB here; `ffmpeg -threads 1 -i CLIP -an -vf fps=1
//! -f null -` there, which converts and stores nothing, but starts a process. CPU time is the fairer figure on a machine that has other work:
//! that of this thread, and that which the command states with `-benchmark`. Without a clip the command makes one: 10 s of 720p H.264
//! with three B-frames in a row, and noise so that there is something to decode.

#![expect(clippy::print_stdout, reason = "prints a table")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use extract_frames::FrameSpec;
use media::{Outcome, Video};

const ROUNDS: usize = 7;

/// Milliseconds.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    /// `None` where the system does not say.
    cpu: Option<f64>,
}

impl Cost {
    fn least(costs: &[Cost]) -> Cost {
        let least = |values: &mut dyn Iterator<Item = f64>| values.reduce(f64::min);
        Cost {
            wall: least(&mut costs.iter().map(|c| c.wall)).expect("at least one round"),
            cpu: least(&mut costs.iter().filter_map(|c| c.cpu)),
        }
    }
}

/// CPU time of this thread so far, in milliseconds, as of the last tick of the scheduler (up to 10 ms ago); Linux tells.
fn thread_cpu() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok().map(|ns: f64| ns / 1e6)
}

fn timed(work: impl FnOnce()) -> Cost {
    let (start, cpu) = (Instant::now(), thread_cpu());
    work();
    let wall = start.elapsed().as_secs_f64() * 1e3;
    Cost { wall, cpu: thread_cpu().zip(cpu).map(|(end, start)| end - start) }
}

/// The cost of opening, and of everything; and how many pictures came.
fn ours(path: &Path) -> (Cost, Cost, usize) {
    let mut pictures = 0;
    let mut opening = Cost { wall: 0.0, cpu: None };
    let all = timed(|| {
        let mut video = None;
        opening = timed(|| video = Some(Video::open(path).expect("a video that can be opened")));
        let mut video = video.expect("it was opened");
        // A timeline that did not hold is replaced, once.
        for _ in 0..2 {
            let picks = extract_frames::select(video.timeline(), &FrameSpec { fps_num: 1, fps_den: 1 });
            let wanted: Vec<usize> = picks.expect("a video with frames").iter().map(|p| p.frame).collect();
            pictures = wanted.len();
            let outcome = video.decode(&wanted, &mut |_, picture| {
                std::hint::black_box(picture);
                ControlFlow::Continue(())
            });
            if outcome.expect("a video that can be decoded") == Outcome::Done {
                break;
            }
        }
    });
    (opening, all, pictures)
}

fn command(path: &Path) -> Cost {
    let mut stderr = Vec::new();
    let cost = timed(|| {
        let output = Command::new("ffmpeg")
            .args(["-nostdin", "-hide_banner", "-nostats", "-benchmark", "-threads", "1", "-i"])
            .arg(path)
            .args(["-an", "-vf", "fps=1", "-f", "null", "-"])
            .output()
            .expect("the ffmpeg command is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        stderr = output.stderr;
    });
    // `bench: utime=0.950s stime=0.031s rtime=0.512s`
    let text = String::from_utf8_lossy(&stderr);
    let seconds = |name: &str| -> Option<f64> { text.split_once(name)?.1.split_once('s')?.0.parse().ok() };
    let cpu = seconds("utime=").zip(seconds("stime=")).map(|(user, system)| (user + system) * 1e3);
    Cost { cpu, ..cost }
}

fn synthesize(folder: &Path) -> PathBuf {
    let path = folder.join("clip.mp4");
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25:d=10"])
        .args([
            "-vf",
            "noise=alls=12:allf=t,format=yuv420p",
            "-c:v",
            "libx264",
            "-preset",
            "fast",
            "-bf",
            "3",
            "-b:v",
            "4M",
        ])
        .arg(&path)
        .status()
        .expect("the ffmpeg command is installed");
    assert!(status.success(), "the ffmpeg command made no clip");
    path
}

fn row(what: &str, cost: Cost) {
    let cpu = cost.cpu.map_or("-".to_owned(), |cpu| format!("{cpu:.0}"));
    println!("{what:<28}{:>12.0}{cpu:>12}", cost.wall);
}

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Cargo itself adds `--bench`.
    let named = std::env::args_os().skip(1).find(|arg| !arg.to_string_lossy().starts_with("--"));
    let path = named.map_or_else(|| synthesize(folder.path()), PathBuf::from);
    let (mut opening, mut all, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let mut pictures = 0;
    for _ in 0..ROUNDS {
        let (open, whole, count) = ours(&path);
        opening.push(open);
        all.push(whole);
        pictures = count;
        theirs.push(command(&path));
    }
    let [opening, all, theirs] = [opening, all, theirs].map(|costs| Cost::least(&costs));
    let video = Video::open(&path).expect("it was opened before");
    let info = video.info();
    println!(
        "{} {}x{}, {} frames, {pictures} pictures, best of {ROUNDS}",
        info.codec,
        info.width,
        info.height,
        video.timeline().frames.len()
    );
    println!("{:<28}{:>12}{:>12}", "", "wall, ms", "CPU, ms");
    // Opening may take less than the tick by which CPU time is counted.
    row("media: open", Cost { cpu: None, ..opening });
    row("media: open and decode", all);
    row("ffmpeg -threads 1", theirs);
    let cpu = theirs.cpu.zip(all.cpu).map_or("-".to_owned(), |(theirs, ours)| format!("{:.2}", theirs / ours));
    println!("{:<28}{:>12.2}{cpu:>12}", "ffmpeg/media", theirs.wall / all.wall);
}
