//! The convex weights of the smallest log loss.

/// The iteration ends when the loss is proven to be this close to the optimum, in nats.
const TOLERANCE: f64 = 1e-10;
/// Steps at most. A step over 1000 rows of 4 systems takes some 10 microseconds.
const STEPS: u32 = 100_000;

/// The end of the iteration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Optimum {
    /// `[systems]`, at least 0, sum 1.
    pub(crate) weights: Vec<f64>,
    /// The loss is at most so much above the optimum.
    pub(crate) gap: f64,
    pub(crate) steps: u32,
}

/// Minimises `-mean ln (w · p_i)` over convex `w`; `truths` is `[rows][systems]`, the probabilities of the true classes.
pub(crate) fn minimise(truths: &[f64], systems: usize) -> Optimum {
    let rows: Vec<&[f64]> = truths.chunks_exact(systems).filter(|row| row.iter().any(|p| *p > 0.0)).collect();
    let mut weights = vec![1.0 / systems as f64; systems];
    let mut steps = 0;
    loop {
        let factors = factors(&rows, &weights);
        let gap = factors.iter().fold(0.0f64, |largest, factor| largest.max(factor - 1.0));
        if gap <= TOLERANCE || steps == STEPS {
            return Optimum { weights, gap, steps };
        }
        for (weight, factor) in weights.iter_mut().zip(factors) {
            *weight *= factor;
        }
        // The sum is 1 but for rounding, which would add up.
        let sum: f64 = weights.iter().sum();
        for weight in &mut weights {
            *weight /= sum;
        }
        steps += 1;
    }
}

/// `g_s`; without rows every weight is as good as any other.
fn factors(rows: &[&[f64]], weights: &[f64]) -> Vec<f64> {
    if rows.is_empty() {
        return vec![1.0; weights.len()];
    }
    let mut factors = vec![0.0; weights.len()];
    for row in rows {
        let mixed: f64 = row.iter().zip(weights).map(|(p, w)| p * w).sum();
        for (factor, p) in factors.iter_mut().zip(*row) {
            // A weight that has shrunk to nothing can leave a row without probability; p / 0 would end the iteration.
            *factor += p / mixed.max(f64::MIN_POSITIVE);
        }
    }
    factors.iter().map(|factor| factor / rows.len() as f64).collect()
}
