//! Prepared pictures in, embeddings out, on a device.

mod blocks;

use blocks::{Blocks, Pictures};
use candle_core::DType;
use clip::{Backend, Checkpoint, DeviceChoice, VisionConfig, engine};
use transformer::{Elements, Instructions, Pixels, Tower, peak};

use crate::preprocess::Normalize;
use crate::{Error, Precision, Spec};

pub use transformer::Threads;

/// A loaded network. Shared between threads freely.
pub struct Encoder {
    network: Network,
    normalize_pixels: Normalize,
    config: VisionConfig,
    precision: &'static str,
    normalize: bool,
    batch_size: usize,
    backend: Backend,
    unexpected: Vec<String>,
}

enum Network {
    /// The CPU engine.
    Engine(Box<Tower>),
    /// candle, on a CUDA device.
    Candle(Blocks),
}

impl Encoder {
    /// Loads the image tower of `checkpoint`. `batch_size` is the most pictures that [`Encoder::encode`] will be given.
    pub fn load(
        checkpoint: &Checkpoint,
        spec: &Spec,
        device: DeviceChoice,
        batch_size: usize,
    ) -> Result<Encoder, Error> {
        let normalize_pixels = Normalize::new(checkpoint, spec.preprocessing)?;
        let (opened, on) = device.open()?;
        let (network, backend, unexpected) = if opened.is_cpu() {
            let elements = match spec.precision {
                Precision::F32 => Elements::F32,
                Precision::Bf16 => Elements::Bf16,
                Precision::F16 => {
                    return Err(Error::Clip(clip::Error::Device {
                        device: device.to_string(),
                        message: "the CPU computes in f32 or bf16; `precision = \"f16\"` needs a CUDA device and a build with CUDA"
                            .into(),
                    }));
                }
            };
            let (tower, unexpected) = engine::load(checkpoint, Instructions::best(), elements)?;
            let backend = Backend::engine(&tower);
            (Network::Engine(Box::new(tower)), backend, unexpected)
        } else {
            let dtype = match spec.precision {
                Precision::F32 => DType::F32,
                Precision::Bf16 => DType::BF16,
                Precision::F16 => DType::F16,
            };
            let mut opened = Some(opened);
            let mut queue = || Ok(opened.take().map_or_else(|| device.open().map(|(device, _)| device), Ok)?);
            let (blocks, unexpected) = Blocks::load(checkpoint, &normalize_pixels, dtype, &mut queue)?;
            (Network::Candle(blocks), on, unexpected)
        };
        Ok(Encoder {
            network,
            normalize_pixels,
            config: checkpoint.config().clone(),
            precision: spec.precision.name(),
            normalize: spec.normalize,
            batch_size,
            backend,
            unexpected,
        })
    }

    /// Values of one embedding.
    pub fn dimension(&self) -> usize {
        self.config.projection_dim
    }

    /// The most pictures of one call.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// What it computes on.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Pictures per pass through the network, where the device's memory made it fewer than usual: worth a note, since rounding depends on it.
    pub fn reduced_to(&self) -> Option<usize> {
        match &self.network {
            Network::Engine(_) => None,
            Network::Candle(blocks) => blocks.reduced_to(),
        }
    }

    /// Tensors of the checkpoint that belong to neither tower and were left alone; worth a warning.
    pub fn unexpected_tensors(&self) -> &[String] {
        &self.unexpected
    }

    /// Pictures per second that `threads` threads of this CPU could encode if they did nothing but multiply and add in registers, measured now; `None` on a CUDA
    /// device, which does not tell.
    pub fn limit(&self, threads: usize) -> Option<f64> {
        match &self.network {
            Network::Engine(tower) => {
                Some(peak(tower.instructions(), tower.elements(), threads).flops / tower.flops_per_picture() as f64)
            }
            Network::Candle(_) => None,
        }
    }

    /// Floating-point operations that a picture takes on this CPU, those of the last block for the class token alone; `None` on a CUDA device.
    pub fn flops_per_picture(&self) -> Option<u64> {
        match &self.network {
            Network::Engine(tower) => Some(tower.flops_per_picture()),
            Network::Candle(_) => None,
        }
    }

    /// The embeddings `[n, D]` of `n` pictures as [`crate::Preprocess::crop`] leaves them, `[n, S, S, 3]` bytes, `n` at most the batch size.
    pub fn encode(&self, windows: &[u8], n: usize, threads: Threads) -> Result<Vec<f32>, Error> {
        let values = 3 * self.config.image_size * self.config.image_size;
        assert_eq!(windows.len(), n * values, "resized pictures");
        let embeddings = match &self.network {
            Network::Engine(tower) => tower.encode(Pixels::Bytes(windows, self.normalize_pixels.table()), threads),
            Network::Candle(blocks) => blocks.encode(Pictures::Bytes(windows), n)?,
        };
        self.finish(n, embeddings)
    }

    /// The same of pictures that are normalised already, `[n, 3, S, S]`.
    pub fn encode_pixels(&self, pixels: &[f32], n: usize, threads: Threads) -> Result<Vec<f32>, Error> {
        assert_eq!(pixels.len(), n * 3 * self.config.image_size * self.config.image_size, "prepared pictures");
        let embeddings = match &self.network {
            Network::Engine(tower) => tower.encode(Pixels::Values(pixels), threads),
            Network::Candle(blocks) => blocks.encode(Pictures::Values(pixels), n)?,
        };
        self.finish(n, embeddings)
    }

    /// Scales `n` embeddings where asked for, and refuses what is not finite.
    fn finish(&self, n: usize, mut embeddings: Vec<f32>) -> Result<Vec<f32>, Error> {
        assert!(n <= self.batch_size, "{n} pictures in a batch of {}", self.batch_size);
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

/// Divides by the Euclidean norm.
fn to_unit_length(embedding: &mut [f32]) {
    let norm = embedding.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    for value in embedding {
        *value = (f64::from(*value) / norm) as f32;
    }
}

#[cfg(test)]
mod tests;
