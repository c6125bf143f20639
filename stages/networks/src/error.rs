//! Why there is no network, or no output of it.

use std::path::PathBuf;

/// Why there is no network, or no output of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that is no architecture.
    #[error("`{0}` is no network: known are resnet18, resnet34, resnet50 and mn01 to mn40 (mn10 is MobileNetV3-Large)")]
    UnknownArchitecture(String),
    /// A configuration that describes no network.
    #[error("{0}")]
    BadConfig(String),
    /// An input of the wrong shape or kind.
    #[error("{0}")]
    BadInput(String),
    /// A file that cannot be read or written.
    #[error("{file}: {message}", file = file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// A tensor that the network needs is not among those given.
    #[error("{origin} has no tensor `{name}` {shape:?}: it is of another network, or not complete")]
    MissingTensor {
        /// File or collection that was searched.
        origin: String,
        /// Name in the network.
        name: String,
        /// The shape it must have.
        shape: Vec<usize>,
    },
    /// A tensor has another shape than the network's.
    #[error("tensor `{name}` of {origin} is {found:?}, the network's is {expected:?}: it is of another network")]
    TensorShape {
        /// File or collection.
        origin: String,
        /// Name in the network.
        name: String,
        /// The network's shape.
        expected: Vec<usize>,
        /// The shape found.
        found: Vec<usize>,
    },
    /// A tensor holds NaN or infinity.
    #[error("tensor `{name}` of {origin} holds a value that is not finite: the file is damaged, or training diverged")]
    TensorNotFinite {
        /// File or collection.
        origin: String,
        /// Name in the file.
        name: String,
    },
    /// candle failed.
    #[error("{}", contract::without_backtrace(.0))]
    Candle(#[from] candle_core::Error),
}
