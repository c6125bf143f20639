//! The figures of one system on one split.

use std::collections::{BTreeMap, HashSet};

use predictions::Predictions;
use serde::{Deserialize, Serialize};

use crate::bootstrap::{Clusters, Sums, draws, interval};
use crate::{Error, Spec};

/// The figures of one system on one split. Field docs of ratios: the crate's formulas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of rows: clips, or seconds.
    pub n: u64,
    /// Number of clips.
    pub items: u64,
    /// Rows of the split that another system of the protocol decided and this one did not; 0 for a system judged alone.
    pub left_out: u64,
    /// Share of rows decided rightly.
    pub accuracy: f64,
    /// Mean recall of the classes that occur.
    pub macro_accuracy: f64,
    /// Mean negative natural logarithm of the true class's probability, clipped as in scikit-learn.
    pub log_loss: f64,
    /// Mean over the classes that occur of their log loss.
    pub macro_log_loss: f64,
    /// Expected calibration error over `reliability`.
    pub ece: f64,
    /// What knowing nothing achieves.
    pub chance: Chance,
    /// 95 % intervals; `null` with fewer than two groups or without resampling.
    pub interval: Option<Interval>,
    /// The classes, in the order of `confusion` and `per_class`.
    pub classes: Vec<String>,
    /// `[truth][decision]` numbers of rows.
    pub confusion: Vec<Vec<u64>>,
    /// Figures of each class.
    pub per_class: Vec<ClassMetrics>,
    /// Figures of each group; `null` when no row has one.
    pub per_group: Option<BTreeMap<String, GroupMetrics>>,
    /// Figures of each city; `null` when no row has one.
    pub per_city: Option<BTreeMap<String, CityMetrics>>,
    /// Equal bins of the largest probability, from low to high.
    pub reliability: Vec<Bin>,
}

/// What knowing nothing achieves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Chance {
    /// Accuracy and macro accuracy of a uniform guess: 1/K.
    pub accuracy: f64,
    /// Log loss of a uniform guess: ln K.
    pub log_loss: f64,
    /// Accuracy of always deciding for the commonest class of these rows.
    pub majority: f64,
}

/// 95 % intervals, `[low, high]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Of the accuracy.
    pub accuracy: [f64; 2],
    /// Of the log loss.
    pub log_loss: [f64; 2],
    /// Number of groups that were resampled.
    pub groups: usize,
    /// Number of resamples.
    pub resamples: u32,
}

/// Figures of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Name of the class.
    pub class: String,
    /// Number of rows of this class.
    pub n: u64,
    /// Share of its rows decided rightly; `null` without rows.
    pub recall: Option<f64>,
    /// Share of the decisions for it that were right; `null` without such decisions.
    pub precision: Option<f64>,
    /// Harmonic mean of both, 2 TP / (2 TP + FP + FN); `null` without rows and decisions.
    pub f1: Option<f64>,
    /// Mean log loss of its rows; `null` without rows.
    pub log_loss: Option<f64>,
}

/// Figures of one group.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GroupMetrics {
    /// Number of rows.
    pub n: u64,
    /// Share of rows decided rightly.
    pub accuracy: f64,
    /// Mean log loss.
    pub log_loss: f64,
}

/// Figures of one city.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CityMetrics {
    /// Number of rows.
    pub n: u64,
    /// Share of rows decided rightly.
    pub accuracy: f64,
    /// Mean recall of the classes that occur in the city.
    pub macro_accuracy: f64,
    /// Mean log loss.
    pub log_loss: f64,
}

/// A bin of the largest probability, `(low, high]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Number of rows in it.
    pub n: u64,
    /// Mean of their largest probability; `null` without rows.
    pub confidence: Option<f64>,
    /// Share of them decided rightly; `null` without rows.
    pub accuracy: Option<f64>,
}

/// The figures over the rows of `spec.split`.
pub fn metrics(predictions: &Predictions, spec: &Spec) -> Result<Metrics, Error> {
    let truths = predictions.truths()?;
    let k = predictions.classes.len();
    let mut confusion = vec![vec![0u64; k]; k];
    let mut by_class = vec![Sums::default(); k];
    let mut bins = vec![(0.0f64, Sums::default()); spec.bins];
    let mut clusters = Clusters::new();
    let mut cities: BTreeMap<&str, Vec<Sums>> = BTreeMap::new();
    let mut items = HashSet::new();
    for (row, truth) in predictions.rows.iter().zip(truths).filter(|(row, _)| row.split == spec.split) {
        let decision = row.decision();
        let confidence = row.probabilities[decision];
        let sums = judged(decision, truth, &row.probabilities);
        confusion[truth][decision] += 1;
        by_class[truth].add(sums);
        let bin = &mut bins[bin(confidence, spec.bins)];
        bin.0 += confidence;
        bin.1.add(sums);
        clusters.add(row, [sums]);
        if let Some(city) = &row.city {
            cities.entry(city).or_insert_with(|| vec![Sums::default(); k])[truth].add(sums);
        }
        items.insert(row.id.as_str());
    }
    let total = total(&by_class);
    let n = total.rows;
    if n == 0 {
        return Err(empty_split(predictions, spec));
    }
    let per_class: Vec<ClassMetrics> = (0..k)
        .map(|class| {
            let Sums { rows, hits, .. } = by_class[class];
            let decisions: u64 = confusion.iter().map(|row| row[class]).sum();
            ClassMetrics {
                class: predictions.classes[class].clone(),
                n: rows,
                recall: ratio(hits, rows),
                precision: ratio(hits, decisions),
                f1: ratio(2 * hits, rows + decisions),
                log_loss: (rows > 0).then(|| by_class[class].mean_loss()),
            }
        })
        .collect();
    let groups = clusters.all();
    let distance = |(confidence, sums): &(f64, Sums)| (confidence - sums.hits as f64).abs();
    Ok(Metrics {
        n,
        items: items.len() as u64,
        left_out: 0,
        accuracy: total.accuracy(),
        macro_accuracy: mean(per_class.iter().filter_map(|class| class.recall)),
        log_loss: total.mean_loss(),
        macro_log_loss: mean(per_class.iter().filter_map(|class| class.log_loss)),
        ece: bins.iter().map(distance).sum::<f64>() / n as f64,
        chance: Chance {
            accuracy: 1.0 / k as f64,
            log_loss: (k as f64).ln(),
            majority: by_class.iter().map(|class| class.rows).max().unwrap_or(0) as f64 / n as f64,
        },
        interval: (spec.bootstrap > 0 && groups.len() > 1).then(|| {
            let (mut accuracy, mut loss): (Vec<f64>, Vec<f64>) =
                draws(&groups, spec.bootstrap, spec.seed).map(|[sums]| (sums.accuracy(), sums.mean_loss())).unzip();
            let [accuracy, log_loss] = [&mut accuracy, &mut loss].map(|values| interval(values));
            Interval { accuracy, log_loss, groups: groups.len(), resamples: spec.bootstrap }
        }),
        classes: predictions.classes.clone(),
        confusion,
        per_class,
        per_group: (!clusters.named().is_empty())
            .then(|| clusters.named().iter().map(|(name, [sums])| ((*name).to_owned(), (*sums).into())).collect()),
        per_city: (!cities.is_empty())
            .then(|| cities.iter().map(|(name, classes)| ((*name).to_owned(), city(classes))).collect()),
        reliability: bins.iter().enumerate().map(|(at, bin)| reliability(at, spec.bins, bin)).collect(),
    })
}

/// What one decision adds to the sums.
pub(crate) fn judged(decision: usize, truth: usize, probabilities: &[f64]) -> Sums {
    Sums { rows: 1, hits: u64::from(decision == truth), loss: log_loss(probabilities[truth]) }
}

impl From<Sums> for GroupMetrics {
    fn from(sums: Sums) -> Self {
        GroupMetrics { n: sums.rows, accuracy: sums.accuracy(), log_loss: sums.mean_loss() }
    }
}

fn city(by_class: &[Sums]) -> CityMetrics {
    let total = total(by_class);
    let recalls = by_class.iter().filter(|class| class.rows > 0).map(|class| class.accuracy());
    CityMetrics {
        n: total.rows,
        accuracy: total.accuracy(),
        macro_accuracy: mean(recalls),
        log_loss: total.mean_loss(),
    }
}

fn reliability(at: usize, bins: usize, (confidence, sums): &(f64, Sums)) -> Bin {
    let end = |at: usize| at as f64 / bins as f64;
    let some = sums.rows > 0;
    Bin {
        low: end(at),
        high: end(at + 1),
        n: sums.rows,
        confidence: some.then(|| confidence / sums.rows as f64),
        accuracy: some.then(|| sums.accuracy()),
    }
}

/// scikit-learn's clipping: a certain mistake costs 36.04, not infinity.
fn log_loss(probability: f64) -> f64 {
    -probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
}

/// The bin `(b/B, (b+1)/B]` of a largest probability.
fn bin(confidence: f64, bins: usize) -> usize {
    ((confidence * bins as f64).ceil() as usize).clamp(1, bins) - 1
}

fn total(parts: &[Sums]) -> Sums {
    parts.iter().fold(Sums::default(), |mut total, part| {
        total.add(*part);
        total
    })
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}

fn empty_split(predictions: &Predictions, spec: &Spec) -> Error {
    let mut splits: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &predictions.rows {
        *splits.entry(&row.split).or_default() += 1;
    }
    let present: Vec<String> = splits.iter().map(|(split, rows)| format!("`{split}` ({rows} rows)")).collect();
    Error::EmptySplit {
        system: predictions.system.clone(),
        protocol: predictions.protocol,
        split: spec.split.clone(),
        present: if present.is_empty() { "no rows at all".to_owned() } else { present.join(", ") },
    }
}
