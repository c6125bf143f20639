//! Resampling of groups.

/// Sebastiano Vigna's `SplitMix64`: 64 bits of state, the same numbers on every machine for ever.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`: the high half of the product (bias below `end / 2^64`).
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}

/// The sums over one group, or over several.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    pub(crate) rows: u64,
    pub(crate) hits: u64,
    pub(crate) loss: f64,
}

/// The 2.5 % and 97.5 % points of accuracy and of log loss over `resamples` draws of as many groups with replacement.
pub(crate) fn intervals(groups: &[Sums], resamples: u32, seed: u64) -> ([f64; 2], [f64; 2]) {
    let mut random = SplitMix64(seed);
    let mut draw = |_| {
        let mut sums = Sums::default();
        for _ in 0..groups.len() {
            let group = groups[random.below(groups.len())];
            sums.rows += group.rows;
            sums.hits += group.hits;
            sums.loss += group.loss;
        }
        (sums.hits as f64 / sums.rows as f64, sums.loss / sums.rows as f64)
    };
    let (mut accuracy, mut loss): (Vec<f64>, Vec<f64>) = (0..resamples).map(&mut draw).unzip();
    (ends(&mut accuracy), ends(&mut loss))
}

fn ends(values: &mut [f64]) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    [0.025, 0.975].map(|share| quantile(values, share))
}

/// Linear between neighbours, as `numpy.quantile`.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let low = at.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (at - low as f64) * (sorted[high] - sorted[low])
}
