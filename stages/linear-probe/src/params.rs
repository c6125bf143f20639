//! The table `[linear-probe]` of pipeline.toml as written, and what it resolves to.

use std::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The table `[linear-probe]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Inverse strength of the L2 penalty, > 0: the objective is `c * sum of log losses + 1/2 |W|²`, as in scikit-learn.
    /// Smaller means smoother. 0.316 is the reference example's.
    pub c: f64,
    /// Most iterations of L-BFGS. A fit that needs more is kept, marked as not converged.
    pub max_iter: usize,
    /// The fit has converged when no component of the gradient of the mean log loss (with its penalty) exceeds this.
    /// scikit-learn's default is 1e-4, which on data like CLIP's leaves coefficients off by a quarter of the largest (measured by
    /// `fixtures/rate.py`; here 0.1 %). Small enough that the result does not depend on where the fit started.
    pub tolerance: f64,
    /// Which picture of a clip stands for it: a number counted from 1 (5: the reference's frame `-05`), or `"mean"` for the
    /// mean of all pictures' embeddings.
    pub frame: Frame,
    /// Divide each picture's embedding by its length before anything else. Off in the reference.
    pub normalize: bool,
    /// Shift and scale each feature to mean 0 and variance 1 over the training items. Off in the reference.
    pub standardize: bool,
    /// The splits whose items are fitted. All items are predicted.
    pub train_splits: Vec<String>,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            c: 0.316,
            max_iter: 1000,
            tolerance: 1e-6,
            frame: Frame::Number(5),
            normalize: false,
            standardize: false,
            train_splits: vec!["train".to_owned()],
        }
    }
}

/// The parameters after validation: exactly what can change the values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// As [`Params::c`]; finite and > 0.
    pub c: f64,
    /// As [`Params::max_iter`]; at least 1.
    pub max_iter: usize,
    /// As [`Params::tolerance`]; finite and > 0.
    pub tolerance: f64,
    /// As [`Params::frame`].
    pub frame: Frame,
    /// As [`Params::normalize`].
    pub normalize: bool,
    /// As [`Params::standardize`].
    pub standardize: bool,
    /// As [`Params::train_splits`]; sorted, without duplicates, not empty.
    pub train_splits: Vec<String>,
}

impl Params {
    /// Validates the table.
    pub fn resolve(&self) -> Result<Spec, ParamsError> {
        for (name, value) in [("c", self.c), ("tolerance", self.tolerance)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(ParamsError::NotPositive { name, value });
            }
        }
        if self.max_iter == 0 {
            return Err(ParamsError::NoIterations);
        }
        let mut train_splits = self.train_splits.clone();
        train_splits.sort();
        train_splits.dedup();
        if train_splits.is_empty() {
            return Err(ParamsError::NoTrainSplit);
        }
        Ok(Spec {
            c: self.c,
            max_iter: self.max_iter,
            tolerance: self.tolerance,
            frame: self.frame,
            normalize: self.normalize,
            standardize: self.standardize,
            train_splits,
        })
    }
}

/// What is wrong with the table `[linear-probe]`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ParamsError {
    /// `c` or `tolerance` is zero, negative or not a number.
    #[error("{name} = {value}: must be a number greater than 0")]
    NotPositive {
        /// Name of the field.
        name: &'static str,
        /// What was written.
        value: f64,
    },
    /// `max_iter` is 0.
    #[error("max_iter = 0: the fit needs at least one iteration (the default is 1000)")]
    NoIterations,
    /// `train_splits` is empty.
    #[error("train_splits = []: name at least one split to fit on, e.g. [\"train\"]")]
    NoTrainSplit,
}

/// Which picture of a clip stands for it. In TOML and JSON a number (`5`) or the word `"mean"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// The picture with this number, counted from 1.
    Number(u32),
    /// The mean over all pictures.
    Mean,
}

impl Serialize for Frame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Frame::Number(number) => serializer.serialize_u32(*number),
            Frame::Mean => serializer.serialize_str("mean"),
        }
    }
}

impl<'de> Deserialize<'de> for Frame {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FrameVisitor)
    }
}

/// By hand instead of `serde(untagged)`, whose error says only that nothing matched.
struct FrameVisitor;

impl Visitor<'_> for FrameVisitor {
    type Value = Frame;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a picture number counted from 1, such as 5, or \"mean\"")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Frame, E> {
        match u32::try_from(number) {
            Ok(number) if number > 0 => Ok(Frame::Number(number)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Frame, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Frame, E> {
        if word == "mean" { Ok(Frame::Mean) } else { Err(E::invalid_value(Unexpected::Str(word), &self)) }
    }
}
