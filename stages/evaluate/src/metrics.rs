//! The figures of one system on one split.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bootstrap::{Sums, intervals};
use crate::{Error, Predictions, Spec};

/// Bins of the calibration error.
const BINS: usize = 15;

/// The figures of one system on one split. Field docs of ratios: the crate's formulas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of rows.
    pub n: u64,
    /// Share of rows decided rightly.
    pub accuracy: f64,
    /// Mean recall of the classes that occur.
    pub macro_accuracy: f64,
    /// Mean negative natural logarithm of the true class's probability, clipped as in scikit-learn.
    pub log_loss: f64,
    /// Mean over the classes that occur of their log loss.
    pub macro_log_loss: f64,
    /// Expected calibration error, 15 bins.
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

/// The figures over the rows of `spec.split`.
pub fn metrics(predictions: &Predictions, spec: &Spec) -> Result<Metrics, Error> {
    let truths = predictions.truths()?;
    let k = predictions.classes.len();
    let mut confusion = vec![vec![0u64; k]; k];
    let mut class_loss = vec![0.0; k];
    let mut bins = [(0.0f64, 0u64); BINS];
    let mut groups: BTreeMap<&str, Sums> = BTreeMap::new();
    let mut lone = Vec::new();
    for (row, truth) in predictions.rows.iter().zip(truths).filter(|(row, _)| row.split == spec.split) {
        let decision = row.decision();
        let hit = u64::from(decision == truth);
        let loss = log_loss(row.probabilities[truth]);
        confusion[truth][decision] += 1;
        class_loss[truth] += loss;
        let bin = &mut bins[bin(row.probabilities[decision])];
        *bin = (bin.0 + row.probabilities[decision], bin.1 + hit);
        let sums = if let Some(group) = &row.group {
            groups.entry(group).or_default()
        } else {
            lone.push(Sums::default());
            lone.last_mut().expect("one was pushed just now")
        };
        *sums = Sums { rows: sums.rows + 1, hits: sums.hits + hit, loss: sums.loss + loss };
    }
    let n: u64 = confusion.iter().flatten().sum();
    if n == 0 {
        return Err(empty_split(predictions, spec));
    }
    let rows: Vec<u64> = confusion.iter().map(|row| row.iter().sum()).collect();
    let per_class: Vec<ClassMetrics> = (0..k)
        .map(|class| {
            let hits = confusion[class][class];
            let decisions: u64 = confusion.iter().map(|row| row[class]).sum();
            ClassMetrics {
                class: predictions.classes[class].clone(),
                n: rows[class],
                recall: ratio(hits, rows[class]),
                precision: ratio(hits, decisions),
                f1: ratio(2 * hits, rows[class] + decisions),
                log_loss: (rows[class] > 0).then(|| class_loss[class] / rows[class] as f64),
            }
        })
        .collect();
    let all: Vec<Sums> = groups.values().copied().chain(lone).collect();
    let hits: u64 = (0..k).map(|class| confusion[class][class]).sum();
    Ok(Metrics {
        n,
        accuracy: hits as f64 / n as f64,
        macro_accuracy: mean(per_class.iter().filter_map(|class| class.recall)),
        log_loss: class_loss.iter().sum::<f64>() / n as f64,
        macro_log_loss: mean(per_class.iter().filter_map(|class| class.log_loss)),
        ece: bins.iter().map(|(confidence, hits)| (confidence - *hits as f64).abs()).sum::<f64>() / n as f64,
        chance: Chance {
            accuracy: 1.0 / k as f64,
            log_loss: (k as f64).ln(),
            majority: rows.iter().copied().max().unwrap_or(0) as f64 / n as f64,
        },
        interval: (spec.bootstrap > 0 && all.len() > 1).then(|| {
            let (accuracy, log_loss) = intervals(&all, spec.bootstrap, spec.seed);
            Interval { accuracy, log_loss, groups: all.len(), resamples: spec.bootstrap }
        }),
        classes: predictions.classes.clone(),
        confusion,
        per_class,
        per_group: (!groups.is_empty())
            .then(|| groups.into_iter().map(|(name, sums)| (name.to_owned(), sums.into())).collect()),
    })
}

impl From<Sums> for GroupMetrics {
    fn from(sums: Sums) -> Self {
        let n = sums.rows as f64;
        GroupMetrics { n: sums.rows, accuracy: sums.hits as f64 / n, log_loss: sums.loss / n }
    }
}

/// scikit-learn's clipping: a certain mistake costs 36.04, not infinity.
fn log_loss(probability: f64) -> f64 {
    -probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
}

/// The bin `(b/15, (b+1)/15]` of a largest probability.
fn bin(confidence: f64) -> usize {
    ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1
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
        split: spec.split.clone(),
        present: if present.is_empty() { "no rows at all".to_owned() } else { present.join(", ") },
    }
}
