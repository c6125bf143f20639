//! The table `[report]` of pipeline.toml as written, and what it resolves to.

use serde::{Deserialize, Serialize};

/// The table `[report]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Heading of the page; empty: the name of the data set.
    pub title: String,
    /// Sample pictures at most, half of them of clips that some system got wrong. A picture is 20 to 100 KB of the page.
    pub samples: usize,
}

impl Default for Params {
    fn default() -> Self {
        Params { title: String::new(), samples: 12 }
    }
}

/// The parameters after validation: exactly what can change the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// As [`Params::title`].
    pub title: String,
    /// As [`Params::samples`]; at most 200.
    pub samples: usize,
}

impl Params {
    /// Validates the table.
    pub fn resolve(&self) -> Result<Spec, ParamsError> {
        if self.samples > 200 {
            return Err(ParamsError::ManySamples(self.samples));
        }
        Ok(Spec { title: self.title.clone(), samples: self.samples })
    }
}

/// What is wrong with the table `[report]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// A page that no browser opens gladly.
    #[error("samples = {0}: at most 200 pictures go into a page (the default is 12)")]
    ManySamples(usize),
}
