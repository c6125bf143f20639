//! `report`: everything about the systems on one page.

use std::time::Duration;

use contract::Decl;
use predictions::Protocol;
use report::{Curve, Failure, Figures, Page, Point, Sample, Section};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::key::canonical;
use crate::resolve::refuse;
use crate::run::sets::evaluation::{METRICS, judged, predictions_preimage, read_predictions};
use crate::run::sets::features::Features;
use crate::run::sets::neural::HISTORY;
use crate::run::sets::samples::Samples;
use crate::run::sets::{During, Ended, SetStage, preimage};
use crate::session::Session;
use crate::store::products::Products;
use crate::worker::Drain;

const ID: &str = report::DECL.id;

/// `report` of a session.
pub struct Report<'a> {
    /// The session.
    pub session: &'a Session,
}

impl Report<'_> {
    fn products(&self, stage: &str) -> Products {
        Products::new(self.session.work.stage(stage))
    }

    /// The recorded failures of the item stages, in order of stage and data set.
    fn failures(&self) -> Result<Vec<Failure>> {
        let mut failures = Vec::new();
        for plan in &self.session.plans {
            for item in Features::open(self.session, plan.decl.id, ID)?.indexed() {
                if let Some((cause, message)) = &item.failed {
                    failures.push(Failure {
                        stage: plan.decl.id.to_string(),
                        id: item.id.clone(),
                        cause: cause.name().to_string(),
                        message: message.clone(),
                    });
                }
            }
        }
        Ok(failures)
    }

    /// How the trained systems learned.
    fn curves(&self) -> Vec<Curve> {
        let of = |decl: &'static Decl| {
            let bytes = std::fs::read(self.products(decl.id).path(HISTORY)).ok()?;
            let epochs: Vec<training::Epoch> = serde_json::from_slice(&bytes).ok()?;
            let kept = crate::run::sets::neural::read_model(&self.session.work, decl.id).ok()?.description.selected;
            let best = kept.and_then(|kept| epochs.iter().position(|epoch| *epoch == kept));
            let points = epochs.iter().map(|epoch| Point {
                epoch: epoch.epoch,
                step: epoch.step,
                learning_rate: epoch.learning_rate,
                train_loss: epoch.train_loss,
                val_loss: epoch.val_loss,
                val_accuracy: epoch.val_accuracy,
            });
            Some(Curve { system: decl.id.to_string(), points: points.collect(), best })
        };
        judged(self.session).filter_map(of).collect()
    }

    /// Versions, models and counts; nothing that differs between two machines with the same files.
    fn provenance(&self) -> Vec<Section> {
        let dataset = &self.session.dataset;
        let mut data = vec![("items".to_string(), dataset.items.len().to_string())];
        for split in discover::split::NAMES {
            let count = dataset.items.iter().filter(|item| item.split.as_deref() == Some(split)).count();
            data.push((format!("split {split}"), format!("{count} items")));
        }
        data.push(("classes".to_string(), dataset.classes.join(", ")));
        data.extend(dataset.about.source.clone().map(|source| ("source".to_string(), source)));
        data.extend(dataset.about.licence.clone().map(|licence| ("licence".to_string(), licence)));
        data.extend(dataset.notes.iter().map(|note| ("note".to_string(), note.clone())));
        let mut program = vec![("pipeline".to_string(), env!("CARGO_PKG_VERSION").to_string())];
        for decl in &self.session.selected {
            program.push((format!("{} version", decl.id), decl.version.to_string()));
        }
        let mut features = Vec::new();
        for plan in &self.session.plans {
            let template = plan.template.value();
            for part in ["params", "facts"] {
                if template[part].as_object().is_some_and(|fields| !fields.is_empty()) {
                    features.push((format!("{} {part}", plan.decl.id), canonical(&template[part])));
                }
            }
        }
        if let Some(clip) = &self.session.science.clip {
            let model = clip.checkpoint.describe();
            let random = if model.random_weights { " (RANDOM weights)" } else { "" };
            features.push(("CLIP".to_string(), format!("{}{random}", model.name)));
        }
        let mut systems = Vec::new();
        for decl in judged(self.session) {
            if let Some(stored) = self.products(decl.id).preimage() {
                systems.push((format!("{} params", decl.id), canonical(&stored["params"])));
                if stored["facts"].as_object().is_some_and(|facts| !facts.is_empty()) {
                    systems.push((format!("{} facts", decl.id), canonical(&stored["facts"])));
                }
            }
        }
        let section = |title: &str, entries| Section { title: title.to_string(), entries };
        vec![
            section("Data set", data),
            section("Program", program),
            section("Features", features),
            section("Systems", systems),
        ]
    }

    /// The configuration without what differs between machines.
    fn config(&self) -> String {
        let mut config = self.session.config.clone();
        config.data = None;
        config.work = None;
        toml::to_string(&config).unwrap_or_default()
    }
}

impl SetStage for Report<'_> {
    fn decl(&self) -> &'static Decl {
        &report::DECL
    }

    fn preimage(&self) -> Result<Option<Value>> {
        let systems: Vec<&str> = judged(self.session).map(|decl| decl.id).collect();
        let Some(predictions) = predictions_preimage(self.session, &systems) else { return Ok(None) };
        let Some(figures) = self.products(evaluate::DECL.id).digest(METRICS) else { return Ok(None) };
        let history = |system: &&str| Some(((*system).to_string(), self.products(system).digest(HISTORY)?.into()));
        let failures: Vec<Value> =
            self.failures()?.iter().map(|f| serde_json::to_value(f).expect("plain data")).collect();
        let failures = blake3::hash(canonical(&Value::Array(failures)).as_bytes());
        let provenance = serde_json::to_value(self.provenance()).expect("plain data");
        let inputs = json!({
            "predictions": predictions,
            "figures": figures,
            "history": systems.iter().filter_map(history).collect::<serde_json::Map<String, Value>>(),
            "failures": failures.to_hex().as_str(),
            "provenance": blake3::hash(canonical(&provenance).as_bytes()).to_hex().as_str(),
            "config": blake3::hash(self.config().as_bytes()).to_hex().as_str(),
            "data": self.session.dataset.name,
        });
        Ok(Some(preimage(&report::DECL, &self.session.science.report, &json!({}), &inputs)))
    }

    fn run(&self, during: &During<'_>) -> Result<Ended> {
        let spec = &self.session.science.report;
        let figures = Figures::read(&self.products(evaluate::DECL.id).read(METRICS)?).map_err(|e| refuse(ID, &e))?;
        let tables: Vec<_> = judged(self.session)
            .map(|decl| read_predictions(self.session, decl.id, Protocol::PerClip))
            .collect::<Result<_>>()?;
        let split = &self.session.science.evaluate.split;
        let chosen = report::choose(&tables, split, spec.samples);
        let items = &self.session.dataset.items;
        let drain = Drain::new(during.stop, Duration::from_secs_f64(self.session.config.run.drain));
        let (mut pictures, mut samples) = (Samples::new(self.session, &drain), Vec::new());
        for id in &chosen {
            let picture = match items.iter().position(|item| item.id == *id) {
                Some(at) => pictures.picture(at)?,
                None => None,
            };
            samples.extend(Sample::new(id, picture, &tables));
        }
        let page = Page {
            title: if spec.title.is_empty() { self.session.dataset.name.clone() } else { spec.title.clone() },
            dataset: self.session.dataset.name.clone(),
            figures,
            curves: self.curves(),
            samples,
            failures: self.failures()?,
            provenance: self.provenance(),
            config: self.config(),
        };
        let files = report::render(&page).map_err(|e| refuse(ID, &e))?;
        let Some((index, _)) = files.first() else { return Err(Error::Internal(format!("{ID} made no page"))) };
        let summary = self.products(ID).path(index).display().to_string();
        Ok(Ended::Made { files, summary })
    }
}
