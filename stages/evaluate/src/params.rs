//! The table `[evaluate]` of pipeline.toml as written, and what it resolves to.

use serde::{Deserialize, Serialize};

/// The table `[evaluate]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// The split that is evaluated. Choose parameters on `val`; look at `test` once.
    pub split: String,
    /// Resamples for the 95 % intervals; 0: no intervals. 1000 settle an interval's ends to about a tenth of its width.
    pub bootstrap: u32,
    /// Seed of the resampling.
    pub seed: u64,
    /// Equal bins of the largest probability, for the calibration error and the reliability diagram. 15 as in Guo et al.
    /// 2017 (arXiv 1706.04599).
    pub bins: usize,
}

impl Default for Params {
    fn default() -> Self {
        Params { split: "test".to_owned(), bootstrap: 1000, seed: 0, bins: 15 }
    }
}

/// The parameters after validation: exactly what can change the values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// As [`Params::split`]; not empty.
    pub split: String,
    /// As [`Params::bootstrap`]; 0 or at least 100.
    pub bootstrap: u32,
    /// As [`Params::seed`].
    pub seed: u64,
    /// As [`Params::bins`]; 2 to 100.
    pub bins: usize,
}

impl Params {
    /// Validates the table.
    pub fn resolve(&self) -> Result<Spec, ParamsError> {
        if self.split.is_empty() {
            return Err(ParamsError::NoSplit);
        }
        if (1..100).contains(&self.bootstrap) {
            return Err(ParamsError::FewResamples(self.bootstrap));
        }
        if !(2..=100).contains(&self.bins) {
            return Err(ParamsError::Bins(self.bins));
        }
        Ok(Spec { split: self.split.clone(), bootstrap: self.bootstrap, seed: self.seed, bins: self.bins })
    }
}

/// What is wrong with the table `[evaluate]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// `split` is empty.
    #[error("split = \"\": name the split to evaluate, e.g. \"test\"")]
    NoSplit,
    /// So few resamples that the ends of a 95 % interval are single draws.
    #[error("bootstrap = {0}: use at least 100 resamples (the default is 1000), or 0 for no intervals")]
    FewResamples(u32),
    /// Bins that say nothing.
    #[error("bins = {0}: use 2 to 100 bins of the largest probability (the default is 15)")]
    Bins(usize),
}
