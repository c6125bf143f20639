//! `linear-probe`: the embeddings of the training clips to a linear classifier.

use contract::Decl;
use linear_probe::{Clips, Probe};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::events::Event;
use crate::resolve::refuse;
use crate::run::sets::features::{Features, column};
use crate::run::sets::system::{
    Fitted, Judge, Question, System, Verdict, Verdicts, check_classes, labelled, labels_preimage,
};
use crate::run::sets::{During, preimage};
use crate::session::Session;
use crate::store::WorkDir;
use crate::store::products::Products;
use crate::ui::plural;

const MODEL: &str = "model.json";
const ID: &str = linear_probe::DECL.id;

/// `linear-probe` of a session.
pub struct LinearProbe<'a> {
    /// The session.
    pub session: &'a Session,
}

impl LinearProbe<'_> {
    fn embeddings(&self) -> Result<Features<'_>> {
        Features::open(self.session, encode_clip::DECL.id, ID)
    }
}

impl System for LinearProbe<'_> {
    fn decl(&self) -> &'static Decl {
        &linear_probe::DECL
    }

    fn preimage(&self) -> Result<Option<Value>> {
        let inputs = json!({ "embeddings": self.embeddings()?.preimage(), "labels": labels_preimage(self.session) });
        Ok(Some(preimage(&linear_probe::DECL, &self.session.science.probe, &json!({}), &inputs)))
    }

    fn check(&self) -> Result<()> {
        let remedy = "give the class training clips, or take it out of the manifest's classes";
        check_classes(self.session, ID, &self.session.science.probe.train_splits, remedy)
    }

    fn fit(&self, during: &During<'_>) -> Result<Option<Fitted<'_>>> {
        let (spec, classes) = (&self.session.science.probe, &self.session.dataset.classes);
        let embeddings = self.embeddings()?;
        let mut clips = Clips::default();
        for at in labelled(self.session) {
            // The test clips are for the figures alone.
            let item = &self.session.dataset.items[at.item];
            let Some(split) = item.split.as_deref().filter(|split| *split != "test") else { continue };
            // A clip without an embedding is named among those left out.
            let Ok(rows) = embeddings.rows(at.item)? else { continue };
            let (values, width) = column(rows, "embedding")?;
            if clips.is_empty() {
                clips = Clips::new(width);
            }
            if let Ok(vectors) = linear_probe::represent(&values, width, spec) {
                let pushed = clips.push(&vectors, at.class, item.group.as_deref(), Some(split));
                pushed.map_err(|e| refuse(ID, &e))?;
            }
        }
        let probe = linear_probe::train(&clips, classes, spec).map_err(|e| refuse(ID, &e))?;
        if let Some(message) = probe.warning() {
            during.reporter.report(&Event::Warning { message: format!("{ID}: {message}") });
        }
        let fitted = plural(probe.training_items.iter().sum(), "item");
        let chosen =
            probe.selection.as_ref().map_or(String::new(), |s| format!(", C = {} chosen of {}", s.c, s.path.len()));
        let summary = format!("trained on {fitted} in {}{chosen}", plural(probe.iterations, "iteration"));
        let model = serde_json::to_vec_pretty(&probe).expect("plain data");
        Ok(Some(Fitted { files: vec![(MODEL, model)], summary, judge: Box::new(Trained { embeddings, probe }) }))
    }

    fn load(&self, store: &WorkDir) -> Result<Box<dyn Judge + '_>> {
        let bytes = Products::new(store.stage(ID)).read(MODEL)?;
        let probe = serde_json::from_slice(&bytes);
        let probe = probe.map_err(|e| Error::Stage { stage: ID, message: format!("{MODEL} is damaged: {e}") })?;
        Ok(Box::new(Trained { embeddings: self.embeddings()?, probe }))
    }
}

struct Trained<'a> {
    embeddings: Features<'a>,
    probe: Probe,
}

impl Judge for Trained<'_> {
    fn judge(&self, questions: &[Question], _: &During<'_>) -> Result<Verdicts> {
        questions.iter().map(|question| self.one(*question)).collect::<Result<_>>().map(Some)
    }
}

impl Trained<'_> {
    fn one(&self, Question { item, by_second }: Question) -> Result<Result<Verdict, String>> {
        let rows = match self.embeddings.rows(item)? {
            Ok(rows) => rows,
            Err(failure) => return Ok(Err(failure.to_string())),
        };
        let (values, width) = column(rows, "embedding")?;
        let verdict = || {
            let vectors = linear_probe::represent(&values, width, &self.probe.spec)?;
            let clip = self.probe.clip_probabilities(&vectors)?;
            let each =
                if by_second { linear_probe::represent_each(&values, width, &self.probe.spec)? } else { Vec::new() };
            let seconds = self.probe.probabilities(&each)?;
            Ok(Verdict { seconds: seconds.chunks(clip.len()).map(<[f64]>::to_vec).collect(), clip })
        };
        Ok(verdict().map_err(|e: linear_probe::Error| e.to_string()))
    }
}
