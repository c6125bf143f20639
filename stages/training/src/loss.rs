//! The loss of training, and the figures of a selection.

use candle_core::{D, Result, Tensor};

/// `-mean_i sum_k target_ik * log softmax(logits_i)_k`, a scalar: the log loss, also of mixed targets.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let log_probabilities = candle_nn::ops::log_softmax(logits, D::Minus1)?;
    (log_probabilities * targets)?.sum(D::Minus1)?.mean_all()?.neg()
}

/// Softmax in f64.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = logits.iter().map(|z| f64::from(z - largest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|e| e / sum).collect()
}

/// How well clips are classified.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figures {
    pub(crate) log_loss: f64,
    pub(crate) accuracy: f64,
    pub(crate) macro_accuracy: f64,
}

/// Figures of `logits` (a row per clip) against the clips' classes; every class has a clip. Ties go to the first class.
pub(crate) fn figures(logits: &[Vec<f32>], classes: &[usize]) -> Figures {
    let count = logits.first().map_or(0, Vec::len);
    let (mut loss, mut right, mut all) = (0.0, vec![0usize; count], vec![0usize; count]);
    for (row, class) in logits.iter().zip(classes) {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let log_sum = row.iter().map(|z| f64::from(z - largest).exp()).sum::<f64>().ln();
        loss += log_sum - f64::from(row[*class] - largest);
        all[*class] += 1;
        right[*class] += usize::from(row.iter().position(|z| *z >= largest) == Some(*class));
    }
    let n = classes.len() as f64;
    let shares: Vec<f64> =
        right.iter().zip(&all).filter(|(_, all)| **all > 0).map(|(right, all)| *right as f64 / *all as f64).collect();
    Figures {
        log_loss: loss / n,
        accuracy: right.iter().sum::<usize>() as f64 / n,
        macro_accuracy: shares.iter().sum::<f64>() / shares.len() as f64,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use candle_core::Device;

    #[test]
    fn mixed_targets_give_the_mixed_loss() {
        let logits = Tensor::new(&[[1.0f32, 2.0, 0.5], [0.0, -1.0, 3.0]], &Device::Cpu).unwrap();
        let loss = |rows: [[f32; 3]; 2]| {
            cross_entropy(&logits, &Tensor::new(&rows, &Device::Cpu).unwrap()).unwrap().to_scalar::<f32>().unwrap()
        };
        let (a, b) = ([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]);
        let mixed = loss([[0.3, 0.0, 0.7], [0.7, 0.0, 0.3]]);
        assert!((mixed - (0.3 * loss(a) + 0.7 * loss(b))).abs() < 1e-6);
        let by_hand = |z: [f64; 3], k: usize| z.iter().map(|z| z.exp()).sum::<f64>().ln() - z[k];
        let expected = f64::midpoint(by_hand([1.0, 2.0, 0.5], 0), by_hand([0.0, -1.0, 3.0], 2));
        assert!((f64::from(loss(a)) - expected).abs() < 1e-6);
    }

    #[test]
    fn figures_of_three_clips() {
        let figures = figures(&[vec![2.0, 0.0], vec![2.0, 0.0], vec![1.0, 0.0]], &[0, 0, 1]);
        let expected = (2.0 * ((2f64.exp() + 1.0).ln() - 2.0) + (1f64.exp() + 1.0).ln()) / 3.0;
        assert!((figures.log_loss - expected).abs() < 1e-12);
        assert!((figures.accuracy - 2.0 / 3.0).abs() < 1e-12);
        assert!((figures.macro_accuracy - 0.5).abs() < 1e-12);
        let softmax = softmax(&[1000.0, 1000.0]);
        assert_eq!(softmax, [0.5, 0.5]);
    }
}
