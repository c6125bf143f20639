//! Everything that a command needs before it runs or only looks: the data set, the store and a plan for each item stage.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use contract::{Decl, Kind};
use discover::Dataset;
use rayon::prelude::*;

use crate::config::Config;
use crate::error::Result;
use crate::exchange::imported::Imported;
use crate::plan::{Depth, Look, Part, StagePlan, plan_stage};
use crate::registry;
use crate::resolve::{Science, Source, resolve};
use crate::selection::Wanted;
use crate::store::WorkDir;
use crate::store::digests::Digests;
use crate::trace::Trace;
use crate::worker::{Limits, Settings};

/// A data set, a store, and what is to be done.
pub struct Session {
    /// The configuration.
    pub config: Config,
    /// The selected stages in topological order.
    pub selected: Vec<&'static Decl>,
    /// The data set.
    pub dataset: Dataset,
    /// The store.
    pub work: WorkDir,
    /// The digest cache.
    pub digests: Digests,
    /// The resolved item stages.
    pub science: Science,
    /// The plan of each item stage, in the order of `science.stages`.
    pub plans: Vec<StagePlan>,
    /// Which part of it the run takes up.
    pub part: Part,
    /// Takes where the time of a run goes, if that is asked for.
    pub trace: Option<Arc<Trace>>,
    /// The labelled clips, once something asked for them.
    pub labelled: OnceLock<Vec<Labelled>>,
    /// The digest of all labels, once something was keyed by it.
    pub labels: OnceLock<String>,
}

/// A labelled clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labelled {
    /// Position in the data set.
    pub item: usize,
    /// Position of its class among the classes.
    pub class: usize,
}

impl Labelled {
    /// The labelled clips of a data set in order.
    pub fn all(dataset: &Dataset) -> Vec<Labelled> {
        let numbers: HashMap<&String, usize> = dataset.classes.iter().zip(0..).collect();
        // Every label is among the classes, or `discover` had refused it.
        let of = |(at, label)| Labelled { item: at, class: numbers[label] };
        dataset.items.iter().enumerate().filter_map(|(at, item)| Some((at, item.label.as_ref()?))).map(of).collect()
    }
}

impl Session {
    /// Reads the data set and the store and plans the item stages. `depth` says how closely.
    pub fn open(config: Config, selected: Vec<&'static Decl>, depth: Depth) -> Result<Session> {
        Self::open_part(config, selected, depth, Part::default(), &Wanted::default())
    }

    /// The same for a part of the work, and the items that are wanted of it.
    pub fn open_part(
        config: Config,
        selected: Vec<&'static Decl>,
        depth: Depth,
        mut part: Part,
        wanted: &Wanted,
    ) -> Result<Session> {
        let (data, digests) = (config.data()?, config.work_dir().digests());
        let (dataset, digests) = rayon::join(|| discover::discover(data, &config.discover), || Digests::load(&digests));
        let dataset = dataset?;
        part.items = wanted.of(&dataset.items, config.store.shard_size)?;
        Self::assemble(config, selected, dataset, digests, depth, part)
    }

    /// The same for a data set that is known already.
    pub fn of(config: Config, selected: Vec<&'static Decl>, dataset: Dataset, depth: Depth) -> Result<Session> {
        let digests = Digests::load(&config.work_dir().digests());
        Self::assemble(config, selected, dataset, digests, depth, Part::default())
    }

    fn assemble(
        config: Config,
        mut selected: Vec<&'static Decl>,
        mut dataset: Dataset,
        digests: Digests,
        depth: Depth,
        part: Part,
    ) -> Result<Session> {
        let work = config.work_dir();
        let mut imported = Vec::new();
        for decl in crate::registry::item_stages() {
            if let Some(record) = Imported::read(&work, decl.id)? {
                dataset.notes.push(record.note(decl.id));
                imported.push(decl.id);
            }
        }
        let dropped = drop_what_cannot_apply(&config, &dataset, &imported, &mut selected);
        dataset.notes.extend(dropped);
        let science = resolve(&config, &selected, &work, &digests)?;
        let look = Look { shard_size: config.store.shard_size, depth, part: &part };
        let plans = science
            .stages
            .par_iter()
            .map(|stage| plan_stage(stage, &dataset.items, &work, &digests, look))
            .collect::<Result<_>>()?;
        Ok(Session {
            config,
            selected,
            dataset,
            work,
            digests,
            science,
            plans,
            part,
            trace: None,
            labelled: OnceLock::new(),
            labels: OnceLock::new(),
        })
    }
}

impl Session {
    /// The same with a plan of the store as it is by now, for what a pass over the clips has left.
    pub fn again(&self) -> Result<Session> {
        self.replan(Part { force: Vec::new(), ..self.part.clone() })
    }

    /// The same with a plan of the store as it is by now, before anything was done.
    pub fn planned_again(&self) -> Result<Session> {
        self.replan(self.part.clone())
    }

    fn replan(&self, part: Part) -> Result<Session> {
        let digests = Digests::load(&self.work.digests());
        let (config, selected, dataset) = (self.config.clone(), self.selected.clone(), self.dataset.clone());
        let again = Self::assemble(config, selected, dataset, digests, Depth::Run, part)?;
        Ok(Session { trace: self.trace.clone(), ..again })
    }

    /// Whether this stage is selected.
    pub fn wants(&self, stage: &Decl) -> bool {
        self.selected.iter().any(|decl| decl.id == stage.id)
    }

    /// What the media workers of this session are told.
    pub fn worker_settings(&self) -> Settings {
        let due =
            |stage: &Decl| self.plans.iter().any(|plan| plan.decl.id == stage.id && plan.source != Source::Imported);
        Settings {
            extract_frames: self.config.extract_frames.clone(),
            log_mel: due(&log_mel::DECL).then(|| self.config.log_mel.clone()),
            encode_clip: self.science.clip.as_ref().map(|clip| clip.recipe.clone()),
            limits: Limits::of(&self.config.run),
        }
    }
}

/// `run all` on a data set without pictures is about its sound, and one without labels is about features: what cannot apply to
/// any item is left out, with a note, and so is what reads nothing else. A stage that was imported needs no media.
fn drop_what_cannot_apply(
    config: &Config,
    dataset: &Dataset,
    imported: &[&str],
    selected: &mut Vec<&'static Decl>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let mut drop = |selected: &mut Vec<&'static Decl>, ids: &[&str], why: &str| {
        let gone: Vec<&str> = selected.iter().map(|s| s.id).filter(|id| ids.contains(id)).collect();
        selected.retain(|s| !gone.contains(&s.id));
        if !gone.is_empty() {
            notes.push(format!("{why}: {} left out", gone.join(", ")));
        }
    };
    if dataset.items.iter().all(|item| item.video.is_none()) {
        let stages = [extract_frames::DECL.id, encode_clip::DECL.id];
        let needed = stages.into_iter().filter(|id| !imported.contains(id)).collect::<Vec<_>>();
        drop(selected, &needed, "no item has a video file");
    }
    if dataset.items.iter().all(|item| item.sound_source().is_none()) && !imported.contains(&log_mel::DECL.id) {
        drop(selected, &[log_mel::DECL.id], "no item has a sound or video file");
    }
    if imported.contains(&encode_clip::DECL.id) {
        drop(selected, &[zero_shot::DECL.id], "imported embeddings do not say which text tower belongs to them");
    }
    let sets: Vec<&str> = registry::STAGES.iter().filter(|s| s.kind == Kind::Set).map(|s| s.id).collect();
    if dataset.items.iter().all(|item| item.label.is_none()) {
        drop(selected, &sets, "no item has a label");
    }
    for system in registry::STAGES.iter().filter(|s| registry::is_system(s)) {
        let features = || system.inputs.iter().filter(|id| registry::find(id).is_some_and(|s| s.kind == Kind::Item));
        if let Some(absent) = features().find(|id| selected.iter().all(|s| s.id != **id)) {
            drop(selected, &[system.id], &format!("there is no {absent}"));
        }
    }
    let fused = |id: &String| selected.iter().any(|s| s.id == id);
    if let Some(absent) = config.late_fusion.systems.iter().find(|id| !fused(id)) {
        drop(selected, &[late_fusion::DECL.id], &format!("there is no {absent}"));
    }
    if !selected.iter().any(|s| registry::is_system(s)) {
        drop(selected, &registry::GATHERING, "there is no system to judge");
    }
    notes
}
