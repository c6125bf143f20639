//! Prepared pictures in, embeddings out, on a device.

use candle_core::{DType, Device, Tensor};
use clip::image::patchify;
use clip::{Backend, Checkpoint, DeviceChoice, ImageTower, VisionConfig};

use crate::preprocess::Normalize;
use crate::{Error, Precision, Spec};

/// Pictures per pass through the network on a CPU. Fixed, since the matrix kernel's order of summation may follow the number of
/// rows: a picture must not get other bytes because the last batch was short or another batch size was asked for.
/// Eight has most of the throughput of large blocks (ViT-B/32 on two cores: 5.7 pictures/s one by one, 9.0 by ten, 9.8 by 32)
/// and wastes little on a short batch.
const CPU_BLOCK: usize = 8;

/// The same on a CUDA device, whose library chooses kernels by shape.
const CUDA_BLOCK: usize = 32;

/// Who computes a call on a CPU; a CUDA device does not care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread alone: several may call at once, which wastes nothing on waiting for each other.
    One,
    /// All threads of the rayon pool that the call is made in.
    All,
}

/// A loaded network. Shared between threads freely.
pub struct Encoder {
    normalize_pixels: Normalize,
    tower: ImageTower,
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
            return Err(Error::Clip(clip::Error::Device {
                device: device.to_string(),
                message: format!(
                    "the CPU computes in f32 only; `precision = \"{precision}\"` needs a CUDA device and a build with CUDA"
                ),
            }));
        }
        let config = checkpoint.config().clone();
        let normalize_pixels = Normalize::new(checkpoint, spec.preprocessing)?;
        let (tower, unexpected) = ImageTower::load(checkpoint, &opened, dtype)?;
        let block = if opened.is_cpu() { CPU_BLOCK } else { CUDA_BLOCK };
        let (normalize, device) = (spec.normalize, opened);
        Ok(Encoder {
            normalize_pixels,
            tower,
            config,
            device,
            dtype,
            precision,
            normalize,
            block,
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

    /// The embeddings `[n, D]` of `n` pictures as [`crate::Preprocess::crop`] leaves them, `[n, S, S, 3]` bytes, `n` at most the batch size.
    pub fn encode(&self, windows: &[u8], n: usize, threads: Threads) -> Result<Vec<f32>, Error> {
        let values = 3 * self.config.image_size * self.config.image_size;
        assert_eq!(windows.len(), n * values, "resized pictures");
        let mut pixels = vec![0.0; windows.len()];
        for (window, pixels) in windows.chunks_exact(values).zip(pixels.chunks_exact_mut(values)) {
            self.normalize_pixels.apply(window, pixels);
        }
        self.encode_pixels(&pixels, n, threads)
    }

    /// The same of pictures that are normalised already, `[n, 3, S, S]`.
    pub fn encode_pixels(&self, pixels: &[f32], n: usize, _threads: Threads) -> Result<Vec<f32>, Error> {
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

/// Divides by the Euclidean norm.
fn to_unit_length(embedding: &mut [f32]) {
    let norm = embedding.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    for value in embedding {
        *value = (f64::from(*value) / norm) as f32;
    }
}

#[cfg(test)]
mod tests;
