//! Slurm, asked by its own commands. What it says that is not known here is passed on as it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::error::{Error, Result};

fn run(program: &str, arguments: &[&str]) -> Result<Output> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.map_err(|e| Error::Slurm {
        command: program.to_string(),
        message: format!(
            "it cannot be run ({e}); is this a machine of the cluster? `pipeline run` works without Slurm"
        ),
    })
}

fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = run(program, arguments)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_string();
    Err(Error::Slurm { command: format!("{program} {}", arguments.join(" ")), message })
}

/// Submits a script; its job's id.
pub fn submit(script: &Path, after: Option<&str>) -> Result<String> {
    let dependency = after.map(|job| format!("--dependency=afterok:{job}"));
    let mut arguments = vec!["--parsable"];
    if let Some(dependency) = &dependency {
        // A job that can never start would wait for ever.
        arguments.extend([dependency.as_str(), "--kill-on-invalid-dep=yes"]);
    }
    let path = script.to_string_lossy();
    arguments.push(&path);
    let text = said("sbatch", &arguments)?;
    // `ID` or `ID;CLUSTER`
    let id = text.trim().split(';').next().unwrap_or_default().to_string();
    if id.is_empty() {
        Err(Error::Slurm { command: "sbatch".into(), message: format!("it said no id: {text}") })
    } else {
        Ok(id)
    }
}

/// The largest array that the site takes; `None` where it does not say.
pub fn max_array_size() -> Option<usize> {
    let config = said("scontrol", &["show", "config"]).ok()?;
    let line = config.lines().find(|line| line.trim_start().starts_with("MaxArraySize"))?;
    // Indices are below it.
    line.split('=').nth(1)?.trim().parse::<usize>().ok()?.checked_sub(1).filter(|n| *n > 0)
}

/// A part of the cluster that takes jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// `up`, or why it takes no jobs.
    pub availability: String,
    /// The longest time that a job may ask for, as Slurm writes it.
    pub time_limit: String,
    /// Nodes at work, idle, out of service, and in all, as Slurm writes it.
    pub nodes: String,
}

impl Partition {
    /// Whether it takes jobs and has nodes in service.
    pub fn is_open(&self) -> bool {
        let counts: Vec<u64> = self.nodes.split('/').filter_map(|n| n.parse().ok()).collect();
        self.availability == "up" && counts.iter().take(2).sum::<u64>() > 0
    }
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Partition { name, availability, time_limit, nodes } = self;
        write!(f, "{name} {availability}, {time_limit} at most, nodes {nodes} (at work/idle/out/all)")
    }
}

/// The partitions.
pub fn partitions() -> Result<Vec<Partition>> {
    let text = said("sinfo", &["--noheader", "--summarize", "--format=%R|%a|%l|%F"])?;
    let parse = |line: &str| {
        let mut fields = line.split('|').map(|field| field.trim().to_string());
        Some(Partition {
            name: fields.next().filter(|name| !name.is_empty())?,
            availability: fields.next()?,
            time_limit: fields.next()?,
            nodes: fields.next()?,
        })
    };
    Ok(text.lines().filter_map(parse).collect())
}

/// A task or a job, as Slurm sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// `RUNNING`, `PENDING`, or whatever Slurm says.
    pub name: String,
    /// Where it runs, or why it does not.
    pub place: String,
}

impl State {
    /// Whether it has ended. A state that is not known here has not.
    pub fn is_over(&self) -> bool {
        self.name == "COMPLETED" || self.is_given_up()
    }

    /// Whether it has ended without being done, and Slurm does not run it again.
    pub fn is_given_up(&self) -> bool {
        const ENDS: [&str; 8] =
            ["FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "PREEMPTED"];
        ENDS.contains(&self.name.as_str())
    }
}

/// The tasks of these jobs that Slurm still knows, by `ARRAY_TASK` or job id.
pub fn states(jobs: &[&str]) -> Result<BTreeMap<String, State>> {
    let listed = jobs.join(",");
    let output = run("squeue", &["--noheader", "--array", "--states=all", "--format=%i|%T|%R", "--jobs", &listed])?;
    let text = String::from_utf8_lossy(&output.stdout);
    // A job that is forgotten is no error: its tasks are known by what they published.
    if !output.status.success() && !String::from_utf8_lossy(&output.stderr).contains("Invalid job id") {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_string();
        return Err(Error::Slurm { command: "squeue".into(), message });
    }
    let parse = |line: &str| {
        let mut fields = line.splitn(3, '|').map(|field| field.trim().to_string());
        Some((fields.next()?, State { name: fields.next()?, place: fields.next().unwrap_or_default() }))
    };
    Ok(text.lines().filter_map(parse).collect())
}

/// Cancels jobs.
pub fn cancel(jobs: &[&str]) -> Result<()> {
    said("scancel", jobs).map(drop)
}
