//! What the tests of this crate share: the committed fixtures, synthetic pictures and checkpoints.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use contract::Picture;
use safetensors::tensor::{Dtype, TensorView};

/// A committed fixture.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// A committed checkpoint of the crate `clip`, with what transformers makes of it.
pub(crate) fn checkpoint(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../clip/fixtures").join(name)
}

/// Raw little-endian f32 values of a file.
pub(crate) fn floats(file: &Path) -> Vec<f32> {
    fs::read(file).unwrap().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// Evenly spread 32-bit numbers without a generator: the n-th.
pub(crate) fn mix(n: u64) -> u32 {
    let mut h = (n.wrapping_mul(2654435761) & 0xffff_ffff) as u32;
    h ^= h >> 15;
    h = h.wrapping_mul(2246822519);
    h ^ (h >> 13)
}

/// The synthetic picture of `make_resize.py`.
pub(crate) fn noise(width: usize, height: usize, channels: usize) -> Vec<u8> {
    (0..(width * height * channels) as u64).map(|k| (mix(k) >> 24) as u8).collect()
}

/// A picture of gradients with a quarter of noise.
pub(crate) fn gradient(width: usize, height: usize) -> Picture {
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for base in [x * 190 / width, y * 190 / height, 95] {
                let noise = (mix(rgb.len() as u64) >> 24) / 4;
                rgb.push((noise as usize + base) as u8);
            }
        }
    }
    Picture { width, height, rgb }
}

/// The n-th of evenly spread numbers in -0.5..0.5.
pub(crate) fn uniform(n: u64) -> f32 {
    (f64::from(mix(n)) / f64::from(u32::MAX) - 0.5) as f32
}

/// Writes a folder with a random checkpoint of this `vision_config`.
pub(crate) fn random_checkpoint(folder: &Path, vision: &str, projection_dim: usize) {
    let config = format!(
        r#"{{"model_type": "clip", "projection_dim": {projection_dim}, "vision_config": {vision}, "pipeline_random_weights": true}}"#
    );
    let parsed = clip::VisionConfig::parse(&config).unwrap();
    let mut seed = 0;
    let tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = clip::weights::of_image(&parsed)
        .into_iter()
        .map(|(name, shape)| {
            let fan_in: usize = shape[1..].iter().product();
            let offset = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
            let values = (0..shape.iter().product::<usize>()).flat_map(|_| {
                seed += 1;
                (offset + uniform(seed) * 3.0 / (fan_in as f32).sqrt()).to_le_bytes()
            });
            let values = values.collect();
            (name, (shape, values))
        })
        .collect();
    let views =
        tensors.iter().map(|(name, (shape, bytes))| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    fs::write(folder.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    fs::write(folder.join("config.json"), config).unwrap();
    let side = parsed.image_size;
    fs::write(folder.join("preprocessor_config.json"), format!(r#"{{"size": {side}, "crop_size": {side}}}"#)).unwrap();
}
