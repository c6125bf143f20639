//! The table `[zero-shot]` of pipeline.toml as written, and what it resolves to.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::prompts::TEMPLATES;

/// The table `[zero-shot]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Sentences with `{}` where the words of a class go. The default is [`TEMPLATES`].
    pub templates: Vec<String>,
    /// The words or phrases that stand for a class, by its name. A class that is not named here has those of [`SCENES`](crate::SCENES), or else
    /// its own name with spaces for underscores.
    pub prompts: BTreeMap<String, Vec<String>>,
    /// Which picture of a clip stands for it: a number counted from 1 (5: the reference's frame `-05`), or `"mean"` for the mean of all
    /// pictures' embeddings, each of length 1.
    pub frame: Frame,
    /// What is averaged over the prompts: `"features"` or `"probabilities"`.
    pub ensemble: Ensemble,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            templates: TEMPLATES.map(str::to_owned).to_vec(),
            prompts: BTreeMap::new(),
            frame: Frame::Number(5),
            ensemble: Ensemble::Features,
        }
    }
}

/// The parameters after validation: exactly what can change the values, besides the classes and the checkpoint's text files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// As [`Params::templates`]; not empty, each with a `{}`.
    pub templates: Vec<String>,
    /// As [`Params::prompts`]; no list and no phrase is empty, phrases have no space around them.
    pub prompts: BTreeMap<String, Vec<String>>,
    /// As [`Params::frame`].
    pub frame: Frame,
    /// As [`Params::ensemble`].
    pub ensemble: Ensemble,
}

impl Params {
    /// Validates the table.
    pub fn resolve(&self) -> Result<Spec, ParamsError> {
        if self.templates.is_empty() {
            return Err(ParamsError::NoTemplate);
        }
        for template in &self.templates {
            let rest = template.replace("{}", "");
            if rest.len() == template.len() {
                return Err(ParamsError::NoPlace(template.clone()));
            }
            if rest.contains(['{', '}']) {
                return Err(ParamsError::Brace(template.clone()));
            }
        }
        let mut prompts = BTreeMap::new();
        for (class, phrases) in &self.prompts {
            if phrases.is_empty() {
                return Err(ParamsError::NoPhrase(class.clone()));
            }
            let trimmed: Vec<String> = phrases.iter().map(|phrase| phrase.trim().to_owned()).collect();
            if trimmed.iter().any(String::is_empty) {
                return Err(ParamsError::EmptyPhrase(class.clone()));
            }
            prompts.insert(class.clone(), trimmed);
        }
        Ok(Spec { templates: self.templates.clone(), prompts, frame: self.frame, ensemble: self.ensemble })
    }
}

/// What is wrong with the table `[zero-shot]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// `templates` is empty.
    #[error(
        "templates = []: name at least one, e.g. [\"a photo of a {{}}.\"], or leave the key out for the default ones"
    )]
    NoTemplate,
    /// A template without `{}` makes the same prompt for every class.
    #[error("templates: {0:?} has no {{}} where the words of a class go, as in \"a photo of a {{}}.\"")]
    NoPlace(String),
    /// A brace that is no `{}`.
    #[error(
        "templates: {0:?} has a brace that is no {{}}; the words of a class go to {{}}, and nothing else is filled in"
    )]
    Brace(String),
    /// A class with an empty list.
    #[error(
        "prompts: class `{0}` has an empty list: name a word that stands for it, or leave the class out for the default"
    )]
    NoPhrase(String),
    /// A class with an empty word.
    #[error("prompts: class `{0}` has an empty phrase: write what the picture shows, or leave the phrase out")]
    EmptyPhrase(String),
}

/// What is averaged over the prompts of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ensemble {
    /// The text features, each of length 1: one classifier, as openai/CLIP's notebooks.
    Features,
    /// The probabilities of one classifier per template.
    Probabilities,
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
