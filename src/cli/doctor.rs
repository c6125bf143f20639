//! `pipeline doctor`

use std::fmt::Write as _;

use clap::Args;

use crate::cli::{Common, print, print_json};
use crate::doctor::{Verdict, examine};
use crate::error::Result;
use crate::exit;

/// Options of `doctor`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    let checks = examine(&options.common.config()?);
    if options.json {
        print_json(&checks)?;
    } else {
        let mut text = String::new();
        for check in &checks {
            let mark = match check.verdict {
                Verdict::Good => "good",
                Verdict::Note => "note",
                Verdict::Bad => "BAD ",
            };
            let _ = writeln!(text, "{mark}  {:<15} {}", check.what, check.found);
        }
        print(&text)?;
    }
    let is_bad = checks.iter().any(|check| check.verdict == Verdict::Bad);
    Ok(if is_bad { exit::FAILED } else { exit::DONE })
}
