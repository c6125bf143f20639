//! Prepared pictures in, embeddings out, on a device.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::config::VisionConfig;
use crate::tower::Tower;
use crate::weights::Weights;
use crate::{Error, Precision, Spec};

/// Pictures per pass through the network on a CPU. Fixed, since the matrix kernel's order of summation may follow the number of
/// rows: a picture must not get other bytes because the last batch was short or another batch size was asked for.
/// Eight has most of the throughput of large blocks (ViT-B/32 on two cores: 5.7 pictures/s one by one, 9.0 by ten, 9.8 by 32)
/// and wastes little on a short batch.
const CPU_BLOCK: usize = 8;

/// The same on a CUDA device, whose library chooses kernels by shape.
const CUDA_BLOCK: usize = 32;

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first CUDA device if this build has CUDA and there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device with this number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "cuda" => Ok(DeviceChoice::Cuda(0)),
            _ => match text.strip_prefix("cuda:").map(str::parse) {
                Some(Ok(ordinal)) => Ok(DeviceChoice::Cuda(ordinal)),
                _ => Err(Error::Device {
                    device: text.into(),
                    message: "expected \"auto\", \"cpu\" or \"cuda:N\"".into(),
                }),
            },
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> String {
        choice.to_string()
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl DeviceChoice {
    fn open(self) -> Result<(Device, Backend), Error> {
        match self {
            DeviceChoice::Cuda(ordinal) => cuda(ordinal),
            DeviceChoice::Auto if candle_core::utils::cuda_is_available() => match cuda(0) {
                // A CUDA build on a machine without a device. Any other failure is one, not a reason to be slow.
                Err(Error::Device { message, .. }) if message.contains("NO_DEVICE") => {
                    Ok((Device::Cpu, Backend::cpu()))
                }
                opened => opened,
            },
            DeviceChoice::Cpu | DeviceChoice::Auto => Ok((Device::Cpu, Backend::cpu())),
        }
    }
}

#[cfg(feature = "cuda")]
fn cuda(ordinal: usize) -> Result<(Device, Backend), Error> {
    let failed =
        |e: String| Error::Device { device: format!("cuda:{ordinal}"), message: format!("cannot be opened: {e}") };
    let device = Device::new_cuda(ordinal).map_err(|e| failed(e.to_string()))?;
    let stream = device.as_cuda_device()?.cuda_stream();
    let name = stream.context().name().map_err(|e| failed(e.to_string()))?;
    let (major, minor) = stream.context().compute_capability().map_err(|e| failed(e.to_string()))?;
    let backend = Backend {
        device: format!("cuda: {name}"),
        instructions: format!("sm_{major}{minor}"),
        library: LIBRARY.into(),
    };
    Ok((device, backend))
}

#[cfg(not(feature = "cuda"))]
fn cuda(ordinal: usize) -> Result<(Device, Backend), Error> {
    Err(Error::Device {
        device: format!("cuda:{ordinal}"),
        message:
            "this is a CPU build; use a build with CUDA (cargo build --release --features cuda), or `device = \"cpu\"`"
                .into(),
    })
}

const LIBRARY: &str = "candle 0.11";

/// What the values were computed on: provenance, no part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backend {
    /// `cpu`, or the name of the CUDA device.
    pub device: String,
    /// Architecture and the extensions that matter to the matrix kernel.
    pub instructions: String,
    /// The tensor library.
    pub library: String,
}

impl Backend {
    fn cpu() -> Backend {
        #[cfg(target_arch = "x86_64")]
        let extensions: Vec<&str> = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ]
        .into_iter()
        .filter_map(|(name, there)| there.then_some(name))
        .collect();
        #[cfg(not(target_arch = "x86_64"))]
        let extensions: Vec<&str> = Vec::new();
        let instructions = std::iter::once(std::env::consts::ARCH).chain(extensions).collect::<Vec<_>>().join("+");
        Backend { device: "cpu".into(), instructions, library: LIBRARY.into() }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}), {}", self.device, self.instructions, self.library)
    }
}

/// A loaded network. Shared between threads freely; one call keeps all cores busy by itself.
pub struct Encoder {
    tower: Tower,
    config: VisionConfig,
    device: Device,
    dtype: DType,
    precision: &'static str,
    normalize: bool,
    block: usize,
    batch_size: usize,
    backend: Backend,
    unexpected: Vec<String>,
}

impl Encoder {
    /// Loads the image tower of `checkpoint`. `batch_size` is the most pictures that [`Encoder::encode`] will be given.
    pub fn load(
        checkpoint: &Checkpoint,
        spec: &Spec,
        device: DeviceChoice,
        batch_size: usize,
    ) -> Result<Encoder, Error> {
        let (opened, backend) = device.open()?;
        let (dtype, precision) = match spec.precision {
            Precision::F32 => (DType::F32, "f32"),
            Precision::Bf16 => (DType::BF16, "bf16"),
            Precision::F16 => (DType::F16, "f16"),
        };
        if opened.is_cpu() && dtype != DType::F32 {
            return Err(Error::Device {
                device: device.to_string(),
                message: format!(
                    "the CPU computes in f32 only; `precision = \"{precision}\"` needs a CUDA device and a build with CUDA"
                ),
            });
        }
        let config = checkpoint.config().clone();
        let mut weights = Weights::read(checkpoint.weight_files(), &config)?;
        let unexpected = std::mem::take(&mut weights.unexpected);
        let tower = Tower::new(weights, &config, &opened, dtype)?;
        let block = if opened.is_cpu() { CPU_BLOCK } else { CUDA_BLOCK };
        let (normalize, device) = (spec.normalize, opened);
        Ok(Encoder { tower, config, device, dtype, precision, normalize, block, batch_size, backend, unexpected })
    }

    /// Values of one embedding.
    pub fn dimension(&self) -> usize {
        self.config.projection_dim
    }

    /// The most pictures of one call.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Pictures that the network computes at a time whatever it is given: multiples of it waste nothing.
    pub fn block(&self) -> usize {
        self.block
    }

    /// What it computes on.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Tensors of the checkpoint that belong to neither tower and were left alone; worth a warning.
    pub fn unexpected_tensors(&self) -> &[String] {
        &self.unexpected
    }

    /// The embeddings `[n, D]` of `n` prepared pictures `[n, 3, S, S]`, `n` at most the batch size.
    pub fn encode(&self, pixels: &[f32], n: usize) -> Result<Vec<f32>, Error> {
        let side = self.config.image_size;
        assert!(n <= self.batch_size, "{n} pictures in a batch of {}", self.batch_size);
        assert_eq!(pixels.len(), n * 3 * side * side, "prepared pictures");
        let (patches, patch_len) = (self.config.tokens() - 1, self.config.patch_len());
        let mut embeddings = Vec::with_capacity(n * self.dimension());
        for pictures in pixels.chunks(self.block * 3 * side * side) {
            let mut input = vec![0.0; self.block * patches * patch_len];
            for (picture, input) in
                pictures.chunks_exact(3 * side * side).zip(input.chunks_exact_mut(patches * patch_len))
            {
                patchify(picture, side, self.config.patch_size, input);
            }
            let input =
                Tensor::from_vec(input, (self.block, patches, patch_len), &self.device)?.to_dtype(self.dtype)?;
            let output = self.tower.forward(&input)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            let there = pictures.len() / (3 * side * side);
            embeddings.extend_from_slice(&output[..there * self.dimension()]);
        }
        for (row, embedding) in embeddings.chunks_exact_mut(self.dimension()).enumerate() {
            if self.normalize {
                to_unit_length(embedding);
            }
            if !embedding.iter().all(|v| v.is_finite()) {
                return Err(Error::NotFinite { row, precision: self.precision });
            }
        }
        Ok(embeddings)
    }
}

/// Cuts a picture `[3][S][S]` into patches `[G G][3][P][P]`, row by row; a rest at the right and bottom is left out.
fn patchify(picture: &[f32], side: usize, patch: usize, out: &mut [f32]) {
    let grid = side / patch;
    for (i, out) in out.chunks_exact_mut(3 * patch * patch).enumerate() {
        let (top, left) = (i / grid * patch, i % grid * patch);
        for (line, out) in out.chunks_exact_mut(patch).enumerate() {
            let (channel, y) = (line / patch, line % patch);
            let start = (channel * side + top + y) * side + left;
            out.copy_from_slice(&picture[start..start + patch]);
        }
    }
}

/// Divides by the Euclidean norm.
fn to_unit_length(embedding: &mut [f32]) {
    let norm = embedding.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    for value in embedding {
        *value = (f64::from(*value) / norm) as f32;
    }
}

#[cfg(test)]
mod tests;
