//! Element-wise functions on vectors: exponential, QuickGELU, GELU.

use super::simd::Simd;

/// The activation of the perceptrons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x · σ(1.702 x)`: OpenAI's checkpoints.
    QuickGelu,
    /// `x · Φ(x)`, by the error function: LAION's checkpoints.
    Gelu,
}

/// The exponential function to 3 units in the last place; arguments beyond ±87 count as ±87, where the sigmoid has long reached 0 and 1.
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    /// Adding and subtracting 1.5 · 2²³ rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 = HIGH + LOW, HIGH short enough that its product with the integer is exact.
    const LN2_HIGH: f32 = 355.0 / 512.0;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // SAFETY: no memory is touched; the caller has the instructions.
    unsafe {
        let c = |x: f32| S::splat(x);
        // In this order a not-a-number stays one.
        let x = S::min(c(87.0), S::max(c(-87.0), x));
        let rounded = S::fma(x, c(std::f32::consts::LOG2_E), c(ROUND));
        let n = S::sub(rounded, c(ROUND));
        let r = S::fma(n, c(-LN2_LOW), S::fma(n, c(-LN2_HIGH), x));
        let mut series = c(1.0 / 5040.0);
        for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            series = S::fma(series, r, c(coefficient));
        }
        S::mul(series, S::power_of_two(rounded))
    }
}

/// The error function to 3e-7: the rational approximation of degree 13 over 8 in `x`, clamped to ±4 where it reaches ±1 in f32 (the one that
/// Eigen and XLA use for f32).
#[inline(always)]
unsafe fn erf<S: Simd>(x: S::V) -> S::V {
    const NUMERATOR: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const DENOMINATOR: [f32; 5] = [-1.456_607_2e-5, -2.133_740_5e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];
    // SAFETY: as for `exp`.
    unsafe {
        let x = S::min(S::splat(4.0), S::max(S::splat(-4.0), x));
        let square = S::mul(x, x);
        let mut p = S::splat(NUMERATOR[0]);
        for coefficient in &NUMERATOR[1..] {
            p = S::fma(p, square, S::splat(*coefficient));
        }
        let mut q = S::splat(DENOMINATOR[0]);
        for coefficient in &DENOMINATOR[1..] {
            q = S::fma(q, square, S::splat(*coefficient));
        }
        S::div(S::mul(x, p), q)
    }
}

/// The activation of a vector.
#[inline(always)]
pub(crate) unsafe fn activate<S: Simd>(activation: Activation, x: S::V) -> S::V {
    // SAFETY: as for `exp`.
    unsafe {
        let one = S::splat(1.0);
        match activation {
            Activation::QuickGelu => S::div(x, S::add(one, exp::<S>(S::mul(x, S::splat(-1.702))))),
            Activation::Gelu => {
                let phi = S::add(one, erf::<S>(S::mul(x, S::splat(std::f32::consts::FRAC_1_SQRT_2))));
                S::mul(S::mul(x, S::splat(0.5)), phi)
            }
        }
    }
}
