//! What earlier runs did, by their records: how they ended, and how long the next one will take on this machine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::error::{IoContext, Result};
use crate::plan::{Counts, StagePlan};
use crate::store::WorkDir;
use crate::store::publish::host;

/// The first and the last event of a record fit into this; what is between need not be read.
const ENDS: u64 = 1 << 16;

/// Records that are looked at for a forecast.
const RECENT: usize = 100;

/// A forecast rests on so many items at least.
const ENOUGH: usize = 5;

/// One run, by its record.
#[derive(Debug, Clone, Serialize)]
pub struct Past {
    /// Name of the record, by which `pipeline logs` knows it.
    pub run: String,
    /// Where the record lies.
    pub path: PathBuf,
    /// When it began, in seconds since 1970.
    pub began: f64,
    /// Where it ran.
    pub host: String,
    /// What was typed.
    pub command: Vec<String>,
    /// How it ended; `None`: it was killed, or it is still at work, or there is an error.
    pub end: Option<End>,
    /// The error that it ended with.
    pub error: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, Serialize)]
pub struct End {
    /// Seconds in all.
    pub seconds: f64,
    /// Of these, over the clips.
    pub item_seconds: f64,
    /// By a signal.
    pub stopped: bool,
    /// Items computed by item stage, where there were any.
    pub computed: BTreeMap<String, usize>,
    /// Failures that are recorded in the store, over all item stages.
    pub failed: usize,
}

impl Past {
    fn read(path: &Path) -> Option<Past> {
        let run = path.file_stem()?.to_str()?.to_string();
        let began = run.split_once('-')?.0.parse::<f64>().ok()? / 1e3;
        let (first, last) = ends(path)?;
        let text = |value: &Value| value.as_str().map(str::to_string);
        let command = first["command"].as_array().map(|words| words.iter().filter_map(text).collect());
        let end = (last["event"] == "finished").then(|| End {
            seconds: last["seconds"].as_f64().unwrap_or(0.0),
            item_seconds: last["item_seconds"].as_f64().unwrap_or(0.0),
            stopped: last["stopped"].as_bool().unwrap_or(false),
            computed: stages(&last, "computed").filter(|(_, n)| *n > 0).collect(),
            failed: stages(&last, "failed").map(|(_, n)| n).sum(),
        });
        let error = (last["event"] == "failed").then(|| text(&last["message"]).unwrap_or_default());
        let host = text(&first["host"]).unwrap_or_default();
        Some(Past { run, path: path.to_path_buf(), began, host, command: command.unwrap_or_default(), end, error })
    }
}

fn stages<'a>(finished: &'a Value, field: &'a str) -> impl Iterator<Item = (String, usize)> + 'a {
    let stages = finished["stages"].as_array().into_iter().flatten();
    stages.filter_map(move |stage| Some((stage["stage"].as_str()?.to_string(), stage[field].as_u64()? as usize)))
}

/// The first and the last event of a record; the last may be torn, and then is none.
fn ends(path: &Path) -> Option<(Value, Value)> {
    let mut file = File::open(path).ok()?;
    let mut head = Vec::new();
    (&mut file).take(ENDS).read_to_end(&mut head).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(ENDS))).ok()?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).ok()?;
    let lines = |bytes: &[u8]| -> Vec<Value> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let parsed = |line: &str| serde_json::from_str(line).unwrap_or(Value::Null);
        [text.lines().next(), text.lines().next_back()].into_iter().flatten().map(parsed).collect()
    };
    Some((lines(&head).first()?.clone(), lines(&tail).last()?.clone()))
}

/// The runs on a work directory, the latest first; `most` of them.
pub fn runs(work: &WorkDir, most: usize) -> Result<Vec<Past>> {
    let folder = work.runs();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).at("list", &folder),
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    // Names begin with the time.
    paths.sort();
    Ok(paths.iter().rev().filter_map(|path| Past::read(path)).take(most).collect())
}

/// What the item stages of a plan will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// Items to compute in the stage that has most of them.
    pub items: usize,
    /// Seconds; `None` where no run of these stages on this machine is on record.
    pub seconds: Option<f64>,
    /// Items that the figure rests on.
    pub rests_on: usize,
    /// Bytes of the shards, where the stages have some to go by.
    pub bytes: Option<u64>,
}

/// From the records of this machine; `None` when nothing is to be computed.
pub fn forecast(work: &WorkDir, plans: &[StagePlan]) -> Result<Option<Forecast>> {
    let due: Vec<(&StagePlan, Counts)> =
        plans.iter().map(|plan| (plan, plan.counts())).filter(|(_, counts)| counts.due > 0).collect();
    let Some(items) = due.iter().map(|(_, counts)| counts.due).max() else { return Ok(None) };
    let bytes = due.iter().map(|(plan, counts)| Some(bytes_per_item(plan)? * counts.due as f64)).sum::<Option<f64>>();
    let here = host();
    let wanted: Vec<&str> = due.iter().map(|(plan, _)| plan.decl.id).collect();
    // The same stages in one pass cost the same; the latest run tells most.
    let like = runs(work, RECENT)?.into_iter().filter(|past| past.host == here).find_map(|past| {
        let end = past.end?;
        let same = end.computed.keys().map(String::as_str).eq(sorted(&wanted));
        let most = end.computed.values().copied().max().unwrap_or(0);
        (same && most >= ENOUGH && end.item_seconds > 0.0).then_some((most, end.item_seconds))
    });
    let seconds = like.map(|(n, seconds)| seconds / n as f64 * items as f64);
    Ok(Some(Forecast { items, seconds, rests_on: like.map_or(0, |(n, _)| n), bytes: bytes.map(|bytes| bytes as u64) }))
}

fn sorted<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}

/// What an item of the stage takes in the store, by what is there.
fn bytes_per_item(plan: &StagePlan) -> Option<f64> {
    let items: usize = plan.index.files.iter().map(|file| file.items.len()).sum();
    let bytes: u64 = plan.index.files.iter().map(crate::store::index::IndexedFile::size).sum();
    (items >= ENOUGH).then(|| bytes as f64 / items as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_how_its_run_ended_and_a_torn_one_that_it_did_not() {
        let folder = tempfile::tempdir().expect("tempdir");
        let work = WorkDir::new(folder.path());
        std::fs::create_dir_all(work.runs()).expect("folder");
        let started = r#"{"event":"started","host":"here","command":["run","all"]}"#;
        let finished = r#"{"event":"finished","stages":[{"stage":"log-mel","computed":6,"failed":1}],"seconds":2.5,"item_seconds":2.0,"stopped":false}"#;
        let filler = r#"{"event":"item"}"#.to_string() + "\n";
        let write = |name: &str, text: String| std::fs::write(work.runs().join(name), text).expect("write");
        write("00000000001000-7.jsonl", format!("{started}\n{}{finished}\n", filler.repeat(20_000)));
        write("00000000002000-8.jsonl", format!("{started}\n{filler}{}", &finished[..40]));
        let runs = runs(&work, 10).expect("listed");
        assert_eq!(
            runs.iter().map(|run| run.run.as_str()).collect::<Vec<_>>(),
            ["00000000002000-8", "00000000001000-7"]
        );
        assert!(runs[0].end.is_none() && runs[0].command == ["run", "all"]);
        let end = runs[1].end.as_ref().expect("finished");
        assert_eq!((end.computed["log-mel"], end.failed, end.item_seconds), (6, 1, 2.0));
        assert_eq!(runs[1].began.to_string(), "1");
    }
}
