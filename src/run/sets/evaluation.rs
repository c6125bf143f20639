//! `evaluate`: what every system said of the test split, held against the truth.

use contract::{Decl, Kind};
use serde_json::{Value, json};

use crate::error::{IoContext, Result};
use crate::registry;
use crate::resolve::refuse;
use crate::run::sets::system::{PREDICTIONS, PREDICTIONS_1S};
use crate::run::sets::{During, Ended, SetStage, preimage};
use crate::session::Session;
use crate::store::products::Products;
use crate::ui::plural;

/// The figures as data.
pub const METRICS: &str = "metrics.json";
/// The figures as tables for a person.
pub const REPORT: &str = "report.txt";

const ID: &str = evaluate::DECL.id;

/// `evaluate` of a session.
pub struct Evaluate<'a> {
    /// The session.
    pub session: &'a Session,
}

impl SetStage for Evaluate<'_> {
    fn decl(&self) -> &'static Decl {
        &evaluate::DECL
    }

    fn preimage(&self) -> Result<Option<Value>> {
        Ok(None)
    }

    fn run(&self, _to: &Products, _preimage: &Value, _during: &During<'_>) -> Result<Ended> {
        Ok(Ended::Stopped)
    }
}
