//! The penalised mean log loss and its gradient, over all training items.
//!
//! `F(W, b) = 1/n * sum_i (ln sum_j exp(z_ij) - z_i,y_i) + penalty/2 * |W|²` with `z_ik = w_k · ((x_i - shift) * factor) + b_k`.
//!
//! Rows are taken in blocks that stay in the cache: converted to f64, multiplied by `W`, turned into probabilities minus
//! targets, multiplied back into the gradient; so an evaluation reads the features once. Blocks belong to strips, each
//! with its own sums; their number depends on `n` alone and they are added in order, whatever thread computed them.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::prelude::*;

/// Rows per block: 128 rows of 512 features are half a megabyte of f64.
const BLOCK: usize = 128;
/// Most strips. More would only cost memory (a gradient each); fewer would leave cores idle.
const STRIPS: usize = 64;

/// The function to minimise. Its argument is `[W as K rows of D, then b]`.
pub(crate) struct Objective<'a> {
    x: &'a [f32],
    y: &'a [usize],
    dim: usize,
    classes: usize,
    shift: &'a [f64],
    factor: &'a [f64],
    penalty: f64,
    strip_rows: usize,
    strips: Vec<Strip>,
}

/// The sums over one strip of rows.
struct Strip {
    loss: f64,
    gradient: Vec<f64>,
}

/// What a block needs besides the features; reused from block to block.
struct Scratch {
    features: Vec<f64>,
    scores: Vec<f64>,
}

impl<'a> Objective<'a> {
    /// `x`: `[n][dim]`, `y`: `[n]` class numbers below `classes`; `shift` and `factor`: `[dim]`.
    pub(crate) fn new(
        x: &'a [f32],
        y: &'a [usize],
        classes: usize,
        shift: &'a [f64],
        factor: &'a [f64],
        penalty: f64,
    ) -> Self {
        let dim = shift.len();
        let blocks = y.len().div_ceil(BLOCK);
        let strip_rows = blocks.div_ceil(STRIPS) * BLOCK;
        let strips = (0..y.len().div_ceil(strip_rows))
            .map(|_| Strip { loss: 0.0, gradient: vec![0.0; classes * (dim + 1)] })
            .collect();
        Objective { x, y, dim, classes, shift, factor, penalty, strip_rows, strips }
    }

    /// The value at `point`; its gradient is written to `gradient`.
    pub(crate) fn evaluate(&mut self, point: &[f64], gradient: &mut [f64]) -> f64 {
        let (dim, classes, rows) = (self.dim, self.classes, self.strip_rows);
        let (shift, factor) = (self.shift, self.factor);
        self.strips.par_iter_mut().zip(self.x.par_chunks(rows * dim)).zip(self.y.par_chunks(rows)).for_each_init(
            || Scratch { features: vec![0.0; BLOCK * dim], scores: vec![0.0; BLOCK * classes] },
            |scratch, ((strip, x), y)| {
                strip.loss = 0.0;
                strip.gradient.fill(0.0);
                for (x, y) in x.chunks(BLOCK * dim).zip(y.chunks(BLOCK)) {
                    strip.add_block(scratch, x, y, point, shift, factor);
                }
            },
        );
        let n = self.y.len() as f64;
        gradient.fill(0.0);
        let mut loss = 0.0;
        for strip in &self.strips {
            loss += strip.loss;
            gradient.iter_mut().zip(&strip.gradient).for_each(|(total, part)| *total += part);
        }
        let weights = classes * dim;
        for total in gradient.iter_mut() {
            *total /= n;
        }
        gradient[..weights].iter_mut().zip(&point[..weights]).for_each(|(total, w)| *total += self.penalty * w);
        loss / n + 0.5 * self.penalty * point[..weights].iter().map(|w| w * w).sum::<f64>()
    }
}

impl Strip {
    fn add_block(
        &mut self,
        scratch: &mut Scratch,
        x: &[f32],
        y: &[usize],
        point: &[f64],
        shift: &[f64],
        factor: &[f64],
    ) {
        let (n, dim) = (y.len(), shift.len());
        let classes = point.len() / (dim + 1);
        let (weights, intercept) = point.split_at(classes * dim);
        let features = &mut scratch.features[..n * dim];
        for (out, row) in features.chunks_exact_mut(dim).zip(x.chunks_exact(dim)) {
            for (((out, value), shift), factor) in out.iter_mut().zip(row).zip(shift).zip(factor) {
                *out = (f64::from(*value) - shift) * factor;
            }
        }
        let scores = &mut scratch.scores[..n * classes];
        for row in scores.chunks_exact_mut(classes) {
            row.copy_from_slice(intercept);
        }
        let features = matrix(features, n, dim);
        general_mat_mul(1.0, &features, &matrix(weights, classes, dim).t(), 1.0, &mut matrix_mut(scores, n, classes));
        let (gradient_w, gradient_b) = self.gradient.split_at_mut(classes * dim);
        for (row, &label) in scores.chunks_exact_mut(classes).zip(y) {
            let score = row[label];
            self.loss += softmax_in_place(row) - score;
            row[label] -= 1.0;
            gradient_b.iter_mut().zip(&*row).for_each(|(total, residual)| *total += residual);
        }
        let residuals = matrix(scores, n, classes);
        general_mat_mul(1.0, &residuals.t(), &features, 1.0, &mut matrix_mut(gradient_w, classes, dim));
    }
}

/// Turns scores into probabilities and returns the logarithm of the sum of their exponentials.
pub(crate) fn softmax_in_place(scores: &mut [f64]) -> f64 {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - max).exp();
        sum += *score;
    }
    for score in scores.iter_mut() {
        *score /= sum;
    }
    max + sum.ln()
}

fn matrix(values: &[f64], rows: usize, columns: usize) -> ArrayView2<'_, f64> {
    ArrayView2::from_shape((rows, columns), values).expect("the slice was cut to rows x columns")
}

fn matrix_mut(values: &mut [f64], rows: usize, columns: usize) -> ArrayViewMut2<'_, f64> {
    ArrayViewMut2::from_shape((rows, columns), values).expect("the slice was cut to rows x columns")
}
