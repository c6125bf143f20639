//! The figures, as `evaluate` writes them into its `metrics.json`. Meaning and formulas stand there.
//!
//! This crate reads the file and not the types of `evaluate`: stages know each other's products, not each other's code. Fields
//! that are not shown on the page are kept in `other`.

use std::collections::BTreeMap;

use predictions::Protocol;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;

/// `metrics.json` of `evaluate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The split that was evaluated.
    pub split: String,
    /// The systems in the order of tables.
    pub order: Vec<String>,
    /// By system and protocol.
    pub systems: BTreeMap<String, BTreeMap<Protocol, Metrics>>,
    /// Any two systems on the same rows.
    pub comparisons: Vec<Comparison>,
    /// What must be said beside every figure.
    pub notes: Vec<String>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The figures of one system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented where they are computed: crate evaluate")]
pub struct Metrics {
    pub n: u64,
    pub items: u64,
    pub left_out: u64,
    pub accuracy: f64,
    pub macro_accuracy: f64,
    pub log_loss: f64,
    pub macro_log_loss: f64,
    pub ece: f64,
    pub chance: Chance,
    pub interval: Option<Interval>,
    pub classes: Vec<String>,
    pub confusion: Vec<Vec<u64>>,
    pub per_class: Vec<ClassMetrics>,
    pub per_city: Option<BTreeMap<String, CityMetrics>>,
    pub reliability: Vec<Bin>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What knowing nothing achieves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented where they are computed: crate evaluate")]
pub struct Chance {
    pub accuracy: f64,
    pub log_loss: f64,
    pub majority: f64,
}

/// 95 % intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented where they are computed: crate evaluate")]
pub struct Interval {
    pub accuracy: [f64; 2],
    pub log_loss: [f64; 2],
    pub groups: usize,
    pub resamples: u32,
}

/// Figures of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented where they are computed: crate evaluate")]
pub struct ClassMetrics {
    pub class: String,
    pub n: u64,
    pub recall: Option<f64>,
    pub precision: Option<f64>,
    pub f1: Option<f64>,
    pub log_loss: Option<f64>,
}

/// Figures of one city.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented where they are computed: crate evaluate")]
pub struct CityMetrics {
    pub n: u64,
    pub accuracy: f64,
    pub macro_accuracy: f64,
    pub log_loss: f64,
}

/// A bin of the reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented where they are computed: crate evaluate")]
pub struct Bin {
    pub low: f64,
    pub high: f64,
    pub n: u64,
    pub confidence: Option<f64>,
    pub accuracy: Option<f64>,
}

/// Two systems on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented where they are computed: crate evaluate")]
pub struct Comparison {
    pub protocol: Protocol,
    pub a: String,
    pub b: String,
    pub n: u64,
    pub only_a: u64,
    pub only_b: u64,
    pub groups: usize,
    pub accuracy: Difference,
    pub log_loss: Difference,
    pub mcnemar: McNemar,
}

/// A figure of both, and how far apart they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented where they are computed: crate evaluate")]
pub struct Difference {
    pub a: f64,
    pub b: f64,
    pub difference: f64,
    pub interval: Option<[f64; 2]>,
    pub p: Option<f64>,
}

/// The exact test over rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented where they are computed: crate evaluate")]
pub struct McNemar {
    pub only_a_right: u64,
    pub only_b_right: u64,
    pub p: f64,
}

impl Figures {
    /// Reads the `metrics.json` of `evaluate`.
    pub fn read(json: &[u8]) -> Result<Self, Error> {
        let figures: Figures = serde_json::from_slice(json)?;
        for (system, protocol, metrics) in figures.rows() {
            let problem = |problem: &str| {
                Err(Error::Figures { system: system.to_owned(), protocol, problem: problem.to_owned() })
            };
            let classes = metrics.classes.len();
            if metrics.confusion.len() != classes || metrics.confusion.iter().any(|row| row.len() != classes) {
                return problem("the confusion matrix does not fit the classes");
            }
            if metrics.per_class.len() != classes {
                return problem("the figures per class do not fit the classes");
            }
        }
        Ok(figures)
    }

    /// System by system in the order of tables, clips before seconds.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, Protocol, &Metrics)> {
        self.order.iter().flat_map(|system| {
            let protocols = self.systems.get(system).into_iter().flatten();
            protocols.map(|(protocol, metrics)| (system.as_str(), *protocol, metrics))
        })
    }

    /// The systems that have figures of this protocol.
    pub(crate) fn of(&self, protocol: Protocol) -> Vec<(&str, &Metrics)> {
        self.rows().filter(|(_, p, _)| *p == protocol).map(|(system, _, metrics)| (system, metrics)).collect()
    }
}
