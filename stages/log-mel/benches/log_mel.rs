//! Milliseconds per clip of 10 s on one thread, against librosa and torchaudio on the same machine in the same run, and against the bare
//! transforms, which no log-mel can do without.
//!
//! `cargo bench --workspace --bench log_mel`. The peers run in the Python that `PIPELINE_PEER_PYTHON` names (`benches/peers.py`); without it
//! only our figures are printed. Turns alternate, times are CPU time of the thread (where Linux tells; wall time elsewhere), ratios are
//! those of the medians of `BENCH_ROUNDS` rounds (31).
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::ffi::OsStr;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use contract::Sound;
use log_mel::{LogMel, Params, Preset, Spec};

const SECONDS: usize = 10;

/// librosa and torchaudio in a process of their own.
struct Peers {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peers {
    fn start(python: &OsStr, spec: &Spec) -> Peers {
        let numbers = [spec.sample_rate as usize, spec.hop_length, spec.n_mels].map(|v| v.to_string());
        let band = [spec.fmin, spec.fmax].map(|v| v.to_string());
        let mut child = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers.py"))
            .args(numbers)
            .args(band)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peers' Python starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Peers { child, input, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the peers answer");
        assert!(!line.is_empty(), "the peers ended: see their message above");
        line.trim().to_owned()
    }

    fn time(&mut self, peer: &str) -> f64 {
        writeln!(self.input, "{peer}").expect("the peers listen");
        self.line().parse().expect("milliseconds")
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // Both fail only where the process has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of this thread so far, in milliseconds, as of the last tick of the scheduler: measure many times as long as that.
fn thread_cpu() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok().map(|ns: f64| ns / 1e6)
}

/// Milliseconds of one of `times` times.
fn timed(times: usize, mut work: impl FnMut()) -> f64 {
    let (start, cpu) = (Instant::now(), thread_cpu());
    (0..times).for_each(|_| work());
    let wall = start.elapsed().as_secs_f64() * 1e3;
    thread_cpu().zip(cpu).map_or(wall, |(end, start)| end - start) / times as f64
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn noise(rate: u32, channels: usize) -> Sound {
    let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0 - 0.5;
    let samples = (0..SECONDS * rate as usize * channels).map(value).collect();
    Sound { sample_rate: rate, channels, samples }
}

fn main() {
    let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|v| v.parse().ok()).unwrap_or(31);
    let python = std::env::var_os("PIPELINE_PEER_PYTHON");
    println!("ms per clip of {SECONDS} s, one thread, medians of {rounds} rounds; n x: the peer takes n times as long");
    println!(
        "{:<13}{:>8}{:>8}{:>10}{:>13}{:>16}{:>19}",
        "preset", "ours", "bare", "librosa", "torchaudio", "48 kHz stereo", "ratios"
    );
    for (name, preset) in
        [("reference", Preset::Reference), ("panns", Preset::Panns), ("efficientat", Preset::EfficientAt)]
    {
        let spec = Params { preset, ..Params::default() }.resolve().expect("a preset");
        let mut stage = LogMel::new(&spec).expect("a spec");
        let frames = 1 + SECONDS * spec.sample_rate as usize / spec.hop_length;
        let mut peers = python.as_ref().map(|python| Peers::start(python, &spec));
        let versions = peers.as_mut().map(Peers::line);
        let (clip, recording) = (noise(spec.sample_rate, 1), noise(48_000, 2));
        let mut times: [Vec<f64>; 5] = Default::default();
        for round in 0..=rounds {
            let compute = |stage: &mut LogMel, sound: &Sound| {
                black_box(stage.compute(sound).expect("a clip"));
            };
            let mut row = vec![timed(40, || compute(&mut stage, &clip)), timed(40, || stage.transform_only(frames))];
            row.push(timed(20, || compute(&mut stage, &recording)));
            if let Some(peers) = &mut peers {
                row.extend([peers.time("librosa"), peers.time("torchaudio")]);
            }
            if round > 0 {
                times.iter_mut().zip(row).for_each(|(times, time)| times.push(time));
            }
        }
        let [ours, bare, recording] = [0, 1, 2].map(|i| median(&mut times[i]));
        if let Some(versions) = versions {
            let [librosa, torchaudio] = [3, 4].map(|i| median(&mut times[i]));
            println!(
                "{name:<13}{ours:>8.2}{bare:>8.2}{librosa:>10.2}{torchaudio:>13.2}{recording:>16.2}{:>8.1} x{:>7.1} x  {versions}",
                librosa / ours,
                torchaudio / ours
            );
        } else {
            println!("{name:<13}{ours:>8.2}{bare:>8.2}{:>10}{:>13}{recording:>16.2}", "-", "-");
        }
    }
}
