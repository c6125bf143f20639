//! Whole groups to folds, each class spread over the folds as evenly as the groups allow.
//!
//! The rule of scikit-learn's `StratifiedGroupKFold`: groups are taken in order of falling standard deviation of their class
//! counts (large groups of one class first); each goes to the fold where it leaves the smallest mean over the classes of the
//! standard deviation over the folds of the class's share; among folds that are equally good, to the one with the fewest clips. Which group comes first
//! among equals is decided by a hash of its name and the seed, not by the order of the clips.

use std::collections::BTreeMap;

use crate::Error;
use crate::clips::Clips;

/// The fold of each of the `chosen` clips.
pub(crate) fn assign(
    clips: &Clips,
    chosen: &[usize],
    classes: &[String],
    folds: usize,
    seed: u64,
) -> Result<Vec<usize>, Error> {
    let mut counts: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for &at in chosen {
        let clip = clips.clip(at);
        counts.entry(&clip.group).or_insert_with(|| vec![0.0; classes.len()])[clip.class] += 1.0;
    }
    if counts.len() < folds {
        return Err(Error::FewerGroupsThanFolds { groups: counts.len(), folds });
    }
    for (class, name) in classes.iter().enumerate() {
        if counts.values().filter(|group| group[class] > 0.0).count() < 2 {
            return Err(Error::LoneGroup(name.clone()));
        }
    }
    let hash = |name: &str| *blake3::hash(format!("{seed} {name}").as_bytes()).as_bytes();
    let mut order: Vec<(&str, Vec<f64>)> = counts.into_iter().collect();
    order.sort_by_cached_key(|(name, _)| hash(name));
    let fold_of_group = stratify(&order.iter().map(|(_, counts)| counts.clone()).collect::<Vec<_>>(), folds);
    let fold: BTreeMap<&str, usize> = order.iter().zip(fold_of_group).map(|((name, _), fold)| (*name, fold)).collect();
    Ok(chosen.iter().map(|&at| fold[clips.clip(at).group.as_str()]).collect())
}

/// The fold of each group, given the number of its clips in each class.
pub(crate) fn stratify(groups: &[Vec<f64>], folds: usize) -> Vec<usize> {
    let classes = groups.first().map_or(0, Vec::len);
    let total: Vec<f64> = (0..classes).map(|class| groups.iter().map(|group| group[class]).sum()).collect();
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by(|a, b| deviation(&groups[*b]).total_cmp(&deviation(&groups[*a])));
    let mut held = vec![vec![0.0; classes]; folds];
    let mut assigned = vec![0; groups.len()];
    for group in order {
        let mut best: Option<(usize, f64, f64)> = None;
        for fold in 0..folds {
            let uneven: f64 = (0..classes)
                .filter(|class| total[*class] > 0.0)
                .map(|class| {
                    let share =
                        |f: usize| (held[f][class] + if f == fold { groups[group][class] } else { 0.0 }) / total[class];
                    deviation(&(0..folds).map(share).collect::<Vec<_>>())
                })
                .sum::<f64>()
                / classes as f64;
            let clips: f64 = held[fold].iter().sum();
            let better = best.is_none_or(|(_, least, fewest)| {
                // numpy's isclose: what differs by rounding is equal
                uneven < least || ((uneven - least).abs() <= 1e-8 + 1e-5 * least && clips < fewest)
            });
            if better {
                best = Some((fold, uneven, clips));
            }
        }
        let (fold, ..) = best.expect("there are at least two folds");
        assigned[group] = fold;
        held[fold].iter_mut().zip(&groups[group]).for_each(|(total, count)| *total += count);
    }
    assigned
}

/// Standard deviation, divided by n.
fn deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt()
}
