//! What training asks of a network.

use candle_core::{Tensor, Var};

use crate::Error;

/// A batch, as a network takes it.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Log-mel in dB, `[B, T, n_mels]`.
    pub log_mel: Tensor,
    /// One image vector per clip, `[B, D]`, for a network that sees.
    pub image: Option<Tensor>,
}

/// How a network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Running statistics, no dropout: a row depends on nothing but its clip.
    Evaluate,
    /// Statistics of the batch, which also move the running ones, and dropout drawn from this seed.
    Train {
        /// Changes with every step; the same seed draws the same dropout.
        seed: u64,
    },
}

/// One tensor of a network's state.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name, unique in the network.
    pub name: String,
    /// The tensor itself, f32 and contiguous; setting it changes the network.
    pub var: Var,
    /// Whether the optimiser moves it. Running statistics and frozen weights are state all the same.
    pub trainable: bool,
}

/// A classifier of log-mel spectrograms that can be trained.
pub trait Network {
    /// What it is, for fingerprints and messages, such as `resnet18`.
    fn name(&self) -> &str;
    /// Bands that it hears.
    fn n_mels(&self) -> usize;
    /// Length of the image vector that it also wants; `None`: it only hears.
    fn image_width(&self) -> Option<usize>;
    /// Number of classes, `K`.
    fn classes(&self) -> usize;
    /// Logits `[B, K]`.
    fn forward(&self, batch: &Batch, mode: Mode) -> Result<Tensor, Error>;
    /// The vector that the last layer is applied to, `[B, E]`, in evaluation mode.
    fn embed(&self, batch: &Batch) -> Result<Tensor, Error>;
    /// Everything that makes the network what it is, weights and running statistics, always in the same order.
    fn variables(&self) -> Vec<Variable>;
}
