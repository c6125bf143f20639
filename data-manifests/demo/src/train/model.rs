//! Both towers of CLIP on candle's tensors, with variables that can be trained; names and shapes are Hugging Face's.
//!
//! The picture tower is a ViT (pre-norm, class token, no bias in the patch embedding), the text tower a causal transformer whose feature is the
//! token `<|endoftext|>`; both project to one space. Sources: Radford et al. (2021), `modeling_clip.py` of transformers. This is the trainer's own
//! reading of them, with derivatives; what uses a checkpoint are the stages, and a test holds the two to the same values.

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use serde_json::{Value, json};

use super::kernels::{EPSILON, layer_norm, quick_gelu, softmax};

/// One transformer.
#[derive(Debug, Clone, Copy)]
pub struct Tower {
    /// Width of the tokens.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads of a block.
    pub heads: usize,
}

/// The shape of a model.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Side of the pictures, pixels.
    pub image: usize,
    /// Side of a patch, pixels.
    pub patch: usize,
    /// The picture tower.
    pub vision: Tower,
    /// The text tower.
    pub text: Tower,
    /// Tokens of a text at most.
    pub positions: usize,
    /// Entries of the vocabulary; `<|endoftext|>` is the last, `<|startoftext|>` the one before.
    pub vocabulary: usize,
    /// Values of an embedding.
    pub projection: usize,
}

impl Shape {
    /// Patches of a picture.
    pub fn patches(&self) -> usize {
        (self.image / self.patch).pow(2)
    }

    /// Values of one patch.
    pub fn patch_len(&self) -> usize {
        3 * self.patch * self.patch
    }

    /// `config.json`.
    pub fn config(&self) -> Value {
        let tower = |tower: &Tower, kind: &str| {
            json!({
                "model_type": kind,
                "hidden_size": tower.width,
                "intermediate_size": 4 * tower.width,
                "num_hidden_layers": tower.layers,
                "num_attention_heads": tower.heads,
                "hidden_act": "quick_gelu",
                "layer_norm_eps": EPSILON,
                "attention_dropout": 0.0,
                "projection_dim": self.projection,
            })
        };
        let mut vision = tower(&self.vision, "clip_vision_model");
        vision["num_channels"] = json!(3);
        vision["image_size"] = json!(self.image);
        vision["patch_size"] = json!(self.patch);
        let mut text = tower(&self.text, "clip_text_model");
        text["vocab_size"] = json!(self.vocabulary);
        text["max_position_embeddings"] = json!(self.positions);
        text["bos_token_id"] = json!(self.vocabulary - 2);
        text["eos_token_id"] = json!(self.vocabulary - 1);
        text["pad_token_id"] = json!(self.vocabulary - 1);
        json!({
            "architectures": ["CLIPModel"],
            "model_type": "clip",
            "projection_dim": self.projection,
            "logit_scale_init_value": LOGIT_SCALE,
            "torch_dtype": "float16",
            "vision_config": vision,
            "text_config": text,
        })
    }
}

/// Where the logarithm of the scale of the logits starts: 1 / 0.07.
const LOGIT_SCALE: f64 = 2.6592;

/// A model in training.
pub struct Clip {
    /// Its shape.
    pub shape: Shape,
    /// Its variables under their names in a checkpoint.
    pub variables: BTreeMap<String, Var>,
}

impl Clip {
    /// A model with weights drawn at random: matrices at 1 / √inputs, those that write to the residual at less, embeddings at 0.02 to 0.1.
    pub fn new(shape: Shape, seed: u64) -> Result<Clip> {
        let mut draw = Draw { variables: BTreeMap::new(), rng: ChaCha8Rng::seed_from_u64(seed) };
        let Shape { vision, text, .. } = shape;
        let class = 1.0 / (vision.width as f32).sqrt();
        draw.normal("vision_model.embeddings.class_embedding", &[vision.width], class)?;
        let patch = [vision.width, 3, shape.patch, shape.patch];
        draw.normal("vision_model.embeddings.patch_embedding.weight", &patch, 1.0 / (shape.patch_len() as f32).sqrt())?;
        let positions = [shape.patches() + 1, vision.width];
        draw.normal("vision_model.embeddings.position_embedding.weight", &positions, class)?;
        draw.norm("vision_model.pre_layrnorm", vision.width)?;
        draw.tower("vision_model", &vision)?;
        draw.norm("vision_model.post_layernorm", vision.width)?;
        draw.normal("visual_projection.weight", &[shape.projection, vision.width], class)?;
        draw.normal("text_model.embeddings.token_embedding.weight", &[shape.vocabulary, text.width], 0.05)?;
        draw.normal("text_model.embeddings.position_embedding.weight", &[shape.positions, text.width], 0.05)?;
        draw.tower("text_model", &text)?;
        draw.norm("text_model.final_layer_norm", text.width)?;
        draw.normal("text_projection.weight", &[shape.projection, text.width], 1.0 / (text.width as f32).sqrt())?;
        draw.constant("logit_scale", &[], LOGIT_SCALE as f32)?;
        Ok(Clip { shape, variables: draw.variables })
    }

    /// Rounds every weight to half precision, as the file stores them.
    pub fn round_to_half(&self) -> Result<()> {
        for variable in self.variables.values() {
            variable.set(&variable.as_tensor().to_dtype(DType::F16)?.to_dtype(DType::F32)?)?;
        }
        Ok(())
    }

    fn get(&self, name: &str) -> &Tensor {
        self.variables[name].as_tensor()
    }

    /// Patches `[B, G², 3 P²]` (channel by channel, rows top to bottom) to unit vectors `[B, D]`.
    pub fn embed_pictures(&self, patches: &Tensor) -> Result<Tensor> {
        let Shape { vision, .. } = self.shape;
        let (batch, count, length) = patches.dims3()?;
        let embedding = self.get("vision_model.embeddings.patch_embedding.weight").reshape((vision.width, length))?;
        let patches = patches.reshape((batch * count, length))?.matmul(&embedding.t()?)?;
        let class = self.get("vision_model.embeddings.class_embedding");
        let class = class.reshape((1, 1, vision.width))?.broadcast_as((batch, 1, vision.width))?.contiguous()?;
        let tokens = Tensor::cat(&[&class, &patches.reshape((batch, count, vision.width))?], 1)?;
        let tokens = tokens.broadcast_add(self.get("vision_model.embeddings.position_embedding.weight"))?;
        let mut tokens = self.norm("vision_model.pre_layrnorm", &tokens)?;
        for layer in 0..vision.layers {
            // Of the last block only the class token is used.
            let keep = if layer + 1 == vision.layers { 1 } else { count + 1 };
            tokens = self.block(&format!("vision_model.encoder.layers.{layer}"), vision.heads, &tokens, keep, None)?;
        }
        let class = self.norm("vision_model.post_layernorm", &tokens.reshape((batch, vision.width))?)?;
        unit(&class.matmul(&self.get("visual_projection.weight").t()?)?)
    }

    /// Texts as token ids (each starts and ends with its special token) to unit vectors `[B, D]`.
    pub fn embed_texts(&self, texts: &[Vec<u32>]) -> Result<Tensor> {
        let Shape { text, vocabulary, .. } = self.shape;
        let longest = texts.iter().map(Vec::len).max().unwrap_or(1);
        let batch = texts.len();
        let mut ids = vec![vocabulary as u32 - 1; batch * longest];
        for (row, text) in ids.chunks_exact_mut(longest).zip(texts) {
            row[..text.len()].copy_from_slice(text);
        }
        let ends: Vec<u32> = (0..batch).map(|n| (n * longest + texts[n].len() - 1) as u32).collect();
        let tokens = self.get("text_model.embeddings.token_embedding.weight");
        let tokens = tokens.index_select(&Tensor::new(ids, &Device::Cpu)?, 0)?.reshape((batch, longest, text.width))?;
        let positions = self.get("text_model.embeddings.position_embedding.weight").narrow(0, 0, longest)?;
        let mut tokens = tokens.broadcast_add(&positions)?;
        let mask: Vec<f32> =
            (0..longest * longest).map(|n| if n % longest > n / longest { -1e9 } else { 0.0 }).collect();
        let mask = Tensor::from_vec(mask, (longest, longest), &Device::Cpu)?;
        for layer in 0..text.layers {
            let name = format!("text_model.encoder.layers.{layer}");
            tokens = self.block(&name, text.heads, &tokens, longest, Some(&mask))?;
        }
        let last = tokens.reshape((batch * longest, text.width))?.index_select(&Tensor::new(ends, &Device::Cpu)?, 0)?;
        unit(&self.norm("text_model.final_layer_norm", &last)?.matmul(&self.get("text_projection.weight").t()?)?)
    }

    /// The factor of the cosines.
    pub fn scale(&self) -> Result<Tensor> {
        self.get("logit_scale").exp()
    }

    fn norm(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, self.get(&format!("{name}.weight")), self.get(&format!("{name}.bias")))
    }

    fn linear(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let (batch, tokens, width) = x.dims3()?;
        let weight = self.get(&format!("{name}.weight"));
        let y = x.reshape((batch * tokens, width))?.matmul(&weight.t()?)?;
        y.broadcast_add(self.get(&format!("{name}.bias")))?.reshape((batch, tokens, weight.dim(0)?))
    }

    /// The first `keep` tokens of a block's output.
    fn block(&self, name: &str, heads: usize, x: &Tensor, keep: usize, mask: Option<&Tensor>) -> Result<Tensor> {
        let (batch, tokens, width) = x.dims3()?;
        let part = |of: &str| format!("{name}.{of}");
        let kept = |x: &Tensor| if keep == tokens { Ok(x.clone()) } else { x.narrow(1, 0, keep)?.contiguous() };
        let split = |x: Tensor| x.reshape((batch, (), heads, width / heads))?.transpose(1, 2)?.contiguous();
        let normed = self.norm(&part("layer_norm1"), x)?;
        let queries =
            (self.linear(&part("self_attn.q_proj"), &kept(&normed)?)? * (heads as f64 / width as f64).sqrt())?;
        let keys = split(self.linear(&part("self_attn.k_proj"), &normed)?)?;
        let values = split(self.linear(&part("self_attn.v_proj"), &normed)?)?;
        let mut weights = split(queries)?.matmul(&keys.t()?)?;
        if let Some(mask) = mask {
            weights = weights.broadcast_add(mask)?;
        }
        let mixed = softmax(&weights)?.matmul(&values)?.transpose(1, 2)?.contiguous()?.reshape((batch, keep, width))?;
        let x = (kept(x)? + self.linear(&part("self_attn.out_proj"), &mixed)?)?;
        let middle = quick_gelu(&self.linear(&part("mlp.fc1"), &self.norm(&part("layer_norm2"), &x)?)?)?;
        &x + self.linear(&part("mlp.fc2"), &middle)?
    }
}

/// Rows scaled to length 1.
fn unit(x: &Tensor) -> Result<Tensor> {
    x.broadcast_div(&(x.sqr()?.sum_keepdim(D::Minus1)? + 1e-12)?.sqrt()?)
}

/// Draws variables, one after the other from one generator.
struct Draw {
    variables: BTreeMap<String, Var>,
    rng: ChaCha8Rng,
}

impl Draw {
    fn add(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Result<()> {
        let variable = Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)?;
        self.variables.insert(name.to_owned(), variable);
        Ok(())
    }

    fn constant(&mut self, name: &str, shape: &[usize], value: f32) -> Result<()> {
        self.add(name, shape, vec![value; shape.iter().product()])
    }

    fn normal(&mut self, name: &str, shape: &[usize], deviation: f32) -> Result<()> {
        let normal = Normal::new(0.0, deviation).expect("the deviation is finite");
        let values = normal.sample_iter(&mut self.rng).take(shape.iter().product()).collect();
        self.add(name, shape, values)
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<()> {
        self.constant(&format!("{name}.weight"), &[width], 1.0)?;
        self.constant(&format!("{name}.bias"), &[width], 0.0)
    }

    fn linear(&mut self, name: &str, to: usize, from: usize, gain: f32) -> Result<()> {
        self.normal(&format!("{name}.weight"), &[to, from], gain / (from as f32).sqrt())?;
        self.constant(&format!("{name}.bias"), &[to], 0.0)
    }

    fn tower(&mut self, name: &str, tower: &Tower) -> Result<()> {
        let (width, residual) = (tower.width, 1.0 / (2.0 * tower.layers as f32).sqrt());
        for layer in 0..tower.layers {
            let part = |of: &str| format!("{name}.encoder.layers.{layer}.{of}");
            self.norm(&part("layer_norm1"), width)?;
            for of in ["q_proj", "k_proj", "v_proj"] {
                self.linear(&part(&format!("self_attn.{of}")), width, width, 1.0)?;
            }
            self.linear(&part("self_attn.out_proj"), width, width, residual)?;
            self.norm(&part("layer_norm2"), width)?;
            self.linear(&part("mlp.fc1"), 4 * width, width, 1.0)?;
            self.linear(&part("mlp.fc2"), width, 4 * width, residual)?;
        }
        Ok(())
    }
}
