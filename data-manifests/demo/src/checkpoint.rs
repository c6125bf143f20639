//! A small CLIP image tower with random weights, in the layout of Hugging Face.
//!
//! ```text
//! out/config.json                 model_type clip; "pipeline_random_weights": true, so that nobody takes it for a trained one
//! out/preprocessor_config.json    OpenAI's preprocessing
//! out/model.safetensors           the vision tower and the projection; there is no text tower
//! ```
//!
//! It stands in for a real checkpoint where there is no network: the same files, names, shapes and computation, in a second instead of
//! minutes. Random features are no nonsense: a random projection keeps pictures that differ apart, which is enough for a linear probe to do
//! better than chance. Matrices are drawn with a standard deviation of gain / sqrt(inputs). The gains were set by hand, with the demo clips in
//! view, so that what a picture adds to the class token outweighs the token itself, which is the same for all pictures. A figure measured with
//! these weights says that the way from files to a table works, and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

const HIDDEN: usize = 128;
const HEADS: usize = HIDDEN / 64;
const LAYERS: usize = 3;
const INTERMEDIATE: usize = 4 * HIDDEN;
const PATCH: usize = 32;
const IMAGE: usize = 224;
const POSITIONS: usize = (IMAGE / PATCH) * (IMAGE / PATCH) + 1;
const PROJECTION: usize = 64;

/// Writes the checkpoint; the same seed gives the same bytes.
pub fn write(out: &Path, seed: u64) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    publish(out, "config.json", &pretty(&config())?)?;
    publish(out, "preprocessor_config.json", &pretty(&preprocessor())?)?;
    publish(out, "model.safetensors", &weights(seed)?)
}

fn publish(out: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    crate::publish(&out.join(name), bytes)
}

fn pretty(value: &serde_json::Value) -> Result<Vec<u8>> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?).into_bytes())
}

fn config() -> serde_json::Value {
    json!({
        "architectures": ["CLIPVisionModelWithProjection"],
        "model_type": "clip",
        "pipeline_random_weights": true,
        "projection_dim": PROJECTION,
        "logit_scale_init_value": 2.6592,
        "torch_dtype": "float32",
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": HIDDEN,
            "intermediate_size": INTERMEDIATE,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_channels": 3,
            "image_size": IMAGE,
            "patch_size": PATCH,
            "projection_dim": PROJECTION,
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5,
            "attention_dropout": 0.0,
        },
    })
}

fn preprocessor() -> serde_json::Value {
    json!({
        "crop_size": IMAGE,
        "do_center_crop": true,
        "do_normalize": true,
        "do_resize": true,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.481_454_66, 0.457_827_5, 0.408_210_73],
        "image_std": [0.268_629_54, 0.261_302_58, 0.275_777_11],
        "resample": 3,
        "size": IMAGE,
    })
}

/// Tensors under their Hugging Face names; matrices are `[out, in]`.
struct Weights {
    tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
    rng: ChaCha8Rng,
}

impl Weights {
    fn constant(&mut self, name: &str, shape: &[usize], value: f32) {
        let bytes = std::iter::repeat_n(value.to_le_bytes(), shape.iter().product()).flatten().collect();
        self.tensors.insert(name.to_owned(), (shape.to_vec(), bytes));
    }

    fn normal(&mut self, name: &str, shape: &[usize], deviation: f32) {
        let normal = Normal::new(0.0, deviation).expect("the deviation is finite");
        let values = (0..shape.iter().product()).flat_map(|_| normal.sample(&mut self.rng).to_le_bytes());
        self.tensors.insert(name.to_owned(), (shape.to_vec(), values.collect()));
    }

    /// A linear map without bias in effect: `[out, in]` at `gain / sqrt(in)`, bias 0.
    fn linear(&mut self, name: &str, to: usize, from: usize, gain: f32) {
        self.normal(&format!("{name}.weight"), &[to, from], gain / (from as f32).sqrt());
        self.constant(&format!("{name}.bias"), &[to], 0.0);
    }

    fn layer_norm(&mut self, name: &str) {
        self.constant(&format!("{name}.weight"), &[HIDDEN], 1.0);
        self.constant(&format!("{name}.bias"), &[HIDDEN], 0.0);
    }
}

fn weights(seed: u64) -> Result<Vec<u8>> {
    let mut w = Weights { tensors: BTreeMap::new(), rng: ChaCha8Rng::seed_from_u64(seed) };
    let pixels = (3 * PATCH * PATCH) as f32;
    w.normal("vision_model.embeddings.class_embedding", &[HIDDEN], 0.3);
    w.normal("vision_model.embeddings.patch_embedding.weight", &[HIDDEN, 3, PATCH, PATCH], 1.0 / pixels.sqrt());
    w.normal("vision_model.embeddings.position_embedding.weight", &[POSITIONS, HIDDEN], 0.3);
    w.layer_norm("vision_model.pre_layrnorm");
    for layer in 0..LAYERS {
        let name = |part: &str| format!("vision_model.encoder.layers.{layer}.{part}");
        w.layer_norm(&name("layer_norm1"));
        w.linear(&name("self_attn.q_proj"), HIDDEN, HIDDEN, 1.0);
        w.linear(&name("self_attn.k_proj"), HIDDEN, HIDDEN, 1.0);
        w.linear(&name("self_attn.v_proj"), HIDDEN, HIDDEN, 1.5);
        w.linear(&name("self_attn.out_proj"), HIDDEN, HIDDEN, 1.5);
        w.layer_norm(&name("layer_norm2"));
        w.linear(&name("mlp.fc1"), INTERMEDIATE, HIDDEN, 1.0);
        w.linear(&name("mlp.fc2"), HIDDEN, INTERMEDIATE, 0.5);
    }
    w.layer_norm("vision_model.post_layernorm");
    w.normal("visual_projection.weight", &[PROJECTION, HIDDEN], 1.0 / (HIDDEN as f32).sqrt());
    let views: Result<BTreeMap<&String, TensorView>, _> = w
        .tensors
        .iter()
        .map(|(name, (shape, bytes))| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<_, safetensors::SafeTensorError>>();
    let origin = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(safetensors::serialize(views?, Some(origin))?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn the_files_are_those_of_hugging_face_and_the_same_every_time() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(one.path(), 7).unwrap();
        write(two.path(), 7).unwrap();
        for name in ["config.json", "preprocessor_config.json", "model.safetensors"] {
            assert!(fs::read(one.path().join(name)).unwrap() == fs::read(two.path().join(name)).unwrap(), "{name}");
        }
        let bytes = fs::read(one.path().join("model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.len(), 3 + 2 + 16 * LAYERS + 2 + 1);
        let shape = |name: &str| tensors.tensor(name).unwrap().shape().to_vec();
        assert_eq!(shape("vision_model.embeddings.patch_embedding.weight"), [128, 3, 32, 32]);
        assert_eq!(shape("vision_model.embeddings.position_embedding.weight"), [50, 128]);
        assert_eq!(shape("vision_model.encoder.layers.2.mlp.fc1.weight"), [512, 128]);
        assert_eq!(shape("visual_projection.weight"), [64, 128]);
    }
}
