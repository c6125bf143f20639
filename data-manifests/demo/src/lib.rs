//! The demo data set, made on the spot, and the trainer of the small CLIP that is committed for it: no download, the same for a seed.
//!
//! | module | what it makes |
//! |---|---|
//! | [`scene`] | what ten little scenes look and sound like |
//! | [`data`] | a hundred clips of them: H.264 in MP4 by the `ffmpeg` command, 24-bit WAV, a table of items |
//! | [`train`] | a small CLIP, trained on other scenes of the same painters and on captions of them, in the layout of Hugging Face |

pub mod data;
pub mod scene;
pub mod train;

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// A hidden file beside the target; it vanishes if it is not persisted.
fn temporary(target: &Path, suffix: &str) -> Result<tempfile::NamedTempFile> {
    let folder = target.parent().expect("targets are files in the output folder");
    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default; these become the data set, for all who may read the folder.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder
        .prefix(".rendering-")
        .suffix(suffix)
        .tempfile_in(folder)
        .with_context(|| format!("cannot write to {}", folder.display()))
}

/// Writes a file whole or not at all, and only if it would change.
fn publish(target: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(target).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    let mut file = temporary(target, ".part")?;
    file.write_all(bytes)?;
    file.persist(target)?;
    Ok(())
}
