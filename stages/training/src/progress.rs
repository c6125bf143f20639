//! What a run says while it runs, and what it leaves.

use serde::{Deserialize, Serialize};

use crate::Inputs;

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Looking at every clip once, before the work: are all values numbers, what is each band's mean.
    Survey,
    /// Steps of training.
    Train,
    /// Classifying the clips that the model is selected by.
    Select,
}

/// How a run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// There was no checkpoint.
    Fresh,
    /// At the checkpoint.
    Resumed,
    /// From the start, because the checkpoint is of a run with other clips or parameters; it will be replaced.
    OtherRun,
}

/// Where a run stands, after every step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// How the run began.
    pub origin: Origin,
    /// The present epoch, from 1; 0 in the survey.
    pub epoch: usize,
    /// Epochs in all, at most: early stopping may end a run before.
    pub epochs: usize,
    /// Of the phase: steps of the epoch that are done; clips in the other phases.
    pub step: usize,
    /// Of the phase: steps of an epoch; clips in the other phases.
    pub steps: usize,
    /// Mean training loss of the epoch so far; NaN before its first step.
    pub loss: f64,
    /// Learning rate of the last step; 0 before the first.
    pub learning_rate: f64,
    /// Clips trained on per second, since the start of this process; 0 before the first step.
    pub clips_per_second: f64,
    /// Seconds until the last epoch is done at the present rate, selection included; `None` before the first step.
    pub eta: Option<f64>,
    /// Of the last selection.
    pub val_loss: Option<f64>,
    /// Of the last selection.
    pub val_accuracy: Option<f64>,
}

/// One selection: how training and the selected clips stood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done since the start of training.
    pub step: u64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Mean training loss since the selection before (mixed targets, dropout and all).
    pub train_loss: f64,
    /// Log loss of the clips that the model is selected by, natural logarithm; `None`: nothing to select by.
    pub val_loss: Option<f64>,
    /// Share of them that is classified rightly.
    pub val_accuracy: Option<f64>,
    /// The same, averaged over classes.
    pub val_macro_accuracy: Option<f64>,
}

/// A finished training.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The selected weights and running statistics: a safetensors file, names as in [`crate::Network::variables`].
    pub weights: Vec<u8>,
    /// Every selection, in order.
    pub history: Vec<Epoch>,
    /// Position in `history` of the weights.
    pub best: usize,
    /// How clips became inputs, and must for predictions with these weights.
    pub inputs: Inputs,
    /// Mean of each band over the training clips, dB.
    pub band_means: Vec<f32>,
    /// Whether training ended because nothing got better for so long.
    pub stopped_early: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All epochs, or as many as early stopping allows.
    Finished(Box<Trained>),
    /// The observer said stop; the checkpoint is kept and the next run goes on from it.
    Stopped,
}
