//! The checkpoint of the encoder: is it there, is it whole, is it the one that the store's embeddings were made of?

use std::path::Path;

use encode_clip::Checkpoint;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Check;
use crate::config::Config;
use crate::key::{Template, hex};
use crate::resolve::files_digest;
use crate::store::WorkDir;
use crate::store::digests::Digests;
use crate::store::index::Index;

/// Every check of the model.
pub(super) fn checks(config: &Config) -> Vec<Check> {
    let checkpoint = match Checkpoint::locate(&config.encode_clip.model) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            let message = format!("{error}; without it, name the stages to run, e.g. `pipeline run log-mel`");
            return vec![Check::bad("model", message)];
        }
    };
    vec![describe(&checkpoint), checksums(&checkpoint, &config.work_dir())]
}

fn describe(checkpoint: &Checkpoint) -> Check {
    let info = checkpoint.describe();
    let found = format!(
        "{}: {} blocks of {}, patches of {}, {} values per picture, {:.0} M parameters",
        info.name,
        info.layers,
        info.hidden_size,
        info.patch_size,
        info.projection_dim,
        info.parameters as f64 / 1e6
    );
    if info.random_weights {
        Check::note("model", format!("{found}; its weights are RANDOM: embeddings mean nothing"))
    } else {
        Check::good("model", found)
    }
}

/// Files of the hub's cache are held against the checksums that they have there, and all of them against what the store was made of.
fn checksums(checkpoint: &Checkpoint, work: &WorkDir) -> Check {
    let what = "model checksums";
    let mut confirmed = 0;
    for path in checkpoint.files() {
        match of_the_hub(&path) {
            Ok(None) => {}
            Ok(Some(true)) => confirmed += 1,
            Ok(Some(false)) => {
                let message = "is not what the hub has under its checksum: delete it, and it is downloaded again";
                return Check::bad(what, format!("{} {message}", path.display()));
            }
            Err(error) => return Check::bad(what, format!("{} cannot be read: {error}", path.display())),
        }
    }
    let digest = match files_digest(&checkpoint.files(), &Digests::load(&work.digests())) {
        Ok(Value::String(digest)) => digest,
        Ok(other) => other.to_string(),
        Err(error) => return Check::bad(what, error.to_string()),
    };
    let hub = match confirmed {
        0 => String::new(),
        n => format!(", {n} of {} files confirmed by the hub's checksums", checkpoint.files().len()),
    };
    let found = format!("BLAKE3 {}…{hub}", &digest[..16]);
    match stored(work) {
        None => Check::good(what, found),
        Some(stored) if stored == digest => Check::good(what, format!("{found}; the store's embeddings are of it")),
        Some(stored) => Check::note(
            what,
            format!(
                "{found}; the store's embeddings are of another model (BLAKE3 {}…): a run computes them again",
                &stored[..16.min(stored.len())]
            ),
        ),
    }
}

/// Large files lie in the hub's cache under their SHA-256, with a link from the name; `None`: not such a file.
fn of_the_hub(path: &Path) -> std::io::Result<Option<bool>> {
    let blob = std::fs::canonicalize(path)?;
    let name = blob.file_name().unwrap_or_default().to_string_lossy();
    let is_blob = blob.parent().is_some_and(|folder| folder.ends_with("blobs"));
    if !is_blob || name.len() != 64 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(&blob)?, &mut hasher)?;
    Ok(Some(hex(&hasher.finalize().into()).eq_ignore_ascii_case(&name)))
}

/// The digest of the model that the first shard of embeddings was made with.
fn stored(work: &WorkDir) -> Option<String> {
    let index = Index::open(work, encode_clip::DECL.id, false).ok()?;
    let template = Template::from_text(index.files.first()?.template.clone())?;
    Some(template.value()["facts"]["model"].as_str()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_hub_is_known_by_its_checksum() {
        let folder = tempfile::tempdir().expect("tempdir");
        let blobs = folder.path().join("blobs");
        std::fs::create_dir(&blobs).expect("folder");
        // SHA-256 of "abc", as FIPS 180-2 gives it.
        let blob = blobs.join("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let link = folder.path().join("model.safetensors");
        std::os::unix::fs::symlink(&blob, &link).expect("link");
        std::fs::write(&blob, "abc").expect("write");
        assert_eq!(of_the_hub(&link).expect("readable"), Some(true));
        std::fs::write(&blob, "abd").expect("write");
        assert_eq!(of_the_hub(&link).expect("readable"), Some(false));
        std::fs::write(folder.path().join("config.json"), "{}").expect("write");
        assert_eq!(of_the_hub(&folder.path().join("config.json")).expect("readable"), None);
    }
}
