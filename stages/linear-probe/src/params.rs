//! The table `[linear-probe]` of pipeline.toml as written, and what it resolves to.

use std::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The split that several `c` are compared on, where the data set has one.
pub(crate) const VAL: &str = "val";
/// The split that nothing is learnt from.
const TEST: &str = "test";

/// The table `[linear-probe]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Inverse strength of the L2 penalty, > 0: the objective is `c * sum of log losses + 1/2 |W|²`, as in scikit-learn.
    /// Smaller means smoother. 0.316 is the reference example's. A list, `[0.01, 0.1, 1.0]`, is tried value by value on held-out
    /// groups, and the best one is used (see [`mod@crate`]).
    #[serde(with = "one_or_many")]
    pub c: Vec<f64>,
    /// What the best `c` of a list is the best in: `"log-loss"` or `"accuracy"` on the held-out clips.
    pub select_by: SelectBy,
    /// Parts that the training groups are cut into where several `c` are to be compared and the data set has no `val` split.
    pub folds: usize,
    /// Another number cuts the groups into other parts.
    pub seed: u64,
    /// After the comparison, fit once more on everything in `train_splits`, `val` included. Off: keep the fit on the part without `val`.
    pub refit: bool,
    /// Most iterations of L-BFGS. A fit that needs more is kept, marked as not converged.
    pub max_iter: usize,
    /// The fit has converged when no component of the gradient of the mean log loss (with its penalty) exceeds this.
    /// scikit-learn's default is 1e-4, which on data like CLIP's leaves coefficients off by a quarter of the largest (measured by
    /// `fixtures/rate.py`; here 0.1 %). Small enough that the result does not depend on where the fit started.
    pub tolerance: f64,
    /// Which pictures of a clip stand for it: a number counted from 1 (5: the reference's frame `-05`), `"mean"` for the
    /// mean of all pictures' embeddings, or `"all"`: each picture is a training row, and a clip's probabilities are the mean of theirs.
    pub frame: Frame,
    /// Divide each picture's embedding by its length before anything else. Off in the reference.
    pub normalize: bool,
    /// Shift and scale each feature to mean 0 and variance 1 over the training items. Off in the reference.
    pub standardize: bool,
    /// The splits whose items are fitted; never `test`. All items are predicted.
    pub train_splits: Vec<String>,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            c: vec![0.316],
            select_by: SelectBy::LogLoss,
            folds: 5,
            seed: 0,
            refit: true,
            max_iter: 1000,
            tolerance: 1e-6,
            frame: Frame::Number(5),
            normalize: false,
            standardize: false,
            train_splits: vec!["train".to_owned(), VAL.to_owned()],
        }
    }
}

/// The parameters after validation: exactly what can change the values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// As [`Params::c`]; finite and > 0, ascending, without duplicates, not empty.
    #[serde(with = "one_or_many")]
    pub c: Vec<f64>,
    /// As [`Params::select_by`].
    pub select_by: SelectBy,
    /// As [`Params::folds`]; at least 2.
    pub folds: usize,
    /// As [`Params::seed`].
    pub seed: u64,
    /// As [`Params::refit`].
    pub refit: bool,
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
    /// As [`Params::train_splits`]; sorted, without duplicates, not empty, without `test`.
    pub train_splits: Vec<String>,
}

impl Params {
    /// Validates the table.
    pub fn resolve(&self) -> Result<Spec, ParamsError> {
        if self.c.is_empty() {
            return Err(ParamsError::NoC);
        }
        for (name, value) in self.c.iter().map(|c| ("c", *c)).chain([("tolerance", self.tolerance)]) {
            if !(value.is_finite() && value > 0.0) {
                return Err(ParamsError::NotPositive { name, value });
            }
        }
        if self.folds < 2 {
            return Err(ParamsError::TooFewFolds(self.folds));
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
        if train_splits.iter().any(|split| split == TEST) {
            return Err(ParamsError::TestSplit);
        }
        let mut c = self.c.clone();
        c.sort_by(f64::total_cmp);
        c.dedup();
        Ok(Spec {
            c,
            select_by: self.select_by,
            folds: self.folds,
            seed: self.seed,
            refit: self.refit,
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
    /// `test` is no split to learn from.
    #[error("train_splits names \"test\": what is fitted on it cannot be judged by it; leave it out")]
    TestSplit,
    /// `c` is an empty list.
    #[error("c = []: give a number, e.g. 0.316, or a list of them to choose from")]
    NoC,
    /// One fold has nothing to be compared with.
    #[error("folds = {0}: at least 2 are needed, one is held out at a time (the default is 5)")]
    TooFewFolds(usize),
}

/// What the best `c` is the best in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelectBy {
    /// The smallest mean log loss of the held-out clips.
    LogLoss,
    /// The largest share of held-out clips that are decided rightly; among equals the smaller log loss.
    Accuracy,
}

/// A number, or a list of numbers; one number is written as such.
mod one_or_many {
    use std::fmt;

    use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
    use serde::ser::{Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        match values {
            [one] => serializer.serialize_f64(*one),
            many => many.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }

    /// By hand instead of `serde(untagged)`, whose error says only that nothing matched.
    struct OneOrMany;

    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<f64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number such as 0.316, or a list such as [0.1, 1.0]")
        }

        fn visit_f64<E>(self, value: f64) -> Result<Vec<f64>, E> {
            Ok(vec![value])
        }

        fn visit_i64<E>(self, value: i64) -> Result<Vec<f64>, E> {
            Ok(vec![value as f64])
        }

        fn visit_u64<E>(self, value: u64) -> Result<Vec<f64>, E> {
            Ok(vec![value as f64])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Vec<f64>, A::Error> {
            Vec::deserialize(serde::de::value::SeqAccessDeserializer::new(seq))
        }
    }
}

/// Which pictures of a clip stand for it. In TOML and JSON a number (`5`), or the word `"mean"` or `"all"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// The picture with this number, counted from 1.
    Number(u32),
    /// The mean over all pictures.
    Mean,
    /// Every picture by itself.
    All,
}

impl Serialize for Frame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Frame::Number(number) => serializer.serialize_u32(*number),
            Frame::Mean => serializer.serialize_str("mean"),
            Frame::All => serializer.serialize_str("all"),
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
        f.write_str("a picture number counted from 1, such as 5, \"mean\" or \"all\"")
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
        match word {
            "mean" => Ok(Frame::Mean),
            "all" => Ok(Frame::All),
            _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
        }
    }
}
