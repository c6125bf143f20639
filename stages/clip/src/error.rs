//! Why there is no checkpoint, no tower or no feature.

use contract::{Cause, Classify};

/// Why there is no checkpoint, no tower or no feature.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No checkpoint by that name.
    #[error("the model {model:?} was not found: {message}")]
    NotFound {
        /// As the user wrote it.
        model: String,
        /// What was looked for and what to do.
        message: String,
    },
    /// A file of the checkpoint cannot be read.
    #[error("{file} cannot be read: {message}")]
    Unreadable {
        /// File name.
        file: String,
        /// Kind of input/output error.
        message: String,
    },
    /// A configuration file of the checkpoint is damaged or asks for something that is not supported.
    #[error("{file}: {message}")]
    Config {
        /// File name.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// A weight file is damaged or of an unknown type.
    #[error("{file} {message}")]
    Weights {
        /// File name.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// A tensor of the tower is nowhere.
    #[error(
        "{file}: tensor {tensor} of shape {shape:?} is missing; is this a CLIP checkpoint with its {tower} tower and projection?"
    )]
    MissingTensor {
        /// The files that were searched.
        file: String,
        /// Name of the tensor.
        tensor: String,
        /// Shape that config.json implies.
        shape: Vec<usize>,
        /// `image` or `text`.
        tower: &'static str,
    },
    /// A tensor does not have the shape that config.json implies.
    #[error("{file}: tensor {tensor} has shape {found:?} where config.json implies {expected:?}")]
    TensorShape {
        /// File name.
        file: String,
        /// Name of the tensor.
        tensor: String,
        /// Shape that config.json implies.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// A tensor holds an infinity or NaN.
    #[error("{file}: tensor {tensor} holds values that are not finite: the file is damaged")]
    TensorNotFinite {
        /// File name.
        file: String,
        /// Name of the tensor.
        tensor: String,
    },
    /// Two files hold the same tensor.
    #[error(
        "{file}: tensor {tensor} is in another weight file of the folder as well; leave only the files of one checkpoint there"
    )]
    DuplicateTensor {
        /// File name of the second.
        file: String,
        /// Name of the tensor.
        tensor: String,
    },
    /// The checkpoint is an image tower alone.
    #[error(
        "the model {model:?} has no text tower ({reason}), so no prompt can be compared with a picture: \
         use a full CLIP checkpoint (config.json with model_type \"clip\" and text_model.* tensors), or leave out what needs prompts"
    )]
    NoTextTower {
        /// Name of the checkpoint.
        model: String,
        /// What says so.
        reason: String,
    },
    /// The checkpoint has no tokenizer.
    #[error("the model {model:?} has no tokenizer.json, which cuts prompts into tokens: {message}")]
    NoTokenizer {
        /// Name of the checkpoint.
        model: String,
        /// What was looked for and what to do.
        message: String,
    },
    /// The tokenizer is damaged or of another model.
    #[error("tokenizer.json {message}")]
    Tokenizer {
        /// What is wrong and what to do.
        message: String,
    },
    /// A prompt cannot be encoded.
    #[error("the prompt {prompt:?} {message}")]
    Prompt {
        /// As it was given.
        prompt: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// The device cannot be used.
    #[error("device {device:?}: {message}")]
    Device {
        /// As the user wrote it.
        device: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// candle reported an error.
    #[error("the network failed: {}", contract::without_backtrace(.0))]
    Candle(#[from] candle_core::Error),
}

impl Classify for Error {
    fn class(&self) -> Cause {
        match self {
            Error::NotFound { .. } | Error::NoTextTower { .. } | Error::NoTokenizer { .. } => Cause::Missing,
            Error::Unreadable { .. } => Cause::Unreadable,
            Error::Config { .. } | Error::Device { .. } | Error::Prompt { .. } => Cause::Unsupported,
            Error::Weights { .. }
            | Error::MissingTensor { .. }
            | Error::TensorShape { .. }
            | Error::TensorNotFinite { .. }
            | Error::DuplicateTensor { .. }
            | Error::Tokenizer { .. } => Cause::Corrupt,
            Error::Candle(_) => Cause::Internal,
        }
    }
}
