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

/// Raw little-endian f32 values of a committed fixture.
pub(crate) fn floats(name: &str) -> Vec<f32> {
    fs::read(path(name)).unwrap().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
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

/// Writes a folder with a random checkpoint of this `vision_config`, and returns its tensors.
pub(crate) fn random_checkpoint(folder: &Path, vision: &str, projection_dim: usize) -> Tensors {
    let config = format!(
        r#"{{"model_type": "clip", "projection_dim": {projection_dim}, "vision_config": {vision}, "pipeline_random_weights": true}}"#
    );
    let parsed = crate::config::VisionConfig::parse(&config).unwrap();
    let mut seed = 0;
    let tensors = crate::weights::expected(&parsed)
        .into_iter()
        .map(|(name, shape)| {
            let fan_in: usize = shape[1..].iter().product();
            let offset = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
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
    let side = parsed.image_size;
    fs::write(folder.join("preprocessor_config.json"), format!(r#"{{"size": {side}, "crop_size": {side}}}"#)).unwrap();
    save(&tensors, &folder.join("model.safetensors"));
    tensors
}
