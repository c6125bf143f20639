//! Which instructions the kernels of this crate are compiled for, chosen when a plan is made.
//!
//! The kernels are plain loops that the compiler vectorises; what changes with the instructions is only for what it may. Transforms
//! are rustfft's, which chooses by the same rule.

#![expect(clippy::inline_always, reason = "what is not inlined is not compiled for the vectors that were asked for")]

use std::sync::Arc;

use pulp::{Simd, WithSimd};
#[cfg(test)]
use rustfft::FftPlannerScalar;
use rustfft::{Fft, FftPlanner};

/// A set of instructions that this processor has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Instructions {
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    /// What every processor of this architecture has.
    Baseline,
    /// The same, and transforms without vectors.
    #[cfg(test)]
    Scalar,
}

impl Instructions {
    /// The widest vectors that this processor has.
    pub(crate) fn best() -> Instructions {
        #[cfg(target_arch = "x86_64")]
        if let Some(token) = pulp::x86::V3::try_new() {
            return Instructions::Avx2(token);
        }
        Instructions::Baseline
    }

    /// Runs a kernel compiled for these instructions.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2(token) => Simd::vectorize(token, Inlined(kernel)),
            _ => kernel.run(),
        }
    }

    /// The complex transform of `n` values in place.
    pub(crate) fn transform(self, n: usize) -> Arc<dyn Fft<f32>> {
        match self {
            #[cfg(test)]
            Instructions::Scalar => FftPlannerScalar::new().plan_fft_forward(n),
            _ => FftPlanner::new().plan_fft_forward(n),
        }
    }
}

/// A loop over numbers. A trait and no closure, since a closure cannot be made to be inlined.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;

    /// Does it; must be `#[inline(always)]`, down to every loop.
    fn run(self) -> Self::Output;
}

struct Inlined<K>(K);

impl<K: Kernel> WithSimd for Inlined<K> {
    type Output = K::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> K::Output {
        self.0.run()
    }
}
