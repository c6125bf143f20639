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
//! A clip has an embedding per second. [`Params::frame`] says which one is used ([`represent`]): a picture number, counted
//! from 1 like the file names of `extract-frames` (the reference uses picture `05`, the last frame before 4.5 s), or
//! `"mean"`. A clip with too few pictures is an error of that clip, never replaced by another picture.
//!
//! # Output
//!
//! A [`Probe`]: `coef` `[K][D]`, `intercept` `[K]` (sum 0: adding a constant to all intercepts changes no probability),
//! the classes in their order, and how the fit ended. As JSON it can be used without this program:
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
//! summed in a fixed number of strips, in order, so the thread count changes no bit of the result. Labels and embeddings
//! are honoured exactly as given; the order of the training items changes only rounding. A fit that did not come down to
//! the tolerance is kept and says so ([`Probe::warning`]).
//!
//! # History of `version`
//!
//! 1. First version.

use contract::{Decl, Kind};

mod error;
mod lbfgs;
mod objective;
mod params;
mod probe;
mod represent;
mod standardizer;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use params::{Frame, Params, ParamsError, Spec};
pub use probe::{Probe, fit};
pub use represent::represent;
pub use standardizer::Standardizer;

/// The declaration of the stage.
pub const DECL: Decl = Decl {
    id: "linear-probe",
    version: 1,
    kind: Kind::Set,
    inputs: &["encode-clip"],
    summary: "CLIP embeddings of labelled clips -> a linear classifier and its class probabilities for every clip",
};
