//! Published shards to the formats of others, clip by clip, in the order of the shards.
//!
//! Only what is published is exported, and a set with a missing shard is refused unless `partial` is asked for: a training set with a hole
//! looks like a whole one. Items that failed have no values; they are counted, not invented. The output appears whole under its name or not at
//! all. Memory: one clip (HDF5, npy) or one shard (Parquet).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use contract::{Failure, Rows, Values};
use shard::per_clip::PerClipWriter;
use shard::{Header, Shard};

use crate::error::{Error, IoContext, Result, ShardContext};
use crate::exchange::npy::NpyWriter;
use crate::exchange::parquet::ParquetWriter;
use crate::store::WorkDir;
use crate::store::layout::{parse_shard_name, shard_name};
use crate::store::publish::{publish, publish_folder};
use crate::ui::plural;

/// The stages that can be exported.
pub const STAGES: [&str; 2] = [log_mel::DECL.id, encode_clip::DECL.id];

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One HDF5 dataset per clip.
    PerClip,
    /// A folder of `.npy` files.
    Npy,
    /// A Parquet file.
    Parquet,
}

impl Format {
    /// By the extension of the output: `h5` or `hdf5`, `parquet`, or none for a folder.
    pub fn of(out: &Path) -> Option<Format> {
        match out.extension().and_then(|e| e.to_str()) {
            Some("h5" | "hdf5") => Some(Format::PerClip),
            Some("parquet") => Some(Format::Parquet),
            Some(_) => None,
            None => out.file_name().map(|_| Format::Npy),
        }
    }
}

/// What is to be exported.
#[derive(Debug)]
pub struct Request<'a> {
    /// The stage.
    pub stage: &'static str,
    /// The file or folder; it must not exist.
    pub out: &'a Path,
    /// Ids of the items, where not all are wanted.
    pub only: Option<&'a BTreeSet<String>>,
    /// Export what there is although shards are missing.
    pub partial: bool,
}

/// What was exported.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Items with values.
    pub items: usize,
    /// Their rows.
    pub rows: usize,
    /// Items without values, and why.
    pub failed: Vec<(String, Failure)>,
    /// Names of shards that are not there.
    pub missing: Vec<String>,
    /// Ids that were wanted and are in no shard.
    pub absent: Vec<String>,
}

/// Exports the published shards of a stage.
pub fn export(work: &WorkDir, request: &Request<'_>) -> Result<Exported> {
    let Request { stage, out, .. } = *request;
    let format = Format::of(out).ok_or_else(|| {
        let extension = out.extension().unwrap_or_default().display().to_string();
        Error::Usage(format!(
            "--out {}: `.{extension}` is no format; write NAME.h5 (a dataset per clip), NAME.parquet, or a folder (npy)",
            out.display()
        ))
    })?;
    if out.symlink_metadata().is_ok() {
        return Err(Error::Usage(format!(
            "--out {}: it exists already; remove it or choose another name",
            out.display()
        )));
    }
    let (shards, missing) = published(work, stage)?;
    if !missing.is_empty() && !request.partial {
        let shown: Vec<&str> = missing.iter().take(5).map(String::as_str).collect();
        let dots = if missing.len() > shown.len() { ", …" } else { "" };
        return Err(refuse(
            stage,
            format!(
                "{} of {} are missing ({}{dots}): run `pipeline run {stage}`, or export what there is with --partial",
                plural(missing.len(), "shard"),
                shards.len() + missing.len(),
                shown.join(", ")
            ),
        ));
    }
    let mut exported = Exported { missing, ..Exported::default() };
    match format {
        Format::PerClip => publish(out, |temporary| {
            let mut sink = PerClipSink::new(stage, temporary)?;
            copy(&shards, request, &mut sink, &mut exported)?;
            sink.writer.finish().in_shard(out)
        }),
        Format::Parquet => publish(out, |temporary| {
            let header = Shard::open(&shards[0]).in_shard(&shards[0])?.header().clone();
            let mut sink = ParquetWriter::create(temporary, &header.columns)?;
            copy(&shards, request, &mut sink, &mut exported)?;
            sink.finish()
        }),
        Format::Npy => publish_folder(out, |temporary| {
            let header = Shard::open(&shards[0]).in_shard(&shards[0])?.header().clone();
            let mut sink = NpySink::new(temporary, &header)?;
            copy(&shards, request, &mut sink, &mut exported)?;
            sink.finish()
        }),
    }?;
    Ok(exported)
}

/// Takes the clips one by one.
pub(super) trait Sink {
    /// A clip with values.
    fn clip(&mut self, id: &str, rows: &Rows) -> Result<()>;
    /// The clips of a shard are through.
    fn end_of_shard(&mut self) -> Result<()> {
        Ok(())
    }
}

fn copy(shards: &[PathBuf], request: &Request<'_>, sink: &mut dyn Sink, exported: &mut Exported) -> Result<()> {
    let mut first: Option<Header> = None;
    let mut absent: BTreeSet<&String> = request.only.into_iter().flatten().collect();
    for path in shards {
        let shard = Shard::open(path).in_shard(path)?;
        let mut header = shard.header().clone();
        header.position = None;
        match &first {
            Some(first) if *first != header => {
                let message =
                    format!("{} was made in another way than the shard before it: run it again", path.display());
                return Err(refuse(request.stage, message));
            }
            _ => first = Some(header),
        }
        for (position, item) in shard.items().iter().enumerate() {
            absent.remove(&item.id);
            if request.only.is_some_and(|only| !only.contains(&item.id)) {
                continue;
            }
            match &item.outcome {
                Ok(range) => {
                    sink.clip(&item.id, &shard.rows(position).in_shard(path)?)?;
                    exported.items += 1;
                    exported.rows += range.len();
                }
                Err(failure) => exported.failed.push((item.id.clone(), failure.clone())),
            }
        }
        sink.end_of_shard()?;
    }
    exported.absent = absent.into_iter().cloned().collect();
    Ok(())
}

/// The shards of a stage in order, and the names of those that are not there.
fn published(work: &WorkDir, stage: &'static str) -> Result<(Vec<PathBuf>, Vec<String>)> {
    let folder = work.stage(stage);
    let none = || refuse(stage, format!("{} has no shards: run `pipeline run {stage}` first", folder.display()));
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(none()),
        entries => entries.at("list", &folder)?,
    };
    let mut found = BTreeSet::new();
    for entry in entries {
        found.extend(entry.at("list", &folder)?.file_name().to_str().and_then(parse_shard_name));
    }
    let counts: BTreeSet<usize> = found.iter().map(|(_, count)| *count).collect();
    match Vec::from_iter(counts)[..] {
        [] => Err(none()),
        [count] => {
            let (there, missing): (Vec<usize>, Vec<usize>) = (0..count).partition(|k| found.contains(&(*k, count)));
            let path = |k: &usize| folder.join(shard_name(*k, count));
            Ok((there.iter().map(path).collect(), missing.iter().map(|k| shard_name(*k, count)).collect()))
        }
        ref several => Err(refuse(
            stage,
            format!("its shards are of {several:?} each, a run was interrupted: `pipeline run {stage}` finishes it"),
        )),
    }
}

fn refuse(stage: &'static str, message: String) -> Error {
    Error::Stage { stage, message }
}

/// Values as f32, whatever they are stored as.
pub(super) fn to_f32(values: &Values) -> Vec<f32> {
    match values {
        Values::F32(v) => v.clone(),
        Values::F16(v) => v.iter().map(|x| x.to_f32()).collect(),
        Values::F64(v) => v.iter().map(|x| *x as f32).collect(),
        Values::I64(v) => v.iter().map(|x| *x as f32).collect(),
        Values::U8(v) => v.iter().map(|x| f32::from(*x)).collect(),
    }
}

/// One dataset per clip.
struct PerClipSink {
    writer: PerClipWriter,
    path: PathBuf,
    column: &'static str,
    /// `[rows, width]` in the shard, `[width, rows]` in the file.
    transposed: bool,
}

impl PerClipSink {
    fn new(stage: &str, path: &Path) -> Result<Self> {
        let is_sound = stage == log_mel::DECL.id;
        let column = if is_sound { "log_mel" } else { "embedding" };
        let writer = PerClipWriter::create(path).in_shard(path)?;
        Ok(PerClipSink { writer, path: path.to_path_buf(), column, transposed: is_sound })
    }
}

impl Sink for PerClipSink {
    fn clip(&mut self, id: &str, rows: &Rows) -> Result<()> {
        let column = rows.column(self.column).ok_or_else(|| Error::Internal(format!("no column {}", self.column)))?;
        let width = column.width.unwrap_or(1);
        let values = to_f32(&column.values);
        if self.transposed {
            let turned = transpose(&values, rows.len, width);
            self.writer.push(id, width, rows.len, &turned).in_shard(&self.path)
        } else {
            self.writer.push(id, rows.len, width, &values).in_shard(&self.path)
        }
    }
}

/// `[rows, columns]` to `[columns, rows]`.
pub(super) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut turned = vec![0.0; values.len()];
    for (r, row) in values.chunks_exact(columns.max(1)).enumerate() {
        for (c, value) in row.iter().enumerate() {
            turned[c * rows + r] = *value;
        }
    }
    turned
}

/// `ids.txt`, `offsets.npy`, and a matrix per column.
struct NpySink {
    folder: PathBuf,
    ids: String,
    offsets: Vec<i64>,
    columns: Vec<(PathBuf, NpyWriter)>,
}

impl NpySink {
    fn new(folder: &Path, header: &Header) -> Result<Self> {
        let columns = header.columns.iter().map(|column| {
            let path = folder.join(format!("{}.npy", column.name));
            let writer = NpyWriter::create(&path, column.element, column.width).at("write", &path)?;
            Ok((path, writer))
        });
        let columns = columns.collect::<Result<_>>()?;
        Ok(NpySink { folder: folder.to_path_buf(), ids: String::new(), offsets: vec![0], columns })
    }

    fn finish(self) -> Result<()> {
        for (path, writer) in self.columns {
            writer.finish().at("write", &path)?;
        }
        let path = self.folder.join("offsets.npy");
        let mut offsets = NpyWriter::create(&path, contract::Element::I64, None).at("write", &path)?;
        offsets.push(&Values::I64(self.offsets)).and_then(|()| offsets.finish()).at("write", &path)?;
        let path = self.folder.join("ids.txt");
        std::fs::write(&path, self.ids).at("write", &path)
    }
}

impl Sink for NpySink {
    fn clip(&mut self, id: &str, rows: &Rows) -> Result<()> {
        for ((path, writer), column) in self.columns.iter_mut().zip(&rows.columns) {
            writer.push(&column.values).at("write", path)?;
        }
        self.ids += id;
        self.ids.push('\n');
        let end = self.offsets.last().expect("begins with 0") + rows.len as i64;
        self.offsets.push(end);
        Ok(())
    }
}
