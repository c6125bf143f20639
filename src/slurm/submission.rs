//! What was submitted: a folder in the work directory with the configuration, the scripts, the logs, and `submission.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use contract::{Decl, Kind};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{Error, IoContext, Result};
use crate::plan::ShardPlan;
use crate::session::Session;
use crate::slurm::params::Lines;
use crate::store::WorkDir;
use crate::store::publish::publish_bytes;

const RECORD: &str = "submission.json";
const CONFIG: &str = "pipeline.toml";

/// One submission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// Its name: when it was made, in milliseconds since 1970.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Where it was submitted: relative paths in the configuration count from there.
    pub cwd: PathBuf,
    /// The program.
    pub program: PathBuf,
    /// The stages as they were named.
    pub stages: Vec<String>,
    /// Those that were left out by name.
    #[serde(default)]
    pub skip: Vec<String>,
    /// The stages of the array, item by item.
    pub item_stages: Vec<String>,
    /// Whether a job for the set stages follows.
    pub has_sets: bool,
    /// Parts into which the shards are cut.
    pub shares: usize,
    /// Those of them that have something to do, counted from 1.
    pub tasks: Vec<usize>,
    /// Items due when it was submitted, in the stage that has most.
    pub items: usize,
    /// Whether a task works on as many clips at a time as it has processors.
    pub jobs_by_task: bool,
    /// Tasks at the same time at most; 0: no limit.
    pub concurrent: usize,
    /// Seconds of warning before the time limit.
    pub warning: u32,
    /// How often a task asks to be run again.
    pub requeues: u32,
    /// Lines of the array.
    pub lines: Lines,
    /// Lines of the job behind it.
    pub set_lines: Lines,
    /// Shell before the program.
    pub setup: Vec<String>,
    /// Variables that are set.
    pub environment: BTreeMap<String, String>,
    /// The array's id; `None` before it was submitted, or when no shard has anything to do.
    pub array: Option<String>,
    /// The id of the job behind it.
    pub sets: Option<String>,
}

/// What the command line adds to the configuration.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The stages as they were named.
    pub stages: Vec<String>,
    /// `--skip`
    pub skip: Vec<String>,
    /// `--profile`
    pub profile: Option<String>,
    /// `--sbatch`
    pub sbatch: Vec<String>,
    /// The site's largest array index, where known.
    pub max_array: Option<usize>,
}

impl Submission {
    /// What a session has to do, as jobs. Nothing is written yet.
    pub fn plan(session: &Session, asked: &Asked) -> Result<Submission> {
        let config = &session.config;
        let slurm = &config.slurm;
        let absolute = |path: &Path| std::path::absolute(path).at("find", path);
        let work = WorkDir::new(absolute(session.work.root())?);
        let name = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis()).to_string();
        let shards = session.plans.iter().map(|plan| plan.shards.len()).max().unwrap_or(0);
        let site = asked.max_array.unwrap_or(usize::MAX);
        let most = if slurm.max_tasks == 0 { site } else { slurm.max_tasks.min(site) };
        let shares = shards.min(most).max(1);
        // A share is what `--shards I/N` takes: see `selection::Share`.
        let share_of = |k: usize| (1..=shares).rfind(|i| shards * (i - 1) / shares <= k).unwrap_or(1);
        let is_due = |k: usize| session.plans.iter().any(|plan| plan.shards.get(k).is_some_and(ShardPlan::is_taken_up));
        let mut tasks: Vec<usize> = (0..shards).filter(|k| is_due(*k)).map(share_of).collect();
        tasks.dedup();
        let named = |decl: &&'static Decl| decl.id.to_string();
        let item_stages = session.plans.iter().map(|plan| plan.decl.id.to_string()).collect();
        let environment = slurm.environment.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
        let profile = asked.profile.as_deref();
        Ok(Submission {
            folder: work.slurm().join(&name),
            name,
            cwd: std::env::current_dir().at("find", Path::new("."))?,
            program: std::env::current_exe().at("find", Path::new("this program"))?,
            stages: asked.stages.clone(),
            skip: asked.skip.clone(),
            item_stages,
            has_sets: session.selected.iter().filter(|decl| decl.kind == Kind::Set).map(named).next().is_some(),
            shares,
            tasks,
            items: session.plans.iter().map(|plan| plan.counts().due).max().unwrap_or(0),
            jobs_by_task: config.run.jobs == 0,
            concurrent: slurm.concurrent,
            warning: slurm.warning,
            requeues: slurm.requeues,
            lines: slurm.lines(false, profile, &asked.sbatch)?,
            set_lines: slurm.lines(true, profile, &asked.sbatch)?,
            setup: slurm.setup.clone(),
            environment: environment.collect(),
            array: None,
            sets: None,
        })
    }

    /// Writes the configuration as it is resolved now, so that a change to the file does not reach jobs that wait.
    pub fn write(&self, config: &Config) -> Result<()> {
        let mut fixed = config.clone();
        let absolute = |path: &Path| std::path::absolute(path).at("find", path);
        fixed.data = Some(absolute(config.data()?)?);
        fixed.work = Some(absolute(config.work_dir().root())?);
        if Path::new(&fixed.encode_clip.model).exists() {
            fixed.encode_clip.model = absolute(Path::new(&fixed.encode_clip.model))?.to_string_lossy().into_owned();
        }
        let text = toml::to_string(&fixed).map_err(|e| Error::Internal(format!("the configuration as text: {e}")))?;
        publish_bytes(&self.config(), text.as_bytes())?;
        self.save()
    }

    /// Writes the record.
    pub fn save(&self) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).expect("plain data");
        publish_bytes(&self.folder.join(RECORD), &text)
    }

    /// The submissions on a work directory, the latest first.
    pub fn all(work: &WorkDir) -> Result<Vec<Submission>> {
        let folder = work.slurm();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).at("list", &folder),
        };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path().join(RECORD);
            // One that was never written whole was never submitted.
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let read = serde_json::from_slice(&bytes);
            found.push(
                read.map_err(|e| Error::Config { path, message: format!("no submission of this version: {e}") })?,
            );
        }
        found.sort_by(|a: &Submission, b: &Submission| b.name.cmp(&a.name));
        Ok(found)
    }

    /// The configuration as it was resolved when it was submitted.
    pub fn config(&self) -> PathBuf {
        self.folder.join(CONFIG)
    }
}
