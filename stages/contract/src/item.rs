//! One clip of a data set.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One clip of a data set: where its media lie and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Unique in the data set, e.g. `airport-lisbon-1000-40000`; safe as a file name (no `/`, no control characters).
    pub id: String,
    /// The file with the pictures, if the item has one.
    pub video: Option<PathBuf>,
    /// The file with the sound. `None`: the sound track of `video`, if any.
    pub audio: Option<PathBuf>,
    /// The class.
    pub label: Option<String>,
    /// What must not be torn apart by a split, e.g. the recording location.
    pub group: Option<String>,
    /// Where it was recorded, e.g. `lisbon`: figures are also given per city. Many groups lie in one city.
    pub city: Option<String>,
    /// `train`, `val` or `test`, where the data set says so.
    pub split: Option<String>,
}

impl Item {
    /// The file that the sound is read from: `audio`, or else the sound track of `video`.
    pub fn sound_source(&self) -> Option<&PathBuf> {
        self.audio.as_ref().or(self.video.as_ref())
    }
}
