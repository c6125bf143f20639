//! The table `[audio-visual]` of pipeline.toml as written, and what it resolves to.

use std::path::PathBuf;
use std::time::Duration;

use networks::{Architecture, Dropout};
use serde::{Deserialize, Serialize};
use training::{Form, SelectBy};

use crate::Frame;

/// The table `[audio-visual]`. What is documented by a name in `training::Params` is explained there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// The half that hears: `resnet18`, `resnet34`, `resnet50` (the reference's) or EfficientAT's `mn04` to `mn40`. Must be
    /// the network of `[audio]` with `pretrained = "audio"`.
    pub network: Architecture,
    /// Where the half that hears starts: `"audio"` (default) the trained model of the stage `audio`; a file of weights as in
    /// `[audio]`; or empty: at random. The reference starts both of its networks from AudioSet weights.
    pub pretrained: Pretrained,
    /// Train the last layer alone, on top of the half that hears as it is. Needs `pretrained`. Off in the reference.
    pub freeze_audio: bool,
    /// Which picture of a clip is seen: a number counted from 1 (5: the reference's `-05`), or `"mean"` for the mean of all
    /// pictures' embeddings.
    pub frame: Frame,
    /// Divide each picture's embedding by its length first. Off in the reference.
    pub normalize: bool,
    /// Share of the image vector's numbers that is dropped in training. 0 in the reference.
    pub image_dropout: f32,
    /// `corrected` (default) or `reference`: see [`training::Form`].
    pub form: Form,
    /// `training::Params::epochs`.
    pub epochs: usize,
    /// `training::Params::batch_size`.
    pub batch_size: usize,
    /// `training::Params::learning_rate`.
    pub learning_rate: f64,
    /// `training::Params::warm_steps`.
    pub warm_steps: u64,
    /// `training::Params::decay_steps`.
    pub decay_steps: u64,
    /// `training::Params::decay`.
    pub decay: f64,
    /// `training::Params::mixup_alpha`.
    pub mixup_alpha: f64,
    /// `training::Params::frames`.
    pub frames: usize,
    /// `training::Params::crop`.
    pub crop: usize,
    /// `training::Params::max_time_mask`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_time_mask: Option<usize>,
    /// `training::Params::max_time_mask_width`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_time_mask_width: Option<usize>,
    /// `training::Params::max_freq_mask`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_freq_mask: Option<usize>,
    /// `training::Params::max_freq_mask_width`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_freq_mask_width: Option<usize>,
    /// ResNet: share of the channels dropped after each layer and of the pooled feature (the reference's `dropout: 0.20`;
    /// its 0.5 before the last layer stays). `mn`: share dropped before the last layer.
    pub dropout: f32,
    /// `training::Params::balanced_sampling`.
    pub balanced_sampling: bool,
    /// `training::Params::select_by`.
    pub select_by: SelectBy,
    /// The split that the model is selected by.
    pub select_on: SelectOn,
    /// `training::Params::patience`.
    pub patience: usize,
    /// `training::Params::checkpoint_step`.
    pub checkpoint_step: u64,
    /// Seconds between two checkpoints: what a kill can cost. Changes no value.
    pub checkpoint_every: f64,
    /// `training::Params::seed`.
    pub seed: u64,
}

/// Where the half that hears starts. In TOML and JSON a string: `"audio"`, `""`, or a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "PathBuf", into = "PathBuf")]
pub enum Pretrained {
    /// The trained model of the stage `audio`. (A file of that name is `./audio`.)
    Audio,
    /// A file of weights.
    File(PathBuf),
    /// At random.
    Nothing,
}

impl From<PathBuf> for Pretrained {
    fn from(path: PathBuf) -> Pretrained {
        match path.to_str() {
            Some("audio") => Pretrained::Audio,
            Some("") => Pretrained::Nothing,
            _ => Pretrained::File(path),
        }
    }
}

impl From<Pretrained> for PathBuf {
    fn from(pretrained: Pretrained) -> PathBuf {
        match pretrained {
            Pretrained::Audio => PathBuf::from("audio"),
            Pretrained::Nothing => PathBuf::new(),
            Pretrained::File(path) => path,
        }
    }
}

/// The split that the weights of a run are chosen by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelectOn {
    /// The validation part: the figure on `test` then is honest.
    #[default]
    Val,
    /// The test part, as the reference did for its published numbers: the figure on `test` is then the best of many looks at
    /// it. Only to repeat those numbers.
    Test,
}

impl Default for Params {
    fn default() -> Self {
        let shared = training::Params::default();
        Params {
            network: Architecture::ResNet50,
            pretrained: Pretrained::Audio,
            freeze_audio: false,
            frame: Frame::Number(5),
            normalize: false,
            image_dropout: 0.0,
            form: shared.form,
            epochs: shared.epochs,
            batch_size: shared.batch_size,
            learning_rate: shared.learning_rate,
            warm_steps: shared.warm_steps,
            decay_steps: shared.decay_steps,
            decay: shared.decay,
            mixup_alpha: shared.mixup_alpha,
            frames: shared.frames,
            crop: shared.crop,
            max_time_mask: None,
            max_time_mask_width: None,
            max_freq_mask: None,
            max_freq_mask_width: None,
            dropout: 0.2,
            balanced_sampling: shared.balanced_sampling,
            select_by: shared.select_by,
            select_on: SelectOn::Val,
            patience: shared.patience,
            checkpoint_step: shared.checkpoint_step,
            checkpoint_every: 300.0,
            seed: shared.seed,
        }
    }
}

/// The table after validation: what can change the values, but for the content of `pretrained`, whose digest is a fact of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// As [`Params::network`].
    pub network: Architecture,
    /// As [`Params::freeze_audio`].
    pub freeze_audio: bool,
    /// As [`Params::frame`].
    pub frame: Frame,
    /// As [`Params::normalize`].
    pub normalize: bool,
    /// As [`Params::image_dropout`].
    pub image_dropout: f32,
    /// Dropout of the network.
    pub dropout: Dropout,
    /// As [`Params::select_on`].
    pub select_on: SelectOn,
    /// How to train.
    pub training: training::Spec,
}

/// What is wrong with the table `[audio-visual]`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ParamsError {
    /// One of the knobs of training.
    #[error(transparent)]
    Training(#[from] training::ParamsError),
    /// A dropout that is no share.
    #[error("{field} = {value}: must be at least 0 and less than 1")]
    Dropout {
        /// Name of the field.
        field: &'static str,
        /// What was written.
        value: f32,
    },
    /// `checkpoint_every` is no time.
    #[error("checkpoint_every = {0}: must be a number of seconds, at least 0")]
    CheckpointEvery(f64),
    /// A frozen half without weights.
    #[error("freeze_audio = true needs weights worth listening to: set pretrained = \"audio\" or name a file")]
    FrozenAtRandom,
}

impl Params {
    /// Validates the table.
    pub fn resolve(&self) -> Result<Spec, ParamsError> {
        let dropout = dropout(self.network, self.dropout)?;
        if !(0.0..1.0).contains(&self.image_dropout) {
            return Err(ParamsError::Dropout { field: "image_dropout", value: self.image_dropout });
        }
        self.checkpoint_interval()?;
        if self.freeze_audio && self.pretrained == Pretrained::Nothing {
            return Err(ParamsError::FrozenAtRandom);
        }
        let training = training::Params {
            form: self.form,
            epochs: self.epochs,
            batch_size: self.batch_size,
            learning_rate: self.learning_rate,
            warm_steps: self.warm_steps,
            decay_steps: self.decay_steps,
            decay: self.decay,
            mixup_alpha: self.mixup_alpha,
            frames: self.frames,
            crop: self.crop,
            max_time_mask: self.max_time_mask,
            max_time_mask_width: self.max_time_mask_width,
            max_freq_mask: self.max_freq_mask,
            max_freq_mask_width: self.max_freq_mask_width,
            balanced_sampling: self.balanced_sampling,
            select_by: self.select_by,
            patience: self.patience,
            checkpoint_step: self.checkpoint_step,
            seed: self.seed,
        };
        Ok(Spec {
            network: self.network,
            freeze_audio: self.freeze_audio,
            frame: self.frame,
            normalize: self.normalize,
            image_dropout: self.image_dropout,
            dropout,
            select_on: self.select_on,
            training: training.resolve()?,
        })
    }

    /// Time between two checkpoints. Not part of [`Spec`]: it changes no value.
    pub fn checkpoint_interval(&self) -> Result<Duration, ParamsError> {
        Duration::try_from_secs_f64(self.checkpoint_every)
            .map_err(|_| ParamsError::CheckpointEvery(self.checkpoint_every))
    }
}

/// The dropout of a network, from the one share that is a knob.
fn dropout(network: Architecture, share: f32) -> Result<Dropout, ParamsError> {
    if !(0.0..1.0).contains(&share) {
        return Err(ParamsError::Dropout { field: "dropout", value: share });
    }
    let usual = Dropout::of(network);
    Ok(match network {
        Architecture::Mn { .. } => Dropout { head: share, ..usual },
        _ => Dropout { layers: share, feature: share, ..usual },
    })
}
