//! Resampling of groups.

use std::collections::{BTreeMap, HashMap};

use predictions::Prediction;

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

/// The sums of one system over one group, or over several.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sums {
    pub(crate) rows: u64,
    pub(crate) hits: u64,
    pub(crate) loss: f64,
}

impl Sums {
    pub(crate) fn add(&mut self, other: Sums) {
        self.rows += other.rows;
        self.hits += other.hits;
        self.loss += other.loss;
    }

    pub(crate) fn accuracy(self) -> f64 {
        self.hits as f64 / self.rows as f64
    }

    pub(crate) fn mean_loss(self) -> f64 {
        self.loss / self.rows as f64
    }
}

/// The sums of `N` systems over what is resampled together: a group, or an item without one.
#[derive(Debug)]
pub(crate) struct Clusters<'a, const N: usize> {
    named: BTreeMap<&'a str, [Sums; N]>,
    lone: Vec<[Sums; N]>,
    ids: HashMap<&'a str, usize>,
}

impl<'a, const N: usize> Clusters<'a, N> {
    pub(crate) fn new() -> Self {
        Clusters { named: BTreeMap::new(), lone: Vec::new(), ids: HashMap::new() }
    }

    /// Adds what the systems achieved on a row.
    pub(crate) fn add(&mut self, row: &'a Prediction, sums: [Sums; N]) {
        let cluster = if let Some(group) = &row.group {
            self.named.entry(group).or_insert([Sums::default(); N])
        } else {
            let at = *self.ids.entry(&row.id).or_insert(self.lone.len());
            if at == self.lone.len() {
                self.lone.push([Sums::default(); N]);
            }
            &mut self.lone[at]
        };
        for (mine, more) in cluster.iter_mut().zip(sums) {
            mine.add(more);
        }
    }

    /// The groups by name.
    pub(crate) fn named(&self) -> &BTreeMap<&'a str, [Sums; N]> {
        &self.named
    }

    /// The groups in the order of their names, then the items without a group in the order of the rows.
    pub(crate) fn all(&self) -> Vec<[Sums; N]> {
        self.named.values().copied().chain(self.lone.iter().copied()).collect()
    }
}

/// The sums over as many clusters as there are, drawn with replacement, `resamples` times.
pub(crate) fn draws<const N: usize>(
    clusters: &[[Sums; N]],
    resamples: u32,
    seed: u64,
) -> impl Iterator<Item = [Sums; N]> {
    let mut random = SplitMix64(seed);
    (0..resamples).map(move |_| {
        let mut total = [Sums::default(); N];
        for _ in 0..clusters.len() {
            let drawn = clusters[random.below(clusters.len())];
            for (sum, more) in total.iter_mut().zip(drawn) {
                sum.add(more);
            }
        }
        total
    })
}

/// The 2.5 % and 97.5 % points; sorts the values.
pub(crate) fn interval(values: &mut [f64]) -> [f64; 2] {
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
