//! The gradient of a convolution with respect to its weights: `out[o][k] = sum over images and positions of dy[o][p] * b[k][p]`,
//! with the same unbuilt matrix `b` as in [`gather`](super::gather).
//!
//! The sum runs along the positions, which lie one after the other in both factors, so nothing is transposed: three rows of
//! `dy` meet four rows of `b`, twelve vectors of sums, one vector's lanes added up per block of positions.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::gather::Gather;
use super::vectorize;

/// Rows of `dy` at a time.
const ROWS: usize = 3;
/// Rows of `b` at a time.
const COLUMNS: usize = 4;
/// Positions in a block, about: whole rows of the picture.
const POSITIONS: usize = 768;
/// Rows of `dy` in a task, at most: they stay in the second cache.
const TASK_ROWS: usize = 129;

/// `out[o][k]` for `dy` `[batch, outputs, positions]` and the source that `gather` speaks of.
pub(crate) fn weight_gradient(gather: &Gather, source: &[f32], dy: &[f32], outputs: usize) -> Vec<f32> {
    let depth = gather.offsets.len();
    // Fixed sizes, whatever the number of threads; small matrices are cut finer so that there is work for several.
    let columns = depth.div_ceil(8).next_multiple_of(COLUMNS).clamp(4 * COLUMNS, 36 * COLUMNS);
    let tasks: Vec<(usize, usize)> =
        (0..outputs).step_by(TASK_ROWS).flat_map(|o| (0..depth).step_by(columns).map(move |k| (o, k))).collect();
    let parts: Vec<Vec<f32>> = tasks
        .par_iter()
        .map(|&(o, k)| {
            let (rows, columns) = (TASK_ROWS.min(outputs - o), columns.min(depth - k));
            vectorize(Task { gather, source, dy, outputs, first_row: o, rows, first_column: k, columns })
        })
        .collect();
    let mut out = vec![0.0; outputs * depth];
    for ((o, k), part) in tasks.into_iter().zip(parts) {
        let columns = columns.min(depth - k);
        for (r, row) in part.chunks_exact(columns).enumerate() {
            let start = (o + r) * depth + k;
            out[start..start + columns].copy_from_slice(row);
        }
    }
    out
}

struct Task<'a> {
    gather: &'a Gather,
    source: &'a [f32],
    dy: &'a [f32],
    outputs: usize,
    first_row: usize,
    rows: usize,
    first_column: usize,
    columns: usize,
}

impl WithSimd for Task<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Task { gather, source, dy, outputs, first_row, rows, first_column, columns } = self;
        let width = gather.columns;
        let positions = gather.rows * width;
        let lines = source.len() / gather.image * gather.rows;
        let lines_in_block = (POSITIONS / width).max(1);
        let length = (lines_in_block * width).next_multiple_of(S::F32_LANES);
        let vectors = length / S::F32_LANES;
        let offsets = &gather.offsets[first_column..first_column + columns];
        let mut left = vec![0.0f32; rows.next_multiple_of(ROWS) * length];
        let mut right = vec![0.0f32; COLUMNS * length];
        let mut out = vec![0.0f32; rows * columns];
        for line0 in (0..lines).step_by(lines_in_block) {
            let block = line0..lines.min(line0 + lines_in_block);
            if block.len() < lines_in_block {
                left.fill(0.0);
                right.fill(0.0);
            }
            // Lines of one image lie one after the other in dy.
            for (r, left) in left.chunks_exact_mut(length).take(rows).enumerate() {
                let mut line = block.start;
                let mut place = 0;
                while line < block.end {
                    let (n, i) = (line / gather.rows, line % gather.rows);
                    let count = (gather.rows - i).min(block.end - line);
                    let start = (n * outputs + first_row + r) * positions + i * width;
                    left[place..place + count * width].copy_from_slice(&dy[start..start + count * width]);
                    place += count * width;
                    line += count;
                }
            }
            for (c, offsets) in offsets.chunks(COLUMNS).enumerate() {
                for (right, offset) in right.chunks_exact_mut(length).zip(offsets) {
                    for (place, line) in right.chunks_exact_mut(width).zip(block.clone()) {
                        let (n, i) = (line / gather.rows, line % gather.rows);
                        let start = n * gather.image + offset + i * gather.stride * gather.pitch;
                        copy_line(place, &source[start..], gather.stride);
                    }
                }
                let right = S::as_simd_f32s(&right).0;
                let right: [&[S::f32s]; COLUMNS] = std::array::from_fn(|c| &right[c * vectors..(c + 1) * vectors]);
                for (r, left) in left.chunks_exact(ROWS * length).enumerate() {
                    let left = S::as_simd_f32s(left).0;
                    let left: [&[S::f32s]; ROWS] = std::array::from_fn(|r| &left[r * vectors..(r + 1) * vectors]);
                    let sums = dots(simd, left, right);
                    for (sums, out) in sums.iter().zip(out.chunks_exact_mut(columns).skip(r * ROWS)) {
                        for (sum, out) in sums.iter().zip(out.iter_mut().skip(c * COLUMNS)) {
                            *out += sum;
                        }
                    }
                }
            }
        }
        out
    }
}

/// The products of three rows with four.
#[inline(always)]
fn dots<S: Simd>(simd: S, left: [&[S::f32s]; ROWS], right: [&[S::f32s]; COLUMNS]) -> [[f32; COLUMNS]; ROWS] {
    let n = left[0].len();
    let left = left.map(|x| &x[..n]);
    let right = right.map(|x| &x[..n]);
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; COLUMNS]; ROWS];
    for i in 0..n {
        let right: [S::f32s; COLUMNS] = [right[0][i], right[1][i], right[2][i], right[3][i]];
        for (sums, left) in sums.iter_mut().zip(left) {
            let left = left[i];
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = simd.mul_add_e_f32s(left, right, *sum);
            }
        }
    }
    // Not by `map`: its closure would not be compiled for these vectors.
    let mut out = [[0.0; COLUMNS]; ROWS];
    for (out, sums) in out.iter_mut().zip(sums) {
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = simd.reduce_sum_f32s(sum);
        }
    }
    out
}

#[inline(always)]
fn copy_line(place: &mut [f32], source: &[f32], stride: usize) {
    if stride == 1 {
        match place.len() {
            4 => place.copy_from_slice(&source[..4]),
            8 => place.copy_from_slice(&source[..8]),
            16 => place.copy_from_slice(&source[..16]),
            length => place.copy_from_slice(&source[..length]),
        }
    } else {
        for (place, value) in place.iter_mut().zip(source.iter().step_by(stride)) {
            *place = *value;
        }
    }
}
