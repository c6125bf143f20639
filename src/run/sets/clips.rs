//! The clips of a session as networks take them: log-mel, an image vector beside it where the network sees, whole clips or their
//! seconds. Read from the shards when they are asked for, so that a data set need not fit into memory.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use audio_visual::Frame;
use training::{Example, Source};

use crate::error::{Error, Result};
use crate::resolve::refuse;
use crate::run::sets::features::{Features, column};
use crate::run::sets::system::labelled;
use crate::session::Session;

/// Clips kept as they were read: the seconds of one are asked for one after the other.
const KEPT: usize = 8;

/// What stands for a clip's pictures, as in `[audio-visual]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// Which picture.
    pub frame: Frame,
    /// Whether embeddings are scaled to length 1 first.
    pub normalize: bool,
}

/// Rows of both kinds of one clip.
#[derive(Debug)]
struct Clip {
    /// `[frames][bands]`
    log_mel: Vec<f32>,
    bands: usize,
    /// `[pictures][width]`; empty for a network that only hears.
    embeddings: Vec<f32>,
    width: usize,
}

/// What is asked of a clip: all of it, or one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Second(usize),
}

/// The features of a session's clips.
pub struct Store<'a> {
    session: &'a Session,
    classes: Vec<Option<usize>>,
    log_mel: Features<'a>,
    embeddings: Option<(Features<'a>, Image)>,
    frames_per_second: f64,
    kept: Mutex<VecDeque<(usize, Arc<Clip>)>>,
}

impl<'a> Store<'a> {
    /// The features that `reader` takes; with `image`, of pictures too.
    pub fn open(session: &'a Session, image: Option<Image>, reader: &str) -> Result<Self> {
        let log_mel = Features::open(session, log_mel::DECL.id, reader)?;
        let embeddings = match image {
            Some(image) => Some((Features::open(session, encode_clip::DECL.id, reader)?, image)),
            None => None,
        };
        let spec = session.science.log_mel.as_ref();
        let spec = spec.ok_or_else(|| Error::Internal(format!("{reader} is to run without {}", log_mel::DECL.id)))?;
        let mut classes = vec![None; session.dataset.items.len()];
        for at in labelled(session) {
            classes[at.item] = Some(at.class);
        }
        let frames_per_second = f64::from(spec.sample_rate) / spec.hop_length as f64;
        Ok(Store { session, classes, log_mel, embeddings, frames_per_second, kept: Mutex::default() })
    }

    /// Why an item has no features to judge; `None`: it has.
    pub fn refusal(&self, item: usize) -> Result<Option<String>> {
        if let Some(failure) = self.log_mel.failure(item)? {
            return Ok(Some(failure.to_string()));
        }
        let Some((embeddings, image)) = &self.embeddings else { return Ok(None) };
        if let Some(failure) = embeddings.failure(item)? {
            return Ok(Some(failure.to_string()));
        }
        let pictures = embeddings.row_count(item)?;
        Ok(match image.frame {
            Frame::Number(number) if number as usize > pictures => Some(format!(
                "it has {pictures} pictures, and picture {number} is to stand for it (frame in [audio-visual])"
            )),
            _ if pictures == 0 => Some("it has no pictures".to_string()),
            _ => None,
        })
    }

    /// Whole seconds of an item that has features.
    pub fn seconds(&self, item: usize) -> Result<usize> {
        let heard = (self.log_mel.row_count(item)? as f64 / self.frames_per_second).floor() as usize;
        Ok(match &self.embeddings {
            Some((embeddings, _)) => heard.min(embeddings.row_count(item)?),
            None => heard,
        })
    }

    /// Whole clips, as a source for training.
    pub fn whole(&'a self, items: Vec<usize>) -> Parts<'a> {
        Parts { store: self, parts: items.into_iter().map(|item| (item, Part::Whole)).collect() }
    }

    /// The seconds of a clip one after the other.
    pub fn by_second(&'a self, items: &[(usize, usize)]) -> Parts<'a> {
        let parts = items.iter().flat_map(|(item, seconds)| (0..*seconds).map(|k| (*item, Part::Second(k))));
        Parts { store: self, parts: parts.collect() }
    }

    fn clip(&self, item: usize) -> Result<Arc<Clip>> {
        let died = |_| Error::Internal("a reader of clips died".into());
        if let Some((_, clip)) = self.kept.lock().map_err(died)?.iter().find(|(at, _)| *at == item) {
            return Ok(Arc::clone(clip));
        }
        let read = |features: &Features<'_>, name: &str| -> Result<(Vec<f32>, usize)> {
            let rows = features.rows(item)?;
            column(rows.map_err(|failure| Error::Internal(failure.to_string()))?, name)
        };
        let (log_mel, bands) = read(&self.log_mel, "log_mel")?;
        let (embeddings, width) = match &self.embeddings {
            Some((features, _)) => read(features, "embedding")?,
            None => (Vec::new(), 0),
        };
        let clip = Arc::new(Clip { log_mel, bands, embeddings, width });
        let mut kept = self.kept.lock().map_err(died)?;
        kept.push_back((item, Arc::clone(&clip)));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        Ok(clip)
    }

    fn example(&self, item: usize, part: Part) -> Result<Example> {
        let clip = self.clip(item)?;
        let frames = match part {
            Part::Whole => 0..clip.log_mel.len() / clip.bands,
            Part::Second(k) => self.frames_of(k),
        };
        let image = self.embeddings.as_ref().map(|(_, image)| clip.image(part, *image)).transpose();
        let image = image.map_err(|e| refuse(audio_visual::DECL.id, &e))?;
        Ok(Example { log_mel: clip.log_mel[frames.start * clip.bands..frames.end * clip.bands].to_vec(), image })
    }

    fn frames_of(&self, second: usize) -> Range<usize> {
        let at = |second: usize| (second as f64 * self.frames_per_second).round() as usize;
        at(second)..at(second + 1)
    }
}

impl Clip {
    fn image(&self, part: Part, image: Image) -> std::result::Result<Vec<f32>, audio_visual::Error> {
        let frame = match part {
            Part::Whole => image.frame,
            // Picture k + 1 is the last one before k + 1/2 s: the one in the middle of second k.
            Part::Second(k) => Frame::Number(k as u32 + 1),
        };
        audio_visual::image_vector(&self.embeddings, self.width, frame, image.normalize)
    }
}

/// Some clips, or some seconds of clips.
pub struct Parts<'a> {
    store: &'a Store<'a>,
    parts: Vec<(usize, Part)>,
}

impl Parts<'_> {
    /// Every index.
    pub fn all(&self) -> Vec<usize> {
        (0..self.parts.len()).collect()
    }
}

impl Source for Parts<'_> {
    fn classes(&self) -> &[String] {
        &self.store.session.dataset.classes
    }

    fn id(&self, index: usize) -> &str {
        &self.store.session.dataset.items[self.parts[index].0].id
    }

    fn class(&self, index: usize) -> Option<usize> {
        self.store.classes[self.parts[index].0]
    }

    fn example(&self, index: usize) -> std::result::Result<Example, Box<dyn StdError + Send + Sync>> {
        let (item, part) = self.parts[index];
        Ok(self.store.example(item, part)?)
    }
}
