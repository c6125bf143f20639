//! The rows, the protocol, and what must hold of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

/// How far the sum of a row's probabilities may be from 1: room for files with five decimals.
const SUM_TOLERANCE: f64 = 1e-4;

/// What one decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// One decision per clip of ten seconds, or whatever its length.
    #[serde(rename = "10s")]
    PerClip,
    /// One decision per second of a clip.
    #[serde(rename = "1s")]
    PerSecond,
}

impl Protocol {
    /// Both, in the order in which they are shown.
    pub const ALL: [Protocol; 2] = [Protocol::PerClip, Protocol::PerSecond];

    /// `10s` or `1s`.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::PerClip => "10s",
            Protocol::PerSecond => "1s",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The class probabilities that one system gives to items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Predictions {
    /// Name of the system, e.g. `linear-probe`.
    pub system: String,
    /// What one row is about.
    pub protocol: Protocol,
    /// The classes, in the order of the probabilities.
    pub classes: Vec<String>,
    /// One row per decision.
    pub rows: Vec<Prediction>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Id of the item.
    pub id: String,
    /// Second of the clip, counted from 0; `None` for the whole clip.
    pub second: Option<u32>,
    /// The true class.
    pub label: String,
    /// What must not be torn apart, e.g. the recording location.
    pub group: Option<String>,
    /// Where it was recorded, for figures per city.
    pub city: Option<String>,
    /// `train`, `val` or `test`.
    pub split: String,
    /// Probability of each class.
    pub probabilities: Vec<f64>,
}

impl Prediction {
    /// The class decided for: the first of the largest probability.
    pub fn decision(&self) -> usize {
        let p = &self.probabilities;
        (1..p.len()).fold(0, |best, class| if p[class] > p[best] { class } else { best })
    }

    /// What identifies the row within a table.
    pub fn key(&self) -> (&str, Option<u32>) {
        (&self.id, self.second)
    }

    /// What is wrong with the row, in a table of these classes and this protocol.
    pub(crate) fn problem(&self, classes: &[String], protocol: Protocol) -> Option<String> {
        let empty = |text: &Option<String>| text.as_ref().is_some_and(String::is_empty);
        if self.id.is_empty() {
            return Some("the id is empty".to_owned());
        }
        if empty(&self.group) || empty(&self.city) {
            return Some("a group or city that is there must have a name".to_owned());
        }
        match (protocol, self.second) {
            (Protocol::PerClip, Some(second)) => {
                return Some(format!("second {second} in a table of one row per clip (10s)"));
            }
            (Protocol::PerSecond, None) => return Some("no second in a table of one row per second (1s)".to_owned()),
            _ => {}
        }
        if self.probabilities.len() != classes.len() {
            return Some(format!("{} probabilities for {} classes", self.probabilities.len(), classes.len()));
        }
        if let Some(p) = self.probabilities.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return Some(format!("{p} is no probability: expected a number from 0 to 1"));
        }
        let sum: f64 = self.probabilities.iter().sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Some(format!("the probabilities add up to {sum}, not to 1"));
        }
        (!classes.contains(&self.label)).then(|| {
            format!("the label `{}` is none of the {} classes ({})", self.label, classes.len(), classes.join(", "))
        })
    }
}

impl Predictions {
    /// The number of each row's true class, after checking every invariant.
    pub fn truths(&self) -> Result<Vec<usize>, Error> {
        self.check_classes()?;
        let numbers: BTreeMap<&str, usize> = self.classes.iter().map(String::as_str).zip(0..).collect();
        let mut rows = Seen::default();
        let truth = |row| match rows.problem(row, &self.classes, self.protocol) {
            Some(problem) => {
                let id = row.id.clone();
                Err(Error::Row { system: self.system.clone(), protocol: self.protocol, id, problem })
            }
            None => Ok(numbers[row.label.as_str()]),
        };
        self.rows.iter().map(truth).collect()
    }

    pub(crate) fn check_classes(&self) -> Result<(), Error> {
        let error = |problem| Err(Error::Classes { system: self.system.clone(), problem });
        if self.classes.len() < 2 {
            return error(format!("{} class(es): there is nothing to tell apart", self.classes.len()));
        }
        let mut seen = HashSet::new();
        match self.classes.iter().find(|class| !seen.insert(*class)) {
            Some(twice) => error(format!("the class `{twice}` occurs twice")),
            None if self.classes.iter().any(String::is_empty) => error("a class without a name".to_owned()),
            None => Ok(()),
        }
    }
}

/// The rows of a table so far: what a further row must agree with.
#[derive(Default)]
pub(crate) struct Seen<'a> {
    keys: HashSet<(&'a str, Option<u32>)>,
    items: HashMap<&'a str, [Option<&'a str>; 4]>,
}

impl<'a> Seen<'a> {
    /// What is wrong with the row, alone or among the rows before it.
    pub(crate) fn problem(&mut self, row: &'a Prediction, classes: &[String], protocol: Protocol) -> Option<String> {
        if let Some(problem) = row.problem(classes, protocol) {
            return Some(problem);
        }
        if !self.keys.insert(row.key()) {
            return Some(match row.second {
                Some(second) => format!("second {second} of it occurs twice"),
                None => "it occurs twice".to_owned(),
            });
        }
        let said = [Some(row.label.as_str()), row.group.as_deref(), row.city.as_deref(), Some(row.split.as_str())];
        let first = *self.items.entry(&row.id).or_insert(said);
        let differs = ["label", "group", "city", "split"].into_iter().zip(first.into_iter().zip(said));
        differs.into_iter().find(|(_, (a, b))| a != b).map(|(what, (a, b))| {
            format!("its seconds differ in {what}: `{}` and `{}`", a.unwrap_or_default(), b.unwrap_or_default())
        })
    }
}
