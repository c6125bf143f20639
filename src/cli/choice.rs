//! Which part of the work a command takes up, as a person types it.

use std::path::Path;

use clap::Args;
use contract::Decl;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::plan::Part;
use crate::registry;
use crate::selection::{Share, Wanted};

/// Which stages `all` is.
#[derive(Debug, Default, Args)]
pub(super) struct Skip {
    /// Leave these stages out of `all`, e.g. audio,audio-visual, which train for long; those of run.skip are left out anyway
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    skip: Vec<String>,
}

impl Skip {
    /// These.
    pub(super) fn these(skip: &[String]) -> Skip {
        Skip { skip: skip.to_vec() }
    }

    /// The stages that are left out by name.
    pub(super) fn names(&self) -> Vec<String> {
        self.skip.clone()
    }

    /// The stages with these names, `all` where none is named. What is left out is so for the configuration as well.
    pub(super) fn select(&self, names: &[String], config: &mut Config) -> Result<Vec<&'static Decl>> {
        config.run.skip.extend(self.skip.iter().cloned());
        let all = ["all".to_string()];
        let names = if names.is_empty() { &all[..] } else { names };
        let keep_frames = config.run.keep_frames || names.iter().any(|s| s == extract_frames::DECL.id);
        registry::select(names, keep_frames, &config.run.skip).map_err(|message| {
            let is_stage = |name: &String| name == "all" || registry::find(name).is_some();
            let data = names.iter().find(|name| !is_stage(name) && Path::new(name).exists());
            let hint = data.map_or(String::new(), |path| format!("; a data set is named by --data {path}"));
            Error::Usage(message + &hint)
        })
    }
}

/// The stages that stay, and the part of their work.
pub(super) type Chosen = (Vec<&'static Decl>, Part, Wanted);

/// Options of commands that take up a part of the work, or look at it.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to take up")]
pub(super) struct Choice {
    #[command(flatten)]
    skip: Skip,
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
}

impl Choice {
    /// Whether nothing is left out but stages.
    pub(super) fn is_whole(&self) -> bool {
        let Choice { skip: _, from, until, only, items, limit, sample, shards } = self;
        from.is_none()
            && until.is_none()
            && only.is_empty()
            && items.is_empty()
            && limit.is_none()
            && sample.is_none()
            && shards.is_none()
    }

    /// Of the stages with these names, see [`Skip::select`]: those that stay, and the part of the work. Of those in `force`, or of `all`,
    /// everything is taken up.
    pub(super) fn take(&self, names: &[String], force: &[String], config: &mut Config) -> Result<Chosen> {
        let mut selected = self.skip.select(names, config)?;
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
        let mut forced = Vec::new();
        for name in force {
            if name == "all" {
                forced.extend(selected.iter().map(|stage| stage.id).filter(|id| !settled.contains(id)));
            } else {
                forced.push(named(name, &selected)?.id);
            }
        }
        let wanted = Wanted { items: self.items.clone(), limit: self.limit, sample: self.sample, shards: self.shards };
        Ok((selected, Part { settled, force: forced, ..Part::default() }, wanted))
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
