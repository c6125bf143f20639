//! The tensors of a tower out of safetensors files: every one of them present, of the right shape and finite.
//!
//! Only the tensors that are wanted are read from disk; the other tower of a full checkpoint costs neither time nor memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::Error;
use crate::checkpoint::file_name;
use crate::config::{Stack, TextConfig, VisionConfig};

/// A header larger than this is no checkpoint (the limit of the safetensors format).
const MAX_HEADER: u64 = 100_000_000;

/// Names and shapes of the tensors that a tower needs.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// One of the two towers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Image,
    Text,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Part::Image => "image",
            Part::Text => "text",
        }
    }

    /// Whether this is a tensor that the other tower may need, or an index buffer that old files carry.
    fn leaves(self, name: &str) -> bool {
        name.ends_with(".position_ids")
            || match self {
                Part::Image => {
                    name.starts_with("text_model.") || name.starts_with("text_projection.") || name == LOGIT_SCALE
                }
                Part::Text => name.starts_with("vision_model.") || name.starts_with("visual_projection."),
            }
    }
}

/// The natural logarithm of the factor before the cosines.
pub(crate) const LOGIT_SCALE: &str = "logit_scale";

/// The tensors of a tower in f32, by their name in the checkpoint.
#[derive(Debug)]
pub(crate) struct Weights {
    tensors: BTreeMap<String, Vec<f32>>,
    /// Tensors that neither tower of a CLIP model has, sorted. They are not used; worth a warning.
    pub(crate) unexpected: Vec<String>,
}

impl Weights {
    /// Reads `files`, which together hold each of the `expected` tensors of `part` exactly once.
    pub(crate) fn read(files: &[PathBuf], part: Part, expected: &Shapes) -> Result<Weights, Error> {
        let mut tensors = BTreeMap::new();
        let unexpected = visit(files, part, expected, |file, name, info| {
            let values = file.read(name, info)?;
            tensors.insert(name.to_owned(), values);
            Ok(())
        })?;
        Ok(Weights { tensors, unexpected })
    }

    /// Takes a tensor out. Every expected name is there, once.
    pub(crate) fn take(&mut self, name: &str) -> Vec<f32> {
        self.tensors.remove(name).expect("read() returns only with every expected tensor")
    }

    /// Whether every tensor was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }
}

/// Whether `files` hold every one of the `expected` tensors of `part` in its shape, from the headers alone.
pub(crate) fn check(files: &[PathBuf], part: Part, expected: &Shapes) -> Result<(), Error> {
    visit(files, part, expected, |_, _, _| Ok(())).map(drop)
}

/// Calls `found` with each expected tensor, in the order of the bytes; returns the names that belong to neither tower.
fn visit(
    files: &[PathBuf],
    part: Part,
    expected: &Shapes,
    mut found: impl FnMut(&mut Safetensors, &str, &TensorInfo) -> Result<(), Error>,
) -> Result<Vec<String>, Error> {
    let mut seen = BTreeSet::new();
    let mut unexpected = Vec::new();
    for path in files {
        let mut file = Safetensors::open(path)?;
        let mut infos: Vec<(String, TensorInfo)> =
            file.header.tensors().into_iter().map(|(k, v)| (k, v.clone())).collect();
        infos.sort_by_key(|(_, info)| info.data_offsets);
        for (name, info) in infos {
            if let Some(shape) = expected.get(&name) {
                if info.shape != *shape {
                    let (expected, found) = (shape.clone(), info.shape);
                    return Err(Error::TensorShape { file: file.name, tensor: name, expected, found });
                }
                if seen.contains(&name) {
                    return Err(Error::DuplicateTensor { file: file.name, tensor: name });
                }
                found(&mut file, &name, &info)?;
                seen.insert(name);
            } else if !part.leaves(&name) {
                unexpected.push(name);
            }
        }
    }
    if let Some(name) = expected.keys().find(|name| !seen.contains(*name)) {
        let file = files.iter().map(|f| file_name(f)).collect::<Vec<_>>().join(", ");
        let (tensor, shape, tower) = (name.clone(), expected[name].clone(), part.word());
        return Err(Error::MissingTensor { file, tensor, shape, tower });
    }
    unexpected.sort();
    Ok(unexpected)
}

/// Name and shape of every tensor of the image tower, in the naming of HF transformers (`pre_layrnorm` is spelt so there).
pub fn of_image(config: &VisionConfig) -> Shapes {
    let (width, patch) = (config.hidden_size, config.patch_size);
    let mut shapes = of_stack("vision_model", &config.stack());
    let mut add = |name: &str, shape: &[usize]| shapes.insert(name.to_owned(), shape.to_vec());
    add("vision_model.embeddings.class_embedding", &[width]);
    add("vision_model.embeddings.patch_embedding.weight", &[width, 3, patch, patch]);
    add("vision_model.embeddings.position_embedding.weight", &[config.tokens(), width]);
    add("visual_projection.weight", &[config.projection_dim, width]);
    for norm in ["pre_layrnorm", "post_layernorm"] {
        add(&format!("vision_model.{norm}.weight"), &[width]);
        add(&format!("vision_model.{norm}.bias"), &[width]);
    }
    shapes
}

/// Name and shape of every tensor of the text tower, `logit_scale` included.
pub fn of_text(config: &TextConfig) -> Shapes {
    let width = config.hidden_size;
    let mut shapes = of_stack("text_model", &config.stack());
    let mut add = |name: &str, shape: &[usize]| shapes.insert(name.to_owned(), shape.to_vec());
    add("text_model.embeddings.token_embedding.weight", &[config.vocab_size, width]);
    add("text_model.embeddings.position_embedding.weight", &[config.max_position_embeddings, width]);
    add("text_model.final_layer_norm.weight", &[width]);
    add("text_model.final_layer_norm.bias", &[width]);
    add("text_projection.weight", &[config.projection_dim, width]);
    add(LOGIT_SCALE, &[]);
    shapes
}

/// Name and shape of every tensor of a tower's blocks.
fn of_stack(tower: &str, stack: &Stack) -> Shapes {
    let (width, middle) = (stack.width, stack.middle);
    let mut shapes = BTreeMap::new();
    let mut pair = |name: String, weight: &[usize]| {
        shapes.insert(format!("{name}.weight"), weight.to_vec());
        shapes.insert(format!("{name}.bias"), weight[..1].to_vec());
    };
    for layer in 0..stack.layers {
        let prefix = format!("{tower}.encoder.layers.{layer}");
        for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            pair(format!("{prefix}.self_attn.{part}"), &[width, width]);
        }
        pair(format!("{prefix}.mlp.fc1"), &[middle, width]);
        pair(format!("{prefix}.mlp.fc2"), &[width, middle]);
        pair(format!("{prefix}.layer_norm1"), &[width]);
        pair(format!("{prefix}.layer_norm2"), &[width]);
    }
    shapes
}

/// An open safetensors file: eight bytes of header length, the header as JSON, the data.
struct Safetensors {
    name: String,
    file: File,
    header: Metadata,
    data_start: u64,
}

impl Safetensors {
    fn open(path: &Path) -> Result<Safetensors, Error> {
        let name = file_name(path);
        let unreadable = |e: std::io::Error| Error::Unreadable { file: name.clone(), message: e.kind().to_string() };
        let bad = |message: String| Error::Weights { file: name.clone(), message };
        let mut file = File::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        let mut length = [0; 8];
        if size < 8 {
            return Err(bad("is shorter than a safetensors header".into()));
        }
        file.read_exact(&mut length).map_err(unreadable)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER || length + 8 > size {
            return Err(bad("is not a safetensors file, or its download was cut short".into()));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(unreadable)?;
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|e| bad(format!("has a damaged header: {e}")))?;
        let data_start = 8 + length;
        let expected = data_start + header.data_len() as u64;
        if size != expected {
            return Err(bad(format!("has {size} bytes where its header promises {expected}: download it again")));
        }
        Ok(Safetensors { name, file, header, data_start })
    }

    fn read(&mut self, tensor: &str, info: &TensorInfo) -> Result<Vec<f32>, Error> {
        let (file, tensor) = (self.name.clone(), tensor.to_owned());
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        self.file
            .seek(SeekFrom::Start(self.data_start + start as u64))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|e| Error::Unreadable { file: self.name.clone(), message: e.kind().to_string() })?;
        let values: Vec<f32> = match info.dtype {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F16 => bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
            Dtype::BF16 => bytes.as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect(),
            Dtype::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
            other => {
                let message = format!("holds tensor {tensor} as {other:?}; f32, f16, bf16 and f64 are supported");
                return Err(Error::Weights { file, message });
            }
        };
        if !values.iter().all(|v| v.is_finite()) {
            return Err(Error::TensorNotFinite { file, tensor });
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests;
