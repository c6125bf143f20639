//! Mean 0 and variance 1 per feature.

use serde::{Deserialize, Serialize};

/// A shift and a scale per feature, as scikit-learn's `StandardScaler`: `(x - mean) / scale`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standardizer {
    /// Mean of each feature over the training items.
    pub mean: Vec<f64>,
    /// Standard deviation (divided by n) of each feature over the training items; 1 for a constant feature.
    pub scale: Vec<f64>,
}

impl Standardizer {
    /// Mean and standard deviation of `x`, `[n][dim]` finite values with `n > 0`.
    pub fn fit(x: &[f32], dim: usize) -> Self {
        let n = (x.len() / dim) as f64;
        let (mean, variance) = moments(x, dim);
        let scale = mean.iter().zip(&variance).map(|(mean, variance)| {
            // scikit-learn's bound on what rounding alone can make of a constant feature
            let rounding = n * f64::EPSILON * variance + (n * mean * f64::EPSILON).powi(2);
            if *variance <= rounding { 1.0 } else { variance.sqrt() }
        });
        Standardizer { scale: scale.collect(), mean }
    }
}

/// Mean and variance (divided by n) of each feature, in two passes.
pub(crate) fn moments(x: &[f32], dim: usize) -> (Vec<f64>, Vec<f64>) {
    let n = (x.len() / dim) as f64;
    let mut mean = vec![0.0; dim];
    for row in x.chunks_exact(dim) {
        for (total, value) in mean.iter_mut().zip(row) {
            *total += f64::from(*value);
        }
    }
    for total in &mut mean {
        *total /= n;
    }
    let mut variance = vec![0.0; dim];
    for row in x.chunks_exact(dim) {
        for ((total, value), mean) in variance.iter_mut().zip(row).zip(&mean) {
            *total += (f64::from(*value) - mean).powi(2);
        }
    }
    for total in &mut variance {
        *total /= n;
    }
    (mean, variance)
}
