//! Planes with a border of zeros, and the same moved back.

use rayon::prelude::*;

/// Zeros around each `h * w` plane of `source`: `top` rows and `left` columns before, the rest of `rows * columns` after.
pub(crate) fn padded(
    source: &[f32],
    (h, w): (usize, usize),
    (top, left): (usize, usize),
    (rows, columns): (usize, usize),
) -> Vec<f32> {
    let planes = source.len() / (h * w);
    let mut out = vec![0.0; planes * rows * columns];
    out.par_chunks_mut(rows * columns).zip(source.par_chunks(h * w)).for_each(|(out, plane)| {
        for (to, from) in out.chunks_exact_mut(columns).skip(top).zip(plane.chunks_exact(w)) {
            let count = w.min(columns - left);
            to[left..left + count].copy_from_slice(&from[..count]);
        }
    });
    out
}

/// Writes `part` `[planes, rows, columns]` into every `step`-th row and column of `out` `[planes, h, w]`, from `(first row, first column)`.
pub(crate) fn interleave(
    part: &[f32],
    (rows, columns): (usize, usize),
    out: &mut [f32],
    (h, w): (usize, usize),
    (row, column): (usize, usize),
    step: usize,
) {
    out.par_chunks_mut(h * w).zip(part.par_chunks(rows * columns)).for_each(|(out, part)| {
        for (to, from) in out.chunks_exact_mut(w).skip(row).step_by(step).zip(part.chunks_exact(columns)) {
            for (to, from) in to.iter_mut().skip(column).step_by(step).zip(from) {
                *to = *from;
            }
        }
    });
}

/// A factor per plane: `x[n][c][..] * factors[n][c]`.
pub(crate) fn scaled(x: &[f32], factors: &[f32]) -> Vec<f32> {
    let plane = x.len() / factors.len();
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(plane).zip(x.par_chunks(plane)).zip(factors).for_each(|((out, x), factor)| {
        for (out, x) in out.iter_mut().zip(x) {
            *out = x * factor;
        }
    });
    out
}

/// The sum of each plane of `a` times `b`.
pub(crate) fn dots(a: &[f32], b: &[f32], plane: usize) -> Vec<f32> {
    a.par_chunks(plane).zip(b.par_chunks(plane)).map(|(a, b)| dot(a, b) as f32).collect()
}

/// The mean of each plane.
pub(crate) fn means(x: &[f32], plane: usize) -> Vec<f32> {
    x.par_chunks(plane).map(|x| (sum(x) / plane as f64) as f32).collect()
}

/// A matrix of rows of `columns`, transposed.
pub(crate) fn transposed(x: &[f32], columns: usize) -> Vec<f32> {
    let rows = x.len() / columns;
    let mut out = vec![0.0; x.len()];
    for (i, row) in x.chunks_exact(columns).enumerate() {
        for (j, value) in row.iter().enumerate() {
            out[j * rows + i] = *value;
        }
    }
    out
}

const LANES: usize = 16;

fn sum(x: &[f32]) -> f64 {
    // Rows of 1024 in f32, rows in f64: as exact as needed, and as fast as memory.
    x.chunks(1024)
        .map(|x| {
            let mut sums = [0.0f32; LANES];
            let (whole, rest) = x.as_chunks::<LANES>();
            for x in whole {
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum += x;
                }
            }
            f64::from(sums.iter().sum::<f32>() + rest.iter().sum::<f32>())
        })
        .sum()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.chunks(1024)
        .zip(b.chunks(1024))
        .map(|(a, b)| {
            let mut sums = [0.0f32; LANES];
            let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
            for (a, b) in a.iter().zip(b) {
                for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                    *sum += a * b;
                }
            }
            let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
            f64::from(sums.iter().sum::<f32>() + rest)
        })
        .sum()
}
