//! Two runs that write other pictures under the same names at the same time.
//!
//! A row is taken out of the store before its pictures are written over ([`crate::run::retract`]), but a row that another run has still in
//! memory is not found there: published a moment later, it would vouch for pictures that are not its own. So a run that is going to publish
//! such rows says so first ([`Sign`]), and looks at the store after that. Whoever then finds the sign of other pictures - of a run that is at
//! it, or that ended while this one was at it, or that was killed - holds every row in the store against its pictures. Of two such runs the one
//! that ends last sees the other's sign and everything that it published. A sign stays until such a look has found nothing, with nobody else at
//! work.

use std::cell::Cell;

use crate::error::Result;
use crate::events::{Event, Reporter};
use crate::key::Template;
use crate::plan::{ShardPlan, StagePlan};
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
    /// That of the run of this session.
    pub fn of(session: &Session) -> Painting {
        let template = plan_of(session).map(|plan| plan.template.clone());
        Painting { work: session.work.clone(), template, sign: None, rivals: Cell::new(false) }
    }

    /// Before a plan is carried out: rows are published under a sign alone, be they computed or copied. `true`: the store is not what the plan
    /// saw, and a new plan is needed, which may be the first that publishes any.
    pub fn announce(&mut self, session: &Session, reporter: &dyn Reporter) -> Result<bool> {
        let Some(plan) = plan_of(session) else { return Ok(false) };
        let is_new = self.sign.is_none() && plan.shards.iter().any(ShardPlan::is_taken_up);
        if is_new {
            self.sign = Some(Sign::put_up(&self.work, &plan.template)?);
        }
        let retracted = self.check(reporter)?;
        // A run that ended between the plan and the sign saw none.
        Ok(retracted > 0 || (is_new && Index::open(&self.work, plan.decl.id, false)?.files != plan.index.files))
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

/// The plan of the stage whose rows list pictures, where these are made here.
fn plan_of(session: &Session) -> Option<&StagePlan> {
    session.plans.iter().find(|plan| plan.decl.id == extract_frames::DECL.id && plan.source != Source::Imported)
}
