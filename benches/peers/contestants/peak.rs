//! The most that a processor can do in f32: fused products and sums in registers alone, no memory touched.

use std::hint::black_box;
use std::time::Instant;

/// Independent sums per thread: more than latency times throughput of any processor so far (4 or 5 cycles, 2 a cycle), fewer than registers.
const SUMS: usize = 12;
const PASSES: usize = 20_000_000;

/// Giga floating-point operations a second of this many threads together, a product and a sum being two, and the kernel that did them: the best of
/// five tries, since whatever else runs only slows it down.
pub(super) fn measure(threads: usize) -> (&'static str, f64) {
    let (name, lanes, kernel) = kernel();
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(move || black_box(kernel(PASSES))))));
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    (name, (threads * PASSES * SUMS * lanes * 2) as f64 / best / 1e9)
}

#[cfg(target_arch = "x86_64")]
fn kernel() -> (&'static str, usize, fn(usize) -> f32) {
    if is_x86_feature_detected!("avx512f") {
        #[expect(unsafe_code, reason = "the processor was asked for the instructions")]
        return ("AVX-512", 16, |passes| unsafe { x86::avx512(passes) });
    }
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        #[expect(unsafe_code, reason = "the processor was asked for the instructions")]
        return ("AVX2 and FMA", 8, |passes| unsafe { x86::avx2(passes) });
    }
    ("portable", 1, portable)
}

#[cfg(not(target_arch = "x86_64"))]
fn kernel() -> (&'static str, usize, fn(usize) -> f32) {
    ("portable", 1, portable)
}

fn portable(passes: usize) -> f32 {
    let (factor, mut sums) = (black_box(0.5), [1.0; SUMS]);
    for _ in 0..passes {
        sums = sums.map(|sum| sum * factor + factor);
    }
    sums.iter().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_cvtss_f32, _mm512_fmadd_ps, _mm512_set1_ps,
    };
    use std::hint::black_box;

    use super::SUMS;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2(passes: usize) -> f32 {
        let (factor, mut sums) = (_mm256_set1_ps(black_box(0.5)), [_mm256_set1_ps(1.0); SUMS]);
        for _ in 0..passes {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, factor);
            }
        }
        sums.into_iter().map(|sum| _mm256_cvtss_f32(sum)).sum()
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512(passes: usize) -> f32 {
        let (factor, mut sums) = (_mm512_set1_ps(black_box(0.5)), [_mm512_set1_ps(1.0); SUMS]);
        for _ in 0..passes {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, factor);
            }
        }
        sums.into_iter().map(|sum| _mm512_cvtss_f32(sum)).sum()
    }
}
