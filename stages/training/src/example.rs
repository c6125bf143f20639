//! Where training clips come from.

use std::error::Error as StdError;

/// One clip.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Example {
    /// Log-mel in dB, `[T][n_mels]`.
    pub log_mel: Vec<f32>,
    /// The image vector, `[D]`, where the network wants one.
    pub image: Option<Vec<f32>>,
}

/// A set of clips that are read one at a time, when they are needed: a data set need not fit into memory.
///
/// `index` counts from 0 to the number of clips; what it means is the source's affair. Examples are asked for from several
/// threads at once.
pub trait Source: Sync {
    /// The classes, in the order of the network's outputs.
    fn classes(&self) -> &[String];
    /// The clip's name, for messages and for the fingerprint of a run.
    fn id(&self, index: usize) -> &str;
    /// The clip's class, an index into [`Source::classes`]; `None`: not known.
    fn class(&self, index: usize) -> Option<usize>;
    /// The clip. Must give the same values whenever it is asked.
    fn example(&self, index: usize) -> Result<Example, Box<dyn StdError + Send + Sync>>;
}
