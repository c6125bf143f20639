//! Two runs that write other pictures under the same names at the same time.
//!
//! A row is taken out of the store before its pictures are written over ([`crate::run::retract`]), but a row that another run has still in
//! memory is not found there: published a moment later, it would vouch for pictures that are not its own. So a run that is going to write
//! pictures says so first ([`Sign`]), and looks at the store after that. Whoever then finds the sign of other pictures - of a run that is at
//! it, or that ended while this one was at it, or that was killed - holds every row in the store against its pictures. Of two such runs the one
//! that ends last sees the other's sign and everything that it published. A sign stays until such a look has found nothing, with nobody else at
//! work.

use std::cell::Cell;

use crate::error::Result;
use crate::events::{Event, Reporter};
use crate::key::Template;
use crate::plan::{ItemState, StagePlan};
use crate::resolve::Source;
use crate::run::retract::retract_false_rows;
use crate::session::Session;
use crate::store::WorkDir;
use crate::store::index::Index;
use crate::store::painters::Sign;
use crate::ui::plural;

/// A run's part in it.
pub struct Painting {
    work: WorkDir,
    /// What pictures are to be, where they are of any interest to the run.
    template: Option<Template>,
    /// Where it writes some.
    sign: Option<Sign>,
    /// Whether the last look saw signs of other pictures. They stay for as long as this run's own does.
    rivals: Cell<bool>,
}

impl Painting {
    /// Before the plan of a session is carried out. `true`: the store is not what the plan saw.
    pub fn begin(session: &Session, reporter: &dyn Reporter) -> Result<(Painting, bool)> {
        let is_it = |plan: &&StagePlan| plan.decl.id == extract_frames::DECL.id && plan.source != Source::Imported;
        let plan = session.plans.iter().find(is_it);
        let template = plan.map(|plan| plan.template.clone());
        let mut painting = Painting { work: session.work.clone(), template, sign: None, rivals: Cell::new(false) };
        let Some(plan) = plan else { return Ok((painting, false)) };
        let mut states = plan.shards.iter().flat_map(|shard| shard.stale.iter().flatten());
        if states.any(|state| matches!(state, ItemState::Due(_))) {
            painting.sign = Some(Sign::put_up(&painting.work, &plan.template)?);
        }
        let retracted = painting.check(reporter)?;
        // A run that ended between the plan and the sign saw none.
        let is_stale = retracted > 0
            || (painting.sign.is_some() && Index::open(&painting.work, plan.decl.id, false)?.files != plan.index.files);
        Ok((painting, is_stale))
    }

    /// Where others wrote other pictures, takes the rows out of the store whose pictures they wrote over; returns how many these were.
    pub fn check(&self, reporter: &dyn Reporter) -> Result<usize> {
        let Some(template) = &self.template else { return Ok(0) };
        let others = Sign::of_others(&self.work)?;
        let mut retracted = 0;
        self.rivals.set(!others.iter().all(|sign| sign.is_of(template)));
        if self.rivals.get() {
            retracted = retract_false_rows(&self.work)?;
        }
        if retracted > 0 {
            let what = plural(retracted, "clip");
            let message =
                format!("another run has written over the pictures of {what}: those that are wanted are made again");
            reporter.report(&Event::Warning { message });
        }
        // One that is still at it has not looked yet; and what is made again now is looked at, too.
        if retracted == 0 && others.iter().all(|sign| sign.is_abandoned) {
            others.iter().try_for_each(Sign::take_down)?;
        }
        Ok(retracted)
    }

    /// Whether another run has written other pictures since the look before the last, or is at it.
    pub fn has_rivals(&self) -> bool {
        self.rivals.get()
    }

    /// No more pictures are written, and the last look found nothing.
    pub fn end(self) -> Result<()> {
        let (Some(template), Some(sign)) = (&self.template, &self.sign) else { return Ok(()) };
        let others = Sign::of_others(&self.work)?;
        if others.iter().all(|other| other.is_of(template)) { sign.take_down() } else { Ok(()) }
    }
}
