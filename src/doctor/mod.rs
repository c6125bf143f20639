//! Is this machine fit for the configuration? Each check is a line: good, worth knowing, or bad, and then what to do.

mod libraries;
mod machine;
mod model;
mod scheduler;
mod store;

use serde::Serialize;

use crate::config::Config;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Not needed here, or slower than it could be.
    Note,
    /// A run with this configuration would fail.
    Bad,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub what: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, and what to do about it.
    pub found: String,
}

impl Check {
    fn good(what: &'static str, found: impl Into<String>) -> Check {
        Check { what, verdict: Verdict::Good, found: found.into() }
    }

    fn note(what: &'static str, found: impl Into<String>) -> Check {
        Check { what, verdict: Verdict::Note, found: found.into() }
    }

    fn bad(what: &'static str, found: impl Into<String>) -> Check {
        Check { what, verdict: Verdict::Bad, found: found.into() }
    }
}

/// Every check. Writes and removes a few small files in the work directory; runs nothing else.
pub fn examine(config: &Config) -> Vec<Check> {
    let work = config.work_dir();
    let mut checks = libraries::decoding(config);
    checks.push(libraries::shards());
    checks.extend(machine::device(config));
    checks.extend(model::checks(config));
    checks.push(machine::data(config));
    checks.extend(store::room(work.root()));
    checks.extend(store::behaviour(work.root()));
    checks.extend(scheduler::checks(config));
    checks
}
