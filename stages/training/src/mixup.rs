//! Mixup: every clip of a batch blended with another one (Zhang et al., 2018, "mixup: Beyond Empirical Risk Minimization").

use rand::Rng;
use rand::seq::SliceRandom as _;
use rand_distr::{Beta, Distribution as _};

/// One lambda for the whole batch, as in the reference, and each clip's partner.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// Share of the clip itself, 0 to 1.
    pub lambda: f32,
    /// Position of each clip's partner in the batch: a permutation.
    pub partner: Vec<usize>,
}

impl Mix {
    /// Draws lambda from Beta(alpha, alpha), and the partners. `alpha` must be greater than 0.
    pub fn draw(alpha: f64, batch: usize, rng: &mut impl Rng) -> Mix {
        let lambda = Beta::new(alpha, alpha).map_or(1.0, |beta| beta.sample(rng)) as f32;
        let mut partner: Vec<usize> = (0..batch).collect();
        partner.shuffle(rng);
        Mix { lambda, partner }
    }

    /// Blends the rows of `x` (`[batch][width]`): `lambda * x_i + (1 - lambda) * x_partner(i)`.
    ///
    /// Spectrograms are mixed in dB; image vectors and targets take the same lambda and partners, and a target that is
    /// mixed gives the reference's loss, `lambda * NLL(p, y) + (1 - lambda) * NLL(p, y_partner)`.
    pub fn apply(&self, x: &[f32], width: usize) -> Vec<f32> {
        let mut mixed = Vec::with_capacity(x.len());
        for (own, partner) in self.partner.iter().enumerate() {
            let (own, other) = (&x[own * width..][..width], &x[partner * width..][..width]);
            mixed.extend(own.iter().zip(other).map(|(a, b)| self.lambda * a + (1.0 - self.lambda) * b));
        }
        mixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn rows_are_blended_with_their_partners() {
        let mix = Mix { lambda: 0.75, partner: vec![1, 0] };
        assert_eq!(mix.apply(&[0.0, 4.0, 8.0, 0.0], 2), vec![2.0, 3.0, 6.0, 1.0]);
        let alone = Mix { lambda: 0.3, partner: vec![0, 1] };
        assert_eq!(alone.apply(&[1.0, 2.0], 1), vec![1.0, 2.0]);
    }

    #[test]
    fn lambda_has_the_mean_and_the_variance_of_the_distribution() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let drawn: Vec<f64> = (0..20_000).map(|_| f64::from(Mix::draw(0.5, 4, &mut rng).lambda)).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let variance = drawn.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
        // Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1)) = 1/8
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        assert!((variance - 0.125).abs() < 0.005, "{variance}");
    }

    #[test]
    fn partners_are_a_permutation() {
        let mut partner = Mix::draw(0.5, 9, &mut ChaCha8Rng::seed_from_u64(1)).partner;
        partner.sort_unstable();
        assert_eq!(partner, (0..9).collect::<Vec<_>>());
    }
}
