//! `pipeline failures`

use clap::Args;
use contract::Cause;
use serde::Serialize;

use crate::cli::{Common, print, print_json};
use crate::error::Result;
use crate::store::index::Index;
use crate::{exit, registry};

/// Options of `failures`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// As JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// As CSV
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Serialize)]
struct Row {
    stage: &'static str,
    id: String,
    cause: Cause,
    message: String,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    let config = options.common.config()?;
    let work = config.work_dir();
    let mut rows = Vec::new();
    for stage in registry::item_stages() {
        let index = Index::open(&work, stage.id, false)?;
        let parts = work.parts(stage.id);
        for file in index.files.iter().filter(|file| !file.path.starts_with(&parts) || is_fresh_part(&file.path)) {
            for item in &file.items {
                if let Some((cause, message)) = &item.failed {
                    rows.push(Row { stage: stage.id, id: item.id.clone(), cause: *cause, message: message.clone() });
                }
            }
        }
    }
    if options.json {
        print_json(&rows)?;
    } else if options.csv {
        let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let mut text = "stage,id,cause,message\n".to_string();
        for row in &rows {
            text += &format!("{},{},{},{}\n", row.stage, quote(&row.id), row.cause, quote(&row.message));
        }
        print(&text)?;
    } else if rows.is_empty() {
        print("no item has failed\n")?;
    } else {
        for row in &rows {
            print(&format!("{:<15} {}  {}: {}\n", row.stage, row.id, row.cause, row.message))?;
        }
    }
    Ok(exit::DONE)
}

/// A part in the making, as opposed to a superseded shard.
fn is_fresh_part(path: &std::path::Path) -> bool {
    path.file_name().and_then(|n| n.to_str()).is_some_and(|name| name.starts_with("part-"))
}
