//! The files of the digest cache: tables, each written once and never again, so that no process can lose what another has hashed.
//!
//! Who has hashed something publishes it as a segment under a name that nobody else has; readers take all segments together. So that these
//! stay few, a process puts what it has read of smaller ones into its own, and removes theirs once its own has its name: at no instant is an
//! entry in neither. Two that do so at once publish some entries twice, and who reads both puts them together.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::table::Table;

/// How often the folder is listed again because files went between being listed and being read.
const LISTINGS: usize = 10;

/// A segment, or several that were put together when they were read.
#[derive(Debug)]
pub(super) struct Segment {
    /// What it holds.
    pub(super) table: Table,
    /// Where that lies.
    pub(super) files: Vec<PathBuf>,
}

impl Segment {
    /// Reads the folder. A missing file is an empty one, and so is what cannot be read, is damaged or of another version.
    pub(super) fn read_all(folder: &Path) -> Vec<Segment> {
        let mut found = BTreeMap::new();
        for _ in 0..LISTINGS {
            let mut all_there = true;
            for path in list(folder) {
                if found.contains_key(&path) {
                    continue;
                }
                match fs::read(&path) {
                    // One that says nothing goes like any other that is small.
                    Ok(bytes) => drop(found.insert(path, Table::parse(bytes).unwrap_or_default())),
                    // Another process has put it into its own, which the next listing shows.
                    Err(error) => all_there &= error.kind() != ErrorKind::NotFound,
                }
            }
            if all_there {
                break;
            }
        }
        let segments = found.into_iter().map(|(path, table)| Segment { table, files: vec![path] });
        together(segments.collect())
    }

    /// Whether it lies in one file, as it should.
    pub(super) fn is_one_file(&self) -> bool {
        self.files.len() == 1
    }

    fn join(group: Vec<Segment>) -> Segment {
        let entries = group.iter().flat_map(|segment| segment.table.iter()).collect();
        Segment { table: Table::of(entries), files: group.into_iter().flat_map(|segment| segment.files).collect() }
    }
}

/// Whether a segment is worth being put together with `others` entries. Large ones are left where they are until there is about as much
/// beside them: so an entry is written again a few times in all, and there are never many segments to look into.
pub(super) fn is_small_beside(segment: &Segment, others: usize) -> bool {
    segment.table.len() <= 2 * others
}

/// Joins segments of about the same size.
fn together(mut segments: Vec<Segment>) -> Vec<Segment> {
    segments.sort_by_key(|segment| segment.table.len());
    let mut groups: Vec<Vec<Segment>> = Vec::new();
    let mut entries = 0;
    for segment in segments {
        let is_small = is_small_beside(&segment, entries);
        if let Some(group) = groups.last_mut().filter(|_| is_small) {
            entries += segment.table.len();
            group.push(segment);
        } else {
            entries = segment.table.len();
            groups.push(vec![segment]);
        }
    }
    let join = |mut group: Vec<Segment>| if group.len() == 1 { group.remove(0) } else { Segment::join(group) };
    groups.into_iter().map(join).collect()
}

/// The files under their final names.
fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".")).map(|entry| entry.path()).collect()
}
