//! Why there is no network to train, or no image vector of a clip.

use contract::{Cause, Classify};
use networks::Architecture;

/// Why there is no network to train, or no image vector of a clip.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The clip has fewer pictures than `frame` asks for.
    #[error(
        "the clip has {pictures} pictures, frame {frame} was asked for: \
         choose an earlier frame or frame = \"mean\" in [audio-visual]"
    )]
    TooShort {
        /// Pictures of the clip.
        pictures: usize,
        /// The picture asked for, from 1.
        frame: u32,
    },
    /// An embedding that cannot be normalised.
    #[error(
        "the embedding of picture {picture} is all zeros, or not of numbers: encode the clip again, or leave it out"
    )]
    NoDirection {
        /// The picture, from 1.
        picture: usize,
    },
    /// The model of `audio` is of another network.
    #[error(
        "[audio-visual] network = \"{wanted}\" with {wanted_bands} bands cannot start from the audio model, a {found} with \
         {found_bands} bands: choose the same network in [audio] and [audio-visual], or pretrained = \"\"",
        wanted = wanted.name(), found = found.name()
    )]
    OtherNetwork {
        /// The network asked for.
        wanted: Architecture,
        /// Bands of the log-mel.
        wanted_bands: usize,
        /// The audio model's network.
        found: Architecture,
        /// Its bands.
        found_bands: usize,
    },
    /// Weights of EfficientAT on another log-mel than theirs.
    #[error(
        "[audio-visual] network = \"{network}\" with pretrained weights hears only the front end of preset \
         \"{wanted}\", the log-mel has preset \"{found}\": set preset = \"{wanted}\" in [log-mel], or pretrained = \"\"",
        network = network.name()
    )]
    Preset {
        /// The network.
        network: Architecture,
        /// The preset that it was trained on.
        wanted: &'static str,
        /// The preset of `[log-mel]`.
        found: String,
    },
    /// The weights, the network, or the training.
    #[error(transparent)]
    Training(#[from] training::Error),
    /// The network or its weights.
    #[error(transparent)]
    Network(#[from] networks::Error),
}

impl Classify for Error {
    fn class(&self) -> Cause {
        match self {
            Error::TooShort { .. } => Cause::TooShort,
            Error::NoDirection { .. } | Error::Network(_) => Cause::Corrupt,
            Error::OtherNetwork { .. } | Error::Preset { .. } => Cause::Unsupported,
            Error::Training(error) => error.class(),
        }
    }
}
