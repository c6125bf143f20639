//! The picture files that are there: a row of `extract-frames` is only worth something together with them.

use std::collections::HashSet;
use std::path::Path;

use extract_frames::{FileSpec, Format};

use crate::error::{IoContext, Result};
use crate::store::index::IndexedItem;

/// Whether the pictures of an item are there, in one of the formats, with these digests of 32 bytes each.
pub fn are_as_made(folder: &Path, id: &str, digests: &[u8]) -> Result<bool> {
    for format in Format::ALL {
        let mut numbers = (1..).zip(digests.chunks_exact(32));
        let all = numbers.try_fold(true, |all, (number, digest)| {
            if !all {
                return Ok(false);
            }
            let path = folder.join(extract_frames::picture_name(id, number, format));
            match std::fs::read(&path) {
                Ok(bytes) => Ok(blake3::hash(&bytes).as_bytes() == digest),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error).at("read", &path),
            }
        })?;
        if all {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Names of the files in a stage's folder, and how its pictures are named.
#[derive(Debug)]
pub struct PictureNames {
    /// `None`: the stage keeps no pictures, so none can be missing.
    present: Option<(HashSet<String>, FileSpec)>,
}

impl PictureNames {
    /// For a stage that keeps no pictures.
    pub fn none() -> Self {
        PictureNames { present: None }
    }

    /// Lists the folder once; a folder that is not there holds nothing.
    pub fn list(folder: &Path, files: FileSpec) -> Result<Self> {
        let mut names = HashSet::new();
        match std::fs::read_dir(folder) {
            Ok(entries) => {
                for entry in entries {
                    names.extend(entry.at("list", folder)?.file_name().into_string().ok());
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).at("list", folder),
        }
        Ok(PictureNames { present: Some((names, files)) })
    }

    /// Whether a stored row can stand for this item. Pictures carry the id in their names: the row of another item with the same content
    /// lists none of this one's.
    pub fn stand_behind(&self, stored: &IndexedItem, id: &str) -> bool {
        self.present.is_none() || (stored.id == id && self.has_all(id, stored.rows))
    }

    /// Whether the `rows` pictures of this item are there.
    pub fn has_all(&self, id: &str, rows: u32) -> bool {
        self.present.as_ref().is_none_or(|(names, files)| {
            (1..=rows).all(|number| names.contains(&extract_frames::picture_name(id, number, files.format)))
        })
    }
}
