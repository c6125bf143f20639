//! Clips that are shown with what every system said of them.

use std::collections::BTreeMap;

use predictions::{Prediction, Predictions, Protocol};
use serde::Serialize;

/// A clip and what every system said of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// Id of the item.
    pub id: String,
    /// The true class.
    pub label: String,
    /// A PNG or JPEG file of it; `None`: there is no picture, e.g. of a sound file.
    #[serde(skip)]
    pub picture: Option<Vec<u8>>,
    /// What the systems said, in the order of the tables.
    pub decisions: Vec<Decision>,
}

/// What one system said of a clip.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    /// The system.
    pub system: String,
    /// The class it decided for.
    pub class: String,
    /// Its probability.
    pub probability: f64,
    /// Probability of the true class.
    pub of_truth: f64,
}

impl Sample {
    /// The clip of this id with the decisions of those of `tables` (protocol `10s`) that have it; `None` if none has.
    pub fn new(id: &str, picture: Option<Vec<u8>>, tables: &[Predictions]) -> Option<Self> {
        let found = per_clip(tables).filter_map(|table| Some((table, table.rows.iter().find(|row| row.id == id)?)));
        let found: Vec<_> = found.collect();
        let label = found.first()?.1.label.clone();
        let decisions = found.into_iter().map(|(table, row)| {
            let decided = row.decision();
            Decision {
                system: table.system.clone(),
                class: table.classes[decided].clone(),
                probability: row.probabilities[decided],
                of_truth: of_truth(table, row),
            }
        });
        Some(Sample { id: id.to_owned(), label, picture, decisions: decisions.collect() })
    }
}

/// Picks up to `count` clips of the split: half of them such that some system got wrong, the worst first; half such that
/// every system got right, the surest first; either kind in turn from each class, so that no class fills the page. Where one
/// kind is short the other fills up. The same tables give the same clips.
pub fn choose(tables: &[Predictions], split: &str, count: usize) -> Vec<String> {
    // Per clip: its class, whether every system is right, and the sum and number of the probabilities of the truth.
    let mut clips: BTreeMap<&str, (&str, bool, f64, u32)> = BTreeMap::new();
    for table in per_clip(tables) {
        for row in table.rows.iter().filter(|row| row.split == split) {
            let right = table.classes[row.decision()] == row.label;
            let clip = clips.entry(&row.id).or_insert((&row.label, true, 0.0, 0));
            *clip = (clip.0, clip.1 && right, clip.2 + of_truth(table, row), clip.3 + 1);
        }
    }
    let picked = |wanted: bool| {
        let mut classes: BTreeMap<&str, Vec<(&str, f64)>> = BTreeMap::new();
        for (id, (label, right, sum, number)) in &clips {
            if *right == wanted {
                classes.entry(label).or_default().push((id, sum / f64::from(*number)));
            }
        }
        for clips in classes.values_mut() {
            clips.sort_by(|a, b| if wanted { b.1.total_cmp(&a.1) } else { a.1.total_cmp(&b.1) });
        }
        let longest = classes.values().map(Vec::len).max().unwrap_or(0);
        let turns = (0..longest).flat_map(|turn| classes.values().filter_map(move |clips| clips.get(turn)));
        turns.map(|(id, _)| (*id).to_owned()).take(count).collect::<Vec<String>>()
    };
    let (mut wrong, mut right) = (picked(false), picked(true));
    let most_wrong = count.div_ceil(2).max(count.saturating_sub(right.len()));
    wrong.truncate(most_wrong);
    right.truncate(count - wrong.len());
    wrong.extend(right);
    wrong
}

fn per_clip(tables: &[Predictions]) -> impl Iterator<Item = &Predictions> {
    tables.iter().filter(|table| table.protocol == Protocol::PerClip)
}

fn of_truth(table: &Predictions, row: &Prediction) -> f64 {
    table.classes.iter().position(|class| *class == row.label).map_or(0.0, |truth| row.probabilities[truth])
}
