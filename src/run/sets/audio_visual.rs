//! `audio-visual`: one network that hears and sees.

use audio_visual::{Features as Inputs, Pretrained, SelectOn, Start};
use contract::Decl;
use serde_json::{Value, json};
use training::Classifier;

use crate::error::{Error, Result};
use crate::events::Event;
use crate::resolve::refuse;
use crate::run::sets::audio::{check_parts, log_mel_of, pretrained_fact, splits, tell_loaded};
use crate::run::sets::clips::{Image, Store};
use crate::run::sets::features::Features;
use crate::run::sets::neural::{self, MODEL, NetworkJudge, Training};
use crate::run::sets::system::{Fitted, Judge, System, labels_preimage};
use crate::run::sets::{During, preimage};
use crate::session::Session;
use crate::store::WorkDir;
use crate::store::products::Products;

const ID: &str = audio_visual::DECL.id;

/// `audio-visual` of a session.
pub struct AudioVisual<'a> {
    /// The session.
    pub session: &'a Session,
}

impl AudioVisual<'_> {
    fn spec(&self) -> &audio_visual::Spec {
        &self.session.science.audio_visual
    }

    fn image(&self) -> Image {
        Image { frame: self.spec().frame, normalize: self.spec().normalize }
    }

    /// What stands for the weights that it starts from; `None` while the stage `audio` has published none.
    fn start_preimage(&self) -> Result<Option<Value>> {
        Ok(match &self.session.config.audio_visual.pretrained {
            Pretrained::Nothing => Some(json!({})),
            Pretrained::File(path) => Some(pretrained_fact(self.session, path)?),
            Pretrained::Audio => Products::new(self.session.work.stage(audio::DECL.id))
                .digest(MODEL)
                .map(|digest| json!({ "audio": digest })),
        })
    }

    /// Length of the embeddings, known before the first one is computed.
    fn image_width(&self) -> Result<usize> {
        let stage = self.session.science.stages.iter().find(|stage| stage.decl.id == encode_clip::DECL.id);
        let columns = stage.into_iter().flat_map(|stage| &stage.columns);
        let width = columns.filter(|column| column.name == "embedding").find_map(|column| column.width);
        width.ok_or_else(|| Error::Internal(format!("{ID} is to run without {}", encode_clip::DECL.id)))
    }

    fn network(&self) -> Result<Classifier> {
        let (preset, n_mels) = log_mel_of(self.session)?;
        let image_width = self.image_width()?;
        let features = Inputs { preset: &preset, n_mels, image_width };
        let classes = self.session.dataset.classes.len();
        let audio_model;
        let start = match &self.session.config.audio_visual.pretrained {
            Pretrained::Nothing => Start::Random,
            Pretrained::Audio => {
                audio_model = neural::read_model(&self.session.work, audio::DECL.id)?;
                Start::Audio(&audio_model)
            }
            Pretrained::File(path) => Start::File(path),
        };
        self.spec().network(features, classes, start).map_err(|e| refuse(ID, &e))
    }
}

impl System for AudioVisual<'_> {
    fn decl(&self) -> &'static Decl {
        &audio_visual::DECL
    }

    fn preimage(&self) -> Result<Option<Value>> {
        let Some(facts) = self.start_preimage()? else { return Ok(None) };
        let inputs = json!({
            "log_mel": Features::open(self.session, log_mel::DECL.id, ID)?.preimage(),
            "embeddings": Features::open(self.session, encode_clip::DECL.id, ID)?.preimage(),
            "labels": labels_preimage(self.session),
        });
        Ok(Some(preimage(&audio_visual::DECL, self.spec(), &facts, &inputs)))
    }

    fn check(&self) -> Result<()> {
        let from_audio = self.session.config.audio_visual.pretrained == Pretrained::Audio;
        if from_audio && !self.session.wants(&audio::DECL) {
            let message = "pretrained = \"audio\" starts from the trained model of the stage audio, which is skipped: set \
                           audio-visual.pretrained = \"\", or skip audio-visual as well";
            return Err(Error::Stage { stage: ID, message: message.to_string() });
        }
        if matches!(self.session.config.audio_visual.pretrained, Pretrained::File(_)) {
            self.network()?;
        }
        check_parts(self.session, ID, &self.spec().training, self.spec().select_on == SelectOn::Test)
    }

    fn fit(&self, during: &During<'_>) -> Result<Option<Fitted<'_>>> {
        if let Some(message) = self.spec().warning() {
            during.reporter.report(&Event::Warning { message: message.to_string() });
        }
        let store = Store::open(self.session, Some(self.image()), ID)?;
        let network = self.network()?;
        tell_loaded(ID, &network, during);
        let training = Training {
            session: self.session,
            stage: ID,
            parts: splits(self.spec().select_on == SelectOn::Test),
            spec: &self.spec().training,
            checkpoint_every: self.session.config.audio_visual.checkpoint_interval().map_err(|e| refuse(ID, &e))?,
            preimage: self.preimage()?,
        };
        training.run(&network, store, during)
    }

    fn load(&self, from: &WorkDir) -> Result<Box<dyn Judge + '_>> {
        let model = neural::read_model(from, ID)?;
        let network = model.network().map_err(|e| refuse(ID, &e))?;
        // What it was trained to look at, whatever the configuration says by now.
        let trained_with = Products::new(from.stage(ID)).preimage().unwrap_or_default();
        let spec = serde_json::from_value::<audio_visual::Spec>(trained_with["params"].clone());
        let spec = spec.map_err(|e| Error::Stage { stage: ID, message: format!("key.json is damaged: {e}") })?;
        let image = Image { frame: spec.frame, normalize: spec.normalize };
        let (store, inputs) = (Store::open(self.session, Some(image), ID)?, model.description.inputs);
        Ok(Box::new(NetworkJudge { stage: ID, store, network, inputs }))
    }
}
