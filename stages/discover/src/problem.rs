//! Everything that can be wrong with a source, each in plain words with what to do.

use contract::Cause;

use crate::{AUDIO_EXTENSIONS, ParamsError, VIDEO_EXTENSIONS};

/// What is wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is its message")]
pub enum Problem {
    #[error("{0}")]
    Params(ParamsError),
    #[error("no such file or folder")]
    NotFound,
    #[error("no such file or folder{}; {}", did_you_mean(.nearest.as_ref()), lie_beside(.beside))]
    NoSource { nearest: Option<String>, beside: Vec<String> },
    #[error("no such file or folder: the folder `{0}` is not there or cannot be read")]
    NoFolder(String),
    #[error("{what} `{name}` does not exist{}", hint(.obtain.as_ref()))]
    PartNotFound { what: &'static str, name: String, obtain: Option<String> },
    #[error(
        "neither it nor a folder in it holds both meta.csv and evaluation_setup/ of TAU Urban Audio-Visual Scenes 2021; unpack the meta archive there"
    )]
    NotTau,
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error(
        "neither a manifest (.toml) nor a media file (pictures: {}; sound: {})",
        VIDEO_EXTENSIONS.join(" "), AUDIO_EXTENSIONS.join(" ")
    )]
    NotMedia,
    #[error("{0}")]
    Syntax(String),
    #[error("unknown {what} `{name}`{}; known are {known}", did_you_mean(.nearest.as_ref()))]
    Unknown { what: &'static str, name: String, nearest: Option<String>, known: String },
    #[error("the column `{column}` is missing; the header has {found}")]
    MissingColumn { column: &'static str, found: String },
    #[error("the manifest names {0} of `table`, `layout` and `[[item]]`; it must name exactly one")]
    Sources(usize),
    #[error(
        "the environment variable {0} is not set; set it to the folder of the media, or write the path into the manifest"
    )]
    Unset(String),
    #[error("`$` must be followed by the name of an environment variable, as in $NAME or ${{NAME}}")]
    Variable,
    #[error("missing field `root`: the folder of the media (a manifest without media says features_only = true)")]
    NoRoot,
    #[error("the archive `{name}` {why}")]
    Archive { name: String, why: &'static str },
    #[error("there is no item in it")]
    Empty,
    #[error(
        "no media file in it{} (pictures: {}; sound: {})",
        if .0.is_empty() { String::new() } else { format!(": {}", .0) },
        VIDEO_EXTENSIONS.join(" "), AUDIO_EXTENSIONS.join(" ")
    )]
    NoMediaFile(String),
    #[error("the id is empty")]
    EmptyId,
    #[error("the id `{id}` {why}; ids name files and folders of the output")]
    UnsafeId { id: String, why: &'static str },
    #[error("the id `{id}` is already that of line {first}; ids must be unique")]
    DuplicateId { id: String, first: u64 },
    #[error("`{first}` and `{second}` would both be the item `{id}`; rename one, or list the items in a manifest")]
    Collision { id: String, first: String, second: String },
    #[error("the path of this file is not Unicode; rename it")]
    NotUnicode,
    #[error(
        "`{0}` names neither a video nor an audio file; where features are imported and there are no media, \
         the manifest says features_only = true"
    )]
    NoMedia(String),
    #[error("`{without}` has no {what}, but `{with}` has one; give all of them one, or none")]
    ForSomeOnly { what: &'static str, without: String, with: String },
    #[error("`{without}` lies outside of the class folders, but `{with}` lies in one; move or remove it")]
    OutsideOfClasses { without: String, with: String },
    #[error("`{0}` is no split; write train, val or test")]
    UnknownSplit(String),
    #[error("the label `{label}` is not among the classes of the manifest{}", did_you_mean(.nearest.as_ref()))]
    UnknownLabel { label: String, nearest: Option<String> },
    #[error("the class `{0}` is listed twice")]
    DuplicateClass(String),
    #[error("the id `{id}` has no field {field} when it is split at `-`, which [discover] group_fields asks for")]
    NoField { id: String, field: usize },
    #[error("the name of `{0}` is not scene-city-location-segment, as in airport-lisbon-1000-40000.wav")]
    NotTauName(String),
    #[error("`{0}` is not in meta.csv")]
    NotInMeta(String),
    #[error("`{id}` has the label `{here}` here and `{meta}` in meta.csv")]
    LabelDiffers { id: String, here: String, meta: String },
    #[error("`{id}` is in `{first}` and in `{second}`")]
    TwoSplits { id: String, first: &'static str, second: &'static str },
}

impl Problem {
    pub(crate) fn from_io(error: &std::io::Error) -> Problem {
        match error.kind() {
            std::io::ErrorKind::NotFound => Problem::NotFound,
            _ => Problem::Unreadable(error.to_string()),
        }
    }

    /// An unknown key, column or label, with the known one that it resembles most.
    pub(crate) fn unknown(what: &'static str, name: &str, known: &[&str]) -> Problem {
        Problem::Unknown { what, name: name.to_owned(), nearest: resembling(name, known), known: known.join(", ") }
    }

    pub(crate) fn class(&self) -> Cause {
        match self {
            Problem::NotFound
            | Problem::NoSource { .. }
            | Problem::NoFolder(_)
            | Problem::PartNotFound { .. }
            | Problem::NotTau
            | Problem::Unset(_)
            | Problem::Empty
            | Problem::NoMediaFile(_) => Cause::Missing,
            Problem::Unreadable(_) => Cause::Unreadable,
            Problem::NotMedia => Cause::Unsupported,
            _ => Cause::Corrupt,
        }
    }
}

/// The known name most like `name`, if one is alike at all.
pub(crate) fn resembling(name: &str, known: &[&str]) -> Option<String> {
    let alike = |k: &&&str| strsim::jaro_winkler(name, k);
    known.iter().max_by(|a, b| alike(a).total_cmp(&alike(b))).filter(|k| alike(k) > 0.8).map(|&k| k.to_owned())
}

fn did_you_mean(name: Option<&String>) -> String {
    name.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

fn lie_beside(names: &[String]) -> String {
    match names {
        [] => "nothing that could be a data set lies beside it".to_owned(),
        names => format!("beside it: {}", names.join(", ")),
    }
}

fn hint(obtain: Option<&String>) -> String {
    obtain.map_or_else(String::new, |how| format!("; to obtain it: {how}"))
}
