//! `config.json` of a checkpoint: the shapes of its towers, with the defaults of HF transformers for keys that are left out.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Error;

/// The file this module reads.
pub const FILE: &str = "config.json";

/// The key of `config.json` that marks weights as drawn at random, for demonstrations and tests.
pub const RANDOM_WEIGHTS_KEY: &str = "pipeline_random_weights";

/// The activation of the two-layer perceptrons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`: OpenAI's checkpoints.
    #[serde(rename = "quick_gelu")]
    QuickGelu,
    /// `x * Φ(x)`, by the error function: LAION's checkpoints.
    #[serde(rename = "gelu")]
    Gelu,
}

/// The shape of a stack of transformer blocks, the same for both towers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stack {
    /// Width of the tokens.
    pub width: usize,
    /// Width of the perceptrons' middle layer.
    pub middle: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of attention heads; divides `width`.
    pub heads: usize,
    /// Activation of the perceptrons.
    pub activation: Activation,
    /// Added to the variance in the layer norms.
    pub eps: f64,
}

impl Stack {
    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.width / self.heads
    }

    fn check(&self) -> Result<(), String> {
        within(&[
            ("hidden_size", self.width, 1 << 16),
            ("intermediate_size", self.middle, 1 << 18),
            ("num_hidden_layers", self.layers, 1 << 10),
            ("num_attention_heads", self.heads, 1 << 10),
        ])?;
        if !self.width.is_multiple_of(self.heads) {
            return Err(format!("hidden_size {} is no multiple of num_attention_heads {}", self.width, self.heads));
        }
        if !(self.eps > 0.0 && self.eps < 1.0) {
            return Err(format!("layer_norm_eps is {}, outside of 0..1", self.eps));
        }
        Ok(())
    }
}

/// Whether each of these named numbers is at least 1 and at most its limit.
fn within(sizes: &[(&str, usize, usize)]) -> Result<(), String> {
    match sizes.iter().find(|(_, value, limit)| *value == 0 || value > limit) {
        Some((name, value, limit)) => Err(format!("{name} is {value}, outside of 1..={limit}")),
        None => Ok(()),
    }
}

/// The shape of the image tower and its projection.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    /// Width of the tokens.
    pub hidden_size: usize,
    /// Width of the perceptrons' middle layer.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Number of attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Side of a square patch in pixels.
    pub patch_size: usize,
    /// Activation of the perceptrons.
    pub activation: Activation,
    /// Added to the variance in the layer norms.
    pub layer_norm_eps: f64,
    /// Width of the embedding.
    pub projection_dim: usize,
    /// The weights are drawn at random and mean nothing ([`RANDOM_WEIGHTS_KEY`]).
    pub random_weights: bool,
}

impl VisionConfig {
    /// Patches along one side; a rest of the picture that makes no whole patch is not looked at, as in a strided convolution.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Tokens per picture: the class token and the patches.
    pub fn tokens(&self) -> usize {
        self.grid() * self.grid() + 1
    }

    /// Values of one patch: three channels.
    pub fn patch_len(&self) -> usize {
        3 * self.patch_size * self.patch_size
    }

    /// Reads the text of `config.json`.
    pub fn parse(json: &str) -> Result<VisionConfig, Error> {
        let bad = |message: String| Error::Config { file: FILE.into(), message };
        let root: Map<String, Value> = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
        let model_type = root.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let (vision, projection_dim) = match model_type {
            "clip" => (part_of_full(&root, ["vision_config_dict", "vision_config"])?, root.get("projection_dim")),
            "clip_vision_model" => (root.clone(), root.get("projection_dim")),
            other => {
                return Err(bad(format!(
                    "model_type is {other:?}; this program reads \"clip\" and \"clip_vision_model\" (checkpoints in the layout of Hugging Face transformers)"
                )));
            }
        };
        let keys: Keys = serde_json::from_value(Value::Object(vision)).map_err(|e| bad(e.to_string()))?;
        let projection_dim = projection(projection_dim)?;
        let config = VisionConfig {
            hidden_size: keys.hidden_size,
            intermediate_size: keys.intermediate_size,
            num_hidden_layers: keys.num_hidden_layers,
            num_attention_heads: keys.num_attention_heads,
            image_size: keys.image_size.side().ok_or_else(|| bad("image_size is not square".into()))?,
            patch_size: keys.patch_size.side().ok_or_else(|| bad("patch_size is not square".into()))?,
            activation: keys.hidden_act,
            layer_norm_eps: keys.layer_norm_eps,
            projection_dim,
            random_weights: root.get(RANDOM_WEIGHTS_KEY).and_then(Value::as_bool).unwrap_or(false),
        };
        if keys.num_channels != 3 {
            return Err(bad(format!("num_channels is {}; only 3 (RGB) is supported", keys.num_channels)));
        }
        config.check().map_err(bad)?;
        Ok(config)
    }

    /// The shape of its blocks.
    pub fn stack(&self) -> Stack {
        Stack {
            width: self.hidden_size,
            middle: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            activation: self.activation,
            eps: self.layer_norm_eps,
        }
    }

    fn check(&self) -> Result<(), String> {
        self.stack().check()?;
        within(&[
            ("image_size", self.image_size, 1 << 13),
            ("patch_size", self.patch_size, 1 << 13),
            ("projection_dim", self.projection_dim, 1 << 16),
        ])?;
        if self.patch_size > self.image_size {
            return Err(format!("patch_size {} is larger than image_size {}", self.patch_size, self.image_size));
        }
        Ok(())
    }
}

const DEFAULT_PROJECTION_DIM: usize = 512;

/// The width of the embeddings of both towers; in a full model it stands at the top.
fn projection(value: Option<&Value>) -> Result<usize, Error> {
    match value {
        None | Some(Value::Null) => Ok(DEFAULT_PROJECTION_DIM),
        Some(value) => usize::deserialize(value)
            .map_err(|e| Error::Config { file: FILE.into(), message: format!("projection_dim: {e}") }),
    }
}

/// One tower's part of a full CLIP config. Old files carry a `…_config_dict` beside `…_config`; transformers lets it win.
fn part_of_full(root: &Map<String, Value>, keys: [&str; 2]) -> Result<Map<String, Value>, Error> {
    for key in keys {
        match root.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Object(part)) => return Ok(part.clone()),
            Some(_) => return Err(Error::Config { file: FILE.into(), message: format!("{key} is not an object") }),
        }
    }
    Ok(Map::new())
}

/// The keys that shape the image tower; defaults are those of transformers' `CLIPVisionConfig`. Others do not change the values.
#[derive(Deserialize)]
#[serde(default)]
struct Keys {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_channels: usize,
    image_size: Side,
    patch_size: Side,
    hidden_act: Activation,
    layer_norm_eps: f64,
}

impl Default for Keys {
    fn default() -> Self {
        Keys {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: Side::One(224),
            patch_size: Side::One(32),
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

/// A side in pixels; transformers also writes `[height, width]`.
#[derive(Deserialize, Clone, Copy)]
#[serde(untagged, expecting = "expected a number of pixels or [height, width]")]
enum Side {
    One(usize),
    Two([usize; 2]),
}

impl Side {
    fn side(self) -> Option<usize> {
        match self {
            Side::One(side) => Some(side),
            Side::Two([height, width]) => (height == width).then_some(height),
        }
    }
}

mod text;
pub use text::{EndOfText, TextConfig};

#[cfg(test)]
mod tests;
