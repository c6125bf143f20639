//! Convolution without bias, and its two gradients, as products with a gathered matrix.

use std::borrow::Cow;

use rayon::prelude::*;

use super::gather::{Gather, Packed};
use super::planes::{interleave, padded};
use super::weight_gradient::weight_gradient;

/// Input channels that are too few to fill the strips of the product: their gradient is spread instead of gathered.
const FEW: usize = 3;

/// Sizes of a convolution with a square kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

impl Geometry {
    /// Rows and columns of the output.
    pub(crate) fn out(&self) -> (usize, usize) {
        let out = |size: usize| (size + 2 * self.padding - self.kernel) / self.stride + 1;
        (out(self.height), out(self.width))
    }

    /// How the padded input is gathered, and its sizes.
    fn forward_gather(&self) -> (Gather, (usize, usize)) {
        let (rows, columns) = (self.height + 2 * self.padding, self.width + 2 * self.padding);
        let offsets = (0..self.inputs)
            .flat_map(|c| (0..self.kernel).map(move |i| (c, i)))
            .flat_map(|(c, i)| (0..self.kernel).map(move |j| (c * rows + i) * columns + j))
            .collect();
        let (out_rows, out_columns) = self.out();
        let image = self.inputs * rows * columns;
        let gather =
            Gather { offsets, stride: self.stride, pitch: columns, rows: out_rows, columns: out_columns, image };
        (gather, (rows, columns))
    }

    fn padded_input<'a>(&self, x: &'a [f32], size: (usize, usize)) -> Cow<'a, [f32]> {
        if self.padding == 0 {
            return Cow::Borrowed(x);
        }
        Cow::Owned(padded(x, (self.height, self.width), (self.padding, self.padding), size))
    }

    /// `[N, inputs, height, width]` and weights `[outputs, inputs, kernel, kernel]` to `[N, outputs, ..out()]`.
    pub(crate) fn forward(&self, x: &[f32], weight: &[f32]) -> Vec<f32> {
        let (gather, size) = self.forward_gather();
        let depth = gather.offsets.len();
        let packed = Packed::new(self.outputs, depth, |o, k| weight[o * depth + k]);
        let source = self.padded_input(x, size);
        let mut out = vec![0.0; source.len() / gather.image * self.outputs * gather.rows * gather.columns];
        gather.product(&packed, &source, &mut out);
        out
    }

    /// The gradient of the weights, from the input and the gradient of the output.
    pub(crate) fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let (gather, size) = self.forward_gather();
        weight_gradient(&gather, &self.padded_input(x, size), dy, self.outputs)
    }

    /// The gradient of the input, from the weights and the gradient of the output.
    ///
    /// `dx[c][y][x]` sums `w[o][c][i][j] * dy[o][(y + p - i) / s][(x + p - j) / s]` over the taps for which both divisions
    /// come out even: for each remainder of `y` and `x` by the stride, a convolution of `dy` with some of the taps.
    pub(crate) fn input_gradient(&self, weight: &[f32], dy: &[f32]) -> Vec<f32> {
        let (stride, kernel) = (self.stride, self.kernel);
        let (out_rows, out_columns) = self.out();
        let plane = self.height * self.width;
        let batch = dy.len() / (self.outputs * out_rows * out_columns);
        let mut dx = vec![0.0; batch * self.inputs * plane];
        if self.inputs <= FEW {
            self.spread(weight, dy, &mut dx);
            return dx;
        }
        // A border wide enough for every tap, on all sides.
        let border = if kernel == 1 { 0 } else { kernel / stride + 1 };
        let size = (out_rows + 2 * border + stride, out_columns + 2 * border + stride);
        let size = if kernel == 1 { (out_rows, out_columns) } else { size };
        let source: Cow<[f32]> = if kernel == 1 {
            Cow::Borrowed(dy)
        } else {
            Cow::Owned(padded(dy, (out_rows, out_columns), (border, border), size))
        };
        for a in 0..stride.min(self.height) {
            for b in 0..stride.min(self.width) {
                // (kernel index, shift within the padded dy)
                let taps = |remainder: usize| -> Vec<(usize, usize)> {
                    (0..kernel)
                        .filter(|i| (remainder + self.padding + kernel * stride - i).is_multiple_of(stride))
                        .map(|i| (i, (remainder + self.padding + border * stride - i) / stride))
                        .collect()
                };
                let (vertical, horizontal) = (taps(a), taps(b));
                let taps: Vec<(usize, usize)> = vertical
                    .iter()
                    .flat_map(|(i, y)| horizontal.iter().map(move |(j, x)| (i * kernel + j, y * size.1 + x)))
                    .collect();
                if taps.is_empty() {
                    continue;
                }
                let rows = (self.height - a).div_ceil(stride);
                let columns = (self.width - b).div_ceil(stride);
                // With a kernel of one the strided positions end where dy ends.
                let (rows, columns) = if kernel == 1 { (out_rows, out_columns) } else { (rows, columns) };
                let image = self.outputs * size.0 * size.1;
                let offsets = (0..self.outputs)
                    .flat_map(|o| taps.iter().map(move |(_, shift)| o * size.0 * size.1 + shift))
                    .collect();
                let gather = Gather { offsets, stride: 1, pitch: size.1, rows, columns, image };
                let area = kernel * kernel;
                let packed = Packed::new(self.inputs, self.outputs * taps.len(), |c, k| {
                    weight[(k / taps.len() * self.inputs + c) * area + taps[k % taps.len()].0]
                });
                if stride == 1 {
                    gather.product(&packed, &source, &mut dx);
                } else {
                    let mut part = vec![0.0; batch * self.inputs * rows * columns];
                    gather.product(&packed, &source, &mut part);
                    interleave(&part, (rows, columns), &mut dx, (self.height, self.width), (a, b), stride);
                }
            }
        }
        dx
    }

    /// The same for few input channels: what every output gives to every tap, then added where the taps lie (col2im).
    fn spread(&self, weight: &[f32], dy: &[f32], dx: &mut [f32]) {
        let (rows, columns) = self.out();
        let positions = rows * columns;
        let taps = self.inputs * self.kernel * self.kernel;
        let offsets = (0..self.outputs).map(|o| o * positions).collect();
        let gather = Gather { offsets, stride: 1, pitch: columns, rows, columns, image: self.outputs * positions };
        let packed = Packed::new(taps, self.outputs, |t, o| weight[o * taps + t]);
        let mut given = vec![0.0; dy.len() / self.outputs * taps];
        gather.product(&packed, dy, &mut given);
        let plane = self.height * self.width;
        dx.par_chunks_mut(self.inputs * plane).zip(given.par_chunks(taps * positions)).for_each(|(dx, given)| {
            for (t, given) in given.chunks_exact(positions).enumerate() {
                let (c, i, j) = (t / (self.kernel * self.kernel), t / self.kernel % self.kernel, t % self.kernel);
                for (row, given) in given.chunks_exact(columns).enumerate() {
                    let y = (row * self.stride + i).wrapping_sub(self.padding);
                    if y >= self.height {
                        continue;
                    }
                    let line = &mut dx[c * plane + y * self.width..][..self.width];
                    // The first output column whose tap lies inside.
                    let first = self.padding.saturating_sub(j).div_ceil(self.stride);
                    let start = first * self.stride + j - self.padding;
                    let places = line.iter_mut().skip(start).step_by(self.stride);
                    for (place, value) in places.zip(given.iter().skip(first)) {
                        *place += value;
                    }
                }
            }
        });
    }
}
