//! Makes a classifier of scenes of the clips' CLIP embeddings: multinomial logistic regression, the *linear probe*.
//!
//! # Formula
//!
//! With embeddings `x_i` of `D` numbers, labels `y_i` in `0..K`, a weight row `w_k` and an intercept `b_k` per class,
//!
//! ```text
//! z_ik = w_k · x_i + b_k          p_ik = exp(z_ik) / sum_j exp(z_ij)
//! minimise over W, b:   C * sum_i -ln p_i,y_i   +   1/2 * sum_kd W_kd²
//! ```
//!
//! which is what scikit-learn's `LogisticRegression(C=…)` minimises (solver `lbfgs`, penalty L2, multinomial, intercept
//! not penalised). The problem is strictly convex in `W`, so there is one optimum and two correct solvers agree; the
//! fixtures compare with scikit-learn's, coefficient by coefficient. `C = 0.316` is the value of the reference example,
//! which has it from the README of openai/CLIP.
//!
//! *Two classes.* scikit-learn then fits one weight vector `w` with the penalty `1/2 |w|²`. Two rows `±w/2` cost only half
//! of that, so with two classes this crate doubles the penalty: probabilities and decisions are scikit-learn's, and its
//! `coef_` is `coef[1] - coef[0]`.
//!
//! # Which vector stands for a clip
//!
//! A clip has an embedding per second. [`Params::frame`] says which are used ([`represent`]): a picture number, counted
//! from 1 like the file names of `extract-frames` (the reference uses picture `05`, the last frame before 4.5 s), `"mean"`, or
//! `"all"`: every picture is a training row with the clip's label, and the clip's probabilities are the mean of its pictures'
//! ([`Probe::clip_probabilities`]). A clip with too few pictures is an error of that clip, never replaced by another picture.
//! A decision per second is the probe applied to each picture ([`represent_each`], [`Probe::probabilities`]), whatever `frame` says.
//!
//! # Which `c`
//!
//! One `c` is fitted on all clips of [`Params::train_splits`] (`train` and `val` by default; nothing is chosen, so nothing must be
//! held out). Of several, [`train`] takes the one with the smallest log loss ([`Params::select_by`]: or the highest
//! accuracy) on held-out clips: those of the split `val`, fitting on the other training clips; or, where the data set has none, on each of
//! [`Params::folds`] parts of whole groups in turn ([`folds`](Params::folds) are made as scikit-learn's `StratifiedGroupKFold` makes them; every
//! held-out clip counts once). The best is fitted again on all of `train_splits`. `test` is refused as a training split, so it never takes part.
//! `c` is not scaled with the number of clips, as in scikit-learn's `LogisticRegressionCV`.
//!
//! # Output
//!
//! A [`Probe`]: `coef` `[K][D]`, `intercept` `[K]` (sum 0: adding a constant to all intercepts changes no probability),
//! the classes in their order, how the fit ended, and of several `c` every one with its figures ([`Selection`]). As JSON it can be used without this program:
//!
//! ```python
//! m = json.load(open("model.json")); s = m["scaler"] or {"mean": 0, "scale": 1}      # x: [n, D] embeddings
//! z = (x - np.array(s["mean"])) / np.array(s["scale"]) @ np.array(m["coef"]).T + m["intercept"]
//! p = np.exp(z - z.max(1, keepdims=True)); p /= p.sum(1, keepdims=True)               # [n, K], columns m["classes"]
//! ```
//!
//! # How it is computed
//!
//! f64 throughout, by L-BFGS from zero, on centred features: the free intercept absorbs the shift, so the optimum stays
//! where it is, and it takes 3 to 10 times fewer iterations on embeddings with a common offset, as CLIP's have. Rows are
//! summed in a fixed number of strips, in order, so the thread count changes no bit of the result. Of several `c` each fit starts where
//! the next smaller one ended; the fit that is kept starts from zero. Labels and embeddings
//! are honoured exactly as given; the order of the training items changes only rounding. A fit that did not come down to
//! the tolerance is kept and says so ([`Probe::warning`]).
//!
//! # History of `version`
//!
//! 1. First version.
//! 2. `val` is fitted by default, too; several `c`; `frame = "all"`; the model file says `c` and how it was chosen.

use contract::{Decl, Kind};

mod clips;
mod error;
mod folds;
mod lbfgs;
mod objective;
mod params;
mod probe;
mod represent;
mod select;
mod standardizer;
#[cfg(test)]
mod tests;

pub use clips::Clips;
pub use error::Error;
pub use params::{Frame, Params, ParamsError, SelectBy, Spec};
pub use probe::{Probe, fit};
pub use represent::{represent, represent_each};
pub use select::{Fold, HeldOutBy, Selection, Tried, train};
pub use standardizer::Standardizer;

/// The declaration of the stage.
pub const DECL: Decl = Decl {
    id: "linear-probe",
    version: 2,
    kind: Kind::Set,
    inputs: &["encode-clip"],
    summary: "CLIP embeddings of labelled clips -> a linear classifier and its class probabilities for every clip",
};
