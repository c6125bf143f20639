//! A network's state as a safetensors file.

use std::borrow::Cow;
use std::collections::HashMap;

use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, View};
use safetensors::{SafeTensors, serialize};

use crate::{Error, Network};

/// Values and shape of one tensor, to be written as f32.
pub(crate) struct Values<'a> {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Cow<'a, [f32]>,
}

impl View for Values<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        self.values.len() * 4
    }
}

/// The bytes of a safetensors file. One key of metadata at most: more would be written in any order.
pub(crate) fn to_bytes(tensors: Vec<(String, Values<'_>)>, metadata: Option<(&str, String)>) -> Result<Vec<u8>, Error> {
    let metadata = metadata.map(|(key, value)| HashMap::from([(key.to_owned(), value)]));
    serialize(tensors, metadata).map_err(|error| Error::Damaged(error.to_string()))
}

/// The f32 values of a tensor of a file.
pub(crate) fn values(file: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
    let tensor = file.tensor(name).map_err(|_| format!("there is no tensor {name}"))?;
    if tensor.dtype() != Dtype::F32 {
        return Err(format!("{name} is {:?}, not F32", tensor.dtype()));
    }
    let values = tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok((tensor.shape().to_vec(), values))
}

/// The network's present state, in the order of its variables.
pub(crate) fn snapshot(network: &dyn Network) -> Result<Vec<Vec<f32>>, Error> {
    let all = network.variables();
    all.iter().map(|v| Ok(v.var.flatten_all()?.to_vec1::<f32>()?)).collect()
}

/// A snapshot as a safetensors file, names as in [`Network::variables`].
pub(crate) fn snapshot_to_bytes(network: &dyn Network, snapshot: &[Vec<f32>]) -> Result<Vec<u8>, Error> {
    let tensors = network.variables().into_iter().zip(snapshot).map(|(variable, values)| {
        (variable.name, Values { shape: variable.var.dims().to_vec(), values: Cow::Borrowed(values) })
    });
    to_bytes(tensors.collect(), None)
}

/// The network's present weights and running statistics as a safetensors file, names as in [`Network::variables`].
pub fn save_weights(network: &dyn Network) -> Result<Vec<u8>, Error> {
    snapshot_to_bytes(network, &snapshot(network)?)
}

/// Sets every weight and running statistic of the network from a file that [`save_weights`] or training wrote. A tensor
/// that is missing, has another shape, or belongs to no variable is an error, and then nothing has been set.
pub fn load_weights(network: &dyn Network, bytes: &[u8]) -> Result<(), Error> {
    let refuse = |problem: String| Error::Weights { network: network.name().to_owned(), problem };
    let file = SafeTensors::deserialize(bytes).map_err(|error| refuse(error.to_string()))?;
    set_all(network, &file, "").map_err(|problem| match problem {
        SetError::Fit(problem) => refuse(problem),
        SetError::Tensor(error) => Error::Tensor(error),
    })?;
    Ok(())
}

/// Why variables could not be set.
pub(crate) enum SetError {
    /// The file is not of this network.
    Fit(String),
    /// Setting failed.
    Tensor(candle_core::Error),
}

/// Sets every variable from the tensors whose name begins with `prefix`.
pub(crate) fn set_all(network: &dyn Network, file: &SafeTensors<'_>, prefix: &str) -> Result<(), SetError> {
    let variables = network.variables();
    let mut known = Vec::with_capacity(variables.len());
    for variable in &variables {
        let (shape, values) = values(file, &format!("{prefix}{}", variable.name)).map_err(SetError::Fit)?;
        if shape != variable.var.dims() {
            let (name, expected) = (&variable.name, variable.var.dims());
            return Err(SetError::Fit(format!("{name} is {shape:?} in the file, {expected:?} in the network")));
        }
        known.push((shape, values));
    }
    let of_prefix = file.names().into_iter().filter(|name| name.starts_with(prefix)).count();
    if of_prefix != variables.len() {
        return Err(SetError::Fit(format!("{of_prefix} tensors for {} variables", variables.len())));
    }
    for (variable, (shape, values)) in variables.iter().zip(known) {
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu).map_err(SetError::Tensor)?;
        variable.var.set(&tensor).map_err(SetError::Tensor)?;
    }
    Ok(())
}
