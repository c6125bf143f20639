//! Two systems on the same rows.

use std::collections::HashMap;

use predictions::{Prediction, Predictions, Protocol};
use serde::{Deserialize, Serialize};

use crate::bootstrap::{Clusters, Sums, draws, interval};
use crate::metrics::judged;
use crate::{Error, Spec};

/// Two systems on the rows that both decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What a row is.
    pub protocol: Protocol,
    /// One system.
    pub a: String,
    /// The other.
    pub b: String,
    /// Rows of the split that both decided; everything here rests on them.
    pub n: u64,
    /// Rows that `a` alone decided.
    pub only_a: u64,
    /// Rows that `b` alone decided.
    pub only_b: u64,
    /// Groups that were resampled.
    pub groups: usize,
    /// Of the accuracy; above 0: `a` is better.
    pub accuracy: Difference,
    /// Of the log loss; below 0: `a` is better.
    pub log_loss: Difference,
    /// The exact test over rows.
    pub mcnemar: McNemar,
}

/// A figure of both systems, and how far apart they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Of the one system.
    pub a: f64,
    /// Of the other.
    pub b: f64,
    /// `a - b`.
    pub difference: f64,
    /// 95 % interval of the difference, paired bootstrap over groups; `null` with fewer than two groups or no resampling.
    pub interval: Option<[f64; 2]>,
    /// Two-sided p value that the difference is 0, of the same resampling.
    pub p: Option<f64>,
}

/// McNemar's exact test: rows are taken for independent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Rows that only `a` has right.
    pub only_a_right: u64,
    /// Rows that only `b` has right.
    pub only_b_right: u64,
    /// Two-sided p value that both are right equally often.
    pub p: f64,
}

/// Compares two systems of one protocol; `None` when no row of the split was decided by both.
pub fn compare(a: &Predictions, b: &Predictions, spec: &Spec) -> Result<Option<Comparison>, Error> {
    let pair = |problem| Error::Pair { a: a.system.clone(), b: b.system.clone(), protocol: a.protocol, problem };
    if a.protocol != b.protocol {
        return Err(pair(format!("the latter is of the protocol {}", b.protocol)));
    }
    if a.classes != b.classes {
        let [first, second] = [&a.classes, &b.classes].map(|classes| classes.join(", "));
        return Err(pair(format!("their classes differ: ({first}) and ({second}). Run both on one data set")));
    }
    let (truths, _) = (a.truths()?, b.truths()?);
    let in_split = |row: &&Prediction| row.split == spec.split;
    let other: HashMap<_, _> = b.rows.iter().map(|row| (row.key(), row)).collect();
    let mut clusters = Clusters::new();
    let (mut total, mut only_a, mut discordant) = ([Sums::default(); 2], 0, [0, 0]);
    for (row, truth) in a.rows.iter().zip(truths).filter(|(row, _)| in_split(row)) {
        let Some(same) = other.get(&row.key()) else {
            only_a += 1;
            continue;
        };
        if (&row.label, &row.group, &row.split) != (&same.label, &same.group, &same.split) {
            let problem = format!("they disagree about label, group or split of item `{}`. Run both again", row.id);
            return Err(pair(problem));
        }
        let sums = [row, same].map(|row| judged(row.decision(), truth, &row.probabilities));
        for (total, more) in total.iter_mut().zip(sums) {
            total.add(more);
        }
        discordant[0] += u64::from(sums[0].hits > sums[1].hits);
        discordant[1] += u64::from(sums[1].hits > sums[0].hits);
        clusters.add(row, sums);
    }
    let n = total[0].rows;
    if n == 0 {
        return Ok(None);
    }
    let groups = clusters.all();
    let resamples = if groups.len() > 1 { spec.bootstrap } else { 0 };
    let drawn: Vec<[Sums; 2]> = draws(&groups, resamples, spec.seed).collect();
    let difference = |figure: fn(Sums) -> f64| {
        let of = |[a, b]: [Sums; 2]| figure(a) - figure(b);
        let [a, b] = total.map(figure);
        let mut values: Vec<f64> = drawn.iter().map(|sums| of(*sums)).collect();
        let some = !values.is_empty();
        let p = some.then(|| two_sided(&values));
        Difference { a, b, difference: a - b, interval: some.then(|| interval(&mut values)), p }
    };
    Ok(Some(Comparison {
        protocol: a.protocol,
        a: a.system.clone(),
        b: b.system.clone(),
        n,
        only_a,
        only_b: b.rows.iter().filter(in_split).count() as u64 - n,
        groups: groups.len(),
        accuracy: difference(Sums::accuracy),
        log_loss: difference(Sums::mean_loss),
        mcnemar: McNemar {
            only_a_right: discordant[0],
            only_b_right: discordant[1],
            p: exact_binomial(discordant[0], discordant[1]),
        },
    }))
}

/// Two-sided p value of the draws of a difference; the added 1 is the observed data itself, so it is never 0.
fn two_sided(draws: &[f64]) -> f64 {
    let below = draws.iter().filter(|value| **value <= 0.0).count();
    let above = draws.iter().filter(|value| **value >= 0.0).count();
    (2.0 * (1 + below.min(above)) as f64 / (1 + draws.len()) as f64).min(1.0)
}

/// `min(1, 2 P(X <= min(u, v)))` for `X ~ Binomial(u + v, 1/2)`, in logarithms: no overflow at 10^5 rows.
pub(crate) fn exact_binomial(u: u64, v: u64) -> f64 {
    let n = u + v;
    let mut log_choose = -(n as f64) * std::f64::consts::LN_2;
    let mut sum = log_choose.exp();
    for i in 1..=u.min(v) {
        log_choose += ((n - i + 1) as f64).ln() - (i as f64).ln();
        sum += log_choose.exp();
    }
    (2.0 * sum).min(1.0)
}
