//! The picture files that are there: a row of `extract-frames` is only worth something together with them.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use extract_frames::{FileSpec, Format};

use crate::error::{IoContext, Result};
use crate::store::index::IndexedItem;
use crate::store::publish::remove_for_good;

/// The format in which the pictures of an item are there with these digests of 32 bytes each; `None` where they are not.
pub fn format_as_made(folder: &Path, id: &str, digests: &[u8]) -> Result<Option<Format>> {
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
            return Ok(Some(format));
        }
    }
    Ok(None)
}

/// The pictures that are there as rows list them: of each item in which format, and how many.
pub type Listed = HashMap<String, Vec<(Format, u32)>>;

/// Removes the pictures of these items that no row lists.
pub fn remove_strays(folder: &Path, listed: &Listed) -> Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.at("list", folder)?,
    };
    for entry in entries {
        let entry = entry.at("list", folder)?;
        let name = entry.file_name();
        let Some((id, number, format)) = name.to_str().and_then(parse_picture_name) else { continue };
        let is_listed = |(of, count): &(Format, u32)| *of == format && number <= *count;
        if listed.get(id).is_some_and(|rows| !rows.iter().any(is_listed)) {
            remove_for_good(&entry.path())?;
        }
    }
    Ok(())
}

/// Item, number and format of a picture file; `None` for any other file.
fn parse_picture_name(name: &str) -> Option<(&str, u32, Format)> {
    let (stem, extension) = name.rsplit_once('.')?;
    let format = Format::ALL.into_iter().find(|format| format.extension() == extension)?;
    let (id, number) = stem.rsplit_once('-')?;
    let number = number.parse().ok()?;
    (extract_frames::picture_name(id, number, format) == name).then_some((id, number, format))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_that_no_row_lists_go_and_all_others_stay() {
        let folder = tempfile::tempdir().expect("tempdir");
        let stays =
            ["a-1-01.png", "a-1-02.png", "a-01.jpg", "b-07.png", "a-1-3.png", "a-1-04.gif", ".a-1-05.png.tmp-x-1-0"];
        let goes = ["a-1-03.png", "a-1-06.png", "a-1-01.jpg", "a-01.png", "a-02.jpg"];
        for name in stays.iter().chain(&goes) {
            std::fs::write(folder.path().join(name), b"").expect("write");
        }
        let row = |id: &str, format, count| (id.to_string(), vec![(format, count)]);
        let listed = HashMap::from([row("a-1", Format::Png, 2), row("a", Format::Jpeg, 1)]);
        remove_strays(folder.path(), &listed).expect("removed");
        let left: HashSet<String> = std::fs::read_dir(folder.path())
            .expect("list")
            .map(|entry| entry.expect("entry").file_name().into_string().expect("UTF-8"))
            .collect();
        assert_eq!(left, stays.map(String::from).into());
    }
}
