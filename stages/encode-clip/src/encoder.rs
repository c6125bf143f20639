//! Prepared pictures in, embeddings out, on a device.

use candle_core::{DType, Device, Tensor};
use clip::image::patchify;
use clip::{Backend, Checkpoint, DeviceChoice, ImageTower, VisionConfig, engine};
use transformer::{Elements, Instructions, Pixels, Tower, peak_flops};

use crate::preprocess::Normalize;
use crate::{Error, Precision, Spec};

pub use transformer::Threads;

/// Pictures per pass through the network on a CUDA device. Fixed, since its library chooses kernels by shape: a picture must not get other
/// bytes because the last batch was short or another batch size was asked for.
const CUDA_BLOCK: usize = 32;

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
    Candle { tower: ImageTower, device: Device, dtype: DType },
}

impl Encoder {
    /// Loads the image tower of `checkpoint`. `batch_size` is the most pictures that [`Encoder::encode`] will be given.
    pub fn load(
        checkpoint: &Checkpoint,
        spec: &Spec,
        device: DeviceChoice,
        batch_size: usize,
    ) -> Result<Encoder, Error> {
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
            let (tower, unexpected) = ImageTower::load(checkpoint, &opened, dtype)?;
            (Network::Candle { tower, device: opened, dtype }, on, unexpected)
        };
        Ok(Encoder {
            network,
            normalize_pixels: Normalize::new(checkpoint, spec.preprocessing)?,
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

    /// Tensors of the checkpoint that belong to neither tower and were left alone; worth a warning.
    pub fn unexpected_tensors(&self) -> &[String] {
        &self.unexpected
    }

    /// Pictures per second that `threads` threads of this CPU could encode if they did nothing but multiply and add in registers, measured now; `None` on a CUDA
    /// device, which does not tell.
    pub fn limit(&self, threads: usize) -> Option<f64> {
        match &self.network {
            Network::Engine(tower) => {
                Some(peak_flops(tower.instructions(), tower.elements(), threads) / tower.flops_per_picture() as f64)
            }
            Network::Candle { .. } => None,
        }
    }

    /// Floating-point operations that a picture takes on this CPU, those of the last block for the class token alone; `None` on a CUDA device.
    pub fn flops_per_picture(&self) -> Option<u64> {
        match &self.network {
            Network::Engine(tower) => Some(tower.flops_per_picture()),
            Network::Candle { .. } => None,
        }
    }

    /// The embeddings `[n, D]` of `n` pictures as [`crate::Preprocess::crop`] leaves them, `[n, S, S, 3]` bytes, `n` at most the batch size.
    pub fn encode(&self, windows: &[u8], n: usize, threads: Threads) -> Result<Vec<f32>, Error> {
        let values = 3 * self.config.image_size * self.config.image_size;
        assert_eq!(windows.len(), n * values, "resized pictures");
        if let Network::Engine(tower) = &self.network {
            return self.finish(n, tower.encode(Pixels::Bytes(windows, self.normalize_pixels.table()), threads));
        }
        let mut pixels = vec![0.0; windows.len()];
        for (window, pixels) in windows.chunks_exact(values).zip(pixels.chunks_exact_mut(values)) {
            self.normalize_pixels.apply(window, pixels);
        }
        self.encode_pixels(&pixels, n, threads)
    }

    /// The same of pictures that are normalised already, `[n, 3, S, S]`.
    pub fn encode_pixels(&self, pixels: &[f32], n: usize, threads: Threads) -> Result<Vec<f32>, Error> {
        assert_eq!(pixels.len(), n * 3 * self.config.image_size * self.config.image_size, "prepared pictures");
        match &self.network {
            Network::Engine(tower) => self.finish(n, tower.encode(Pixels::Values(pixels), threads)),
            Network::Candle { tower, device, dtype } => self.finish(n, self.on_candle(tower, device, *dtype, pixels)?),
        }
    }

    fn on_candle(&self, tower: &ImageTower, device: &Device, dtype: DType, pixels: &[f32]) -> Result<Vec<f32>, Error> {
        let side = self.config.image_size;
        let (patches, patch_len) = (self.config.tokens() - 1, self.config.patch_len());
        let mut embeddings = Vec::new();
        for pictures in pixels.chunks(CUDA_BLOCK * 3 * side * side) {
            let mut input = vec![0.0; CUDA_BLOCK * patches * patch_len];
            for (picture, input) in
                pictures.chunks_exact(3 * side * side).zip(input.chunks_exact_mut(patches * patch_len))
            {
                patchify(picture, side, self.config.patch_size, input);
            }
            let input = Tensor::from_vec(input, (CUDA_BLOCK, patches, patch_len), device)?.to_dtype(dtype)?;
            let output = tower.forward(&input)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            let there = pictures.len() / (3 * side * side);
            embeddings.extend_from_slice(&output[..there * self.dimension()]);
        }
        Ok(embeddings)
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
