//! The kernels as operations of candle, with their gradients. CPU, f32, contiguous; elsewhere [`layers`](crate::layers)
//! composes candle's own operations.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};

use crate::kernel::conv::Geometry;
use crate::kernel::norm::{Affine, Forwarded, Statistics};
use crate::kernel::{depthwise, norm, planes, pool};
use crate::layers::Activation;

/// The values of a tensor, where they lie one after the other.
fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a network's operation wants contiguous tensors"),
    }
}

/// Calls `f` with the values of `tensor`.
fn with_values<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(slice(storage, layout)?),
        _ => bail!("a kernel of the CPU was given a tensor of another device"),
    }
}

fn tensor(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}

/// What stands before the normalisation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Before {
    /// Nothing: the input is normalised.
    Nothing,
    /// A convolution over all channels.
    Conv(Geometry),
    /// A convolution of each channel.
    Depthwise(Geometry),
}

/// `activation(norm(conv(x)) + residual)` in one operation. Its second argument is weights of the convolution, weight and bias
/// of the normalisation, one after the other: candle's operations have three arguments at most.
#[derive(Debug, Clone)]
pub(crate) struct ConvNorm {
    before: Before,
    activation: Activation,
    eps: f32,
    /// Running statistics instead of the batch's: evaluation, without gradient.
    running: Option<Arc<Statistics>>,
    saved: Arc<Mutex<Option<Saved>>>,
}

/// What the forward pass leaves for the backward pass.
#[derive(Debug)]
struct Saved {
    statistics: Statistics,
    /// The output of the convolution; nothing where there is none.
    before: Vec<f32>,
}

/// Mean and biased variance of a batch, per channel.
type Moments = (Vec<f32>, Vec<f32>);

/// Gradients of input, packed parameters and residual.
type ThreeGradients = (Tensor, Tensor, Option<Tensor>);

impl ConvNorm {
    pub(crate) fn new(before: Before, activation: Activation, eps: f32, running: Option<Statistics>) -> ConvNorm {
        ConvNorm { before, activation, eps, running: running.map(Arc::new), saved: Arc::default() }
    }

    /// Applies it; in training the batch's mean and biased variance come too.
    pub(crate) fn apply(
        self,
        x: &Tensor,
        packed: &Tensor,
        residual: Option<&Tensor>,
    ) -> Result<(Tensor, Option<Moments>)> {
        let saved = self.saved.clone();
        let y = match residual {
            None => x.apply_op2(packed, self)?,
            Some(residual) => x.apply_op3(packed, residual, self)?,
        };
        let saved = saved.lock().expect("no thread panics with the lock");
        let statistics = saved.as_ref().map(|s| (s.statistics.mean.clone(), s.statistics.variance.clone()));
        Ok((y, statistics))
    }

    fn forward(
        &self,
        (x, x_layout): (&CpuStorage, &Layout),
        (packed, packed_layout): (&CpuStorage, &Layout),
        residual: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let dims = x_layout.shape().dims4()?;
        let x = slice(x, x_layout)?;
        let packed = slice(packed, packed_layout)?;
        let residual = residual.map(|(r, layout)| slice(r, layout)).transpose()?;
        let (before, (channels, rows, columns)) = match self.before {
            Before::Nothing => (Vec::new(), (dims.1, dims.2, dims.3)),
            Before::Conv(g) => {
                let (rows, columns) = g.out();
                (g.forward(x, &packed[..packed.len() - 2 * g.outputs]), (g.outputs, rows, columns))
            }
            Before::Depthwise(g) => {
                let (rows, columns) = g.out();
                (depthwise::forward(g, x, &packed[..packed.len() - 2 * g.outputs]), (g.outputs, rows, columns))
            }
        };
        let normed = if matches!(self.before, Before::Nothing) { x } else { &before };
        let plane = rows * columns;
        let fresh;
        let statistics = if let Some(running) = &self.running {
            &**running
        } else {
            fresh = norm::statistics(normed, channels, plane, self.eps);
            &fresh
        };
        let y = norm::forward(normed, plane, statistics, affine(packed, channels), residual, self.activation);
        if self.running.is_none() {
            let saved = Saved { statistics: statistics.clone(), before };
            *self.saved.lock().expect("no thread panics with the lock") = Some(saved);
        }
        Ok((CpuStorage::F32(y), Shape::from((dims.0, channels, rows, columns))))
    }

    fn backward(&self, x: &Tensor, packed: &Tensor, residual: bool, y: &Tensor, dy: &Tensor) -> Result<ThreeGradients> {
        // Taken, not borrowed: what is no longer needed is freed while the pass goes on.
        let saved = self.saved.lock().expect("no thread panics with the lock").take();
        let Some(Saved { statistics, before }) = saved else {
            bail!(
                "no gradients: the network ran in evaluation mode, or they were taken before; run it in training mode"
            );
        };
        let (_, channels, rows, columns) = y.dims4()?;
        with_values(x, |x_values| {
            with_values(packed, |p| {
                let g = with_values(y, |y| {
                    let forwarded = Forwarded {
                        x: if matches!(self.before, Before::Nothing) { x_values } else { &before },
                        y,
                        plane: rows * columns,
                        statistics: &statistics,
                        affine: affine(p, channels),
                        activation: self.activation,
                        residual,
                    };
                    with_values(dy, |dy| Ok(norm::backward(forwarded, dy)))
                })?;
                let weight = &p[..p.len() - 2 * channels];
                let (dx, mut dp) = match self.before {
                    Before::Nothing => (g.x, Vec::new()),
                    Before::Conv(geometry) => {
                        (geometry.input_gradient(weight, &g.x), geometry.weight_gradient(x_values, &g.x))
                    }
                    Before::Depthwise(geometry) => (
                        depthwise::input_gradient(geometry, weight, &g.x),
                        depthwise::weight_gradient(geometry, x_values, &g.x),
                    ),
                };
                dp.extend(g.weight);
                dp.extend(g.bias);
                let residual = g.residual.map(|r| tensor(r, y)).transpose()?;
                Ok((tensor(dx, x)?, tensor(dp, packed)?, residual))
            })
        })
    }
}

/// Weight and bias of the normalisation, at the end of the packed parameters.
fn affine(packed: &[f32], channels: usize) -> Affine<'_> {
    let (rest, bias) = packed.split_at(packed.len() - channels);
    Affine { weight: &rest[rest.len() - channels..], bias }
}

impl CustomOp2 for ConvNorm {
    fn name(&self) -> &'static str {
        "conv-norm"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward((s1, l1), (s2, l2), None)
    }

    fn bwd(&self, x: &Tensor, packed: &Tensor, y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dp, _) = self.backward(x, packed, false, y, dy)?;
        Ok((Some(dx), Some(dp)))
    }
}

impl CustomOp3 for ConvNorm {
    fn name(&self) -> &'static str {
        "conv-norm-residual"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((s1, l1), (s2, l2), Some((s3, l3)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        packed: &Tensor,
        _residual: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dp, dr) = self.backward(x, packed, true, y, dy)?;
        Ok((Some(dx), Some(dp), dr))
    }
}

/// The largest of each 3x3 window, stride 2, padding 1.
#[derive(Debug, Default)]
pub(crate) struct MaxPool {
    places: Mutex<Vec<u32>>,
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, c, h, w) = layout.shape().dims4()?;
        let (values, places) = pool::forward(slice(storage, layout)?, (h, w));
        *self.places.lock().expect("no thread panics with the lock") = places;
        let (rows, columns) = pool::out(h, w);
        Ok((CpuStorage::F32(values), Shape::from((n, c, rows, columns))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, h, w) = x.dims4()?;
        let places = std::mem::take(&mut *self.places.lock().expect("no thread panics with the lock"));
        Ok(Some(tensor(with_values(dy, |dy| Ok(pool::backward(dy, &places, (h, w))))?, x)?))
    }
}

/// The mean of each plane: `[N, C, H, W]` to `[N, C]`.
#[derive(Debug)]
pub(crate) struct AveragePool;

impl CustomOp1 for AveragePool {
    fn name(&self) -> &'static str {
        "average-pool"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, c, h, w) = layout.shape().dims4()?;
        Ok((CpuStorage::F32(planes::means(slice(storage, layout)?, h * w)), Shape::from((n, c))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (n, c, h, w) = x.dims4()?;
        let each = (dy / (h * w) as f64)?;
        Ok(Some(each.reshape((n, c, 1, 1))?.broadcast_as((n, c, h, w))?.contiguous()?))
    }
}

/// A factor per plane: `[N, C, H, W]` times `[N, C]`.
#[derive(Debug)]
pub(crate) struct ScalePlanes {
    /// Whether the factors have a gradient.
    pub(crate) learned: bool,
}

impl CustomOp2 for ScalePlanes {
    fn name(&self) -> &'static str {
        "scale-planes"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(planes::scaled(slice(s1, l1)?, slice(s2, l2)?)), l1.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, factors: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, _, h, w) = x.dims4()?;
        let dx = with_values(dy, |dy| with_values(factors, |f| Ok(planes::scaled(dy, f))))?;
        let df = if self.learned {
            let df = with_values(dy, |dy| with_values(x, |x| Ok(planes::dots(dy, x, h * w))))?;
            Some(tensor(df, factors)?)
        } else {
            None
        };
        Ok((Some(tensor(dx, x)?), df))
    }
}

/// `x` `[B, in]` times the transposed weights `[out, in]`. A row of the result is the same whatever stands beside it in the batch,
/// which general matrix products do not promise.
#[derive(Debug)]
pub(crate) struct LinearProduct;

impl LinearProduct {
    /// As a convolution of one picture of one line, a column per row of the batch.
    fn geometry(x: &Shape, weight: &Shape) -> Result<Geometry> {
        let ((batch, inputs), (outputs, _)) = (x.dims2()?, weight.dims2()?);
        Ok(Geometry { inputs, outputs, height: 1, width: batch, kernel: 1, stride: 1, padding: 0 })
    }
}

impl CustomOp2 for LinearProduct {
    fn name(&self) -> &'static str {
        "linear-product"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let g = LinearProduct::geometry(l1.shape(), l2.shape())?;
        let y = g.forward(&planes::transposed(slice(s1, l1)?, g.inputs), slice(s2, l2)?);
        Ok((CpuStorage::F32(planes::transposed(&y, g.width)), Shape::from((g.width, g.outputs))))
    }

    fn bwd(&self, x: &Tensor, weight: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let g = LinearProduct::geometry(x.shape(), weight.shape())?;
        let dy = with_values(dy, |dy| Ok(planes::transposed(dy, g.outputs)))?;
        let dx = with_values(weight, |w| Ok(planes::transposed(&g.input_gradient(w, &dy), g.width)))?;
        let dw = with_values(x, |x| Ok(g.weight_gradient(&planes::transposed(x, g.inputs), &dy)))?;
        Ok((Some(tensor(dx, x)?), Some(tensor(dw, weight)?)))
    }
}
