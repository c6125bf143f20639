//! What the two systems that are trained networks have in common: the run of training with its checkpoint, and the judgement of
//! clips and seconds.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;
use training::{Classifier, Description, Inputs, Job, Keeper, Model, Origin, Outcome, Phase, Progress};

use crate::error::{Error, Result};
use crate::events::Event;
use crate::key::{canonical, hex};
use crate::resolve::refuse;
use crate::run::sets::During;
use crate::run::sets::clips::Store;
use crate::run::sets::system::{Fitted, Judge, Question, Verdict, Verdicts, labelled};
use crate::session::Session;
use crate::store::WorkDir;
use crate::store::products::Products;
use crate::store::publish::publish_bytes;

/// The trained network: safetensors with its description.
pub const MODEL: &str = "model.safetensors";
/// Every selection of the run: loss, learning rate, validation figures.
pub const HISTORY: &str = "history.json";

/// Time between two events of training: a person reads no faster, and the record of a long run stays small.
const TOLD_EVERY: Duration = Duration::from_millis(500);

/// Keeps the checkpoint of a stage in the work directory.
struct File(PathBuf);

impl Keeper for File {
    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    fn save(&self, checkpoint: &[u8]) -> io::Result<()> {
        publish_bytes(&self.0, checkpoint).map_err(io::Error::other)
    }
}

/// How a stage trains.
pub struct Training<'a> {
    /// The session.
    pub session: &'a Session,
    /// The stage.
    pub stage: &'static str,
    /// The splits to train on, and the one that the weights are chosen on.
    pub parts: (&'a [&'a str], &'a str),
    /// How to train.
    pub spec: &'a training::Spec,
    /// Time between two checkpoints.
    pub checkpoint_every: Duration,
    /// The preimage of the stage: a checkpoint of another one is not gone on with.
    pub preimage: Option<Value>,
}

impl Training<'_> {
    /// Trains a network and makes a judge of it; `None` when it was asked to stop, with a checkpoint to go on from.
    pub fn run<'s>(&self, network: &Classifier, store: Store<'s>, during: &During<'_>) -> Result<Option<Fitted<'s>>> {
        let Some(trained) = self.train(network, &store, during)? else { return Ok(None) };
        let model = model(self.session, self.stage, *network.network().config(), &trained)?;
        let network = model.network().map_err(|e| refuse(self.stage, &e))?;
        let history = serde_json::to_vec_pretty(&trained.history).expect("plain data");
        let (summary, stage, inputs) = (summary(&trained), self.stage, trained.inputs);
        let judge = Box::new(NetworkJudge { stage, store, network, inputs });
        Ok(Some(Fitted { files: vec![(MODEL, model.bytes), (HISTORY, history)], summary, judge }))
    }

    fn train(&self, network: &Classifier, store: &Store<'_>, during: &During<'_>) -> Result<Option<training::Trained>> {
        let in_splits = |splits: &[&str]| -> Result<Vec<usize>> {
            let mut found = Vec::new();
            for at in labelled(self.session) {
                let split = self.session.dataset.items[at.item].split.as_deref();
                if split.is_some_and(|split| splits.contains(&split)) && store.refusal(at.item)?.is_none() {
                    found.push(at.item);
                }
            }
            Ok(found)
        };
        let (train, select) = (in_splits(self.parts.0)?, in_splits(&[self.parts.1])?);
        let (first, all) = (train.len(), [train, select].concat());
        let source = store.whole(all);
        let indices = source.all();
        let preimage = self.preimage.as_ref().map(canonical).unwrap_or_default();
        let fingerprint = hex(blake3::hash(preimage.as_bytes()).as_bytes());
        let job = Job {
            network,
            source: &source,
            train: &indices[..first],
            select: &indices[first..],
            spec: self.spec,
            fingerprint: &fingerprint,
            checkpoint_every: self.checkpoint_every,
        };
        let keeper = File(self.session.work.checkpoint(self.stage));
        let mut teller = Teller { stage: self.stage, during, told: None };
        match training::train(&job, &keeper, &mut |progress| teller.tell(progress)) {
            Ok(Outcome::Finished(trained)) => Ok(Some(*trained)),
            Ok(Outcome::Stopped) => Ok(None),
            Err(error) => Err(refuse(self.stage, &error)),
        }
    }
}

/// Turns progress into events.
struct Teller<'a> {
    stage: &'static str,
    during: &'a During<'a>,
    /// When, and of which phase, the last event was.
    told: Option<(Instant, Phase)>,
}

impl Teller<'_> {
    fn tell(&mut self, progress: &Progress) -> ControlFlow<()> {
        let reporter = self.during.reporter;
        if self.told.is_none() {
            let message = match progress.origin {
                Origin::Fresh => None,
                Origin::Resumed => Some(format!("goes on from a checkpoint in epoch {}", progress.epoch.max(1))),
                Origin::OtherRun => {
                    Some("starts over: the checkpoint is of a run with other clips or parameters".to_string())
                }
            };
            if let Some(message) = message {
                reporter.report(&Event::Note { stage: self.stage, message });
            }
        }
        let news = self.told.is_none_or(|(at, phase)| at.elapsed() >= TOLD_EVERY || phase != progress.phase);
        if news {
            self.told = Some((Instant::now(), progress.phase));
            reporter.report(&Event::Training { stage: self.stage, progress: progress.clone() });
        }
        if self.during.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The model file of trained weights.
pub fn model(
    session: &Session,
    stage: &'static str,
    config: networks::Config,
    trained: &training::Trained,
) -> Result<Model> {
    let front_end = session.plans.iter().map(|plan| (plan.decl.id.to_string(), plan.template.value())).collect();
    let description = Description {
        stage: stage.to_string(),
        config,
        classes: session.dataset.classes.clone(),
        inputs: trained.inputs,
        front_end: Value::Object(front_end),
        selected: trained.history.get(trained.best).cloned(),
    };
    Model::new(description, &trained.weights).map_err(|e| refuse(stage, &e))
}

/// A model as published in a store.
pub fn read_model(store: &WorkDir, stage: &'static str) -> Result<Model> {
    Model::from_bytes(Products::new(store.stage(stage)).read(MODEL)?).map_err(|e| refuse(stage, &e))
}

/// One line on how training went.
fn summary(trained: &training::Trained) -> String {
    let epochs = trained.history.last().map_or(0, |epoch| epoch.epoch);
    let early = if trained.stopped_early { ", stopped early" } else { "" };
    let Some(best) = trained.history.get(trained.best) else { return format!("{epochs} epochs{early}") };
    let val = match (best.val_loss, best.val_accuracy) {
        (Some(loss), Some(accuracy)) => format!(" (val loss {loss:.3}, accuracy {:.1}%)", accuracy * 100.0),
        _ => String::new(),
    };
    format!("{epochs} epochs{early}, weights of epoch {}{val}", best.epoch)
}

/// A network that judges.
pub struct NetworkJudge<'a> {
    /// The stage.
    pub stage: &'static str,
    /// The clips.
    pub store: Store<'a>,
    /// The network.
    pub network: Classifier,
    /// How a log-mel becomes an input.
    pub inputs: Inputs,
}

impl Judge for NetworkJudge<'_> {
    fn judge(&self, questions: &[Question], during: &During<'_>) -> Result<Verdicts> {
        judge_parts(&self.store, questions, |source| {
            let indices = source.all();
            let mut go_on = progress(self.stage, indices.len(), during);
            training::probabilities(&self.network, source, &indices, &self.inputs, &mut go_on)
                .map_err(|e| refuse(self.stage, &e))
        })
    }
}

/// Tells how far a judgement is; `false` when it is to stop.
pub fn progress<'a>(stage: &'static str, of: usize, during: &'a During<'a>) -> impl FnMut(usize) -> bool + 'a {
    let mut told = Instant::now();
    move |done| {
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            during.reporter.report(&Event::Judging { stage, done, of });
        }
        !during.stop.load(Ordering::Relaxed)
    }
}

/// Judges whole clips and then seconds, by a function from parts to a row of probabilities each.
pub fn judge_parts<'a>(
    store: &'a Store<'_>,
    questions: &[Question],
    judge: impl Fn(&crate::run::sets::clips::Parts<'a>) -> Result<Option<Vec<Vec<f64>>>>,
) -> Result<Verdicts> {
    let mut verdicts = Vec::with_capacity(questions.len());
    let (mut items, mut seconds) = (Vec::new(), Vec::new());
    for question in questions {
        if let Some(why) = store.refusal(question.item)? {
            verdicts.push(Err(why));
            continue;
        }
        items.push(question.item);
        seconds.push((question.item, if question.by_second { store.seconds(question.item)? } else { 0 }));
        verdicts.push(Ok(()));
    }
    let Some(of_clips) = judge(&store.whole(items))? else { return Ok(None) };
    let Some(of_seconds) = judge(&store.by_second(&seconds))? else { return Ok(None) };
    let mut of_seconds = of_seconds.into_iter();
    let mut of_clips = of_clips.into_iter().zip(seconds);
    let lost = || Error::Internal("a clip that was judged has no verdict".into());
    let mut verdict = |()| -> Result<Verdict> {
        let (clip, (_, count)) = of_clips.next().ok_or_else(lost)?;
        Ok(Verdict { clip, seconds: of_seconds.by_ref().take(count).collect() })
    };
    let verdicts: Result<Vec<_>> = verdicts
        .into_iter()
        .map(|asked| match asked {
            Ok(()) => verdict(()).map(Ok),
            Err(why) => Ok(Err(why)),
        })
        .collect();
    verdicts.map(Some)
}
