//! The text tower of CLIP on candle's tensors, and prompts in, features out.
//!
//! Attention is causal, so nothing after the end-of-text token can change the output there: texts are filled up with token 0 to the next
//! multiple of eight only, not to the model's 77 positions, at equal values and a fraction of the time.

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::LayerNorm;

use crate::Error;
use crate::block::{Block, Loader};
use crate::checkpoint::{Checkpoint, TextInfo, file_name};
use crate::config::TextConfig;
use crate::device::{Backend, DeviceChoice};
use crate::tokenizer::Tokenizer;
use crate::weights::{self, LOGIT_SCALE, Part, Weights};

/// Texts per pass, and the grain of their length. Fixed, so that the bytes of a feature do not depend on which other prompts there are: the
/// matrix kernel's order of summation may follow the number of rows.
const BLOCK: usize = 8;

/// The tower with its projection, in f32.
pub struct TextTower {
    config: TextConfig,
    device: Device,
    /// `[V, W]`
    tokens: Tensor,
    /// `[P, W]`
    positions: Tensor,
    blocks: Vec<Block>,
    final_norm: LayerNorm,
    /// `[W, D]`
    projection: Tensor,
    logit_scale: f64,
}

impl TextTower {
    /// Loads the text tower of `checkpoint` on a device.
    pub fn load(checkpoint: &Checkpoint, device: &Device) -> Result<TextTower, Error> {
        let config = checkpoint.check_text()?;
        let files = checkpoint.weight_files();
        let mut weights = Weights::read(files, Part::Text, &weights::of_text(&config))?;
        let logit_scale = f64::from(weights.take(LOGIT_SCALE)[0]).exp();
        if !(logit_scale.is_finite() && logit_scale > 0.0) {
            let file = files.iter().map(|f| file_name(f)).collect::<Vec<_>>().join(", ");
            let message = format!("holds a {LOGIT_SCALE} whose exponential is {logit_scale}: the file is damaged");
            return Err(Error::Weights { file, message });
        }
        Ok(Self::new(weights, config, logit_scale, device)?)
    }

    fn new(
        mut weights: Weights,
        config: TextConfig,
        logit_scale: f64,
        device: &Device,
    ) -> candle_core::Result<TextTower> {
        let (width, eps) = (config.hidden_size, config.layer_norm_eps);
        let tokens = weights.take("text_model.embeddings.token_embedding.weight");
        let positions = weights.take("text_model.embeddings.position_embedding.weight");
        let projection = weights.take("text_projection.weight");
        let mut loader = Loader { weights: &mut weights, device, dtype: DType::F32 };
        let tower = TextTower {
            tokens: loader.tensor(tokens, &[config.vocab_size, width])?,
            positions: loader.tensor(positions, &[config.max_position_embeddings, width])?,
            blocks: Block::stack(&mut loader, "text_model", &config.stack())?,
            final_norm: loader.norm("text_model.final_layer_norm", width, eps)?,
            projection: loader.transposed(projection, config.projection_dim, width)?,
            device: device.clone(),
            config,
            logit_scale,
        };
        assert!(weights.is_empty(), "the tower uses every tensor that it expects");
        Ok(tower)
    }

    /// The shape of the tower.
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// The factor before the cosines, `exp(logit_scale)`: 100 in the released models.
    pub fn logit_scale(&self) -> f64 {
        self.logit_scale
    }

    /// The features `[n, D]` of `n` token sequences, raw as transformers' `get_text_features`. Each has an end of text and at most as many
    /// ids as the tower has positions.
    pub fn features(&self, texts: &[Vec<u32>]) -> Result<Vec<f32>, Error> {
        let dim = self.config.projection_dim;
        let mut features = vec![0.0; texts.len() * dim];
        let mut by_length: Vec<(usize, usize)> = texts.iter().map(|ids| self.length(ids)).zip(0..).collect();
        by_length.sort_unstable();
        for alike in by_length.chunk_by(|a, b| a.0 == b.0) {
            for block in alike.chunks(BLOCK) {
                let ids: Vec<&[u32]> = block.iter().map(|(_, text)| &texts[*text][..]).collect();
                let found = self.block(&ids, alike[0].0)?;
                for ((_, text), feature) in block.iter().zip(found.chunks_exact(dim)) {
                    features[text * dim..][..dim].copy_from_slice(feature);
                }
            }
        }
        Ok(features)
    }

    /// The length that a text is filled up to.
    fn length(&self, ids: &[u32]) -> usize {
        let positions = self.config.max_position_embeddings;
        assert!(ids.len() <= positions, "{} ids in {positions} positions", ids.len());
        ids.len().next_multiple_of(BLOCK).min(positions)
    }

    /// One pass: at most [`BLOCK`] texts of at most `length` ids.
    fn block(&self, texts: &[&[u32]], length: usize) -> candle_core::Result<Vec<f32>> {
        let mut ids = vec![0u32; BLOCK * length];
        let mut ends = vec![0u32; BLOCK];
        for (row, text) in texts.iter().enumerate() {
            ids[row * length..][..text.len()].copy_from_slice(text);
            let end = self.config.end_of_text.position(text).expect("a text with an end, as documented");
            ends[row] = (row * length + end) as u32;
        }
        let width = self.config.hidden_size;
        let tokens = self.tokens.index_select(&Tensor::from_vec(ids, BLOCK * length, &self.device)?, 0)?;
        let tokens = tokens.reshape((BLOCK, length, width))?;
        let mut tokens = tokens.broadcast_add(&self.positions.narrow(0, 0, length)?)?;
        let mask = causal_mask(length, &self.device)?;
        for block in &self.blocks {
            tokens = block.forward(&tokens, length, Some(&mask))?;
        }
        let tokens = tokens.reshape((BLOCK * length, width))?;
        let ends = tokens.index_select(&Tensor::from_vec(ends, BLOCK, &self.device)?, 0)?;
        self.final_norm.forward(&ends)?.matmul(&self.projection)?.flatten_all()?.to_vec1()
    }
}

/// `[T, T]`: 0 where a token may look, at itself and before, minus infinity elsewhere.
fn causal_mask(length: usize, device: &Device) -> candle_core::Result<Tensor> {
    let values = (0..length * length).map(|i| if i % length > i / length { f32::NEG_INFINITY } else { 0.0 }).collect();
    Tensor::from_vec(values, (length, length), device)
}

/// Tokenizer and text tower together, on a device.
pub struct TextEncoder {
    tokenizer: Tokenizer,
    tower: TextTower,
    info: TextInfo,
    backend: Backend,
}

impl TextEncoder {
    /// Loads the text side of `checkpoint`; of the weight files only the text tensors are read.
    pub fn load(checkpoint: &Checkpoint, device: DeviceChoice) -> Result<TextEncoder, Error> {
        let info = checkpoint.describe_text()?;
        checkpoint.check_text()?;
        let tokenizer = Tokenizer::of(checkpoint)?;
        let (device, backend) = device.open()?;
        let tower = TextTower::load(checkpoint, &device)?;
        Ok(TextEncoder { tokenizer, tower, info, backend })
    }

    /// Values of one feature.
    pub fn dimension(&self) -> usize {
        self.tower.config.projection_dim
    }

    /// As [`TextTower::logit_scale`].
    pub fn logit_scale(&self) -> f64 {
        self.tower.logit_scale
    }

    /// What is worth telling of the text side.
    pub fn describe(&self) -> &TextInfo {
        &self.info
    }

    /// What it computes on.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The features `[n, D]` of `n` prompts, raw as transformers' `get_text_features`; every value is finite.
    pub fn encode(&self, prompts: &[String]) -> Result<Vec<f32>, Error> {
        let texts = prompts.iter().map(|prompt| self.tokenizer.encode(prompt)).collect::<Result<Vec<_>, _>>()?;
        let features = self.tower.features(&texts)?;
        match features.iter().position(|value| !value.is_finite()) {
            None => Ok(features),
            Some(at) => Err(Error::Prompt {
                prompt: prompts[at / self.dimension()].clone(),
                message: "gets a feature that is not finite: the weights of the checkpoint are damaged".into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
