//! Rendered pictures as a model sees them: painted at the size of the videos, resized and cropped by the stage's own kernel.

use std::fs;

use anyhow::Result;
use encode_clip::{Checkpoint, Order, Preprocess};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::model::Shape;
use crate::data::{HEIGHT, WIDTH};
use crate::scene::facts::Facts;
use crate::scene::picture::Painter;
use crate::scene::{Clip, SECONDS, Scene};

/// Pictures and what is true of them, sorted by class: as many of each.
pub struct Album {
    /// One per picture.
    pub facts: Vec<Facts>,
    /// `[side][side][3]` bytes per picture.
    pictures: Vec<Vec<u8>>,
    side: usize,
}

/// Mean and standard deviation of each channel, of values 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalisation {
    /// Subtracted.
    pub mean: [f64; 3],
    /// Divided by.
    pub deviation: [f64; 3],
}

/// `preprocessor_config.json`.
pub fn preprocessor_config(side: usize, normalisation: &Normalisation) -> Value {
    json!({
        "crop_size": side,
        "do_center_crop": true,
        "do_normalize": true,
        "do_resize": true,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_processor_type": "CLIPImageProcessor",
        "image_mean": normalisation.mean,
        "image_std": normalisation.deviation,
        "resample": 3,
        "size": side,
    })
}

impl Album {
    /// Renders `places` places of each class, `each` recordings of each, one picture of each recording at some instant.
    pub fn render(shape: &Shape, seed: u64, places: usize, each: usize) -> Result<Album> {
        // The kernel belongs to a checkpoint; of this one, only its configuration is ever read.
        let folder = tempfile::tempdir()?;
        let neutral = Normalisation { mean: [0.0; 3], deviation: [1.0; 3] };
        fs::write(folder.path().join("config.json"), shape.config().to_string())?;
        let preprocessor = preprocessor_config(shape.image, &neutral).to_string();
        fs::write(folder.path().join("preprocessor_config.json"), preprocessor)?;
        fs::write(folder.path().join("model.safetensors"), [])?;
        let checkpoint = Checkpoint::locate(&folder.path().to_string_lossy())?;
        let clips: Vec<Clip> = Scene::ALL
            .into_iter()
            .flat_map(|scene| {
                (0..places).flat_map(move |place| (0..each).map(move |segment| Clip { scene, place, segment }))
            })
            .collect();
        let pictures = clips
            .par_iter()
            .map_init(
                || Preprocess::new(&checkpoint, Order::Hf),
                |preprocess, clip| -> Result<Vec<u8>> {
                    let preprocess = preprocess.as_mut().map_err(|e| anyhow::anyhow!("{e}"))?;
                    let instant = clip.of_clip(seed, "instant").random_range(0.0..SECONDS);
                    let rgb = Painter::new(seed, clip, WIDTH, HEIGHT).paint(instant).to_vec();
                    Ok(preprocess.crop(&contract::Picture { width: WIDTH, height: HEIGHT, rgb })?.to_vec())
                },
            )
            .collect::<Result<_>>()?;
        Ok(Album { facts: clips.iter().map(|clip| Facts::of(seed, clip)).collect(), pictures, side: shape.image })
    }

    /// Pictures of one class.
    pub fn of_each(&self) -> usize {
        self.pictures.len() / Scene::ALL.len()
    }

    /// Mean and standard deviation over all pictures, to three decimals.
    pub fn normalisation(&self) -> Normalisation {
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        let count = (self.pictures.len() * self.side * self.side) as f64;
        let total = |channel: usize, power: i32| -> f64 {
            let values = self.pictures.iter().flat_map(|picture| picture.iter().skip(channel).step_by(3));
            values.map(|&byte| (f64::from(byte) / 255.0).powi(power)).sum::<f64>() / count
        };
        let mean: [f64; 3] = std::array::from_fn(|channel| total(channel, 1));
        let deviation = std::array::from_fn(|channel| rounded((total(channel, 2) - mean[channel].powi(2)).sqrt()));
        Normalisation { mean: mean.map(rounded), deviation }
    }

    /// A picture as patches, as it is.
    pub fn plain(&self, n: usize, shape: &Shape, normalisation: &Normalisation, out: &mut [f32]) {
        self.patches(n, shape, normalisation, |x, y| (x, y), out);
    }

    /// A picture as patches: mirrored or not, moved by some pixels (edges repeat), with a little more grain.
    pub fn varied(
        &self,
        n: usize,
        shape: &Shape,
        normalisation: &Normalisation,
        rng: &mut ChaCha8Rng,
        out: &mut [f32],
    ) {
        const SHIFT: i32 = 5;
        let mirrored = rng.random_bool(0.5);
        let (dx, dy) = (rng.random_range(-SHIFT..=SHIFT), rng.random_range(-SHIFT..=SHIFT));
        let last = self.side as i32 - 1;
        let moved = |x: usize, by: i32| (x as i32 + by).clamp(0, last) as usize;
        let place = |x: usize, y: usize| (moved(if mirrored { self.side - 1 - x } else { x }, dx), moved(y, dy));
        self.patches(n, shape, normalisation, place, out);
        let grain = rng.random_range(0.0..0.06_f32);
        for value in out {
            *value += grain * rng.random_range(-1.7..1.7_f32);
        }
    }

    fn patches(
        &self,
        n: usize,
        shape: &Shape,
        normalisation: &Normalisation,
        place: impl Fn(usize, usize) -> (usize, usize),
        out: &mut [f32],
    ) {
        let (patch, grid) = (shape.patch, shape.image / shape.patch);
        let Normalisation { mean, deviation } = normalisation;
        for (i, out) in out.chunks_exact_mut(shape.patch_len()).enumerate() {
            let (top, left) = (i / grid * patch, i % grid * patch);
            for (k, value) in out.iter_mut().enumerate() {
                let (channel, y, x) = (k / (patch * patch), k / patch % patch, k % patch);
                let (x, y) = place(left + x, top + y);
                let byte = self.pictures[n][(y * self.side + x) * 3 + channel];
                *value = ((f64::from(byte) / 255.0 - mean[channel]) / deviation[channel]) as f32;
            }
        }
    }
}
