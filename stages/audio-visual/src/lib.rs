//! Makes a classifier of scenes that hears and sees: one network over the clips' log-mel spectrograms, whose last layer is
//! also given a CLIP image embedding.
//!
//! # Formula
//!
//! With `h` the vector that the last layer of `audio`'s network hears (2048 numbers for ResNet-50, after its extra linear
//! layer, ReLU and dropout) and `p` a clip's image embedding (512 numbers for ViT-B/32), as it is,
//!
//! ```text
//! z = W [h; p] + b          probabilities = softmax(z)
//! ```
//!
//! which is the reference example's late fusion: one linear layer, no activation, dropout or scaling on `p`
//! ([`Params::image_dropout`] and [`Params::normalize`] offer both). In training, mixup blends `p` with the same lambda and
//! the same partner as the spectrogram.
//!
//! # Where it starts
//!
//! `pretrained = "audio"`: the half that hears has the weights of the trained model of stage `audio`, its part of the last
//! layer included; the columns of `p` start at random ([`Spec::network`]). With `freeze_audio` the last layer alone is
//! trained.
//!
//! # Output
//!
//! As of `audio`: a [`training::Model`] and probabilities, `[n][K]`. In the protocol `1s`, second `k` (from 0) is heard as
//! that second's frames and seen as picture `k + 1`.
//!
//! # What is honoured
//!
//! As in `audio`. Of a clip's pictures, the one that [`Params::frame`] names, or the mean of all; a clip with too few pictures
//! is an error of that clip, never replaced by another picture.
//!
//! # History of `version`
//!
//! 1. First version.

use std::path::Path;

use contract::{Decl, Kind};
use networks::{Architecture, Config};
use training::{Classifier, Model};

mod error;
mod params;
mod picture;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use params::{Params, ParamsError, Pretrained, SelectOn, Spec};
pub use picture::{Frame, image_vector};

/// The declaration of the stage.
pub const DECL: Decl = Decl {
    id: "audio-visual",
    version: 1,
    kind: Kind::Set,
    inputs: &["log-mel", "encode-clip", "audio"],
    summary: "log-mel and CLIP embeddings of labelled clips -> a network that hears and sees, and its class probabilities \
              for every clip",
};

/// The preset of `[log-mel]` that the published weights of EfficientAT were trained on.
const EFFICIENTAT_PRESET: &str = "efficientat";

/// What the stage needs to know of its inputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Features<'a> {
    /// Name of the log-mel's preset, as in `[log-mel]`.
    pub preset: &'a str,
    /// Bands of the log-mel.
    pub n_mels: usize,
    /// Length of an image embedding.
    pub image_width: usize,
}

/// What the half that hears starts from.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// Random weights.
    Random,
    /// The trained model of the stage `audio`.
    Audio(&'a Model),
    /// A file of weights; show [`Classifier::loaded`] then. A last layer of a network that only hears stays at random.
    File(&'a Path),
}

impl Spec {
    /// What a person must know of a run with these parameters.
    pub fn warning(&self) -> Option<&'static str> {
        (self.select_on == SelectOn::Test).then_some(
            "[audio-visual] select_on = \"test\": the model is chosen by the very clips that it is then judged on, as the \
             reference example did; the figure is too good to be believed of new clips",
        )
    }

    /// The network's configuration.
    pub fn config(&self, features: Features<'_>, classes: usize) -> Config {
        let audio = Config { dropout: self.dropout, ..Config::audio(self.network, features.n_mels, classes) };
        audio.with_image(features.image_width)
    }

    /// The network at the start of training.
    pub fn network(&self, features: Features<'_>, classes: usize, start: Start<'_>) -> Result<Classifier, Error> {
        let config = self.config(features, classes);
        let mut classifier = Classifier::new(&config, self.training.seed)?.with_image_dropout(self.image_dropout);
        match start {
            Start::Random => {}
            Start::Audio(model) => {
                let found = &model.description.config;
                if (found.architecture, found.n_mels) != (config.architecture, config.n_mels) {
                    return Err(Error::OtherNetwork {
                        wanted: config.architecture,
                        wanted_bands: config.n_mels,
                        found: found.architecture,
                        found_bands: found.n_mels,
                    });
                }
                classifier.start_from(&model.network()?)?;
            }
            Start::File(path) => {
                if matches!(self.network, Architecture::Mn { .. }) && features.preset != EFFICIENTAT_PRESET {
                    let (network, found) = (self.network, features.preset.to_owned());
                    return Err(Error::Preset { network, wanted: EFFICIENTAT_PRESET, found });
                }
                classifier = classifier.load(path)?;
            }
        }
        if self.freeze_audio {
            classifier = classifier.frozen();
        }
        Ok(classifier)
    }
}
