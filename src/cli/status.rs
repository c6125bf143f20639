//! `pipeline status`, and the overview that `run --dry-run` prints.

use std::fmt;

use clap::Args;
use serde::Serialize;

use crate::cli::choice::{Choice, Chosen};
use crate::cli::{Common, print};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::exit;
use crate::history::{Forecast, forecast};
use crate::key::Difference;
use crate::plan::{Counts, Depth, Part, Reason, StagePlan};
use crate::remembered::{Answer, Question, recall, remember};
use crate::run::sets::{self, Standing};
use crate::session::Session;
use crate::store::digests::now_ns;
use crate::store::products::State;
use crate::ui::{duration, plural};

/// Options of `status`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Stages to show [default: all]
    #[arg(value_name = "STAGE")]
    stages: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    common: Common,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    let mut config = options.common.config()?;
    let chosen = options.choice.take(&options.stages, &[], &mut config)?;
    // Only the whole is remembered.
    let is_whole = options.stages.is_empty() && options.choice.is_whole();
    let question = if is_whole { Question::of(&config) } else { None };
    let answer = match question.as_ref().and_then(|question| recall(&config.work_dir(), question)) {
        Some(answer) => answer,
        None => work_out(&config, chosen, options.stages.is_empty(), question.as_ref())?,
    };
    print(if options.json { &answer.json } else { &answer.text })?;
    Ok(exit::DONE)
}

fn work_out(config: &Config, chosen: Chosen, is_all: bool, question: Option<&Question>) -> Result<Answer> {
    let begun = now_ns();
    let session = if is_all {
        open_what_can_be(config, chosen, Depth::Glance)?
    } else {
        let (selected, part, wanted) = chosen;
        Session::open_part(config.clone(), selected, Depth::Glance, part, &wanted)?
    };
    let overview = Overview::new(&session)?;
    let json = serde_json::to_string_pretty(&overview).expect("plain data") + "\n";
    let text = format!(
        "{overview}media files are taken to be as they were read; `pipeline run all --dry-run` looks at each\n"
    );
    let answer = Answer { text, json };
    if let Some(question) = question {
        remember(&session, question, begun, &answer);
    }
    // Giving back the memory of a million items piece by piece would take longer than the answer did, and the process ends here.
    std::mem::forget(session);
    Ok(answer)
}

/// A stage that cannot be planned here - its model is on another machine, say - is left out with a note: the rest has a status.
pub(super) fn open_what_can_be(config: &Config, chosen: Chosen, depth: Depth) -> Result<Session> {
    let (mut selected, part, wanted) = chosen;
    let mut notes = Vec::new();
    loop {
        match Session::open_part(config.clone(), selected.clone(), depth, part.clone(), &wanted) {
            Ok(mut session) => {
                session.dataset.notes.extend(notes);
                return Ok(session);
            }
            Err(Error::Stage { stage, message }) if selected.iter().any(|decl| decl.id == stage) => {
                notes.push(format!("{stage} is left out, and what reads it: {message}"));
                let mut gone = vec![stage];
                for decl in &selected {
                    if decl.inputs.iter().any(|input| gone.contains(input)) {
                        gone.push(decl.id);
                    }
                }
                selected.retain(|decl| !gone.contains(&decl.id));
            }
            Err(error) => return Err(error),
        }
    }
}

/// What is done and what is left, of every selected stage.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    dataset: String,
    items: usize,
    notes: Vec<String>,
    stages: Vec<StageOverview>,
    /// What the item stages will take; nothing where there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    forecast: Option<Forecast>,
}

#[derive(Debug, Serialize)]
struct StageOverview {
    stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<Counts>,
    /// In plain words, why there is work.
    reasons: Vec<String>,
    current: bool,
    /// It is not done, and the command line says that it is.
    #[serde(skip)]
    taken_for_done: bool,
}

impl Overview {
    pub(super) fn new(session: &Session) -> Result<Self> {
        let mut stages: Vec<StageOverview> = session.plans.iter().map(|plan| item_stage(plan, &session.part)).collect();
        let items_current = stages.iter().all(|s| s.current);
        stages
            .extend(sets::standings(session)?.iter().map(|standing| set_stage(standing, items_current, &session.part)));
        Ok(Overview {
            dataset: session.dataset.name.clone(),
            items: session.dataset.items.len(),
            notes: session.dataset.notes.clone(),
            stages,
            forecast: forecast(&session.work, &session.plans)?,
        })
    }

    pub(super) fn is_current(&self) -> bool {
        self.stages.iter().all(|s| s.current)
    }
}

fn item_stage(plan: &StagePlan, part: &Part) -> StageOverview {
    let counts = plan.counts();
    let mut reasons: Vec<String> =
        counts.reasons.iter().map(|(reason, n)| format!("{}: {}", plural(*n, "item"), words(reason, plan))).collect();
    reasons.extend(plan.index.damaged.iter().map(|d| format!("{} is damaged: {}", d.path.display(), d.message)));
    let current = counts.is_current();
    let taken_for_done = part.settled.contains(&plan.decl.id) && counts.left_out > 0;
    StageOverview { stage: plan.decl.id, current, counts: Some(counts), reasons, taken_for_done }
}

fn set_stage(standing: &Standing, items_current: bool, part: &Part) -> StageOverview {
    let stage = standing.stage;
    let is_settled = part.settled.contains(&stage);
    let reason = match &standing.state {
        _ if is_settled => None,
        State::Current if part.force.contains(&stage) => Some("asked for again (--force)".to_string()),
        State::Current if items_current && !standing.inputs_change => None,
        State::Current => Some("its inputs are about to change".to_string()),
        State::New => Some("never run".to_string()),
        State::Changed(differences) => Some(format!("changed: {}", list(differences))),
        State::Damaged(product) => Some(format!("{product} is missing or damaged")),
    };
    let (current, taken_for_done) = (reason.is_none(), is_settled && standing.state != State::Current);
    StageOverview { stage, counts: None, current, reasons: reason.into_iter().collect(), taken_for_done }
}

/// A reason in plain words.
pub(super) fn words(reason: &Reason, plan: &StagePlan) -> String {
    match reason {
        Reason::New => "new".to_string(),
        Reason::ContentChanged => "the file's content changed".to_string(),
        Reason::ParametersChanged(at) => format!("changed: {}", list(&plan.changes[*at])),
        Reason::PictureMissing => "a picture file is gone".to_string(),
        Reason::Retry(cause) => format!("failed before ({cause}), tried again"),
        Reason::Forced => "good, and asked for again (--force)".to_string(),
        Reason::NotHashed => "the file is new or was touched; it is read to see".to_string(),
    }
}

/// `params.n_mels 64 → 128, …`
pub(super) fn list(differences: &[Difference]) -> String {
    let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "(absent)".to_string());
    let fields: Vec<String> =
        differences.iter().map(|d| format!("{} {} → {}", d.field, side(&d.old), side(&d.new))).collect();
    fields.join(", ")
}

impl Overview {
    fn stage(&self, id: &str) -> Option<&StageOverview> {
        self.stages.iter().find(|stage| stage.stage == id)
    }

    /// How far a stage is, in plain words; `None` for the list of items.
    pub(super) fn state(&self, id: &str) -> Option<String> {
        self.stage(id).map(StageOverview::state)
    }

    /// Whether there is nothing to do for it.
    pub(super) fn is_stage_current(&self, id: &str) -> bool {
        self.stage(id).is_none_or(|stage| stage.current)
    }
}

impl StageOverview {
    fn state(&self) -> String {
        let state = match (&self.counts, self.current) {
            _ if self.taken_for_done => "taken for done (--from, --only), and is not".to_string(),
            (Some(c), true) if c.failed > 0 => format!("up to date: {} done, {} failed", c.done, c.failed),
            (Some(c), true) => format!("up to date: {} done", c.done),
            (None, true) => "up to date".to_string(),
            (Some(c), false) => {
                let failed = if c.failed > 0 { format!(", {} failed", c.failed) } else { String::new() };
                format!("{} to do, {} done{failed}, {} to write", c.due, c.done, plural(c.stale_shards, "shard"))
            }
            (None, false) => "to run".to_string(),
        };
        match &self.counts {
            Some(c) if c.left_out > 0 => format!("{state}; {} left out of this run", plural(c.left_out, "item")),
            _ => state,
        }
    }
}

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.dataset, plural(self.items, "item"))?;
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        for stage in &self.stages {
            writeln!(f, "  {:<15} {}", stage.stage, stage.state())?;
            for reason in &stage.reasons {
                writeln!(f, "  {:<15}   {reason}", "")?;
            }
        }
        match &self.forecast {
            Some(forecast) => writeln!(f, "{}", forecast_words(forecast)),
            None => Ok(()),
        }
    }
}

/// What the work that is due will take, in a line.
fn forecast_words(forecast: &Forecast) -> String {
    let items = plural(forecast.items, "item");
    let bytes = forecast.bytes.map_or(String::new(), |bytes| format!(" and {:.1} MB of shards", bytes as f64 / 1e6));
    match forecast.seconds {
        Some(seconds) => format!(
            "forecast: about {} for {items}{bytes}, by the last run of these stages here ({})",
            duration(seconds),
            plural(forecast.rests_on, "item")
        ),
        None => format!(
            "forecast: {items}{bytes}; no run of these stages on this machine tells how long (`pipeline bench` measures)"
        ),
    }
}
