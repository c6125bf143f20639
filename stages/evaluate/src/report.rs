//! The report as JSON, and the tables that a person sees.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::Metrics;

/// Protocol of one decision per clip of ten seconds (or whatever its length).
pub const PER_CLIP: &str = "10s";
/// Protocol of one decision per second.
pub const PER_SECOND: &str = "1s";

/// The longest name of a class in a confusion table; longer ones are cut.
const LONGEST_NAME: usize = 18;

/// Upper left corner of a confusion table.
const CORNER: &str = "true \\ decided";

/// `metrics.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The split that was evaluated.
    pub split: String,
    /// Figures by system and protocol.
    pub systems: BTreeMap<String, BTreeMap<String, Metrics>>,
    /// Remarks without which the figures would mislead, e.g. how many items failed and were left out.
    pub notes: Vec<String>,
}

/// A row of [`table`].
#[derive(Debug, Clone, PartialEq)]
pub struct SystemMetrics {
    /// Name of the system.
    pub system: String,
    /// [`PER_CLIP`] or [`PER_SECOND`].
    pub protocol: String,
    /// Its figures.
    pub metrics: Metrics,
}

impl Report {
    /// The report of these systems on `split`.
    pub fn new(split: &str, systems: &[SystemMetrics], notes: Vec<String>) -> Self {
        let mut report = Report { split: split.to_owned(), systems: BTreeMap::new(), notes };
        for entry in systems {
            let protocols = report.systems.entry(entry.system.clone()).or_default();
            protocols.insert(entry.protocol.clone(), entry.metrics.clone());
        }
        report
    }
}

/// One line per system, in the given order: what a person sees at the end of a run.
pub fn table(systems: &[SystemMetrics]) -> String {
    let header = ["system", "protocol", "n", "accuracy", "95% interval", "macro accuracy", "log loss", "chance"];
    let mut rows = vec![header.map(str::to_owned)];
    for SystemMetrics { system, protocol, metrics } in systems {
        let interval = metrics.interval.map_or("-".to_owned(), |interval| {
            let [low, high] = interval.accuracy;
            format!("{:.1}-{:.1}", low * 100.0, high * 100.0)
        });
        rows.push([
            system.clone(),
            protocol.clone(),
            metrics.n.to_string(),
            percent(metrics.accuracy),
            interval,
            percent(metrics.macro_accuracy),
            format!("{:.3}", metrics.log_loss),
            format!("{} / {:.3}", percent(metrics.chance.accuracy), metrics.chance.log_loss),
        ]);
    }
    let widths: Vec<usize> =
        (0..header.len()).map(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let fill = " ".repeat(widths[column] - width(cell));
            let parts = if column < 2 { [cell, &fill] } else { [&fill, cell] };
            line.extend(parts.map(String::as_str));
            line += "  ";
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// The confusion counts: a row per true class, a column per decision, both by number; recall and precision at the rims.
pub fn confusion_table(metrics: &Metrics) -> String {
    let largest = metrics.confusion.iter().flatten().max().copied().unwrap_or(0);
    let cell = largest.to_string().len().max(metrics.classes.len().to_string().len()).max(3) + 1;
    let names: Vec<String> = metrics.classes.iter().map(|name| shortened(name)).collect();
    let number_width = metrics.classes.len().to_string().len();
    let longest = names.iter().map(|name| width(name)).max().unwrap_or(0);
    let label_width = (number_width + 1 + longest).max(CORNER.len());
    let name_width = label_width - number_width - 1;

    let mut text = format!("{CORNER:label_width$}");
    for number in 1..=metrics.classes.len() {
        let _ = write!(text, "{number:>cell$}");
    }
    text += "  recall\n";
    for (at, (name, counts)) in names.iter().zip(&metrics.confusion).enumerate() {
        let fill = " ".repeat(name_width - width(name));
        let _ = write!(text, "{:>number_width$} {name}{fill}", at + 1);
        for &count in counts {
            let shown = if count == 0 { ".".to_owned() } else { count.to_string() };
            let _ = write!(text, "{shown:>cell$}");
        }
        let _ = writeln!(text, "  {:>6}", metrics.per_class[at].recall.map_or("-".to_owned(), percent));
    }
    let _ = write!(text, "{:label_width$}", "precision, %");
    for class in &metrics.per_class {
        let shown = class.precision.map_or("-".to_owned(), |precision| format!("{:.0}", precision * 100.0));
        let _ = write!(text, "{shown:>cell$}");
    }
    text.push('\n');
    text
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn shortened(name: &str) -> String {
    if width(name) <= LONGEST_NAME {
        name.to_owned()
    } else {
        name.chars().take(LONGEST_NAME - 1).chain(['…']).collect()
    }
}
