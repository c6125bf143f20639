//! From RGB pictures to CLIP image embeddings.
//!
//! ```text
//! pixels    = normalise(crop(resize(picture)))                         the checkpoint's preprocessing, Pillow's bytes
//! tokens_0  = norm_pre([class; patches(pixels) · E] + positions)       T = (S / P)² + 1 tokens
//! tokens'   = tokens_l + attention(norm_1(tokens_l))                   heads of softmax(q kᵀ / √d) v
//! tokens_l+1 = tokens' + fc2(act(fc1(norm_2(tokens'))))                act: QuickGELU x·σ(1.702 x), or GELU
//! embedding = projection · norm_post(class token of the last block)    D values
//! ```
//!
//! Sources: Radford et al., *Learning Transferable Visual Models From Natural Language Supervision* (2021), `clip/model.py`
//! of openai/CLIP, and `CLIPModel.get_image_features` of Hugging Face transformers, which the values equal to float
//! tolerance (measured by `parity/compare.py` of the crate `clip`, which holds checkpoints and towers).
//!
//! **Output.** `embedding` `[N, D]`, one row per picture, D = `projection_dim` (512 for ViT-B, 768 for ViT-L/14), f32 or
//! f16, raw as `get_image_features` returns it (norm about 10 for OpenAI's ViT-B/32) unless `normalize` makes it unit
//! length; `time` `[N]`, seconds, passed through. Every value is finite.
//!
//! **Invariants.** The same picture gives the same bytes whatever its batch mates, its position among them, the size of
//! the batch and the number of threads. Bytes are promised on one set of instructions (the order of summation follows it);
//! across processors and devices values agree to about 1e-5 relative in f32. bf16 keeps the direction of an embedding: the cosine with f32 is above 0.9999.
//!
//! **Checkpoints.** ✅ any CLIP image tower in the layout of transformers: full models and `clip_vision_model`, one or
//! several safetensors files in f32, f16, bf16 or f64, `quick_gelu` and `gelu`, any `layer_norm_eps`, any patch and picture
//! size. Every tensor must be there, of the right shape and finite: nothing is drawn at random.
//! ✅ `size`, `crop_size`, `resample` (bicubic, bilinear, Lanczos), `image_mean`, `image_std`, `rescale_factor`.
//! 🟧 bytes equal Pillow 13's; older ones resize pictures more than twice as tall as wide in another order ([`resize`]).
//! 🟧 `preprocessing = "hf"` is transformers' processor on Pillow; its torchvision variant resizes slightly differently.
//! ❌ `pytorch_model.bin`, OpenAI's `.pt` archives, ResNet towers, interpolated position embeddings, quantised weights,
//! attention masks.
//!
//! **Pictures.** ✅ any size from 1×1, upscaled where needed; transparency by Pillow's rules
//! ([`Preprocess::crop_rgba`]). ❌ colour profiles, EXIF orientation: the bytes are taken as sRGB, upright.
//!
//! **History of `version`.** 2: own kernels on the CPU, which sum up in another order (differences of about 1e-6 of the largest value); bf16 there,
//! too. 1: first.

pub mod encoder;
pub mod preprocess;
pub mod resize;

use contract::{Cause, Classify, Column, ColumnSpec, Decl, Element, Kind, Rows, Values};
use half::f16;
use serde::{Deserialize, Serialize};

pub use clip::{Backend, Checkpoint, DeviceChoice, ModelInfo};
pub use encoder::{Encoder, Threads};
pub use preprocess::{Normalize, Order, Preprocess, Recipe};

/// The declaration of this stage.
pub const DECL: Decl = Decl {
    id: "encode-clip",
    version: 2,
    kind: Kind::Item,
    inputs: &["extract-frames"],
    summary: "Pictures to CLIP image embeddings",
};

/// The table `[encode-clip]` of `pipeline.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// The checkpoint: a folder with `config.json` and `model.safetensors`, or a name on the Hugging Face hub (`owner/name`
    /// or `owner/name@revision`), looked up in the local cache first.
    pub model: String,
    /// The order of the preprocessing steps: `hf` as transformers, `openai` as openai/CLIP; `auto` is `hf`. For pictures
    /// without transparency they differ by one pixel of crop, and only where the margin to cut off is odd.
    pub preprocessing: Preprocessing,
    /// The arithmetic of the network: `f32`; `bf16`, which keeps two to three decimal digits and half the memory, and is faster on CUDA devices and on
    /// processors with AMX or AVX512_BF16, but slower than `f32` on others; or `f16` on a CUDA device.
    pub precision: Precision,
    /// Scale every embedding to unit length. Off: the raw projection, which the reference's linear probe was fitted on.
    pub normalize: bool,
    /// The stored type: `f32`, or `f16` for half the disk space at a relative rounding error of 5e-4.
    pub dtype: Dtype,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            model: "openai/clip-vit-base-patch32".into(),
            preprocessing: Preprocessing::Auto,
            precision: Precision::F32,
            normalize: false,
            dtype: Dtype::F32,
        }
    }
}

/// [`Params::preprocessing`] as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preprocessing {
    /// As `hf`: the order that the checkpoint's own `preprocessor_config.json` implies.
    Auto,
    /// As openai/CLIP.
    #[serde(rename = "openai")]
    OpenAi,
    /// As Hugging Face transformers.
    Hf,
}

/// The arithmetic of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    F32,
    /// bfloat16, summed up in single precision.
    Bf16,
    /// Half precision, on CUDA devices.
    F16,
}

impl Precision {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16",
        }
    }
}

/// The type that embeddings are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
}

/// What can change the values, besides the bytes of the checkpoint and of the pictures. Part of every key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spec {
    /// Order of the preprocessing steps.
    pub preprocessing: Order,
    /// Arithmetic of the network.
    pub precision: Precision,
    /// Whether embeddings are scaled to unit length.
    pub normalize: bool,
    /// Stored type.
    pub dtype: Dtype,
}

/// Why [`Params`] do not resolve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// `model` is empty.
    #[error(
        "`model` is empty: name a folder with config.json and model.safetensors, or a checkpoint on the hub, e.g. \"openai/clip-vit-base-patch32\""
    )]
    NoModel,
}

impl Params {
    /// Validates and expands. The model is no part of the result: its path does not matter, its bytes do, and they enter the
    /// key as a digest of [`Checkpoint::files`].
    pub fn resolve(&self) -> Result<Spec, ParamsError> {
        if self.model.trim().is_empty() {
            return Err(ParamsError::NoModel);
        }
        let preprocessing = match self.preprocessing {
            Preprocessing::Auto | Preprocessing::Hf => Order::Hf,
            Preprocessing::OpenAi => Order::OpenAi,
        };
        Ok(Spec { preprocessing, precision: self.precision, normalize: self.normalize, dtype: self.dtype })
    }
}

/// Why there is no embedding.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The checkpoint, its weights or the device cannot be used, or the network failed.
    #[error(transparent)]
    Clip(#[from] clip::Error),
    /// The checkpoint does not say how to prepare pictures.
    #[error(
        "the checkpoint has no preprocessor_config.json, so size, mean and standard deviation of its pictures are unknown: copy the file \
         beside config.json, or set `preprocessing = \"openai\"` to use the constants of OpenAI's models"
    )]
    NoPreprocessor,
    /// A picture is empty, or its bytes are not `width * height * channels`.
    #[error("a picture of {width}x{height} pixels with {channels} channels comes with {bytes} bytes")]
    Picture {
        /// Pixels per row.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes that came.
        bytes: usize,
        /// Bytes per pixel.
        channels: usize,
    },
    /// An embedding is not finite or does not fit the stored type.
    #[error("the embedding of picture {row} is not finite in {precision}; use f32")]
    NotFinite {
        /// Position in the call.
        row: usize,
        /// Where it overflowed.
        precision: &'static str,
    },
}

/// candle's errors are those of the network.
impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Error {
        Error::Clip(error.into())
    }
}

impl Classify for Error {
    fn class(&self) -> Cause {
        match self {
            Error::Clip(error) => error.class(),
            Error::NoPreprocessor => Cause::Unsupported,
            Error::Picture { .. } => Cause::Corrupt,
            Error::NotFinite { .. } => Cause::Internal,
        }
    }
}

/// The columns of this stage: `embedding` `[N, dimension]` and `time` `[N]` in seconds.
pub fn columns(dimension: usize, dtype: Dtype) -> Vec<ColumnSpec> {
    let element = match dtype {
        Dtype::F32 => Element::F32,
        Dtype::F16 => Element::F16,
    };
    vec![
        ColumnSpec { name: "embedding".into(), width: Some(dimension), element, unit: String::new() },
        ColumnSpec { name: "time".into(), width: None, element: Element::F64, unit: "s".into() },
    ]
}

/// The value of one item: its embeddings, row after row, and the time of each picture in seconds.
pub fn rows(embeddings: Vec<f32>, times: Vec<f64>, dtype: Dtype) -> Result<Rows, Error> {
    let len = times.len();
    assert!(
        len == 0 && embeddings.is_empty() || len != 0 && embeddings.len().is_multiple_of(len),
        "one embedding per time"
    );
    let width = embeddings.len().checked_div(len);
    let values = match dtype {
        Dtype::F32 => Values::F32(embeddings),
        Dtype::F16 => {
            let halves: Vec<f16> = embeddings.iter().map(|v| f16::from_f32(*v)).collect();
            if let Some(i) = halves.iter().position(|v| !v.is_finite()) {
                return Err(Error::NotFinite { row: i / width.unwrap_or(1), precision: "f16" });
            }
            Values::F16(halves)
        }
    };
    let columns = vec![
        Column { name: "embedding".into(), width, values },
        Column { name: "time".into(), width: None, values: Values::F64(times) },
    ];
    Ok(Rows { len, columns })
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
