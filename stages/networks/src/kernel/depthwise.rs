//! Depthwise convolution: every channel has its own small kernel. Forward and both gradients.
//!
//! A plane is copied with its border of zeros, at stride 2 with the even columns before the odd ones, so that every tap
//! reads neighbours; then each row of the output is a sum of rows, vectorised along the row.

use rayon::prelude::*;

use super::conv::Geometry;
use super::{Plain, vectorize};

/// How a padded plane lies in memory: `stride` groups of columns, each `group` wide.
struct Layout {
    geometry: Geometry,
    out: (usize, usize),
    rows: usize,
    group: usize,
}

impl Layout {
    fn new(geometry: Geometry) -> Layout {
        let rows = geometry.height + 2 * geometry.padding;
        let group = (geometry.width + 2 * geometry.padding).div_ceil(geometry.stride);
        Layout { geometry, out: geometry.out(), rows, group }
    }

    fn pitch(&self) -> usize {
        self.group * self.geometry.stride
    }

    /// Where padded column `x` of a row lies.
    #[inline(always)]
    fn place(&self, x: usize) -> usize {
        x % self.geometry.stride * self.group + x / self.geometry.stride
    }

    #[inline(always)]
    fn pad(&self, plane: &[f32], padded: &mut [f32]) {
        let Geometry { width, padding, stride, .. } = self.geometry;
        for (from, to) in plane.chunks_exact(width).zip(padded.chunks_exact_mut(self.pitch()).skip(padding)) {
            if stride == 1 {
                to[padding..padding + width].copy_from_slice(from);
            } else {
                for (x, value) in from.iter().enumerate() {
                    to[self.place(x + padding)] = *value;
                }
            }
        }
    }

    #[inline(always)]
    fn unpad(&self, padded: &[f32], plane: &mut [f32]) {
        let Geometry { width, padding, .. } = self.geometry;
        for (to, from) in plane.chunks_exact_mut(width).zip(padded.chunks_exact(self.pitch()).skip(padding)) {
            for (x, value) in to.iter_mut().enumerate() {
                *value = from[self.place(x + padding)];
            }
        }
    }

    /// The stretch of the padded plane that tap `(i, j)` of output row `row` reads.
    #[inline(always)]
    fn stretch(&self, row: usize, i: usize, j: usize) -> std::ops::Range<usize> {
        let start = (row * self.geometry.stride + i) * self.pitch() + self.place(j);
        start..start + self.out.1
    }
}

/// `x` `[N, C, height, width]`, `weight` `[C, 1, kernel, kernel]`.
pub(crate) fn forward(geometry: Geometry, x: &[f32], weight: &[f32]) -> Vec<f32> {
    let layout = Layout::new(geometry);
    let (plane, area) = (geometry.height * geometry.width, geometry.kernel * geometry.kernel);
    let size = layout.out.0 * layout.out.1;
    let mut out = vec![0.0; x.len() / plane * size];
    let scratch = || vec![0.0; layout.rows * layout.pitch()];
    out.par_chunks_mut(size).zip(x.par_chunks(plane)).enumerate().for_each_init(scratch, |padded, (p, (out, x))| {
        let taps = &weight[p % geometry.inputs * area..][..area];
        vectorize(Plain(|| {
            layout.pad(x, padded);
            for (row, out) in out.chunks_exact_mut(layout.out.1).enumerate() {
                for (t, tap) in taps.iter().enumerate() {
                    let source = &padded[layout.stretch(row, t / geometry.kernel, t % geometry.kernel)];
                    for (out, x) in out.iter_mut().zip(source) {
                        *out += tap * x;
                    }
                }
            }
        }));
    });
    out
}

/// The gradient of the input.
pub(crate) fn input_gradient(geometry: Geometry, weight: &[f32], dy: &[f32]) -> Vec<f32> {
    let layout = Layout::new(geometry);
    let (plane, area) = (geometry.height * geometry.width, geometry.kernel * geometry.kernel);
    let size = layout.out.0 * layout.out.1;
    let mut dx = vec![0.0; dy.len() / size * plane];
    let scratch = || vec![0.0; layout.rows * layout.pitch()];
    dx.par_chunks_mut(plane).zip(dy.par_chunks(size)).enumerate().for_each_init(scratch, |padded, (p, (dx, dy))| {
        let taps = &weight[p % geometry.inputs * area..][..area];
        vectorize(Plain(|| {
            padded.fill(0.0);
            for (row, dy) in dy.chunks_exact(layout.out.1).enumerate() {
                for (t, tap) in taps.iter().enumerate() {
                    let place = layout.stretch(row, t / geometry.kernel, t % geometry.kernel);
                    for (dx, dy) in padded[place].iter_mut().zip(dy) {
                        *dx += tap * dy;
                    }
                }
            }
            layout.unpad(padded, dx);
        }));
    });
    dx
}

/// The gradient of the weights: channels side by side, the images of one channel in order.
pub(crate) fn weight_gradient(geometry: Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    const LANES: usize = 8;
    let layout = Layout::new(geometry);
    let (plane, area) = (geometry.height * geometry.width, geometry.kernel * geometry.kernel);
    let size = layout.out.0 * layout.out.1;
    let channels = geometry.inputs;
    let mut out = vec![0.0; channels * area];
    let scratch = || vec![0.0; layout.rows * layout.pitch()];
    out.par_chunks_mut(area).enumerate().for_each_init(scratch, |padded, (c, out)| {
        let mut sums = vec![[0.0f64; LANES]; area];
        for (x, dy) in x.chunks_exact(plane).zip(dy.chunks_exact(size)).skip(c).step_by(channels) {
            vectorize(Plain(|| {
                layout.pad(x, padded);
                for (row, dy) in dy.chunks_exact(layout.out.1).enumerate() {
                    for (t, sum) in sums.iter_mut().enumerate() {
                        let source = &padded[layout.stretch(row, t / geometry.kernel, t % geometry.kernel)];
                        let mut lanes = [0.0f32; LANES];
                        let (dy_whole, dy_rest) = dy.as_chunks::<LANES>();
                        let (x_whole, x_rest) = source.as_chunks::<LANES>();
                        for (dy, x) in dy_whole.iter().zip(x_whole) {
                            for ((lane, dy), x) in lanes.iter_mut().zip(dy).zip(x) {
                                *lane += dy * x;
                            }
                        }
                        for ((lane, dy), x) in lanes.iter_mut().zip(dy_rest).zip(x_rest) {
                            *lane += dy * x;
                        }
                        for (sum, lane) in sum.iter_mut().zip(lanes) {
                            *sum += f64::from(lane);
                        }
                    }
                }
            }));
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum.iter().sum::<f64>() as f32;
        }
    });
    out
}
