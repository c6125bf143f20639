//! Layers: their tensors, and how they are applied: on the CPU by the kernels of this crate, elsewhere by candle's operations.

use candle_core::{D, Device, Result, Tensor, Var};

use crate::kernel::conv::Geometry;
use crate::kernel::norm::{Statistics, inverse_deviation};
use crate::ops::{AveragePool, Before, ConvNorm, LinearProduct, MaxPool, ScalePlanes};

/// A convolution without bias, square kernel, same padding at stride 1.
#[derive(Debug, Clone)]
pub(crate) struct Conv {
    pub(crate) weight: Var,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) groups: usize,
}

/// Batch normalisation. In training the statistics are the batch's, biased variance; the running ones become
/// `(1 - momentum) * running + momentum * new` with the *unbiased* variance, as in PyTorch.
#[derive(Debug, Clone)]
pub(crate) struct BatchNorm {
    pub(crate) weight: Var,
    pub(crate) bias: Var,
    pub(crate) mean: Var,
    pub(crate) variance: Var,
    pub(crate) eps: f32,
    pub(crate) momentum: f32,
}

/// `x W^T + b`.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub(crate) weight: Var,
    pub(crate) bias: Var,
}

/// What follows a normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    None,
    Relu,
    HardSwish,
}

impl Linear {
    /// `[B, in]` to `[B, out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let product = if x.device().is_cpu() {
            x.contiguous()?.apply_op2(&self.weight, LinearProduct)?
        } else {
            x.matmul(&self.weight.t()?)?
        };
        product.broadcast_add(&self.bias)
    }
}

impl Activation {
    pub(crate) fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Activation::None => Ok(x.clone()),
            Activation::Relu => x.relu(),
            Activation::HardSwish => x.mul(&hard_sigmoid(x)?),
        }
    }
}

/// `clamp(x + 3, 0, 6) / 6`, of which candle knows the gradient.
pub(crate) fn hard_sigmoid(x: &Tensor) -> Result<Tensor> {
    x.affine(1.0 / 6.0, 0.5)?.clamp(0f32, 1f32)
}

impl Conv {
    /// By candle's operations.
    pub(crate) fn composed(&self, x: &Tensor) -> Result<Tensor> {
        if self.groups == 1 {
            return x.conv2d(&self.weight, self.padding, self.stride, 1, 1);
        }
        // candle runs one convolution per group: for hundreds of channels a sum over the taps is far less work.
        let (_, channels, height, width) = x.dims4()?;
        let (_, _, kernel, _) = self.weight.dims4()?;
        let out = |size: usize| (size + 2 * self.padding - kernel) / self.stride + 1;
        let places = |count: usize, tap: usize| {
            let places: Vec<u32> = (0..count).map(|i| (i * self.stride + tap) as u32).collect();
            Tensor::from_vec(places, count, x.device())
        };
        let padded = x.pad_with_zeros(2, self.padding, self.padding)?.pad_with_zeros(3, self.padding, self.padding)?;
        let mut sum: Option<Tensor> = None;
        for i in 0..kernel {
            let strip = padded.index_select(&places(out(height), i)?, 2)?;
            for j in 0..kernel {
                let cells = strip.index_select(&places(out(width), j)?, 3)?;
                let tap = self.weight.narrow(2, i, 1)?.narrow(3, j, 1)?.reshape((1, channels, 1, 1))?;
                let term = cells.broadcast_mul(&tap)?;
                sum = Some(match sum {
                    None => term,
                    Some(sum) => (sum + term)?,
                });
            }
        }
        Ok(sum.expect("a kernel has taps"))
    }
}

impl BatchNorm {
    /// Normalises `x` `[N, C, H, W]` over N, H and W, by candle's operations.
    pub(crate) fn composed(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let (n, c, h, w) = x.dims4()?;
        let each = (1, c, 1, 1);
        let (mean, variance) = if train {
            let count = (n * h * w) as f64;
            let flat = x.transpose(0, 1)?.flatten_from(1)?;
            let mean = flat.mean(D::Minus1)?;
            let variance = flat.broadcast_sub(&mean.unsqueeze(1)?)?.sqr()?.mean(D::Minus1)?;
            let unbiased = (variance.detach() * (count / (count - 1.0).max(1.0)))?;
            self.move_statistics(&mean.detach(), &unbiased)?;
            (mean, variance)
        } else {
            (self.mean.as_detached_tensor(), self.variance.as_detached_tensor())
        };
        let deviation = (variance + f64::from(self.eps))?.sqrt()?;
        let normal = x.broadcast_sub(&mean.reshape(each)?)?.broadcast_div(&deviation.reshape(each)?)?;
        normal.broadcast_mul(&self.weight.reshape(each)?)?.broadcast_add(&self.bias.reshape(each)?)
    }

    fn move_statistics(&self, mean: &Tensor, unbiased: &Tensor) -> Result<()> {
        let (old, new) = (1.0 - f64::from(self.momentum), f64::from(self.momentum));
        self.mean.set(&((self.mean.as_detached_tensor() * old)? + (mean * new)?)?)?;
        self.variance.set(&((self.variance.as_detached_tensor() * old)? + (unbiased * new)?)?)
    }
}

/// `activation(norm(conv(x)) + residual)`; without a convolution the input itself is normalised.
pub(crate) fn conv_norm(
    conv: Option<&Conv>,
    norm: &BatchNorm,
    activation: Activation,
    x: &Tensor,
    residual: Option<&Tensor>,
    train: bool,
) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return composed_conv_norm(conv, norm, activation, x, residual, train);
    }
    let (weight, bias) = (norm.weight.as_tensor(), norm.bias.as_tensor());
    let (before, packed) = match conv {
        None => (Before::Nothing, Tensor::cat(&[weight, bias], 0)?),
        Some(conv) => (conv.before(x)?, Tensor::cat(&[&conv.weight.flatten_all()?, weight, bias], 0)?),
    };
    let running = if train { None } else { Some(norm.running()?) };
    let op = ConvNorm::new(before, activation, norm.eps, running);
    let (y, statistics) = op.apply(x, &packed, residual)?;
    if let Some((mean, variance)) = statistics {
        let (_, channels, _, _) = y.dims4()?;
        let count = (y.elem_count() / channels) as f32;
        let unbiased: Vec<f32> = variance.iter().map(|v| v * (count / (count - 1.0).max(1.0))).collect();
        let tensor = |values: Vec<f32>| Tensor::from_vec(values, channels, &Device::Cpu);
        norm.move_statistics(&tensor(mean)?, &tensor(unbiased)?)?;
    }
    Ok(y)
}

/// The same by candle's operations.
pub(crate) fn composed_conv_norm(
    conv: Option<&Conv>,
    norm: &BatchNorm,
    activation: Activation,
    x: &Tensor,
    residual: Option<&Tensor>,
    train: bool,
) -> Result<Tensor> {
    let y = match conv {
        Some(conv) => conv.composed(x)?,
        None => x.clone(),
    };
    let mut y = norm.composed(&y, train)?;
    if let Some(residual) = residual {
        y = (y + residual)?;
    }
    activation.apply(&y)
}

impl Conv {
    /// Sizes and kind for an input.
    fn before(&self, x: &Tensor) -> Result<Before> {
        let (_, inputs, height, width) = x.dims4()?;
        let (outputs, _, kernel, _) = self.weight.dims4()?;
        let (stride, padding) = (self.stride, self.padding);
        let geometry = Geometry { inputs, outputs, height, width, kernel, stride, padding };
        Ok(if self.groups == 1 { Before::Conv(geometry) } else { Before::Depthwise(geometry) })
    }
}

impl BatchNorm {
    fn running(&self) -> Result<Statistics> {
        let mean = self.mean.to_vec1::<f32>()?;
        let variance = self.variance.to_vec1::<f32>()?;
        let inverse = variance.iter().map(|v| inverse_deviation(*v, self.eps)).collect();
        Ok(Statistics { mean, variance, inverse })
    }
}

/// The largest of each 3x3 window, stride 2, one cell of padding that never wins. `x` is not negative (it follows a ReLU).
pub(crate) fn max_pool(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { x.apply_op1(MaxPool::default()) } else { composed_max_pool(x) }
}

/// candle's own `max_pool2d` knows no padding, and no gradient for windows that overlap: nine shifted views are compared.
pub(crate) fn composed_max_pool(x: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let padded = x.pad_with_zeros(2, 1, 2)?.pad_with_zeros(3, 1, 2)?;
    let (rows, columns) = ((h - 1) / 2 + 1, (w - 1) / 2 + 1);
    let device = x.device();
    let index = |count: usize, shift: usize| {
        Tensor::from_vec((0..count).map(|i| (2 * i + shift) as u32).collect(), count, device)
    };
    let mut best: Option<Tensor> = None;
    for i in 0..3 {
        let strip = padded.index_select(&index(rows, i)?, 2)?;
        for j in 0..3 {
            let cell = strip.index_select(&index(columns, j)?, 3)?;
            best = Some(match best {
                None => cell,
                Some(best) => best.maximum(&cell)?,
            });
        }
    }
    Ok(best.expect("there are nine cells"))
}

/// The mean over the picture: `[B, C, H, W]` to `[B, C]`.
pub(crate) fn average_pool(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { x.apply_op1(AveragePool) } else { x.flatten_from(2)?.mean(D::Minus1) }
}

/// `x` `[B, C, H, W]` times a factor per channel and picture, `[B, C]`. `learned`: whether the factors have a gradient.
pub(crate) fn scale_planes(x: &Tensor, factors: &Tensor, learned: bool) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.apply_op2(factors, ScalePlanes { learned });
    }
    let (b, c) = factors.dims2()?;
    x.broadcast_mul(&factors.reshape((b, c, 1, 1))?)
}
