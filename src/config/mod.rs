//! `pipeline.toml`: every knob, as written and as resolved.
//!
//! The tables of the stages are the stages' own `Params`; `[run]` and `[store]` hold what can never change a value and
//! therefore never enters a key. Precedence, later wins: the defaults in the code, the file, `--data` and `--work`,
//! `--set`. A file is `--config FILE`, or else `./pipeline.toml` where there is one. Unknown keys are errors with a
//! suggestion. Paths in a file are relative to the file, paths on the command line to the current folder.

mod limit;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

use crate::slurm::params::Slurm;

pub use limit::FailureLimit;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "pipeline.toml";

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// A manifest, a folder of media, or one media file. No default: a data set must be named.
    pub data: Option<PathBuf>,
    /// The work directory: everything the program writes. Default `work`.
    pub work: Option<PathBuf>,
    /// How to run; nothing in it changes a value.
    pub run: Run,
    /// How the store is cut; nothing in it changes a value.
    pub store: Store,
    /// What a Slurm cluster is asked for; nothing in it changes a value.
    pub slurm: Slurm,
    /// Parameters of `discover`.
    pub discover: discover::Params,
    /// Parameters of `extract-frames`.
    pub extract_frames: extract_frames::Params,
    /// Parameters of `log-mel`.
    pub log_mel: log_mel::Params,
    /// Parameters of `encode-clip`.
    pub encode_clip: encode_clip::Params,
    /// Parameters of `zero-shot`.
    pub zero_shot: zero_shot::Params,
    /// Parameters of `linear-probe`.
    pub linear_probe: linear_probe::Params,
    /// Parameters of `audio`.
    pub audio: audio::Params,
    /// Parameters of `audio-visual`.
    pub audio_visual: audio_visual::Params,
    /// Parameters of `late-fusion`.
    pub late_fusion: late_fusion::Params,
    /// Parameters of `evaluate`.
    pub evaluate: evaluate::Params,
    /// Parameters of `report`.
    pub report: report::Params,
}

/// How to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    /// Whether `run all` keeps the pictures as files. Off: they only pass through memory.
    pub keep_frames: bool,
    /// Stages that `all` leaves out and that no other stage brings. Named on the command line they still run.
    pub skip: Vec<String>,
    /// `auto` (a GPU where the build and the machine have one), `cpu`, or `cuda:N`.
    pub device: encode_clip::DeviceChoice,
    /// Pictures per call of the encoder at most.
    pub batch_size: usize,
    /// Whose pictures share a call of the encoder.
    pub batching: Batching,
    /// Clips worked on at the same time, each on one core; 0: one per core.
    pub jobs: usize,
    /// Seconds between two publications of finished rows: what a `kill -9` can cost.
    pub publish_every: f64,
    /// Failed items after which the run stops: a number, a share of the data set such as "5%", or -1: never.
    pub max_failures: FailureLimit,
    /// Share of a class that may have failed before the stages that see the whole data set refuse to judge or learn from the rest.
    pub max_class_loss: f64,
    /// Seconds that the decoding of one file may take in any case.
    pub clip_timeout: f64,
    /// Seconds more for each second that the file lasts.
    pub clip_timeout_per_second: f64,
    /// Address space of each process that decodes, in MiB; 0: no limit.
    pub worker_memory: u64,
    /// Seconds that a run which is asked to end takes at most to finish what it has begun.
    pub drain: f64,
    /// Seconds between two progress lines where the output is no terminal.
    pub progress_every: f64,
}

/// [`Run::batching`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Batching {
    /// `clip` on a CPU, `across` on a GPU.
    Auto,
    /// Those of one clip, on the core that has the clip.
    Clip,
    /// Those of all clips, so that short clips fill batches; on a CPU one call has all cores.
    Across,
}

impl Default for Run {
    fn default() -> Self {
        Run {
            keep_frames: false,
            skip: Vec::new(),
            device: encode_clip::DeviceChoice::Auto,
            batch_size: 32,
            batching: Batching::Auto,
            jobs: 0,
            publish_every: 5.0,
            max_failures: FailureLimit::Never,
            max_class_loss: 0.25,
            clip_timeout: 60.0,
            clip_timeout_per_second: 4.0,
            worker_memory: 8192,
            drain: 20.0,
            progress_every: 10.0,
        }
    }
}

/// How the store is cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// Items per shard.
    pub shard_size: usize,
}

impl Default for Store {
    fn default() -> Self {
        Store { shard_size: 256 }
    }
}

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`
    pub file: Option<PathBuf>,
    /// `--data`
    pub data: Option<PathBuf>,
    /// `--work`
    pub work: Option<PathBuf>,
    /// `--set stage.key=value`, in order.
    pub set: Vec<String>,
}

impl Config {
    /// Reads the file and applies the overrides.
    pub fn load(overrides: &Overrides) -> Result<Config> {
        let file = match &overrides.file {
            Some(file) => Some(file.clone()),
            None => Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists()),
        };
        let (mut config, mut table) = (Config::default(), toml::Table::new());
        if let Some(file) = &file {
            let text = std::fs::read_to_string(file)
                .map_err(|e| Error::Config { path: file.clone(), message: format!("cannot be read: {e}") })?;
            let refuse = |e: toml::de::Error| Error::Config { path: file.clone(), message: explain(&e, &text) };
            // Once as a whole for messages with a line number, once as a table to lay the overrides over.
            config = toml::from_str(&text).map_err(refuse)?;
            table = toml::from_str(&text).map_err(refuse)?;
        }
        for assignment in &overrides.set {
            assign(&mut table, assignment)?;
            config = table.clone().try_into().map_err(|e: toml::de::Error| {
                Error::Usage(format!("--set {assignment}: {}", in_plain_words(e.message())))
            })?;
        }
        let base = file.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_path_buf();
        config.settle_paths(&base, overrides);
        config.check()?;
        Ok(config)
    }

    /// The data set.
    pub fn data(&self) -> Result<&Path> {
        self.data.as_deref().ok_or_else(|| {
            Error::Usage(
                "no data set is named: give `--data PATH` (a manifest, a folder of clips or one clip), or run where a \
                 `pipeline.toml` with `data = …` lies"
                    .to_string(),
            )
        })
    }

    /// The work directory.
    pub fn work_dir(&self) -> crate::store::WorkDir {
        crate::store::WorkDir::new(self.work.clone().unwrap_or_else(|| PathBuf::from("work")))
    }

    fn settle_paths(&mut self, base: &Path, overrides: &Overrides) {
        self.data = overrides.data.clone().or(self.data.take().map(|p| base.join(p)));
        self.work = overrides.work.clone().or(self.work.take().map(|p| base.join(p)));
        let settle = |path: &mut PathBuf| {
            if !path.as_os_str().is_empty() {
                *path = base.join(&*path);
            }
        };
        settle(&mut self.audio.pretrained);
        if let audio_visual::Pretrained::File(path) = &mut self.audio_visual.pretrained {
            settle(path);
        }
        // A model that is a folder beside the file is meant as one; anything else is left for the stage to judge.
        let beside = base.join(&self.encode_clip.model);
        if beside.exists() || self.encode_clip.model.starts_with('.') {
            self.encode_clip.model = beside.to_string_lossy().into_owned();
        }
    }

    fn check(&self) -> Result<()> {
        let refuse = |message: &str| Err(Error::Usage(message.to_string()));
        if self.store.shard_size == 0 {
            return refuse("store.shard_size must be at least 1 (items per shard)");
        }
        if self.run.batch_size == 0 {
            return refuse("run.batch_size must be at least 1 (pictures per call of the encoder)");
        }
        if [self.run.publish_every, self.run.progress_every].iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return refuse("run.publish_every and run.progress_every are seconds and must be above 0");
        }
        if !(self.run.clip_timeout.is_finite() && self.run.clip_timeout > 0.0) {
            return refuse("run.clip_timeout is seconds and must be above 0");
        }
        if [self.run.clip_timeout_per_second, self.run.drain].iter().any(|s| !s.is_finite() || *s < 0.0) {
            return refuse("run.clip_timeout_per_second and run.drain are seconds and must not be below 0");
        }
        if !(0.0..=1.0).contains(&self.run.max_class_loss) {
            return refuse("run.max_class_loss is a share between 0 and 1");
        }
        // Below that libav and its libraries cannot be loaded.
        if (1..512).contains(&self.run.worker_memory) || self.run.worker_memory > 1 << 40 {
            return refuse("run.worker_memory is MiB and must be at least 512, or 0 for no limit");
        }
        Ok(())
    }
}

/// Lays `a.b.c=value` into the table. The value is TOML; what is no TOML is taken as a string, so that quotes are optional.
fn assign(table: &mut toml::Table, assignment: &str) -> Result<()> {
    let usage = |why: &str| Error::Usage(format!("--set {assignment}: {why}; write it as --set log-mel.n_mels=64"));
    let (path, text) = assignment.split_once('=').ok_or_else(|| usage("there is no `=`"))?;
    let value = toml::from_str::<toml::Table>(&format!("v = {text}"))
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| toml::Value::String(text.to_string()));
    let mut names: Vec<&str> = path.trim().split('.').collect();
    let last = names.pop().filter(|n| !n.is_empty()).ok_or_else(|| usage("there is no key before `=`"))?;
    let mut at = table;
    for name in names {
        let entry = at.entry(name).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        at = entry.as_table_mut().ok_or_else(|| usage(&format!("`{name}` is a value, not a table")))?;
    }
    at.insert(last.to_string(), value);
    Ok(())
}

/// A message with the line, and for an unknown key the nearest known one.
fn explain(error: &toml::de::Error, text: &str) -> String {
    let message = in_plain_words(error.message());
    match error.span() {
        Some(span) => {
            let line = text[..span.start.min(text.len())].matches('\n').count() + 1;
            format!("line {line}: {message}")
        }
        None => message,
    }
}

/// serde says "unknown field `x`, expected one of `a`, `b`"; a person wants to hear which of them they meant. And it names Rust's types.
fn in_plain_words(message: &str) -> String {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match names.split_first() {
        Some((unknown, known)) if message.starts_with("unknown") => {
            let hint = nearest(unknown, known.iter().copied())
                .map_or_else(|| format!("known here: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
            let what = if message.starts_with("unknown variant") { "value" } else { "key" };
            format!("unknown {what} `{unknown}`; {hint}")
        }
        _ => match message.rsplit_once("expected ") {
            Some((found, "usize" | "u64" | "u32" | "u8")) => format!("{found}expected a whole number, 0 or more"),
            Some((found, "f64" | "f32")) => format!("{found}expected a number"),
            Some((found, "a sequence")) => format!("{found}expected a list"),
            Some((found, "a map")) => format!("{found}expected a table"),
            Some((found, "a boolean")) => format!("{found}expected true or false"),
            _ => message.to_string(),
        },
    }
}

/// The known name that is most like `name`, if one is like it at all.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|k| (strsim::jaro_winkler(&name.replace('_', "-"), &k.replace('_', "-")), k))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, set: &[&str]) -> Result<Config> {
        let folder = tempfile::tempdir().expect("tempdir");
        let file = folder.path().join("p.toml");
        std::fs::write(&file, text).expect("write");
        let set = set.iter().map(ToString::to_string).collect();
        Config::load(&Overrides { file: Some(file), set, ..Overrides::default() })
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
        let error = load("[store]\n\nshard_siz = 3\n", &[]).expect_err("unknown").to_string();
        assert!(error.contains("line 3: unknown key `shard_siz`; did you mean `shard_size`?"), "{error}");
        let error = load("", &["run.bach_size=3"]).expect_err("unknown").to_string();
        assert!(error.contains("did you mean `batch_size`?"), "{error}");
        assert!(error.starts_with("--set run.bach_size=3: "), "{error}");
        let error = load("", &["log-mell.n_mels=3"]).expect_err("unknown").to_string();
        assert!(error.contains("did you mean `log-mel`?"), "{error}");
    }

    #[test]
    fn a_value_that_cannot_be_is_named_in_plain_words() {
        for (set, said) in [
            ("log-mel.n_mels=abc", "expected a whole number, 0 or more"),
            ("run.drain=abc", "expected a number"),
            ("run.skip=audio", "expected a list"),
            ("slurm.sbatch=3", "expected a table"),
            ("run.keep_frames=yes", "expected true or false"),
            ("log-mel.preset=foo", "unknown value `foo`; known here: reference, panns, efficientat"),
        ] {
            let error = load("[run]\njobs = 2\n", &["run.jobs=1", set]).expect_err("wrong").to_string();
            assert!(error.starts_with(&format!("--set {set}: ")) && error.ends_with(said), "{error}");
        }
        let error = load("[run]\njobs = \"two\"\n", &[]).expect_err("wrong").to_string();
        assert!(error.contains("line 2: ") && error.ends_with("expected a whole number, 0 or more"), "{error}");
    }

    #[test]
    fn set_wins_over_the_file_and_needs_no_quotes() {
        let config =
            load("[run]\nbatch_size = 8\ndevice = \"auto\"\n", &["run.batch_size=4", "run.device=cpu"]).expect("good");
        assert_eq!((config.run.batch_size, config.run.device), (4, encode_clip::DeviceChoice::Cpu));
    }

    #[test]
    fn paths_in_a_file_are_relative_to_it() {
        let folder = tempfile::tempdir().expect("tempdir");
        std::fs::write(folder.path().join("p.toml"), "data = \"clips\"\nwork = \"w\"\n").expect("write");
        let mut overrides = Overrides { file: Some(folder.path().join("p.toml")), ..Overrides::default() };
        let config = Config::load(&overrides).expect("good");
        assert_eq!(config.data().expect("named"), folder.path().join("clips"));
        overrides.data = Some("here".into());
        assert_eq!(Config::load(&overrides).expect("good").data().expect("named"), Path::new("here"));
    }

    #[test]
    fn a_bad_assignment_says_how_to_write_one() {
        for bad in ["run.jobs", "=3", "data.x.y=3"] {
            assert!(matches!(load("data = \"x\"", &[bad]), Err(Error::Usage(_))), "{bad}");
        }
    }
}
