//! The set stages: they see the whole data set, run after the item stages, and publish products.

use contract::{Item, Values};
use linear_probe::Probe;
use predictions::{Prediction, Predictions, Protocol};
use serde_json::{Value, json};
use shard::Shard;

use crate::error::{Error, IoContext, Result, ShardContext};
use crate::events::{Event, Reporter};
use crate::key::{FORMAT, hex};
use crate::plan::StagePlan;
use crate::resolve::refuse;
use crate::session::Session;
use crate::store::index::Index;
use crate::store::products::{Products, State};
use crate::ui::plural;

const MODEL: &str = "model.json";
const PREDICTIONS: &str = "predictions.csv";
const METRICS: &str = "metrics.json";
const REPORT: &str = "report.txt";

/// What is stored of each selected set stage, held against what is asked for.
pub fn states(session: &Session) -> Result<Vec<(&'static str, State)>> {
    let mut states = Vec::new();
    if let Some(probe) = ProbeStage::new(session)? {
        states.push((linear_probe::DECL.id, probe.products.state(&probe.preimage)));
        if wants(session, evaluate::DECL.id) {
            let evaluate = EvaluateStage::new(session, &probe);
            states.push((evaluate::DECL.id, evaluate.map_or(State::New, |e| e.products.state(&e.preimage))));
        }
    }
    Ok(states)
}

/// Runs the selected set stages; returns the table of `evaluate`.
pub fn run(session: &Session, reporter: &dyn Reporter) -> Result<Option<String>> {
    let Some(probe) = ProbeStage::new(session)? else { return Ok(None) };
    let id = linear_probe::DECL.id;
    let reused = probe.products.state(&probe.preimage) == State::Current;
    let summary =
        if reused { "model and predictions as stored".to_string() } else { probe.train(session, reporter)? };
    reporter.report(&Event::SetStage { stage: id, reused, summary });
    if !wants(session, evaluate::DECL.id) {
        return Ok(None);
    }
    let evaluate = EvaluateStage::new(session, &probe)
        .ok_or_else(|| Error::Internal(format!("{id} left no {PREDICTIONS} to evaluate")))?;
    let reused = evaluate.products.state(&evaluate.preimage) == State::Current;
    if !reused {
        evaluate.measure(session)?;
    }
    let summary = format!("{}", evaluate.products.path(METRICS).display());
    reporter.report(&Event::SetStage { stage: evaluate::DECL.id, reused, summary });
    let path = evaluate.products.path(REPORT);
    std::fs::read_to_string(&path).at("read", &path).map(Some)
}

fn wants(session: &Session, stage: &str) -> bool {
    session.selected.iter().any(|decl| decl.id == stage)
}

/// The preimage of a set stage.
fn preimage(decl: &contract::Decl, params: &impl serde::Serialize, inputs: &Value) -> Value {
    let params = serde_json::to_value(params).expect("parameters are plain data");
    json!({
        "format": FORMAT, "stage": decl.id, "version": decl.version, "params": params, "facts": {}, "inputs": inputs,
    })
}

/// `linear-probe` of a session.
struct ProbeStage<'a> {
    plan: &'a StagePlan,
    spec: linear_probe::Spec,
    preimage: Value,
    products: Products,
}

impl<'a> ProbeStage<'a> {
    /// `None` when the stage is not selected.
    fn new(session: &'a Session) -> Result<Option<Self>> {
        let plan = session.plans.iter().find(|plan| plan.decl.id == encode_clip::DECL.id);
        let Some(plan) = plan.filter(|_| wants(session, linear_probe::DECL.id)) else { return Ok(None) };
        // The plan was made before the run; what the run published is in the store.
        let index = Index::open(&session.work, plan.decl.id, false)?;
        let spec = session.science.probe.clone();
        let mut embeddings = blake3::Hasher::new();
        for path in shards(session, plan) {
            for item in index.file(&path).map_or(&[][..], |file| &file.items) {
                embeddings.update(format!("{}\t{}\t{}\n", item.id, hex(&item.key), item.failed.is_some()).as_bytes());
            }
        }
        let mut labels = blake3::Hasher::new();
        for item in &session.dataset.items {
            labels.update(format!("{}\t{:?}\t{:?}\t{:?}\n", item.id, item.label, item.group, item.split).as_bytes());
        }
        let inputs = json!({
            "embeddings": { "items": embeddings.finalize().to_hex().as_str(), "key": plan.template.value() },
            "labels": labels.finalize().to_hex().as_str(),
            "classes": session.dataset.classes,
        });
        let preimage = preimage(&linear_probe::DECL, &spec, &inputs);
        let products = Products::new(session.work.stage(linear_probe::DECL.id));
        Ok(Some(ProbeStage { plan, spec, preimage, products }))
    }

    /// Fits the probe on the training split and publishes it with its predictions for every labelled item.
    fn train(&self, session: &Session, reporter: &dyn Reporter) -> Result<String> {
        let data = self.read(session)?;
        let id = linear_probe::DECL.id;
        let is_train = |item: &Item| item.split.as_ref().is_some_and(|split| self.spec.train_splits.contains(split));
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for (row, item) in &data.rows {
            if is_train(&session.dataset.items[*item]) {
                x.extend_from_slice(&data.x[row * data.dim..(row + 1) * data.dim]);
                y.push(data.labels[*row]);
            }
        }
        let probe = linear_probe::fit(&x, &y, &session.dataset.classes, &self.spec).map_err(|e| refuse(id, &e))?;
        if let Some(message) = probe.warning() {
            reporter.report(&Event::Warning { message: format!("{id}: {message}") });
        }
        let probabilities = probe.probabilities(&data.x).map_err(|e| refuse(id, &e))?;
        let mut table = Vec::new();
        predictions(session, &data, &probabilities).write_csv(&mut table).map_err(|e| refuse(id, &e))?;
        let model = serde_json::to_vec_pretty(&probe).expect("plain data");
        self.products.publish(&self.preimage, &[(MODEL, model), (PREDICTIONS, table)])?;
        Ok(summary(&probe, y.len(), &data))
    }

    /// One vector and one class per labelled item that has an embedding.
    fn read(&self, session: &Session) -> Result<Data> {
        let mut data = Data { dim: 0, x: Vec::new(), labels: Vec::new(), rows: Vec::new(), left_out: Vec::new() };
        for (shard, path) in self.plan.shards.iter().zip(shards(session, self.plan)) {
            let file = Shard::open(&path).in_shard(&path)?;
            let embedding = file.read_column("embedding").in_shard(&path)?;
            let width = file.header().columns.iter().find(|c| c.name == "embedding").and_then(|c| c.width).unwrap_or(1);
            data.dim = width;
            let values = to_f32(embedding);
            for (item, record) in shard.items.clone().zip(file.items()) {
                let Some(label) = &session.dataset.items[item].label else { continue };
                let class = session.dataset.classes.iter().position(|c| c == label);
                let class = class.ok_or_else(|| Error::Internal(format!("class {label} is not among the classes")))?;
                let vector = match &record.outcome {
                    Err(failure) => Err(failure.to_string()),
                    Ok(range) => {
                        let rows = &values[range.start * width..range.end * width];
                        linear_probe::represent(rows, width, &self.spec).map_err(|e| e.to_string())
                    }
                };
                match vector {
                    Ok(vector) => {
                        data.rows.push((data.labels.len(), item));
                        data.labels.push(class);
                        data.x.extend(vector);
                    }
                    Err(why) => data.left_out.push((record.id.clone(), why)),
                }
            }
        }
        Ok(data)
    }
}

/// The paths of a stage's shards in order.
fn shards(session: &Session, plan: &StagePlan) -> Vec<std::path::PathBuf> {
    let count = plan.shards.len();
    (0..count).map(|k| session.work.shard(plan.decl.id, k, count)).collect()
}

/// What the probe sees.
struct Data {
    dim: usize,
    /// `[rows.len()][dim]`
    x: Vec<f32>,
    /// Class of each row.
    labels: Vec<usize>,
    /// Row and position of its item in the data set.
    rows: Vec<(usize, usize)>,
    /// Labelled items without a vector, and why.
    left_out: Vec<(String, String)>,
}

fn to_f32(values: Values) -> Vec<f32> {
    match values {
        Values::F32(v) => v,
        Values::F16(v) => v.into_iter().map(half::f16::to_f32).collect(),
        Values::F64(v) => v.into_iter().map(|x| x as f32).collect(),
        Values::I64(v) => v.into_iter().map(|x| x as f32).collect(),
        Values::U8(v) => v.into_iter().map(f32::from).collect(),
    }
}

fn summary(probe: &Probe, trained_on: usize, data: &Data) -> String {
    let left_out = match data.left_out.len() {
        0 => String::new(),
        n => format!(", {} without an embedding left out", plural(n, "item")),
    };
    format!("trained on {} in {}{left_out}", plural(trained_on, "item"), plural(probe.iterations, "iteration"))
}

fn predictions(session: &Session, data: &Data, probabilities: &[f64]) -> Predictions {
    let classes = session.dataset.classes.clone();
    let rows = data
        .rows
        .iter()
        .map(|(row, item)| {
            let item = &session.dataset.items[*item];
            Prediction {
                id: item.id.clone(),
                second: None,
                label: classes[data.labels[*row]].clone(),
                group: item.group.clone(),
                city: item.city.clone(),
                split: item.split.clone().unwrap_or_default(),
                probabilities: probabilities[row * classes.len()..(row + 1) * classes.len()].to_vec(),
            }
        })
        .collect();
    Predictions { system: linear_probe::DECL.id.to_string(), protocol: Protocol::PerClip, classes, rows }
}

/// `evaluate` of a session.
struct EvaluateStage {
    spec: evaluate::Spec,
    predictions: Vec<u8>,
    notes: Vec<String>,
    preimage: Value,
    products: Products,
}

impl EvaluateStage {
    /// `None` while there are no predictions.
    fn new(session: &Session, probe: &ProbeStage<'_>) -> Option<Self> {
        let predictions = std::fs::read(probe.products.path(PREDICTIONS)).ok()?;
        let spec = session.science.evaluate.clone();
        let notes = notes(session, &predictions);
        let digest = blake3::hash(&predictions).to_hex();
        let inputs = json!({ "predictions": { linear_probe::DECL.id: digest.as_str() }, "notes": notes });
        let preimage = preimage(&evaluate::DECL, &spec, &inputs);
        let products = Products::new(session.work.stage(evaluate::DECL.id));
        Some(EvaluateStage { spec, predictions, notes, preimage, products })
    }

    fn measure(&self, session: &Session) -> Result<()> {
        let id = evaluate::DECL.id;
        let predictions = Predictions::read_csv(linear_probe::DECL.id, Protocol::PerClip, &self.predictions[..])
            .map_err(|e| refuse(id, &e))?;
        let report = evaluate::evaluate(&[predictions], &self.spec, self.notes.clone()).map_err(|e| refuse(id, &e))?;
        let mut text = format!("{}, {} split\n\n{}", session.dataset.name, self.spec.split, evaluate::table(&report));
        for (_, _, metrics) in report.rows() {
            text += &format!("\n{}", evaluate::confusion_table(metrics));
        }
        for note in &report.notes {
            text += &format!("\nnote: {note}");
        }
        text.push('\n');
        let mut json = serde_json::to_vec_pretty(&report).expect("plain data");
        json.push(b'\n');
        self.products.publish(&self.preimage, &[(METRICS, json), (REPORT, text.into_bytes())])
    }
}

/// What must be said beside every figure.
fn notes(session: &Session, predictions: &[u8]) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(clip) = &session.science.clip {
        let model = clip.checkpoint.describe();
        let random = if model.random_weights {
            ", a checkpoint with RANDOM weights: a test of the machinery, not of CLIP"
        } else {
            ""
        };
        notes.push(format!("embeddings come from {}{random}", model.name));
    }
    let labelled = session.dataset.items.iter().filter(|item| item.label.is_some()).count();
    let predicted = predictions.split(|byte| *byte == b'\n').count().saturating_sub(2);
    if predicted < labelled {
        let left_out = labelled - predicted;
        notes.push(format!(
            "{left_out} of {} have no embedding to stand for them and are left out",
            plural(labelled, "item")
        ));
    }
    notes
}
