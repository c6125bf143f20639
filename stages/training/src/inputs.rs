//! From a clip's log-mel to what the network hears: length, crop, block permutation and masks.
//!
//! Two forms ([`Form`]). The *reference* form repeats the reference example, with what it got wrong:
//! every clip is padded by `(frames - T) / 2 + 1` frames of 0 dB on both sides and then cut to `frames`, so that even a
//! full clip gains a loud first frame and loses its last one; masks are filled with 0 dB too, which is louder than almost
//! any sound. The *corrected* form (the default) pads only where a clip is too short, by exactly what is missing, and
//! fills padding and masks with each band's mean over the training clips: what the network's first normalisation turns
//! into zero (PANNs masks after that normalisation, with 0, to the same effect).
//!
//! | | reference | corrected |
//! |---|---|---|
//! | prediction | padded with the quirk, cut to `frames` | the clip as it is; a longer one: its central `frames` |
//! | training | the same, then a random crop of `crop` | a random crop of `crop`; a shorter clip centred in `crop` |
//! | fill | 0 dB | mean of the band over the training clips |
//! | masks | adaptive | adaptive, or drawn up to configured numbers |
//!
//! *Adaptive* masks: a level is drawn from {0.2, 0.1, 0}; it gives `10 * level` masks in time, `T * level / 2` frames wide,
//! and as many in frequency, `n_mels * level / 2` bands wide.

use rand::Rng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use serde::{Deserialize, Serialize};

/// Whether training repeats the reference example or does right what it got wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Exact length, fill with the mean of the band, the masks that are configured.
    #[default]
    Corrected,
    /// As the reference example does it; for a published number.
    Reference,
}

/// How clips become inputs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// Reference or corrected.
    pub form: Form,
    /// Frames of a clip: exactly so many (reference), or at most (corrected). 501 in the reference: 10 s.
    pub frames: usize,
    /// Frames of a training crop, at most `frames`. 480 in the reference.
    pub crop: usize,
    /// The masks.
    pub masks: Masks,
}

/// Which parts of a training clip are hidden.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Masks {
    /// Number and width by a level drawn per clip, see the module's documentation.
    Adaptive,
    /// SpecAugment as published: 0 to `number` masks of 0 to `width` frames or bands, all drawn uniformly.
    UpTo {
        /// In time.
        time: MaskLimit,
        /// In frequency.
        frequency: MaskLimit,
    },
}

/// Upper ends of what is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskLimit {
    /// Most masks.
    pub number: usize,
    /// Widest mask, in frames or bands.
    pub width: usize,
}

/// Numbers of blocks that a clip is cut into and shuffled, each as likely: 0 leaves it alone.
const BLOCKS: [usize; 3] = [0, 2, 3];
/// Strengths of the adaptive masks, each as likely.
const LEVELS: [f64; 3] = [0.2, 0.1, 0.0];

impl Inputs {
    /// What the network hears of a clip when it is to be classified: `log_mel` `[T][n_mels]` in dB -> `[T'][n_mels]`.
    pub fn evaluation(&self, log_mel: &[f32], n_mels: usize) -> Vec<f32> {
        match self.form {
            Form::Reference => pad_as_the_reference(log_mel, n_mels, self.frames),
            Form::Corrected => {
                let frames = log_mel.len() / n_mels;
                let kept = frames.min(self.frames);
                log_mel[(frames - kept) / 2 * n_mels..][..kept * n_mels].to_vec()
            }
        }
    }

    /// What the network hears of a clip in training: `[T][n_mels]` -> `[crop][n_mels]`. `fill`: a value per band.
    pub fn training(&self, log_mel: &[f32], fill: &[f32], rng: &mut impl Rng) -> Vec<f32> {
        let n_mels = fill.len();
        let padded = match self.form {
            Form::Reference => pad_as_the_reference(log_mel, n_mels, self.frames),
            Form::Corrected => pad_to(log_mel, fill, self.crop),
        };
        let start = rng.random_range(0..=padded.len() / n_mels - self.crop);
        let mut x = padded[start * n_mels..][..self.crop * n_mels].to_vec();
        if let Some(blocks) = BLOCKS.choose(rng).filter(|blocks| **blocks > 0) {
            x = permuted(&x, n_mels, *blocks, rng);
        }
        let silence = match self.form {
            Form::Reference => &vec![0.0; n_mels],
            Form::Corrected => fill,
        };
        mask(&mut x, silence, self.masks, rng);
        x
    }
}

/// The reference's padding: `(frames - T) / 2 + 1` frames of 0 dB on both sides of a clip that is not longer than
/// `frames`, then the first `frames`.
fn pad_as_the_reference(log_mel: &[f32], n_mels: usize, frames: usize) -> Vec<f32> {
    let have = log_mel.len() / n_mels;
    let mut x = Vec::with_capacity((have.max(frames) + 2) * n_mels);
    if have <= frames {
        let side = ((frames - have) / 2 + 1) * n_mels;
        x.resize(side, 0.0);
        x.extend_from_slice(log_mel);
        x.resize(x.len() + side, 0.0);
    } else {
        x.extend_from_slice(log_mel);
    }
    x.truncate(frames * n_mels);
    x
}

/// A clip that is shorter than `frames`, in the middle of so many; a longer one as it is.
fn pad_to(log_mel: &[f32], fill: &[f32], frames: usize) -> Vec<f32> {
    let have = log_mel.len() / fill.len();
    let missing = frames.saturating_sub(have);
    let mut x = fill.repeat(missing / 2);
    x.extend_from_slice(log_mel);
    x.extend(fill.repeat(missing - missing / 2));
    x
}

/// Cuts the clip into blocks of `T / blocks + 1` frames (the last one is what is left) and joins them in another order.
fn permuted(x: &[f32], n_mels: usize, blocks: usize, rng: &mut impl Rng) -> Vec<f32> {
    let width = x.len() / n_mels / blocks + 1;
    let mut parts: Vec<&[f32]> = x.chunks(width * n_mels).collect();
    parts.shuffle(rng);
    parts.concat()
}

fn mask(x: &mut [f32], fill: &[f32], masks: Masks, rng: &mut impl Rng) {
    let n_mels = fill.len();
    let frames = x.len() / n_mels;
    match masks {
        Masks::Adaptive => {
            let level = LEVELS.choose(rng).copied().unwrap_or(0.0);
            let number = (10.0 * level) as usize;
            for _ in 0..number {
                let width = (frames as f64 * level * 0.5) as usize;
                mask_time(x, fill, rng.random_range(0..frames - width), width);
            }
            for _ in 0..number {
                let width = (n_mels as f64 * level * 0.5) as usize;
                mask_frequency(x, fill, rng.random_range(0..n_mels - width), width);
            }
        }
        Masks::UpTo { time, frequency } => {
            for _ in 0..rng.random_range(0..=time.number) {
                let width = rng.random_range(0..=time.width.min(frames));
                mask_time(x, fill, rng.random_range(0..=frames - width), width);
            }
            for _ in 0..rng.random_range(0..=frequency.number) {
                let width = rng.random_range(0..=frequency.width.min(n_mels));
                mask_frequency(x, fill, rng.random_range(0..=n_mels - width), width);
            }
        }
    }
}

fn mask_time(x: &mut [f32], fill: &[f32], start: usize, width: usize) {
    for frame in x.chunks_exact_mut(fill.len()).skip(start).take(width) {
        frame.copy_from_slice(fill);
    }
}

fn mask_frequency(x: &mut [f32], fill: &[f32], start: usize, width: usize) {
    for frame in x.chunks_exact_mut(fill.len()) {
        frame[start..start + width].copy_from_slice(&fill[start..start + width]);
    }
}

#[cfg(test)]
#[path = "tests/inputs.rs"]
mod tests;
