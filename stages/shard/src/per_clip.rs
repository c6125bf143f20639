//! The other HDF5 layout that such features are kept in: one file, and in its root one dataset per clip, named after it.
//!
//! It is how the reference example keeps log-mel spectrograms: `h5.create_dataset(id, data=x)` with `x` `[n_mels, T]` float32, contiguous, no
//! compression, no attributes. Anything with `h5py.File(path)[id][:]` reads it. Written here with libhdf5's default format, as h5py does.
//!
//! A file of this layout comes from elsewhere, so reading is stricter than libhdf5: only hard links count (a soft or external link would
//! lead to other files), a dataset is floating point with one or two dimensions, and no larger in memory than [`MAX_DATASET_BYTES`].

use std::path::{Path, PathBuf};

use hdf5_metno::types::TypeDescriptor;
use hdf5_metno::{self as hdf5, File, IndexType, IterationOrder, LinkType};

use crate::{ShardError, layout, superblock};

/// Largest dataset that is read: a file that claims more is damaged, or no features of a clip.
pub const MAX_DATASET_BYTES: usize = 1 << 30;

const WRITE: &str = "write the file";

/// The features of one clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// One or two dimensions.
    pub shape: Vec<usize>,
    /// Row after row.
    pub values: Vec<f32>,
}

/// Writes a file of one dataset per clip to a path of the caller's, who syncs and renames it.
#[derive(Debug)]
pub struct PerClipWriter {
    file: File,
}

impl PerClipWriter {
    /// Creates the file, or empties it.
    pub fn create(path: &Path) -> Result<Self, ShardError> {
        superblock::check_path("create the file", path)?;
        let file = File::with_options()
            .with_fapl(|p| p.file_locking(false))
            .with_fcpl(|p| p.obj_track_times(false))
            .create(path)
            .map_err(|e| ShardError::library("create the file", &e))?;
        Ok(PerClipWriter { file })
    }

    /// Adds a clip: `rows` x `columns` values, row after row.
    pub fn push(&mut self, id: &str, rows: usize, columns: usize, values: &[f32]) -> Result<(), ShardError> {
        layout::check_id(id)?;
        if id.contains('/') || id == "." {
            return Err(ShardError::BadId {
                id: id.to_owned(),
                reason: "a name in an HDF5 file has no `/` and is not `.`",
            });
        }
        if self.file.link_exists(id) {
            return Err(ShardError::DuplicateId { id: id.to_owned() });
        }
        if rows.checked_mul(columns) != Some(values.len()) {
            let reason = format!("{} values are not {rows} x {columns}", values.len());
            return Err(ShardError::Mismatch { id: id.to_owned(), reason });
        }
        let write = || -> hdf5::Result<()> {
            let dataset =
                self.file.new_dataset::<f32>().shape((rows, columns)).no_chunk().obj_track_times(false).create(id)?;
            if values.is_empty() { Ok(()) } else { dataset.write_raw(values) }
        };
        write().map_err(|e| ShardError::library(WRITE, &e))
    }

    /// Writes what is left, and closes the file.
    pub fn finish(self) -> Result<(), ShardError> {
        let close = |file: File| file.flush().and_then(|()| file.close());
        close(self.file).map_err(|e| ShardError::library(WRITE, &e))
    }
}

/// An open file of one dataset per clip.
#[derive(Debug)]
pub struct PerClip {
    file: File,
    path: PathBuf,
    ids: Vec<String>,
    ignored: Vec<String>,
}

impl PerClip {
    /// Opens a file and lists its datasets.
    pub fn open(path: &Path) -> Result<Self, ShardError> {
        superblock::check_path("open the file", path)?;
        // Asked for first, since libhdf5 says of a file that is not there that it is no HDF5.
        std::fs::File::open(path).map_err(|e| ShardError::io("open the file", &e))?;
        let file = File::with_options()
            .with_fapl(|p| p.file_locking(false))
            .open(path)
            .map_err(|e| ShardError::library("open the file", &e))?;
        let listed = |e: hdf5::Error| ShardError::reading("root group", &e);
        let (mut ids, mut ignored) = (Vec::new(), Vec::new());
        for (name, link) in file.links(IndexType::Name, IterationOrder::Increasing).map_err(listed)? {
            let is_dataset = link.link_type == LinkType::Hard && file.dataset(&name).is_ok();
            if is_dataset { ids.push(name) } else { ignored.push(name) }
        }
        Ok(PerClip { file, path: path.to_path_buf(), ids, ignored })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the datasets, sorted.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Names in the root that are no datasets: groups, links.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The features of a clip, converted to f32 where they are f16 or f64.
    pub fn read(&self, id: &str) -> Result<Features, ShardError> {
        let reading = |e: hdf5::Error| ShardError::reading(id, &e);
        let damaged = |reason: String| Err(ShardError::damaged(id, reason));
        let dataset = self.file.dataset(id).map_err(reading)?;
        let kind = dataset.dtype().and_then(|t| t.to_descriptor()).map_err(reading)?;
        if !matches!(kind, TypeDescriptor::Float(_)) {
            return damaged(format!("its type is {kind}, features are floating point numbers"));
        }
        let shape = dataset.space().map_err(reading)?.shape();
        let count = shape.iter().try_fold(1_usize, |n, &side| n.checked_mul(side));
        let Some(count) = count.filter(|count| *count <= MAX_DATASET_BYTES / 4) else {
            return damaged(format!("its shape is {shape:?}, more than {} MiB", MAX_DATASET_BYTES >> 20));
        };
        if shape.is_empty() || shape.len() > 2 {
            return damaged(format!("its shape is {shape:?}, features of a clip have one or two dimensions"));
        }
        let values = if count == 0 { Vec::new() } else { dataset.read_raw::<f32>().map_err(reading)? };
        Ok(Features { shape, values })
    }
}
