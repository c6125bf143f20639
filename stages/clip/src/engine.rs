//! The image tower of a checkpoint on the CPU engine (the crate `transformer`).

use transformer::{Block, Elements, Instructions, Linear, Norm, Shape, Tower};

use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::config::{Activation, VisionConfig};
use crate::weights::{self, Part, Weights};

/// Loads the image tower of `checkpoint` for the CPU engine. Also returns the tensors of the checkpoint that belong to neither tower and were left
/// alone, sorted; worth a warning.
pub fn load(
    checkpoint: &Checkpoint,
    instructions: Instructions,
    elements: Elements,
) -> Result<(Tower, Vec<String>), Error> {
    let config = checkpoint.config();
    let mut weights = Weights::read(checkpoint.weight_files(), Part::Image, &weights::of_image(config))?;
    let unexpected = std::mem::take(&mut weights.unexpected);
    let tensors = tensors(&mut weights, config);
    assert!(weights.is_empty(), "the tower uses every tensor that it expects");
    Ok((Tower::new(shape(config), tensors, instructions, elements), unexpected))
}

fn shape(config: &VisionConfig) -> Shape {
    Shape {
        width: config.hidden_size,
        heads: config.num_attention_heads,
        middle: config.intermediate_size,
        image: config.image_size,
        patch: config.patch_size,
        projection: config.projection_dim,
        activation: match config.activation {
            Activation::QuickGelu => transformer::Activation::QuickGelu,
            Activation::Gelu => transformer::Activation::Gelu,
        },
        eps: config.layer_norm_eps as f32,
    }
}

fn tensors(weights: &mut Weights, config: &VisionConfig) -> transformer::Weights {
    let pre_norm = norm(weights, "pre_layrnorm");
    let post_norm = norm(weights, "post_layernorm");
    let blocks =
        (0..config.num_hidden_layers).map(|layer| block(weights, &format!("encoder.layers.{layer}"))).collect();
    transformer::Weights {
        patch_embedding: take(weights, "embeddings.patch_embedding.weight"),
        class_embedding: take(weights, "embeddings.class_embedding"),
        positions: take(weights, "embeddings.position_embedding.weight"),
        pre_norm,
        blocks,
        post_norm,
        projection: weights.take("visual_projection.weight"),
    }
}

fn block(weights: &mut Weights, layer: &str) -> Block {
    let name = |part: &str| format!("{layer}.{part}");
    Block {
        norm1: norm(weights, &name("layer_norm1")),
        queries: linear(weights, &name("self_attn.q_proj")),
        keys: linear(weights, &name("self_attn.k_proj")),
        values: linear(weights, &name("self_attn.v_proj")),
        output: linear(weights, &name("self_attn.out_proj")),
        norm2: norm(weights, &name("layer_norm2")),
        fc1: linear(weights, &name("mlp.fc1")),
        fc2: linear(weights, &name("mlp.fc2")),
    }
}

fn norm(weights: &mut Weights, name: &str) -> Norm {
    Norm { weight: take(weights, &format!("{name}.weight")), bias: take(weights, &format!("{name}.bias")) }
}

fn linear(weights: &mut Weights, name: &str) -> Linear {
    Linear { weight: take(weights, &format!("{name}.weight")), bias: take(weights, &format!("{name}.bias")) }
}

fn take(weights: &mut Weights, name: &str) -> Vec<f32> {
    weights.take(&format!("vision_model.{name}"))
}

#[cfg(test)]
mod tests;
