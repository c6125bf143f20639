//! Finding a checkpoint: a folder, or a name on the Hugging Face hub through its cache.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use hf_hub::Cache;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::{self, TextConfig, VisionConfig};
use crate::hub::{self, Hub};
use crate::weights::{self, Part};

pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// Where a checkpoint says how it wants its pictures; the first that says something wins, as in transformers.
pub const PREPROCESSING: [&str; 2] = ["processor_config.json", "preprocessor_config.json"];

/// A CLIP checkpoint that was found: its files, and its configuration already read.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    name: String,
    config: VisionConfig,
    /// The text of `config.json`: what it says of the text tower is only looked at where that is wanted.
    config_text: String,
    preprocessing: Vec<(String, String)>,
    config_files: Vec<PathBuf>,
    weight_files: Vec<PathBuf>,
    /// `tokenizer.json`, where it was found beside the rest.
    tokenizer: Option<PathBuf>,
    /// Where else `tokenizer.json` may be.
    hub: Option<Hub>,
}

/// What is worth telling of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelInfo {
    /// The hub name, or the last part of the folder's path.
    pub name: String,
    /// The weights were drawn at random (`"pipeline_random_weights": true` in `config.json`): embeddings mean nothing.
    pub random_weights: bool,
    /// Values of one embedding.
    pub projection_dim: usize,
    /// Side of the input in pixels.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Width of the tokens.
    pub hidden_size: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Attention heads of each block.
    pub heads: usize,
    /// Parameters of the image tower and its projection.
    pub parameters: usize,
}

/// What is worth telling of a checkpoint's text side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TextInfo {
    /// The hub name, or the last part of the folder's path.
    pub name: String,
    /// As in [`ModelInfo`].
    pub random_weights: bool,
    /// Values of one feature.
    pub projection_dim: usize,
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// Most tokens of one prompt, first and last included.
    pub positions: usize,
    /// Width of the tokens.
    pub hidden_size: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Attention heads of each block.
    pub heads: usize,
    /// Parameters of the text tower, its projection and `logit_scale`.
    pub parameters: usize,
}

impl Checkpoint {
    /// Finds the checkpoint that `model` names.
    ///
    /// - A folder: `config.json`, `preprocessor_config.json` (or `processor_config.json`), and `model.safetensors`, or
    ///   `model.safetensors.index.json` with its parts, or any other `*.safetensors` files that together hold the tensors.
    ///   What starts with `.`, `/` or `~`, or exists, is a path and never looked up on the hub.
    ///   `tokenizer.json` is needed for prompts only.
    /// - A hub name, `owner/name` or `owner/name@revision`: first the local cache (`HF_HUB_CACHE`, `HF_HOME`, or
    ///   `~/.cache/huggingface`), which needs no network; then a download into it, unless `HF_HUB_OFFLINE` is set.
    pub fn locate(model: &str) -> Result<Checkpoint, Error> {
        let set = |key| std::env::var_os(key).filter(|v| !v.is_empty());
        let offline = set("HF_HUB_OFFLINE").is_some_and(|v| v != "0" && !v.eq_ignore_ascii_case("false"));
        let cache = match (set("HF_HUB_CACHE"), set("HF_HOME"), std::env::home_dir()) {
            (Some(hub), _, _) => Some(Cache::new(hub.into())),
            (None, Some(home), _) => Some(Cache::new(PathBuf::from(home).join("hub"))),
            (None, None, Some(home)) => Some(Cache::new(home.join(".cache/huggingface/hub"))),
            (None, None, None) => None,
        };
        Self::locate_in(model, cache, offline)
    }

    fn locate_in(model: &str, cache: Option<Cache>, offline: bool) -> Result<Checkpoint, Error> {
        let path = Path::new(model);
        if model.starts_with(['.', '/', '~']) || path.exists() {
            return Self::from_folder(model, path);
        }
        let Some((name, revision)) = hub::parse(model) else {
            return Err(Error::NotFound {
                model: model.into(),
                message:
                    "there is no such folder, and it is no name on the hub (`owner/name` or `owner/name@revision`)"
                        .into(),
            });
        };
        let Some(cache) = cache else {
            let message = "there is no home folder for the hub's cache: set HF_HOME, or make `model` a folder".into();
            return Err(Error::NotFound { model: model.into(), message });
        };
        let mut hub = Hub { name: name.to_owned(), revision: revision.map(str::to_owned), cache, offline };
        let found = hub.checkpoint().or_else(|first| match (revision, hub::fallback_revision(name)) {
            (None, Some(other)) => {
                hub.revision = Some(other.to_owned());
                hub.checkpoint().map_err(|_| first)
            }
            _ => Err(first),
        });
        let (config_files, weight_files) =
            found.map_err(|reason| Error::NotFound { model: model.into(), message: hub::how_to_get(name, &reason) })?;
        Self::open(name.to_owned(), config_files, weight_files, None, Some(hub))
    }

    fn from_folder(model: &str, folder: &Path) -> Result<Checkpoint, Error> {
        let not_found = |message: String| Error::NotFound { model: model.into(), message };
        if !folder.is_dir() {
            return Err(not_found(
                "it looks like a path, but there is no such folder; `model` is a folder with config.json and model.safetensors, or a hub name"
                    .into(),
            ));
        }
        let config = folder.join(config::FILE);
        if !config.is_file() {
            return Err(not_found("the folder has no config.json".into()));
        }
        let mut config_files = vec![config];
        config_files.extend(PREPROCESSING.iter().map(|f| folder.join(f)).filter(|f| f.is_file()));
        let weights = if folder.join(WEIGHTS).is_file() {
            vec![folder.join(WEIGHTS)]
        } else if folder.join(INDEX).is_file() {
            config_files.push(folder.join(INDEX));
            let parts = parts_of_index(&folder.join(INDEX))?;
            if let Some(part) = parts.iter().find(|part| !folder.join(part).is_file()) {
                return Err(not_found(format!("{INDEX} names {part}, which is not in the folder")));
            }
            parts.iter().map(|part| folder.join(part)).collect()
        } else {
            safetensors_in(folder)?
        };
        if weights.is_empty() {
            let others = ["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"];
            return Err(not_found(match others.iter().find(|f| folder.join(f).exists()) {
                Some(other) => format!(
                    "the folder has {other} but no *.safetensors file; save it as safetensors first (transformers: CLIPModel.from_pretrained(folder).save_pretrained(folder))"
                ),
                None => format!("the folder has neither {WEIGHTS}, nor {INDEX}, nor any other *.safetensors file"),
            }));
        }
        let name = fs::canonicalize(folder).ok().and_then(|p| Some(p.file_name()?.to_string_lossy().into_owned()));
        let tokenizer = Some(folder.join(TOKENIZER)).filter(|f| f.is_file());
        Self::open(name.unwrap_or_else(|| model.to_owned()), config_files, weights, tokenizer, None)
    }

    fn open(
        name: String,
        config_files: Vec<PathBuf>,
        weight_files: Vec<PathBuf>,
        tokenizer: Option<PathBuf>,
        hub: Option<Hub>,
    ) -> Result<Checkpoint, Error> {
        let mut config_text = String::new();
        let mut preprocessing = Vec::new();
        for path in &config_files {
            let file = file_name(path);
            if file == config::FILE {
                config_text = read_text(path)?;
            } else if file != INDEX {
                preprocessing.push((file, read_text(path)?));
            }
        }
        let config = VisionConfig::parse(&config_text)?;
        Ok(Checkpoint { name, config, config_text, preprocessing, config_files, weight_files, tokenizer, hub })
    }

    /// Every file whose bytes can influence an image embedding, configuration first; their digests belong in the cache key.
    pub fn files(&self) -> Vec<PathBuf> {
        self.config_files.iter().chain(&self.weight_files).cloned().collect()
    }

    /// Every file whose bytes can influence a text feature: configuration, `tokenizer.json`, weights. Their digests belong in the key of
    /// whatever is made of prompts. An error where there is no text tower or no tokenizer.
    pub fn text_files(&self) -> Result<Vec<PathBuf>, Error> {
        self.text_config()?;
        let mut files: Vec<PathBuf> =
            self.config_files.iter().filter(|f| !PREPROCESSING.contains(&file_name(f).as_str())).cloned().collect();
        files.push(self.tokenizer_file()?);
        files.extend(self.weight_files.iter().cloned());
        Ok(files)
    }

    /// `tokenizer.json`: beside the other files, or for a hub name in the hub's cache, or downloaded into it.
    pub fn tokenizer_file(&self) -> Result<PathBuf, Error> {
        if let Some(file) = &self.tokenizer {
            return Ok(file.clone());
        }
        let absent = |message: String| Error::NoTokenizer { model: self.name.clone(), message };
        match &self.hub {
            Some(hub) => hub.tokenizer().map_err(absent),
            None => Err(absent(
                "copy it beside config.json from where the checkpoint comes from; vocab.json and merges.txt become one with \
                 transformers: CLIPTokenizerFast.from_pretrained(folder).save_pretrained(folder)"
                    .into(),
            )),
        }
    }

    /// The shape of the text tower; an error where `config.json` describes none, or one that is not supported.
    pub fn text_config(&self) -> Result<TextConfig, Error> {
        TextConfig::parse(&self.config_text)?.ok_or_else(|| Error::NoTextTower {
            model: self.name.clone(),
            reason: "model_type in config.json is \"clip_vision_model\"".into(),
        })
    }

    /// Whether the weight files hold the whole text tower and `logit_scale`, from their headers alone: cheap enough to be asked before any
    /// long work.
    pub fn check_text(&self) -> Result<TextConfig, Error> {
        let config = self.text_config()?;
        match weights::check(&self.weight_files, Part::Text, &weights::of_text(&config)) {
            Err(Error::MissingTensor { tensor, file, .. }) => {
                let reason = format!("{file} lacks the tensor {tensor}");
                Err(Error::NoTextTower { model: self.name.clone(), reason })
            }
            checked => checked.map(|()| config),
        }
    }

    /// What is worth telling of its text side.
    pub fn describe_text(&self) -> Result<TextInfo, Error> {
        let config = self.text_config()?;
        Ok(TextInfo {
            name: self.name.clone(),
            random_weights: self.config.random_weights,
            projection_dim: config.projection_dim,
            vocab_size: config.vocab_size,
            positions: config.max_position_embeddings,
            hidden_size: config.hidden_size,
            layers: config.num_hidden_layers,
            heads: config.num_attention_heads,
            parameters: parameters(&weights::of_text(&config)),
        })
    }

    /// What is worth telling of it.
    pub fn describe(&self) -> ModelInfo {
        let config = &self.config;
        ModelInfo {
            name: self.name.clone(),
            random_weights: config.random_weights,
            projection_dim: config.projection_dim,
            image_size: config.image_size,
            patch_size: config.patch_size,
            hidden_size: config.hidden_size,
            layers: config.num_hidden_layers,
            heads: config.num_attention_heads,
            parameters: parameters(&weights::of_image(config)),
        }
    }

    /// The shape of the image tower.
    pub fn config(&self) -> &VisionConfig {
        &self.config
    }

    /// Name and text of those of [`PREPROCESSING`] that it has, in that order.
    pub fn preprocessing(&self) -> &[(String, String)] {
        &self.preprocessing
    }

    /// The files with the tensors.
    pub(crate) fn weight_files(&self) -> &[PathBuf] {
        &self.weight_files
    }
}

fn parameters(shapes: &weights::Shapes) -> usize {
    shapes.values().map(|shape| shape.iter().product::<usize>()).sum()
}

/// The last part of a path, which is all that messages name of it.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn read_text(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|e| Error::Unreadable { file: file_name(path), message: e.kind().to_string() })
}

pub(crate) fn parts_of_index(path: &Path) -> Result<BTreeSet<String>, Error> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let bad = |message: String| Error::Config { file: INDEX.into(), message };
    let index: Index = serde_json::from_str(&read_text(path)?).map_err(|e| bad(e.to_string()))?;
    let parts: BTreeSet<String> = index.weight_map.into_values().collect();
    match parts.iter().find(|part| file_name(Path::new(part)) != **part) {
        Some(part) => Err(bad(format!("{part:?} is not a plain file name"))),
        None => Ok(parts),
    }
}

fn safetensors_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |e: std::io::Error| Error::Unreadable { file: file_name(folder), message: e.kind().to_string() };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|e| e == "safetensors") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
