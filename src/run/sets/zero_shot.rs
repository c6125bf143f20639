//! `zero-shot`: prompts through the checkpoint's text tower, held against the clips' embeddings. Nothing is trained.

use contract::Decl;
use serde_json::{Value, json};
use zero_shot::Classifier;

use crate::error::{Error, Result};
use crate::events::Event;
use crate::resolve::{ClipScience, files_digest, refuse};
use crate::run::sets::features::{Features, column};
use crate::run::sets::system::{Fitted, Judge, Question, System, Verdict, Verdicts, labels_preimage};
use crate::run::sets::{During, preimage};
use crate::session::Session;
use crate::store::WorkDir;
use crate::store::products::Products;
use crate::ui::plural;

const MODEL: &str = "model.json";
const ID: &str = zero_shot::DECL.id;

/// `zero-shot` of a session.
pub struct ZeroShot<'a> {
    /// The session.
    pub session: &'a Session,
}

impl ZeroShot<'_> {
    fn embeddings(&self) -> Result<Features<'_>> {
        Features::open(self.session, encode_clip::DECL.id, ID)
    }

    fn clip(&self) -> Result<&ClipScience> {
        let missing = || Error::Internal(format!("{ID} is to run without {}", encode_clip::DECL.id));
        self.session.science.clip.as_ref().ok_or_else(missing)
    }
}

impl System for ZeroShot<'_> {
    fn decl(&self) -> &'static Decl {
        &zero_shot::DECL
    }

    fn preimage(&self) -> Result<Option<Value>> {
        let files = self.clip()?.checkpoint.text_files().map_err(|e| refuse(ID, &e))?;
        let facts = json!({ "text": files_digest(&files, &self.session.digests)? });
        let inputs = json!({ "embeddings": self.embeddings()?.preimage(), "labels": labels_preimage(self.session) });
        Ok(Some(preimage(&zero_shot::DECL, &self.session.science.zero_shot, &facts, &inputs)))
    }

    fn check(&self) -> Result<()> {
        let science = &self.session.science;
        zero_shot::check(&self.clip()?.checkpoint, &self.session.dataset.classes, &science.zero_shot).map_err(|e| {
            let message = format!("{e} (`--set run.skip=[\"{ID}\"]` does without this stage)");
            Error::Stage { stage: ID, message }
        })
    }

    fn fit(&self, during: &During<'_>) -> Result<Option<Fitted<'_>>> {
        let checkpoint = &self.clip()?.checkpoint;
        let encoder =
            clip::TextEncoder::load(checkpoint, self.session.config.run.device).map_err(|e| refuse(ID, &e))?;
        let model = format!("text tower of {} on {}", checkpoint.describe().name, encoder.backend());
        during.reporter.report(&Event::ModelLoaded { stage: ID, model });
        let science = &self.session.science;
        let made = zero_shot::classifier(&encoder, &self.session.dataset.classes, &science.zero_shot);
        let classifier = made.map_err(|e| refuse(ID, &e))?;
        let prompts = classifier.prompts.iter().map(|class| class.prompts.iter().flatten().count()).sum();
        let summary = format!("{} for {} classes", plural(prompts, "prompt"), classifier.classes.len());
        let model = serde_json::to_vec_pretty(&classifier).expect("plain data");
        let judge = Box::new(Prompted { embeddings: self.embeddings()?, classifier });
        Ok(Some(Fitted { files: vec![(MODEL, model)], summary, judge }))
    }

    fn load(&self, store: &WorkDir) -> Result<Box<dyn Judge + '_>> {
        let bytes = Products::new(store.stage(ID)).read(MODEL)?;
        let classifier = serde_json::from_slice(&bytes);
        let classifier =
            classifier.map_err(|e| Error::Stage { stage: ID, message: format!("{MODEL} is damaged: {e}") })?;
        Ok(Box::new(Prompted { embeddings: self.embeddings()?, classifier }))
    }
}

struct Prompted<'a> {
    embeddings: Features<'a>,
    classifier: Classifier,
}

impl Judge for Prompted<'_> {
    fn judge(&self, questions: &[Question], _: &During<'_>) -> Result<Verdicts> {
        questions.iter().map(|question| self.one(*question)).collect::<Result<_>>().map(Some)
    }
}

impl Prompted<'_> {
    fn one(&self, Question { item, by_second }: Question) -> Result<Result<Verdict, String>> {
        let rows = match self.embeddings.rows(item)? {
            Ok(rows) => rows,
            Err(failure) => return Ok(Err(failure.to_string())),
        };
        let (values, _) = column(rows, "embedding")?;
        Ok(self.verdict(&values, by_second).map_err(|e| e.to_string()))
    }

    fn verdict(&self, values: &[f32], by_second: bool) -> std::result::Result<Verdict, Box<zero_shot::Error>> {
        let clip = self.classifier.of_clip(values)?;
        let seconds = if by_second { self.classifier.of_each_picture(values)? } else { Vec::new() };
        Ok(Verdict { clip, seconds })
    }
}
