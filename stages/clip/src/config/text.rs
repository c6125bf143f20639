//! The text part of `config.json`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Activation, FILE, Stack, part_of_full, projection, within};
use crate::Error;

/// Which token's output becomes the text's feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOfText {
    /// The first token with this id: `eos_token_id`.
    Id(u32),
    /// The token with the highest id, the first of several. Configurations from before transformers 4.31 say `eos_token_id` 2, which
    /// no CLIP tokenizer means by it; openai/CLIP and transformers then take the highest id, which is `<|endoftext|>`.
    Highest,
}

/// The shape of the text tower and its projection.
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Number of tokens of the vocabulary.
    pub vocab_size: usize,
    /// Width of the tokens.
    pub hidden_size: usize,
    /// Width of the perceptrons' middle layer.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Number of attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Most tokens of one text, first and last included: 77 in the published models.
    pub max_position_embeddings: usize,
    /// Activation of the perceptrons.
    pub activation: Activation,
    /// Added to the variance in the layer norms.
    pub layer_norm_eps: f64,
    /// Width of the feature.
    pub projection_dim: usize,
    /// Which token's output becomes the feature.
    pub end_of_text: EndOfText,
}

impl TextConfig {
    /// Reads the text of `config.json`; `None` where it describes an image tower alone.
    pub fn parse(json: &str) -> Result<Option<TextConfig>, Error> {
        let bad = |message: String| Error::Config { file: FILE.into(), message };
        let root: Map<String, Value> = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
        if root.get("model_type").and_then(Value::as_str) != Some("clip") {
            return Ok(None);
        }
        let text = part_of_full(&root, ["text_config_dict", "text_config"])?;
        let keys: Keys = serde_json::from_value(Value::Object(text)).map_err(|e| bad(format!("text_config: {e}")))?;
        let config = TextConfig {
            vocab_size: keys.vocab_size,
            hidden_size: keys.hidden_size,
            intermediate_size: keys.intermediate_size,
            num_hidden_layers: keys.num_hidden_layers,
            num_attention_heads: keys.num_attention_heads,
            max_position_embeddings: keys.max_position_embeddings,
            activation: keys.hidden_act,
            layer_norm_eps: keys.layer_norm_eps,
            projection_dim: projection(root.get("projection_dim"))?,
            end_of_text: if keys.eos_token_id == LEGACY_EOS {
                EndOfText::Highest
            } else {
                EndOfText::Id(keys.eos_token_id)
            },
        };
        config.check().map_err(|message| bad(format!("text_config: {message}")))?;
        Ok(Some(config))
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
            ("vocab_size", self.vocab_size, 1 << 24),
            ("max_position_embeddings", self.max_position_embeddings, 1 << 16),
            ("projection_dim", self.projection_dim, 1 << 16),
        ])?;
        match self.end_of_text {
            EndOfText::Id(id) if id as usize >= self.vocab_size => {
                Err(format!("eos_token_id is {id}, but vocab_size is {}", self.vocab_size))
            }
            _ => Ok(()),
        }
    }
}

/// The wrong `eos_token_id` of old configurations.
const LEGACY_EOS: u32 = 2;

/// The keys that shape the text tower; defaults are those of transformers' `CLIPTextConfig`. Others do not change the values.
#[derive(Deserialize)]
#[serde(default)]
struct Keys {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    hidden_act: Activation,
    layer_norm_eps: f64,
    eos_token_id: u32,
}

impl Default for Keys {
    fn default() -> Self {
        Keys {
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: 49407,
        }
    }
}
