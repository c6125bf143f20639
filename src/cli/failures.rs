//! `pipeline failures`

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use contract::Cause;
use serde::Serialize;

use crate::cli::retry::causes;
use crate::cli::{Common, print, print_json};
use crate::error::Result;
use crate::history::runs;
use crate::store::attempts::Attempts;
use crate::store::index::Index;
use crate::ui::plural;
use crate::{exit, registry};

/// Options of `failures`.
#[derive(Debug, Args)]
#[command(after_long_help = meanings())]
pub(super) struct Options {
    /// Only what failed for this cause; may be repeated
    #[arg(long, value_name = "CAUSE")]
    class: Vec<String>,
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
    /// How often it was tried.
    attempts: u32,
    /// Whether the next run tries it again by itself.
    tried_again: bool,
    message: String,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    let config = options.common.config()?;
    let work = config.work_dir();
    let wanted = if options.class.is_empty() { Cause::ALL.to_vec() } else { causes(&options.class)? };
    let attempts = Attempts::load(&work.attempts());
    let mut rows = Vec::new();
    for stage in registry::item_stages() {
        let index = Index::open(&work, stage.id, false)?;
        let parts = work.parts(stage.id);
        for file in index.files.iter().filter(|file| !file.path.starts_with(&parts) || is_fresh_part(&file.path)) {
            for item in &file.items {
                let Some((cause, message)) = &item.failed else { continue };
                if wanted.contains(cause) {
                    rows.push(Row {
                        stage: stage.id,
                        id: item.id.clone(),
                        cause: *cause,
                        attempts: attempts.of(&item.id, &item.key),
                        tried_again: cause.is_transient(),
                        message: message.clone(),
                    });
                }
            }
        }
    }
    if options.json {
        print_json(&rows)?;
    } else if options.csv {
        print(&as_csv(&rows))?;
    } else if rows.is_empty() && runs(&work, 1)?.is_empty() {
        print(&format!("nothing was run in {}\n", work.root().display()))?;
    } else {
        print(&as_text(&rows))?;
    }
    Ok(exit::DONE)
}

fn as_csv(rows: &[Row]) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut text = "stage,id,cause,attempts,message\n".to_string();
    for row in rows {
        let (id, message) = (quote(&row.id), quote(&row.message));
        let _ = writeln!(text, "{},{id},{},{},{message}", row.stage, row.cause, row.attempts);
    }
    text
}

fn as_text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "no item has failed\n".to_string();
    }
    let mut text = String::new();
    let mut by_cause = BTreeMap::<Cause, usize>::new();
    for row in rows {
        *by_cause.entry(row.cause).or_default() += 1;
        let tries = if row.attempts > 1 { format!(" (tried {} times)", row.attempts) } else { String::new() };
        let _ = writeln!(text, "{:<15} {}  {}: {}{tries}", row.stage, row.id, row.cause, row.message);
    }
    let _ = writeln!(text);
    for (cause, count) in by_cause {
        let again =
            if cause.is_transient() { "the next run tries them again" } else { "`pipeline retry` tries them again" };
        let _ = writeln!(text, "{:<12} {}: {}; {again}", cause.name(), plural(count, "value"), cause.meaning());
    }
    text
}

/// The closed list of causes.
fn meanings() -> String {
    let mut text = "Causes:\n".to_string();
    for cause in Cause::ALL {
        let again = if cause.is_transient() { " (the next run tries again by itself)" } else { "" };
        let _ = writeln!(text, "  {:<12} {}{again}", cause.name(), cause.meaning());
    }
    text += "\nOther causes are lasting: they are tried again when the file or the parameters change, or by `pipeline retry`.";
    text
}

/// A part in the making, as opposed to a superseded shard.
fn is_fresh_part(path: &std::path::Path) -> bool {
    path.file_name().and_then(|n| n.to_str()).is_some_and(|name| name.starts_with("part-"))
}
