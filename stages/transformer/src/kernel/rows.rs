//! What works on one row after another: layer norm and softmax.

use std::ops::Range;

use super::activation::exp;
use super::simd::{Simd, nearest_bf16};
use super::{Matrix, MatrixMut};

/// Scale and shift of a layer norm, and what is added to the variance.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) eps: f32,
}

/// `out[r] = (x[r] - mean) / sqrt(variance + eps) · weight + bias` for each of `rows`; `out` may be `x`. Two passes over a row that is in the cache: mean, then variance
/// about it.
#[inline(always)]
pub(crate) unsafe fn layer_norm<S: Simd>(x: Matrix, norm: &Norm, out: MatrixMut, round: bool, rows: Range<usize>) {
    let width = norm.weight.len();
    let whole = width - width % S::LANES;
    let n = width as f32;
    // SAFETY: the matrices know their bounds, and are as wide as the norm (checked where the call is made).
    unsafe {
        for r in rows {
            let (x, out) = (x.row(r), out.row(r));
            let mut sums = S::splat(0.0);
            for j in (0..whole).step_by(S::LANES) {
                sums = S::add(sums, S::load(x.add(j)));
            }
            let mean = (whole..width).fold(S::sum(sums), |sum, j| sum + *x.add(j)) / n;
            let mut squares = S::splat(0.0);
            for j in (0..whole).step_by(S::LANES) {
                let d = S::sub(S::load(x.add(j)), S::splat(mean));
                squares = S::fma(d, d, squares);
            }
            let variance = (whole..width).fold(S::sum(squares), |sum, j| sum + (*x.add(j) - mean).powi(2)) / n;
            let scale = 1.0 / (variance + norm.eps).sqrt();
            let (weight, bias) = (norm.weight.as_ptr(), norm.bias.as_ptr());
            for j in (0..whole).step_by(S::LANES) {
                let d = S::mul(S::sub(S::load(x.add(j)), S::splat(mean)), S::splat(scale));
                let y = S::fma(d, S::load(weight.add(j)), S::load(bias.add(j)));
                S::store(out.add(j), if round { S::round_bf16(y) } else { y });
            }
            for j in whole..width {
                let y = (*x.add(j) - mean) * scale * *weight.add(j) + *bias.add(j);
                *out.add(j) = if round { f32::from_bits(nearest_bf16(y)) } else { y };
            }
        }
    }
}

/// The softmax of `row[..len]` in place. `row` has room up to a whole vector, which is filled with zeros.
#[inline(always)]
pub(crate) unsafe fn softmax<S: Simd>(row: *mut f32, len: usize) {
    // SAFETY: the caller vouches for the room.
    unsafe {
        let padded = len.next_multiple_of(S::LANES);
        for j in len..padded {
            *row.add(j) = f32::NEG_INFINITY;
        }
        let mut largest = S::splat(f32::NEG_INFINITY);
        for j in (0..padded).step_by(S::LANES) {
            largest = S::max(largest, S::load(row.add(j)));
        }
        let largest = S::splat(S::largest(largest));
        // What is padded counts e⁻⁸⁷, which is nothing beside the largest value's 1.
        let mut sums = S::splat(0.0);
        for j in (0..padded).step_by(S::LANES) {
            let e = exp::<S>(S::sub(S::load(row.add(j)), largest));
            sums = S::add(sums, e);
            S::store(row.add(j), e);
        }
        let scale = S::splat(1.0 / S::sum(sums));
        for j in (0..padded).step_by(S::LANES) {
            S::store(row.add(j), S::mul(S::load(row.add(j)), scale));
        }
        for j in len..padded {
            *row.add(j) = 0.0;
        }
    }
}
