//! Networks that hear: from log-mel spectrograms, with an image vector beside them or without, to class logits.
//!
//! Shared by the stages `audio` and `audio-visual`; no stage itself, and no loop of training: that is the crate `training`.
//!
//! # The networks
//!
//! **ResNet-18, -34, -50** (He et al. 2015; version 1.5: the stride lies in the 3x3 convolution), as the reference example has them:
//!
//! ```text
//! log-mel [B, T, M] -> batch norm over the M bands (bn0) -> [B, 1, T, M]
//!   -> conv1 7x7/2, bn1, ReLU, max pool 3x3/2 -> layer1 -> layer2 -> layer3 -> layer4, each followed by Dropout2D
//!   -> mean over time and bands: the feature [B, E], E = 512 (18, 34) or 2048 (50); `Network::embed`
//!   -> dropout -> extra_fc E x E -> ReLU -> dropout -> [with the image vector [B, D] behind it] -> fc (E + D) x K
//! ```
//!
//! Names are torchvision's, and `bn0`, `extra_fc`. The reference has `extra_fc` 2048 x 2048; with 18 and 34 layers it is 512 x 512. Its
//! numbers of parameters are exact: 28,778,191 with 527 classes (28,831,567 with the running statistics), 27,718,858 with ten,
//! 27,723,978 with ten and an image vector of 512.
//!
//! **`mn04` … `mn40`**: EfficientAT's MobileNetV3 ([`Architecture::Mn`], the module `mobilenet`), whose published AudioSet weights load by
//! name. It wants the log-mel preset `efficientat`. `embed` is the pooled feature (384 numbers for `mn04`), which serves frozen.
//!
//! # Conventions
//!
//! - Batch norm: eps 1e-5 and PyTorch's momentum 0.1 (`running = 0.9 running + 0.1 new`), which Paddle calls 0.9; `mn`: 1e-3 and 0.01.
//!   In training the batch is normalised with its biased variance, the running variance takes the unbiased one, as in PyTorch.
//!   (Paddle takes the biased one there, too: after training on batches of N values they differ by the factor N / (N - 1).)
//! - Dropout draws from the generator that [`Mode::Train`] brings: the same state, the same masks; a run that is resumed with the saved
//!   generator goes on as if it had not stopped. [`Mode::Eval`] has no gradients: asking for them is an error.
//! - Weights start as torchvision's do, seeded: the module `parameters` has the table.
//! - A file's weights must be whole, but for the last layer ([`Network::load`], [`LoadReport`]). Paddle's files are converted by
//!   `convert/paddle_to_safetensors.py`.
//!
//! # How it is computed
//!
//! On the CPU by kernels of this crate, as operations of candle with gradients of their own: convolution as a product with a matrix that
//! is never built (implicit im2col), fused with batch norm, residual and activation; depthwise convolution; pooling. Everything is f32,
//! sums over many values go on in f64, and the number of threads changes no bit. On other devices (feature `cuda`) candle's own
//! operations are composed to the same formulas. `benches/training.rs` measures both against PyTorch.
//!
//! # Of the input
//!
//! Honoured: any number of frames, and in training any batch; a frame or a clip alone is no batch for a batch norm, and its running variance
//! then takes the biased one. Refused: other numbers of bands or image numbers, other types than f32. NaN goes through: the caller looks.

mod config;
mod error;
mod kernel;
mod layers;
mod mobilenet;
mod mode;
mod network;
mod ops;
mod parameters;
mod resnet;
#[cfg(test)]
mod tests;
mod weights;

pub use config::{Architecture, Config, Dropout};
pub use error::Error;
pub use mode::Mode;
pub use network::Network;
pub use parameters::Variable;
pub use weights::{LoadReport, NESTS, PREFIXES, read_tensors};
