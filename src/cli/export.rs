//! `pipeline export`

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;

use crate::cli::{Common, print};
use crate::error::{Error, Result};
use crate::exchange::export::{Request, STAGES, export};
use crate::exit;
use crate::ui::plural;

/// Names shown of a list.
pub(super) const SHOWN: usize = 10;

/// Options of `export`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The stage: log-mel or encode-clip
    #[arg(value_name = "STAGE")]
    stage: String,
    /// NAME.h5 (one dataset per clip, as the reference example), NAME.parquet, or a folder (npy); must not exist
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Only the items of this split (needs the data set)
    #[arg(long, value_name = "SPLIT")]
    split: Option<String>,
    /// Export what there is although shards are missing
    #[arg(long)]
    partial: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    let config = options.common.config()?;
    let stage = STAGES.into_iter().find(|stage| *stage == options.stage);
    let stage = stage.ok_or_else(|| {
        Error::Usage(format!("`{}` cannot be exported; can be: {}", options.stage, STAGES.join(", ")))
    })?;
    let only = match &options.split {
        None => None,
        Some(split) => {
            let items = discover::discover(config.data()?, &config.discover)?.items;
            let chosen: BTreeSet<String> =
                items.into_iter().filter(|item| item.split.as_ref() == Some(split)).map(|item| item.id).collect();
            if chosen.is_empty() {
                return Err(Error::Usage(format!("no item is in the split `{split}` (splits: train, val, test)")));
            }
            Some(chosen)
        }
    };
    let request = Request { stage, out: &options.out, only: only.as_ref(), partial: options.partial };
    let exported = export(&config.work_dir(), &request)?;
    let mut text = format!(
        "{}: {}, {} in all\n",
        options.out.display(),
        plural(exported.items, "item"),
        plural(exported.rows, "row")
    );
    if !exported.missing.is_empty() {
        text += &format!("  {} missing: {}\n", plural(exported.missing.len(), "shard"), list(&exported.missing));
    }
    if !exported.absent.is_empty() {
        text += &format!(
            "  {} of the split in no shard: {}\n",
            plural(exported.absent.len(), "item"),
            list(&exported.absent)
        );
    }
    text += &failures(&exported.failed);
    print(&text)?;
    let whole = exported.failed.is_empty() && exported.missing.is_empty() && exported.absent.is_empty();
    Ok(if whole { exit::DONE } else { exit::DONE_WITH_FAILURES })
}

/// The items without values.
pub(super) fn failures(failed: &[(String, contract::Failure)]) -> String {
    let mut text = String::new();
    for (id, failure) in failed.iter().take(SHOWN) {
        text += &format!("  without values: {id}: {failure}\n");
    }
    if failed.len() > SHOWN {
        text += &format!("  … and {} more without values\n", failed.len() - SHOWN);
    }
    text
}

/// The first of many names.
pub(super) fn list(names: &[String]) -> String {
    let dots = if names.len() > SHOWN { ", …" } else { "" };
    names[..names.len().min(SHOWN)].join(", ") + dots
}
