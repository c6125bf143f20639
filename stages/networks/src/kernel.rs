//! Kernels on the CPU over plain slices of f32, NCHW: convolution, depthwise convolution, batch norm, pooling.
//!
//! Every sum has a fixed order: the numbers do not depend on the number of threads. Each kernel has a slow twin in f64 in
//! the tests. Vectors are `pulp`'s: eight numbers with AVX2, four with NEON, one where there is neither.

#![expect(clippy::inline_always, reason = "what is not inlined is not compiled for the vectors that were asked for")]

use pulp::{Simd, WithSimd};

pub(crate) mod conv;
pub(crate) mod depthwise;
pub(crate) mod gather;
pub(crate) mod norm;
pub(crate) mod planes;
pub(crate) mod pool;
pub(crate) mod weight_gradient;

/// Runs `op` with the widest vectors that this processor has.
pub(crate) fn vectorize<W: WithSimd>(op: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return Simd::vectorize(simd, op);
    }
    pulp::Arch::new().dispatch(op)
}

/// A closure that the compiler may vectorise for the processor at hand.
pub(crate) struct Plain<F>(pub(crate) F);

impl<R, F: FnOnce() -> R> WithSimd for Plain<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> R {
        (self.0)()
    }
}
