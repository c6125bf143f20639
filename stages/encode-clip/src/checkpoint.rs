//! Finding a checkpoint: a folder, or a name on the Hugging Face hub through its cache.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::{self, VisionConfig};
use crate::preprocess::{self, PreprocessorConfig};

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Checkpoints whose safetensors file is not on the hub's main branch, and the revision that has it.
const REVISIONS: [(&str, &str); 1] = [("openai/clip-vit-base-patch32", "refs/pr/15")];

/// A CLIP checkpoint that was found: its files, and its configuration already read.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    name: String,
    config: VisionConfig,
    preprocessor: Option<PreprocessorConfig>,
    config_files: Vec<PathBuf>,
    weight_files: Vec<PathBuf>,
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

impl Checkpoint {
    /// Finds the checkpoint that `model` names.
    ///
    /// - A folder: `config.json`, `preprocessor_config.json` (or `processor_config.json`), and `model.safetensors`, or
    ///   `model.safetensors.index.json` with its parts, or any other `*.safetensors` files that together hold the tensors.
    ///   What starts with `.`, `/` or `~`, or exists, is a path and never looked up on the hub.
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
        let Some((name, revision)) = hub_name(model) else {
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
        let hub = Hub { name, cache, offline };
        let found = hub.checkpoint(revision).or_else(|first| match (revision, fallback_revision(name)) {
            (None, Some(other)) => hub.checkpoint(Some(other)).map_err(|_| first),
            _ => Err(first),
        });
        let (config_files, weight_files) =
            found.map_err(|reason| Error::NotFound { model: model.into(), message: how_to_get(name, &reason) })?;
        Self::open(name.to_owned(), config_files, weight_files)
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
        config_files.extend(preprocess::FILES.iter().map(|f| folder.join(f)).filter(|f| f.is_file()));
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
        Self::open(name.unwrap_or_else(|| model.to_owned()), config_files, weights)
    }

    fn open(name: String, config_files: Vec<PathBuf>, weight_files: Vec<PathBuf>) -> Result<Checkpoint, Error> {
        let mut config = None;
        let mut preprocessor = BTreeMap::new();
        for path in &config_files {
            let file = file_name(path);
            if file == config::FILE {
                config = Some(VisionConfig::parse(&read_text(path)?)?);
            } else if file != INDEX
                && let Some(found) = PreprocessorConfig::parse(&file, &read_text(path)?)?
            {
                preprocessor.insert(file, found);
            }
        }
        let config = config.expect("config.json is the first of the files");
        // The first of preprocess::FILES wins, as in transformers.
        let preprocessor = preprocess::FILES.iter().find_map(|file| preprocessor.remove(*file));
        Ok(Checkpoint { name, config, preprocessor, config_files, weight_files })
    }

    /// Every file whose bytes can influence an embedding, configuration first; their digests belong in the cache key.
    pub fn files(&self) -> Vec<PathBuf> {
        self.config_files.iter().chain(&self.weight_files).cloned().collect()
    }

    /// What is worth telling of it.
    pub fn describe(&self) -> ModelInfo {
        let config = &self.config;
        let parameters = crate::weights::expected(config).values().map(|shape| shape.iter().product::<usize>()).sum();
        ModelInfo {
            name: self.name.clone(),
            random_weights: config.random_weights,
            projection_dim: config.projection_dim,
            image_size: config.image_size,
            patch_size: config.patch_size,
            hidden_size: config.hidden_size,
            layers: config.num_hidden_layers,
            heads: config.num_attention_heads,
            parameters,
        }
    }

    /// The shape of the image tower.
    pub fn config(&self) -> &VisionConfig {
        &self.config
    }

    /// How the checkpoint wants pictures prepared, if it says so.
    pub fn preprocessor(&self) -> Option<&PreprocessorConfig> {
        self.preprocessor.as_ref()
    }

    /// The files with the tensors.
    pub(crate) fn weight_files(&self) -> &[PathBuf] {
        &self.weight_files
    }
}

/// The last part of a path, which is all that messages name of it.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn read_text(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|e| Error::Unreadable { file: file_name(path), message: e.kind().to_string() })
}

fn parts_of_index(path: &Path) -> Result<BTreeSet<String>, Error> {
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

/// `owner/name` or `name`, and the revision behind an `@`.
fn hub_name(model: &str) -> Option<(&str, Option<&str>)> {
    let (name, revision) = match model.split_once('@') {
        Some((name, revision)) => (name, Some(revision)),
        None => (model, None),
    };
    let plain = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && !part.starts_with('.')
    };
    let valid = name.split('/').count() <= 2
        && name.split('/').all(plain)
        && revision.is_none_or(|r| !r.is_empty() && !r.contains(".."));
    valid.then_some((name, revision))
}

fn fallback_revision(name: &str) -> Option<&'static str> {
    REVISIONS.iter().find(|(known, _)| *known == name).map(|(_, revision)| *revision)
}

fn how_to_get(name: &str, reason: &str) -> String {
    let folder = name.rsplit('/').next().unwrap_or(name);
    let revision = fallback_revision(name).map(|r| format!(" --revision {r}")).unwrap_or_default();
    format!(
        "it is no folder here; as a hub name: {reason}. Looked for {}, {} and {WEIGHTS} (or {INDEX}). \
         Where there is a network, fetch them with `hf download {name}{revision} config.json preprocessor_config.json {WEIGHTS} --local-dir {folder}`, \
         copy the folder here, and set `model = \"./{folder}\"`",
        config::FILE,
        preprocess::FILES[1],
    )
}

/// One repository of the hub, seen through its cache.
struct Hub<'a> {
    name: &'a str,
    cache: Cache,
    offline: bool,
}

impl Hub<'_> {
    /// The configuration files and the weight files of a revision; an error is the reason in words.
    fn checkpoint(&self, revision: Option<&str>) -> Result<(Vec<PathBuf>, Vec<PathBuf>), String> {
        let repo = Repo::with_revision(self.name.into(), RepoType::Model, revision.unwrap_or("main").into());
        if let Some(files) = self.cached(&repo) {
            return Ok(files);
        }
        if self.offline {
            return Err("it is not in the local cache of the hub, and HF_HUB_OFFLINE forbids a download".into());
        }
        let api = ApiBuilder::from_cache(self.cache.clone())
            .with_endpoint(std::env::var("HF_ENDPOINT").unwrap_or_else(|_| "https://huggingface.co".into()))
            .with_progress(false)
            .build()
            .map_err(|e| format!("no connection to the hub could be prepared ({e})"))?;
        download(&api.repo(repo))
    }

    /// What the cache has, if that is all that is needed.
    fn cached(&self, repo: &Repo) -> Option<(Vec<PathBuf>, Vec<PathBuf>)> {
        let cache = self.cache.repo(repo.clone());
        let mut config_files = vec![cache.get(config::FILE)?];
        config_files.extend(preprocess::FILES.iter().filter_map(|file| cache.get(file)));
        if config_files.len() == 1 {
            return None; // The hub may still have the preprocessing.
        }
        if let Some(weights) = cache.get(WEIGHTS) {
            return Some((config_files, vec![weights]));
        }
        let index = cache.get(INDEX)?;
        let weights = parts_of_index(&index).ok()?.iter().map(|part| cache.get(part)).collect::<Option<_>>()?;
        config_files.push(index);
        Some((config_files, weights))
    }
}

fn download(repo: &ApiRepo) -> Result<(Vec<PathBuf>, Vec<PathBuf>), String> {
    let failed =
        |file: &str, e: ApiError| format!("it is not in the local cache, and the download of {file} failed ({e})");
    let optional = |file: &str| match repo.get(file) {
        Ok(path) => Ok(Some(path)),
        Err(e) if is_absent(&e) => Ok(None),
        Err(e) => Err(failed(file, e)),
    };
    let mut config_files = vec![repo.get(config::FILE).map_err(|e| failed(config::FILE, e))?];
    for file in preprocess::FILES {
        config_files.extend(optional(file)?);
    }
    if let Some(weights) = optional(WEIGHTS)? {
        return Ok((config_files, vec![weights]));
    }
    let Some(index) = optional(INDEX)? else {
        return Err(format!("this revision has neither {WEIGHTS} nor {INDEX}"));
    };
    let parts = parts_of_index(&index).map_err(|e| e.to_string())?;
    config_files.push(index);
    let weights = parts.iter().map(|part| repo.get(part).map_err(|e| failed(part, e))).collect::<Result<_, _>>()?;
    Ok((config_files, weights))
}

/// Whether the hub answered that there is no such file, as opposed to not answering.
fn is_absent(error: &ApiError) -> bool {
    match error {
        ApiError::RequestError(e) => e.to_string().contains("404"),
        ApiError::TooManyRetries(e) => is_absent(e),
        ApiError::IoError(e) => e.kind() == ErrorKind::NotFound,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
