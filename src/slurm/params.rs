//! `[slurm]`: what the scheduler is asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Lines `#SBATCH --KEY=VALUE`. An empty value stands for a bare `--KEY`.
pub type Lines = BTreeMap<String, Value>;

/// A value as written: text or a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Number(i64),
    /// Text.
    Text(String),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => f.write_str(text),
        }
    }
}

/// The table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Slurm {
    /// Tasks of the array at most; 0: one a shard, as far as the site allows.
    pub max_tasks: usize,
    /// Tasks that run at the same time at most; 0: as many as the scheduler lets.
    pub concurrent: usize,
    /// Seconds before its time limit at which a task is told to end in order, and to be run again.
    pub warning: u32,
    /// How often a task asks to be run again.
    pub requeues: u32,
    /// Lines of shell before the program, e.g. `module load …`.
    pub setup: Vec<String>,
    /// Variables of the submitting shell that the tasks get, too.
    pub environment: Vec<String>,
    /// Lines for both jobs.
    pub sbatch: Lines,
    /// Lines of the job for the set stages, over [`Slurm::sbatch`].
    pub sets: Lines,
    /// Named lines over both, chosen by `--profile`.
    pub profiles: BTreeMap<String, Lines>,
}

impl Default for Slurm {
    fn default() -> Self {
        let environment = ["PATH", "LD_LIBRARY_PATH", "HOME", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE"];
        Slurm {
            max_tasks: 0,
            concurrent: 0,
            warning: 120,
            requeues: 20,
            setup: Vec::new(),
            environment: environment.map(str::to_string).to_vec(),
            sbatch: Lines::new(),
            sets: Lines::new(),
            profiles: BTreeMap::new(),
        }
    }
}

impl Slurm {
    /// The lines of a job: the table's, over them the profile's, over them those of the command line (`KEY=VALUE`, or `KEY`).
    pub fn lines(&self, sets: bool, profile: Option<&str>, given: &[String]) -> Result<Lines> {
        let mut lines = self.sbatch.clone();
        if sets {
            lines.extend(self.sets.clone());
        }
        if let Some(name) = profile {
            let profile = self.profiles.get(name).ok_or_else(|| {
                let known: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
                let hint = match known.len() {
                    0 => "pipeline.toml has none: [slurm.profiles.NAME]".to_string(),
                    _ => format!("there are {}", known.join(", ")),
                };
                Error::Usage(format!("--profile {name}: no such profile; {hint}"))
            })?;
            lines.extend(profile.clone());
        }
        for text in given {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            let key = key.trim_start_matches("--").trim();
            if key.is_empty() {
                return Err(Error::Usage(format!("--sbatch {text}: write KEY=VALUE, e.g. --sbatch time=02:00:00")));
            }
            lines.insert(key.to_string(), Value::Text(value.to_string()));
        }
        for reserved in ["array", "dependency", "signal", "requeue", "output", "open-mode", "export", "chdir"] {
            if lines.contains_key(reserved) {
                return Err(Error::Usage(format!(
                    "--{reserved} is what `pipeline slurm` itself asks for; leave it out"
                )));
            }
        }
        Ok(lines)
    }
}
