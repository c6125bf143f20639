//! Checkpoints on the Hugging Face hub, through its cache.

use std::io::ErrorKind;
use std::path::PathBuf;

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use crate::checkpoint::{INDEX, PREPROCESSING, TOKENIZER, WEIGHTS, parts_of_index};
use crate::config;

/// Checkpoints whose safetensors file is not on the hub's main branch, and the revision that has it.
const REVISIONS: [(&str, &str); 1] = [("openai/clip-vit-base-patch32", "refs/pr/15")];

/// `owner/name` or `name`, and the revision behind an `@`.
pub(crate) fn parse(model: &str) -> Option<(&str, Option<&str>)> {
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

pub(crate) fn fallback_revision(name: &str) -> Option<&'static str> {
    REVISIONS.iter().find(|(known, _)| *known == name).map(|(_, revision)| *revision)
}

pub(crate) fn how_to_get(name: &str, reason: &str) -> String {
    let folder = name.rsplit('/').next().unwrap_or(name);
    let revision = fallback_revision(name).map(|r| format!(" --revision {r}")).unwrap_or_default();
    format!(
        "it is no folder here; as a hub name: {reason}. Looked for {}, {} and {WEIGHTS} (or {INDEX}). \
         Where there is a network, fetch them with `hf download {name}{revision} config.json preprocessor_config.json {TOKENIZER} {WEIGHTS} --local-dir {folder}`, \
         copy the folder here, and set `model = \"./{folder}\"`",
        config::FILE,
        PREPROCESSING[1],
    )
}

/// One revision of a repository of the hub, seen through the hub's cache.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    /// `owner/name`
    pub(crate) name: String,
    /// `None`: the main branch.
    pub(crate) revision: Option<String>,
    pub(crate) cache: Cache,
    /// Only the cache may be looked at.
    pub(crate) offline: bool,
}

impl Hub {
    fn repo(&self) -> Repo {
        Repo::with_revision(self.name.clone(), RepoType::Model, self.revision.clone().unwrap_or_else(|| "main".into()))
    }

    fn connect(&self) -> Result<ApiRepo, String> {
        let api = ApiBuilder::from_cache(self.cache.clone())
            .with_endpoint(std::env::var("HF_ENDPOINT").unwrap_or_else(|_| "https://huggingface.co".into()))
            .with_progress(false)
            .build()
            .map_err(|e| format!("no connection to the hub could be prepared ({e})"))?;
        Ok(api.repo(self.repo()))
    }

    /// `tokenizer.json`; an error is the reason and the remedy in words.
    pub(crate) fn tokenizer(&self) -> Result<PathBuf, String> {
        if let Some(file) = self.cache.repo(self.repo()).get(TOKENIZER) {
            return Ok(file);
        }
        let revision = self.revision.as_ref().map(|r| format!(" --revision {r}")).unwrap_or_default();
        let get = format!("fetch it where there is a network with `hf download {}{revision} {TOKENIZER}`", self.name);
        if self.offline {
            return Err(format!(
                "it is not in the local cache of the hub, and HF_HUB_OFFLINE forbids a download; {get}"
            ));
        }
        self.connect()?
            .get(TOKENIZER)
            .map_err(|e| format!("it is not in the local cache of the hub, and the download failed ({e}); {get}"))
    }

    /// The configuration files and the weight files; an error is the reason in words.
    pub(crate) fn checkpoint(&self) -> Result<(Vec<PathBuf>, Vec<PathBuf>), String> {
        let repo = self.repo();
        if let Some(files) = self.cached(&repo) {
            return Ok(files);
        }
        if self.offline {
            return Err("it is not in the local cache of the hub, and HF_HUB_OFFLINE forbids a download".into());
        }
        download(&self.connect()?)
    }

    /// What the cache has, if that is all that is needed.
    fn cached(&self, repo: &Repo) -> Option<(Vec<PathBuf>, Vec<PathBuf>)> {
        let cache = self.cache.repo(repo.clone());
        let mut config_files = vec![cache.get(config::FILE)?];
        config_files.extend(PREPROCESSING.iter().filter_map(|file| cache.get(file)));
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

pub(crate) fn download(repo: &ApiRepo) -> Result<(Vec<PathBuf>, Vec<PathBuf>), String> {
    let failed =
        |file: &str, e: ApiError| format!("it is not in the local cache, and the download of {file} failed ({e})");
    let optional = |file: &str| match repo.get(file) {
        Ok(path) => Ok(Some(path)),
        Err(e) if is_absent(&e) => Ok(None),
        Err(e) => Err(failed(file, e)),
    };
    let mut config_files = vec![repo.get(config::FILE).map_err(|e| failed(config::FILE, e))?];
    for file in PREPROCESSING {
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
