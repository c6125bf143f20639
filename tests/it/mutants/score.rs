//! How many of each kind came to what.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::Verdict;
use super::mutate::Kind;

#[derive(Default)]
pub(crate) struct Score {
    /// By kind and what was looked at: how often each verdict.
    counts: BTreeMap<(Kind, &'static str), BTreeMap<String, usize>>,
    /// What must not be.
    pub(crate) faults: Vec<String>,
    /// What is refused though the command gives something, with the reason.
    refused: Vec<String>,
}

impl Score {
    pub(crate) fn add(&mut self, kind: Kind, what: &'static str, file: &str, verdict: Verdict) {
        let column = match verdict {
            Verdict::Equal => "equal".to_string(),
            Verdict::Apart(reason) => reason.to_string(),
            Verdict::Failed { class, message, command } => {
                if class == "internal" {
                    self.faults.push(format!("{file}, {what}: internal: {message}"));
                }
                if let Some(command) = command {
                    self.refused.push(format!("{file}, {what}: {class}: {message}; the command gives {command}"));
                }
                class
            }
            Verdict::Different(how) => {
                self.faults.push(format!("{file} ({}), {what}: DIFFERENT: {how}", kind.name()));
                "DIFFERENT".to_string()
            }
        };
        *self.counts.entry((kind, what)).or_default().entry(column).or_default() += 1;
    }

    /// How many were compared with success, of these kinds.
    pub(crate) fn equal(&self, kinds: &[Kind]) -> usize {
        let counts = self.counts.iter().filter(|((kind, _), _)| kinds.contains(kind));
        counts.filter_map(|(_, counts)| counts.get("equal")).sum()
    }

    /// How many there were.
    pub(crate) fn judged(&self) -> usize {
        self.counts.values().flat_map(BTreeMap::values).sum()
    }

    /// A table for a person. It has no columns for a crash of the runner or a hang: these end the test before there is one.
    pub(crate) fn print(&self) {
        let classes: BTreeSet<&str> = self.counts.values().flat_map(BTreeMap::keys).map(String::as_str).collect();
        let fixed = ["equal", "DIFFERENT"];
        let mut columns: Vec<&str> = vec!["equal"];
        columns.extend(classes.into_iter().filter(|class| !fixed.contains(class)));
        columns.push("DIFFERENT");
        let width = |column: &str| column.len().max(5) + 2;
        let mut text = format!("{:<22} {:<8}", "mutation", "of");
        for column in &columns {
            text += &format!("{column:>width$}", width = width(column));
        }
        text += "\n";
        for ((kind, what), counts) in &self.counts {
            text += &format!("{:<22} {what:<8}", kind.name());
            for column in &columns {
                let count = counts.get(*column).copied().unwrap_or(0);
                text += &format!("{count:>width$}", width = width(column));
            }
            text += "\n";
        }
        eprintln!("{text}{} verdicts", self.judged());
        for line in &self.refused {
            eprintln!("  {line}");
        }
    }
}
