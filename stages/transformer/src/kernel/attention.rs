//! One head of attention over one picture: `softmax(q kᵀ) v`, the factor 1/√d being part of the queries' weights.

use super::product::vectors::{F32, GROUP};
use super::product::{self, Finish, Product, product};
use super::rows::softmax;
use super::simd::{Simd, nearest_bf16};
use super::{Matrix, MatrixMut, Panels};

/// A head at work. Keys and values are rows of `tokens`; the result takes the place of the queries.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    /// `[R][d]` in, the mixed values out.
    pub(crate) queries: MatrixMut<'a>,
    /// `[T][d]`
    pub(crate) keys: Matrix<'a>,
    /// `[T][d]`
    pub(crate) values: Matrix<'a>,
    /// Round the result to bf16.
    pub(crate) round: bool,
}

/// Buffers of a thread.
#[derive(Default)]
pub(crate) struct Scratch {
    keys: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
    product: product::Scratch,
}

/// Computes one head. Always in f32: it is a hundredth of the work, and sums over many tokens are where bf16 hurts.
#[inline(always)]
pub(crate) unsafe fn head<S: Simd>(h: &Head, scratch: &mut Scratch) {
    let width = 2 * S::LANES;
    let (rows, tokens, d) = (h.queries.rows, h.keys.rows, h.keys.columns);
    // Room for the softmax to fill a vector.
    let stride = tokens.next_multiple_of(width);
    scratch.scores.resize(GROUP.min(rows) * stride, 0.0);
    scratch.keys.resize(tokens.next_multiple_of(width) * d, 0.0);
    scratch.values.resize(d.next_multiple_of(width) * tokens, 0.0);
    // SAFETY: matrices know their bounds and the buffers were just made to fit.
    unsafe {
        // Keys as panels of tokens, [T / width][d][width]; the rest of the last panel is never looked at, but may not be what is no number.
        let keys = scratch.keys.as_mut_ptr();
        for first in (0..tokens.next_multiple_of(width)).step_by(S::LANES) {
            let panel = keys.add(first / width * width * d + first % width);
            let whole = d / S::LANES * S::LANES;
            for k in (0..whole).step_by(S::LANES) {
                let row = |t: usize| {
                    if first + t < tokens { S::load(h.keys.row(first + t).add(k)) } else { S::splat(0.0) }
                };
                S::side_by_side(row, S::LANES, panel.add(k * width), width);
            }
            for k in whole..d {
                for t in 0..S::LANES {
                    let value = if first + t < tokens { *h.keys.row(first + t).add(k) } else { 0.0 };
                    *panel.add(k * width + t) = value;
                }
            }
        }
        // Values as panels of features, [d / width][T][width].
        let values = scratch.values.as_mut_ptr();
        for first in (0..d).step_by(width) {
            let columns = width.min(d - first);
            for t in 0..tokens {
                let to = values.add(first * tokens + t * width);
                std::ptr::copy_nonoverlapping(h.values.row(t).add(first), to, columns);
                to.add(columns).write_bytes(0, width - columns);
            }
        }
        let panels = |words: *mut f32, depth, columns| Panels {
            words: words.cast_const().cast(),
            bias: std::ptr::null(),
            depth,
            words_deep: depth,
            columns,
            width,
            halves: None,
            lifetime: std::marker::PhantomData,
        };
        let (keys, values) = (panels(keys, d, tokens), panels(values, tokens, d));
        for start in (0..rows).step_by(GROUP) {
            let count = GROUP.min(rows - start);
            let queries = h.queries.part(start, count);
            let scores = MatrixMut::new(scratch.scores.as_mut_ptr(), count, tokens, stride);
            let product_of = |a, weights, out| Product { a, weights, out, finish: Finish::Store, round: false };
            let whole = |p: &Panels| 0..p.columns.div_ceil(width);
            product::<F32<S>>(
                &product_of(queries.as_const(), keys, scores),
                0..count,
                whole(&keys),
                &mut scratch.product,
            );
            for r in 0..count {
                softmax::<S>(scores.row(r), tokens);
            }
            product::<F32<S>>(
                &product_of(scores.as_const(), values, queries),
                0..count,
                whole(&values),
                &mut scratch.product,
            );
            if h.round {
                for r in 0..count {
                    for j in 0..d {
                        let value = queries.row(r).add(j);
                        *value = f32::from_bits(nearest_bf16(*value));
                    }
                }
            }
        }
    }
}
