//! Weights from files, by name: safetensors, and the zip files of PyTorch (`.pt`, `.pth`).
//!
//! A PyTorch file is a zip with a pickle that says which tensors there are. The pickle is parsed by candle, which builds
//! tensors of it and runs nothing. The tensors may lie at the top or under one of [`NESTS`]; a prefix that all names share
//! ([`PREFIXES`]) is taken off. f16, bf16 and f64 become f32.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::path::Path;

use candle_core::pickle::TensorInfo;
use candle_core::{DType, Device, Tensor};

use crate::{Error, Network};

/// Keys of a PyTorch file under which trainers keep the weights, tried in this order.
pub const NESTS: [&str; 6] = ["state_dict", "model", "model_state_dict", "ema", "net", "params"];
/// Prefixes that wrappers put before every name.
pub const PREFIXES: [&str; 3] = ["module.", "_orig_mod.", "model."];

/// What a file had for a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Tensors that were set.
    pub matched: Vec<String>,
    /// Tensors of the network that the file lacks; only the last layer's may be.
    pub missing: Vec<String>,
    /// Tensors of the file that the network does not have.
    pub unexpected: Vec<String>,
    /// Tensors that have another shape in the file: `(name, the network's, the file's)`; only the last layer's may.
    pub misshaped: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Tensors that keep the random values they started with: `missing` and `misshaped`, all of the last layer.
    pub fresh: Vec<String>,
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tensors set", self.matched.len())?;
        for name in &self.missing {
            write!(f, "; {name} is not in the file")?;
        }
        for (name, expected, found) in &self.misshaped {
            write!(f, "; {name} is {found:?} in the file, {expected:?} in the network")?;
        }
        if !self.fresh.is_empty() {
            write!(f, "; the last layer starts anew, at random: {}", self.fresh.join(", "))?;
        }
        if !self.unexpected.is_empty() {
            write!(f, "; not used: {}", self.unexpected.join(", "))?;
        }
        Ok(())
    }
}

/// Every tensor of a safetensors or PyTorch file in f32, prefixes taken off. `num_batches_tracked`, a counter that no network
/// computes with, is left out.
pub fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, Error> {
    let refuse = |message: String| Error::File { file: path.to_path_buf(), message };
    let mut magic = [0; 2];
    let mut file = std::fs::File::open(path).map_err(|e| refuse(format!("cannot be opened: {e}")))?;
    let short = file.read_exact(&mut magic).is_err();
    drop(file);
    let found: Vec<(String, Tensor)> = if short {
        return Err(refuse("is empty: download it again".into()));
    } else if magic == *b"PK" {
        read_torch(path).map_err(refuse)?
    } else if magic[0] == 0x80 {
        return Err(refuse(
            "is a bare pickle: PyTorch wrote those before 1.6 (load and save it again with a newer one), Paddle still does \
             (convert it with stages/networks/convert/paddle_to_safetensors.py)"
                .into(),
        ));
    } else {
        let read = candle_core::safetensors::load(path, &Device::Cpu);
        let bad = |e| refuse(format!("is neither a safetensors file nor a zip of PyTorch, or is cut short: {e}"));
        read.map_err(bad)?.into_iter().collect()
    };
    let mut found: BTreeMap<String, Tensor> =
        found.into_iter().filter(|(name, _)| !name.ends_with("num_batches_tracked")).collect();
    while let Some(prefix) = PREFIXES.iter().find(|p| !found.is_empty() && found.keys().all(|k| k.starts_with(*p))) {
        found = found.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor)).collect();
    }
    if found.is_empty() {
        return Err(refuse(format!("holds no tensors, neither at the top nor under {}", NESTS.join(", "))));
    }
    for (name, tensor) in &mut found {
        *tensor = tensor.to_dtype(DType::F32)?;
        let finite = tensor.flatten_all()?.to_vec1::<f32>()?.iter().all(|v| v.is_finite());
        if !finite {
            return Err(Error::TensorNotFinite { origin: path.display().to_string(), name: name.clone() });
        }
    }
    Ok(found)
}

fn read_torch(path: &Path) -> Result<Vec<(String, Tensor)>, String> {
    let len = std::fs::metadata(path).map_err(|e| format!("cannot be looked at: {e}"))?.len();
    // The parser indexes into what the pickle claims to be: a damaged one may make it panic. And it makes room for what a tensor's shape says before it reads.
    let read = |key: Option<&str>| {
        let damaged = |_| "has a damaged pickle".to_owned();
        let infos = || candle_core::pickle::read_pth_tensor_info(path, false, key);
        let infos = std::panic::catch_unwind(infos).map_err(damaged)?;
        let is_too_large = |info: &&TensorInfo| bytes_of(info).is_none_or(|bytes| bytes > len);
        if let Some(info) = infos.iter().flatten().find(is_too_large) {
            let shape = info.layout.dims();
            return Err(format!("is damaged: its tensor {} of {shape:?} is larger than the file", info.name));
        }
        std::panic::catch_unwind(|| candle_core::pickle::read_all_with_key(path, key)).map_err(damaged)
    };
    let top = read(None)?.map_err(|e| format!("cannot be read as a zip of PyTorch: {e}"))?;
    if top.iter().any(|(name, _)| !name.ends_with("num_batches_tracked")) {
        return Ok(top);
    }
    for nest in NESTS {
        // A key that is not there is an error of candle's, and no reason to stop.
        if let Ok(found) = read(Some(nest))?
            && !found.is_empty()
        {
            return Ok(found);
        }
    }
    Ok(top)
}

/// Bytes of a tensor, which PyTorch stores uncompressed; `None` where no machine could hold as many.
fn bytes_of(info: &TensorInfo) -> Option<u64> {
    let size = info.dtype.size_in_bytes() as u64;
    info.layout.dims().iter().try_fold(size, |bytes, dim| bytes.checked_mul(u64::try_from(*dim).ok()?))
}

impl Network {
    /// Sets the network from a file. Everything but the last layer must be there, in the network's shape; a last layer that is
    /// missing or of another shape (other classes) keeps its random start, and the report says so. On error nothing is set.
    pub fn load(&self, path: &Path) -> Result<LoadReport, Error> {
        self.set_by_name(&read_tensors(path)?, &path.display().to_string())
    }

    /// The same from tensors in memory; `origin` names them in errors.
    pub fn set_by_name(&self, tensors: &BTreeMap<String, Tensor>, origin: &str) -> Result<LoadReport, Error> {
        let mut report = LoadReport::default();
        let head = format!("{}.", self.head_name());
        for v in self.variables() {
            let (name, expected) = (v.name.clone(), v.var.dims().to_vec());
            let of_head = name.starts_with(&head);
            match tensors.get(&name) {
                None if of_head => {
                    report.missing.push(name.clone());
                    report.fresh.push(name);
                }
                None => return Err(Error::MissingTensor { origin: origin.into(), name, shape: expected }),
                Some(found) if found.dims() != expected => {
                    let found = found.dims().to_vec();
                    if !of_head {
                        return Err(Error::TensorShape { origin: origin.into(), name, expected, found });
                    }
                    report.misshaped.push((name.clone(), expected, found));
                    report.fresh.push(name);
                }
                Some(_) => report.matched.push(name),
            }
        }
        // Half a last layer is none: a bias beside new weights would be of other classes.
        if !report.fresh.is_empty() {
            let (fresh, kept): (Vec<_>, Vec<_>) =
                std::mem::take(&mut report.matched).into_iter().partition(|name| name.starts_with(&head));
            report.matched = kept;
            report.fresh.extend(fresh);
            report.fresh.sort();
        }
        let known: BTreeSet<&str> = self.variables().iter().map(|v| v.name.as_str()).collect();
        report.unexpected = tensors.keys().filter(|name| !known.contains(name.as_str())).cloned().collect();
        let set: BTreeSet<&str> = report.matched.iter().map(String::as_str).collect();
        for v in self.variables().iter().filter(|v| set.contains(v.name.as_str())) {
            v.var.set(&tensors[&v.name].to_dtype(DType::F32)?.contiguous()?.to_device(v.var.device())?)?;
        }
        Ok(report)
    }

    /// Writes the state as a safetensors file; whole or not at all is the caller's care (write beside, then rename).
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let state = self.state()?.into_iter().collect();
        candle_core::safetensors::save(&state, path)
            .map_err(|e| Error::File { file: path.to_path_buf(), message: format!("cannot be written: {e}") })
    }
}
