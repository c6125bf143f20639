//! `pipeline run`

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::cli::{Common, print, print_json};
use crate::error::{Error, IoContext, Result};
use crate::events::Reporter;
use crate::session::Session;
use crate::store::WorkDir;
use crate::ui::{Human, JsonLines, Tee};
use crate::{exit, registry, run};

/// Options of `run`.
#[derive(Debug, Args)]
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
    #[command(flatten)]
    common: Common,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    let config = options.common.config()?;
    let keep_frames = config.run.keep_frames || options.stages.iter().any(|s| s == extract_frames::DECL.id);
    let selected = registry::select(&options.stages, keep_frames, &config.run.skip).map_err(Error::Usage)?;
    if options.dry_run {
        let session = Session::open(config, selected, false)?;
        let overview = super::status::Overview::new(&session)?;
        if options.json {
            print_json(&overview)?;
        } else {
            print(&overview.to_string())?;
        }
        return Ok(if overview.is_current() { exit::DONE } else { exit::WORK_IS_DUE });
    }

    let stop = stop_on_signals();
    let every = config.run.progress_every;
    let session = Session::open(config, selected, true)?;
    let record = JsonLines::new(record_file(&session.work)?);
    let (human, json);
    let screen: &dyn Reporter = if options.json {
        json = JsonLines::new(std::io::stdout());
        &json
    } else {
        human = Human::new(every);
        &human
    };
    let finish = run::run(&session, &Tee(vec![screen, &record]), &stop)?;
    if let (Some(report), false) = (&finish.report, options.json) {
        print(&format!("\n{report}"))?;
    }
    Ok(match (finish.stopped, finish.failed) {
        (true, _) => exit::STOPPED,
        (false, 0) => exit::DONE,
        (false, _) => exit::DONE_WITH_FAILURES,
    })
}

/// SIGINT, SIGTERM and SIGUSR1 ask for an orderly end; a second SIGINT ends at once, which is safe, too.
fn stop_on_signals() -> Arc<AtomicBool> {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
    let stop = Arc::new(AtomicBool::new(false));
    let interrupted = Arc::clone(&stop);
    signal_hook::flag::register_conditional_shutdown(SIGINT, i32::from(exit::STOPPED), interrupted)
        .expect("SIGINT may be handled");
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).expect("the signal may be handled");
    }
    stop
}

/// One file a run: `runs/MILLISECONDS-PID.jsonl`.
fn record_file(work: &WorkDir) -> Result<File> {
    let folder = work.runs();
    std::fs::create_dir_all(&folder).at("create", &folder)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    let path = folder.join(format!("{now:014}-{}.jsonl", std::process::id()));
    File::create(&path).at("create", &path)
}
