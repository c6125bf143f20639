//! Features that others extracted become the shards of a stage, so that a person without the media can train and evaluate.
//!
//! The data set gives the items, their labels and splits; the files give the values by id. An id that the data set does not know is reported and left
//! out; an item that no file has becomes a failed item, as one whose media are gone. Values that are no finite numbers are refused clip by clip.
//!
//! | stage | shape of a clip in the file | in the shard |
//! |---|---|---|
//! | `log-mel` | `[n_mels, T]` (the reference's), or `[T, n_mels]` with [`Orientation::TimeMel`] | `log_mel` `[T, n_mels]` |
//! | `encode-clip` | `[N, D]`: one row per picture | `embedding` `[N, D]`, `time` as of pictures at `[extract-frames] fps` |
//! | `encode-clip` | `[D]`: one vector for the whole clip | `embedding` `[1, D]`, `time` not a number: which picture it is of is not known |

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use contract::{Cause, Column, Decl, Failure, Item, Rows, Values};
use shard::per_clip::{Features, PerClip};
use shard::{Entry, Header, Shard};

use crate::config::Config;
use crate::error::{Error, IoContext, Result, ShardContext};
use crate::exchange::export::transpose;
use crate::exchange::imported::{Imported, is_imported};
use crate::exchange::npy::Npy;
use crate::key::{Content, NO_CONTENT, canonical};
use crate::store::WorkDir;
use crate::store::index::Index;
use crate::store::layout::shard_name;
use crate::store::publish::{publish, remove};

/// Order of the axes of a spectrogram in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Orientation {
    /// `[n_mels, T]`, as the reference example and librosa have it.
    #[default]
    MelTime,
    /// `[T, n_mels]`.
    TimeMel,
}

/// What is to be imported.
#[derive(Debug)]
pub struct Request<'a> {
    /// The stage whose values they are: `log-mel` or `encode-clip`.
    pub decl: &'static Decl,
    /// HDF5 files of one dataset per clip, or one `.npy` matrix.
    pub files: &'a [PathBuf],
    /// For a matrix: a text file with one id per clip.
    pub ids: Option<&'a Path>,
    /// For a matrix with several rows per clip: `[M + 1]` integers.
    pub offsets: Option<&'a Path>,
    /// Order of the axes, for `log-mel`.
    pub orientation: Orientation,
}

/// What was imported.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Items with values.
    pub items: usize,
    /// Items without, and why.
    pub failed: Vec<(String, Failure)>,
    /// Ids in the files that the data set does not know, and names that are no features.
    pub unknown: Vec<String>,
    /// Values per row.
    pub width: usize,
}

/// Imports the values of a stage for these items. `progress` is told how many items are through.
pub fn import(
    config: &Config,
    items: &[Item],
    work: &WorkDir,
    request: &Request<'_>,
    progress: &dyn Fn(usize),
) -> Result<Outcome> {
    let Request { decl, .. } = *request;
    let mut sources = Sources::open(request)?;
    let shaping = Shaping::new(config, request)?;
    let known: BTreeSet<&str> = items.iter().map(|item| item.id.as_str()).collect();
    let mut outcome = Outcome { unknown: sources.unknown(&known), ..Outcome::default() };

    // The first clip is judged before anything is touched: what is wrong with it is usually wrong with all.
    let Some(first) = items.iter().find(|item| sources.has(&item.id)) else {
        let shown: Vec<&str> = outcome.unknown.iter().take(3).map(String::as_str).collect();
        return Err(refuse(
            decl.id,
            format!(
                "no id of {} is in the data set; there are {} (ids are the names of the files without extension, such as {})",
                sources.names().join(", "),
                shown.join(", "),
                items.first().map_or("airport-lisbon-1000-40000", |item| &item.id)
            ),
        ));
    };
    let width = sources
        .read(&first.id)
        .and_then(|features| shaping.width(&features))
        .map_err(|failure| refuse(decl.id, format!("{}: {}", first.id, failure.message)))?;
    outcome.width = width;

    refuse_computed(work, decl.id)?;
    let mut record = Imported::new(decl, sources.names(), width, shaping.unit.clone());
    let template = record.template(decl.id)?;
    record.publish(work, decl.id)?;
    let preimage = template.value();
    let header = Header {
        stage: decl.id.to_string(),
        version: decl.version,
        key_template: template.text().to_string(),
        columns: record.columns(decl),
        attributes: BTreeMap::from([
            ("tool".to_string(), format!("pipeline {}", env!("CARGO_PKG_VERSION"))),
            ("parameters".to_string(), canonical(&preimage["params"])),
            ("facts".to_string(), canonical(&preimage["facts"])),
        ]),
        position: None,
    };
    let count = items.len().div_ceil(config.store.shard_size);
    for (k, members) in items.chunks(config.store.shard_size).enumerate() {
        let path = work.shard(decl.id, k, count);
        let header = Header { position: Some((k as u32, count as u32)), ..header.clone() };
        publish(&path, |temporary| {
            let mut writer = shard::Writer::create(temporary, &header, Some(members.len())).in_shard(&path)?;
            for item in members {
                let value = sources.read(&item.id).and_then(|features| shaping.rows(features, width));
                // A disk that cannot be read says nothing of the features: not recorded as if it did.
                if let Err(failure) = value.as_ref()
                    && failure.cause.is_transient()
                {
                    return Err(refuse(decl.id, format!("{}: {}", item.id, failure.message)));
                }
                let content = match &value {
                    Ok(rows) => digest(rows),
                    Err(failure) if failure.cause == Cause::Missing => NO_CONTENT,
                    Err(failure) => *blake3::hash(failure.to_string().as_bytes()).as_bytes(),
                };
                let entry = Entry { id: &item.id, key: template.key(&content), content, outcome: value.as_ref() };
                writer.push(entry).in_shard(&path)?;
                match value {
                    Ok(_) => outcome.items += 1,
                    Err(failure) => outcome.failed.push((item.id.clone(), failure)),
                }
            }
            writer.finish().in_shard(&path)?;
            Shard::open(temporary).and_then(|shard| shard.check()).in_shard(&path)
        })?;
        progress(((k + 1) * config.store.shard_size).min(items.len()));
    }
    remove_others(work, decl.id, count)?;
    (record.items, record.finished) = (outcome.items, true);
    record.publish(work, decl.id)?;
    let index = Index::open(work, decl.id, false)?;
    if index.is_changed() {
        index.save()?;
    }
    Ok(outcome)
}

/// A folder with computed values is not written over.
fn refuse_computed(work: &WorkDir, stage: &'static str) -> Result<()> {
    let computed = Index::open(work, stage, false)?.files.iter().filter(|file| !is_imported(&file.template)).count();
    if computed == 0 {
        return Ok(());
    }
    Err(refuse(
        stage,
        format!(
            "{} holds values that this program computed: import into another work directory (--work), or remove that folder and {}",
            work.stage(stage).display(),
            work.parts(stage).display()
        ),
    ))
}

/// Removes shards and parts of earlier imports, which were cut otherwise.
fn remove_others(work: &WorkDir, stage: &str, count: usize) -> Result<()> {
    let current: BTreeSet<PathBuf> = (0..count).map(|k| work.stage(stage).join(shard_name(k, count))).collect();
    for file in Index::open(work, stage, false)?.files {
        if !current.contains(&file.path) {
            remove(&file.path)?;
        }
    }
    Ok(())
}

/// BLAKE3 over the number of rows and every value.
fn digest(rows: &Rows) -> Content {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(rows.len as u64).to_le_bytes());
    for column in &rows.columns {
        match &column.values {
            Values::F32(values) => values.iter().for_each(|value| {
                hasher.update(&value.to_le_bytes());
            }),
            Values::F64(values) => values.iter().for_each(|value| {
                hasher.update(&value.to_le_bytes());
            }),
            _ => unreachable!("imported columns are f32 and f64"),
        }
    }
    *hasher.finalize().as_bytes()
}

fn refuse(stage: &'static str, message: String) -> Error {
    Error::Stage { stage, message }
}

/// From the shape in a file to rows.
struct Shaping {
    is_sound: bool,
    orientation: Orientation,
    /// Bands that `[log-mel]` says there are.
    n_mels: usize,
    /// Unit of what `[log-mel]` makes.
    unit: String,
    /// Seconds from one picture to the next.
    period: f64,
}

impl Shaping {
    fn new(config: &Config, request: &Request<'_>) -> Result<Self> {
        let frames =
            config.extract_frames.resolve().map_err(|e| refuse(extract_frames::DECL.id, e.to_string()))?.frames;
        let log_mel = config.log_mel.resolve().map_err(|e| refuse(log_mel::DECL.id, e.to_string()))?;
        Ok(Shaping {
            is_sound: request.decl.id == log_mel::DECL.id,
            orientation: request.orientation,
            n_mels: log_mel.n_mels,
            unit: log_mel.columns().into_iter().next().map_or_else(String::new, |column| column.unit),
            period: f64::from(frames.fps_den) / f64::from(frames.fps_num),
        })
    }

    /// Values per row, by the first clip.
    fn width(&self, features: &Features) -> Result<usize, Failure> {
        let width = if self.is_sound { self.n_mels } else { features.shape.last().copied().unwrap_or(0) };
        self.rows(features.clone(), width).map(|_| width)
    }

    fn rows(&self, features: Features, width: usize) -> Result<Rows, Failure> {
        let Features { shape, values } = features;
        let bad = |message: String| Err(Failure::new(Cause::Corrupt, message));
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return bad(format!("value {at} of its features is {}, not a finite number", values[at]));
        }
        if width == 0 || values.is_empty() {
            return Err(Failure::new(
                Cause::TooShort,
                format!("its features have the shape {shape:?}: there is nothing in it"),
            ));
        }
        if self.is_sound {
            let rows = match (&shape[..], self.orientation) {
                ([mels, time], Orientation::MelTime) if *mels == width => {
                    return Ok(log_mel_rows(transpose(&values, *mels, *time), *time, width));
                }
                ([time, mels], Orientation::TimeMel) if *mels == width => *time,
                _ => return bad(self.wrong_shape(&shape)),
            };
            return Ok(log_mel_rows(values, rows, width));
        }
        let times: Vec<f64> = match shape[..] {
            [dim] if dim == width => vec![f64::NAN],
            [rows, dim] if dim == width => (0..rows).map(|row| row as f64 * self.period).collect(),
            _ => {
                return bad(format!(
                    "its features have the shape {shape:?}, those of the first clip have {width} numbers a row"
                ));
            }
        };
        encode_clip::rows(values, times, encode_clip::Dtype::F32).map_err(|e| Failure::from_error(&e))
    }

    fn wrong_shape(&self, shape: &[usize]) -> String {
        let (bands, wanted) = match self.orientation {
            Orientation::MelTime => (self.n_mels, format!("[{}, T]", self.n_mels)),
            Orientation::TimeMel => (self.n_mels, format!("[T, {}]", self.n_mels)),
        };
        let turned = match (shape, self.orientation) {
            ([_, last], Orientation::MelTime) if *last == bands => "; with --orientation time-mel it would be",
            ([first, _], Orientation::TimeMel) if *first == bands => "; with --orientation mel-time it would be",
            _ => "; the number of bands is n_mels of [log-mel]",
        };
        format!("its features have the shape {shape:?}, which is not {wanted}{turned}")
    }
}

fn log_mel_rows(values: Vec<f32>, len: usize, width: usize) -> Rows {
    let column = Column { name: "log_mel".into(), width: Some(width), values: Values::F32(values) };
    Rows { len, columns: vec![column] }
}

/// The files, and which of them has which clip.
enum Sources {
    PerClip { files: Vec<PerClip>, file_of: HashMap<String, usize> },
    Matrix { path: PathBuf, matrix: Npy, rows_of: HashMap<String, std::ops::Range<usize>>, single: bool },
}

impl Sources {
    fn open(request: &Request<'_>) -> Result<Self> {
        let is_npy = |path: &PathBuf| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"));
        match request.files {
            [matrix] if is_npy(matrix) => Sources::open_matrix(request, matrix),
            files if files.iter().any(is_npy) => {
                Err(Error::Usage("one .npy matrix is imported at a time; join them first".to_string()))
            }
            _ if request.ids.is_some() || request.offsets.is_some() => Err(Error::Usage(
                "--ids and --offsets belong to a .npy matrix; an HDF5 file names its clips itself".to_string(),
            )),
            files => {
                let mut file_of = HashMap::new();
                let mut opened: Vec<PerClip> = Vec::new();
                for path in files {
                    let file = PerClip::open(path).in_shard(path)?;
                    for id in file.ids() {
                        if let Some(other) = file_of.insert(id.clone(), opened.len()) {
                            let other = if other == opened.len() { path } else { opened[other].path() };
                            let message = format!("{id} is in {} and in {}", other.display(), path.display());
                            return Err(refuse(request.decl.id, message));
                        }
                    }
                    opened.push(file);
                }
                Ok(Sources::PerClip { files: opened, file_of })
            }
        }
    }

    fn open_matrix(request: &Request<'_>, path: &Path) -> Result<Self> {
        let bad = |path: &Path, message: String| Error::Config { path: path.to_path_buf(), message };
        let open = |path: &Path| Npy::open(path).map_err(|e| bad(path, e.to_string()));
        let Some(ids) = request.ids else {
            let message = "a .npy matrix needs --ids FILE: one id per line, in the order of its rows".to_string();
            return Err(Error::Usage(message));
        };
        let matrix = open(path)?;
        let text = std::fs::read_to_string(ids).at("read", ids)?;
        let names: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let ends: Vec<i64> = match request.offsets {
            Some(path) => {
                let mut offsets = open(path)?;
                offsets.integers().map_err(|e| bad(path, e.to_string()))?
            }
            // Counted first: a matrix without columns may claim any number of rows.
            None if names.len() != matrix.rows() => {
                let message = format!("{} ids, but the matrix has {} clips", names.len(), matrix.rows());
                return Err(bad(ids, message));
            }
            None => (0..=matrix.rows() as i64).collect(),
        };
        let ascending = ends.windows(2).all(|pair| pair[0] <= pair[1]);
        if ends.first() != Some(&0) || ends.last() != Some(&(matrix.rows() as i64)) || !ascending {
            let at = request.offsets.unwrap_or(path);
            return Err(bad(at, format!("must rise from 0 to {}, the rows of the matrix", matrix.rows())));
        }
        if names.len() + 1 != ends.len() {
            let message = format!("{} ids, but the matrix has {} clips", names.len(), ends.len() - 1);
            return Err(bad(ids, message));
        }
        let mut rows_of = HashMap::new();
        for (id, pair) in names.into_iter().zip(ends.windows(2)) {
            if rows_of.insert(id.to_string(), pair[0] as usize..pair[1] as usize).is_some() {
                return Err(bad(ids, format!("the id `{id}` is there twice")));
            }
        }
        Ok(Sources::Matrix { path: path.to_path_buf(), matrix, rows_of, single: request.offsets.is_none() })
    }

    /// File names, for people and for the key.
    fn names(&self) -> Vec<String> {
        let name = |path: &Path| path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        match self {
            Sources::PerClip { files, .. } => files.iter().map(|file| name(file.path())).collect(),
            Sources::Matrix { path, .. } => vec![name(path)],
        }
    }

    fn has(&self, id: &str) -> bool {
        match self {
            Sources::PerClip { file_of, .. } => file_of.contains_key(id),
            Sources::Matrix { rows_of, .. } => rows_of.contains_key(id),
        }
    }

    /// Sorted.
    fn unknown(&self, known: &BTreeSet<&str>) -> Vec<String> {
        let foreign = |id: &&String| !known.contains(id.as_str());
        let mut unknown: Vec<String> = match self {
            Sources::PerClip { files, file_of } => {
                let ignored = files.iter().flat_map(PerClip::ignored);
                file_of.keys().filter(foreign).chain(ignored).cloned().collect()
            }
            Sources::Matrix { rows_of, .. } => rows_of.keys().filter(foreign).cloned().collect(),
        };
        unknown.sort();
        unknown
    }

    /// The features of a clip; what is wrong with them is data, without the path of the file.
    fn read(&mut self, id: &str) -> Result<Features, Failure> {
        let missing = || Failure::new(Cause::Missing, "the imported files have no features of this item");
        match self {
            Sources::PerClip { files, file_of } => {
                let at = *file_of.get(id).ok_or_else(missing)?;
                files[at].read(id).map_err(|e| Failure::from_error(&e))
            }
            Sources::Matrix { matrix, rows_of, single, .. } => {
                let rows = rows_of.get(id).ok_or_else(missing)?.clone();
                let width = matrix.width();
                let values = matrix.read(rows.clone()).map_err(|e| Failure::new(Cause::Corrupt, e.to_string()))?;
                let shape = if *single { vec![width] } else { vec![rows.len(), width] };
                Ok(Features { shape, values })
            }
        }
    }
}
