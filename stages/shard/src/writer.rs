//! Writing a shard, item by item.
//!
//! Rows are gathered to whole chunks, so libhdf5 sees the same writes whatever the sizes of the items, and each chunk is
//! checksummed once. The root attributes come last: a file without them is no shard.

use std::collections::HashSet;
use std::path::Path;

use contract::{ColumnSpec, Failure, Rows, Values};
use hdf5_metno::file::FileCloseDegree;
use hdf5_metno::{self as hdf5, Dataset, File};

use crate::stored::{Extent0, create};
use crate::{Entry, Header, ItemRecord, ShardError, digest, element, layout, superblock, table, text};

const WRITE: &str = "write the shard";

/// Writes one shard to a path of the caller's, usually a temporary file that is renamed afterwards. Dropping it without
/// [`finish`](Writer::finish) leaves a file that [`Shard::open`](crate::Shard::open) refuses.
#[derive(Debug)]
pub struct Writer {
    // Fields are dropped in this order: datasets before their file.
    columns: Vec<Growing>,
    file: File,
    header: Header,
    expected: Option<usize>,
    items: Vec<ItemRecord>,
    ids: HashSet<String>,
    rows: usize,
    broken: bool,
}

impl Writer {
    /// Creates the file, or empties it. `expected` is the number of items to come, compared by
    /// [`finish`](Writer::finish); `None` for a part that takes what there is.
    pub fn create(path: &Path, header: &Header, expected: Option<usize>) -> Result<Writer, ShardError> {
        layout::check_header(header)?;
        superblock::check_path("create the shard", path)?;
        // The 1.10 format, for its checksums over the format's own structures; read by h5py since 2017. No lock, since
        // network file systems refuse it and nobody else knows the file. Closing must fail if a dataset is still open.
        let file = File::with_options()
            .with_fapl(|p| p.libver_v110().file_locking(false).fclose_degree(FileCloseDegree::Semi))
            .with_fcpl(|p| p.obj_track_times(false))
            .create(path)
            .map_err(|e| ShardError::library("create the shard", &e))?;
        let columns = header.columns.iter().map(Growing::new).collect();
        let (items, ids) = (Vec::new(), HashSet::new());
        Ok(Writer { columns, file, header: header.clone(), expected, items, ids, rows: 0, broken: false })
    }

    /// Number of items so far.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no items so far.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds the next item. An item that is refused leaves the shard as it was; after a failed write it cannot be finished.
    pub fn push(&mut self, entry: Entry<'_>) -> Result<(), ShardError> {
        if self.broken {
            return Err(ShardError::Broken);
        }
        let id = entry.id.to_owned();
        layout::check_id(&id)?;
        if self.ids.contains(&id) {
            return Err(ShardError::DuplicateId { id });
        }
        let (digest, outcome) = match entry.outcome {
            Ok(rows) => {
                check_rows(&id, &self.header.columns, rows)?;
                for (column, values) in self.columns.iter_mut().zip(&rows.columns) {
                    if let Err(error) = column.push(&self.file, rows.len, &values.values) {
                        self.broken = true;
                        return Err(ShardError::library(WRITE, &error));
                    }
                }
                let start = self.rows;
                self.rows += rows.len;
                (digest::of_rows(rows), Ok(start..self.rows))
            }
            Err(Failure { cause, message }) => {
                let message = layout::stored_message(message);
                (digest::of_rows(&no_rows(&self.header.columns)), Err(Failure { cause: *cause, message }))
            }
        };
        self.ids.insert(id.clone());
        self.items.push(ItemRecord { id, key: entry.key, content: entry.content, digest, outcome });
        Ok(())
    }

    /// Writes what is left, and closes the file. Syncing and renaming it is up to the caller.
    pub fn finish(self) -> Result<(), ShardError> {
        if self.broken {
            return Err(ShardError::Broken);
        }
        if let Some(expected) = self.expected
            && expected != self.items.len()
        {
            return Err(ShardError::Incomplete { expected, pushed: self.items.len() });
        }
        self.complete().map_err(|e| ShardError::library(WRITE, &e))
    }

    fn complete(self) -> hdf5::Result<()> {
        let Writer { columns, file, header, items, .. } = self;
        for column in columns {
            column.finish(&file)?;
        }
        table::write(&file, &items)?;

        let names: Vec<&str> = header.columns.iter().map(|spec| spec.name.as_str()).collect();
        text::write_attribute(&file, "schema", layout::SCHEMA)?;
        text::write_number(&file, "schema_version", layout::SCHEMA_VERSION)?;
        text::write_attribute(&file, "stage", &header.stage)?;
        text::write_number(&file, "stage_version", header.version)?;
        text::write_attribute(&file, "key_template", &header.key_template)?;
        text::write_attribute(&file, "columns", &names.join(","))?;
        if let Some((index, count)) = header.position {
            text::write_number(&file, "shard_index", index)?;
            text::write_number(&file, "shard_count", count)?;
        }
        for (name, value) in &header.attributes {
            text::write_attribute(&file, name, value)?;
        }
        file.flush()?; // a full disk is reported here, closing alone may not
        file.close()
    }
}

/// One column while it is written.
#[derive(Debug)]
struct Growing {
    spec: ColumnSpec,
    chunk_rows: usize,
    /// Exists from the first full chunk on. Before, its chunk size is not known: a shard smaller than a chunk gets a smaller one.
    dataset: Option<Dataset>,
    /// Rows in the file.
    written: usize,
    /// Rows that wait: fewer than a chunk.
    waiting: usize,
    values: Values,
}

impl Growing {
    fn new(spec: &ColumnSpec) -> Self {
        Growing {
            spec: spec.clone(),
            chunk_rows: layout::chunk_rows(layout::row_bytes(spec)),
            dataset: None,
            written: 0,
            waiting: 0,
            values: element::empty(spec.element),
        }
    }

    fn push(&mut self, file: &File, rows: usize, values: &Values) -> hdf5::Result<()> {
        let width = self.spec.width.unwrap_or(1);
        let mut at = 0;
        while at < rows {
            let take = (rows - at).min(self.chunk_rows - self.waiting);
            let range = at * width..(at + take) * width;
            at += take;
            if take == self.chunk_rows {
                self.write_chunk(file, values, range)?;
                continue;
            }
            element::append(&mut self.values, values, range);
            self.waiting += take;
            if self.waiting == self.chunk_rows {
                let mut full = std::mem::replace(&mut self.values, element::empty(self.spec.element));
                self.write_chunk(file, &full, 0..full.len())?;
                element::clear(&mut full);
                self.values = full;
                self.waiting = 0;
            }
        }
        Ok(())
    }

    fn write_chunk(&mut self, file: &File, values: &Values, range: std::ops::Range<usize>) -> hdf5::Result<()> {
        let dataset = match self.dataset.take() {
            Some(dataset) => dataset,
            None => self.create(file, Extent0::Growing)?,
        };
        let result = append_rows(&dataset, &self.spec, self.written, values, range);
        self.dataset = Some(dataset);
        self.written += self.chunk_rows;
        result
    }

    fn finish(mut self, file: &File) -> hdf5::Result<()> {
        let all = 0..self.values.len();
        match self.dataset.take() {
            Some(dataset) if self.waiting > 0 => append_rows(&dataset, &self.spec, self.written, &self.values, all),
            Some(_) => Ok(()),
            None => {
                let dataset = self.create(file, Extent0::Final(self.waiting))?;
                element::write(&dataset, 0, self.spec.width, &self.values, all)
            }
        }
    }

    fn create(&self, file: &File, rows: Extent0) -> hdf5::Result<Dataset> {
        let kind = element::descriptor(self.spec.element);
        create(file, &self.spec.name, &kind, (rows, self.spec.width), self.chunk_rows, &self.spec.unit)
    }
}

/// Grows a dataset by `values[range]`.
fn append_rows(
    dataset: &Dataset,
    spec: &ColumnSpec,
    written: usize,
    values: &Values,
    range: std::ops::Range<usize>,
) -> hdf5::Result<()> {
    let rows = written + range.len() / spec.width.unwrap_or(1);
    match spec.width {
        None => dataset.resize(rows)?,
        Some(width) => dataset.resize((rows, width))?,
    }
    element::write(dataset, written, spec.width, values, range)
}

/// The rows of an item that has none.
fn no_rows(columns: &[ColumnSpec]) -> Rows {
    let columns = columns
        .iter()
        .map(|spec| contract::Column {
            name: spec.name.clone(),
            width: spec.width,
            values: element::empty(spec.element),
        })
        .collect();
    Rows { len: 0, columns }
}

/// Compares rows with the declared columns.
fn check_rows(id: &str, columns: &[ColumnSpec], rows: &Rows) -> Result<(), ShardError> {
    let mismatch = |reason: String| Err(ShardError::Mismatch { id: id.to_owned(), reason });
    if rows.columns.len() != columns.len() {
        return mismatch(format!("{} columns, the shard has {}", rows.columns.len(), columns.len()));
    }
    for (spec, column) in columns.iter().zip(&rows.columns) {
        let found = (&column.name, column.width, column.values.element());
        if found != (&spec.name, spec.width, spec.element) {
            return mismatch(format!("column {found:?}, the shard has {:?}", (&spec.name, spec.width, spec.element)));
        }
        if Some(column.values.len()) != rows.len.checked_mul(spec.width.unwrap_or(1)) {
            let (values, len) = (column.values.len(), rows.len);
            return mismatch(format!("column {:?} has {values} values in {len} rows", spec.name));
        }
    }
    Ok(())
}
