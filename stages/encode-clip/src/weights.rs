//! The tensors of the image tower out of safetensors files: every one of them present, of the right shape and finite.
//!
//! Only the tensors that are wanted are read from disk; the text tower of a full checkpoint costs neither time nor memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::Error;
use crate::checkpoint::file_name;
use crate::config::VisionConfig;

/// A header larger than this is no checkpoint (the limit of the safetensors format).
const MAX_HEADER: u64 = 100_000_000;

/// The tensors of the image tower in f32, by their name in the checkpoint.
#[derive(Debug)]
pub struct Weights {
    tensors: BTreeMap<String, Vec<f32>>,
    /// Tensors that neither tower of a CLIP model has, sorted. They are not used; worth a warning.
    pub unexpected: Vec<String>,
}

impl Weights {
    /// Reads `files`, which together hold each tensor of `config`'s tower exactly once.
    pub fn read(files: &[PathBuf], config: &VisionConfig) -> Result<Weights, Error> {
        let expected = expected(config);
        let mut tensors = BTreeMap::new();
        let mut unexpected = Vec::new();
        for path in files {
            let mut file = Safetensors::open(path)?;
            let mut infos: Vec<(String, TensorInfo)> =
                file.header.tensors().into_iter().map(|(k, v)| (k, v.clone())).collect();
            infos.sort_by_key(|(_, info)| info.data_offsets);
            for (name, info) in infos {
                if let Some(shape) = expected.get(&name) {
                    let values = file.read(&name, &info, shape)?;
                    if tensors.insert(name.clone(), values).is_some() {
                        return Err(Error::DuplicateTensor { file: file.name, tensor: name });
                    }
                } else if !of_text_tower(&name) {
                    unexpected.push(name);
                }
            }
        }
        if let Some(name) = expected.keys().find(|name| !tensors.contains_key(*name)) {
            let files = files.iter().map(|f| file_name(f)).collect::<Vec<_>>().join(", ");
            return Err(Error::MissingTensor { file: files, tensor: name.clone(), shape: expected[name].clone() });
        }
        unexpected.sort();
        Ok(Weights { tensors, unexpected })
    }

    /// Takes a tensor out. Every expected name is there, once.
    pub fn take(&mut self, name: &str) -> Vec<f32> {
        self.tensors.remove(name).expect("read() returns only with every expected tensor")
    }

    /// Whether every tensor was taken.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }
}

/// Name and shape of every tensor of the tower, in the naming of HF transformers (`pre_layrnorm` is spelt so there).
pub fn expected(config: &VisionConfig) -> BTreeMap<String, Vec<usize>> {
    let (width, middle) = (config.hidden_size, config.intermediate_size);
    let mut shapes = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| shapes.insert(name, shape.to_vec());
    let patch = config.patch_size;
    add("vision_model.embeddings.class_embedding".into(), &[width]);
    add("vision_model.embeddings.patch_embedding.weight".into(), &[width, 3, patch, patch]);
    add("vision_model.embeddings.position_embedding.weight".into(), &[config.tokens(), width]);
    add("visual_projection.weight".into(), &[config.projection_dim, width]);
    let mut pair = |name: String, weight: &[usize]| {
        add(format!("{name}.weight"), weight);
        add(format!("{name}.bias"), &weight[..1]);
    };
    pair("vision_model.pre_layrnorm".into(), &[width]);
    pair("vision_model.post_layernorm".into(), &[width]);
    for layer in 0..config.num_hidden_layers {
        let prefix = format!("vision_model.encoder.layers.{layer}");
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

/// Tensors of a full CLIP checkpoint that the image tower does not need, and index buffers that old files carry.
fn of_text_tower(name: &str) -> bool {
    name.starts_with("text_model.")
        || name.starts_with("text_projection.")
        || name == "logit_scale"
        || name.ends_with(".position_ids")
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

    fn read(&mut self, tensor: &str, info: &TensorInfo, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let (file, tensor) = (self.name.clone(), tensor.to_owned());
        if info.shape != shape {
            return Err(Error::TensorShape { file, tensor, expected: shape.to_vec(), found: info.shape.clone() });
        }
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
