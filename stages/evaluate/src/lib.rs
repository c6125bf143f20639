//! Makes figures that can be trusted of class probabilities and the truth: accuracy, log loss, calibration and confusion of
//! each system, and the comparison of any two on the same items.
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
//! ECE             sum over B equal bins of the largest probability, (b/B, (b+1)/B], of |sum of it - hits| / n
//! ```
//!
//! Counts are integers and divided once: no mean over batches, no mean of means except where the name says *macro*. A ratio
//! without a denominator (the recall of a class without rows) is `null`, not 0. The challenge of the reference example ranks
//! by log loss; macro figures weigh each class alike.
//!
//! *Intervals*: 95 %, percentile bootstrap over **groups** (rows of one recording place are not independent): as many
//! groups as there are, drawn with replacement, `bootstrap` times; an item without a group is a group of its own, with all
//! its seconds; one group alone gives no interval. The generator is `SplitMix64`, so a seed means the same numbers for ever.
//!
//! *Comparisons* of two systems `a` and `b` of one protocol rest on the rows that both decided:
//!
//! ```text
//! difference      figure of a - figure of b, of the accuracy and of the log loss
//! its interval    of the same bootstrap, both systems on the same draw (paired)
//! its p           min(1, 2 (1 + min(#{draws <= 0}, #{draws >= 0})) / (1 + draws)): two-sided, never 0
//! McNemar, exact  rows that only a (u) or only b (v) has right: min(1, 2 P(X <= min(u, v))), X ~ Binomial(u + v, 1/2)
//! ```
//!
//! McNemar's test takes rows for independent, which rows of one place are not; the bootstrap does not. Nothing is corrected
//! for the number of comparisons.
//!
//! # Input and output
//!
//! [`Predictions`](predictions::Predictions) of several systems in both protocols become one [`Report`] ([`evaluate`]),
//! whose JSON is
//!
//! ```text
//! {"split": "test", "order": ["linear-probe", …],
//!  "systems": {"linear-probe": {"10s": {"n", "accuracy", "macro_accuracy", "log_loss", …}, "1s": {…}}},
//!  "comparisons": [{"protocol": "10s", "a": "audio", "b": "linear-probe", "n", "accuracy": {…}, …}], "notes": ["…"]}
//! ```
//!
//! `10s` is one decision per clip, `1s` one per second. [`table`], [`comparison_table`] and [`confusion_table`] are for
//! people, [`submission`] is the challenge's output file. Honoured: every row of the split. Half-honoured: group and city
//! (only for intervals and figures per group and city). Ignored: rows of other splits. A system that lacks rows which
//! another one has is judged by what it has: `left_out` counts the rest, and a note says so.
//!
//! # History of `version`
//!
//! 1. First version.
//! 2. Several systems and both protocols in one report; figures per city, reliability bins, comparisons; the seconds of an
//!    item without a group are resampled together.

use contract::{Decl, Kind};

mod bootstrap;
mod compare;
mod error;
mod metrics;
mod params;
mod report;
mod submission;
mod table;
#[cfg(test)]
mod tests;

pub use compare::{Comparison, Difference, McNemar, compare};
pub use error::Error;
pub use metrics::{Bin, Chance, CityMetrics, ClassMetrics, GroupMetrics, Interval, Metrics, metrics};
pub use params::{Params, ParamsError, Spec};
pub use report::{Report, evaluate};
pub use submission::submission;
pub use table::{comparison_table, confusion_table, table};

/// The declaration of the stage.
pub const DECL: Decl = Decl {
    id: "evaluate",
    version: 2,
    kind: Kind::Set,
    inputs: &["zero-shot", "linear-probe", "audio", "audio-visual", "late-fusion"],
    summary: "class probabilities and labels -> accuracy, log loss, calibration, confusion and comparisons, with intervals",
};
