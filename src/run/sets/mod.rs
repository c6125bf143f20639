//! The set stages: they see the whole data set, run after the item stages, and publish products.
//!
//! ```text
//! embeddings ─┬─ zero_shot ────┐
//!             ├─ probe ────────┤
//!             └──────┐         ├─ fusion ─┬─ evaluate ─ report
//! log-mel ─── audio ─┴─ audio_visual ─────┘
//! ```
//!
//! Each is a [`SetStage`] in a file of its own: what its products are made of (the preimage), and how they are made. This file
//! only walks over them in order.

pub mod audio;
pub mod audio_visual;
pub mod clips;
pub mod evaluation;
pub mod features;
pub mod fusion;
pub mod losses;
pub mod neural;
pub mod probe;
pub mod reporting;
pub mod samples;
pub mod system;
pub mod zero_shot;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use contract::Decl;
use serde_json::{Value, json};

use crate::error::{Error, IoContext, Result};
use crate::events::{Event, Reporter};
use crate::key::FORMAT;
use crate::registry;
use crate::run::sets::system::{Judge, Question, System, SystemStage, Verdicts};
use crate::session::Session;
use crate::store::WorkDir;
use crate::store::products::{File, Products, State};
use crate::store::publish::remove;
use crate::trace;
use crate::ui::plural;

/// A set stage of a session.
pub trait SetStage {
    /// Its declaration.
    fn decl(&self) -> &'static Decl;

    /// Everything that its products depend on; `None` while one of its inputs is not there yet.
    fn preimage(&self) -> Result<Option<Value>>;

    /// What is wrong with its parameters, files and labels, before any long work starts.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Makes the products.
    fn run(&self, during: &During<'_>) -> Result<Ended>;
}

/// What a stage may use while it runs.
pub struct During<'a> {
    /// Takes its events.
    pub reporter: &'a dyn Reporter,
    /// Set when it should stop as soon as it can do so without losing work.
    pub stop: &'a AtomicBool,
}

/// How a stage ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// With products.
    Made {
        /// Them.
        files: Vec<File>,
        /// One line on how much they rest and what came out.
        summary: String,
    },
    /// It was asked to stop; what it has so far is kept, and the next run goes on from there.
    Stopped,
}

/// What is stored of a set stage, held against what is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The stage.
    pub stage: &'static str,
    /// Its products.
    pub state: State,
    /// Something that it reads is about to be made anew.
    pub inputs_change: bool,
}

/// The selected set stages, in order.
fn stages(session: &Session) -> Vec<Box<dyn SetStage + '_>> {
    let stages: Vec<Box<dyn SetStage + '_>> = vec![
        Box::new(SystemStage { session, system: zero_shot::ZeroShot { session } }),
        Box::new(SystemStage { session, system: probe::LinearProbe { session } }),
        Box::new(SystemStage { session, system: audio::Audio { session } }),
        Box::new(SystemStage { session, system: audio_visual::AudioVisual { session } }),
        Box::new(fusion::LateFusion { session }),
        Box::new(evaluation::Evaluate { session }),
        Box::new(reporting::Report { session }),
    ];
    stages.into_iter().filter(|stage| session.wants(stage.decl())).collect()
}

fn products(session: &Session, decl: &Decl) -> Products {
    Products::new(session.work.stage(decl.id))
}

/// What is stored of each selected set stage.
pub fn standings(session: &Session) -> Result<Vec<Standing>> {
    let mut standings: Vec<Standing> = Vec::new();
    for stage in stages(session) {
        let decl = stage.decl();
        let state = match stage.preimage()? {
            Some(preimage) => products(session, decl).state(&preimage, &session.digests),
            None => State::New,
        };
        let is_due = |s: &Standing| decl.inputs.contains(&s.stage) && (s.inputs_change || s.state != State::Current);
        let inputs_change = standings.iter().any(is_due);
        standings.push(Standing { stage: decl.id, state, inputs_change });
    }
    Ok(standings)
}

/// Refuses what cannot end well, before any long work starts.
pub fn check(session: &Session) -> Result<()> {
    let stages = stages(session);
    for plan in session.plans.iter().filter(|plan| session.part.settled.contains(&plan.decl.id)) {
        let left_out = plan.counts().left_out;
        if left_out > 0 && stages.iter().any(|stage| registry::reads(stage.decl(), plan.decl)) {
            return Err(not_there(plan.decl.id, &format!("{} of it are to be done", plural(left_out, "item"))));
        }
    }
    for stage in stages.iter().filter(|stage| session.part.settled.contains(&stage.decl().id)) {
        let current = match stage.preimage()? {
            Some(preimage) => products(session, stage.decl()).state(&preimage, &session.digests) == State::Current,
            None => false,
        };
        let is_read = |other: &Decl| !session.part.settled.contains(&other.id) && registry::reads(other, stage.decl());
        if !current && stages.iter().any(|other| is_read(other.decl())) {
            return Err(not_there(stage.decl().id, "its products are missing or out of date"));
        }
    }
    stages.iter().filter(|stage| !session.part.settled.contains(&stage.decl().id)).try_for_each(|stage| stage.check())
}

/// A stage that the command line takes for done is not.
fn not_there(stage: &str, why: &str) -> Error {
    Error::Usage(format!("{stage} is taken for done (--from, --only) and is not: {why}; run it first"))
}

/// Runs the selected set stages; returns the table of `evaluate`, and whether a stage was stopped.
pub fn run(session: &Session, reporter: &dyn Reporter, stop: &AtomicBool) -> Result<(Option<String>, bool)> {
    let stages = stages(session);
    let Some(first) = stages.first() else { return Ok((None, false)) };
    // What sees the whole data set waits until it is there.
    let left_out: usize = session.plans.iter().map(|plan| plan.counts().left_out).sum();
    if left_out > 0 {
        let message =
            format!("waits, and so does what follows: {} are left out of this run", plural(left_out, "value"));
        reporter.report(&Event::Note { stage: first.decl().id, message });
        return Ok((None, false));
    }
    losses::check(session)?;
    let (mut done, mut displaced) = (HashSet::new(), None);
    for _ in 0..PASSES {
        match pass(session, &stages, &mut done, &During { reporter, stop })? {
            Pass::Done => displaced = None,
            Pass::Stopped => return Ok((None, true)),
            Pass::Displaced(stage) => displaced = Some(stage),
        }
        if displaced.is_none() {
            break;
        }
    }
    if let Some(stage) = displaced {
        let message = "another process keeps replacing what it reads: run again when that one has ended".to_string();
        return Err(Error::Stage { stage, message });
    }
    if !session.wants(&evaluate::DECL) || session.part.settled.contains(&evaluate::DECL.id) {
        return Ok((None, false));
    }
    let path = products(session, &evaluate::DECL).path(evaluation::REPORT);
    std::fs::read_to_string(&path).at("read", &path).map(|text| (Some(text), false))
}

/// How often the stages are gone over when other processes replace what they read.
const PASSES: usize = 4;

/// How a walk over the stages ended.
enum Pass {
    Done,
    Stopped,
    /// What this stage reads was taken away or replaced under it.
    Displaced(&'static str),
}

/// Brings every stage up to date, in order; `done` are those that this run has told of.
fn pass(
    session: &Session,
    stages: &[Box<dyn SetStage + '_>],
    done: &mut HashSet<&'static str>,
    during: &During<'_>,
) -> Result<Pass> {
    for stage in stages.iter().filter(|stage| !session.part.settled.contains(&stage.decl().id)) {
        let id = stage.decl().id;
        if during.stop.load(Ordering::Relaxed) {
            return Ok(Pass::Stopped);
        }
        let Some(preimage) = stage.preimage()? else { return Ok(Pass::Displaced(id)) };
        let products = products(session, stage.decl());
        let is_forced = session.part.force.contains(&id) && !done.contains(id);
        let reused = products.state(&preimage, &session.digests) == State::Current && !is_forced;
        let mut told = "products as stored".to_string();
        if !reused {
            let begin = Instant::now();
            let made = stage.run(during);
            if let Some(trace) = &session.trace {
                trace.span(trace::WRITER, id, begin, "");
            }
            // Of what is not what it was, nobody knows what was read, nor what an error means.
            if stage.preimage()?.as_ref() != Some(&preimage) {
                return Ok(Pass::Displaced(id));
            }
            let Ended::Made { files, summary } = made? else { return Ok(Pass::Stopped) };
            products.publish(&preimage, &files)?;
            // What a run of training would have gone on from is worth nothing now.
            remove(&session.work.checkpoint(id))?;
            told = summary;
        }
        if done.insert(id) || !reused {
            during.reporter.report(&Event::SetStage { stage: id, reused, summary: told });
        }
    }
    Ok(Pass::Done)
}

/// What a system that was fitted in `store` says of every clip of the session's data set.
pub fn judge(session: &Session, decl: &Decl, store: &WorkDir, during: &During<'_>) -> Result<Verdicts> {
    let questions = (0..session.dataset.items.len()).map(|item| Question { item, by_second: false });
    let questions: Vec<Question> = questions.collect();
    if decl.id == late_fusion::DECL.id {
        return fusion::LateFusion { session }.load(store)?.judge(&questions, during);
    }
    system(session, decl)?.load(store)?.judge(&questions, during)
}

/// A system of a session by its declaration.
fn system<'a>(session: &'a Session, decl: &Decl) -> Result<Box<dyn System + 'a>> {
    match decl.id {
        id if id == ::zero_shot::DECL.id => Ok(Box::new(zero_shot::ZeroShot { session })),
        id if id == ::audio::DECL.id => Ok(Box::new(audio::Audio { session })),
        id if id == ::audio_visual::DECL.id => Ok(Box::new(audio_visual::AudioVisual { session })),
        id if id == linear_probe::DECL.id => Ok(Box::new(probe::LinearProbe { session })),
        id => Err(Error::Internal(format!("{id} is no system"))),
    }
}

/// The preimage of a set stage.
fn preimage(decl: &Decl, params: &impl serde::Serialize, facts: &Value, inputs: &Value) -> Value {
    let params = serde_json::to_value(params).expect("parameters are plain data");
    json!({
        "format": FORMAT, "stage": decl.id, "version": decl.version, "params": params, "facts": facts, "inputs": inputs,
    })
}
