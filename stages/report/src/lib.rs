//! Makes one page for a person of the figures of all systems, and the same content as JSON and CSV.
//!
//! # What it makes
//!
//! [`render`] turns a [`Page`] into files:
//!
//! | file | what it holds |
//! |---|---|
//! | `index.html` | the page: self-contained, offline, light and dark, printable, readable without its script (which only sorts tables) |
//! | `metrics.json` | `systems.<name>.<10s\|1s>.{n, accuracy, macro_accuracy, log_loss, …}` as `evaluate` found them, with comparisons, curves, published figures, samples, failures and provenance |
//! | `systems.csv`, `per_class.csv`, `per_city.csv`, `confusion.csv`, `comparisons.csv`, `curves.csv`, `failures.csv` | the same, a row per line of a table |
//!
//! The page has the table of the reference example (system, accuracy) with what a reader needs to trust it: both protocols,
//! intervals, macro figures, log loss, calibration, and, where the data set is that of the reference example ([`PUBLISHED_OF`]), the
//! figures that were **published** for it ([`PUBLISHED`]). Then comparisons of any two systems, figures per class and per city,
//! confusion matrices, reliability diagrams, learning curves, sample pictures with what every system said, failures with their
//! causes, and where everything came from.
//!
//! # How
//!
//! A pure function: no path, no clock, no environment; the same page gives the same bytes. Figures are taken as they are in
//! the `metrics.json` of `evaluate` ([`Figures::read`]) and never computed anew; fields that this crate does not know pass through
//! to its own `metrics.json`. Everything from outside (ids, names of classes, messages, configuration) is escaped by the
//! template library, and the page forbids itself any request by a content security policy. Pictures are PNG or JPEG, told by
//! their first bytes, and go in as they are.
//!
//! # History of `version`
//!
//! 1. First version.
//! 2. Published figures only on a page of the data set that they are of; before, on every page.

use contract::{Decl, Kind};

mod error;
mod figures;
mod html;
mod page;
mod params;
mod published;
mod samples;
mod tables;

pub use error::Error;
pub use figures::{
    Bin, Chance, CityMetrics, ClassMetrics, Comparison, Difference, Figures, Interval, McNemar, Metrics,
};
pub use page::{Curve, Failure, Page, Point, Section, render};
pub use params::{Params, ParamsError, Spec};
pub use published::{PUBLISHED, PUBLISHED_OF, Published};
pub use samples::{Decision, Sample, choose};

/// The declaration of the stage.
pub const DECL: Decl = Decl {
    id: "report",
    version: 2,
    kind: Kind::Set,
    inputs: &["zero-shot", "linear-probe", "audio", "audio-visual", "late-fusion", "evaluate"],
    summary: "figures, learning curves, sample pictures, failures and provenance -> one page, and the same as JSON and CSV",
};
