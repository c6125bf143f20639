//! TAU Urban Audio-Visual Scenes 2021, development set, as its archives unpack.
//!
//! ```text
//! meta.csv                              filename_audio  filename_video  scene_label  identifier
//! evaluation_setup/fold1_train.csv      filename_audio  filename_video  scene_label
//! evaluation_setup/fold1_evaluate.csv   the same
//! evaluation_setup/fold1_test.csv       the same clips as evaluate, without labels
//! audio/airport-lisbon-1000-40000.wav   scene-city-location-segment
//! video/airport-lisbon-1000-40000.mp4
//! ```
//!
//! Tables are tab separated. Tables and media may lie one folder deeper, each in its own, since the archives are unpacked in different ways. One location is one
//! recording of some minutes cut into clips: `city-location` is the group. `evaluate` is the test split; `fold1_test.csv` must not contradict it.
//! Sources: the data set's README; `dcase_util/datasets/tut.py`, `TAUUrbanAudioVisualScenes_2021_DevelopmentSet`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use contract::Item;

use crate::manifest::{Record, Table};
use crate::rows::{Draft, check_id};
use crate::{DiscoverError, Problem, at, name_of};

/// Where the tables of this layout lie.
pub(crate) struct Tables {
    meta: PathBuf,
    setup: PathBuf,
}

/// The tables in `root` or one folder down; `None` if this is no such folder.
pub(crate) fn find(root: &Path) -> Result<Option<Tables>, DiscoverError> {
    let mut folders = vec![root.to_owned()];
    folders.extend(subfolders(root)?);
    let meta = folders.iter().map(|folder| folder.join("meta.csv")).find(|file| file.is_file());
    let setup = folders.iter().map(|folder| folder.join("evaluation_setup")).find(|folder| folder.is_dir());
    let Some(meta) = meta else { return Ok(None) };
    let table = Table::open(&meta)?;
    if table.column("filename_audio").is_none() || table.column("filename_video").is_none() {
        return Ok(None);
    }
    // Half of the tables is no reason to read the folder as a plain one, without labels.
    let setup = setup.ok_or_else(|| at(root, Problem::NotTau))?;
    Ok(Some(Tables { meta, setup }))
}

/// The items of `meta.csv`, in its order, with the splits of fold 1.
pub(crate) fn read(root: &Path, tables: &Tables) -> Result<Draft, DiscoverError> {
    let media = Media::find(root)?;
    let mut table = Table::open(&tables.meta)?;
    let (audio, video) = (table.require("filename_audio")?, table.require("filename_video")?);
    let label = table.require("scene_label")?;
    let mut items: Vec<Item> = Vec::new();
    let mut index: HashMap<String, (usize, u64)> = HashMap::new();
    let mut record = Record::default();
    while let Some(line) = table.read(&mut record)? {
        let Name { id, group, city } = name_parts(&record[audio]).map_err(|problem| table.fail(line, problem))?;
        check_id(&id).map_err(|problem| table.fail(line, problem))?;
        if let Some((_, first)) = index.insert(id.clone(), (items.len(), line)) {
            return Err(table.fail(line, Problem::DuplicateId { id, first }));
        }
        if record[label].is_empty() {
            let with = items.first().map_or("the next".to_owned(), |first| first.id.clone());
            return Err(table.fail(line, Problem::ForSomeOnly { what: "label", without: id, with }));
        }
        let path = |name: &str| (!name.is_empty()).then(|| media.path(name));
        items.push(Item {
            id,
            video: path(&record[video]),
            audio: path(&record[audio]),
            label: Some(record[label].to_owned()),
            group: Some(group),
            city: Some(city),
            split: None,
        });
    }
    if items.is_empty() {
        return Err(at(&tables.meta, Problem::Empty));
    }
    for (file, split) in [("fold1_train.csv", "train"), ("fold1_evaluate.csv", "test"), ("fold1_test.csv", "test")] {
        let file = tables.setup.join(file);
        // The labelled table says all that the unlabelled one says.
        if file.is_file() || !file.ends_with("fold1_test.csv") {
            mark(&mut items, &index, &file, split)?;
        }
    }
    let name = "TAU Urban Audio-Visual Scenes 2021, development".to_owned();
    let notes = vec!["the split is the official fold 1".to_owned()];
    Ok(Draft { name, items, notes, ..Draft::default() })
}

/// Writes `split` into the items that `file` lists.
fn mark(
    items: &mut [Item],
    index: &HashMap<String, (usize, u64)>,
    file: &Path,
    split: &'static str,
) -> Result<(), DiscoverError> {
    let mut table = Table::open(file)?;
    let (audio, label) = (table.require("filename_audio")?, table.column("scene_label"));
    let mut record = Record::default();
    while let Some(line) = table.read(&mut record)? {
        let Name { id, .. } = name_parts(&record[audio]).map_err(|problem| table.fail(line, problem))?;
        let Some(&(at, _)) = index.get(&id) else { return Err(table.fail(line, Problem::NotInMeta(id))) };
        let item = &mut items[at];
        if let Some(label) = label
            && item.label.as_deref() != Some(&record[label])
        {
            let meta = item.label.clone().unwrap_or_default();
            return Err(table.fail(line, Problem::LabelDiffers { id, here: record[label].to_owned(), meta }));
        }
        if item.split.as_deref().is_some_and(|other| other != split) {
            return Err(table.fail(line, Problem::TwoSplits { id, first: "train", second: "evaluate" }));
        }
        item.split = Some(split.to_owned());
    }
    Ok(())
}

/// What the name of a file says.
struct Name {
    id: String,
    group: String,
    city: String,
}

/// `audio/airport-lisbon-1000-40000.wav` to its id, `lisbon-1000` and `lisbon`.
fn name_parts(name: &str) -> Result<Name, Problem> {
    let file = name.rsplit_once('/').map_or(name, |(_, file)| file);
    let id = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    match id.split('-').collect::<Vec<_>>()[..] {
        [_, city, location, _] => {
            Ok(Name { id: id.to_owned(), group: format!("{city}-{location}"), city: city.to_owned() })
        }
        _ => Err(Problem::NotTauName(name.to_owned())),
    }
}

/// The folders that hold `audio/` or `video/`. There may be several: each archive unpacked into a folder of its own.
struct Media {
    root: PathBuf,
    audio: Vec<PathBuf>,
    video: Vec<PathBuf>,
}

impl Media {
    fn find(root: &Path) -> Result<Media, DiscoverError> {
        let mut folders = vec![root.to_owned()];
        folders.extend(subfolders(root)?);
        let with = |name: &str| folders.iter().filter(|folder| folder.join(name).is_dir()).cloned().collect();
        Ok(Media { root: root.to_owned(), audio: with("audio"), video: with("video") })
    }

    fn path(&self, name: &str) -> PathBuf {
        let folders = if name.starts_with("video/") { &self.video } else { &self.audio };
        match &folders[..] {
            [] => self.root.join(name),
            [only] => only.join(name),
            several => {
                let mut paths = several.iter().map(|folder| folder.join(name));
                paths.clone().find(|path| path.exists()).or_else(|| paths.next()).expect("several are at least one")
            }
        }
    }
}

/// The folders in `root`, sorted by name.
fn subfolders(root: &Path) -> Result<Vec<PathBuf>, DiscoverError> {
    let fail = |error: &std::io::Error| at(root, Problem::from_io(error));
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(root).map_err(|error| fail(&error))? {
        let path = entry.map_err(|error| fail(&error))?.path();
        if path.is_dir() && !name_of(&path).starts_with('.') {
            folders.push(path);
        }
    }
    folders.sort_unstable();
    Ok(folders)
}
