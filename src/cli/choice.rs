//! Which part of the work a command takes up, as a person types it.

use clap::Args;
use contract::Decl;

use crate::error::{Error, Result};
use crate::plan::Part;
use crate::registry;
use crate::selection::{Share, Wanted};

/// Options of commands that take up a part of the work.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to take up")]
pub(super) struct Choice {
    /// This stage and what reads it; what it reads must be there
    #[arg(long, value_name = "STAGE")]
    from: Option<String>,
    /// This stage and what it reads
    #[arg(long, value_name = "STAGE")]
    until: Option<String>,
    /// This stage alone; what it reads must be there. May be repeated
    #[arg(long, value_name = "STAGE", conflicts_with_all = ["from", "until"])]
    only: Vec<String>,
    /// Items whose id matches, e.g. 'park-*', or that are listed in @FILE, an id a line. May be repeated
    #[arg(long, value_name = "PATTERN|@FILE")]
    items: Vec<String>,
    /// The first N of them
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// N of them, drawn by the hash of their ids: always the same ones
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// The I-th of N equal parts of the shards: what one task of a job array does
    #[arg(long, value_name = "I/N")]
    shards: Option<Share>,
    /// Compute again what is there, of one stage or of all that run
    #[arg(long, value_name = "STAGE", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    force: Vec<String>,
}

impl Choice {
    /// Of the stages that are selected: those that stay, and the part of the work.
    pub(super) fn apply(&self, mut selected: Vec<&'static Decl>) -> Result<(Vec<&'static Decl>, Part, Wanted)> {
        if let Some(until) = self.until.as_deref() {
            let until = named(until, &selected)?;
            selected.retain(|stage| registry::reads(until, stage));
        }
        let mut settled = Vec::new();
        if let Some(from) = self.from.as_deref() {
            let from = named(from, &selected)?;
            // What stands beside it is no part of it either.
            settled = selected.iter().filter(|stage| !registry::reads(stage, from)).map(|stage| stage.id).collect();
        }
        if !self.only.is_empty() {
            let only = self.only.iter().map(|name| named(name, &selected)).collect::<Result<Vec<_>>>()?;
            selected.retain(|stage| only.iter().any(|only| registry::reads(only, stage)));
            let is_only = |stage: &&Decl| only.iter().any(|only| only.id == stage.id);
            settled = selected.iter().filter(|stage| !is_only(stage)).map(|stage| stage.id).collect();
        }
        let mut force = Vec::new();
        for name in &self.force {
            if name == "all" {
                force.extend(selected.iter().map(|stage| stage.id).filter(|id| !settled.contains(id)));
            } else {
                force.push(named(name, &selected)?.id);
            }
        }
        let wanted = Wanted { items: self.items.clone(), limit: self.limit, sample: self.sample, shards: self.shards };
        Ok((selected, Part { settled, force, ..Part::default() }, wanted))
    }
}

/// A stage by its name, which must be among the selected ones.
fn named(name: &str, selected: &[&'static Decl]) -> Result<&'static Decl> {
    selected.iter().copied().find(|stage| stage.id == name).ok_or_else(|| {
        let known: Vec<&str> = selected.iter().map(|stage| stage.id).collect();
        let hint = crate::config::nearest(name, known.iter().copied())
            .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        Error::Usage(format!("`{name}` is not among the stages that run{hint} ({})", known.join(", ")))
    })
}
