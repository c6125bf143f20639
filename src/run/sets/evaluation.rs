//! `evaluate`: what every system said of the test split, held against the truth.

use contract::Decl;
use predictions::{Predictions, Protocol};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::registry;
use crate::resolve::refuse;
use crate::run::sets::system::{LEFT_OUT, PREDICTIONS, PREDICTIONS_1S, labelled};
use crate::run::sets::{During, Ended, SetStage, preimage};
use crate::session::Session;
use crate::store::products::Products;
use crate::ui::plural;

/// The figures as data.
pub const METRICS: &str = "metrics.json";
/// The figures as tables for a person.
pub const REPORT: &str = "report.txt";

const ID: &str = evaluate::DECL.id;

/// `evaluate` of a session.
pub struct Evaluate<'a> {
    /// The session.
    pub session: &'a Session,
}

/// The selected systems, late fusion among them, in the order of the registry.
pub fn judged(session: &Session) -> impl Iterator<Item = &'static Decl> + '_ {
    let wanted = |decl: &&'static Decl| session.wants(decl) && evaluate::DECL.inputs.contains(&decl.id);
    registry::STAGES.iter().filter(wanted)
}

/// A table of predictions of a system.
pub fn read_predictions(session: &Session, system: &'static str, protocol: Protocol) -> Result<Predictions> {
    let name = match protocol {
        Protocol::PerClip => PREDICTIONS,
        Protocol::PerSecond => PREDICTIONS_1S,
    };
    let bytes = Products::new(session.work.stage(system)).read(name)?;
    Predictions::read_csv(system, protocol, &bytes[..]).map_err(|e| refuse(system, &e))
}

/// The digests of what the systems published, by system; `None` while one has not.
pub fn predictions_preimage(session: &Session, systems: &[&'static str]) -> Option<Value> {
    let of = |system: &&'static str| {
        let products = Products::new(session.work.stage(system));
        let digests = json!({ "10s": products.digest(PREDICTIONS)?, "1s": products.digest(PREDICTIONS_1S)? });
        Some(((*system).to_string(), digests))
    };
    systems.iter().map(of).collect::<Option<Map<String, Value>>>().map(Value::Object)
}

impl Evaluate<'_> {
    /// What must be said beside every figure.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let models = self.session.science.clip.as_ref().map(|clip| clip.checkpoint.describe());
        if let Some(model) = models.filter(|model| model.random_weights) {
            notes.push(format!(
                "embeddings come from {}, a checkpoint with RANDOM weights: a test of the machinery, not of CLIP",
                model.name
            ));
        }
        notes
    }

    /// How many labelled clips each system said nothing of.
    fn left_out(&self) -> Vec<String> {
        let all = labelled(self.session).len();
        let mut notes = Vec::new();
        for system in judged(self.session) {
            let path = Products::new(self.session.work.stage(system.id)).path(LEFT_OUT);
            let rows = std::fs::read_to_string(&path).map_or(0, |text| text.lines().count().saturating_sub(1));
            if rows > 0 {
                let clips = plural(all, "labelled clip");
                notes.push(format!("{}: {rows} of {clips} are left out, see {}/{LEFT_OUT}", system.id, system.id));
            }
        }
        notes
    }
}

impl SetStage for Evaluate<'_> {
    fn decl(&self) -> &'static Decl {
        &evaluate::DECL
    }

    fn preimage(&self) -> Result<Option<Value>> {
        let systems: Vec<&str> = judged(self.session).map(|decl| decl.id).collect();
        let Some(predictions) = predictions_preimage(self.session, &systems) else { return Ok(None) };
        let name = &self.session.dataset.name;
        let inputs = json!({ "predictions": predictions, "notes": self.notes(), "data": name });
        Ok(Some(preimage(&evaluate::DECL, &self.session.science.evaluate, &json!({}), &inputs)))
    }

    fn check(&self) -> Result<()> {
        let split = &self.session.science.evaluate.split;
        let items = &self.session.dataset.items;
        if items.iter().any(|item| item.label.is_some() && item.split.as_ref() == Some(split)) {
            return Ok(());
        }
        let message = format!("no labelled clip is in the split `{split}`: name another one in evaluate.split");
        Err(Error::Stage { stage: ID, message })
    }

    fn run(&self, _: &During<'_>) -> Result<Ended> {
        let spec = &self.session.science.evaluate;
        let (mut tables, mut notes) = (Vec::new(), self.notes());
        for protocol in Protocol::ALL {
            for system in judged(self.session) {
                let table = read_predictions(self.session, system.id, protocol)?;
                if table.rows.iter().any(|row| row.split == spec.split) {
                    tables.push(table);
                } else {
                    notes.push(format!(
                        "{}: it has no figures in protocol {protocol}, since it decided nothing",
                        system.id
                    ));
                }
            }
        }
        notes.extend(self.left_out());
        let report = evaluate::evaluate(&tables, spec, notes).map_err(|e| refuse(ID, &e))?;
        let mut json = serde_json::to_vec_pretty(&report).expect("plain data");
        json.push(b'\n');
        let text = self.text(&report);
        let (systems, path) = (plural(report.order.len(), "system"), self.session.work.stage(ID).join(METRICS));
        let summary = format!("{systems} on the split {}; {}", spec.split, path.display());
        Ok(Ended::Made { files: vec![(METRICS, json), (REPORT, text.into_bytes())], summary })
    }
}

impl Evaluate<'_> {
    fn text(&self, report: &evaluate::Report) -> String {
        let mut text = format!("{}, {} split\n\n{}", self.session.dataset.name, report.split, evaluate::table(report));
        if !report.comparisons.is_empty() {
            text += &format!("\n{}", evaluate::comparison_table(report, Protocol::PerClip));
        }
        // The confusion of one system fits a screen; the report shows all of them.
        let per_clip = report.rows().filter(|(_, protocol, _)| *protocol == Protocol::PerClip);
        let best = per_clip.reduce(|a, b| if b.2.accuracy > a.2.accuracy { b } else { a });
        if let Some((system, _, metrics)) = best {
            text += &format!("\n{system}\n{}", evaluate::confusion_table(metrics));
        }
        for note in &report.notes {
            text += &format!("\nnote: {note}");
        }
        if !report.notes.is_empty() {
            text.push('\n');
        }
        text
    }
}
