//! What the tests of this crate share: the committed fixtures, random checkpoints, and the towers' blocks from their definition in f64.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};

use crate::config::{Activation, Stack, TextConfig, VisionConfig};
use crate::weights;

/// A committed fixture.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// Raw little-endian f32 values of a committed fixture.
pub(crate) fn floats(name: &str) -> Vec<f32> {
    fs::read(path(name)).unwrap().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// The n-th of evenly spread numbers in -0.5..0.5.
pub(crate) fn uniform(n: u64) -> f32 {
    let mut h = (n.wrapping_mul(2654435761) & 0xffff_ffff) as u32;
    h ^= h >> 15;
    h = h.wrapping_mul(2246822519);
    h ^= h >> 13;
    (f64::from(h) / f64::from(u32::MAX) - 0.5) as f32
}

/// A copy of a committed folder, to be damaged.
pub(crate) fn copy_of(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(path(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

/// The largest difference divided by the largest value.
pub(crate) fn relative_error(found: &[f32], wanted: &[f32]) -> f32 {
    let largest = wanted.iter().fold(0f32, |a, v| a.max(v.abs()));
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).fold(0f32, |a, (f, w)| a.max((f - w).abs())) / largest
}

/// Tensors by name, for a safetensors file.
pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Writes a safetensors file in f32.
pub(crate) fn save(tensors: &Tensors, file: &Path) {
    let bytes: BTreeMap<&String, Vec<u8>> = tensors
        .iter()
        .map(|(name, (_, values))| (name, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = tensors
        .iter()
        .map(|(name, (shape, _))| (name, TensorView::new(Dtype::F32, shape.clone(), &bytes[name]).unwrap()));
    fs::write(file, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Small towers: a rest of two pixels beside the patches, and fewer positions than a multiple of eight.
pub(crate) const VISION: &str = r#"{"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 14, "patch_size": 4}"#;
pub(crate) const TEXT: &str = r#"{"vocab_size": 50, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3, "max_position_embeddings": 21, "eos_token_id": 7}"#;

/// Writes a folder with a random full checkpoint of these configurations (no tokenizer), and returns its tensors.
pub(crate) fn random_checkpoint(folder: &Path, vision: &str, text: &str, projection_dim: usize) -> Tensors {
    let config = format!(
        r#"{{"model_type": "clip", "projection_dim": {projection_dim}, "vision_config": {vision}, "text_config": {text}, "pipeline_random_weights": true}}"#
    );
    let mut shapes = weights::of_image(&VisionConfig::parse(&config).unwrap());
    shapes.extend(weights::of_text(&TextConfig::parse(&config).unwrap().unwrap()));
    let mut seed = 0;
    let tensors = shapes
        .into_iter()
        .map(|(name, shape)| {
            let fan_in: usize = shape.iter().skip(1).product();
            let offset = if name.contains("norm") && name.ends_with("weight") || shape.is_empty() { 1.0 } else { 0.0 };
            let values = (0..shape.iter().product::<usize>())
                .map(|_| {
                    seed += 1;
                    offset + uniform(seed) * 3.0 / (fan_in as f32).sqrt()
                })
                .collect();
            (name, (shape, values))
        })
        .collect();
    fs::write(folder.join("config.json"), config).unwrap();
    save(&tensors, &folder.join("model.safetensors"));
    tensors
}

/// A tower from its definition: f64, one value at a time, on the tensors by their names in the checkpoint.
pub(crate) struct Twin<'a> {
    pub(crate) tensors: &'a Tensors,
    pub(crate) stack: Stack,
}

impl Twin<'_> {
    pub(crate) fn get(&self, name: &str) -> Vec<f64> {
        self.tensors[name].1.iter().map(|v| f64::from(*v)).collect()
    }

    /// The product with a matrix `[out, in]`.
    pub(crate) fn product(&self, name: &str, x: &[f64]) -> Vec<f64> {
        self.get(name).chunks(x.len()).map(|row| dot(row, x)).collect()
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let bias = self.get(&format!("{name}.bias"));
        self.product(&format!("{name}.weight"), x).iter().zip(bias).map(|(v, b)| v + b).collect()
    }

    pub(crate) fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let scale = (variance + self.stack.eps).sqrt();
        let (weight, bias) = (self.get(&format!("{name}.weight")), self.get(&format!("{name}.bias")));
        x.iter().zip(weight.iter().zip(bias)).map(|(v, (w, b))| (v - mean) / scale * w + b).collect()
    }

    /// All blocks of `tower`, in place. `causal`: no token sees a later one.
    pub(crate) fn blocks(&self, tower: &str, tokens: &mut [Vec<f64>], causal: bool) {
        assert_eq!(self.stack.activation, Activation::QuickGelu);
        for layer in 0..self.stack.layers {
            let name = |part: &str| format!("{tower}.encoder.layers.{layer}.{part}");
            let normed: Vec<Vec<f64>> = tokens.iter().map(|t| self.norm(&name("layer_norm1"), t)).collect();
            let project =
                |part: &str| -> Vec<Vec<f64>> { normed.iter().map(|t| self.linear(&name(part), t)).collect() };
            let (q, k, v) = (project("self_attn.q_proj"), project("self_attn.k_proj"), project("self_attn.v_proj"));
            let head = self.stack.head_dim();
            for (t, token) in tokens.iter_mut().enumerate() {
                let seen = if causal { t + 1 } else { k.len() };
                let mut mixed = vec![0.0; self.stack.width];
                for h in (0..self.stack.heads).map(|h| h * head..(h + 1) * head) {
                    let scores: Vec<f64> = k[..seen]
                        .iter()
                        .map(|k| (dot(&q[t][h.clone()], &k[h.clone()]) / (head as f64).sqrt()).exp())
                        .collect();
                    let sum: f64 = scores.iter().sum();
                    for (score, v) in scores.iter().zip(&v) {
                        mixed[h.clone()].iter_mut().zip(&v[h.clone()]).for_each(|(m, v)| *m += score / sum * v);
                    }
                }
                add(token, &self.linear(&name("self_attn.out_proj"), &mixed));
                let middle = self.linear(&name("mlp.fc1"), &self.norm(&name("layer_norm2"), token));
                let middle: Vec<f64> = middle.iter().map(|x| x / (1.0 + (-1.702 * x).exp())).collect();
                add(token, &self.linear(&name("mlp.fc2"), &middle));
            }
        }
    }
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

pub(crate) fn add(a: &mut [f64], b: &[f64]) {
    a.iter_mut().zip(b).for_each(|(x, y)| *x += y);
}
