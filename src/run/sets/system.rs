//! A system: something that is fitted to the training clips and then judges clips. What all systems have in common is here - the
//! stage, the tables of probabilities, the list of what was left out; what differs is in a file each.

use std::fmt::Write as _;

use contract::{Decl, Item};
use predictions::{Prediction, Predictions, Protocol};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::resolve::refuse;
use crate::run::sets::{During, Ended, SetStage};
use crate::session::{Labelled, Session};
use crate::store::WorkDir;
use crate::store::products::File;
use crate::ui::plural;

/// Class probabilities per clip.
pub const PREDICTIONS: &str = "predictions.csv";
/// Class probabilities per second.
pub const PREDICTIONS_1S: &str = "predictions-1s.csv";
/// The evaluated split, second by second, as the challenge of the reference example wants it.
pub const SUBMISSION: &str = "submission.tsv";
/// Labelled clips without a probability, and why.
pub const LEFT_OUT: &str = "left-out.csv";

/// A system of a session.
pub trait System {
    /// Its declaration.
    fn decl(&self) -> &'static Decl;

    /// As [`SetStage::preimage`].
    fn preimage(&self) -> Result<Option<Value>>;

    /// As [`SetStage::check`].
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Fits it to the training clips. `None`: it was asked to stop and has kept what it has.
    fn fit(&self, during: &During<'_>) -> Result<Option<Fitted<'_>>>;

    /// The fitted system as published in a store, which may be another than the session's; it judges the session's clips.
    fn load(&self, store: &WorkDir) -> Result<Box<dyn Judge + '_>>;
}

/// A fitted system.
pub struct Fitted<'a> {
    /// Its files.
    pub files: Vec<File>,
    /// One line: on what it rests.
    pub summary: String,
    /// Itself.
    pub judge: Box<dyn Judge + 'a>,
}

/// What is said of one clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// `[K]` probabilities of the whole clip.
    pub clip: Vec<f64>,
    /// `[K]` probabilities of each of its seconds, where these were asked for.
    pub seconds: Vec<Vec<f64>>,
}

/// What is asked about a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// Its position in the data set.
    pub item: usize,
    /// Whether each second is to be judged, too.
    pub by_second: bool,
}

/// For each question what is said, or why nothing is; `None`: it was asked to stop.
pub type Verdicts = Option<Vec<Result<Verdict, String>>>;

/// A fitted system that judges clips of a session.
pub trait Judge {
    /// Judges.
    fn judge(&self, questions: &[Question], during: &During<'_>) -> Result<Verdicts>;
}

/// The labelled clips in order.
pub fn labelled(session: &Session) -> &[Labelled] {
    session.labelled.get_or_init(|| Labelled::all(&session.dataset))
}

/// Refuses a data set in which a class has no clip in these splits, before any long work starts.
pub fn check_classes(session: &Session, stage: &'static str, splits: &[String], remedy: &str) -> Result<()> {
    let dataset = &session.dataset;
    let refuse = |message: String| Err(Error::Stage { stage, message });
    if dataset.classes.len() < 2 {
        return refuse(format!(
            "the data set has {}: there is nothing to tell apart; check the labels of the manifest",
            if dataset.classes.is_empty() { "no class" } else { "one class" }
        ));
    }
    let mut found = vec![false; dataset.classes.len()];
    for at in labelled(session) {
        let split = dataset.items[at.item].split.as_ref();
        found[at.class] |= split.is_some_and(|split| splits.contains(split));
    }
    let lacking: Vec<&str> = dataset.classes.iter().zip(found).filter(|(_, f)| !f).map(|(c, _)| c.as_str()).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    refuse(format!(
        "no clip of {} is in the split {}: {remedy}",
        lacking.iter().map(|class| format!("`{class}`")).collect::<Vec<_>>().join(", "),
        splits.join(" or ")
    ))
}

/// Items of which a thread writes the lines at a time.
const SOME: usize = 4096;

/// What stands for the labels in the preimage of a system.
pub fn labels_preimage(session: &Session) -> Value {
    let dataset = &session.dataset;
    let digest = session.labels.get_or_init(|| {
        let lines = |items: &[Item]| {
            let mut lines = String::new();
            for Item { id, label, group, city, split, .. } in items {
                writeln!(lines, "{id}\t{label:?}\t{group:?}\t{city:?}\t{split:?}").expect("writing to memory");
            }
            lines
        };
        let parts: Vec<String> = dataset.items.par_chunks(SOME).map(lines).collect();
        let mut labels = blake3::Hasher::new();
        for part in parts {
            labels.update(part.as_bytes());
        }
        labels.finalize().to_hex().to_string()
    });
    json!({ "items": digest, "classes": dataset.classes })
}

/// The stage of a system: fit, judge every labelled clip.
pub struct SystemStage<'a, S> {
    /// The session.
    pub session: &'a Session,
    /// The system.
    pub system: S,
}

impl<S: System> SetStage for SystemStage<'_, S> {
    fn decl(&self) -> &'static Decl {
        self.system.decl()
    }

    fn preimage(&self) -> Result<Option<Value>> {
        self.system.preimage()
    }

    fn check(&self) -> Result<()> {
        self.system.check()
    }

    fn run(&self, during: &During<'_>) -> Result<Ended> {
        let Some(Fitted { mut files, mut summary, judge }) = self.system.fit(during)? else {
            return Ok(Ended::Stopped);
        };
        let clips = labelled(self.session);
        let questions: Vec<Question> = clips.iter().map(|at| self.question(*at)).collect();
        let Some(verdicts) = judge.judge(&questions, during)? else { return Ok(Ended::Stopped) };
        let (mut per_clip, mut per_second, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for (at, verdict) in clips.iter().zip(verdicts) {
            match verdict {
                Ok(verdict) => {
                    per_clip.push(row(self.session, *at, None, verdict.clip));
                    let seconds = verdict.seconds.into_iter().zip(0..);
                    per_second.extend(seconds.map(|(p, second)| row(self.session, *at, Some(second), p)));
                }
                Err(why) => left_out.push([self.session.dataset.items[at.item].id.clone(), why]),
            }
        }
        if !left_out.is_empty() {
            summary += &format!(", {} left out ({LEFT_OUT})", plural(left_out.len(), "item"));
        }
        files.extend(tables(self.session, self.decl().id, per_clip, per_second)?);
        files.push((LEFT_OUT, list(&left_out)));
        Ok(Ended::Made { files, summary })
    }
}

impl<S> SystemStage<'_, S> {
    /// Nobody asks how well the training clips are decided second by second, and it would be ten times as many decisions.
    fn question(&self, at: Labelled) -> Question {
        let split = self.session.dataset.items[at.item].split.as_deref();
        Question { item: at.item, by_second: split != Some("train") }
    }
}

fn row(session: &Session, at: Labelled, second: Option<u32>, probabilities: Vec<f64>) -> Prediction {
    let item = &session.dataset.items[at.item];
    Prediction {
        id: item.id.clone(),
        second,
        label: session.dataset.classes[at.class].clone(),
        group: item.group.clone(),
        city: item.city.clone(),
        split: item.split.clone().unwrap_or_default(),
        probabilities,
    }
}

/// What a system says as files: per clip, per second, and the evaluated split as the challenge wants it.
pub fn tables(
    session: &Session,
    stage: &'static str,
    per_clip: Vec<Prediction>,
    per_second: Vec<Prediction>,
) -> Result<Vec<File>> {
    let table = |protocol, rows| -> Result<_> {
        let classes = session.dataset.classes.clone();
        let predictions = Predictions { system: stage.to_string(), protocol, classes, rows };
        let mut bytes = Vec::new();
        predictions.write_csv(&mut bytes).map_err(|e| refuse(stage, &e))?;
        Ok((predictions, bytes))
    };
    let (_, clips) = table(Protocol::PerClip, per_clip)?;
    let (by_second, seconds) = table(Protocol::PerSecond, per_second)?;
    let split = &session.science.evaluate.split;
    let submission = evaluate::submission(&by_second, Some(split)).map_err(|e| refuse(stage, &e))?;
    Ok(vec![(PREDICTIONS, clips), (PREDICTIONS_1S, seconds), (SUBMISSION, submission.into_bytes())])
}

/// [`LEFT_OUT`] of these ids and reasons.
pub fn list(left_out: &[[String; 2]]) -> Vec<u8> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let rows = [["id".to_string(), "why".to_string()]];
    for row in rows.iter().chain(left_out) {
        table.write_record(row).expect("a Vec takes every byte");
    }
    table.into_inner().expect("a Vec takes every byte")
}
