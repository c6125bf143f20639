//! Several systems in both protocols: the report.

use std::collections::{BTreeMap, HashSet};

use predictions::{Predictions, Protocol};
use serde::{Deserialize, Serialize};

use crate::{Comparison, Error, Metrics, Spec, compare, metrics};

/// `metrics.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The split that was evaluated.
    pub split: String,
    /// The systems in the order in which they were given: the order of tables.
    pub order: Vec<String>,
    /// Figures by system and protocol.
    pub systems: BTreeMap<String, BTreeMap<Protocol, Metrics>>,
    /// Every two systems of a protocol that share a row, in order.
    pub comparisons: Vec<Comparison>,
    /// Remarks without which the figures would mislead, e.g. how many items failed and were left out.
    pub notes: Vec<String>,
}

impl Report {
    /// The figures in order: system by system, clips before seconds.
    pub fn rows(&self) -> impl Iterator<Item = (&str, Protocol, &Metrics)> {
        self.order.iter().flat_map(|system| {
            let protocols = self.systems.get(system).into_iter().flatten();
            protocols.map(|(protocol, metrics)| (system.as_str(), *protocol, metrics))
        })
    }
}

/// The figures of every table of predictions and the comparison of any two of a protocol. `notes` come first, this stage's
/// own remarks (rows that a system lacks, classes that do not occur) after them.
pub fn evaluate(tables: &[Predictions], spec: &Spec, notes: Vec<String>) -> Result<Report, Error> {
    if tables.is_empty() {
        return Err(Error::NoSystems);
    }
    let mut report = Report {
        split: spec.split.clone(),
        order: Vec::new(),
        systems: BTreeMap::new(),
        comparisons: Vec::new(),
        notes,
    };
    for table in tables {
        if !report.order.contains(&table.system) {
            report.order.push(table.system.clone());
        }
        let figures = metrics(table, spec)?;
        if report.systems.entry(table.system.clone()).or_default().insert(table.protocol, figures).is_some() {
            return Err(Error::Twice { system: table.system.clone(), protocol: table.protocol });
        }
    }
    for protocol in Protocol::ALL {
        let tables: Vec<&Predictions> = tables.iter().filter(|table| table.protocol == protocol).collect();
        let decided = |table: &&Predictions| {
            let rows = table.rows.iter().filter(|row| row.split == spec.split);
            rows.map(|row| (row.id.clone(), row.second)).collect::<HashSet<_>>()
        };
        let all: HashSet<_> = tables.iter().flat_map(decided).collect();
        for (at, table) in tables.iter().enumerate() {
            let metrics = report.systems.get_mut(&table.system).and_then(|system| system.get_mut(&protocol));
            let metrics = metrics.expect("its figures were made above");
            metrics.left_out = all.len() as u64 - metrics.n;
            if metrics.left_out > 0 {
                let what = if protocol == Protocol::PerClip { "clips" } else { "seconds" };
                report.notes.push(format!(
                    "{} ({protocol}) lacks {} of {} {what} that another system decided; its figures rest on the other {}",
                    table.system,
                    metrics.left_out,
                    all.len(),
                    metrics.n
                ));
            }
            for other in &tables[at + 1..] {
                report.comparisons.extend(compare(table, other, spec)?);
            }
        }
    }
    let absent = absent_classes(&report);
    if !absent.is_empty() {
        report.notes.push(format!(
            "the split {} has no clip of: {}. Macro figures are means over the other classes",
            spec.split,
            absent.join(", ")
        ));
    }
    Ok(report)
}

/// The classes that are never the truth.
fn absent_classes(report: &Report) -> Vec<String> {
    let mut rows: BTreeMap<&str, u64> = BTreeMap::new();
    for class in report.rows().flat_map(|(_, _, metrics)| &metrics.per_class) {
        *rows.entry(&class.class).or_default() += class.n;
    }
    rows.into_iter().filter(|(_, n)| *n == 0).map(|(class, _)| class.to_owned()).collect()
}
