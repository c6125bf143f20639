//! Networks that hear: ResNet and MobileNetV3 over log-mel spectrograms, with an image vector beside them or without.
//!
//! Shared by the stages `audio` and `audio-visual`; no stage itself.

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
