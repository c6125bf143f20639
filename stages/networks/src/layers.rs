//! Layers: their tensors, and how they are applied.

use candle_core::{D, Result, Tensor, Var};

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
        x.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)
    }
}

impl Activation {
    fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Activation::None => Ok(x.clone()),
            Activation::Relu => x.relu(),
            Activation::HardSwish => x.mul(&hard_sigmoid(x)?),
        }
    }
}

/// `clamp(x + 3, 0, 6) / 6`, of which candle knows the gradient.
fn hard_sigmoid(x: &Tensor) -> Result<Tensor> {
    x.affine(1.0 / 6.0, 0.5)?.clamp(0f32, 1f32)
}

impl Conv {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.conv2d(&self.weight, self.padding, self.stride, 1, self.groups)
    }
}

impl BatchNorm {
    /// Normalises `x` `[N, C, H, W]` over N, H and W.
    pub(crate) fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
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

/// `activation(norm(conv(x)) + residual)`.
pub(crate) fn conv_norm(
    conv: &Conv,
    norm: &BatchNorm,
    activation: Activation,
    x: &Tensor,
    residual: Option<&Tensor>,
    train: bool,
) -> Result<Tensor> {
    let mut y = norm.forward(&conv.forward(x)?, train)?;
    if let Some(residual) = residual {
        y = (y + residual)?;
    }
    activation.apply(&y)
}

/// The largest of each 3x3 window, stride 2, one cell of padding that never wins. `x` is not negative (it follows a ReLU).
pub(crate) fn max_pool(x: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    // candle's own max_pool2d takes only windows that do not overlap backwards: nine shifted views are compared instead.
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
    x.flatten_from(2)?.mean(D::Minus1)
}
