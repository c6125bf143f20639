//! `pipeline retry`: what failed is tried again, and nothing else is done.

use clap::Args;
use contract::{Cause, Kind};

use crate::cli::run::run_session;
use crate::cli::signals::Signals;
use crate::cli::{Common, print};
use crate::config::nearest;
use crate::error::{Error, Result};
use crate::exchange::imported::Imported;
use crate::plan::{Depth, Part};
use crate::selection::Wanted;
use crate::session::Session;
use crate::store::index::{Index, IndexedFile};
use crate::ui::plural;
use crate::{exit, registry};

/// Options of `retry`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Stages of which failed items are tried again [default: all]
    #[arg(value_name = "STAGE")]
    stages: Vec<String>,
    /// Only what failed for this cause, e.g. `timeout`; may be repeated [default: every cause]
    #[arg(long, value_name = "CAUSE")]
    class: Vec<String>,
    /// Progress as JSON Lines on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    brake: super::run::Brake,
    #[command(flatten)]
    common: Common,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    let mut config = options.common.config()?;
    options.brake.apply(&mut config);
    let causes = if options.class.is_empty() { Cause::ALL.to_vec() } else { causes(&options.class)? };
    // Those that have failures: what never ran, and what it needs, is no concern of a retry.
    let mut stages: Vec<String> = options.stages.clone();
    if stages.is_empty() {
        for stage in registry::item_stages() {
            // What others computed is not computed here.
            if Imported::read(&config.work_dir(), stage.id)?.is_some() {
                continue;
            }
            let index = Index::open(&config.work_dir(), stage.id, false)?;
            let mut failures = index.files.iter().flat_map(IndexedFile::failures);
            stages.extend(failures.any(|cause| causes.contains(&cause)).then(|| stage.id.to_string()));
        }
    }
    let keep_frames = stages.iter().any(|s| s == extract_frames::DECL.id);
    let mut selected = registry::select(&stages, keep_frames, &[]).map_err(Error::Usage)?;
    selected.retain(|stage| stage.kind == Kind::Item);
    let signals = Signals::listen();
    let part = Part { retry: causes, ..Part::default() };
    let session = Session::open_part(config, selected, Depth::Run, part, &Wanted::default())?;
    let failed: usize = session.plans.iter().map(|plan| plan.counts().retries()).sum();
    if failed == 0 {
        let cause = if options.class.is_empty() { "" } else { " for such a cause" };
        print(&format!("no item has failed{cause}: there is nothing to try again\n"))?;
        return Ok(exit::DONE);
    }
    if !options.json {
        print(&format!("{} to be tried again\n", plural(failed, "failed value")))?;
    }
    run_session(&session, &signals, options.json)
}

/// The causes with these names.
pub(super) fn causes(names: &[String]) -> Result<Vec<Cause>> {
    let cause = |name: &String| {
        let known = || Cause::ALL.iter().map(|cause| cause.name());
        Cause::ALL.into_iter().find(|cause| cause.name() == name).ok_or_else(|| {
            let hint = nearest(name, known()).map_or_else(
                || format!("there are {}", known().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            Error::Usage(format!("--class {name}: no such cause; {hint}"))
        })
    };
    names.iter().map(cause).collect()
}
