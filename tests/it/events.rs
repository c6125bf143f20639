//! The events of `--json` are what docs/events.md says: every kind, every field, its type, and a unit for every number.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use contract::{Cause, Failure};
use pipeline::data::DataEvent;
use pipeline::events::{Event, GpuUse, StageEnd, StageProgress};
use pipeline::plan::{Counts, Reason};
use serde_json::Value;

use crate::lab::{CLASSES, Lab, with_networks};

/// Of one kind: the type of each field, by its path.
type Fields = BTreeMap<String, String>;

/// What the page says of the kinds under headings of this level: kind → fields.
fn documented(level: &str) -> BTreeMap<String, Fields> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut kinds: BTreeMap<String, Fields> = BTreeMap::new();
    let mut kind = None;
    for line in text.lines() {
        if line.starts_with("##") {
            let heading = line.strip_prefix(level).and_then(|rest| rest.strip_prefix(" `")?.strip_suffix('`'));
            kind = heading.map(str::to_string);
            kinds.extend(heading.map(|name| (name.to_string(), Fields::new())));
        } else if let (Some(kind), Some(row)) = (&kind, line.strip_prefix("| `")) {
            let row = row.trim_end_matches('|');
            let cells: Vec<&str> = row.split('|').map(|cell| cell.trim_matches([' ', '`'])).collect();
            let [field, kind_of_value, unit, meaning] = cells.as_slice() else { panic!("four cells: {line}") };
            let is_number = kind_of_value.contains("integer") || kind_of_value.contains("number");
            assert_eq!(is_number, !unit.is_empty(), "a number has a unit and nothing else has: {line}");
            assert!(!meaning.is_empty(), "{line}");
            let before = kinds.get_mut(kind).unwrap().insert((*field).to_string(), (*kind_of_value).to_string());
            assert_eq!(before, None, "{kind}: `{field}` stands there twice");
        }
    }
    kinds
}

/// Whether a value is of a type, as the page writes types.
fn is_of(value: &Value, written: &str) -> bool {
    if let Some(inner) = written.strip_suffix(" or null") {
        return value.is_null() || is_of(value, inner);
    }
    if let Some(inner) = written.strip_prefix("list of ") {
        return value.as_array().is_some_and(|list| list.iter().all(|value| is_of(value, inner)));
    }
    if let Some(inner) = written.strip_prefix("object of ") {
        return value.as_object().is_some_and(|map| map.values().all(|value| is_of(value, inner)));
    }
    match written {
        "text" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "true/false" => value.is_boolean(),
        "object" => value.is_object(),
        other => panic!("no type: {other}"),
    }
}

/// Checks an event against the page, and notes which fields it has.
fn check(event: &Value, documented: &BTreeMap<String, Fields>, seen: &mut BTreeSet<(String, String)>) {
    let kind = event["event"].as_str().unwrap_or_else(|| panic!("no `event`: {event}")).to_string();
    let fields = documented.get(&kind).unwrap_or_else(|| panic!("docs/events.md lacks the event `{kind}`"));
    let mut found = Vec::new();
    let object = event.as_object().unwrap();
    for (name, value) in object.iter().filter(|(name, _)| *name != "event") {
        flatten(name.clone(), value, fields, &mut found);
    }
    for (path, value) in &found {
        let written = fields.get(path).unwrap_or_else(|| panic!("docs/events.md lacks `{path}` of `{kind}`: {event}"));
        assert!(is_of(value, written), "`{path}` of `{kind}` is no {written}: {event}");
    }
    let present: BTreeSet<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    for name in fields.keys().filter(|name| !name.contains(['.', '['])) {
        let below = |path: &&str| path.starts_with(&format!("{name}."));
        assert!(present.contains(name.as_str()) || present.iter().any(below), "`{kind}` lacks `{name}`: {event}");
    }
    seen.extend(found.into_iter().map(|(path, _)| (kind.clone(), path)));
}

/// Every value with its path. Objects whose keys are not fixed are values as they are.
fn flatten(path: String, value: &Value, fields: &Fields, found: &mut Vec<(String, Value)>) {
    let is_map = fields.get(&path).is_some_and(|written| written.starts_with("object of"));
    match value {
        Value::Object(map) if !is_map => {
            // An object that may be absent has a line of its own.
            if fields.contains_key(&path) {
                found.push((path.clone(), value.clone()));
            }
            for (name, value) in map {
                // The elements of a list are objects with one line for all of them.
                flatten(format!("{path}.{name}"), value, fields, found);
            }
        }
        Value::Array(list) if fields.get(&path).is_some_and(|written| written == "list of object") => {
            found.push((path.clone(), value.clone()));
            for element in list {
                for (name, value) in element.as_object().unwrap() {
                    flatten(format!("{path}[].{name}"), value, fields, found);
                }
            }
        }
        value => found.push((path, value.clone())),
    }
}

/// One event of every kind, with every field that there can be.
fn samples() -> Vec<Event> {
    let counts = Counts { reasons: [(Reason::New, 2), (Reason::Retry(Cause::Timeout), 1)].into(), ..Counts::default() };
    let progress = StageProgress { stage: "log-mel", done: 1, due: 3, failed: 1, rate: 0.5, seconds_left: Some(4.0) };
    let gpu = GpuUse { number: 0, name: "H200".into(), busy: Some(0.5), memory: Some(1 << 30) };
    let training = training::Progress {
        phase: training::Phase::Train,
        origin: training::Origin::Fresh,
        epoch: 1,
        epochs: 2,
        step: 1,
        steps: 3,
        loss: f64::NAN,
        learning_rate: 1e-3,
        clips_per_second: 10.0,
        eta: None,
        val_loss: Some(1.0),
        val_accuracy: Some(0.5),
    };
    let end = StageEnd {
        stage: "log-mel",
        folder: "work/log-mel".into(),
        computed: 1,
        copied: 0,
        reused: 2,
        failed: 0,
        items: 3,
    };
    let failure = Failure::new(Cause::Corrupt, "broken");
    let path = PathBuf::from("work/log-mel/00000-of-00001.h5");
    vec![
        Event::Started { host: "here".into(), pid: 1, version: "0", command: vec!["run".into()] },
        Event::Discovered { name: "clips".into(), items: 3, notes: vec!["one".into()] },
        Event::Planned { stage: "log-mel", counts },
        Event::ModelLoaded { stage: "encode-clip", model: "clip".into() },
        Event::KeptPictures { items: 2 },
        Event::Item { stage: "log-mel", id: "a".into(), failure: Some(failure), copied: false },
        Event::Item { stage: "log-mel", id: "b".into(), failure: None, copied: true },
        Event::Progress { seconds: 1.0, stages: vec![progress], cpu: Some(0.9), gpus: vec![gpu] },
        Event::Shard { stage: "log-mel", path, items: 3 },
        Event::Part { stage: "log-mel", items: 3 },
        Event::Draining { seconds: 20.0 },
        Event::Warning { message: "look".into() },
        Event::Training { stage: "audio", progress: training },
        Event::Judging { stage: "audio", done: 1, of: 2 },
        Event::Note { stage: "audio", message: "so".into() },
        Event::SetStage { stage: "audio", reused: false, summary: "good".into() },
        Event::Failed { message: "no".into() },
        Event::Finished { stages: vec![end], seconds: 1.0, item_seconds: 0.5, stopped: false },
    ]
}

/// The same of downloads.
fn samples_of_downloads() -> Vec<DataEvent<'static>> {
    vec![
        DataEvent::Downloaded { archive: "a.zip", bytes: 1 },
        DataEvent::Stumbled { archive: "a.zip", reason: "no answer", wait: 1.5 },
        DataEvent::Complete { archive: "a.zip" },
        DataEvent::Unpacked { archive: "a.zip", files: 1, bytes: 2 },
        DataEvent::Failed { archive: "a.zip", message: "no" },
    ]
}

/// The variants of the enum that begins so, by its source: what the samples must have.
fn kinds_in_the_source(file: &str, beginning: &str) -> BTreeSet<String> {
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let body = source.split(beginning).nth(1).unwrap().split("\n}\n").next().unwrap();
    let variants = body.lines().filter_map(|line| line.strip_prefix("    ")?.strip_suffix(" {"));
    let variants = variants.filter(|name| name.starts_with(char::is_uppercase));
    variants
        .map(|name| {
            let kebab = name.chars().fold(String::new(), |text, c| {
                let dash = if c.is_uppercase() && !text.is_empty() { "-" } else { "" };
                text + dash + &c.to_lowercase().to_string()
            });
            assert!(kebab.len() > 3, "{name}");
            kebab
        })
        .collect()
}

/// Every event is as the page says, and the page says nothing else.
#[track_caller]
fn assert_documented(level: &str, events: &[Value], kinds: &BTreeSet<String>) {
    let (documented, mut seen) = (documented(level), BTreeSet::new());
    for event in events {
        check(event, &documented, &mut seen);
    }
    assert_eq!(&seen.iter().map(|(kind, _)| kind.clone()).collect::<BTreeSet<_>>(), kinds, "samples, and the source");
    let written: BTreeSet<(String, String)> = documented
        .iter()
        .flat_map(|(kind, fields)| fields.keys().map(move |field| (kind.clone(), field.clone())))
        .collect();
    assert_eq!(written, seen, "docs/events.md, and what events have");
}

#[test]
fn every_kind_and_every_field_is_documented() {
    let events: Vec<Value> = samples().iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    assert_documented("##", &events, &kinds_in_the_source("src/events.rs", "pub enum Event {"));
    let events: Vec<Value> = samples_of_downloads().iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    assert_documented("###", &events, &kinds_in_the_source("src/data/mod.rs", "pub enum DataEvent<'a> {"));
}

#[test]
fn the_page_is_believed_only_where_it_is_right() {
    let documented = documented("##");
    let refuses = |event: Value| {
        std::panic::catch_unwind(|| check(&event, &documented, &mut BTreeSet::new())).expect_err("it is wrong");
    };
    refuses(serde_json::json!({ "event": "brewing" }));
    refuses(serde_json::json!({ "event": "warning" }));
    refuses(serde_json::json!({ "event": "warning", "message": 3 }));
    refuses(serde_json::json!({ "event": "warning", "message": "look", "more": "fields" }));
    refuses(serde_json::json!({ "event": "judging", "stage": "audio", "done": 1.5, "of": 2 }));
}

#[test]
fn a_run_says_what_the_page_says() {
    let lab = Lab::new();
    std::fs::write(lab.clip(CLASSES[0], 0, "wav"), b"no sound").unwrap();
    let knobs = ["run.progress_every=0.05", "run.max_class_loss=1"];
    let mut arguments = with_networks(&["run", "all", "--json"]);
    arguments.extend(knobs.iter().flat_map(|knob| ["--set", knob]));
    let said = lab.pipeline(&arguments).ended(4);
    let (documented, mut seen) = (documented("##"), BTreeSet::new());
    let events: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for event in &events {
        check(event, &documented, &mut seen);
    }
    let kinds: BTreeSet<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let usual = ["discovered", "item", "model-loaded", "planned", "progress", "set-stage", "shard", "training"];
    for kind in usual {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
    assert!(seen.contains(&("item".to_string(), "failure.cause".to_string())));
    assert_eq!((&events[0]["event"], &events.last().unwrap()["event"]), (&"started".into(), &"finished".into()));
    let busy: Vec<f64> = events.iter().filter_map(|event| event["cpu"].as_f64()).collect();
    assert!(busy.iter().any(|share| *share > 0.0) && busy.iter().all(|share| *share <= 1.0), "{busy:?}");

    let record = lab.pipeline(&["logs", "--json"]).ended(0).stdout;
    // Two threads may reach the record in another order than the screen.
    let sorted = |lines: &str| {
        let is_progress = |line: &&str| serde_json::from_str::<Value>(line).unwrap()["event"] == "progress";
        let mut lines: Vec<String> = lines.lines().filter(|line| !is_progress(line)).map(str::to_string).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&record), sorted(&said.stdout), "the record has the same lines, but for the progress");
}
