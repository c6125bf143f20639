//! `pipeline import`

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::export::{failures, list};
use crate::cli::{Common, print};
use crate::error::{Error, Result};
use crate::exchange::export::STAGES;
use crate::exchange::import::{Orientation, Request, import};
use crate::ui::plural;
use crate::{exit, registry};

/// Options of `import`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The stage whose values they are: log-mel or encode-clip
    #[arg(value_name = "STAGE")]
    stage: String,
    /// HDF5 files with one dataset per clip, named after it; or one .npy matrix
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// For a .npy matrix: a text file with one id per line
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// For a .npy matrix with several rows per clip: where each clip begins, and the end (M + 1 integers, .npy)
    #[arg(long, value_name = "FILE")]
    offsets: Option<PathBuf>,
    /// Order of the axes of a spectrogram
    #[arg(long, value_enum, default_value_t)]
    orientation: Orientation,
    #[command(flatten)]
    common: Common,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    let config = options.common.config()?;
    if !STAGES.contains(&options.stage.as_str()) {
        let message = format!("`{}` cannot be imported; can be: {}", options.stage, STAGES.join(", "));
        return Err(Error::Usage(message));
    }
    let decl = registry::find(&options.stage).expect("an item stage is registered");
    let dataset = discover::discover(config.data()?, &config.discover)?;
    let request = Request {
        decl,
        files: &options.files,
        ids: options.ids.as_deref(),
        offsets: options.offsets.as_deref(),
        orientation: options.orientation,
    };
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(dataset.items.len() as u64), target);
    bar.set_style(ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}, {eta} left").expect("a good template"));
    bar.set_message(options.stage.clone());
    let work = config.work_dir();
    let outcome = import(&config, &dataset.items, &work, &request, &|done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let mut text = format!(
        "{}: {} of {} imported, {} numbers a row; in {}\n",
        options.stage,
        outcome.items,
        plural(dataset.items.len(), "item"),
        outcome.width,
        work.stage(decl.id).display()
    );
    if !outcome.unknown.is_empty() {
        let n = outcome.unknown.len();
        text += &format!(
            "  {} in the files and not in the data set, left out: {}\n",
            plural(n, "name"),
            list(&outcome.unknown)
        );
    }
    text += &failures(&outcome.failed);
    print(&text)?;
    Ok(if outcome.failed.is_empty() { exit::DONE } else { exit::DONE_WITH_FAILURES })
}
