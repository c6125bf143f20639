//! Clips per second of a step of training, against PyTorch on the same machine in the same run, and where the time goes.
//!
//! `cargo bench -p networks --bench training [-- NETWORK…]`. The peer is `benches/training.py` in the Python that
//! `PIPELINE_PEER_PYTHON` names (with torch and torchvision); without it only our figures are printed. Turns alternate, both
//! sides get the same number of threads (`RAYON_NUM_THREADS`, 2 by default), the ratio is that of the medians.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use candle_core::{Device, Tensor};
use networks::{Architecture, Config, Mode, Network};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const FRAMES: usize = 480;
const BANDS: usize = 128;
const CLASSES: usize = 10;

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(otherwise)
}

/// Forward, loss, backward and a step of SGD, in seconds.
struct Ours {
    net: Network,
    input: Tensor,
    rng: ChaCha8Rng,
}

impl Ours {
    fn new(architecture: Architecture, batch: usize) -> Ours {
        let net = Network::new(&Config::audio(architecture, BANDS, CLASSES), 0, &Device::Cpu).expect("a network");
        let input = Tensor::randn(0f32, 1f32, (batch, FRAMES, BANDS), &Device::Cpu).expect("an input");
        Ours { net, input, rng: ChaCha8Rng::seed_from_u64(0) }
    }

    fn step(&mut self) -> candle_core::Result<[f64; 3]> {
        let start = Instant::now();
        let logits =
            self.net.forward(&self.input, None, Mode::Train(&mut self.rng)).map_err(candle_core::Error::wrap)?;
        let forward = start.elapsed().as_secs_f64();
        // The mean of log-sum-exp minus the first logit: cross entropy of class 0.
        let loss = (logits.exp()?.sum_keepdim(1)?.log()? - logits.narrow(1, 0, 1)?)?.mean_all()?;
        let gradients = loss.backward()?;
        let backward = start.elapsed().as_secs_f64() - forward;
        for v in self.net.variables().iter().filter(|v| v.trainable) {
            let gradient = gradients.get(&v.var).expect("every parameter has a gradient");
            v.var.set(&(v.var.as_detached_tensor() - (gradient * 1e-3)?)?)?;
        }
        Ok([forward, backward, start.elapsed().as_secs_f64() - forward - backward])
    }
}

/// PyTorch in a process of its own: a line in, one step, its seconds out.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn start(python: &std::ffi::OsStr, name: &str, batch: usize, threads: usize) -> Peer {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/training.py");
        let mut child = Command::new(python)
            .args([script, name, &batch.to_string(), &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer's Python starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut peer = Peer { child, input, output };
        println!("  peer: {}", peer.line());
        peer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the peer answers");
        assert!(!line.is_empty(), "the peer ended: see its message above");
        line.trim().to_owned()
    }

    fn step(&mut self) -> f64 {
        writeln!(self.input, "step").expect("the peer listens");
        self.line().parse().expect("seconds")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail only where the peer has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn main() -> candle_core::Result<()> {
    let names: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let names = if names.is_empty() { vec!["resnet18".into(), "resnet50".into(), "mn04".into()] } else { names };
    let (batch, threads, rounds) =
        (number("BENCH_BATCH", 16), number("RAYON_NUM_THREADS", 2), number("BENCH_ROUNDS", 5));
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(candle_core::Error::wrap)?;
    let python = std::env::var_os("PIPELINE_PEER_PYTHON");
    println!("batch {batch}, {FRAMES} x {BANDS}, {threads} threads, {rounds} rounds after one to warm up");
    for name in names {
        let architecture: Architecture = name.parse().map_err(candle_core::Error::wrap)?;
        println!("{name}");
        let mut ours = Ours::new(architecture, batch);
        // torchvision has no mn; a peer for it would be our own script.
        let mut peer = match &python {
            Some(python) if name.starts_with("resnet") => Some(Peer::start(python, &name, batch, threads)),
            _ => None,
        };
        let (mut parts, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            let mine = ours.step()?;
            let other = peer.as_mut().map(Peer::step);
            if round > 0 {
                parts.push(mine);
                theirs.extend(other);
            }
        }
        let column = |i: usize| median(&parts.iter().map(|p| p[i]).collect::<Vec<_>>());
        let whole = median(&parts.iter().map(|p| p.iter().sum()).collect::<Vec<f64>>());
        let clips = batch as f64 / whole;
        println!(
            "  ours: {clips:.2} clips/s; forward {:.2} s, backward {:.2} s, step {:.2} s",
            column(0),
            column(1),
            column(2)
        );
        if !theirs.is_empty() {
            let theirs = median(&theirs);
            println!("  peer: {:.2} clips/s; ours / peer = {:.2}", batch as f64 / theirs, theirs / whole);
        }
    }
    Ok(())
}
