//! From parameters as written to stages ready to run: every preset expanded, every model found, every key template made.
//! Nothing is decoded or computed here, and nothing is written but the digest cache.

use std::path::{Path, PathBuf};

use contract::{Cause, ColumnSpec, Decl, Failure, Item, Rows};
use serde_json::{Value, json};

use crate::config::Config;
use crate::error::{Error, IoContext, Result};
use crate::exchange::imported::Imported;
use crate::key::{Template, content, hex};
use crate::store::WorkDir;
use crate::store::digests::Digests;

/// What an item stage reads of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The pictures of the video file.
    Pictures,
    /// The sound file, or the sound track of the video file.
    Sound,
    /// No file: its values were imported, and the store has them.
    Imported,
}

impl Source {
    /// The file.
    pub fn path(self, item: &Item) -> Option<&Path> {
        match self {
            Source::Pictures => item.video.as_deref(),
            Source::Sound => item.sound_source().map(std::path::PathBuf::as_path),
            Source::Imported => None,
        }
    }

    /// The failure of an item that has no such file.
    pub fn absent(self) -> Failure {
        let message = match self {
            Source::Pictures => "the data set names no video file for this item",
            Source::Sound => "the data set names no sound or video file for this item",
            Source::Imported => "the imported files have no features of this item",
        };
        Failure::new(Cause::Missing, message)
    }
}

/// An item stage, ready to be planned.
#[derive(Debug, Clone)]
pub struct ItemStage {
    /// The stage.
    pub decl: &'static Decl,
    /// What it reads.
    pub source: Source,
    /// What its keys are made of.
    pub template: Template,
    /// What its rows are.
    pub columns: Vec<ColumnSpec>,
    /// How its picture files are named, for the stage that keeps some.
    pub pictures: Option<extract_frames::FileSpec>,
}

/// The CLIP checkpoint and how it is used.
#[derive(Debug, Clone)]
pub struct ClipScience {
    /// Resolved parameters.
    pub spec: encode_clip::Spec,
    /// The model's files.
    pub checkpoint: encode_clip::Checkpoint,
    /// How it wants its pictures.
    pub recipe: encode_clip::Recipe,
}

impl ClipScience {
    /// The rows of one item.
    pub fn rows(&self, embeddings: Vec<f32>, times: Vec<f64>) -> Result<Rows, Failure> {
        encode_clip::rows(embeddings, times, self.spec.dtype).map_err(|e| Failure::from_error(&e))
    }
}

/// The resolved stages.
#[derive(Debug)]
pub struct Science {
    /// Which pictures.
    pub frames: extract_frames::FrameSpec,
    /// How picture files are written.
    pub files: extract_frames::FileSpec,
    /// What the keys of picture files are made of, whether or not they are asked for now.
    pub pictures_template: Template,
    /// The spectrogram, where it is asked for.
    pub log_mel: Option<log_mel::Spec>,
    /// The encoder, where it is asked for.
    pub clip: Option<ClipScience>,
    /// The zero-shot classifier.
    pub zero_shot: zero_shot::Spec,
    /// The probe.
    pub probe: linear_probe::Spec,
    /// The network that hears.
    pub audio: audio::Spec,
    /// The network that hears and sees.
    pub audio_visual: audio_visual::Spec,
    /// The fusion.
    pub late_fusion: late_fusion::Spec,
    /// The evaluation.
    pub evaluate: evaluate::Spec,
    /// The report.
    pub report: report::Spec,
    /// The item stages to run, in topological order.
    pub stages: Vec<ItemStage>,
}

/// Resolves the stages; models are only looked for where a selected stage needs them. A stage whose values were imported is taken
/// from the store as it is.
pub fn resolve(config: &Config, selected: &[&'static Decl], work: &WorkDir, digests: &Digests) -> Result<Science> {
    let wants = |decl: &Decl| selected.iter().any(|s| s.id == decl.id);
    let extract = config.extract_frames.resolve().map_err(|e| refuse(extract_frames::DECL.id, &e))?;
    let (frames, files) = (extract.frames, extract.files);
    let libav = media::LIBAV;
    let frames_template = Template::new(
        extract_frames::DECL.id,
        extract_frames::DECL.version,
        &frames,
        &json!({ "libav": libav }),
        &json!({ "video": content() }),
    );
    let pictures_template = Template::new(
        "extract-frames/files",
        extract_frames::DECL.version,
        &files,
        &json!({}),
        &json!({ "frames": frames_template.value() }),
    );
    let mut science = Science {
        frames,
        files,
        pictures_template,
        log_mel: None,
        clip: None,
        zero_shot: config.zero_shot.resolve().map_err(|e| refuse(zero_shot::DECL.id, &e))?,
        probe: config.linear_probe.resolve().map_err(|e| refuse(linear_probe::DECL.id, &e))?,
        audio: config.audio.resolve().map_err(|e| refuse(audio::DECL.id, &e))?,
        audio_visual: config.audio_visual.resolve().map_err(|e| refuse(audio_visual::DECL.id, &e))?,
        late_fusion: config.late_fusion.resolve().map_err(|e| refuse(late_fusion::DECL.id, &e))?,
        report: config.report.resolve().map_err(|e| refuse(report::DECL.id, &e))?,
        evaluate: config.evaluate.resolve().map_err(|e| refuse(evaluate::DECL.id, &e))?,
        stages: Vec::new(),
    };
    for decl in crate::registry::item_stages().filter(|decl| wants(decl)) {
        if let Some(imported) = Imported::read(work, decl.id)? {
            if decl.id == log_mel::DECL.id {
                science.log_mel = Some(imported_log_mel(config, &imported)?);
            }
            let (template, columns) = (imported.template(decl.id)?, imported.columns(decl));
            science.stages.push(ItemStage { decl, source: Source::Imported, template, columns, pictures: None });
            continue;
        }
        let stage = if decl.id == extract_frames::DECL.id {
            let template = science.pictures_template.clone();
            ItemStage {
                decl,
                source: Source::Pictures,
                template,
                columns: extract_frames::columns(),
                pictures: Some(science.files),
            }
        } else if decl.id == log_mel::DECL.id {
            let spec = config.log_mel.resolve().map_err(|e| refuse(decl.id, &e))?;
            log_mel::LogMel::new(&spec).map_err(|e| refuse(decl.id, &e))?;
            let facts = json!({ "libav": libav, "symphonia": media::SYMPHONIA_VERSION });
            let template = Template::new(decl.id, decl.version, &spec, &facts, &json!({ "sound": content() }));
            let columns = spec.columns();
            science.log_mel = Some(spec);
            ItemStage { decl, source: Source::Sound, template, columns, pictures: None }
        } else {
            let spec = config.encode_clip.resolve().map_err(|e| refuse(decl.id, &e))?;
            let checkpoint =
                encode_clip::Checkpoint::locate(&config.encode_clip.model).map_err(|e| refuse(decl.id, &e))?;
            let facts = json!({ "model": files_digest(&checkpoint.files(), digests)? });
            let inputs = json!({ "frames": frames_template.value() });
            let template = Template::new(decl.id, decl.version, &spec, &facts, &inputs);
            // Asked for here so that a checkpoint that cannot say how to prepare pictures is refused before any work.
            let recipe = encode_clip::Recipe::new(&checkpoint, spec.preprocessing).map_err(|e| refuse(decl.id, &e))?;
            let columns = encode_clip::columns(checkpoint.describe().projection_dim, spec.dtype);
            science.clip = Some(ClipScience { spec, checkpoint, recipe });
            ItemStage { decl, source: Source::Pictures, template, columns, pictures: None }
        };
        science.stages.push(stage);
    }
    Ok(science)
}

/// What `[log-mel]` says of imported spectrograms: it was not used to make them, but whoever reads them goes by it.
fn imported_log_mel(config: &Config, imported: &Imported) -> Result<log_mel::Spec> {
    let spec = config.log_mel.resolve().map_err(|e| refuse(log_mel::DECL.id, &e))?;
    if spec.n_mels == imported.width {
        return Ok(spec);
    }
    let message = format!(
        "the imported spectrograms have {} bands and [log-mel] says {}: set n_mels (and sample_rate and hop_length) to what they were made with",
        imported.width, spec.n_mels
    );
    Err(Error::Stage { stage: log_mel::DECL.id, message })
}

/// BLAKE3 over names and contents of a model's files.
pub(crate) fn files_digest(files: &[PathBuf], digests: &Digests) -> Result<Value> {
    let mut hasher = blake3::Hasher::new();
    for path in files {
        let digest = digests.digest(path).at("read", path)?;
        let name = path.file_name().expect("a file").to_string_lossy();
        hasher.update(format!("{name}\0{}\n", hex(&digest)).as_bytes());
    }
    Ok(Value::String(hex(hasher.finalize().as_bytes())))
}

/// Parameters that cannot be, with the stage's name before them.
pub(crate) fn refuse(stage: &'static str, error: &dyn std::error::Error) -> Error {
    Error::Stage { stage, message: error.to_string() }
}
