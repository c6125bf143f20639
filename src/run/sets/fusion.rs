//! `late-fusion`: what several systems say of a clip becomes one.

use contract::Decl;
use late_fusion::{Fusion, Method};
use predictions::{Prediction, Predictions, Protocol};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::resolve::refuse;
use crate::run::sets::evaluation::{predictions_preimage, read_predictions};
use crate::run::sets::system::{Judge, LEFT_OUT, Question, Verdict, Verdicts, labels_preimage, list, tables};
use crate::run::sets::{self, During, Ended, SetStage, preimage};
use crate::session::Session;
use crate::store::WorkDir;
use crate::store::products::Products;
use crate::ui::plural;

const MODEL: &str = "model.json";
const ID: &str = late_fusion::DECL.id;

/// `late-fusion` of a session.
pub struct LateFusion<'a> {
    /// The session.
    pub session: &'a Session,
}

impl LateFusion<'_> {
    /// The systems that are fused, by the names of their stages.
    fn systems(&self) -> Vec<&'static str> {
        let named = &self.session.science.late_fusion.systems;
        named.iter().filter_map(|name| crate::registry::find(name)).map(|decl| decl.id).collect()
    }

    fn read(&self, protocol: Protocol) -> Result<Vec<Predictions>> {
        self.systems().into_iter().map(|system| read_predictions(self.session, system, protocol)).collect()
    }

    /// What system `at` of the fusion says, as a table; labels and splits of new clips are not known, and nobody asks for them.
    fn table(&self, system: &str, verdicts: &[std::result::Result<Verdict, String>]) -> Predictions {
        let classes = &self.session.dataset.classes;
        let row = |(item, verdict): (usize, &std::result::Result<Verdict, String>)| {
            let probabilities = verdict.as_ref().ok()?.clip.clone();
            Some(Prediction {
                id: item.to_string(),
                second: None,
                label: classes[0].clone(),
                group: None,
                city: None,
                split: String::new(),
                probabilities,
            })
        };
        let rows = verdicts.iter().enumerate().filter_map(row).collect();
        Predictions { system: system.to_string(), protocol: Protocol::PerClip, classes: classes.clone(), rows }
    }

    /// The fusion as published in a store.
    pub fn load(&self, store: &WorkDir) -> Result<Loaded<'_>> {
        let bytes = Products::new(store.stage(ID)).read(MODEL)?;
        let fusion = serde_json::from_slice(&bytes);
        let fusion = fusion.map_err(|e| Error::Stage { stage: ID, message: format!("{MODEL} is damaged: {e}") })?;
        Ok(Loaded { stage: LateFusion { session: self.session }, store: store.clone(), fusion })
    }
}

impl SetStage for LateFusion<'_> {
    fn decl(&self) -> &'static Decl {
        &late_fusion::DECL
    }

    fn preimage(&self) -> Result<Option<Value>> {
        let Some(predictions) = predictions_preimage(self.session, &self.systems()) else { return Ok(None) };
        let inputs = json!({ "predictions": predictions, "labels": labels_preimage(self.session) });
        Ok(Some(preimage(&late_fusion::DECL, &self.session.science.late_fusion, &json!({}), &inputs)))
    }

    fn check(&self) -> Result<()> {
        let science = &self.session.science;
        if science.late_fusion.method != Method::Weighted {
            return Ok(());
        }
        let refuse = |message: &str| Err(Error::Stage { stage: ID, message: message.to_string() });
        if self.session.dataset.items.iter().all(|item| item.split.as_deref() != Some(late_fusion::VALIDATION)) {
            return refuse(
                "method = \"weighted\" finds its weights on the split `val`, and the data set has none: use method = \"mean\", or raise \
                 discover.val_fraction",
            );
        }
        let fitted_on_val = self.systems().contains(&linear_probe::DECL.id)
            && science.probe.train_splits.iter().any(|split| split == late_fusion::VALIDATION);
        if fitted_on_val {
            return refuse(
                "the linear probe is fitted on the split `val`, and weights found there would flatter it: set linear-probe.train_splits = \
                 [\"train\"], or method = \"mean\"",
            );
        }
        Ok(())
    }

    fn run(&self, _: &During<'_>) -> Result<Ended> {
        let refuse = |e: late_fusion::Error| refuse(ID, &e);
        let clips = self.read(Protocol::PerClip)?;
        let fusion = late_fusion::fit(&clips, &self.session.science.late_fusion).map_err(refuse)?;
        let per_clip = fusion.apply(&clips, Protocol::PerClip).map_err(refuse)?;
        let seconds = self.read(Protocol::PerSecond)?;
        let none = seconds.iter().any(|table| table.rows.is_empty());
        let per_second = if none {
            Vec::new()
        } else {
            fusion.apply(&seconds, Protocol::PerSecond).map_err(refuse)?.predictions.rows
        };
        let lacking: Vec<[String; 2]> = per_clip
            .left_out
            .iter()
            .map(|row| [row.id.clone(), format!("no probabilities of {}", row.lacking.join(", "))])
            .collect();
        let parts = fusion.systems.iter().zip(&fusion.weights).map(|(system, w)| format!("{system} {w:.2}"));
        let parts = parts.collect::<Vec<_>>().join(" + ");
        let summary = format!("{} of {parts}", plural(per_clip.predictions.rows.len(), "item"));
        let mut files = tables(self.session, ID, per_clip.predictions.rows, per_second)?;
        files.push((LEFT_OUT, list(&lacking)));
        files.push((MODEL, serde_json::to_vec_pretty(&fusion).expect("plain data")));
        Ok(Ended::Made { files, summary })
    }
}

/// A fusion that judges the clips of a session through the systems that it is made of.
pub struct Loaded<'a> {
    stage: LateFusion<'a>,
    store: WorkDir,
    fusion: Fusion,
}

impl Judge for Loaded<'_> {
    fn judge(&self, questions: &[Question], during: &During<'_>) -> Result<Verdicts> {
        let mut tables = Vec::new();
        let mut verdicts: Vec<std::result::Result<Verdict, String>> =
            questions.iter().map(|_| Err(String::new())).collect();
        for system in &self.fusion.systems {
            let decl = crate::registry::find(system);
            let decl = decl.ok_or_else(|| Error::Internal(format!("{MODEL} names a system `{system}`")))?;
            let of_system = sets::system(self.stage.session, decl)?.load(&self.store)?.judge(questions, during)?;
            let Some(of_system) = of_system else { return Ok(None) };
            for (verdict, of_system) in verdicts.iter_mut().zip(&of_system) {
                if let Err(why) = of_system {
                    *verdict = Err(format!("{system}: {why}"));
                }
            }
            tables.push(self.stage.table(system, &of_system));
        }
        if tables.iter().all(|table| !table.rows.is_empty()) {
            match self.fusion.apply(&tables, Protocol::PerClip) {
                Ok(fused) => {
                    for row in fused.predictions.rows {
                        let at: usize = row.id.parse().expect("it was made of a number");
                        verdicts[at] = Ok(Verdict { clip: row.probabilities, seconds: Vec::new() });
                    }
                }
                // No clip that every system has something to say of: each has its reason already.
                Err(late_fusion::Error::NothingShared { .. }) => {}
                Err(error) => return Err(refuse(ID, &error)),
            }
        }
        Ok(Some(verdicts))
    }
}
