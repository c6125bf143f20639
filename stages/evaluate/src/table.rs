//! The tables that a person sees.

use std::fmt::Write as _;

use predictions::Protocol;

use crate::{Difference, Metrics, Report};

/// The longest name of a class in a confusion table; longer ones are cut.
const LONGEST_NAME: usize = 18;

/// Upper left corner of a confusion table.
const CORNER: &str = "true \\ decided";

/// One line per system and protocol: what a person sees at the end of a run.
pub fn table(report: &Report) -> String {
    let header = ["system", "protocol", "n", "accuracy", "95% interval", "macro accuracy", "log loss", "chance"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for (system, protocol, metrics) in report.rows() {
        let interval = metrics.interval.map_or("-".to_owned(), |interval| {
            let [low, high] = interval.accuracy;
            format!("{:.1}-{:.1}", low * 100.0, high * 100.0)
        });
        rows.push(vec![
            system.to_owned(),
            protocol.to_string(),
            metrics.n.to_string(),
            percent(metrics.accuracy),
            interval,
            percent(metrics.macro_accuracy),
            format!("{:.3}", metrics.log_loss),
            format!("{} / {:.3}", percent(metrics.chance.accuracy), metrics.chance.log_loss),
        ]);
    }
    aligned(&rows, 2)
}

/// One line per comparison of a protocol: differences `a - b`, accuracy in percentage points; empty without comparisons.
pub fn comparison_table(report: &Report, protocol: Protocol) -> String {
    let header = ["a", "b", "n", "accuracy", "95% interval", "p", "log loss", "95% interval", "p", "McNemar p"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let cells = |figure: &Difference, scale: f64, digits: usize| {
        let signed = |value: f64| format!("{:+.digits$}", value * scale);
        let interval = figure.interval.map(|[low, high]| format!("{} to {}", signed(low), signed(high)));
        [signed(figure.difference), interval.unwrap_or("-".to_owned()), figure.p.map_or("-".to_owned(), p_value)]
    };
    for comparison in report.comparisons.iter().filter(|comparison| comparison.protocol == protocol) {
        let mut row = vec![comparison.a.clone(), comparison.b.clone(), comparison.n.to_string()];
        row.extend(cells(&comparison.accuracy, 100.0, 1));
        row.extend(cells(&comparison.log_loss, 1.0, 3));
        row.push(p_value(comparison.mcnemar.p));
        rows.push(row);
    }
    if rows.len() == 1 { String::new() } else { aligned(&rows, 2) }
}

fn p_value(p: f64) -> String {
    if p < 0.001 { "<0.001".to_owned() } else { format!("{p:.3}") }
}

/// Columns as wide as their widest cell; the first `left` columns flush left, the others flush right.
fn aligned(rows: &[Vec<String>], left: usize) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let fill = " ".repeat(widths[column] - width(cell));
            let parts = if column < left { [cell, &fill] } else { [&fill, cell] };
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
