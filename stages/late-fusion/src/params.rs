//! The table `[late-fusion]` of pipeline.toml as written, and what it resolves to.

use serde::{Deserialize, Serialize};

use crate::DECL;

/// How probabilities become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Arithmetic mean.
    Mean,
    /// Geometric mean, normalised: the mean of logarithms.
    Geometric,
    /// Convex weights of the smallest log loss on the validation split.
    Weighted,
}

/// The table `[late-fusion]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// The systems, at least two different ones.
    pub systems: Vec<String>,
    /// How their probabilities become one. `weighted` cannot be much worse than the best of the systems, as a mean with a bad
    /// one can; it needs a validation split that none of the systems was fitted on (the linear probe is, by default).
    pub method: Method,
}

impl Default for Params {
    fn default() -> Self {
        Params { systems: ["linear-probe", "audio"].map(str::to_owned).to_vec(), method: Method::Mean }
    }
}

/// The parameters after validation: exactly what can change the values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// As [`Params::systems`].
    pub systems: Vec<String>,
    /// As [`Params::method`].
    pub method: Method,
}

impl Params {
    /// Validates the table.
    pub fn resolve(&self) -> Result<Spec, ParamsError> {
        for (at, system) in self.systems.iter().enumerate() {
            if !DECL.inputs.contains(&system.as_str()) {
                return Err(ParamsError::Unknown(system.clone()));
            }
            if self.systems[..at].contains(system) {
                return Err(ParamsError::Twice(system.clone()));
            }
        }
        if self.systems.len() < 2 {
            return Err(ParamsError::Few(self.systems.len()));
        }
        Ok(Spec { systems: self.systems.clone(), method: self.method })
    }
}

/// What is wrong with the table `[late-fusion]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// Nothing to fuse.
    #[error("systems names {0} system(s): fusion needs at least two, e.g. [\"linear-probe\", \"audio\"]")]
    Few(usize),
    /// A system that does not exist, or that this stage makes itself.
    #[error("systems: there is no system `{0}` to fuse; there are {known}", known = DECL.inputs.join(", "))]
    Unknown(String),
    /// A system twice.
    #[error("systems names `{0}` twice: name it once; its weight is `method`'s affair")]
    Twice(String),
}
