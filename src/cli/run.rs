//! `pipeline run`

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::cli::choice::Choice;
use crate::cli::signals::Signals;
use crate::cli::{Common, print, print_json};
use crate::config::{Config, FailureLimit};
use crate::error::{IoContext, Result};
use crate::events::{Event, Reporter};
use crate::plan::Depth;
use crate::session::Session;
use crate::store::WorkDir;
use crate::trace::Trace;
use crate::ui::{Human, JsonLines, Pulse, Tee};
use crate::{exit, run};

/// Options of `run`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Options {
    /// Stages to run, or `all`
    #[arg(required = true, value_name = "STAGE")]
    stages: Vec<String>,
    /// Only say what would be done, and why; exit code 3 when there is something
    #[arg(long)]
    dry_run: bool,
    /// Progress as JSON Lines on standard output
    #[arg(long)]
    json: bool,
    /// Write where the time goes, for Perfetto or chrome://tracing
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    /// Compute again what is there, of one stage or of all that run
    #[arg(
        long,
        value_name = "STAGE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all",
        help_heading = "What to take up"
    )]
    force: Vec<String>,
    #[command(flatten)]
    brake: Brake,
    #[command(flatten)]
    common: Common,
}

/// When failed items stop a run.
#[derive(Debug, Args)]
#[command(next_help_heading = "When items fail")]
pub(super) struct Brake {
    /// Stop when more items than this fail: a number, or a share such as 5% [default: run.max_failures, which is never]
    #[arg(long, value_name = "N|P%", group = "brake", allow_hyphen_values = true)]
    max_failures: Option<FailureLimit>,
    /// Stop at the first item that fails
    #[arg(long, group = "brake")]
    fail_fast: bool,
    /// Never stop for items that fail
    #[arg(long, group = "brake")]
    keep_going: bool,
}

impl Brake {
    pub(super) fn apply(&self, config: &mut Config) {
        let named = self.max_failures.or(self.fail_fast.then_some(FailureLimit::Items(0)));
        if let Some(limit) = named.or(self.keep_going.then_some(FailureLimit::Never)) {
            config.run.max_failures = limit;
        }
    }
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    let mut config = options.common.config()?;
    options.brake.apply(&mut config);
    let (selected, part, wanted) = options.choice.take(&options.stages, &options.force, &mut config)?;
    if options.dry_run {
        let session = Session::open_part(config, selected, Depth::Look, part, &wanted)?;
        let overview = super::status::Overview::new(&session)?;
        if options.json {
            print_json(&overview)?;
        } else {
            print(&overview.to_string())?;
        }
        return Ok(if overview.is_current() { exit::DONE } else { exit::WORK_IS_DUE });
    }
    let signals = Signals::listen();
    let mut session = Session::open_part(config, selected, Depth::Run, part, &wanted)?;
    session.trace = options.trace.as_deref().map(Trace::create).transpose()?.map(Arc::new);
    let code = run_session(&session, &signals, options.json);
    // Giving back the memory of a million items piece by piece takes a while, and the process ends here.
    let Session { dataset, plans, .. } = session;
    std::mem::forget((dataset, plans));
    code
}

/// Runs a session, tells how it goes, and chooses the exit code.
pub(super) fn run_session(session: &Session, signals: &Signals, json: bool) -> Result<u8> {
    let record = JsonLines::new(record_file(&session.work)?);
    let (human, lines);
    let mut period = Duration::from_secs_f64(session.config.run.progress_every);
    let screen: &dyn Reporter = if json {
        lines = JsonLines::new(std::io::stdout());
        &lines
    } else {
        human = Human::new(period);
        period = human.period();
        &human
    };
    let pulse = Pulse::new();
    let reporter = Tee::new(vec![&pulse, screen, &record]);
    reporter.report(&Event::Started {
        host: crate::store::publish::host(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION"),
        command: std::env::args().skip(1).collect(),
    });
    let work = || run::run(session, &reporter, signals.stop());
    // For whoever looks on; the record of the run has what it is made of.
    let work = || pulse.during(period, |event| screen.report(event), work);
    let finish = signals.during(session.config.run.drain, &reporter, work).inspect_err(|error| {
        reporter.report(&Event::Failed { message: error.to_string() });
    })?;
    if let (Some(report), false) = (&finish.report, json) {
        print(&format!("\n{report}"))?;
    }
    Ok(match (finish.stopped, finish.failed) {
        (true, _) => exit::STOPPED,
        (false, 0) => exit::DONE,
        (false, _) => exit::DONE_WITH_FAILURES,
    })
}

/// One file a run: `runs/MILLISECONDS-PID.jsonl`.
fn record_file(work: &WorkDir) -> Result<File> {
    let folder = work.runs();
    std::fs::create_dir_all(&folder).at("create", &folder)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    let path = folder.join(format!("{now:014}-{}.jsonl", std::process::id()));
    File::create(&path).at("create", &path)
}
