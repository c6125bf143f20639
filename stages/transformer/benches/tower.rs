//! Pictures per second of the image tower, and the share that it reaches of what the arithmetic units give in the same moment:
//! `cargo bench --workspace --bench tower [-- b32|b16|l14] [f32|bf16] [portable|avx2|avx512|avx512bf16|amx]`.
//!
//! `peak` is what multiply-adds in registers give, `fed` what the innermost loop gives while all that it reads lies in the first-level cache: `clock` is the
//! processor's clock right after that loop, as a share of what it is right after the first: it goes down for the power that loads take, and no kernel can do anything about it.
//!
//! Weights are drawn at random; the time does not depend on them. Peak and network are measured in turn, the median of the rounds counts; on one
//! thread of CPU time.

#![expect(clippy::print_stdout, reason = "prints a table")]

use std::time::Instant;

use transformer::{
    Activation, Block, Elements, Instructions, Linear, Norm, Pixels, Shape, Threads, Tower, Weights, fed, peak,
};

const ROUNDS: usize = 7;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|a| a == name);
    let instructions = Instructions::ALL.into_iter().find(|i| has(short(*i))).unwrap_or_else(Instructions::best);
    let elements = if has("bf16") { Elements::Bf16 } else { Elements::F32 };
    let (name, width, middle, layers, patch, projection) = if has("l14") {
        ("ViT-L/14", 1024, 4096, 24, 14, 768)
    } else if has("b16") {
        ("ViT-B/16", 768, 3072, 12, 16, 512)
    } else {
        ("ViT-B/32", 768, 3072, 12, 32, 512)
    };
    let shape = Shape {
        width,
        heads: width / 64,
        middle,
        image: 224,
        patch,
        projection,
        activation: Activation::QuickGelu,
        eps: 1e-5,
    };
    let tower = Tower::new(shape, weights(&shape, layers), instructions, elements);
    let gflop = tower.flops_per_picture() as f64 / 1e9;
    println!("{name}, {elements:?} on {instructions}, {gflop:.2} GFLOP per picture, median of {ROUNDS} rounds");
    println!(
        "{:>8} {:>8} {:>12} {:>10} {:>10} {:>8} {:>10} {:>8} {:>8}",
        "threads", "batch", "pictures/s", "GFLOP/s", "peak", "share", "fed", "share", "clock"
    );
    let all = rayon::current_num_threads();
    for (threads, n) in [(1, 1_usize), (1, 10), (1, 32), (all, 1), (all, 10), (all, 32)] {
        let who = if threads == 1 { Threads::One } else { Threads::All };
        let pixels: Vec<f32> = (0..n * 3 * 224 * 224).map(|i| uniform(i as u64) * 4.0).collect();
        let (mut peaks, mut fed_rates, mut clocks, mut seconds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        tower.encode(Pixels::Values(&pixels), who);
        for _ in 0..ROUNDS {
            let (highest, fed) = (peak(instructions, elements, threads), fed(instructions, elements, threads));
            peaks.push(highest.flops / 1e9);
            fed_rates.push(fed.flops / 1e9);
            clocks.push(fed.clock / highest.clock * 100.0);
            let (start, cpu) = (Instant::now(), thread_cpu());
            std::hint::black_box(tower.encode(Pixels::Values(&pixels), who));
            let wall = start.elapsed().as_secs_f64();
            let cpu = thread_cpu().zip(cpu).map(|(end, start)| end - start).filter(|_| threads == 1);
            seconds.push(cpu.unwrap_or(wall));
        }
        let (peak, fed, seconds) = (median(&mut peaks), median(&mut fed_rates), median(&mut seconds));
        let clock = median(&mut clocks);
        let rate = n as f64 / seconds;
        let done = rate * gflop;
        println!(
            "{threads:>8} {n:>8} {rate:>12.2} {done:>10.1} {peak:>10.1} {:>7.0}% {fed:>10.1} {:>7.0}% {clock:>7.0}%",
            done / peak * 100.0,
            done / fed * 100.0
        );
    }
}

/// CPU time of this thread so far in seconds, where the system says: other programs disturb it less than the clock on the wall.
fn thread_cpu() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok().map(|ns: f64| ns / 1e9)
}

fn short(instructions: Instructions) -> &'static str {
    match instructions {
        Instructions::Portable => "portable",
        Instructions::Avx2 => "avx2",
        Instructions::Avx512 => "avx512",
        Instructions::Avx512Bf16 => "avx512bf16",
        Instructions::Amx => "amx",
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The n-th of evenly spread numbers in -0.5..0.5.
fn uniform(n: u64) -> f32 {
    let mut h = (n.wrapping_mul(2654435761) & 0xffff_ffff) as u32;
    h ^= h >> 15;
    h = h.wrapping_mul(2246822519);
    (f64::from(h ^ (h >> 13)) / f64::from(u32::MAX) - 0.5) as f32
}

fn weights(shape: &Shape, layers: usize) -> Weights {
    let mut seed = 0;
    let mut draw = |n: usize, fan_in: usize| -> Vec<f32> {
        seed += n as u64;
        (seed - n as u64..seed).map(|i| uniform(i) * 3.0 / (fan_in as f32).sqrt()).collect()
    };
    let Shape { width, middle, patch, .. } = *shape;
    let norm = || Norm { weight: vec![1.0; width], bias: vec![0.0; width] };
    let mut linear = |out: usize, depth: usize| Linear { weight: draw(out * depth, depth), bias: draw(out, 100) };
    let blocks = (0..layers)
        .map(|_| Block {
            norm1: norm(),
            queries: linear(width, width),
            keys: linear(width, width),
            values: linear(width, width),
            output: linear(width, width),
            norm2: norm(),
            fc1: linear(middle, width),
            fc2: linear(width, middle),
        })
        .collect();
    let patches = (shape.image / patch).pow(2);
    Weights {
        patch_embedding: draw(width * 3 * patch * patch, 3 * patch * patch),
        class_embedding: draw(width, 1),
        positions: draw((patches + 1) * width, 1),
        pre_norm: norm(),
        blocks,
        post_norm: norm(),
        projection: draw(shape.projection * width, width),
    }
}
