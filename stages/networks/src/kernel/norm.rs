//! Batch normalisation of `[N, C, ..]` over everything but `C`, with what follows it: a residual and an activation.

use rayon::prelude::*;

use super::{Plain, vectorize};
use crate::layers::Activation;

/// Mean and variance (biased) per channel, and what to divide by.
#[derive(Debug, Clone)]
pub(crate) struct Statistics {
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
    /// `1 / sqrt(variance + eps)`.
    pub(crate) inverse: Vec<f32>,
}

/// Weight and bias of the normalisation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Affine<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
}

/// What the gradients are.
pub(crate) struct Gradients {
    pub(crate) x: Vec<f32>,
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    /// Of what was added before the activation, where something was.
    pub(crate) residual: Option<Vec<f32>>,
}

const LANES: usize = 16;
/// Values that are summed in f32 before the sum goes on in f64.
const RUN: usize = 1024;

/// Adds up `f` of each pair of values; two sums at once. Runs in f32, runs of runs in f64.
#[inline(always)]
fn sums2<const K: usize>(inputs: [&[f32]; K], f: impl Fn([f32; K]) -> (f32, f32)) -> (f64, f64) {
    let length = inputs[0].len();
    let mut total = (0.0f64, 0.0f64);
    let mut start = 0;
    while start < length {
        let end = length.min(start + RUN);
        let run = inputs.map(|x| &x[start..end]);
        let mut a = [0.0f32; LANES];
        let mut b = [0.0f32; LANES];
        let chunks = run.map(|x| x.as_chunks::<LANES>().0);
        for i in 0..chunks[0].len() {
            for l in 0..LANES {
                // Not by `map`: its closure would not be compiled for these vectors.
                let mut values = [0.0; K];
                for (value, chunks) in values.iter_mut().zip(&chunks) {
                    *value = chunks[i][l];
                }
                let (p, q) = f(values);
                a[l] += p;
                b[l] += q;
            }
        }
        for i in chunks[0].len() * LANES..end - start {
            let (p, q) = f(run.map(|x| x[i]));
            a[0] += p;
            b[0] += q;
        }
        total.0 += f64::from(a.iter().sum::<f32>());
        total.1 += f64::from(b.iter().sum::<f32>());
        start = end;
    }
    total
}

/// The batch's statistics.
pub(crate) fn statistics(x: &[f32], channels: usize, plane: usize, eps: f32) -> Statistics {
    let image = channels * plane;
    let count = (x.len() / channels) as f64;
    let per_channel: Vec<(f32, f32)> = (0..channels)
        .into_par_iter()
        .map(|c| {
            vectorize(Plain(|| {
                // Shifted by some value of the channel: sums of squares of large numbers would lose the variance.
                let shift = x[c * plane];
                let (mut first, mut second) = (0.0, 0.0);
                for image in x.chunks_exact(image) {
                    let (a, b) = sums2([&image[c * plane..(c + 1) * plane]], |[x]| {
                        let d = x - shift;
                        (d, d * d)
                    });
                    first += a;
                    second += b;
                }
                let mean = first / count;
                ((mean + f64::from(shift)) as f32, (second / count - mean * mean).max(0.0) as f32)
            }))
        })
        .collect();
    let (mean, variance): (Vec<f32>, Vec<f32>) = per_channel.into_iter().unzip();
    let inverse = variance.iter().map(|v| inverse_deviation(*v, eps)).collect();
    Statistics { mean, variance, inverse }
}

/// `1 / sqrt(variance + eps)`.
pub(crate) fn inverse_deviation(variance: f32, eps: f32) -> f32 {
    (1.0 / (f64::from(variance) + f64::from(eps)).sqrt()) as f32
}

/// `activation(weight * (x - mean) * inverse + bias + residual)`.
pub(crate) fn forward(
    x: &[f32],
    plane: usize,
    statistics: &Statistics,
    affine: Affine,
    residual: Option<&[f32]>,
    activation: Activation,
) -> Vec<f32> {
    let channels = affine.weight.len();
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(plane).zip(x.par_chunks(plane)).enumerate().for_each(|(i, (out, x))| {
        let c = i % channels;
        let scale = affine.weight[c] * statistics.inverse[c];
        let shift = affine.bias[c] - statistics.mean[c] * scale;
        let residual = residual.map(|r| &r[i * plane..(i + 1) * plane]);
        vectorize(Plain(|| match activation {
            Activation::None => each(out, x, residual, |x, r| x * scale + shift + r),
            Activation::Relu => each(out, x, residual, |x, r| (x * scale + shift + r).max(0.0)),
            Activation::HardSwish => each(out, x, residual, |x, r| {
                let z = x * scale + shift + r;
                z * (z + 3.0).clamp(0.0, 6.0) / 6.0
            }),
        }));
    });
    out
}

#[inline(always)]
fn each(out: &mut [f32], x: &[f32], residual: Option<&[f32]>, f: impl Fn(f32, f32) -> f32) {
    match residual {
        None => out.iter_mut().zip(x).for_each(|(out, x)| *out = f(*x, 0.0)),
        Some(residual) => out.iter_mut().zip(x).zip(residual).for_each(|((out, x), r)| *out = f(*x, *r)),
    }
}

/// The derivative of the activation, times `g`; `z` is its input, `y` its output.
#[inline(always)]
fn through(activation: Activation, g: f32, z: f32, y: f32) -> f32 {
    match activation {
        Activation::None => g,
        Activation::Relu => {
            if y > 0.0 {
                g
            } else {
                0.0
            }
        }
        Activation::HardSwish => {
            if z <= -3.0 {
                0.0
            } else if z < 3.0 {
                g * (z / 3.0 + 0.5)
            } else {
                g
            }
        }
    }
}

/// What of a normalisation the gradients need.
#[derive(Clone, Copy)]
pub(crate) struct Forwarded<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) y: &'a [f32],
    pub(crate) plane: usize,
    pub(crate) statistics: &'a Statistics,
    pub(crate) affine: Affine<'a>,
    pub(crate) activation: Activation,
    /// Whether a residual was added. With one, the activation is none or ReLU: its input is not kept.
    pub(crate) residual: bool,
}

/// The gradients, from that of the output. `dx = weight * inverse * (g - mean(g) - xhat * mean(g * xhat))`, where `g` is the
/// gradient before the activation.
pub(crate) fn backward(f: Forwarded, dy: &[f32]) -> Gradients {
    match f.activation {
        Activation::None => backward_of(f, dy, |g, z, y| through(Activation::None, g, z, y)),
        Activation::Relu => backward_of(f, dy, |g, z, y| through(Activation::Relu, g, z, y)),
        Activation::HardSwish => backward_of(f, dy, |g, z, y| through(Activation::HardSwish, g, z, y)),
    }
}

#[inline(always)]
fn backward_of(f: Forwarded, dy: &[f32], through: impl Fn(f32, f32, f32) -> f32 + Sync + Copy) -> Gradients {
    let Forwarded { x, y, plane, statistics, affine, .. } = f;
    let channels = affine.weight.len();
    let count = (x.len() / channels) as f64;
    let constants = |c: usize| {
        let (mean, inverse) = (statistics.mean[c], statistics.inverse[c]);
        let scale = affine.weight[c] * inverse;
        (mean, inverse, scale, affine.bias[c] - mean * scale)
    };
    let sums: Vec<(f64, f64)> = (0..channels)
        .into_par_iter()
        .map(|c| {
            let (mean, inverse, scale, shift) = constants(c);
            vectorize(Plain(|| {
                let mut total = (0.0, 0.0);
                for start in (c * plane..x.len()).step_by(channels * plane) {
                    let part = start..start + plane;
                    let inputs = [&x[part.clone()], &y[part.clone()], &dy[part]];
                    let (a, b) = sums2(inputs, |[x, y, g]| {
                        let g = through(g, x * scale + shift, y);
                        (g, g * ((x - mean) * inverse))
                    });
                    total = (total.0 + a, total.1 + b);
                }
                total
            }))
        })
        .collect();
    let mut dx = vec![0.0; x.len()];
    let mut residual = if f.residual { vec![0.0; x.len()] } else { Vec::new() };
    let one_plane = |i: usize, dx: &mut [f32], residual: Option<&mut [f32]>| {
        let (mean, inverse, scale, shift) = constants(i % channels);
        let (first, second) = sums[i % channels];
        let (first, second) = ((first / count) as f32, (second / count) as f32 * inverse);
        let part = i * plane..(i + 1) * plane;
        let inputs = x[part.clone()].iter().zip(&y[part.clone()]).zip(&dy[part]);
        vectorize(Plain(|| match residual {
            None => {
                for (dx, ((x, y), g)) in dx.iter_mut().zip(inputs) {
                    let g = through(*g, x * scale + shift, *y);
                    *dx = scale * (g - first - (x - mean) * second);
                }
            }
            Some(residual) => {
                for ((dx, r), ((x, y), g)) in dx.iter_mut().zip(residual).zip(inputs) {
                    let g = through(*g, x * scale + shift, *y);
                    *r = g;
                    *dx = scale * (g - first - (x - mean) * second);
                }
            }
        }));
    };
    if f.residual {
        let both = dx.par_chunks_mut(plane).zip(residual.par_chunks_mut(plane));
        both.enumerate().for_each(|(i, (dx, r))| one_plane(i, dx, Some(r)));
    } else {
        dx.par_chunks_mut(plane).enumerate().for_each(|(i, dx)| one_plane(i, dx, None));
    }
    Gradients {
        x: dx,
        weight: sums.iter().map(|s| s.1 as f32).collect(),
        bias: sums.iter().map(|s| s.0 as f32).collect(),
        residual: f.residual.then_some(residual),
    }
}
