//! Trains classifiers of log-mel spectrograms, with or without an image vector beside them: inputs, augmentation,
//! mixup, optimiser, schedule, the loop with its checkpoints, and prediction.
//!
//! Shared by the stages `audio` and `audio-visual`; no stage itself. The network is whatever implements [`Network`], the
//! clips come from whatever implements [`Source`], one at a time, so a data set need not fit into memory.
//!
//! # What is computed
//!
//! Each epoch deals the training clips in a new order, in full batches ([`Spec::batch_size`]). Each clip is cropped,
//! permuted and masked ([`Inputs::training`]); each batch is mixed up with one lambda ([`Mix`]), log-mel, image vectors and
//! targets alike; the loss is [`cross_entropy`]; [`Adam`] moves the weights at the rate of the [`Schedule`]. At the end of
//! each epoch, or every so many steps, the clips of the selection part are classified as they are
//! ([`Inputs::evaluation`]), and the weights with the smallest log loss (or the largest accuracy) are kept.
//!
//! Each piece has the reference example's form and a corrected one: see [`Form`].
//!
//! # What can be relied on
//!
//! - *Same job, same weights, to the bit*, for any number of threads and however often the run was stopped or killed:
//!   every random number is a function of the seed and of what it is for, sums have a fixed order, and a checkpoint holds
//!   everything that the next step depends on. (On one kind of processor: another one may round differently.)
//! - A clip's probabilities depend on the clip and the weights, not on the clips beside it.
//! - Every clip is looked at before the first step: a NaN, a wrong number of bands, a class without clips is an error that
//!   names the clip or the class, before any long work.
//! - With fewer training clips than a batch, a step takes what there is; otherwise the clips that fill no batch wait for
//!   another epoch, as in the reference (`drop_last`).
//!
//! Memory: the weights four times (weights, two moments, the best so far), the activations of a batch, three batches of
//! inputs. Everything runs on the CPU.

mod adam;
mod batch;
mod checkpoint;
mod classifier;
mod error;
mod example;
mod inputs;
mod keeper;
mod loss;
mod mixup;
mod model;
mod network;
mod order;
mod params;
mod predict;
mod progress;
mod schedule;
mod seed;
mod survey;
#[cfg(test)]
mod tests;
mod train;
mod weights;

pub use adam::{Adam, Moments};
pub use classifier::Classifier;
pub use error::Error;
pub use example::{Example, Source};
pub use inputs::{Form, Inputs, MaskLimit, Masks};
pub use keeper::{InMemory, Keeper};
pub use loss::cross_entropy;
pub use mixup::Mix;
pub use model::{Description, Model};
pub use network::{Batch, Mode, Network, Variable};
pub use params::{Params, ParamsError, SelectBy, Spec};
pub use predict::{GoOn, embeddings, probabilities};
pub use progress::{Epoch, Origin, Outcome, Phase, Progress, Trained};
pub use schedule::Schedule;
pub use train::{Job, Observer, train};
pub use weights::{load_weights, save_weights};
