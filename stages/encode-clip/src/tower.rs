//! The image tower of CLIP on candle's tensors.
//!
//! The pictures come as patches, so that the strided convolution of the original is one matrix product. Weights are kept
//! as `[in, out]`, the layout that candle's matrix kernel reads without a copy. Only the class token leaves the tower, so the
//! last block computes only that one.

use candle_core::{D, DType, Device, Module, Result, Tensor};
use candle_nn::LayerNorm;
use candle_nn::ops::softmax_last_dim;

use crate::config::{Activation, VisionConfig};
use crate::epilogue::{AddBias, AddBiasAndResidual};
use crate::weights::Weights;

/// The tower with its projection.
pub struct Tower {
    /// `[3 P P, W]`
    patch_embedding: Tensor,
    /// Class embedding plus its position, `[1, 1, W]`.
    class: Tensor,
    /// Positions of the patches, `[1, G G, W]`.
    positions: Tensor,
    pre_norm: LayerNorm,
    blocks: Vec<Block>,
    post_norm: LayerNorm,
    /// `[W, D]`
    projection: Tensor,
}

struct Block {
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
struct Loader<'a> {
    weights: &'a mut Weights,
    device: &'a Device,
    dtype: DType,
}

impl Loader<'_> {
    fn tensor(&self, values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
        Tensor::from_vec(values, shape, self.device)?.to_dtype(self.dtype)
    }

    fn norm(&mut self, name: &str, width: usize, eps: f64) -> Result<LayerNorm> {
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
    fn transposed(&self, values: Vec<f32>, rows: usize, columns: usize) -> Result<Tensor> {
        let transposed = Tensor::from_vec(values, (rows, columns), &Device::Cpu)?.t()?.contiguous()?;
        transposed.to_device(self.device)?.to_dtype(self.dtype)
    }
}

impl Tower {
    /// Builds the tower of `config` from all of `weights`.
    pub fn new(mut weights: Weights, config: &VisionConfig, device: &Device, dtype: DType) -> Result<Tower> {
        let (width, eps) = (config.hidden_size, config.layer_norm_eps);
        let patch = weights.take("vision_model.embeddings.patch_embedding.weight");
        let mut class = weights.take("vision_model.embeddings.class_embedding");
        let mut positions = weights.take("vision_model.embeddings.position_embedding.weight");
        let projection = weights.take("visual_projection.weight");
        let patch_positions = positions.split_off(width);
        for (value, position) in class.iter_mut().zip(positions) {
            *value += position;
        }
        let mut loader = Loader { weights: &mut weights, device, dtype };
        let tower = Tower {
            patch_embedding: loader.transposed(patch, width, config.patch_len())?,
            class: loader.tensor(class, &[1, 1, width])?,
            positions: loader.tensor(patch_positions, &[1, config.tokens() - 1, width])?,
            pre_norm: loader.norm("vision_model.pre_layrnorm", width, eps)?,
            blocks: (0..config.num_hidden_layers)
                .map(|layer| Block::new(&mut loader, layer, config))
                .collect::<Result<_>>()?,
            post_norm: loader.norm("vision_model.post_layernorm", width, eps)?,
            projection: loader.transposed(projection, config.projection_dim, width)?,
        };
        assert!(weights.is_empty(), "the tower uses every tensor that it expects");
        Ok(tower)
    }

    /// `patches` `[B, G G, 3 P P]`, channel by channel, rows top to bottom; gives `[B, D]`.
    pub fn forward(&self, patches: &Tensor) -> Result<Tensor> {
        let (batch, grid, patch_len) = patches.dims3()?;
        let width = self.class.dim(D::Minus1)?;
        let patches = patches.reshape((batch * grid, patch_len))?.matmul(&self.patch_embedding)?;
        let patches = patches.reshape((batch, grid, width))?.broadcast_add(&self.positions)?;
        let class = self.class.broadcast_as((batch, 1, width))?;
        let mut tokens = self.pre_norm.forward(&Tensor::cat(&[&class, &patches], 1)?)?;
        let (last, blocks) = self.blocks.split_last().expect("a tower has at least one block");
        for block in blocks {
            tokens = block.forward(&tokens, grid + 1)?;
        }
        let class = last.forward(&tokens, 1)?.reshape((batch, width))?;
        self.post_norm.forward(&class)?.matmul(&self.projection)
    }
}

impl Block {
    fn new(loader: &mut Loader, layer: usize, config: &VisionConfig) -> Result<Block> {
        let (width, middle, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let prefix = format!("vision_model.encoder.layers.{layer}");
        let name = |part: &str| format!("{prefix}.{part}");
        let scale = 1.0 / (config.head_dim() as f32).sqrt();
        Ok(Block {
            norm1: loader.norm(&name("layer_norm1"), width, eps)?,
            attention: Attention {
                heads: config.num_attention_heads,
                queries: loader.linear(&[name("self_attn.q_proj")], width, width, scale)?,
                keys_values: loader.linear(&[name("self_attn.k_proj"), name("self_attn.v_proj")], width, width, 1.0)?,
                output: loader.linear(&[name("self_attn.out_proj")], width, width, 1.0)?,
            },
            norm2: loader.norm(&name("layer_norm2"), width, eps)?,
            fc1: loader.linear(&[name("mlp.fc1")], width, middle, 1.0)?,
            activation: config.activation,
            fc2: loader.linear(&[name("mlp.fc2")], middle, width, 1.0)?,
        })
    }

    /// The first `keep` tokens of the block's output, from all tokens `[B, T, W]` of its input.
    fn forward(&self, tokens: &Tensor, keep: usize) -> Result<Tensor> {
        let normed = self.norm1.forward(tokens)?;
        let kept = |x: &Tensor| x.narrow(1, 0, keep)?.contiguous();
        let mixed = self.attention.forward(&kept(&normed)?, &normed)?;
        let tokens = self.attention.output.forward_onto(&mixed, &kept(tokens)?)?;
        let middle = self.fc1.forward(&self.norm2.forward(&tokens)?, Some(self.activation))?;
        self.fc2.forward_onto(&middle, &tokens)
    }
}

impl Attention {
    /// Each row of `to` `[B, R, W]` looks at all rows of `from` `[B, T, W]`; the output projection is left to the caller.
    fn forward(&self, to: &Tensor, from: &Tensor) -> Result<Tensor> {
        let (batch, tokens, width) = from.dims3()?;
        let (rows, head) = (to.dim(1)?, width / self.heads);
        let queries =
            self.queries.forward(to, None)?.reshape((batch, rows, self.heads, head))?.transpose(1, 2)?.contiguous()?;
        let keys_values = self.keys_values.forward(from, None)?.reshape((batch, tokens, 2, self.heads, head))?;
        let keys = keys_values.narrow(2, 0, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous()?;
        let values = keys_values.narrow(2, 1, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous()?;
        let weights = softmax_last_dim(&queries.matmul(&keys.transpose(2, 3)?)?)?;
        weights.matmul(&values)?.transpose(1, 2)?.contiguous()?.reshape((batch, rows, width))
    }
}
