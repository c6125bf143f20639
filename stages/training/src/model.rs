//! A trained model as one file: weights, and everything that is needed to use them.

use std::borrow::Cow;

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::weights::{Values, to_bytes, values};
use crate::{Classifier, Epoch, Error, Inputs, load_weights};

/// Key of the description in the metadata of the safetensors file.
const KEY: &str = "model";

/// What a model file says beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The stage that made it.
    pub stage: String,
    /// The network.
    pub config: networks::Config,
    /// Names of the classes, in the order of the outputs.
    pub classes: Vec<String>,
    /// How a clip's log-mel becomes an input.
    pub inputs: Inputs,
    /// How the log-mel must be computed, and which image vector is wanted: whatever the program that trained it puts there and
    /// checks when it uses the model.
    pub front_end: serde_json::Value,
    /// The selection that the weights are of; `None`: they were not trained here.
    pub selected: Option<Epoch>,
}

/// A model file: safetensors, tensor names as PyTorch would name them, the description as JSON in its metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// What it is.
    pub description: Description,
    /// The file's bytes.
    pub bytes: Vec<u8>,
}

impl Model {
    /// Puts a description to weights ([`crate::Trained::weights`] or [`crate::save_weights`]).
    pub fn new(description: Description, weights: &[u8]) -> Result<Model, Error> {
        let refuse = |problem: String| Error::Weights { network: description.config.architecture.name(), problem };
        let file = SafeTensors::deserialize(weights).map_err(|error| refuse(error.to_string()))?;
        let mut tensors = Vec::new();
        for name in file.names() {
            let (shape, values) = values(&file, name).map_err(refuse)?;
            tensors.push((name.to_owned(), Values { shape, values: Cow::Owned(values) }));
        }
        let text = serde_json::to_string(&description).map_err(|error| refuse(error.to_string()))?;
        let bytes = to_bytes(tensors, Some((KEY, text)))?;
        Ok(Model { description, bytes })
    }

    /// Reads a model file.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Model, Error> {
        let refuse = |problem: String| Error::NoModel(problem);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| refuse(error.to_string()))?;
        let text = metadata.metadata().as_ref().and_then(|map| map.get(KEY));
        let text = text.ok_or_else(|| refuse("a safetensors file, but without a description".to_owned()))?;
        let description = serde_json::from_str(text).map_err(|error| refuse(error.to_string()))?;
        Ok(Model { description, bytes })
    }

    /// The network with the weights in it.
    pub fn network(&self) -> Result<Classifier, Error> {
        let classifier = Classifier::new(&self.description.config, 0)?;
        load_weights(&classifier, &self.bytes)?;
        Ok(classifier)
    }
}
