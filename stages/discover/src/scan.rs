//! A plain folder: every media file in it, sound paired with pictures, classes by folder.
//!
//! A file's *place* is its path below the source without extension, and without a component `video`, `videos` (of a video) or `audio`, `audios` (of a sound file). A
//! video and a sound file with the same place are one item; so `a/x.mp4` + `a/x.wav`, `video/x.mp4` + `audio/x.wav` and `a/video/x.mp4` + `a/audio/x.wav` are pairs.
//! A video alone is heard by its own sound track; a sound file alone has no pictures.
//!
//! The id is the place with `-` for `/`. The first folder of the place is the class, after a first folder `train`, `val` or `test` where every file lies in one.
//! Without folders there are no labels, and a single folder is not a class: there is nothing to tell it from.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use contract::Item;
use walkdir::WalkDir;

use crate::rows::{Draft, check_id, relative};
use crate::{DiscoverError, Problem, at, name_of};

/// Extensions of files with pictures (and perhaps sound).
pub const VIDEO_EXTENSIONS: [&str; 16] =
    ["mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "m2ts", "mts", "wmv", "flv", "ogv", "3gp", "mxf"];
/// Extensions of files with sound only.
pub const AUDIO_EXTENSIONS: [&str; 13] =
    ["wav", "flac", "mp3", "ogg", "oga", "opus", "m4a", "m4b", "aac", "aif", "aiff", "caf", "wma"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Medium {
    Video,
    Audio,
}

impl Medium {
    fn of(path: &Path) -> Option<Medium> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        if VIDEO_EXTENSIONS.contains(&extension.as_str()) {
            Some(Medium::Video)
        } else if AUDIO_EXTENSIONS.contains(&extension.as_str()) {
            Some(Medium::Audio)
        } else {
            None
        }
    }

    /// Folder names that say only that such files lie in them.
    fn folders(self) -> [&'static str; 2] {
        match self {
            Medium::Video => ["video", "videos"],
            Medium::Audio => ["audio", "audios"],
        }
    }
}

/// Whether a file is a medium by its name.
pub(crate) fn is_medium(path: &Path) -> bool {
    Medium::of(path).is_some()
}

/// A single media file as a data set of one.
pub(crate) fn single(file: &Path) -> Result<Draft, DiscoverError> {
    let medium = Medium::of(file).ok_or_else(|| at(file, Problem::NotMedia))?;
    let id = relative(Path::new(file.file_stem().unwrap_or_default()), Path::new(""))?;
    check_id(&id).map_err(|problem| at(file, problem))?;
    let (video, audio) = match medium {
        Medium::Video => (Some(file.to_owned()), None),
        Medium::Audio => (None, Some(file.to_owned())),
    };
    let item = Item { id: id.clone(), video, audio, label: None, group: None, city: None, split: None };
    Ok(Draft { name: id, items: vec![item], ..Draft::default() })
}

type MediaFile = (Medium, PathBuf);

/// Where an item lies and what belongs to it.
struct Found {
    place: String,
    /// Relative path, for messages.
    shown: String,
    video: Option<PathBuf>,
    audio: Option<PathBuf>,
}

impl Found {
    fn folders(&self) -> Vec<&str> {
        let mut parts: Vec<&str> = self.place.split('/').collect();
        parts.pop();
        parts
    }
}

/// Every media file below `root`.
pub(crate) fn folder(root: &Path) -> Result<Draft, DiscoverError> {
    let (files, mut notes) = walk(root)?;
    if files.is_empty() {
        return Err(at(root, Problem::NoMediaFile(notes.join("; "))));
    }
    let found = pair(files, root)?;
    let mut items = Vec::with_capacity(found.len());
    let mut seen: BTreeMap<String, &Found> = BTreeMap::new();
    for one in &found {
        let id = one.place.replace('/', "-");
        check_id(&id).map_err(|problem| at(Path::new(&one.shown), problem))?;
        if let Some(other) = seen.insert(id.clone(), one) {
            return Err(at(root, Problem::Collision { id, first: other.shown.clone(), second: one.shown.clone() }));
        }
        let (video, audio) = (one.video.clone(), one.audio.clone());
        items.push(Item { id, video, audio, label: None, group: None, city: None, split: None });
    }
    let folders: Vec<Vec<&str>> = found.iter().map(Found::folders).collect();
    let skip = usize::from(mark_splits(&mut items, &folders));
    notes.extend(mark_labels(&mut items, &found, &folders, skip).map_err(|problem| at(root, problem))?);
    notes.extend(without_pictures(&items));
    let name = root.canonicalize().map_or_else(|_| name_of(root), |root| name_of(&root));
    Ok(Draft { name, items, notes, ..Draft::default() })
}

/// The media files below `root`, and what was passed over.
fn walk(root: &Path) -> Result<(Vec<MediaFile>, Vec<String>), DiscoverError> {
    let hidden = Cell::new(0);
    let (mut others, mut loops, mut broken) = (0, 0, 0);
    let mut files = Vec::new();
    let visible = |entry: &walkdir::DirEntry| {
        let skip = entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".");
        hidden.set(hidden.get() + usize::from(skip));
        !skip
    };
    for entry in WalkDir::new(root).follow_links(true).into_iter().filter_entry(visible) {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) => match Medium::of(entry.path()).filter(|_| entry.file_type().is_file()) {
                Some(medium) => files.push((medium, entry.into_path())),
                None => others += 1,
            },
            Err(error) if error.loop_ancestor().is_some() => loops += 1,
            Err(error) => {
                let path = error.path().unwrap_or(root);
                // A link that leads nowhere: a missing medium is a failed item later, anything else is not ours.
                if path.is_symlink() && !path.exists() {
                    match Medium::of(path) {
                        Some(medium) => files.push((medium, path.to_owned())),
                        None => broken += 1,
                    }
                } else {
                    let problem = error.io_error().map_or(Problem::NotFound, Problem::from_io);
                    return Err(DiscoverError::new(relative(path, root)?, None, problem));
                }
            }
        }
    }
    let notes = [
        (hidden.get(), "hidden file or folder was ignored", "hidden files or folders were ignored"),
        (others, "file is no medium and was ignored", "files are no media and were ignored"),
        (
            loops,
            "symbolic link leads back to a folder above it and was not followed",
            "symbolic links lead back to folders above them and were not followed",
        ),
        (broken, "symbolic link leads nowhere and was ignored", "symbolic links lead nowhere and were ignored"),
    ];
    let in_words = |(n, one, many)| format!("{n} {}", if n == 1 { one } else { many });
    Ok((files, notes.into_iter().filter(|&(n, _, _)| n > 0).map(in_words).collect()))
}

/// A remark where some items have pictures and others are sound files alone.
fn without_pictures(items: &[Item]) -> Option<String> {
    let n = items.iter().filter(|item| item.video.is_none()).count();
    let some = n > 0 && n < items.len();
    some.then(|| {
        format!("{n} of {} items are sound files without a video: what needs pictures leaves them out", items.len())
    })
}

/// Pairs by place, sorted by the bytes of the place.
fn pair(files: Vec<MediaFile>, root: &Path) -> Result<Vec<Found>, DiscoverError> {
    let mut placed = Vec::with_capacity(files.len());
    for (medium, path) in files {
        let shown = relative(&path, root)?;
        placed.push((place(medium, &shown), medium, shown, path));
    }
    placed.sort_unstable();
    let mut found: Vec<Found> = Vec::with_capacity(placed.len());
    for (place, medium, shown, path) in placed {
        if found.last().is_none_or(|last| last.place != place) {
            found.push(Found { place, shown: shown.clone(), video: None, audio: None });
        }
        let last = found.last_mut().expect("one was pushed");
        let side = match medium {
            Medium::Video => &mut last.video,
            Medium::Audio => &mut last.audio,
        };
        if let Some(first) = side.replace(path) {
            let (id, first) = (last.place.replace('/', "-"), relative(&first, root)?);
            return Err(at(root, Problem::Collision { id, first, second: shown }));
        }
    }
    Ok(found)
}

/// The path without extension and without the folder that only names the medium.
fn place(medium: Medium, shown: &str) -> String {
    let stem = shown.rsplit_once('.').map_or(shown, |(stem, _)| stem);
    let mut parts: Vec<&str> = stem.split('/').collect();
    let folders = &parts[..parts.len() - 1];
    if let Some(index) = folders.iter().position(|folder| medium.folders().contains(folder)) {
        parts.remove(index);
    }
    parts.join("/")
}

/// If every item lies in `train`, `val` or `test`, and in two of them at least, that is its split.
fn mark_splits(items: &mut [Item], folders: &[Vec<&str>]) -> bool {
    let split = |folders: &Vec<&str>| match folders.first().copied() {
        Some("train") => Some("train"),
        Some("val" | "valid" | "validation") => Some("val"),
        Some("test") => Some("test"),
        _ => None,
    };
    let splits: Option<Vec<&str>> = folders.iter().map(split).collect();
    let Some(splits) = splits else { return false };
    if splits.iter().collect::<BTreeSet<_>>().len() < 2 {
        return false;
    }
    for (item, split) in items.iter_mut().zip(splits) {
        item.split = Some(split.to_owned());
    }
    true
}

/// The first folder, after `skip`, is the class; returns a note where a lone folder is not taken for one.
fn mark_labels(
    items: &mut [Item],
    found: &[Found],
    folders: &[Vec<&str>],
    skip: usize,
) -> Result<Option<String>, Problem> {
    let with = folders.iter().position(|folders| folders.len() > skip);
    let without = folders.iter().position(|folders| folders.len() <= skip);
    match (with, without) {
        (None, _) => return Ok(None),
        (Some(with), Some(without)) => {
            let shown = |index: usize| found[index].shown.clone();
            return Err(Problem::OutsideOfClasses { without: shown(without), with: shown(with) });
        }
        (Some(_), None) => {}
    }
    let classes: BTreeSet<&str> = folders.iter().map(|folders| folders[skip]).collect();
    if classes.len() < 2 {
        return Ok(Some(format!(
            "all files lie in one folder, `{}`, which is not taken for a class",
            folders[0][skip]
        )));
    }
    for (item, folders) in items.iter_mut().zip(folders) {
        item.label = Some(folders[skip].to_owned());
    }
    Ok(None)
}
