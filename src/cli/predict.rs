//! `pipeline predict FILE…`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::{Common, print};
use crate::error::{Error, Result};
use crate::run::predict::{Trained, predict};
use crate::ui::Human;
use crate::{config, exit};

/// Options of `predict`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Media files, or folders of them; a video and a sound of one name in one folder are one clip
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The trained system to ask, or `all` [default: audio-visual, or the next best that was trained]
    #[arg(long, value_name = "STAGE")]
    system: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    let config = options.common.config()?;
    let work = config.work_dir();
    let mut systems = Trained::all(&work);
    if systems.is_empty() {
        let message = format!(
            "no system was trained in {}: run `pipeline run all` there first, or name another work directory with --work",
            work.root().display()
        );
        return Err(Error::Usage(message));
    }
    match options.system.as_deref() {
        Some("all") => {}
        None => systems.truncate(1),
        Some(name) => {
            let known: Vec<&str> = systems.iter().map(|s| s.decl.id).collect();
            let hint = config::nearest(name, known.iter().copied())
                .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            let trained = known.join(", ");
            systems.retain(|s| s.decl.id == name);
            if systems.is_empty() {
                return Err(Error::Usage(format!("no system `{name}` was trained{hint} (trained: {trained})")));
            }
        }
    }
    let mut failed = false;
    let reporter = Human::new(Duration::from_secs_f64(config.run.progress_every));
    predict(&config, &systems, &options.files, &reporter, &mut |line| {
        failed |= line.error.is_some();
        print(&(serde_json::to_string(&line).expect("plain data") + "\n"))
    })?;
    Ok(if failed { exit::DONE_WITH_FAILURES } else { exit::DONE })
}
