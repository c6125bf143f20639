//! Batches of training: read, augmented and mixed, ahead of the step that needs them.

use candle_core::{Device, Result as TensorResult, Tensor};
use rayon::prelude::*;

use crate::mixup::Mix;
use crate::network::Batch;
use crate::seed::{Purpose, rng};
use crate::survey::{Shape, checked_example};
use crate::{Error, Inputs, Source, Spec};

/// A batch of training in plain memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prepared {
    pub(crate) size: usize,
    /// `[size][crop][n_mels]`.
    pub(crate) log_mel: Vec<f32>,
    /// `[size][image width]`; empty for a network that only hears.
    pub(crate) image: Vec<f32>,
    /// `[size][classes]`, rows sum to 1.
    pub(crate) targets: Vec<f32>,
}

/// Everything that a batch is a function of, but for its place.
pub(crate) struct Recipe<'a> {
    pub(crate) shape: Shape,
    pub(crate) source: &'a dyn Source,
    pub(crate) train: &'a [usize],
    pub(crate) spec: &'a Spec,
    /// As in the specification, the crop shortened to the longest clip.
    pub(crate) inputs: Inputs,
    pub(crate) band_means: &'a [f32],
}

impl Recipe<'_> {
    /// Batch `step` of `epoch`, whose clips are `order` (positions in the list of training clips).
    pub(crate) fn prepare(&self, epoch: usize, step: usize, order: &[usize]) -> Result<Prepared, Error> {
        let (seed, place) = (self.spec.seed, epoch as u64);
        let size = self.spec.batch_size.min(order.len());
        let first = step * size;
        let clips: Vec<(Vec<f32>, Vec<f32>, usize)> = order[first..first + size]
            .par_iter()
            .enumerate()
            .map(|(slot, position)| {
                let index = self.train[*position];
                let example = checked_example(&self.shape, self.source, index)?;
                let mut rng = rng(seed, Purpose::Augment, &[place, (first + slot) as u64]);
                let heard = self.inputs.training(&example.log_mel, self.band_means, &mut rng);
                let class = self.source.class(index).filter(|class| *class < self.shape.classes);
                let class = class.ok_or_else(|| Error::NoClass {
                    id: self.source.id(index).to_owned(),
                    part: "training",
                    classes: self.shape.classes,
                })?;
                let seen = example.image.filter(|_| self.shape.image_width.is_some()).unwrap_or_default();
                Ok((heard, seen, class))
            })
            .collect::<Result<_, Error>>()?;

        let mut targets = vec![0.0; size * self.shape.classes];
        for (row, (_, _, class)) in clips.iter().enumerate() {
            targets[row * self.shape.classes + class] = 1.0;
        }
        let log_mel: Vec<f32> = clips.iter().flat_map(|(heard, _, _)| heard.iter().copied()).collect();
        let image: Vec<f32> = clips.iter().flat_map(|(_, seen, _)| seen.iter().copied()).collect();
        let plain = Prepared { size, log_mel, image, targets };
        if self.spec.mixup_alpha == 0.0 {
            return Ok(plain);
        }
        let mix = Mix::draw(self.spec.mixup_alpha, size, &mut rng(seed, Purpose::Mixup, &[place, step as u64]));
        Ok(Prepared {
            size,
            log_mel: mix.apply(&plain.log_mel, plain.log_mel.len() / size),
            image: mix.apply(&plain.image, plain.image.len() / size),
            targets: mix.apply(&plain.targets, self.shape.classes),
        })
    }
}

impl Prepared {
    /// As tensors: what the network takes, and the targets `[size, classes]`.
    pub(crate) fn tensors(self, shape: Shape) -> TensorResult<(Batch, Tensor)> {
        let targets = Tensor::from_vec(self.targets, (self.size, shape.classes), &Device::Cpu)?;
        Ok((batch(self.log_mel, self.image, self.size, shape)?, targets))
    }
}

/// `size` rows as a network takes them.
pub(crate) fn batch(log_mel: Vec<f32>, image: Vec<f32>, size: usize, shape: Shape) -> TensorResult<Batch> {
    let frames = log_mel.len() / size / shape.n_mels;
    let log_mel = Tensor::from_vec(log_mel, (size, frames, shape.n_mels), &Device::Cpu)?;
    let image = match shape.image_width {
        Some(width) => Some(Tensor::from_vec(image, (size, width), &Device::Cpu)?),
        None => None,
    };
    Ok(Batch { log_mel, image })
}
