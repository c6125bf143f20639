//! `pipeline runs` and `pipeline logs`: what was run on a work directory, and what it said.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};

use clap::Args;
use serde_json::Value;

use crate::cli::{Common, print, print_json};
use crate::error::{Error, IoContext, Result};
use crate::exit;
use crate::history::{Past, runs};
use crate::ui::duration;

/// Options of `runs`.
#[derive(Debug, Args)]
pub(super) struct Runs {
    /// So many at most, the latest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

/// Options of `logs`.
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// The run, by its name in `pipeline runs` or the end of it [default: the latest]
    run: Option<String>,
    /// Every event as it was recorded: JSON Lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) fn list(options: &Runs) -> Result<u8> {
    let work = options.common.config()?.work_dir();
    let runs = runs(&work, options.limit)?;
    if options.json {
        print_json(&runs)?;
    } else if runs.is_empty() {
        print(&format!("nothing was run in {}\n", work.root().display()))?;
    } else {
        let mut text = format!("{:<24} {:<20} {:>10}  {:<28} command\n", "run", "began (UTC)", "took", "end");
        for past in &runs {
            let took = past.end.as_ref().map_or_else(|| "-".to_string(), |end| duration(end.seconds));
            let command = past.command.join(" ");
            let _ = writeln!(text, "{:<24} {:<20} {took:>10}  {:<28} {command}", past.run, date(past.began), end(past));
        }
        print(&text)?;
    }
    Ok(exit::DONE)
}

fn end(past: &Past) -> String {
    if past.error.is_some() {
        return "error (pipeline logs)".to_string();
    }
    let Some(end) = &past.end else { return "killed, or at work".to_string() };
    let computed: usize = end.computed.values().sum();
    let how = if end.stopped { "stopped" } else { "done" };
    let failed = if end.failed > 0 { format!(", {} failed", end.failed) } else { String::new() };
    format!("{how}, {computed} computed{failed}")
}

pub(super) fn show(options: &Logs) -> Result<u8> {
    let work = options.common.config()?.work_dir();
    let runs = runs(&work, usize::MAX)?;
    let found = match &options.run {
        None => runs.first(),
        Some(name) => runs.iter().find(|past| past.run == *name || past.run.ends_with(name.as_str())),
    };
    let past = found.ok_or_else(|| {
        let root = work.root().display();
        Error::Usage(match (&options.run, runs.is_empty()) {
            (Some(name), false) => format!("there is no run `{name}` in {root}: `pipeline runs` lists them"),
            _ => format!("nothing was run in {root}"),
        })
    })?;
    let file = std::fs::File::open(&past.path).at("read", &past.path)?;
    for line in BufReader::new(file).lines() {
        let line = line.at("read", &past.path)?;
        if options.json {
            print(&(line + "\n"))?;
        } else if let Some(said) = serde_json::from_str(&line).ok().as_ref().and_then(in_words) {
            print(&(said + "\n"))?;
        }
    }
    Ok(exit::DONE)
}

/// What a person wants to read of an event; single items are left to `--json`, but for those that failed.
fn in_words(event: &Value) -> Option<String> {
    let text = |field: &str| event[field].as_str().unwrap_or_default().to_string();
    let stage = || text("stage");
    Some(match event["event"].as_str()? {
        "started" => format!("on {}: pipeline {}", text("host"), join(&event["command"])),
        "discovered" => format!("{}: {} items", text("name"), event["items"]),
        "planned" => format!("  {:<15} {} to do, {} done", stage(), event["counts"]["due"], event["counts"]["done"]),
        "model-loaded" => format!("  {:<15} {}", stage(), text("model")),
        "item" if !event["failure"].is_null() => {
            let failure = &event["failure"];
            let (cause, message) = (failure["cause"].as_str()?, failure["message"].as_str()?);
            format!("  failed: {} {}: {cause}: {message}", stage(), text("id"))
        }
        "warning" => format!("warning: {}", text("message")),
        "failed" => format!("error: {}", text("message")),
        "draining" => "asked to stop".to_string(),
        "note" => format!("  {:<15} {}", stage(), text("message")),
        "set-stage" => format!("  {:<15} {}", stage(), text("summary")),
        "finished" => {
            let how = if event["stopped"] == true { "stopped" } else { "finished" };
            format!("{how} after {}", duration(event["seconds"].as_f64()?))
        }
        _ => return None,
    })
}

fn join(words: &Value) -> String {
    let words = words.as_array().into_iter().flatten().filter_map(Value::as_str);
    words.collect::<Vec<_>>().join(" ")
}

/// `2026-11-28 19:45:10`
fn date(seconds: f64) -> String {
    let date = chrono::DateTime::from_timestamp(seconds as i64, 0);
    date.map_or_else(|| "?".to_string(), |date| date.format("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(1_795_895_110.5), "2026-11-28 19:45:10");
        assert_eq!(date(f64::MAX), "?");
    }
}
