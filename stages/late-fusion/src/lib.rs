//! Makes one system of several: their class probabilities for a clip become one list of class probabilities, *late fusion*.
//!
//! # Formula
//!
//! With the probabilities `p_sk` that system `s` of `S` gives to class `k` of a row,
//!
//! ```text
//! mean        q_k = sum_s p_sk / S
//! weighted    q_k = sum_s w_s p_sk,   w >= 0,  sum_s w_s = 1
//! geometric   q_k = exp(sum_s ln max(p_sk, 2^-52) / S) / (the sum of this over the classes)
//! ```
//!
//! `weighted` takes the weights that minimise the log loss of the validation split in the protocol `10s`,
//!
//! ```text
//! L(w) = mean over rows i of  -ln sum_s w_s p_s(i, truth of i)
//! ```
//!
//! which is convex. It is solved by the EM iteration of mixture weights (Dempster, Laird & Rubin 1977, section 4.3),
//!
//! ```text
//! g_s = mean_i p_s(i, truth) / sum_t w_t p_t(i, truth)          w_s <- w_s g_s
//! ```
//!
//! from equal weights: no step size, no random number, every step lowers the loss, and systems that say the same share their
//! weight. Since `L` is convex and `w · g = 1`, `L(w) - L(optimum) <= max_s g_s - 1`; the iteration ends when this bound is
//! below 1e-10 nats, or after 100,000 steps, and the bound reached is kept with the weights ([`Fit::gap`]). Rows whose truth
//! has probability 0 in every system cannot move the weights and are left out of the sum.
//!
//! # Which systems
//!
//! Any of zero-shot, linear-probe, audio and audio-visual. The default is linear probe + audio: the two one-sided systems, the
//! picture and the sound, which the reference example joins inside one network (its audio-visual system); so the two rows
//! of the report answer what joint training adds to averaging.
//!
//! # Input and output
//!
//! [`Predictions`](predictions::Predictions) of every system, in one protocol, with equal classes. [`fit`] gives a [`Fusion`]
//! (`model.json`), [`Fusion::apply`] the predictions of the system `late-fusion`, in the order of the first system's rows.
//! The weights that were found per clip serve the protocol `1s` as well. Rows that a system lacks are left out, and named
//! ([`Fused::left_out`]). Honoured: all probabilities. Ignored: splits other than `val`, except that their rows are fused.
//! Systems that disagree about an item's label, group, city or split are an error, never a choice.
//!
//! # History of `version`
//!
//! 1. First version.

use contract::{Decl, Kind};

mod error;
mod fusion;
mod params;
#[cfg(test)]
mod tests;
mod weights;

pub use error::Error;
pub use fusion::{Fit, Fused, Fusion, LeftOut, fit};
pub use params::{Method, Params, ParamsError, Spec};

/// The declaration of the stage.
pub const DECL: Decl = Decl {
    id: "late-fusion",
    version: 1,
    kind: Kind::Set,
    inputs: &["zero-shot", "linear-probe", "audio", "audio-visual"],
    summary: "class probabilities of several systems -> those of one, by mean, geometric mean or weights found on `val`",
};

/// The split on which weights are found.
pub const VALIDATION: &str = "val";
