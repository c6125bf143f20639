//! Resize to 224 and crop, one thread, beside Pillow in the same run: `cargo bench -p encode-clip --bench resize`.
//!
//! The peer is `benches/resize.py` in the Python that `PIPELINE_PEER_PYTHON` names (with Pillow); without it only our figures are printed. Turns
//! alternate, CPU time of the thread counts, the ratio is that of the medians. The bytes of both sides are compared first.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use encode_clip::resize::{Axis, Filter, Kernel, Resizer};

const SIDE: usize = 224;
/// Pictures of a turn: the system counts CPU time in steps of some milliseconds.
const BATCH: usize = 32;
const ROUNDS: usize = 9;

/// CPU time of this thread so far, in milliseconds; Linux tells.
fn thread_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux system");
    text.split_ascii_whitespace().next().and_then(|ns| ns.parse().ok()).map_or(0.0, |ns: f64| ns / 1e6)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

struct Peer(Child);

impl Peer {
    fn turn(&mut self) -> f64 {
        let input = self.0.stdin.as_mut().expect("piped");
        writeln!(input, "turn").expect("the peer listens");
        self.line().parse().expect("milliseconds")
    }

    /// A byte at a time: what comes behind the line belongs to the next.
    fn line(&mut self) -> String {
        let mut line = String::new();
        BufReader::with_capacity(1, self.0.stdout.as_mut().expect("piped")).read_line(&mut line).expect("an answer");
        assert!(!line.is_empty(), "the peer ended: see its message above");
        line.trim().to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail only where the peer has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(python: &std::ffi::OsStr, folder: &Path, picture: &[u8], width: usize, height: usize) -> (Peer, Vec<u8>) {
    let (source, result) = (folder.join("source"), folder.join("result"));
    std::fs::write(&source, picture).expect("a temporary file");
    let child = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/resize.py"))
        .arg(&source)
        .args([width, height, SIDE, BATCH].map(|n| n.to_string()))
        .arg(&result)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the peer's Python starts");
    let mut peer = Peer(child);
    println!("  peer: {}", peer.line());
    (peer, std::fs::read(&result).expect("the peer wrote its bytes"))
}

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let python = std::env::var_os("PIPELINE_PEER_PYTHON");
    println!("RGB to {SIDE}x{SIDE}, bicubic; ms of CPU per picture, medians of {ROUNDS} turns of {BATCH}");
    for (width, height) in [(1280, 720), (1920, 1080)] {
        println!("{width}x{height}");
        let level = |i: u32| (i.wrapping_mul(2654435761) >> 26) as u8 + (i % 173) as u8;
        let picture: Vec<u8> = (0..(width * height * 3) as u32).map(level).collect();
        let longer = SIDE * width / height;
        let across = Axis { input: width, output: longer, start: (longer - SIDE) / 2, len: SIDE };
        let down = Axis { input: height, output: SIDE, start: 0, len: SIDE };
        let mut peer = python.as_ref().map(|python| start(python, folder.path(), &picture, width, height));
        let mut kernels: Vec<_> =
            Kernel::all().into_iter().map(|k| (k, Resizer::with_kernel(Filter::Bicubic, k), Vec::new())).collect();
        let mut theirs = Vec::new();
        let mut out = vec![0; SIDE * SIDE * 3];
        for round in 0..=ROUNDS {
            for (kernel, resizer, costs) in &mut kernels {
                let start = thread_cpu();
                for _ in 0..BATCH {
                    resizer.resize::<3>(std::hint::black_box(&picture), across, down, &mut out);
                }
                let cost = (thread_cpu() - start) / BATCH as f64;
                if round > 0 {
                    costs.push(cost);
                } else if let Some((_, bytes)) = &peer {
                    assert!(*bytes == out, "{kernel:?} gives other bytes than Pillow");
                }
            }
            let turn = peer.as_mut().map(|(peer, _)| peer.turn());
            theirs.extend(turn.filter(|_| round > 0));
        }
        for (kernel, _, costs) in &kernels {
            let ours = median(costs);
            let ratio = if theirs.is_empty() { String::new() } else { format!(", {:.2}x", median(&theirs) / ours) };
            println!("  {:<10}{ours:>8.3}{ratio}", kernel.name());
        }
        if !theirs.is_empty() {
            println!("  {:<10}{:>8.3}", "Pillow", median(&theirs));
        }
    }
}
