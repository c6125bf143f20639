//! Reading a shard.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use contract::{Column, ColumnSpec, Rows, Values};
use hdf5_metno::{self as hdf5, File, IndexType, IterationOrder, LinkType};

use crate::stored::Stored;
use crate::{Entry, Header, ItemRecord, ShardError, Writer, digest, element, layout, superblock, table, text};

/// An open shard: its header, its item table, and its rows on demand.
#[derive(Debug)]
pub struct Shard {
    // Fields are dropped in this order: datasets before their file.
    columns: Vec<Stored>,
    header: Header,
    items: Vec<ItemRecord>,
    _file: File,
}

impl Shard {
    /// Opens a shard: reads the header and the item table, and compares the datasets' shapes with both. The rows stay where they are.
    pub fn open(path: &Path) -> Result<Shard, ShardError> {
        let file_bytes = superblock::check(path)?;
        let file =
            File::with_options().with_fapl(|p| p.file_locking(false)).open(path).map_err(
                |e| match ShardError::library("open the file", &e) {
                    ShardError::Library { message, .. } => ShardError::damaged("file", message),
                    other => other,
                },
            )?;
        let (header, columns) = read_header(&file, file_bytes)?;
        let items = table::read(&file, file_bytes)?;
        let rows = items.iter().map(|item| item.outcome.as_ref().map_or(0, ExactSizeIterator::len)).sum();
        let columns = columns.into_iter().map(|c| c.expect_rows(rows)).collect::<Result<_, _>>()?;
        Ok(Shard { columns, header, items, _file: file })
    }

    /// What holds for the whole shard.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Number of items, failed ones included.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Every item in order, without its rows.
    pub fn items(&self) -> &[ItemRecord] {
        &self.items
    }

    /// The rows of item `index`, compared with their digest.
    pub fn rows(&self, index: usize) -> Result<Rows, ShardError> {
        let item = self.item(index)?;
        let range = match &item.outcome {
            Ok(range) => range.clone(),
            Err(failure) => return Err(ShardError::NoRows { id: item.id.clone(), failure: failure.clone() }),
        };
        let len = range.len();
        let mut columns = Vec::with_capacity(self.columns.len());
        for (spec, stored) in self.header.columns.iter().zip(&self.columns) {
            let values = element::read(&stored.dataset, spec.element, spec.width.is_some(), range.clone())
                .map_err(|e| ShardError::reading(&stored.name, &e))?;
            columns.push(Column { name: spec.name.clone(), width: spec.width, values });
        }
        let rows = Rows { len, columns };
        if digest::of_rows(&rows) != item.digest {
            return Err(ShardError::damaged(format!("rows of item {:?}", item.id), "they do not have their digest"));
        }
        Ok(rows)
    }

    /// A whole column: the rows of all items, `N * width` values. Fletcher-32 is checked, the items' digests are not:
    /// that is what [`check_data`](Shard::check_data) does.
    pub fn read_column(&self, name: &str) -> Result<Values, ShardError> {
        let found = self.header.columns.iter().zip(&self.columns).find(|(spec, _)| spec.name == name);
        let Some((spec, stored)) = found else {
            let known = self.header.columns.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(ShardError::NoSuchColumn { name: name.to_owned(), known });
        };
        element::read(&stored.dataset, spec.element, spec.width.is_some(), 0..stored.rows)
            .map_err(|e| ShardError::reading(&stored.name, &e))
    }

    /// Pushes item `index`, its rows or its failure, to a writer of the same columns. The rows are compared with their
    /// digest on the way.
    pub fn copy_item(&self, index: usize, writer: &mut Writer) -> Result<(), ShardError> {
        let ItemRecord { id, key, content, outcome, .. } = self.item(index)?;
        let push = |writer: &mut Writer, outcome| writer.push(Entry { id, key: *key, content: *content, outcome });
        match outcome {
            Ok(_) => push(writer, Ok(&self.rows(index)?)),
            Err(failure) => push(writer, Err(failure)),
        }
    }

    /// Checks the structure, without reading rows: ids are unique, names are those of the header, and every chunk is
    /// there. Most of it was established by [`open`](Shard::open).
    pub fn check(&self) -> Result<(), ShardError> {
        layout::check_header(&self.header)?;
        let mut ids = BTreeSet::new();
        for item in &self.items {
            layout::check_id(&item.id)?;
            if !ids.insert(item.id.as_str()) {
                return Err(ShardError::DuplicateId { id: item.id.clone() });
            }
        }
        Ok(())
    }

    /// Reads every chunk and compares the rows of every item with their digest.
    pub fn check_data(&self) -> Result<(), ShardError> {
        self.check()?;
        for (index, item) in self.items.iter().enumerate() {
            if item.outcome.is_ok() {
                self.rows(index)?;
            }
        }
        Ok(())
    }

    fn item(&self, index: usize) -> Result<&ItemRecord, ShardError> {
        self.items.get(index).ok_or(ShardError::NoSuchItem { index, len: self.items.len() })
    }
}

/// Reads the root attributes and opens the columns.
fn read_header(file: &File, file_bytes: u64) -> Result<(Header, Vec<Stored>), ShardError> {
    let root = |e: hdf5::Error| ShardError::reading("root group", &e);
    let names = file.attr_names().map_err(root)?;
    let has = |name: &str| names.iter().any(|n| n == name);
    if !has("schema") || !has("schema_version") || text::read_attribute(file, "schema")? != layout::SCHEMA {
        return Err(ShardError::NotAShard { reason: "HDF5, but it does not state the schema of a shard".to_owned() });
    }
    let found = text::read_number(file, "schema_version")?;
    if found != layout::SCHEMA_VERSION {
        return Err(ShardError::WrongSchema { found });
    }

    let listed = text::read_attribute(file, "columns")?;
    let mut expected: BTreeSet<&str> = listed.split(',').collect();
    expected.insert(layout::ITEM);
    let links = file.links(IndexType::Name, IterationOrder::Native).map_err(root)?;
    // A soft or external link would lead to rows that this file does not hold.
    if links.iter().any(|(_, link)| link.link_type != LinkType::Hard)
        || links.iter().map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>() != expected
    {
        return Err(ShardError::damaged("root group", "it does not hold what its attribute `columns` lists"));
    }

    let mut specs = Vec::new();
    let mut columns = Vec::new();
    for name in listed.split(',') {
        let stored = Stored::open(file, name, name, file_bytes)?;
        let Some(element) = element::from_descriptor(&stored.kind) else {
            return Err(ShardError::damaged(name, format!("unexpected type {}", stored.kind)));
        };
        let unit = text::read_attribute(&stored.dataset, "unit")?;
        specs.push(ColumnSpec { name: name.to_owned(), width: stored.width, element, unit });
        columns.push(stored);
    }
    let position = match (has("shard_index"), has("shard_count")) {
        (false, false) => None,
        _ => Some((text::read_number(file, "shard_index")?, text::read_number(file, "shard_count")?)),
    };
    let mut attributes = BTreeMap::new();
    for name in names.iter().filter(|name| !layout::RESERVED.contains(&name.as_str())) {
        attributes.insert(name.clone(), text::read_attribute(file, name)?);
    }
    let header = Header {
        stage: text::read_attribute(file, "stage")?,
        version: text::read_number(file, "stage_version")?,
        key_template: text::read_attribute(file, "key_template")?,
        columns: specs,
        attributes,
        position,
    };
    Ok((header, columns))
}
