//! Mel energies (or amplitudes) to decibels or natural logarithms.

#![expect(clippy::inline_always, reason = "what is not inlined is not compiled for the vectors that were asked for")]

use crate::params::{Log, Spec};

/// `value -> factor * log2(max(gain * value, floor) + added) + offset`: every logarithm that a [`Spec`] can ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    factor: f64,
    floor: f64,
    added: f64,
    offset: f64,
    /// `top_db`, in the unit of the output.
    range: Option<f64>,
}

impl Level {
    pub(crate) fn new(spec: &Spec) -> Level {
        let (factor, floor, added) = match spec.log {
            Log::Db => (20.0 / spec.power * std::f64::consts::LOG10_2, spec.amin.powf(spec.power / 2.0), 0.0),
            Log::Ln => (std::f64::consts::LN_2, 0.0, spec.amin),
        };
        Level {
            factor: factor / spec.divisor,
            floor,
            added,
            offset: (spec.offset - spec.ref_db) / spec.divisor,
            range: spec.top_db.map(|range| range / spec.divisor),
        }
    }

    /// The levels of `values`, in place, computed in f64: `gain` brings values that were scaled to where they belong, which may be beyond f32.
    /// Returns the largest level.
    #[inline(always)]
    pub(crate) fn apply(&self, values: &mut [f32], gain: f64) -> f32 {
        for v in values.iter_mut() {
            let level = self.factor * log2(greater(gain * f64::from(*v), self.floor) + self.added) + self.offset;
            *v = level as f32;
        }
        if self.range.is_none() {
            return f32::NEG_INFINITY;
        }
        values.iter().fold(f32::NEG_INFINITY, |top, v| top.max(*v))
    }

    /// What everything lower is raised to, if there is such a limit; `top` is the largest level of the clip.
    pub(crate) fn limit(&self, top: f32) -> Option<f32> {
        self.range.map(|range| (f64::from(top) - range) as f32)
    }
}

/// The greater of two numbers. `f64::max` heeds NaN, of which there is none here, and that costs.
#[inline(always)]
fn greater(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// Binary logarithm of a positive normal number, within 3e-11; without branches, calls or fused operations, so that it becomes vectors, and the same bits on
/// every processor.
///
/// With `x = 2^e m`, `m` from `√½` to `√2`, and `s = (m - 1) / (m + 1)`: `log2 x = e + 2/ln 2 (s + s³/3 + s⁵/5 + …)`, of which six terms are
/// summed (`|s| < 0.1716`, so the seventh is below 2.5e-11).
#[inline(always)]
pub(crate) fn log2(x: f64) -> f64 {
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    /// The bits of 2^52: a whole number below it stands in the last bits of `2^52 + n`.
    const WHOLE: u64 = 0x4330_0000_0000_0000;
    // The exponent that makes m at least √½, by the integers that floats are.
    let above = x.to_bits().wrapping_sub(SQRT_HALF).wrapping_add(1024 << 52);
    let exponent = f64::from_bits(WHOLE | above >> 52) - f64::from_bits(WHOLE | 1024);
    let m = f64::from_bits((above & ((1 << 52) - 1)).wrapping_add(SQRT_HALF));
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let mut sum = 1.0 / 11.0;
    for odd in [9.0, 7.0, 5.0, 3.0] {
        sum = sum * q + 1.0 / odd;
    }
    exponent + (s + s * q * sum) * std::f64::consts::LOG2_E * 2.0
}
