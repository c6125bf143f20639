//! The image tower of CLIP on candle's tensors.
//!
//! The pictures come as patches, so that the strided convolution of the original is one matrix product. Only the class token leaves the
//! tower, so the last block computes only that one.

use candle_core::{D, DType, Device, Module, Tensor};
use candle_nn::LayerNorm;

use crate::Error;
use crate::block::{Block, Loader};
use crate::checkpoint::Checkpoint;
use crate::config::VisionConfig;
use crate::weights::{self, Part, Weights};

/// The tower with its projection.
pub struct ImageTower {
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

impl ImageTower {
    /// Loads the image tower of `checkpoint` on a device. Also returns the tensors of the checkpoint that belong to neither tower and were
    /// left alone, sorted; worth a warning.
    pub fn load(checkpoint: &Checkpoint, device: &Device, dtype: DType) -> Result<(ImageTower, Vec<String>), Error> {
        let mut weights =
            Weights::read(checkpoint.weight_files(), Part::Image, &weights::of_image(checkpoint.config()))?;
        let unexpected = std::mem::take(&mut weights.unexpected);
        Ok((Self::new(weights, checkpoint.config(), device, dtype)?, unexpected))
    }

    /// Builds the tower of `config` from all of `weights`.
    fn new(
        mut weights: Weights,
        config: &VisionConfig,
        device: &Device,
        dtype: DType,
    ) -> candle_core::Result<ImageTower> {
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
        let tower = ImageTower {
            patch_embedding: loader.transposed(patch, width, config.patch_len())?,
            class: loader.tensor(class, &[1, 1, width])?,
            positions: loader.tensor(patch_positions, &[1, config.tokens() - 1, width])?,
            pre_norm: loader.norm("vision_model.pre_layrnorm", width, eps)?,
            blocks: Block::stack(&mut loader, "vision_model", &config.stack())?,
            post_norm: loader.norm("vision_model.post_layernorm", width, eps)?,
            projection: loader.transposed(projection, config.projection_dim, width)?,
        };
        assert!(weights.is_empty(), "the tower uses every tensor that it expects");
        Ok(tower)
    }

    /// `patches` `[B, G G, 3 P P]`, channel by channel, rows top to bottom; gives `[B, D]`.
    pub fn forward(&self, patches: &Tensor) -> candle_core::Result<Tensor> {
        let (batch, grid, patch_len) = patches.dims3()?;
        let width = self.class.dim(D::Minus1)?;
        let patches = patches.reshape((batch * grid, patch_len))?.matmul(&self.patch_embedding)?;
        let patches = patches.reshape((batch, grid, width))?.broadcast_add(&self.positions)?;
        let class = self.class.broadcast_as((batch, 1, width))?;
        let mut tokens = self.pre_norm.forward(&Tensor::cat(&[&class, &patches], 1)?)?;
        let (last, blocks) = self.blocks.split_last().expect("a tower has at least one block");
        for block in blocks {
            tokens = block.forward(&tokens, grid + 1, None)?;
        }
        let class = last.forward(&tokens, 1, None)?.reshape((batch, width))?;
        self.post_norm.forward(&class)?.matmul(&self.projection)
    }
}

/// Cuts pictures `[B, 3, S, S]` into the patches that [`ImageTower::forward`] takes; a rest at the right and bottom is left out.
pub fn patchify(pictures: &Tensor, patch: usize) -> candle_core::Result<Tensor> {
    let (batch, channels, side, _) = pictures.dims4()?;
    let grid = side / patch;
    pictures
        .narrow(2, 0, grid * patch)?
        .narrow(3, 0, grid * patch)?
        .reshape((batch, channels, grid, patch, grid * patch))?
        .reshape(vec![batch, channels, grid, patch, grid, patch])?
        .permute(vec![0, 2, 4, 1, 3, 5])?
        .reshape((batch, grid * grid, channels * patch * patch))
}

#[cfg(test)]
mod tests;
