//! Multiplications and additions per second in registers: the most that any matrix product on these instructions can reach.

#![expect(clippy::inline_always, reason = "what is not inlined is not compiled for the vectors that were asked for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use pulp::{Simd, WithSimd};

/// The widest vectors that [`peak_flops`] uses here.
pub fn instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if pulp::x86::V3::is_available() {
        return "AVX2 + FMA";
    }
    if cfg!(target_arch = "aarch64") { "NEON" } else { "baseline" }
}

/// Floating-point operations per second of f32 on this many threads at once.
pub fn peak_flops(threads: usize) -> f64 {
    let each: Vec<f64> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(one_thread)).collect();
        started.into_iter().map(|thread| thread.join().expect("arithmetic does not panic")).collect()
    });
    each.iter().sum()
}

fn one_thread() -> f64 {
    let (start, mut operations) = (Instant::now(), 0.0);
    while start.elapsed() < Duration::from_millis(300) {
        operations += run();
    }
    operations / start.elapsed().as_secs_f64()
}

fn run() -> f64 {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return Simd::vectorize(simd, Registers);
    }
    pulp::Arch::new().dispatch(Registers)
}

struct Registers;

/// Enough sums to hide the latency of one.
const SUMS: usize = 12;
const ROUNDS: usize = 50_000;

impl WithSimd for Registers {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (a, b) = (simd.splat_f32s(black_box(0.999_9)), simd.splat_f32s(black_box(1e-4)));
        let mut sums = [b; SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, a, b);
            }
        }
        black_box(sums.map(|sum| simd.reduce_sum_f32s(sum)));
        (2 * SUMS * ROUNDS * S::F32_LANES) as f64
    }
}
