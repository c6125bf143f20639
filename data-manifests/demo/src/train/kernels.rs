//! Layer norm, softmax and QuickGELU with their derivatives: one pass each where candle's composed forms make ten.
//!
//! ```text
//! norm      y = w (x - mean) / √(var + ε) + b      dx = r (g w - mean(g w) - z mean(g w z)),  z = (y - b) / w,  r = 1 / √(var + ε)
//! softmax   y = exp(x) / Σ exp(x)                  dx = y (g - Σ g y)
//! gelu      y = x σ(1.702 x)                       dx = g (σ + 1.702 x σ (1 - σ))
//! ```

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Rows that one thread takes at least.
const ROWS: usize = 64;

/// Layer norm over the last dimension with weight and bias.
pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3(weight, bias, Norm)
}

/// Softmax over the last dimension.
pub(super) fn softmax(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Softmax)
}

/// `x σ(1.702 x)`.
pub(super) fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(QuickGelu)
}

/// Added to the variance.
pub(super) const EPSILON: f64 = 1e-5;

struct Norm;
struct Softmax;
struct QuickGelu;

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<f32>()?[from..to]),
        None => bail!("values lie apart"),
    }
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

fn width(layout: &Layout) -> usize {
    layout.dims().last().copied().unwrap_or(1)
}

/// Mean and `1 / √(variance + ε)`.
fn moments(x: &[f32]) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = x.iter().sum::<f32>() / n;
    let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / n;
    (mean, 1.0 / (variance + EPSILON as f32).sqrt())
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight, bias) = (values(x, layout)?, values(weight, weight_layout)?, values(bias, bias_layout)?);
        let width = width(layout);
        let mut out = vec![0.0; x.len()];
        out.par_chunks_mut(width).zip(x.par_chunks(width)).with_min_len(ROWS).for_each(|(out, x)| {
            let (mean, rate) = moments(x);
            for (((out, x), w), b) in out.iter_mut().zip(x).zip(weight).zip(bias) {
                *out = (x - mean) * rate * w + b;
            }
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = weight.elem_count();
        let (values, gradients, w) = (flat(x)?, flat(gradient)?, flat(weight)?);
        let mut dx = vec![0.0; values.len()];
        dx.par_chunks_mut(width)
            .zip(values.par_chunks(width))
            .zip(gradients.par_chunks(width))
            .with_min_len(ROWS)
            .for_each(|((dx, x), g)| {
                let (mean, rate) = moments(x);
                let (mut sum, mut along) = (0.0, 0.0);
                for ((x, g), w) in x.iter().zip(g).zip(&w) {
                    sum += g * w;
                    along += g * w * (x - mean) * rate;
                }
                let (sum, along) = (sum / width as f32, along / width as f32);
                for (((dx, x), g), w) in dx.iter_mut().zip(x).zip(g).zip(&w) {
                    *dx = rate * (g * w - sum - (x - mean) * rate * along);
                }
            });
        // Row after row: the sums do not depend on the number of threads.
        let (mut dw, mut db) = (vec![0.0; width], vec![0.0; width]);
        for (x, g) in values.chunks_exact(width).zip(gradients.chunks_exact(width)) {
            let (mean, rate) = moments(x);
            for (((dw, db), x), g) in dw.iter_mut().zip(&mut db).zip(x).zip(g) {
                *dw += g * (x - mean) * rate;
                *db += g;
            }
        }
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device()).map(Some);
        Ok((tensor(dx, x)?, tensor(dw, weight)?, tensor(db, bias)?))
    }
}

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, width) = (values(x, layout)?, width(layout));
        let mut out = vec![0.0; x.len()];
        out.par_chunks_mut(width).zip(x.par_chunks(width)).with_min_len(ROWS).for_each(|(out, x)| {
            let most = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for (out, x) in out.iter_mut().zip(x) {
                *out = (x - most).exp();
                sum += *out;
            }
            for out in out {
                *out /= sum;
            }
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let width = x.dim(candle_core::D::Minus1)?;
        let (mut dx, y) = (flat(gradient)?, flat(result)?);
        dx.par_chunks_mut(width).zip(y.par_chunks(width)).with_min_len(ROWS).for_each(|(dx, y)| {
            let along: f32 = dx.iter().zip(y).map(|(g, y)| g * y).sum();
            for (dx, y) in dx.iter_mut().zip(y) {
                *dx = y * (*dx - along);
            }
        });
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}

impl CustomOp1 for QuickGelu {
    fn name(&self) -> &'static str {
        "quick-gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = values(x, layout)?.par_iter().with_min_len(4096).map(|&x| x * sigmoid(1.702 * x)).collect();
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (mut dx, values) = (flat(gradient)?, flat(x)?);
        dx.par_iter_mut().zip(values.par_iter()).with_min_len(4096).for_each(|(dx, &x)| {
            let s = sigmoid(1.702 * x);
            *dx *= s + 1.702 * x * s * (1.0 - s);
        });
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use candle_core::{D, Device, Var};

    use super::*;

    fn ramp(n: usize, by: f32) -> Vec<f32> {
        (0..n).map(|n| (n as f32 * by).sin() * 2.0).collect()
    }

    /// Values and gradients of a kernel and of the same thing composed of candle's own operations.
    fn compare(fast: impl Fn(&[Var]) -> Result<Tensor>, slow: impl Fn(&[Var]) -> Result<Tensor>) {
        let var = |values: Vec<f32>, shape: &[usize]| {
            Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
        };
        let vars = [var(ramp(4 * 3 * 16, 0.7), &[4, 3, 16]), var(ramp(16, 1.3), &[16]), var(ramp(16, 0.3), &[16])];
        let weigh = Tensor::from_vec(ramp(4 * 3 * 16, 2.1), (4, 3, 16), &Device::Cpu).unwrap();
        let [fast, slow] = [fast(&vars).unwrap(), slow(&vars).unwrap()].map(|y| {
            let gradients = (&y * &weigh).unwrap().sum_all().unwrap().backward().unwrap();
            let mut all = vec![flat(&y).unwrap()];
            all.extend(vars.iter().filter_map(|var| gradients.get(var)).map(|g| flat(g).unwrap()));
            all
        });
        assert_eq!(fast.len(), slow.len());
        for (fast, slow) in fast.iter().zip(&slow) {
            let error = fast.iter().zip(slow).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(error < 2e-5, "{error}");
        }
    }

    #[test]
    fn kernels_and_their_derivatives_are_those_of_the_definitions() {
        compare(
            |v| layer_norm(&v[0], &v[1], &v[2]),
            |v| {
                let centred = v[0].broadcast_sub(&v[0].mean_keepdim(D::Minus1)?)?;
                let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + EPSILON)?.sqrt()?;
                centred.broadcast_div(&deviation)?.broadcast_mul(&v[1])?.broadcast_add(&v[2])
            },
        );
        compare(
            |v| softmax(&v[0]),
            |v| {
                let e = v[0].exp()?;
                e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
            },
        );
        compare(|v| quick_gelu(&v[0]), |v| &*v[0] * candle_nn::ops::sigmoid(&(&*v[0] * 1.702)?)?);
    }
}
