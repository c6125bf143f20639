//! Matrix product with a matrix that is never built: `out[m][p] = sum_k a[m][k] * b[k][p]`, where row `k` of `b` is a plane of
//! the source, shifted. Convolutions and their gradients with respect to the input are such products (implicit im2col).
//!
//! Blocked as in BLIS: a strip of `b`, `KC` deep and two vectors wide, is packed into the first cache and meets strips of
//! six packed rows of `a`; twelve vectors of sums stay in registers.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::vectorize;

/// Rows of `a` that are summed at a time.
const ROWS: usize = 6;
/// Depth of a block.
const DEPTH: usize = 256;
/// Strips of positions in a block: with vectors of eight, 256 positions, 256 KB.
const STRIPS: usize = 16;

/// The matrix `a`, in strips of six rows, depth-major within a strip; rows beyond the last are zero.
pub(crate) struct Packed {
    rows: usize,
    depth: usize,
    strips: Vec<[f32; ROWS]>,
}

impl Packed {
    /// `at(row, k)` gives the elements.
    pub(crate) fn new(rows: usize, depth: usize, at: impl Fn(usize, usize) -> f32 + Sync) -> Packed {
        let mut strips = vec![[0.0; ROWS]; rows.div_ceil(ROWS) * depth];
        strips.par_chunks_mut(depth).enumerate().for_each(|(s, strip)| {
            for (k, six) in strip.iter_mut().enumerate() {
                for (r, value) in six.iter_mut().enumerate() {
                    if s * ROWS + r < rows {
                        *value = at(s * ROWS + r, k);
                    }
                }
            }
        });
        Packed { rows, depth, strips }
    }
}

/// Where the rows of `b` lie in one image of the source: `b[k][(i, j)] = image[offsets[k] + i * stride * pitch + j * stride]`.
#[derive(Debug, Clone)]
pub(crate) struct Gather {
    /// One per `k`.
    pub(crate) offsets: Vec<usize>,
    /// Step between neighbouring positions, in both directions.
    pub(crate) stride: usize,
    /// Length of a row of the source.
    pub(crate) pitch: usize,
    /// Positions: rows.
    pub(crate) rows: usize,
    /// Positions: columns.
    pub(crate) columns: usize,
    /// Length of one image of the source.
    pub(crate) image: usize,
}

impl Gather {
    /// `out[n][m][p] = sum_k a[m][k] * b_n[k][p]` for every image `n`; `out` is overwritten.
    pub(crate) fn product(&self, a: &Packed, source: &[f32], out: &mut [f32]) {
        assert_eq!(a.depth, self.offsets.len());
        let positions = self.rows * self.columns;
        let batch = source.len() / self.image;
        assert_eq!(out.len(), batch * a.rows * positions);
        if out.is_empty() {
            return;
        }
        // Few images: the rows are shared out too. Which rows go together changes no number.
        let strips = a.rows.div_ceil(ROWS);
        let tasks = (2 * rayon::current_num_threads()).div_ceil(batch);
        let together = strips.div_ceil(tasks).max(1);
        out.par_chunks_mut(a.rows * positions).zip(source.par_chunks(self.image)).for_each(|(out, image)| {
            out.par_chunks_mut(together * ROWS * positions).enumerate().for_each(|(t, out)| {
                vectorize(Task { a, gather: self, image, out, first: t * together });
            });
        });
    }
}

/// Some strips of rows of one image.
struct Task<'a> {
    a: &'a Packed,
    gather: &'a Gather,
    image: &'a [f32],
    out: &'a mut [f32],
    first: usize,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Task { a, gather, image, out, first } = self;
        let width = 2 * S::F32_LANES;
        let positions = gather.rows * gather.columns;
        let rows = out.len() / positions;
        let depth = a.depth;
        let mut block = vec![0.0f32; STRIPS * width * DEPTH.min(depth)];
        let mut segments = Vec::new();
        for p0 in (0..positions).step_by(STRIPS * width) {
            let strips = (positions - p0).min(STRIPS * width).div_ceil(width);
            for k0 in (0..depth).step_by(DEPTH) {
                let offsets = &gather.offsets[k0..depth.min(k0 + DEPTH)];
                let size = offsets.len() * width;
                for (s, strip) in block.chunks_exact_mut(size).take(strips).enumerate() {
                    segments_of(gather, p0 + s * width, width, &mut segments);
                    pack(strip, width, offsets, &segments, gather.stride, image);
                }
                for (s, strip) in block.chunks_exact(size).take(strips).enumerate() {
                    let p = p0 + s * width;
                    let count = width.min(positions - p);
                    let strip = S::as_simd_f32s(strip).0;
                    for (t, out) in out.chunks_mut(ROWS * positions).enumerate() {
                        let start = (first + t) * depth + k0;
                        let sums = six_rows(simd, &a.strips[start..start + offsets.len()], strip);
                        let rows = ROWS.min(rows - t * ROWS);
                        for (sums, out) in sums.iter().take(rows).zip(out.chunks_exact_mut(positions)) {
                            store(simd, *sums, &mut out[p..p + count], k0 > 0);
                        }
                    }
                }
            }
        }
    }
}

/// Six rows by two vectors of sums.
#[inline(always)]
fn six_rows<S: Simd>(simd: S, a: &[[f32; ROWS]], b: &[S::f32s]) -> [[S::f32s; 2]; ROWS] {
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; 2]; ROWS];
    for (a, b) in a.iter().zip(b.as_chunks::<2>().0) {
        let [left, right] = *b;
        for (sum, a) in sums.iter_mut().zip(a) {
            let a = simd.splat_f32s(*a);
            sum[0] = simd.mul_add_e_f32s(a, left, sum[0]);
            sum[1] = simd.mul_add_e_f32s(a, right, sum[1]);
        }
    }
    sums
}

#[inline(always)]
fn store<S: Simd>(simd: S, sums: [S::f32s; 2], out: &mut [f32], add: bool) {
    let (whole, rest) = S::as_mut_simd_f32s(out);
    for (place, sum) in whole.iter_mut().zip(sums) {
        *place = if add { simd.add_f32s(*place, sum) } else { sum };
    }
    if !rest.is_empty() {
        let sum = if whole.is_empty() { sums[0] } else { sums[1] };
        let sum = if add { simd.add_f32s(simd.partial_load_f32s(rest), sum) } else { sum };
        simd.partial_store_f32s(rest, sum);
    }
}

/// A run of neighbouring positions in one row of the picture.
struct Segment {
    /// Of its first position in the source, before a row's offset.
    start: usize,
    length: usize,
}

#[inline(always)]
fn segments_of(gather: &Gather, p: usize, width: usize, segments: &mut Vec<Segment>) {
    segments.clear();
    let end = (gather.rows * gather.columns).min(p + width);
    let mut p = p;
    while p < end {
        let (i, j) = (p / gather.columns, p % gather.columns);
        let length = (gather.columns - j).min(end - p);
        segments.push(Segment { start: (i * gather.pitch + j) * gather.stride, length });
        p += length;
    }
}

/// A strip of `b`: `width` positions for each of `offsets`. Positions beyond the last are left as they are: their sums go nowhere.
#[inline(always)]
fn pack(strip: &mut [f32], width: usize, offsets: &[usize], segments: &[Segment], stride: usize, image: &[f32]) {
    let even = |length: usize| segments.len() * length == width && segments.iter().all(|s| s.length == length);
    match stride {
        1 if even(16) => pack_even::<16>(strip, width, offsets, segments, image),
        1 if even(8) => pack_even::<8>(strip, width, offsets, segments, image),
        1 if even(4) => pack_even::<4>(strip, width, offsets, segments, image),
        _ => {
            for (row, offset) in strip.chunks_exact_mut(width).zip(offsets) {
                let mut row = row;
                for segment in segments {
                    let (now, later) = row.split_at_mut(segment.length);
                    let source = &image[offset + segment.start..];
                    for (place, value) in now.iter_mut().zip(source.iter().step_by(stride)) {
                        *place = *value;
                    }
                    row = later;
                }
            }
        }
    }
}

/// The usual case, rows of a multiple of four: copies of a known length.
#[inline(always)]
fn pack_even<const L: usize>(strip: &mut [f32], width: usize, offsets: &[usize], segments: &[Segment], image: &[f32]) {
    for (row, offset) in strip.chunks_exact_mut(width).zip(offsets) {
        for (place, segment) in row.as_chunks_mut::<L>().0.iter_mut().zip(segments) {
            let start = offset + segment.start;
            place.copy_from_slice(&image[start..start + L]);
        }
    }
}
