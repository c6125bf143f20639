//! `config.json` of a checkpoint: the shape of the image tower, with the defaults of HF transformers for keys that are left out.

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

    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Reads the text of `config.json`.
    pub fn parse(json: &str) -> Result<VisionConfig, Error> {
        let bad = |message: String| Error::Config { file: FILE.into(), message };
        let root: Map<String, Value> = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
        let model_type = root.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let (vision, projection_dim) = match model_type {
            "clip" => (vision_of_full(&root)?, root.get("projection_dim").cloned()),
            "clip_vision_model" => (root.clone(), root.get("projection_dim").cloned()),
            other => {
                return Err(bad(format!(
                    "model_type is {other:?}; this stage reads \"clip\" and \"clip_vision_model\" (checkpoints in the layout of Hugging Face transformers)"
                )));
            }
        };
        let keys: Keys = serde_json::from_value(Value::Object(vision)).map_err(|e| bad(e.to_string()))?;
        let projection_dim = match projection_dim {
            None | Some(Value::Null) => DEFAULT_PROJECTION_DIM,
            Some(value) => serde_json::from_value(value).map_err(|e| bad(format!("projection_dim: {e}")))?,
        };
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

    fn check(&self) -> Result<(), String> {
        let sizes = [
            ("hidden_size", self.hidden_size, 1 << 16),
            ("intermediate_size", self.intermediate_size, 1 << 18),
            ("num_hidden_layers", self.num_hidden_layers, 1 << 10),
            ("num_attention_heads", self.num_attention_heads, 1 << 10),
            ("image_size", self.image_size, 1 << 13),
            ("patch_size", self.patch_size, 1 << 13),
            ("projection_dim", self.projection_dim, 1 << 16),
        ];
        for (name, value, limit) in sizes {
            if value == 0 || value > limit {
                return Err(format!("{name} is {value}, outside of 1..={limit}"));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let (width, heads) = (self.hidden_size, self.num_attention_heads);
            return Err(format!("hidden_size {width} is no multiple of num_attention_heads {heads}"));
        }
        if self.patch_size > self.image_size {
            return Err(format!("patch_size {} is larger than image_size {}", self.patch_size, self.image_size));
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            return Err(format!("layer_norm_eps is {}, outside of 0..1", self.layer_norm_eps));
        }
        Ok(())
    }
}

const DEFAULT_PROJECTION_DIM: usize = 512;

/// The vision part of a full CLIP config. Old files carry a `vision_config_dict` beside `vision_config`; transformers lets it win.
fn vision_of_full(root: &Map<String, Value>) -> Result<Map<String, Value>, Error> {
    for key in ["vision_config_dict", "vision_config"] {
        match root.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Object(vision)) => return Ok(vision.clone()),
            Some(_) => return Err(Error::Config { file: FILE.into(), message: format!("{key} is not an object") }),
        }
    }
    Ok(Map::new())
}

/// The keys that shape the tower; defaults are those of transformers' `CLIPVisionConfig`. Others do not change the values.
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

#[cfg(test)]
mod tests;
