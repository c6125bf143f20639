//! `audio`: a network that hears, trained, or listened to and probed.

use std::path::Path;

use audio::{LogMel, Mode, SelectOn};
use contract::Decl;
use linear_probe::{Clips, Probe};
use serde_json::{Value, json};
use training::{Classifier, Inputs, Trained};

use crate::error::{Error, Result};
use crate::events::Event;
use crate::resolve::{files_digest, refuse};
use crate::run::sets::clips::Store;
use crate::run::sets::features::Features;
use crate::run::sets::neural::{self, MODEL, NetworkJudge, Training};
use crate::run::sets::system::{Fitted, Judge, Question, System, Verdicts, check_classes, labelled, labels_preimage};
use crate::run::sets::{During, preimage};
use crate::session::Session;
use crate::store::WorkDir;
use crate::store::products::Products;
use crate::ui::plural;

/// The probe on a frozen network's embeddings.
const PROBE: &str = "probe.json";
const ID: &str = audio::DECL.id;

/// `audio` of a session.
pub struct Audio<'a> {
    /// The session.
    pub session: &'a Session,
}

/// What a network needs to know of the session's log-mel.
pub fn log_mel_of(session: &Session) -> Result<(String, usize)> {
    let spec = session.science.log_mel.as_ref();
    let spec = spec.ok_or_else(|| Error::Internal(format!("no {} in this session", log_mel::DECL.id)))?;
    let preset = serde_json::to_value(session.config.log_mel.preset).expect("plain data");
    Ok((preset.as_str().unwrap_or_default().to_string(), spec.n_mels))
}

/// Names of the splits to train on and of the one to choose on.
pub fn splits(on_test: bool) -> (&'static [&'static str], &'static str) {
    // The reference has no validation part: it trains on all that is not test, and chooses on test.
    if on_test { (&["train", "val"], "test") } else { (&["train"], "val") }
}

/// The digest of weights to start from, as a fact.
pub fn pretrained_fact(session: &Session, path: &Path) -> Result<Value> {
    if path.as_os_str().is_empty() {
        return Ok(json!({}));
    }
    Ok(json!({ "pretrained": files_digest(&[path.to_path_buf()], &session.digests)? }))
}

impl Audio<'_> {
    fn spec(&self) -> &audio::Spec {
        &self.session.science.audio
    }

    fn pretrained(&self) -> Option<&Path> {
        Some(self.session.config.audio.pretrained.as_path()).filter(|path| !path.as_os_str().is_empty())
    }

    /// The network at its start.
    fn network(&self) -> Result<Classifier> {
        let (preset, n_mels) = log_mel_of(self.session)?;
        let log_mel = LogMel { preset: &preset, n_mels };
        let made = self.spec().network(log_mel, self.session.dataset.classes.len(), self.pretrained());
        made.map_err(|e| refuse(ID, &e))
    }

    /// Listens to the training clips and fits a probe on what the network makes of them.
    fn probe(&self, store: &Store<'_>, network: &Classifier, during: &During<'_>) -> Result<Option<Probe>> {
        let science = &self.session.science;
        let mut asked = Vec::new();
        for at in labelled(self.session) {
            let split = self.session.dataset.items[at.item].split.as_deref();
            if split.is_some_and(|split| split != "test") && store.refusal(at.item)?.is_none() {
                asked.push(*at);
            }
        }
        let source = store.whole(asked.iter().map(|at| at.item).collect());
        let vectors = embed(&source, network, &self.spec().training.inputs, during)?;
        let Some(vectors) = vectors else { return Ok(None) };
        let mut clips = Clips::new(vectors.first().map_or(0, Vec::len));
        for (at, vector) in asked.iter().zip(&vectors) {
            let item = &self.session.dataset.items[at.item];
            let pushed = clips.push(vector, at.class, item.group.as_deref(), item.split.as_deref());
            pushed.map_err(|e| refuse(ID, &e))?;
        }
        let probe = linear_probe::train(&clips, &self.session.dataset.classes, &science.probe);
        probe.map(Some).map_err(|e| refuse(ID, &e))
    }
}

fn embed(
    source: &crate::run::sets::clips::Parts<'_>,
    network: &Classifier,
    inputs: &Inputs,
    during: &During<'_>,
) -> Result<Option<Vec<Vec<f32>>>> {
    let indices = source.all();
    let mut go_on = neural::progress(ID, indices.len(), during);
    training::embeddings(network, source, &indices, inputs, &mut go_on).map_err(|e| refuse(ID, &e))
}

impl System for Audio<'_> {
    fn decl(&self) -> &'static Decl {
        &audio::DECL
    }

    fn preimage(&self) -> Result<Option<Value>> {
        let log_mel = Features::open(self.session, log_mel::DECL.id, ID)?;
        let inputs = json!({ "log_mel": log_mel.preimage(), "labels": labels_preimage(self.session) });
        let facts = pretrained_fact(self.session, &self.session.config.audio.pretrained)?;
        let params = match self.spec().mode {
            Mode::Train => json!({ "audio": self.spec() }),
            Mode::Frozen => json!({ "audio": self.spec(), "probe": self.session.science.probe }),
        };
        Ok(Some(preimage(&audio::DECL, &params, &facts, &inputs)))
    }

    fn check(&self) -> Result<()> {
        let spec = self.spec();
        if self.pretrained().is_some() {
            // Weights that do not fit are found out now, not after hours of extraction.
            self.network()?;
        }
        if spec.mode == Mode::Frozen {
            let remedy = "give the class training clips, or take it out of the manifest's classes";
            return check_classes(self.session, ID, &self.session.science.probe.train_splits, remedy);
        }
        check_parts(self.session, ID, &spec.training, spec.select_on == SelectOn::Test)
    }

    fn fit(&self, during: &During<'_>) -> Result<Option<Fitted<'_>>> {
        if let Some(message) = self.spec().warning() {
            during.reporter.report(&Event::Warning { message: message.to_string() });
        }
        let store = Store::open(self.session, None, ID)?;
        let network = self.network()?;
        tell_loaded(ID, &network, during);
        let inputs = self.spec().training.inputs;
        let config = *network.network().config();
        if self.spec().mode == Mode::Frozen {
            let Some(probe) = self.probe(&store, &network, during)? else { return Ok(None) };
            let weights = training::save_weights(&network).map_err(|e| refuse(ID, &e))?;
            let untrained =
                Trained { weights, history: Vec::new(), best: 0, inputs, band_means: Vec::new(), stopped_early: false };
            let model = neural::model(self.session, ID, config, &untrained)?;
            let summary = format!(
                "a probe on {}'s embeddings of {}",
                config.architecture.name(),
                plural(probe.training_items.iter().sum(), "item")
            );
            let files = vec![(MODEL, model.bytes), (PROBE, serde_json::to_vec_pretty(&probe).expect("plain data"))];
            return Ok(Some(Fitted { files, summary, judge: Box::new(ProbeJudge { store, network, inputs, probe }) }));
        }
        let training = Training {
            session: self.session,
            stage: ID,
            parts: splits(self.spec().select_on == SelectOn::Test),
            spec: &self.spec().training,
            checkpoint_every: self.session.config.audio.checkpoint_interval().map_err(|e| refuse(ID, &e))?,
            preimage: self.preimage()?,
        };
        training.run(&network, store, during)
    }

    fn load(&self, from: &WorkDir) -> Result<Box<dyn Judge + '_>> {
        let model = neural::read_model(from, ID)?;
        let network = model.network().map_err(|e| refuse(ID, &e))?;
        let (store, inputs) = (Store::open(self.session, None, ID)?, model.description.inputs);
        let products = Products::new(from.stage(ID));
        if !products.path(PROBE).exists() {
            return Ok(Box::new(NetworkJudge { stage: ID, store, network, inputs }));
        }
        let probe = serde_json::from_slice(&products.read(PROBE)?);
        let probe = probe.map_err(|e| Error::Stage { stage: ID, message: format!("{PROBE} is damaged: {e}") })?;
        Ok(Box::new(ProbeJudge { store, network, inputs, probe }))
    }
}

/// Says what was loaded into a network: nothing starts at random in silence.
pub fn tell_loaded(stage: &'static str, network: &Classifier, during: &During<'_>) {
    if let Some(loaded) = network.loaded() {
        during.reporter.report(&Event::Note { stage, message: format!("weights: {loaded}") });
    }
}

/// Refuses splits without one of the classes, before any long work.
pub fn check_parts(session: &Session, stage: &'static str, spec: &training::Spec, on_test: bool) -> Result<()> {
    let (train, select) = splits(on_test);
    let names = |splits: &[&str]| splits.iter().map(ToString::to_string).collect::<Vec<_>>();
    let remedy = "give the class training clips, or take it out of the manifest's classes";
    check_classes(session, stage, &names(train), remedy)?;
    if spec.select_by == training::SelectBy::Last {
        return Ok(());
    }
    let remedy = format!(
        "the weights are to be chosen on it; with too few groups of a class for a validation part, set {stage}.select_by = \"last\""
    );
    check_classes(session, stage, &names(&[select]), &remedy)
}

/// A frozen network with a probe on its embeddings.
struct ProbeJudge<'a> {
    store: Store<'a>,
    network: Classifier,
    inputs: Inputs,
    probe: Probe,
}

impl Judge for ProbeJudge<'_> {
    fn judge(&self, questions: &[Question], during: &During<'_>) -> Result<Verdicts> {
        neural::judge_parts(&self.store, questions, |source| {
            let Some(vectors) = embed(source, &self.network, &self.inputs, during)? else { return Ok(None) };
            let rows = vectors.iter().map(|vector| self.probe.probabilities(vector).map_err(|e| refuse(ID, &e)));
            rows.collect::<Result<Vec<_>>>().map(Some)
        })
    }
}
