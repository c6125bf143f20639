//! New clips through a trained system: the same pass over the clips as in any run, into a store that is thrown away, and then the
//! same judgement as over the clips that the system was evaluated on.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use contract::{Decl, Item, Kind};
use discover::Dataset;
use serde::Serialize;
use serde_json::Value;

use crate::config::{Config, FailureLimit};
use crate::error::{Error, IoContext, Result};
use crate::events::{Event, Reporter};
use crate::key::differences;
use crate::plan::Depth;
use crate::registry;
use crate::resolve::refuse;
use crate::run::pass;
use crate::run::sets::system::Verdict;
use crate::run::sets::{self, During};
use crate::session::Session;
use crate::store::WorkDir;
use crate::store::products::Products;

/// Clips that go through a store of their own at a time: enough to fill batches, few enough for the first answers to come soon.
const AT_A_TIME: usize = 256;

/// The systems, the one to ask first where none is named.
const PREFERRED: [&Decl; 5] =
    [&audio_visual::DECL, &late_fusion::DECL, &linear_probe::DECL, &audio::DECL, &zero_shot::DECL];

/// A system that was trained, and where.
pub struct Trained {
    /// Its declaration.
    pub decl: &'static Decl,
    /// Its classes, in the order of its probabilities.
    pub classes: Vec<String>,
    store: WorkDir,
    preimage: Value,
}

impl Trained {
    /// The systems that were trained in a work directory, the one to ask first where none is named standing first.
    pub fn all(store: &WorkDir) -> Vec<Trained> {
        PREFERRED.into_iter().filter_map(|decl| Trained::find(store, decl)).collect()
    }

    fn find(store: &WorkDir, decl: &'static Decl) -> Option<Trained> {
        let preimage = Products::new(store.stage(decl.id)).preimage()?;
        let classes = serde_json::from_value(preimage["inputs"]["labels"]["classes"].clone()).ok()?;
        Some(Trained { decl, classes, store: store.clone(), preimage })
    }

    /// Whether a session makes features as the system was trained on: parameters, models and versions.
    fn check(&self, session: &Session) -> Result<()> {
        for plan in &session.plans {
            let trained_on = self.preimage["inputs"].as_object().into_iter().flatten().map(|(_, input)| &input["key"]);
            let Some(old) = trained_on.clone().find(|key| key["stage"] == plan.decl.id) else { continue };
            let changed = differences(old, &plan.template.value());
            if !changed.is_empty() {
                let fields: Vec<String> = changed.iter().map(|d| format!("{}.{}", plan.decl.id, d.field)).collect();
                let message = format!(
                    "it was trained on other features than this configuration makes ({} differ): use the configuration it was trained \
                     with, or train it anew with `pipeline run {}`",
                    fields.join(", "),
                    self.decl.id
                );
                return Err(Error::Stage { stage: self.decl.id, message });
            }
        }
        Ok(())
    }
}

/// What is said of a clip, as a line of JSON.
#[derive(Debug, Serialize)]
pub struct Line {
    /// The file as it was named.
    pub file: PathBuf,
    /// The system; none when the clip gave no features to judge.
    pub system: &'static str,
    /// The class decided for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted: Option<String>,
    /// Probability of each class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<serde_json::Map<String, Value>>,
    /// Why there is no decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A clip as it was named, or why there is none.
struct Named {
    file: PathBuf,
    clip: Result<Item, String>,
}

/// The clips that files and folders hold, in order. A video and a sound of one name in one folder are one clip, as in a data set.
fn clips(files: &[PathBuf], config: &Config) -> Vec<Named> {
    let mut named: Vec<Named> = Vec::new();
    let mut halves: HashMap<PathBuf, usize> = HashMap::new();
    for file in files {
        let items = match discover::discover(file, &config.discover) {
            Ok(dataset) => dataset.items,
            Err(error) => {
                named.push(Named { file: file.clone(), clip: Err(error.to_string()) });
                continue;
            }
        };
        for mut item in items {
            let file = item.video.clone().or(item.audio.clone()).unwrap_or_default();
            let other = halves.get(&file.with_extension("")).and_then(|at| named[*at].clip.as_mut().ok());
            match other {
                Some(other) if other.video.is_none() && item.audio.is_none() => other.video = item.video.take(),
                Some(other) if other.audio.is_none() && item.video.is_none() => other.audio = item.audio.take(),
                _ => {
                    // Two folders may hold files of one name.
                    item.id = format!("{}-{}", named.len(), item.id);
                    halves.insert(file.with_extension(""), named.len());
                    named.push(Named { file, clip: Ok(item) });
                }
            }
        }
    }
    named
}

/// Judges these clips and hands out a line for each clip and system, in order.
pub fn predict(
    config: &Config,
    systems: &[Trained],
    files: &[PathBuf],
    reporter: &dyn Reporter,
    each: &mut dyn FnMut(Line) -> Result<()>,
) -> Result<()> {
    for named in clips(files, config).chunks(AT_A_TIME) {
        let folder = tempfile::tempdir().at("create a folder in", &std::env::temp_dir())?;
        let mut config = config.clone();
        config.work = Some(folder.path().to_path_buf());
        config.run.max_failures = FailureLimit::Never;
        let items: Vec<Item> = named.iter().filter_map(|named| named.clip.as_ref().ok()).cloned().collect();
        let mut verdicts = Vec::new();
        for system in systems {
            let judged = if items.is_empty() { Vec::new() } else { judge(&config, system, &items, reporter)? };
            verdicts.push((system, judged.into_iter()));
        }
        for Named { file, clip } in named {
            for (system, judged) in &mut verdicts {
                let verdict = match clip {
                    Ok(_) => judged.next().unwrap_or_else(|| Err("it was not judged".to_string())),
                    Err(why) => Err(why.clone()),
                };
                each(line(file.clone(), system, verdict))?;
            }
        }
    }
    Ok(())
}

fn judge(
    config: &Config,
    system: &Trained,
    items: &[Item],
    reporter: &dyn Reporter,
) -> Result<Vec<Result<Verdict, String>>> {
    let dataset = Dataset {
        name: "new clips".into(),
        about: discover::About::default(),
        items: items.to_vec(),
        classes: system.classes.clone(),
        notes: Vec::new(),
        origin: None,
    };
    let session = Session::of(config.clone(), item_stages(system.decl), dataset, Depth::Run)?;
    system.check(&session)?;
    // The second system finds the features of the first in the store.
    let quiet = OnlyModelsAndWarnings(reporter);
    pass::run(&session, &quiet, &AtomicBool::new(false))?;
    session.digests.save()?;
    let during = During { reporter: &quiet, stop: &AtomicBool::new(false) };
    let verdicts = sets::judge(&session, system.decl, &system.store, &during)?;
    verdicts.ok_or_else(|| Error::Internal("the judgement was stopped by nobody".into()))
}

/// The item stages that a system reads, itself or through what it reads.
fn item_stages(system: &Decl) -> Vec<&'static Decl> {
    let names = [system.id.to_string()];
    let all = registry::select(&names, false, &[]).map_err(|e| refuse(discover::DECL.id, &Error::Usage(e)));
    all.unwrap_or_default().into_iter().filter(|decl| decl.kind == Kind::Item).collect()
}

fn line(file: PathBuf, system: &Trained, verdict: Result<Verdict, String>) -> Line {
    let mut line = Line { file, system: system.decl.id, predicted: None, probabilities: None, error: None };
    match verdict {
        Ok(Verdict { clip, .. }) => {
            let best = clip.iter().enumerate().fold(0, |best, (k, p)| if *p > clip[best] { k } else { best });
            line.predicted = Some(system.classes[best].clone());
            let pairs = system.classes.iter().cloned().zip(clip.into_iter().map(Value::from));
            line.probabilities = Some(pairs.collect());
        }
        Err(why) => line.error = Some(why),
    }
    line
}

/// Lets through what a person must know; the rest is said by the lines.
struct OnlyModelsAndWarnings<'a>(&'a dyn Reporter);

impl Reporter for OnlyModelsAndWarnings<'_> {
    fn report(&self, event: &Event) {
        if matches!(event, Event::Warning { .. } | Event::ModelLoaded { .. }) {
            self.0.report(event);
        }
    }
}
