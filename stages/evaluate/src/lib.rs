//! Makes figures that can be trusted of class probabilities and the truth: accuracy, log loss, calibration and confusion.
//!
//! # Formulas
//!
//! Over the rows of one split, with `N_tk` = number of rows of true class `t` that were decided as `k` (the first largest
//! probability), and `n_t` the row sums:
//!
//! ```text
//! accuracy        sum_t N_tt / sum N
//! macro accuracy  mean over the classes with n_t > 0 of  N_tt / n_t        (scikit-learn: balanced_accuracy_score)
//! log loss        mean over rows of  -ln clip(p_truth, 2^-52, 1 - 2^-52)   (scikit-learn: log_loss, the same clipping)
//! macro log loss  mean over the classes with n_t > 0 of their mean log loss
//! ECE             sum over 15 equal bins of the largest probability, (b/15, (b+1)/15], of |sum of it - hits| / n
//! ```
//!
//! Counts are integers and divided once: no mean over batches, no mean of means except where the name says *macro*. A ratio
//! without a denominator (the recall of a class without rows) is `null`, not 0. The challenge of the reference example ranks
//! by log loss; macro figures weigh each class alike.
//!
//! *Intervals*: 95 %, percentile bootstrap over **groups** (rows of one recording place are not independent): as many
//! groups as there are, drawn with replacement, `bootstrap` times; rows without a group count as a group each; one
//! group alone gives no interval. The generator is `SplitMix64`, so a seed means the same numbers for ever.
//!
//! # Input and output
//!
//! [`Predictions`]: rows of id, label, group, split and `[K]` probabilities (f64, in 0..=1, sum 1 within 1e-4), read from
//! and written to CSV without loss. [`Metrics`] per system and protocol go into a [`Report`], whose JSON is
//! `{"split", "systems": {"linear-probe": {"10s": {…}}}, "notes": […]}`; `10s` is one decision per clip, `1s` one per second.
//! [`table`] and [`confusion_table`] are for people. Honoured: every row of the split. Half-honoured: the group (only for
//! intervals and figures per group). Ignored: rows of other splits.
//!
//! # History of `version`
//!
//! 1. First version.

use contract::{Decl, Kind};

mod bootstrap;
mod error;
mod metrics;
mod params;
mod predictions;
mod report;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use metrics::{Chance, ClassMetrics, GroupMetrics, Interval, Metrics, metrics};
pub use params::{Params, ParamsError, Spec};
pub use predictions::{Prediction, Predictions};
pub use report::{PER_CLIP, PER_SECOND, Report, SystemMetrics, confusion_table, table};

/// The declaration of the stage.
pub const DECL: Decl = Decl {
    id: "evaluate",
    version: 1,
    kind: Kind::Set,
    inputs: &["linear-probe"],
    summary: "class probabilities and labels -> accuracy, log loss, calibration and confusion, with intervals",
};
