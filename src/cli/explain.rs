//! `pipeline explain STAGE [ITEM]`

use clap::Args;
use serde::Serialize;

use crate::cli::choice::Skip;
use crate::cli::{Common, print, print_json};
use crate::error::{Error, Result};
use crate::exit;
use crate::key::{Difference, Template, differences, hex};
use crate::plan::{Depth, ItemState, Reason, StagePlan};
use crate::resolve::Source;
use crate::run::sets::{self, Standing};
use crate::selection::meant;
use crate::session::Session;
use crate::store::products::State;
use crate::ui::plural;

/// Options of `explain`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The stage
    stage: String,
    /// The item's id; without it, the whole stage
    item: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    skip: Skip,
    #[command(flatten)]
    common: Common,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    let mut config = options.common.config()?;
    let selected = options.skip.select(std::slice::from_ref(&options.stage), &mut config)?;
    let session = Session::open(config, selected, Depth::Look)?;
    let plan = session.plans.iter().find(|plan| plan.decl.id == options.stage);
    match (plan, &options.item) {
        (Some(plan), Some(item)) => {
            let answer = explain_item(&session, plan, item)?;
            if options.json { print_json(&answer)? } else { print(&answer.text())? }
        }
        (None, None) if options.stage != "all" && !options.json => match standing(&session, &options.stage)? {
            Some(standing) => print(&explain_set(&standing))?,
            None if options.stage == discover::DECL.id => print(&format!(
                "{}: lists the data set anew in each run; {} now\n",
                options.stage,
                plural(session.dataset.items.len(), "item")
            ))?,
            None => print(&format!("{}: left out: {}\n", options.stage, session.dataset.notes.join("; ")))?,
        },
        (None, Some(_)) => {
            return Err(Error::Usage(format!("`{}` is not made item by item: leave out the item", options.stage)));
        }
        _ => {
            let overview = super::status::Overview::new(&session)?;
            if options.json { print_json(&overview)? } else { print(&overview.to_string())? }
        }
    }
    Ok(exit::DONE)
}

fn standing(session: &Session, stage: &str) -> Result<Option<Standing>> {
    Ok(sets::standings(session)?.into_iter().find(|standing| standing.stage == stage))
}

/// Why one item is, or is not, up to date.
#[derive(Debug, Serialize)]
struct Answer {
    stage: &'static str,
    item: String,
    /// In plain words.
    verdict: String,
    /// Every field of the key that differs from what is stored under this id.
    differences: Vec<Difference>,
    /// The key now, where the content is known.
    key: Option<String>,
    /// The file that is read.
    file: Option<String>,
}

fn explain_item(session: &Session, plan: &StagePlan, id: &str) -> Result<Answer> {
    let position = session.dataset.items.iter().position(|item| item.id == id).ok_or_else(|| {
        let hint = meant(id, &session.dataset.items);
        Error::Usage(format!("the data set has no item `{id}`{hint}"))
    })?;
    let item = &session.dataset.items[position];
    let content = plan.content(item, &session.digests);
    let key = content.map(|content| plan.template.key(&content));
    let stored = plan.index.files.iter().find_map(|file| Some((file, file.items.iter().find(|i| i.id == id)?)));
    let mut changed = Vec::new();
    if let Some((file, old)) = stored {
        if let Some(template) = Template::from_text(file.template.clone()) {
            changed = differences(&template.value(), &plan.template.value());
        }
        if let Some(content) = content.filter(|content| *content != old.content) {
            let field = match plan.source {
                Source::Sound => "inputs.sound",
                Source::Pictures => "inputs.video",
                Source::Imported => "inputs.values",
            };
            let field = field.to_string();
            changed.push(Difference { field, old: Some(hex(&old.content)), new: Some(hex(&content)) });
        }
    }
    let shard = plan.shards.iter().find(|shard| shard.items.contains(&position)).expect("every item has a shard");
    let verdict = match &shard.stale {
        None => up_to_date(stored.and_then(|(_, item)| item.failed.as_ref())),
        Some(states) => match &states[position - shard.items.start] {
            ItemState::Known(at) => {
                up_to_date(plan.index.item(*at).failed.as_ref()) + "; it is copied into a shard that is written anew"
            }
            ItemState::Due(Reason::New) if stored.is_none() => "due: nothing is stored for it".to_string(),
            ItemState::Due(Reason::ParametersChanged(_)) => "due: what is stored was made in another way".to_string(),
            ItemState::Due(reason) => format!("due: {}", super::status::words(reason, plan)),
            ItemState::LeftOut => "due, and left out".to_string(),
        },
    };
    Ok(Answer {
        stage: plan.decl.id,
        item: id.to_string(),
        verdict,
        differences: changed,
        key: key.as_ref().map(hex),
        file: plan.source.path(item).map(|path| path.display().to_string()),
    })
}

fn up_to_date(failed: Option<&(contract::Cause, String)>) -> String {
    match failed {
        None => "up to date".to_string(),
        Some((cause, message)) => {
            format!(
                "up to date: it failed ({cause}: {message}) and will not be tried again until the file or a parameter changes"
            )
        }
    }
}

impl Answer {
    fn text(&self) -> String {
        let mut text = format!("{} {}: {}\n", self.stage, self.item, self.verdict);
        for d in &self.differences {
            let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "(absent)".to_string());
            text += &format!("  {}\n    stored  {}\n    now     {}\n", d.field, side(&d.old), side(&d.new));
        }
        text += &format!("  file {}\n", self.file.as_deref().unwrap_or("(none)"));
        text += &format!("  key  {}\n", self.key.as_deref().unwrap_or("(known once the file is hashed)"));
        text
    }
}

fn explain_set(standing: &Standing) -> String {
    let stage = standing.stage;
    match &standing.state {
        State::Current if standing.inputs_change => format!("{stage}: due: what it reads is about to be made anew\n"),
        State::Current => format!("{stage}: up to date\n"),
        State::New => format!("{stage}: due: never run\n"),
        State::Damaged(product) => format!("{stage}: due: {product} is missing or damaged\n"),
        State::Changed(differences) => {
            let mut text = format!("{stage}: due\n");
            for d in differences {
                let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "(absent)".to_string());
                text += &format!("  {}\n    stored  {}\n    now     {}\n", d.field, side(&d.old), side(&d.new));
            }
            text
        }
    }
}
