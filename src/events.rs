//! What happens in a run, as data. The runner prints nothing: the progress bar, the plain log, JSON lines and the run record
//! all consume these.

use std::path::{Path, PathBuf};

use contract::Failure;
use serde::Serialize;

use crate::plan::Counts;

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run begins.
    Started {
        /// Where.
        host: String,
        /// Which process.
        pid: u32,
        /// Version of the program.
        version: &'static str,
        /// What was typed, without the program's name.
        command: Vec<String>,
    },
    /// The data set is known.
    Discovered {
        /// Its name.
        name: String,
        /// Items in it.
        items: usize,
        /// Remarks on it.
        notes: Vec<String>,
    },
    /// An item stage is planned.
    Planned {
        /// The stage.
        stage: &'static str,
        /// What there is to do.
        counts: Counts,
    },
    /// A model is loaded.
    ModelLoaded {
        /// The stage.
        stage: &'static str,
        /// What it is and where it runs.
        model: String,
    },
    /// Embeddings are made of pictures that an earlier run kept, instead of decoding these items' videos again.
    KeptPictures {
        /// How many items.
        items: usize,
    },
    /// An item has a value, or a recorded failure.
    Item {
        /// The stage.
        stage: &'static str,
        /// The item's id.
        id: String,
        /// Why it has no value, if it has none.
        failure: Option<Failure>,
        /// The store had it already: it was copied, not computed.
        copied: bool,
    },
    /// How far a run is, and how busy it keeps the machine: every `run.progress_every` seconds, on a terminal every second.
    Progress {
        /// Seconds since the run began.
        seconds: f64,
        /// The item stages that have items to do.
        stages: Vec<StageProgress>,
        /// Share of the processor cores that this run and its workers kept busy since the last such event, 0 to 1; absent where the
        /// system does not say.
        cpu: Option<f64>,
        /// The GPUs, in a build that can use them, on a machine that has some.
        gpus: Vec<GpuUse>,
    },
    /// A shard has its final name.
    Shard {
        /// The stage.
        stage: &'static str,
        /// Where it lies.
        path: PathBuf,
        /// Items in it.
        items: usize,
    },
    /// Finished rows of shards in the making are safe.
    Part {
        /// The stage.
        stage: &'static str,
        /// Items in it.
        items: usize,
    },
    /// A signal asked the run to end: what has begun is finished, for so many seconds at most.
    Draining {
        /// The limit.
        seconds: f64,
    },
    /// Something that a person should know, and that does not end the run.
    Warning {
        /// In plain words.
        message: String,
    },
    /// A network is being trained.
    Training {
        /// The stage.
        stage: &'static str,
        /// How far it is.
        #[serde(flatten)]
        progress: training::Progress,
    },
    /// A fitted system judges clips.
    Judging {
        /// The stage.
        stage: &'static str,
        /// Clips, or seconds of clips, so far.
        done: usize,
        /// In all.
        of: usize,
    },
    /// Something about a stage that is worth a line.
    Note {
        /// The stage.
        stage: &'static str,
        /// In plain words.
        message: String,
    },
    /// A set stage ended.
    SetStage {
        /// The stage.
        stage: &'static str,
        /// Whether the stored products were current.
        reused: bool,
        /// One line: on how much it rests and what came out.
        summary: String,
    },
    /// The run ended with an error; what was finished is kept.
    Failed {
        /// What is told.
        message: String,
    },
    /// The run ended.
    Finished {
        /// Per item stage: id, values, failures.
        stages: Vec<StageEnd>,
        /// Seconds from start to end.
        seconds: f64,
        /// Of these, over the clips.
        item_seconds: f64,
        /// Stopped by a signal before everything was done.
        stopped: bool,
    },
}

impl Event {
    /// A file of the store could not be believed and is out of the way.
    pub fn damaged(path: &Path, message: &str) -> Event {
        let path = path.display();
        let message =
            format!("{path} was damaged ({message}): it was set aside as `.damaged`, and its items are computed again");
        Event::Warning { message }
    }
}

/// How far an item stage is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageProgress {
    /// The stage.
    pub stage: &'static str,
    /// Items done in this run, failures included.
    pub done: usize,
    /// Items that were to do when the run began.
    pub due: usize,
    /// Of the done ones: without a value.
    pub failed: usize,
    /// Items a second, since the stages began.
    pub rate: f64,
    /// Seconds left at that rate; absent before the first item.
    pub seconds_left: Option<f64>,
}

/// How busy a GPU is, whoever keeps it so.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GpuUse {
    /// Its number, as the driver counts.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Share of the last moment (a sixth of a second to a second) in which it computed, 0 to 1; absent where it does not tell.
    pub busy: Option<f64>,
    /// Bytes of its memory that are in use; absent where it does not tell.
    pub memory: Option<u64>,
}

/// What became of an item stage in a run.
#[derive(Debug, Clone, Serialize)]
pub struct StageEnd {
    /// The stage.
    pub stage: &'static str,
    /// Where its output lies.
    pub folder: PathBuf,
    /// Items computed in this run, failures included.
    pub computed: usize,
    /// Items copied from elsewhere in the store.
    pub copied: usize,
    /// Items whose shard was current.
    pub reused: usize,
    /// Items that have a recorded failure, old or new.
    pub failed: usize,
    /// Items in all.
    pub items: usize,
}

/// Takes events, from any thread.
pub trait Reporter: Sync {
    /// Takes one.
    fn report(&self, event: &Event);
}
