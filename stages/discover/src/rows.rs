//! What all sources share: rows as written, the checks on them, and the data set made of them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use contract::Item;

use crate::problem::resembling;
use crate::{About, Dataset, DiscoverError, Origin, Problem, Spec, at, split};

/// The columns of a table and the keys of an `[[item]]`.
pub(crate) const COLUMNS: [&str; 7] = ["id", "video", "audio", "label", "group", "city", "split"];

/// Longest id, bytes: 255 is the limit of file names, and stages append to it (`-01.png`, temporary names).
const LONGEST_ID: usize = 200;

/// One item as a table or an `[[item]]` writes it; empty fields are absent ones.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Row {
    #[serde(skip)]
    pub(crate) line: u64,
    pub(crate) id: String,
    pub(crate) video: String,
    pub(crate) audio: String,
    pub(crate) label: String,
    pub(crate) group: String,
    pub(crate) city: String,
    pub(crate) split: String,
}

/// A data set before what its author left open is filled in.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) about: About,
    pub(crate) items: Vec<Item>,
    /// In the order that the manifest gives.
    pub(crate) classes: Option<Vec<String>>,
    pub(crate) notes: Vec<String>,
    pub(crate) origin: Option<Origin>,
}

/// Rows of `file` to items, with every check that has a line to point at.
pub(crate) fn items(
    rows: Vec<Row>,
    root: &Path,
    classes: Option<&[String]>,
    needs_media: bool,
    file: &str,
) -> Result<Vec<Item>, DiscoverError> {
    let fail = |line: u64, problem| Err(DiscoverError::new(file.to_owned(), Some(line), problem));
    // The first row whose id another has already.
    let twice = {
        let mut first_line: HashMap<&str, u64> = HashMap::with_capacity(rows.len());
        rows.iter().enumerate().find_map(|(at, row)| first_line.insert(&row.id, row.line).map(|first| (at, first)))
    };
    let mut items: Vec<Item> = Vec::with_capacity(rows.len());
    for (at, row) in rows.into_iter().enumerate() {
        if let Err(problem) = check_id(&row.id) {
            return fail(row.line, problem);
        }
        if let Some((second, first)) = twice
            && second == at
        {
            return fail(row.line, Problem::DuplicateId { id: row.id, first });
        }
        if needs_media && row.video.is_empty() && row.audio.is_empty() {
            return fail(row.line, Problem::NoMedia(row.id));
        }
        if !row.split.is_empty() && !split::NAMES.contains(&row.split.as_str()) {
            return fail(row.line, Problem::UnknownSplit(row.split));
        }
        if let Some(classes) = classes
            && !row.label.is_empty()
            && !classes.contains(&row.label)
        {
            let known: Vec<&str> = classes.iter().map(String::as_str).collect();
            let nearest = resembling(&row.label, &known);
            return fail(row.line, Problem::UnknownLabel { label: row.label, nearest });
        }
        if let Some(first) = items.first() {
            for (what, first_has, has) in [
                ("label", first.label.is_some(), !row.label.is_empty()),
                ("split", first.split.is_some(), !row.split.is_empty()),
            ] {
                if first_has != has {
                    let (without, with) = if has { (first.id.clone(), row.id) } else { (row.id, first.id.clone()) };
                    return fail(row.line, Problem::ForSomeOnly { what, without, with });
                }
            }
        }
        let text = |field: String| (!field.is_empty()).then_some(field);
        let path = |field: String| text(field).map(|field| root.join(field));
        items.push(Item {
            id: row.id,
            video: path(row.video),
            audio: path(row.audio),
            label: text(row.label),
            group: text(row.group),
            city: text(row.city),
            split: text(row.split),
        });
    }
    Ok(items)
}

/// Whether an id can name a file on any system that people use.
pub(crate) fn check_id(id: &str) -> Result<(), Problem> {
    let why = if id.is_empty() {
        return Err(Problem::EmptyId);
    } else if id.contains(['/', '\\']) {
        "holds a `/` or `\\`"
    } else if id.chars().any(char::is_control) {
        "holds a control character"
    } else if id.starts_with('.') {
        "begins with a dot, which would hide its files"
    } else if id.len() > LONGEST_ID {
        "is longer than 200 bytes"
    } else {
        return Ok(());
    };
    Err(Problem::UnsafeId { id: id.escape_debug().to_string(), why })
}

/// Fills in what the data set leaves open: groups by rule, classes, and a split by whole groups.
pub(crate) fn finish(draft: Draft, spec: &Spec, source: &Path) -> Result<Dataset, DiscoverError> {
    let Draft { name, about, mut items, classes, mut notes, origin } = draft;
    if items.is_empty() {
        return Err(at(source, Problem::Empty));
    }
    for item in &mut items {
        if item.group.is_none() && !spec.group_fields.is_empty() {
            item.group = Some(named_by(&item.id, &spec.group_fields).map_err(|problem| at(source, problem))?);
        }
        if item.city.is_none() && !spec.city_fields.is_empty() {
            item.city = Some(named_by(&item.id, &spec.city_fields).map_err(|problem| at(source, problem))?);
        }
    }
    let named: HashSet<&String> = items.iter().filter_map(|item| item.label.as_ref()).collect();
    let classes = match classes {
        None => named.into_iter().cloned().collect::<BTreeSet<String>>().into_iter().collect(),
        Some(classes) => {
            let without: Vec<&str> = classes.iter().filter(|c| !named.contains(c)).map(String::as_str).collect();
            if !without.is_empty() {
                notes.push(format!("classes without an item: {}", without.join(", ")));
            }
            classes
        }
    };
    if items.iter().any(|item| item.split.is_some()) {
        notes.extend(torn_groups(&items));
        let without = items.iter().filter(|item| item.split.is_none()).count();
        if without > 0 {
            notes.push(format!("{without} items are in no split: they get features and take no part in training"));
        }
    } else if !classes.is_empty() {
        notes.extend(split::assign(&mut items, spec.test_fraction, spec.split_seed));
    }
    let has_val = items.iter().any(|item| item.split.as_deref() == Some("val"));
    if !classes.is_empty() && !has_val && spec.val_fraction > 0.0 {
        notes.extend(split::hold_out(&mut items, spec.val_fraction, spec.split_seed));
    }
    Ok(Dataset { name, about, items, classes, notes, origin })
}

fn named_by(id: &str, fields: &[usize]) -> Result<String, Problem> {
    let parts: Vec<&str> = id.split('-').collect();
    let field = |&n: &usize| parts.get(n - 1).copied().ok_or(Problem::NoField { id: id.to_owned(), field: n });
    Ok(fields.iter().map(field).collect::<Result<Vec<_>, _>>()?.join("-"))
}

/// Groups on both sides of the data set's own split: such a test measures memory.
fn torn_groups(items: &[Item]) -> Option<String> {
    let mut sides: HashMap<&str, [bool; 2]> = HashMap::new();
    for item in items {
        if let (Some(group), Some(split)) = (&item.group, &item.split) {
            sides.entry(group).or_default()[usize::from(split == "test")] = true;
        }
    }
    let torn: Vec<&str> = sides.iter().filter(|(_, s)| s[0] && s[1]).map(|(&group, _)| group).collect();
    let first = torn.iter().min()?;
    Some(format!(
        "{} of {} groups are in the test split and outside of it, first `{first}`: the test figure will flatter",
        torn.len(),
        sides.len()
    ))
}

/// The path below the source, as text.
pub(crate) fn relative(path: &Path, root: &Path) -> Result<String, DiscoverError> {
    let below: PathBuf = path.strip_prefix(root).map_or_else(|_| path.to_owned(), Path::to_owned);
    below
        .into_os_string()
        .into_string()
        .map_err(|below| DiscoverError::new(below.to_string_lossy().into_owned(), None, Problem::NotUnicode))
}
