//! The knobs of training that every trained stage has in its table, and what they resolve to.

use serde::{Deserialize, Serialize};

use crate::inputs::{Form, Inputs, MaskLimit, Masks};
use crate::schedule::Schedule;

/// How to train, as written. The stages have these fields in their tables of `pipeline.toml`.
///
/// Defaults are the reference example's, but for those that say otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// The corrected form (default), or the reference's: see [`Form`].
    pub form: Form,
    /// Passes over the training clips at most. Default 60: the reference's 500 are 67,500 steps, made for a machine with
    /// GPUs; the learning rate has halved three times by then with TAU 2021's 135 steps an epoch.
    pub epochs: usize,
    /// Clips per step. Default 32 where the reference has 64: the activations of a batch of ResNet-50 are the largest part of its memory.
    pub batch_size: usize,
    /// Learning rate at the end of the warm-up. 3e-4.
    pub learning_rate: f64,
    /// Steps of the linear warm-up. 2000. In the corrected form at most a tenth of the run: a data set of a few hundred
    /// clips would otherwise never leave the warm-up.
    pub warm_steps: u64,
    /// Steps between two decays of the learning rate (`lr_dec_per_step`); 0: none. 2000.
    pub decay_steps: u64,
    /// Factor of a decay, in (0, 1]. 0.8; the reference's 0.95 below a rate of 1e-6 always applies.
    pub decay: f64,
    /// `alpha` of mixup's Beta(alpha, alpha); 0: no mixup. 0.5.
    pub mixup_alpha: f64,
    /// Frames of a clip: exactly so many in the reference form, at most in the corrected one. 501.
    pub frames: usize,
    /// Frames of a training crop. 480; in the corrected form never longer than the longest training clip.
    pub crop: usize,
    /// Most masks in time. The reference's config has 5 and its code never reads it, nor the other three: by default
    /// masks are adaptive ([`Masks::Adaptive`]). Set two or four of these for [`Masks::UpTo`], corrected form only.
    pub max_time_mask: Option<usize>,
    /// Widest mask in time, frames.
    pub max_time_mask_width: Option<usize>,
    /// Most masks in frequency.
    pub max_freq_mask: Option<usize>,
    /// Widest mask in frequency, bands.
    pub max_freq_mask_width: Option<usize>,
    /// Draw the classes in turn instead of every clip once. Off.
    pub balanced_sampling: bool,
    /// What the kept weights are best at.
    pub select_by: SelectBy,
    /// End after so many selections without a better one; 0: never. Default 0.
    pub patience: usize,
    /// Steps between two selections; 0: one at the end of every epoch. Default 0 where the reference has 500: at an epoch's end the curves
    /// of runs with other batch sizes can be compared.
    pub checkpoint_step: u64,
    /// Of everything that is drawn: order, crops, masks, mixup, dropout, and the weights that nothing is loaded into.
    pub seed: u64,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            form: Form::Corrected,
            epochs: 60,
            batch_size: 32,
            learning_rate: 3e-4,
            warm_steps: 2000,
            decay_steps: 2000,
            decay: 0.8,
            mixup_alpha: 0.5,
            frames: 501,
            crop: 480,
            max_time_mask: None,
            max_time_mask_width: None,
            max_freq_mask: None,
            max_freq_mask_width: None,
            balanced_sampling: false,
            select_by: SelectBy::LogLoss,
            patience: 0,
            checkpoint_step: 0,
            seed: 0,
        }
    }
}

/// By what the kept weights are chosen among the selections of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelectBy {
    /// The smallest log loss: the challenge ranks by it.
    #[default]
    LogLoss,
    /// The largest accuracy, as the reference.
    Accuracy,
    /// No choice: the last weights.
    Last,
}

/// How to train, after validation: exactly what can change the values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Form, lengths and masks.
    pub inputs: Inputs,
    /// As [`Params::epochs`].
    pub epochs: usize,
    /// As [`Params::batch_size`].
    pub batch_size: usize,
    /// Learning rate; the warm-up as written.
    pub schedule: Schedule,
    /// As [`Params::mixup_alpha`].
    pub mixup_alpha: f64,
    /// As [`Params::balanced_sampling`].
    pub balanced_sampling: bool,
    /// As [`Params::select_by`].
    pub select_by: SelectBy,
    /// As [`Params::patience`].
    pub patience: usize,
    /// As [`Params::checkpoint_step`].
    pub checkpoint_step: u64,
    /// As [`Params::seed`].
    pub seed: u64,
}

/// A knob of training that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ParamsError {
    /// A value out of its range.
    #[error("{field} = {value}: must be {range}")]
    Range {
        /// Name of the field.
        field: &'static str,
        /// What was written.
        value: String,
        /// What it must be.
        range: &'static str,
    },
    /// A crop that no clip could give.
    #[error("crop = {crop}: must not be longer than frames = {frames}")]
    Crop {
        /// What was written.
        crop: usize,
        /// Frames of a clip.
        frames: usize,
    },
    /// One number of a pair.
    #[error("{given} is set but not {missing}: set both, or neither for the adaptive masks")]
    HalfAMask {
        /// The one that is set.
        given: &'static str,
        /// The other one.
        missing: &'static str,
    },
    /// Masks that the reference form would not heed.
    #[error(
        "{0} has no effect with form = \"reference\", whose code never reads it: remove it, or use form = \"corrected\""
    )]
    MaskInReference(&'static str),
}

impl Params {
    /// Validates the knobs.
    pub fn resolve(&self) -> Result<Spec, ParamsError> {
        let positive = "a number greater than 0";
        range("epochs", self.epochs, self.epochs >= 1, "at least 1")?;
        range("batch_size", self.batch_size, self.batch_size >= 2, "at least 2 (statistics of one clip are none)")?;
        let rate = self.learning_rate;
        range("learning_rate", rate, rate.is_finite() && rate > 0.0, positive)?;
        range("decay", self.decay, self.decay > 0.0 && self.decay <= 1.0, "in (0, 1]")?;
        let alpha = self.mixup_alpha;
        range("mixup_alpha", alpha, alpha.is_finite() && alpha >= 0.0, "0 (no mixup) or greater")?;
        range("frames", self.frames, self.frames >= 1, "at least 1")?;
        range("crop", self.crop, self.crop >= 1, "at least 1")?;
        if self.crop > self.frames {
            return Err(ParamsError::Crop { crop: self.crop, frames: self.frames });
        }
        Ok(Spec {
            inputs: Inputs { form: self.form, frames: self.frames, crop: self.crop, masks: self.masks()? },
            epochs: self.epochs,
            batch_size: self.batch_size,
            schedule: Schedule {
                peak: rate,
                warm_steps: self.warm_steps,
                decay_steps: self.decay_steps,
                decay: self.decay,
            },
            mixup_alpha: alpha,
            balanced_sampling: self.balanced_sampling,
            select_by: self.select_by,
            patience: self.patience,
            checkpoint_step: self.checkpoint_step,
            seed: self.seed,
        })
    }

    fn masks(&self) -> Result<Masks, ParamsError> {
        let time = pair(("max_time_mask", self.max_time_mask), ("max_time_mask_width", self.max_time_mask_width))?;
        let frequency = pair(("max_freq_mask", self.max_freq_mask), ("max_freq_mask_width", self.max_freq_mask_width))?;
        if self.form == Form::Reference {
            if time.is_some() {
                return Err(ParamsError::MaskInReference("max_time_mask"));
            }
            if frequency.is_some() {
                return Err(ParamsError::MaskInReference("max_freq_mask"));
            }
        }
        let none = MaskLimit { number: 0, width: 0 };
        Ok(match (time, frequency) {
            (None, None) => Masks::Adaptive,
            (time, frequency) => Masks::UpTo { time: time.unwrap_or(none), frequency: frequency.unwrap_or(none) },
        })
    }
}

fn range(
    field: &'static str,
    value: impl std::fmt::Display,
    fits: bool,
    range: &'static str,
) -> Result<(), ParamsError> {
    if fits { Ok(()) } else { Err(ParamsError::Range { field, value: value.to_string(), range }) }
}

type Named = (&'static str, Option<usize>);

fn pair(number: Named, width: Named) -> Result<Option<MaskLimit>, ParamsError> {
    match (number, width) {
        ((_, Some(number)), (_, Some(width))) => Ok(Some(MaskLimit { number, width })),
        ((_, None), (_, None)) => Ok(None),
        ((given, Some(_)), (missing, None)) | ((missing, None), (given, Some(_))) => {
            Err(ParamsError::HalfAMask { given, missing })
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_wrong_value_is_named() {
        let with = |change: fn(&mut Params)| {
            let mut params = Params::default();
            change(&mut params);
            params.resolve().unwrap_err().to_string()
        };
        for (text, field) in [
            (with(|p| p.epochs = 0), "epochs = 0"),
            (with(|p| p.batch_size = 1), "batch_size = 1"),
            (with(|p| p.learning_rate = f64::NAN), "learning_rate = NaN"),
            (with(|p| p.decay = 1.5), "decay = 1.5"),
            (with(|p| p.mixup_alpha = -0.5), "mixup_alpha = -0.5"),
            (with(|p| p.frames = 0), "frames = 0"),
            (with(|p| p.crop = 0), "crop = 0"),
            (with(|p| p.crop = 502), "crop = 502"),
            (with(|p| p.max_time_mask = Some(5)), "max_time_mask is set but not max_time_mask_width"),
            (with(|p| p.max_freq_mask_width = Some(5)), "max_freq_mask_width is set but not max_freq_mask"),
        ] {
            assert!(text.contains(field), "{text}");
        }
    }

    #[test]
    fn the_four_numbers_count_in_the_corrected_form_only() {
        let mut params = Params {
            max_time_mask: Some(5),
            max_time_mask_width: Some(60),
            max_freq_mask: Some(4),
            max_freq_mask_width: Some(50),
            ..Params::default()
        };
        let time = MaskLimit { number: 5, width: 60 };
        let frequency = MaskLimit { number: 4, width: 50 };
        assert_eq!(params.resolve().unwrap().inputs.masks, Masks::UpTo { time, frequency });
        params.form = Form::Reference;
        assert!(params.resolve().unwrap_err().to_string().contains("never reads"));
    }
}
