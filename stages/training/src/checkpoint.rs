//! A run between two steps, as bytes: a safetensors file with everything that the next step depends on.
//!
//! | tensors | what |
//! |---|---|
//! | `network/NAME` | weights and running statistics |
//! | `best/NAME` | the same, at the best selection so far; absent before the first |
//! | `adam.first/NAME`, `adam.second/NAME` | moments of the trainable weights |
//!
//! and, as metadata `training`, the [`Position`] as JSON, which names the run that it belongs to.

use std::borrow::Cow;

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::adam::{Adam, Moments};
use crate::weights::{SetError, Values, set_all, snapshot, to_bytes, values};
use crate::{Epoch, Error, Network};

const KEY: &str = "training";

/// Where a run stands, but for the tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Digest of everything that the result depends on.
    pub(crate) fingerprint: String,
    /// Epochs that are done.
    pub(crate) epoch: usize,
    /// Steps of the present epoch that are done.
    pub(crate) step: usize,
    /// Steps that are done in all.
    pub(crate) total: u64,
    /// Sum of the losses since the last selection, and their number.
    pub(crate) loss_sum: f64,
    pub(crate) loss_count: u64,
    /// Of the last step.
    pub(crate) learning_rate: f64,
    /// The selections so far.
    pub(crate) history: Vec<Epoch>,
    /// Position of the best of them.
    pub(crate) best: Option<usize>,
    /// What the survey found.
    pub(crate) band_means: Vec<f32>,
    pub(crate) longest: usize,
}

/// What a keeper's bytes hold, apart from what went straight into the network and the optimiser.
pub(crate) struct Restored {
    pub(crate) position: Position,
    pub(crate) best: Option<Vec<Vec<f32>>>,
}

pub(crate) fn encode(
    network: &dyn Network,
    adam: &Adam,
    best: Option<&[Vec<f32>]>,
    position: &Position,
) -> Result<Vec<u8>, Error> {
    let variables = network.variables();
    let mut tensors = Vec::with_capacity(4 * variables.len());
    let mut moments = adam.moments().iter();
    for (i, (variable, now)) in variables.iter().zip(snapshot(network)?).enumerate() {
        let (name, shape) = (&variable.name, variable.var.dims().to_vec());
        let values = |values| Values { shape: shape.clone(), values };
        tensors.push((format!("network/{name}"), values(Cow::Owned(now))));
        if let Some(best) = best {
            tensors.push((format!("best/{name}"), values(Cow::Borrowed(&best[i]))));
        }
        if let Some(moments) = moments.next_if(variable.trainable) {
            tensors.push((format!("adam.first/{name}"), values(Cow::Borrowed(&moments.first))));
            tensors.push((format!("adam.second/{name}"), values(Cow::Borrowed(&moments.second))));
        }
    }
    let position = serde_json::to_string(position).map_err(|error| Error::Damaged(error.to_string()))?;
    to_bytes(tensors, Some((KEY, position)))
}

/// `next`, but only where it is wanted.
trait NextIf: Iterator {
    fn next_if(&mut self, wanted: bool) -> Option<Self::Item> {
        if wanted { self.next() } else { None }
    }
}

impl<I: Iterator> NextIf for I {}

/// The position in a checkpoint; nothing is restored yet.
pub(crate) fn position(bytes: &[u8]) -> Result<Position, Error> {
    let damaged = |error: &dyn std::fmt::Display| Error::Damaged(error.to_string());
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(&error))?;
    let text = metadata.metadata().as_ref().and_then(|map| map.get(KEY));
    let text = text.ok_or_else(|| damaged(&"it says nothing of a run"))?;
    serde_json::from_str(text).map_err(|error| damaged(&error))
}

/// Puts a checkpoint back into the network and the optimiser.
pub(crate) fn restore(bytes: &[u8], network: &dyn Network, adam: &mut Adam) -> Result<Restored, Error> {
    let position = position(bytes)?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| Error::Damaged(error.to_string()))?;
    let variables = network.variables();
    let tensor = |kind: &str, name: &str| values(&file, &format!("{kind}/{name}")).map(|(_, values)| values);
    let all = |kind: &str| variables.iter().map(|v| tensor(kind, &v.name)).collect::<Result<Vec<_>, _>>();
    let best = match position.best {
        Some(_) => Some(all("best").map_err(Error::Damaged)?),
        None => None,
    };
    let mut moments = Vec::new();
    for variable in variables.iter().filter(|variable| variable.trainable) {
        let first = tensor("adam.first", &variable.name).map_err(Error::Damaged)?;
        let second = tensor("adam.second", &variable.name).map_err(Error::Damaged)?;
        moments.push(Moments { first, second });
    }
    if !adam.restore(moments, position.total) {
        return Err(Error::Damaged("the moments have other shapes than the weights".to_owned()));
    }
    set_all(network, &file, "network/").map_err(|error| match error {
        SetError::Fit(problem) => Error::Damaged(problem),
        SetError::Tensor(error) => Error::Tensor(error),
    })?;
    Ok(Restored { position, best })
}
