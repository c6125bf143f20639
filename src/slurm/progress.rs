//! How far a submission is: what Slurm says of its tasks, and what they have published.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::plan::{Counts, StagePlan};
use crate::slurm::queue::State;
use crate::slurm::submission::Submission;
use crate::ui::{duration, plural};

/// How far a submission is.
#[derive(Debug, Serialize)]
pub struct Progress {
    submission: String,
    array: Option<String>,
    sets: Option<String>,
    /// Tasks by what Slurm says of them; those that it has forgotten are `done` or `ended` by what they published.
    tasks: BTreeMap<String, usize>,
    /// What Slurm says of the job behind the array.
    sets_state: Option<String>,
    /// The stages of the array.
    stages: BTreeMap<&'static str, Counts>,
    /// Items a second since it was submitted.
    rate: f64,
    /// Seconds left at that rate; nothing while none is done.
    seconds_left: Option<f64>,
    /// Where tasks are, or why they wait: each reason with its number.
    places: BTreeMap<String, usize>,
    /// Tasks that ended without being done.
    to_retry: usize,
}

impl Progress {
    /// By the plans as they are now and the states that Slurm tells.
    pub fn new(submission: &Submission, plans: &[StagePlan], states: &BTreeMap<String, State>) -> Progress {
        let (mut tasks, mut places, mut to_retry) = (BTreeMap::new(), BTreeMap::new(), 0);
        let shards = plans.iter().map(|plan| plan.shards.len()).max().unwrap_or(0);
        let is_published = |share: usize| {
            let range = shards * (share - 1) / submission.shares..shards * share / submission.shares;
            range.clone().all(|k| plans.iter().all(|plan| plan.shards.get(k).is_none_or(|s| s.stale.is_none())))
        };
        for task in &submission.tasks {
            let id = format!("{}_{task}", submission.array.as_deref().unwrap_or_default());
            let word = match states.get(&id) {
                Some(state) => {
                    to_retry += usize::from(state.is_given_up());
                    if !state.is_over() && !state.place.is_empty() {
                        *places.entry(state.place.clone()).or_default() += 1;
                    }
                    state.name.to_lowercase()
                }
                None if is_published(*task) => "done".to_string(),
                None => {
                    to_retry += 1;
                    "ended".to_string()
                }
            };
            *tasks.entry(word).or_default() += 1;
        }
        let stages: BTreeMap<&'static str, Counts> = plans.iter().map(|plan| (plan.decl.id, plan.counts())).collect();
        let left = stages.values().map(|counts| counts.due).max().unwrap_or(0);
        let done = submission.items.saturating_sub(left);
        let began = submission.name.parse::<f64>().unwrap_or(0.0) / 1e3;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        let rate = done as f64 / (now - began).max(1e-3);
        Progress {
            submission: submission.folder.display().to_string(),
            array: submission.array.clone(),
            sets: submission.sets.clone(),
            tasks,
            sets_state: submission.sets.as_ref().and_then(|id| states.get(id)).map(|state| state.name.to_lowercase()),
            stages,
            rate,
            seconds_left: (done > 0 && left > 0).then(|| left as f64 / rate),
            places,
            to_retry,
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(array) = &self.array {
            let tasks: Vec<String> = self.tasks.iter().map(|(state, n)| format!("{n} {state}")).collect();
            writeln!(f, "array {array}: {}", tasks.join(", "))?;
        }
        if let Some(sets) = &self.sets {
            writeln!(f, "job {sets}, the systems: {}", self.sets_state.as_deref().unwrap_or("not known to Slurm"))?;
        }
        for (stage, counts) in &self.stages {
            let failed = if counts.failed > 0 { format!(", {} failed", counts.failed) } else { String::new() };
            writeln!(f, "  {stage:<15} {} of {} done{failed}", counts.done + counts.failed, counts.items)?;
        }
        if let Some(left) = self.seconds_left {
            let left = duration(left);
            writeln!(f, "  {:.1} items/s since it was submitted, {left} left at that rate", self.rate)?;
        }
        for (place, n) in &self.places {
            writeln!(f, "  {} on or waiting for {place}", plural(*n, "task"))?;
        }
        if self.to_retry > 0 {
            let hint =
                "`pipeline slurm logs TASK` shows what a task said; `pipeline slurm retry` submits what is missing";
            writeln!(f, "{hint}")?;
        }
        Ok(())
    }
}
