//! What goes onto the page, and the files that come of it.

use std::collections::BTreeMap;

use predictions::Protocol;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Error, Figures, Sample, html, tables};

/// Everything that goes onto the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The heading.
    pub title: String,
    /// Name of the data set.
    pub dataset: String,
    /// The figures of all systems.
    pub figures: Figures,
    /// How the trained systems learned.
    pub curves: Vec<Curve>,
    /// Sample clips; [`crate::choose`] picks them.
    pub samples: Vec<Sample>,
    /// Items that failed, of every stage.
    pub failures: Vec<Failure>,
    /// Where everything came from: versions, models and their digests, backends, counts.
    pub provenance: Vec<Section>,
    /// The configuration as it was resolved, as TOML; empty: not shown.
    pub config: String,
}

/// How one system learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The system.
    pub system: String,
    /// Its selections in order.
    pub points: Vec<Point>,
    /// Position in `points` of the weights that were kept.
    pub best: Option<usize>,
}

/// The state of training at one selection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done.
    pub step: u64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Mean training loss.
    pub train_loss: f64,
    /// Log loss of the clips that the model is selected by.
    pub val_loss: Option<f64>,
    /// Accuracy on them.
    pub val_accuracy: Option<f64>,
}

/// An item that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stage.
    pub stage: String,
    /// Id of the item.
    pub id: String,
    /// Class of the cause, e.g. `corrupt`.
    pub cause: String,
    /// What happened.
    pub message: String,
}

/// A part of the provenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Its heading, e.g. `Models`.
    pub title: String,
    /// Names and values.
    pub entries: Vec<(String, String)>,
}

/// The files of the report: name and content, `index.html` first.
pub fn render(page: &Page) -> Result<Vec<(&'static str, Vec<u8>)>, Error> {
    let mut files = vec![("index.html", html::page(page)?.into_bytes()), ("metrics.json", metrics_json(page)?)];
    files.extend(tables::all(page));
    Ok(files)
}

fn metrics_json(page: &Page) -> Result<Vec<u8>, Error> {
    let mut value = serde_json::to_value(&page.figures)?;
    let mut causes: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for failure in &page.failures {
        *causes.entry((&failure.stage, &failure.cause)).or_default() += 1;
    }
    let failures: Vec<Value> =
        causes.iter().map(|((stage, cause), n)| json!({ "stage": stage, "cause": cause, "n": n })).collect();
    let more = json!({
        "title": page.title,
        "dataset": page.dataset,
        "curves": page.curves,
        "samples": page.samples,
        "failures": failures,
        "provenance": page.provenance,
        "config": page.config,
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
        if !page.published().is_empty() {
            value.insert("published".to_owned(), json!({ "dataset": page.dataset, "figures": page.published() }));
        }
    }
    let mut bytes = serde_json::to_vec_pretty(&value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// What a row of the protocol is, in the plural.
pub(crate) fn unit(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::PerClip => "clips",
        Protocol::PerSecond => "seconds",
    }
}
