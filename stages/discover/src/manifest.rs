//! A manifest: what a data set is, in TOML, and its items in a table beside it.
//!
//! ```toml
//! name = "…"                      # required
//! description = "…"               # description, licence, source: for people
//! obtain = "make demo"            # how to get the media; shown where they are missing
//! root = "$MEDIA/birds"           # what media paths are relative to; itself relative to the manifest
//! table = "birds.csv"             # relative to the manifest
//! classes = ["wren", "robin"]     # optional: the order of the classes, and the only ones there may be
//! ```
//!
//! The table is separated by commas or tabs and has a header with `id`, `video`, `audio`, `label`, `group`, `city`, `split` in any order; `id` and one of `video` and `audio`
//! are required, an empty field is an absent value. A small data set can have `[[item]]`s with the same keys instead of a table, and a
//! folder that describes itself has `layout = "folder"` or `layout = "tau-2021"`. `[[archive]]`s (`name`, `bytes`, `md5`, `url`) are what
//! `pipeline data fetch` downloads ([`archives`]).
//!
//! `features_only = true` says that there are no media here, only features that others extracted (`pipeline import`): items then need no
//! `video` and no `audio`, and `root` may be absent.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::rows::{self, COLUMNS, Draft, Row};
use crate::{About, DiscoverError, Origin, Problem, name_of, scan, tau};

const KEYS: [&str; 12] = [
    "name",
    "description",
    "licence",
    "source",
    "obtain",
    "root",
    "table",
    "layout",
    "classes",
    "features_only",
    "item",
    "archive",
];
const ARCHIVE_KEYS: [&str; 4] = ["name", "bytes", "md5", "url"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    description: Option<String>,
    licence: Option<String>,
    source: Option<String>,
    obtain: Option<String>,
    root: Option<String>,
    table: Option<String>,
    layout: Option<Layout>,
    classes: Option<Vec<String>>,
    #[serde(default)]
    features_only: bool,
    #[serde(default)]
    item: Vec<Spanned<Row>>,
    #[serde(default)]
    archive: Vec<Archive>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Layout {
    Folder,
    #[serde(rename = "tau-2021")]
    Tau2021,
}

/// One file of a download.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// File name, without folders.
    pub name: String,
    /// Size, where it is known.
    pub bytes: Option<u64>,
    /// MD5 of its content, 32 hexadecimal digits, where it is known.
    pub md5: Option<String>,
    /// Where it is published.
    pub url: Option<String>,
}

/// What a manifest says of getting its media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// Name of the data set.
    pub name: String,
    /// On what terms it may be used.
    pub licence: Option<String>,
    /// Where the media belong; it need not exist yet. `None`: the manifest names an environment variable that is not set.
    pub root: Option<PathBuf>,
    /// The files, in the order of the manifest.
    pub archives: Vec<Archive>,
}

/// The archives of the manifest `file`; neither its table nor its media need to exist.
pub fn archives(file: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Download, DiscoverError> {
    let text = read_text(file)?;
    let manifest = parse(file, &text)?;
    for archive in &manifest.archive {
        let line = line_containing(&text, &archive.name);
        let fail =
            |why| Err(DiscoverError::new(name_of(file), line, Problem::Archive { name: archive.name.clone(), why }));
        let plain = Path::new(&archive.name).file_name().is_some_and(|name| name.to_str() == Some(&archive.name));
        if !plain || archive.name.starts_with('.') {
            return fail("must be a plain file name");
        }
        if archive.md5.as_ref().is_some_and(|md5| md5.len() != 32 || !md5.bytes().all(|b| b.is_ascii_hexdigit())) {
            return fail("has an md5 that is not 32 hexadecimal digits");
        }
        if manifest.archive.iter().filter(|other| other.name == archive.name).count() > 1 {
            return fail("is listed twice");
        }
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let root = match manifest.root.as_ref().map(|root| expand(root, variable)) {
        None | Some(Err(Problem::Unset(_))) => None,
        Some(Ok(root)) => Some(folder.join(root)),
        Some(Err(problem)) => return Err(DiscoverError::new(name_of(file), line_of(&text, "root"), problem)),
    };
    Ok(Download { name: manifest.name, licence: manifest.licence, root, archives: manifest.archive })
}

fn read_text(file: &Path) -> Result<String, DiscoverError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| DiscoverError::new(name_of(file), None, Problem::from_io(&error)))?;
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
}

fn parse(file: &Path, text: &str) -> Result<Manifest, DiscoverError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_at(text, span.start));
        DiscoverError::new(name_of(file), line, syntax(error.message()))
    })
}

/// The line of a byte position.
fn line_at(text: &str, offset: usize) -> u64 {
    1 + text[..offset].bytes().filter(|&b| b == b'\n').count() as u64
}

/// The line that sets this key.
fn line_of(text: &str, key: &str) -> Option<u64> {
    let is_key = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
    text.lines().position(is_key).map(|index| index as u64 + 1)
}

/// The first line with this string in quotes.
fn line_containing(text: &str, value: &str) -> Option<u64> {
    let quoted = format!("\"{value}\"");
    text.lines().position(|line| line.contains(&quoted)).map(|index| index as u64 + 1)
}

/// Reads the manifest `file` and its table. `variable` looks up environment variables.
pub(crate) fn read(file: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Draft, DiscoverError> {
    let name = name_of(file);
    let fail = |line, problem| DiscoverError::new(name.clone(), line, problem);
    let text = read_text(file)?;
    let line_at = |offset: usize| line_at(&text, offset);
    let line_of = |key: &str| line_of(&text, key);
    let manifest = parse(file, &text)?;
    let used = RefCell::new(Vec::new());
    let variable = &|name: &str| {
        let value = variable(name)?;
        used.borrow_mut().push((name.to_owned(), value.clone()));
        Some(value)
    };
    let needs_media = !manifest.features_only;
    if needs_media && manifest.root.is_none() {
        return Err(fail(Some(1), Problem::NoRoot));
    }

    let folder = file.parent().unwrap_or(Path::new(""));
    let resolve = |key: &str, written: &str| -> Result<PathBuf, DiscoverError> {
        let path = expand(written, variable).map_err(|problem| fail(line_of(key), problem))?;
        Ok(folder.join(path))
    };
    let missing = |key: &str, what, path: &Path| {
        fail(line_of(key), Problem::PartNotFound { what, name: name_of(path), obtain: manifest.obtain.clone() })
    };
    let sources = [manifest.table.is_some(), manifest.layout.is_some(), !manifest.item.is_empty()];
    let named = sources.into_iter().filter(|&named| named).count();
    if named != 1 {
        return Err(fail(None, Problem::Sources(named)));
    }
    if let Some(classes) = &manifest.classes
        && let Some(twice) = classes.iter().enumerate().find(|(n, class)| classes[..*n].contains(class))
    {
        return Err(fail(line_of("classes"), Problem::DuplicateClass(twice.1.clone())));
    }
    let root = match &manifest.root {
        Some(root) => resolve("root", root)?,
        None => folder.to_owned(),
    };
    let table = manifest.table.as_ref().map(|table| resolve("table", table)).transpose()?;
    // The table first: where neither exists, it is what the user has to make.
    if let Some(table) = &table
        && !table.exists()
    {
        return Err(missing("table", "the table", table));
    }
    if needs_media && !root.is_dir() {
        return Err(missing("root", "the root folder", &root));
    }

    let classes = manifest.classes.as_deref();
    let lists_items = manifest.layout.is_none();
    let files = [Some(file.to_owned()), table.clone()].into_iter().flatten().collect();
    let mut draft = match (table, manifest.layout) {
        (Some(table), _) => {
            let rows = read_table(&table, needs_media)?;
            Draft { items: rows::items(rows, &root, classes, needs_media, &name_of(&table))?, ..Draft::default() }
        }
        (None, Some(Layout::Folder)) => scan::folder(&root)?,
        (None, Some(Layout::Tau2021)) => match tau::find(&root)? {
            Some(tables) => tau::read(&root, &tables)?,
            None => return Err(fail(line_of("root"), Problem::NotTau)),
        },
        (None, None) => {
            let numbered = |row: Spanned<Row>| {
                let line = line_at(row.span().start);
                Row { line, ..row.into_inner() }
            };
            let rows = manifest.item.into_iter().map(numbered).collect();
            Draft { items: rows::items(rows, &root, classes, needs_media, &name)?, ..Draft::default() }
        }
    };
    draft.name = manifest.name;
    draft.about = About { description: manifest.description, licence: manifest.licence, source: manifest.source };
    draft.classes = manifest.classes;
    draft.origin = lists_items.then(|| Origin { files, variables: used.into_inner() });
    Ok(draft)
}

/// The rows of a comma or tab separated table.
fn read_table(file: &Path, needs_media: bool) -> Result<Vec<Row>, DiscoverError> {
    let mut table = Table::open(file)?;
    if let Some(unknown) = table.header.iter().find(|column| !COLUMNS.contains(&column.as_str())) {
        return Err(table.fail(1, Problem::unknown("column", unknown, &COLUMNS)));
    }
    let id = table.require("id")?;
    let column = COLUMNS.map(|name| table.column(name));
    if needs_media && column[1].is_none() && column[2].is_none() {
        return Err(
            table.fail(1, Problem::MissingColumn { column: "video` or `audio", found: table.header.join(", ") })
        );
    }
    let (mut rows, mut record) = (Vec::new(), Record::default());
    while let Some(line) = table.read(&mut record)? {
        let field = |index: Option<usize>| index.and_then(|index| record.get(index)).unwrap_or_default().to_owned();
        rows.push(Row {
            line,
            id: field(Some(id)),
            video: field(column[1]),
            audio: field(column[2]),
            label: field(column[3]),
            group: field(column[4]),
            city: field(column[5]),
            split: field(column[6]),
        });
    }
    if rows.is_empty() {
        return Err(DiscoverError::new(name_of(file), None, Problem::Empty));
    }
    Ok(rows)
}

/// A line of a table. Its fields come without the space around them.
#[derive(Default)]
pub(crate) struct Record(csv::StringRecord);

impl Record {
    fn get(&self, column: usize) -> Option<&str> {
        // Not by the reader, which makes another record of each.
        self.0.get(column).map(str::trim)
    }
}

impl std::ops::Index<usize> for Record {
    type Output = str;

    fn index(&self, column: usize) -> &str {
        self.0[column].trim()
    }
}

/// A table being read: knows its header and the line it is at.
pub(crate) struct Table {
    name: String,
    pub(crate) header: Vec<String>,
    reader: csv::Reader<std::fs::File>,
}

impl Table {
    /// Opens a table; it is separated by tabs if its header has one, by commas otherwise.
    pub(crate) fn open(file: &Path) -> Result<Table, DiscoverError> {
        use std::io::{BufRead, BufReader, Seek};
        let name = name_of(file);
        let fail = |error: &std::io::Error| DiscoverError::new(name_of(file), None, Problem::from_io(error));
        let mut source = std::fs::File::open(file).map_err(|error| fail(&error))?;
        let mut first = Vec::new();
        BufReader::new(&source).read_until(b'\n', &mut first).map_err(|error| fail(&error))?;
        source.rewind().map_err(|error| fail(&error))?;
        let tabs = first.contains(&b'\t');
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(if tabs { b'\t' } else { b',' })
            .quoting(!tabs)
            .trim(csv::Trim::Headers)
            .from_reader(source);
        let header = match reader.headers() {
            Ok(header) => header.iter().map(str::to_owned).collect(),
            Err(error) => return Err(csv_error(&name, &error)),
        };
        Ok(Table { name, header, reader })
    }

    pub(crate) fn fail(&self, line: u64, problem: Problem) -> DiscoverError {
        DiscoverError::new(self.name.clone(), Some(line), problem)
    }

    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }

    pub(crate) fn require(&self, column: &'static str) -> Result<usize, DiscoverError> {
        let found = self.header.join(", ");
        self.column(column).ok_or_else(|| self.fail(1, Problem::MissingColumn { column, found }))
    }

    /// Reads the next record and tells its line; `None` at the end.
    pub(crate) fn read(&mut self, record: &mut Record) -> Result<Option<u64>, DiscoverError> {
        match self.reader.read_record(&mut record.0) {
            Ok(false) => Ok(None),
            Ok(true) => Ok(Some(record.0.position().map_or(0, csv::Position::line))),
            Err(error) => Err(csv_error(&self.name, &error)),
        }
    }
}

fn csv_error(name: &str, error: &csv::Error) -> DiscoverError {
    let line = error.position().map(csv::Position::line);
    let problem = match error.kind() {
        csv::ErrorKind::Io(error) => Problem::from_io(error),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Problem::Syntax(format!("{len} fields, but the header has {expected_len}"))
        }
        csv::ErrorKind::Utf8 { .. } => Problem::Syntax("not UTF-8".to_owned()),
        _ => Problem::Syntax(error.to_string()),
    };
    DiscoverError::new(name.to_owned(), line, problem)
}

/// toml's message, with a suggestion where it is about an unknown key.
fn syntax(message: &str) -> Problem {
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    match unknown {
        // serde lists what it expected; that tells the table that the key is in.
        Some((name, rest)) if rest.contains("`obtain`") => Problem::unknown("key", name, &KEYS),
        Some((name, rest)) if rest.contains("`md5`") => Problem::unknown("key of [[archive]]", name, &ARCHIVE_KEYS),
        Some((name, _)) => Problem::unknown("key of [[item]]", name, &COLUMNS),
        None => Problem::Syntax(message.trim_end().replace('\n', "; ")),
    }
}

/// Replaces `$NAME` and `${NAME}` by environment variables.
fn expand(written: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Problem> {
    let mut expanded = String::new();
    let mut rest = written;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let (name, tail) = if let Some(braced) = after.strip_prefix('{') {
            braced.split_once('}').ok_or(Problem::Variable)?
        } else {
            after.split_at(after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len()))
        };
        if name.is_empty() {
            return Err(Problem::Variable);
        }
        expanded.push_str(&variable(name).filter(|v| !v.is_empty()).ok_or_else(|| Problem::Unset(name.to_owned()))?);
        rest = tail;
    }
    expanded.push_str(rest);
    Ok(expanded)
}
