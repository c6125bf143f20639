//! The transformer block that both towers of CLIP are made of, on candle's tensors.
//!
//! Weights are kept as `[in, out]`, the layout that candle's matrix kernel reads without a copy.

use candle_core::{D, DType, Device, Module, Result, Tensor};
use candle_nn::LayerNorm;
use candle_nn::ops::softmax_last_dim;

use crate::config::{Activation, Stack};
use crate::epilogue::{AddBias, AddBiasAndResidual};
use crate::weights::Weights;

/// `x + attention(norm_1(x))`, then `y + fc2(act(fc1(norm_2(y))))`.
pub(crate) struct Block {
    norm1: LayerNorm,
    attention: Attention,
    norm2: LayerNorm,
    fc1: Linear,
    activation: Activation,
    fc2: Linear,
}

/// Multi-head self-attention; keys and values come out of one product, the factor 1/√d is part of the queries' weights.
struct Attention {
    heads: usize,
    queries: Linear,
    keys_values: Linear,
    output: Linear,
}

/// `x · weight + bias`, weight as `[in, out]`.
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// The product without the bias; `x` is `[.., in]` and contiguous.
    fn product(&self, x: &Tensor) -> Result<Tensor> {
        let mut shape = x.dims().to_vec();
        *shape.last_mut().expect("at least one dimension") = self.bias.dim(0)?;
        x.flatten_to(D::Minus2)?.matmul(&self.weight)?.reshape(shape)
    }

    fn forward(&self, x: &Tensor, activation: Option<Activation>) -> Result<Tensor> {
        let y = self.product(x)?;
        if y.device().is_cpu() {
            y.inplace_op2(&self.bias, &AddBias(activation))?;
            return Ok(y);
        }
        let y = y.broadcast_add(&self.bias)?;
        match activation {
            None => Ok(y),
            Some(Activation::QuickGelu) => &y * candle_nn::ops::sigmoid(&(&y * 1.702)?)?,
            Some(Activation::Gelu) => y.gelu_erf(),
        }
    }

    fn forward_onto(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        let y = self.product(x)?;
        if y.device().is_cpu() {
            y.inplace_op3(&self.bias, residual, &AddBiasAndResidual)?;
            return Ok(y);
        }
        residual + y.broadcast_add(&self.bias)?
    }
}

/// Takes the tensors of `weights` to the device.
pub(crate) struct Loader<'a> {
    pub(crate) weights: &'a mut Weights,
    pub(crate) device: &'a Device,
    pub(crate) dtype: DType,
}

impl Loader<'_> {
    pub(crate) fn tensor(&self, values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
        Tensor::from_vec(values, shape, self.device)?.to_dtype(self.dtype)
    }

    pub(crate) fn norm(&mut self, name: &str, width: usize, eps: f64) -> Result<LayerNorm> {
        let weight = self.weights.take(&format!("{name}.weight"));
        let bias = self.weights.take(&format!("{name}.bias"));
        Ok(LayerNorm::new(self.tensor(weight, &[width])?, self.tensor(bias, &[width])?, eps))
    }

    /// Several layers on the same input as one: their outputs lie side by side. Values are multiplied by `scale`.
    fn linear(&mut self, names: &[String], input: usize, output: usize, scale: f32) -> Result<Linear> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            weight.append(&mut self.weights.take(&format!("{name}.weight")));
            bias.append(&mut self.weights.take(&format!("{name}.bias")));
        }
        for value in weight.iter_mut().chain(&mut bias) {
            *value *= scale;
        }
        let weight = self.transposed(weight, names.len() * output, input)?;
        Ok(Linear { weight, bias: self.tensor(bias, &[names.len() * output])? })
    }

    /// `[rows, columns]` values as a `[columns, rows]` tensor.
    pub(crate) fn transposed(&self, values: Vec<f32>, rows: usize, columns: usize) -> Result<Tensor> {
        let transposed = Tensor::from_vec(values, (rows, columns), &Device::Cpu)?.t()?.contiguous()?;
        transposed.to_device(self.device)?.to_dtype(self.dtype)
    }
}

impl Block {
    /// All blocks of `stack` in order; `tower` is `vision_model` or `text_model`.
    pub(crate) fn stack(loader: &mut Loader, tower: &str, stack: &Stack) -> Result<Vec<Block>> {
        (0..stack.layers).map(|layer| Block::new(loader, &format!("{tower}.encoder.layers.{layer}"), stack)).collect()
    }

    fn new(loader: &mut Loader, prefix: &str, stack: &Stack) -> Result<Block> {
        let (width, middle, eps) = (stack.width, stack.middle, stack.eps);
        let name = |part: &str| format!("{prefix}.{part}");
        let scale = 1.0 / (stack.head_dim() as f32).sqrt();
        Ok(Block {
            norm1: loader.norm(&name("layer_norm1"), width, eps)?,
            attention: Attention {
                heads: stack.heads,
                queries: loader.linear(&[name("self_attn.q_proj")], width, width, scale)?,
                keys_values: loader.linear(&[name("self_attn.k_proj"), name("self_attn.v_proj")], width, width, 1.0)?,
                output: loader.linear(&[name("self_attn.out_proj")], width, width, 1.0)?,
            },
            norm2: loader.norm(&name("layer_norm2"), width, eps)?,
            fc1: loader.linear(&[name("mlp.fc1")], width, middle, 1.0)?,
            activation: stack.activation,
            fc2: loader.linear(&[name("mlp.fc2")], middle, width, 1.0)?,
        })
    }

    /// The first `keep` tokens of the block's output, from all tokens `[B, T, W]` of its input. `mask` `[keep, T]` is added to what the
    /// softmax is taken of.
    pub(crate) fn forward(&self, tokens: &Tensor, keep: usize, mask: Option<&Tensor>) -> Result<Tensor> {
        let normed = self.norm1.forward(tokens)?;
        let kept = |x: &Tensor| x.narrow(1, 0, keep)?.contiguous();
        let mixed = self.attention.forward(&kept(&normed)?, &normed, mask)?;
        let tokens = self.attention.output.forward_onto(&mixed, &kept(tokens)?)?;
        let middle = self.fc1.forward(&self.norm2.forward(&tokens)?, Some(self.activation))?;
        self.fc2.forward_onto(&middle, &tokens)
    }
}

impl Attention {
    /// Each row of `to` `[B, R, W]` looks at all rows of `from` `[B, T, W]`; the output projection is left to the caller.
    fn forward(&self, to: &Tensor, from: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let (batch, tokens, width) = from.dims3()?;
        let (rows, head) = (to.dim(1)?, width / self.heads);
        let queries =
            self.queries.forward(to, None)?.reshape((batch, rows, self.heads, head))?.transpose(1, 2)?.contiguous()?;
        let keys_values = self.keys_values.forward(from, None)?.reshape((batch, tokens, 2, self.heads, head))?;
        let keys = keys_values.narrow(2, 0, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous()?;
        let values = keys_values.narrow(2, 1, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous()?;
        let scores = queries.matmul(&keys.transpose(2, 3)?)?;
        let weights = match mask {
            None => softmax_last_dim(&scores)?,
            Some(mask) => softmax_last_dim(&scores.broadcast_add(mask)?)?,
        };
        weights.matmul(&values)?.transpose(1, 2)?.contiguous()?.reshape((batch, rows, width))
    }
}
