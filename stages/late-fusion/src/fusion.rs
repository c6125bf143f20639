//! The fusion: made of the validation rows, applied to all.

use std::collections::HashMap;

use predictions::{Prediction, Predictions, Protocol};
use serde::{Deserialize, Serialize};

use crate::weights::minimise;
use crate::{DECL, Error, Method, Spec, VALIDATION};

/// `model.json`: what it takes to fuse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fusion {
    /// The systems, in the order of `weights`.
    pub systems: Vec<String>,
    /// How their probabilities become one.
    pub method: Method,
    /// Weight of each system: at least 0, sum 1; equal unless `weighted`.
    pub weights: Vec<f64>,
    /// How the weights were found; `null` unless `weighted`.
    pub fit: Option<Fit>,
}

/// How weights were found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The split.
    pub split: String,
    /// Number of its rows that every system has.
    pub n: u64,
    /// Log loss of the fused probabilities on them.
    pub log_loss: f64,
    /// Log loss of each system alone on them.
    pub log_loss_alone: Vec<f64>,
    /// `log_loss` is at most so much above that of the best weights.
    pub gap: f64,
    /// Steps of the iteration.
    pub steps: u32,
}

/// What fusing gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    /// Of the system `late-fusion`.
    pub predictions: Predictions,
    /// Rows that at least one of the systems lacks, in the order in which the systems name them.
    pub left_out: Vec<LeftOut>,
}

/// A row that could not be fused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Id of the item.
    pub id: String,
    /// Its second.
    pub second: Option<u32>,
    /// The systems that have no probabilities for it.
    pub lacking: Vec<String>,
}

/// Makes the fusion of `spec.systems`. `tables` may hold tables of other systems and of both protocols; those of the
/// protocol `10s` count.
pub fn fit(tables: &[Predictions], spec: &Spec) -> Result<Fusion, Error> {
    let count = spec.systems.len();
    let mut fusion = Fusion {
        systems: spec.systems.clone(),
        method: spec.method,
        weights: vec![1.0 / count as f64; count],
        fit: None,
    };
    let joined = Joined::new(tables, &spec.systems, Protocol::PerClip)?;
    if spec.method != Method::Weighted {
        return Ok(fusion);
    }
    let mut truths = Vec::new();
    for (rows, truth) in joined.rows.iter().filter(|(rows, _)| rows[0].split == VALIDATION) {
        truths.extend(rows.iter().map(|row| row.probabilities[*truth]));
    }
    let n = truths.len() / count;
    if n == 0 {
        return Err(Error::NoValidation { systems: spec.systems.join(" and ") });
    }
    let optimum = minimise(&truths, count);
    let mixed = |weights: &[f64]| {
        let loss = |row: &[f64]| -clipped(row.iter().zip(weights).map(|(p, w)| p * w).sum()).ln();
        truths.chunks_exact(count).map(loss).sum::<f64>() / n as f64
    };
    let alone = |system| (0..count).map(|s| f64::from(u8::from(s == system))).collect::<Vec<_>>();
    fusion.fit = Some(Fit {
        split: VALIDATION.to_owned(),
        n: n as u64,
        log_loss: mixed(&optimum.weights),
        log_loss_alone: (0..count).map(|system| mixed(&alone(system))).collect(),
        gap: optimum.gap,
        steps: optimum.steps,
    });
    fusion.weights = optimum.weights;
    Ok(fusion)
}

impl Fusion {
    /// Fuses the rows that every system has in this protocol. `tables` may hold tables of other systems and protocols.
    pub fn apply(&self, tables: &[Predictions], protocol: Protocol) -> Result<Fused, Error> {
        if self.weights.len() != self.systems.len() || self.systems.is_empty() {
            return Err(Error::Weights { weights: self.weights.len(), systems: self.systems.len() });
        }
        let joined = Joined::new(tables, &self.systems, protocol)?;
        let rows = joined.rows.iter().map(|(rows, _)| Prediction {
            probabilities: self.fuse(&rows.iter().map(|row| row.probabilities.as_slice()).collect::<Vec<_>>()),
            ..(*rows[0]).clone()
        });
        let rows = rows.collect();
        let predictions = Predictions { system: DECL.id.to_owned(), protocol, classes: joined.classes.to_vec(), rows };
        Ok(Fused { predictions, left_out: joined.left_out })
    }

    /// The probabilities of one row: `[K]` of `[systems][K]`.
    fn fuse(&self, probabilities: &[&[f64]]) -> Vec<f64> {
        let classes = probabilities.first().map_or(0, |p| p.len());
        let weighted = |figure: fn(f64) -> f64| {
            let sum = |class: usize| probabilities.iter().zip(&self.weights).map(|(p, w)| w * figure(p[class])).sum();
            (0..classes).map(sum).collect::<Vec<f64>>()
        };
        if self.method == Method::Geometric {
            let logs = weighted(|p| clipped(p).ln());
            let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
            let sum: f64 = powers.iter().sum();
            return powers.iter().map(|power| power / sum).collect();
        }
        // Weights that add up to 1 but for rounding can carry a certainty past 1.
        weighted(|p| p).into_iter().map(|q| q.min(1.0)).collect()
    }
}

/// The smallest probability that counts, as in the log loss: a certain mistake costs 36 nats, not infinity.
fn clipped(probability: f64) -> f64 {
    probability.max(f64::EPSILON)
}

/// The rows that all systems have.
struct Joined<'a> {
    classes: &'a [String],
    /// `[systems]` rows of one decision, and the number of its true class.
    rows: Vec<(Vec<&'a Prediction>, usize)>,
    left_out: Vec<LeftOut>,
}

impl<'a> Joined<'a> {
    fn new(tables: &'a [Predictions], systems: &[String], protocol: Protocol) -> Result<Self, Error> {
        let mut chosen: Vec<&Predictions> = Vec::new();
        for system in systems {
            let of_protocol = || tables.iter().filter(|table| table.protocol == protocol);
            let Some(table) = of_protocol().find(|table| table.system == *system) else {
                let present: Vec<&str> = of_protocol().map(|table| table.system.as_str()).collect();
                let present = if present.is_empty() { "none".to_owned() } else { present.join(", ") };
                return Err(Error::NoSystem { system: system.clone(), protocol, present });
            };
            if let Some(first) = chosen.first().filter(|first| first.classes != table.classes) {
                let problem =
                    format!("their classes differ: ({}) and ({})", first.classes.join(", "), table.classes.join(", "));
                return Err(Error::Pair { a: first.system.clone(), b: system.clone(), protocol, problem });
            }
            chosen.push(table);
        }
        let truths: Vec<Vec<usize>> = chosen.iter().map(|table| table.truths()).collect::<Result<_, _>>()?;
        let by_key: Vec<HashMap<_, _>> =
            chosen.iter().map(|table| table.rows.iter().map(|row| (row.key(), row)).collect()).collect();
        let (mut rows, mut left_out) = (Vec::new(), Vec::new());
        for (at, table) in chosen.iter().enumerate() {
            for (row, truth) in table.rows.iter().zip(&truths[at]) {
                if by_key[..at].iter().any(|earlier| earlier.contains_key(&row.key())) {
                    continue; // Seen in an earlier system.
                }
                let found: Vec<Option<&Prediction>> = by_key.iter().map(|rows| rows.get(&row.key()).copied()).collect();
                if let Some(all) = found.iter().copied().collect::<Option<Vec<_>>>() {
                    agree(&chosen, &all)?;
                    rows.push((all, *truth));
                } else {
                    let lacking = systems.iter().zip(found).filter(|(_, row)| row.is_none());
                    let lacking = lacking.map(|(system, _)| system.clone()).collect();
                    left_out.push(LeftOut { id: row.id.clone(), second: row.second, lacking });
                }
            }
        }
        if rows.is_empty() {
            return Err(Error::NothingShared { systems: systems.join(" and "), protocol });
        }
        Ok(Joined { classes: &chosen[0].classes, rows, left_out })
    }
}

/// All systems must speak of the same item.
fn agree(tables: &[&Predictions], rows: &[&Prediction]) -> Result<(), Error> {
    let said = |row: &Prediction| (row.label.clone(), row.group.clone(), row.city.clone(), row.split.clone());
    let Some(other) = rows.iter().position(|row| said(row) != said(rows[0])) else { return Ok(()) };
    Err(Error::Pair {
        a: tables[0].system.clone(),
        b: tables[other].system.clone(),
        protocol: tables[0].protocol,
        problem: format!("they disagree about label, group, city or split of item `{}`", rows[0].id),
    })
}
