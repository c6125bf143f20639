//! From a manifest, a TAU folder, a plain folder or one media file to the list of items.
//!
//! No formula: a data set is what its author says it is, and this crate only reads that, in one of four forms which are
//! told apart by content, not by an option:
//!
//! | source | recognised by | items | labels | groups, city | split |
//! |---|---|---|---|---|---|
//! | manifest ([`manifest`]) | a file `*.toml` | its table or its `[[item]]`s, in their order | column | columns | column |
//! | TAU Urban Audio-Visual Scenes 2021 ([`tau`]) | `meta.csv` and `evaluation_setup/`, here or one folder down | `meta.csv` | `scene_label` | `city-location` and `city` of the name | fold 1; `evaluate` is `test` |
//! | folder ([`scan`]) | any other folder | media files, sound paired with pictures | class folders | – | `train/`, `val/`, `test/` folders |
//! | file | a media file | one | – | – | – |
//!
//! Invariants of the output: ids are unique and safe as file names; either every item has a label or none; `split` is `train`,
//! `val` or `test`; the same source gives the same items in the same order on every machine. A labelled data set that names no split at all
//! gets one, by whole groups ([`split`]).
//!
//! Honoured: `\r\n`, byte order marks, quoted fields, absolute paths, environment variables in a manifest's paths, symbolic links
//! (loops are cut and noted), extensions in any case.
//! Half-honoured: media are told by their extension ([`VIDEO_EXTENSIONS`], [`AUDIO_EXTENSIONS`]); nothing is opened here, so a missing, empty or
//! damaged file is no error of this stage but a failed item of a later one.
//! Ignored, and counted in the notes: hidden files and folders, files with other extensions.
//!
//! Paths must be Unicode, since ids are made of them and tables hold them; others are an error that names the file.
//!
//! Version history: 1 first.

use std::path::{Path, PathBuf};

use contract::{Cause, Classify, Decl, Item, Kind};
use serde::{Deserialize, Serialize};

mod beside;
mod listing;
pub mod manifest;
mod problem;
mod rows;
pub mod scan;
pub mod split;
pub mod tau;

pub use listing::to_csv;
pub use problem::Problem;
pub use scan::{AUDIO_EXTENSIONS, VIDEO_EXTENSIONS};

/// What the runner needs to know.
pub const DECL: Decl = Decl {
    id: "discover",
    version: 1,
    kind: Kind::Item,
    inputs: &[],
    summary: "lists the items of a manifest, a TAU folder, a plain folder or a single media file",
};

/// The table `[discover]` of `pipeline.toml`, as written. It matters only where the data set leaves something open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Share of the groups (0 to 1, exclusive) that becomes `test` when the data set names no split. 0.3 is about the share of the
    /// official fold of TAU 2021 (3,645 of 12,291).
    pub test_fraction: f64,
    /// Share of the training groups that becomes `val` where the data set names none; 0: none. Models are chosen on it.
    pub val_fraction: f64,
    /// Another number gives another split of the same fraction.
    pub split_seed: u64,
    /// Where the data set names no group: the fields of the id, split at `-` and counted from 1, that together name it. `[2, 3]` makes `lisbon-1000`
    /// of `airport-lisbon-1000-40000`. Empty: every item is a group of its own, which is honest only if no two items are of one recording.
    pub group_fields: Vec<usize>,
    /// The same for the city: `[2]` makes `lisbon`. Empty: no figures per city.
    pub city_fields: Vec<usize>,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            test_fraction: 0.3,
            val_fraction: 0.1,
            split_seed: 0,
            group_fields: Vec::new(),
            city_fields: Vec::new(),
        }
    }
}

/// What can change the output, beside the source itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spec {
    test_fraction: f64,
    val_fraction: f64,
    split_seed: u64,
    group_fields: Vec<usize>,
    city_fields: Vec<usize>,
}

/// A parameter outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ParamsError {
    /// `test_fraction` would leave one side without a group.
    #[error("test_fraction is {0}; it must lie between 0 and 1, and be neither")]
    TestFraction(f64),
    /// `val_fraction` would take every training group.
    #[error("val_fraction is {0}; it must be at least 0 and below 1 (0: no validation part)")]
    ValFraction(f64),
    /// Fields are counted from 1.
    #[error("group_fields or city_fields has a 0; the fields of an id are counted from 1")]
    GroupField,
}

impl Params {
    /// Checks the ranges.
    pub fn resolve(&self) -> Result<Spec, ParamsError> {
        if !(self.test_fraction > 0.0 && self.test_fraction < 1.0) {
            return Err(ParamsError::TestFraction(self.test_fraction));
        }
        if !(self.val_fraction >= 0.0 && self.val_fraction < 1.0) {
            return Err(ParamsError::ValFraction(self.val_fraction));
        }
        if self.group_fields.contains(&0) || self.city_fields.contains(&0) {
            return Err(ParamsError::GroupField);
        }
        Ok(Spec {
            test_fraction: self.test_fraction,
            val_fraction: self.val_fraction,
            split_seed: self.split_seed,
            group_fields: self.group_fields.clone(),
            city_fields: self.city_fields.clone(),
        })
    }
}

/// Why a source gives no list: one problem, with its place. Displayed as `items.csv:14: …`.
#[derive(Debug, thiserror::Error)]
pub struct DiscoverError {
    /// The file or folder, without the path that leads to the source.
    pub file: String,
    /// Its line, counted from 1.
    pub line: Option<u64>,
    /// What is wrong with it; boxed, so that a `Result` of this error is small.
    pub problem: Box<Problem>,
}

impl DiscoverError {
    fn new(file: String, line: Option<u64>, problem: Problem) -> Self {
        DiscoverError { file, line, problem: Box::new(problem) }
    }
}

impl std::fmt::Display for DiscoverError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl Classify for DiscoverError {
    fn class(&self) -> Cause {
        self.problem.class()
    }
}

/// A data set: its items in a fixed order, and what is known of it as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dataset {
    /// Name, for people.
    pub name: String,
    /// What its manifest says of it.
    pub about: About,
    /// The items: in the order of the manifest or table, or sorted by path bytes.
    pub items: Vec<Item>,
    /// The classes: alphabetical unless the manifest gives an order. Empty without labels.
    pub classes: Vec<String>,
    /// What a person should know: what was ignored, where the split comes from, what is odd about it. One line each.
    pub notes: Vec<String>,
    /// What all this was read from; `None` for a data set that was found by looking into folders.
    pub origin: Option<Origin>,
}

/// What a data set was read from: while this is the same, so is the data set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The manifest and its table.
    pub files: Vec<PathBuf>,
    /// The environment variables that its paths name, and their values.
    pub variables: Vec<(String, String)>,
}

/// Where a data set comes from, in the words of its manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// What it is.
    pub description: Option<String>,
    /// On what terms it may be used.
    pub licence: Option<String>,
    /// Where it is published.
    pub source: Option<String>,
}

/// The data set at `source`.
pub fn discover(source: &Path, params: &Params) -> Result<Dataset, DiscoverError> {
    let spec = params.resolve().map_err(|error| at(source, Problem::Params(error)))?;
    let found = std::fs::metadata(source).map_err(|error| match Problem::from_io(&error) {
        Problem::NotFound => at(source, beside::not_found(source)),
        problem => at(source, problem),
    })?;
    let draft = if found.is_dir() {
        match tau::find(source)? {
            Some(tables) => tau::read(source, &tables)?,
            None => scan::folder(source)?,
        }
    } else if source.extension().is_some_and(|e| e.eq_ignore_ascii_case("toml")) {
        manifest::read(source, &|name| std::env::var(name).ok())?
    } else {
        scan::single(source)?
    };
    rows::finish(draft, &spec, source)
}

/// The last component of a path, for messages: what leads to it is the user's own and known to them.
fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn at(file: &Path, problem: Problem) -> DiscoverError {
    DiscoverError::new(name_of(file), None, problem)
}

#[cfg(test)]
mod tests;
