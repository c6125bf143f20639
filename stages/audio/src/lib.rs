//! Makes a classifier of scenes that only hears: a network over the clips' log-mel spectrograms.
//!
//! # What is computed
//!
//! A log-mel of `T` frames and `n_mels` bands goes through a ResNet as the reference example has it (the crate `networks`
//! has the layers, names and counts), or through EfficientAT's MobileNetV3; softmax of its logits gives the classes'
//! probabilities. Trained as the reference was (random crop, block permutation, masks, mixup, Adam with warm-up and decay:
//! the crate `training` has each formula and its source), in the reference's form or, by default, a corrected one; from
//! scratch, or from `pretrained` weights. With `mode = "frozen"` nothing is trained but a linear probe on the network's
//! embedding: [`training::embeddings`] gives the vectors, the program fits the probe.
//!
//! # Output
//!
//! A [`training::Model`]: one safetensors file with weights, running statistics and a description, and the probabilities of
//! every labelled clip, `[n][K]`, rows sum to 1. A second of a clip (protocol `1s`) is a clip of that second's frames: the
//! network takes any length.
//!
//! # What is honoured
//!
//! Labels and splits as given. Items without label are not used. A clip longer than `frames` is cut to its middle in
//! predictions (corrected form), or to its beginning (reference form). The four mask numbers of the reference's
//! configuration are honoured in the corrected form alone; in the reference form, whose code never read them, naming them is an
//! error.
//!
//! The model is selected on the validation part. `select_on = "test"` repeats the reference's published way, in which the test figure is
//! the best of many; whoever asks for it is told so ([`Spec::warning`]).
//!
//! # History of `version`
//!
//! 1. First version.

use std::path::Path;

use contract::{Decl, Kind};
use networks::{Architecture, Config};
use training::Classifier;

mod error;
mod params;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use params::{Mode, Params, ParamsError, SelectOn, Spec};

/// The declaration of the stage.
pub const DECL: Decl = Decl {
    id: "audio",
    version: 1,
    kind: Kind::Set,
    inputs: &["log-mel"],
    summary: "log-mel of labelled clips -> a network that hears, and its class probabilities for every clip",
};

/// The preset of `[log-mel]` that the published weights of EfficientAT were trained on.
const EFFICIENTAT_PRESET: &str = "efficientat";

/// What the stage needs to know of the log-mel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogMel<'a> {
    /// Name of the preset, as in `[log-mel]`.
    pub preset: &'a str,
    /// Bands.
    pub n_mels: usize,
}

impl Spec {
    /// Checks that a network that starts from weights (`pretrained`) hears the log-mel that it was made for, as far as that
    /// can be known without reading the weights.
    pub fn check_log_mel(&self, log_mel: LogMel<'_>, pretrained: bool) -> Result<(), Error> {
        let efficientat = matches!(self.network, Architecture::Mn { .. });
        if pretrained && efficientat && log_mel.preset != EFFICIENTAT_PRESET {
            return Err(Error::LogMel {
                network: self.network,
                why: format!("with pretrained weights hears only the front end of preset \"{EFFICIENTAT_PRESET}\""),
                found: format!("preset \"{}\"", log_mel.preset),
                advice: format!("set preset = \"{EFFICIENTAT_PRESET}\" in [log-mel], or pretrained = \"\""),
            });
        }
        Ok(())
    }

    /// What a person must know of a run with these parameters.
    pub fn warning(&self) -> Option<&'static str> {
        (self.select_on == SelectOn::Test && self.mode == Mode::Train).then_some(
            "[audio] select_on = \"test\": the model is chosen by the very clips that it is then judged on, as the reference \
             example did; the figure is too good to be believed of new clips",
        )
    }

    /// The network's configuration.
    pub fn config(&self, n_mels: usize, classes: usize) -> Config {
        Config { dropout: self.dropout, ..Config::audio(self.network, n_mels, classes) }
    }

    /// The network at the start of training. Where weights are loaded, show [`Classifier::loaded`].
    pub fn network(&self, log_mel: LogMel<'_>, classes: usize, pretrained: Option<&Path>) -> Result<Classifier, Error> {
        self.check_log_mel(log_mel, pretrained.is_some())?;
        let network = Classifier::new(&self.config(log_mel.n_mels, classes), self.training.seed)?;
        Ok(match pretrained {
            Some(path) => network.load(path)?,
            None => network,
        })
    }
}
