//! Datasets as the layout has them: created with Fletcher-32 in chunks along the first axis, opened with suspicion.

use hdf5_metno::dataset::Layout;
use hdf5_metno::filters::Filter;
use hdf5_metno::types::TypeDescriptor;
use hdf5_metno::{self as hdf5, Dataset, Extent, Group, SimpleExtents};

use crate::{ShardError, text};

/// How many rows a dataset will have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Extent0 {
    /// All of them are at hand: the chunk is no larger than they are.
    Final(usize),
    /// More will come.
    Growing,
}

/// Creates a dataset of `[rows]` or `[rows, width]`.
pub(crate) fn create(
    parent: &Group,
    name: &str,
    kind: &TypeDescriptor,
    (rows, width): (Extent0, Option<usize>),
    chunk_rows: usize,
    unit: &str,
) -> hdf5::Result<Dataset> {
    let (first, chunk_rows) = match rows {
        Extent0::Final(rows) if rows > 0 => (Extent::fixed(rows), rows.min(chunk_rows)),
        // A fixed extent of 0 admits no chunk, and a filter needs one.
        Extent0::Final(_) => (Extent::resizable(0), 1),
        Extent0::Growing => (Extent::resizable(0), chunk_rows),
    };
    let mut extents = vec![first];
    let mut chunk = vec![chunk_rows];
    if let Some(width) = width {
        extents.push(Extent::fixed(width));
        chunk.push(width);
    }
    let dataset = parent
        .new_dataset_builder()
        .empty_as(kind)
        .shape(SimpleExtents::from_vec(extents))
        .chunk(chunk)
        .fletcher32()
        .obj_track_times(false)
        .create(name)?;
    text::write_attribute(&dataset, "unit", unit)?;
    Ok(dataset)
}

/// A dataset that was found to be as the layout has it, and no larger than the file.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) dataset: Dataset,
    /// Name for messages.
    pub(crate) name: String,
    pub(crate) rows: usize,
    pub(crate) width: Option<usize>,
    pub(crate) kind: TypeDescriptor,
}

impl Stored {
    /// Opens a dataset. `name` is relative to `parent`, `path` is for messages.
    pub(crate) fn open(parent: &Group, name: &str, path: &str, file_bytes: u64) -> Result<Stored, ShardError> {
        let reading = |e: hdf5::Error| ShardError::reading(path, &e);
        let damaged = |reason: &str| ShardError::damaged(path, reason);

        let dataset = parent.dataset(name).map_err(reading)?;
        let dtype = dataset.dtype().map_err(reading)?;
        let kind = dtype.to_descriptor().map_err(reading)?;
        let shape = dataset.space().map_err(reading)?.shape();
        let (rows, width) = match shape[..] {
            [rows] => (rows, None),
            [rows, width] if width > 0 => (rows, Some(width)),
            _ => return Err(damaged("it has neither one dimension nor two")),
        };

        let created = dataset.dcpl().map_err(reading)?;
        if created.get_layout().map_err(reading)? != Layout::Chunked {
            return Err(damaged("it is not chunked"));
        }
        if created.get_filters().map_err(reading)? != [Filter::Fletcher32] {
            return Err(damaged("it does not have Fletcher-32 as its only filter"));
        }
        let chunk = created.get_chunk().map_err(reading)?.unwrap_or_default();
        if chunk.len() != shape.len() || chunk[0] == 0 || chunk[1..] != shape[1..] {
            return Err(damaged("it is not chunked along its first axis"));
        }

        // Nothing is compressed, so what it holds lies in the file, and each chunk does.
        let row_bytes = width.unwrap_or(1).checked_mul(dtype.size());
        let bytes = row_bytes.and_then(|b| b.checked_mul(rows)).map(|b| b as u64);
        let chunk_bytes = row_bytes.and_then(|b| b.checked_mul(chunk[0])).map(|b| b as u64);
        let fits = |bytes: Option<u64>| bytes.is_some_and(|bytes| bytes <= file_bytes);
        if rows > 0 && !(fits(bytes) && fits(chunk_bytes)) {
            return Err(damaged("it claims to be larger than the file"));
        }
        let chunks = dataset.num_chunks().ok_or_else(|| damaged("its chunks cannot be counted"))?;
        if chunks != rows.div_ceil(chunk[0]) {
            return Err(damaged("chunks are missing"));
        }
        Ok(Stored { dataset, name: path.to_owned(), rows, width, kind })
    }

    /// Refuses another type or number of rows than expected.
    pub(crate) fn expect(self, kind: &TypeDescriptor, rows: usize) -> Result<Stored, ShardError> {
        if self.kind != *kind {
            return Err(ShardError::damaged(self.name, format!("its type is {}, not {kind}", self.kind)));
        }
        self.expect_rows(rows)
    }

    /// Refuses another number of rows than expected.
    pub(crate) fn expect_rows(self, rows: usize) -> Result<Stored, ShardError> {
        if self.rows != rows {
            return Err(ShardError::damaged(self.name, format!("it has {} rows, not {rows}", self.rows)));
        }
        Ok(self)
    }
}
