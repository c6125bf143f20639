//! What the arithmetic units give at most: multiply-adds on registers, with no memory in between; and what the innermost loop of a product gives while all
//! that it reads lies in the first-level cache. That is less even where no unit ever waits: loads take power, and the clock goes down for it.

use std::time::Instant;

use super::simd::{DotBf16, Portable, Simd};
#[cfg(target_arch = "x86_64")]
use super::{
    amx,
    x86::{Avx2, Avx512},
};
use crate::Elements;
use crate::Rate;
use crate::instructions::Instructions;

/// Multiply-adds per accumulator and call.
const STEPS: usize = 100_000;
/// Independent accumulators: enough to hide the latency of two units.
const CHAINS: usize = 12;

#[inline(always)]
unsafe fn multiply_adds<S: Simd>(seed: f32) -> f32 {
    // SAFETY: no memory is touched; the caller has the instructions.
    unsafe {
        let (a, b) = (S::splat(seed), S::splat(0.999));
        let mut acc = [S::splat(0.5); CHAINS];
        for _ in 0..STEPS {
            for acc in &mut acc {
                *acc = S::fma(*acc, b, a);
            }
        }
        acc.into_iter().map(|v| S::sum(v)).sum()
    }
}

#[inline(always)]
unsafe fn dots<S: DotBf16>(seed: f32) -> f32 {
    let words = [0x3c00_3c00_u32; 16];
    // SAFETY: the array is as long as the longest vector; the caller has the instructions.
    unsafe {
        let a = S::splat(seed);
        let mut acc = [S::splat(0.5); CHAINS];
        for _ in 0..STEPS {
            for acc in &mut acc {
                *acc = S::dot_bf16(*acc, a, words.as_ptr());
            }
        }
        acc.into_iter().map(|v| S::sum(v)).sum()
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(seed: f32) -> f32 {
    unsafe { multiply_adds::<Avx2>(seed) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(seed: f32) -> f32 {
    unsafe { multiply_adds::<Avx512>(seed) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn avx512_bf16(seed: f32) -> f32 {
    unsafe { dots::<Avx512>(seed) }
}

#[cfg(target_arch = "x86_64")]
unsafe fn tiles(seed: f32) -> f32 {
    unsafe { amx::products_in_tiles(STEPS) };
    seed
}

/// Operations of one call, and the call.
fn loop_of(instructions: Instructions, elements: Elements) -> (usize, fn(f32) -> f32) {
    let fma = |lanes: usize| 2 * lanes * CHAINS * STEPS;
    // SAFETY: `peak` is only called for instructions that are available.
    match (instructions, elements) {
        (Instructions::Portable, _) => (fma(8), |seed| unsafe { multiply_adds::<Portable<8>>(seed) }),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx2, _) => (fma(8), |seed| unsafe { avx2(seed) }),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512Bf16, Elements::Bf16) => (2 * fma(16), |seed| unsafe { avx512_bf16(seed) }),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Amx, Elements::Bf16) => (amx::OPERATIONS * STEPS, |seed| unsafe { tiles(seed) }),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512 | Instructions::Avx512Bf16 | Instructions::Amx, _) => {
            (fma(16), |seed| unsafe { avx512(seed) })
        }
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("checked to be available"),
    }
}

/// The best of several rounds.
pub(super) fn peak(instructions: Instructions, elements: Elements, threads: usize) -> Rate {
    let (operations, call) = loop_of(instructions, elements);
    best_of_rounds(threads, operations, |i| {
        // Not zero: sums that fade away into denormals take some processors a hundred times as long.
        std::hint::black_box(call(std::hint::black_box((i + 1) as f32 * 1e-3)));
    })
}

/// Words of depth of the operands in [`fed`]: a panel of them is a quarter of a first-level cache.
const FED_WORDS: usize = 64;
/// Calls of the innermost loop in one call of [`fed`]'s rounds.
const FED_CALLS: usize = 1_000;

/// The same of the innermost loop of products; `feed(depth, words, calls)` calls it, a tile of `rows` by `columns` each time.
pub(super) fn fed(
    (rows, columns): (usize, usize),
    steps: usize,
    threads: usize,
    feed: impl Fn(usize, usize, usize) + Sync,
) -> Rate {
    let depth = steps * FED_WORDS;
    best_of_rounds(threads, 2 * rows * columns * depth * FED_CALLS, |_| feed(depth, FED_WORDS, FED_CALLS))
}

/// The best of several rounds of calls on this many threads.
fn best_of_rounds(threads: usize, operations: usize, call: impl Fn(usize) + Sync) -> Rate {
    let round = || {
        let start = Instant::now();
        let ended: Vec<(f64, f64)> = std::thread::scope(|scope| {
            let work = || {
                (0..20).for_each(&call);
                (start.elapsed().as_secs_f64(), chain())
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let seconds = ended.iter().map(|(seconds, _)| *seconds).fold(0.0, f64::max);
        let clock = ended.iter().map(|(_, clock)| clock).sum::<f64>() / threads as f64;
        Rate { flops: (20 * threads * operations) as f64 / seconds, clock }
    };
    (0..5).map(|_| round()).max_by(|a, b| a.flops.total_cmp(&b.flops)).expect("five rounds")
}

/// Steps per second of a chain of multiplications of integers, each of which waits for the one before: a matter of the clock alone.
fn chain() -> f64 {
    // Some three microseconds: after ten times as many the clock has recovered.
    const STEPS: u32 = 3_000;
    let (start, factor) = (Instant::now(), std::hint::black_box(0x9e37_79b9_7f4a_7c15_u64));
    let last = (0..STEPS).fold(factor, |product, _| product.wrapping_mul(std::hint::black_box(factor)));
    std::hint::black_box(last);
    f64::from(STEPS) / start.elapsed().as_secs_f64()
}
