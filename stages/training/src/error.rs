//! Why there is no model.

use std::error::Error as StdError;
use std::io;

use contract::{Cause, Classify};

/// Why there is no model, or no prediction.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A clip cannot be read.
    #[error("clip {id} cannot be read: {source}")]
    Unreadable {
        /// The clip.
        id: String,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A value of the log-mel that is NaN or infinite.
    #[error(
        "log-mel of clip {id}: frame {frame}, band {band} is {value}; compute that clip's log-mel again, or leave it out"
    )]
    NotFinite {
        /// The clip.
        id: String,
        /// Frame, from 0.
        frame: usize,
        /// Mel band, from 0.
        band: usize,
        /// The value.
        value: f32,
    },
    /// A value of the image vector that is NaN or infinite.
    #[error("image vector of clip {id}: number {column} is {value}; encode that clip again, or leave it out")]
    ImageNotFinite {
        /// The clip.
        id: String,
        /// Column, from 0.
        column: usize,
        /// The value.
        value: f32,
    },
    /// A log-mel of another number of bands than the network hears, or of no frame.
    #[error(
        "log-mel of clip {id} has {values} values, which are not frames of {n_mels} bands: \
         the network hears {n_mels}; choose a [log-mel] preset or n_mels that fits it"
    )]
    Shape {
        /// The clip.
        id: String,
        /// Values of the clip.
        values: usize,
        /// Bands of the network.
        n_mels: usize,
    },
    /// An image vector that is missing, or of another length than the network takes.
    #[error(
        "clip {id} has an image vector of {found} numbers, the network takes {expected}: encode it with the model that the network was made for"
    )]
    Image {
        /// The clip.
        id: String,
        /// Numbers of its vector; 0: there is none.
        found: usize,
        /// Numbers that the network takes.
        expected: usize,
    },
    /// Nothing to train on.
    #[error("no training clips: no labelled clip of the split `train` has what the network needs")]
    NoItems,
    /// Nothing to select by.
    #[error(
        "no clips to select the model by: give the data set a `val` split (whole groups are split off `train` where it \
         names none), or set select_by = \"last\" to take the last epoch's weights"
    )]
    NoSelection,
    /// A classifier needs two classes.
    #[error("{0} class(es) to tell apart: a classifier needs at least two; check the labels of the manifest")]
    TooFewClasses(usize),
    /// A class that the network could never learn, or never be selected by.
    #[error(
        "class `{class}` has no clips in the {part} part: move clips of it there, \
         or leave the class out of the manifest"
    )]
    EmptyClass {
        /// The class.
        class: String,
        /// `training` or `selection`.
        part: &'static str,
    },
    /// A clip without a class where one is needed.
    #[error("clip {id} of the {part} part has no label, or none of the {classes} classes")]
    NoClass {
        /// The clip.
        id: String,
        /// `training` or `selection`.
        part: &'static str,
        /// Number of classes.
        classes: usize,
    },
    /// The network was made for other classes.
    #[error("the network tells {network} classes apart, the data set has {data}")]
    Classes {
        /// Outputs of the network.
        network: usize,
        /// Classes of the data set.
        data: usize,
    },
    /// The loss is no number any more.
    #[error(
        "training diverged: the loss of step {step} in epoch {epoch} is {loss}; \
         try a smaller learning_rate, or a longer warm_steps"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: usize,
        /// The step, from 1.
        step: usize,
        /// The loss.
        loss: f64,
    },
    /// The checkpoint cannot be kept or read.
    #[error("the checkpoint cannot be {action}: {source}")]
    Keeper {
        /// `read` or `saved`.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The keeper's bytes are no checkpoint.
    #[error("the checkpoint is damaged ({0}): remove it to start over")]
    Damaged(String),
    /// A file that is no model file.
    #[error("this is no model file of this program: {0}")]
    NoModel(String),
    /// Weights that are not this network's.
    #[error("the weights do not fit the network {network}: {problem}")]
    Weights {
        /// The network.
        network: String,
        /// What does not fit.
        problem: String,
    },
    /// The network cannot be built, loaded or run.
    #[error(transparent)]
    Network(#[from] networks::Error),
    /// An operation on tensors failed.
    #[error("a tensor operation failed: {}", contract::without_backtrace(.0))]
    Tensor(#[from] candle_core::Error),
}

impl Classify for Error {
    fn class(&self) -> Cause {
        match self {
            Error::NotFinite { .. }
            | Error::ImageNotFinite { .. }
            | Error::Diverged { .. }
            | Error::Damaged(_)
            | Error::NoModel(_) => Cause::Corrupt,
            Error::Unreadable { .. } | Error::Keeper { .. } => Cause::Unreadable,
            Error::NoItems
            | Error::NoSelection
            | Error::TooFewClasses(_)
            | Error::EmptyClass { .. }
            | Error::NoClass { .. } => Cause::Missing,
            Error::Shape { .. } | Error::Image { .. } | Error::Weights { .. } | Error::Classes { .. } => {
                Cause::Internal
            }
            Error::Network(_) | Error::Tensor(_) => Cause::Internal,
        }
    }
}
