//! Training: the best `c` on held-out groups, then the fit that is kept.

use serde::{Deserialize, Serialize};

use crate::clips::Clips;
use crate::params::VAL;
use crate::probe::{Fit, fit_from};
use crate::{Error, Probe, SelectBy, Spec, folds};

/// How `c` was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// What the clips were held out by: `"val"` for the split, `"folds"` for grouped k-fold.
    pub held_out_by: HeldOutBy,
    /// The chosen value.
    pub c: f64,
    /// Every value in ascending order, with its figures.
    pub path: Vec<Tried>,
}

/// Which clips were held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldOutBy {
    /// The split `val`, once.
    Val,
    /// Whole groups of the training clips, each once.
    Folds,
}

/// One value of `c` and what it achieved on the held-out clips.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// The value.
    pub c: f64,
    /// Mean log loss over all held-out clips.
    pub log_loss: f64,
    /// Share of held-out clips that are decided rightly.
    pub accuracy: f64,
    /// The same for each part that was held out; one for the split `val`.
    pub folds: Vec<Fold>,
}

/// One held-out part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fold {
    /// Clips fitted.
    pub fitted: usize,
    /// Clips held out.
    pub held_out: usize,
    /// Mean log loss of the held-out clips.
    pub log_loss: f64,
    /// Share of the held-out clips that are decided rightly.
    pub accuracy: f64,
    /// Iterations of L-BFGS, from the fit of the next smaller `c`.
    pub iterations: usize,
    /// Whether the gradient came down to the tolerance.
    pub converged: bool,
}

/// Trains the probe on the clips of the training splits; the others are not looked at.
///
/// With one `c` that is a single fit. With several, each is fitted without `val` and judged on it, or, where there is no such clip, on each of
/// `folds` parts of whole groups in turn; then the best is fitted again on everything in `train_splits` (unless `refit` is off). The
/// fit that is kept starts from zero, so it is the one that this `c` alone would have given, to the bit.
pub fn train(clips: &Clips, classes: &[String], spec: &Spec) -> Result<Probe, Error> {
    let all = clips.in_splits(&spec.train_splits);
    let (mut c, mut fitted, mut selection) = (spec.c[0], all.clone(), None);
    if spec.c.len() > 1 {
        let is_val = |at: &usize| clips.clip(*at).split.as_deref() == Some(VAL);
        let val: Vec<usize> = (0..clips.len()).filter(is_val).collect();
        let rest: Vec<usize> = all.iter().copied().filter(|at| !is_val(at)).collect();
        let (held_out_by, parts) = if val.is_empty() {
            if !spec.refit {
                return Err(Error::NothingToKeep);
            }
            (HeldOutBy::Folds, parts(clips, &all, classes, spec)?)
        } else {
            (HeldOutBy::Val, vec![(rest.clone(), val)])
        };
        let path = path(clips, classes, &parts, spec)?;
        c = best(&path, spec.select_by).c;
        selection = Some(Selection { held_out_by, c, path });
        if !spec.refit {
            fitted = rest;
        }
    }
    let mut probe = fit_clips(clips, &fitted, classes, c, spec, None)?.probe;
    probe.selection = selection;
    Ok(probe)
}

/// Clips to fit and clips to hold out.
pub(crate) type Part = (Vec<usize>, Vec<usize>);

/// `folds` parts of whole groups; each is held out once.
fn parts(clips: &Clips, all: &[usize], classes: &[String], spec: &Spec) -> Result<Vec<Part>, Error> {
    let fold = folds::assign(clips, all, classes, spec.folds, spec.seed)?;
    let side =
        |at: usize, held: bool| all.iter().zip(&fold).filter(move |(_, f)| (**f == at) == held).map(|(clip, _)| *clip);
    Ok((0..spec.folds).map(|at| (side(at, false).collect(), side(at, true).collect())).collect())
}

/// Every `c`, from the strongest penalty to the weakest, on every part.
pub(crate) fn path(clips: &Clips, classes: &[String], parts: &[Part], spec: &Spec) -> Result<Vec<Tried>, Error> {
    let mut path: Vec<Tried> = spec
        .c
        .iter()
        .map(|&c| Tried { c, log_loss: 0.0, accuracy: 0.0, folds: Vec::with_capacity(parts.len()) })
        .collect();
    for (fitted, held_out) in parts {
        let mut start = None;
        for tried in &mut path {
            let Fit { probe, point } = fit_clips(clips, fitted, classes, tried.c, spec, start.take())?;
            start = Some(point);
            let (log_loss, accuracy) = judge(&probe, clips, held_out)?;
            tried.folds.push(Fold {
                fitted: fitted.len(),
                held_out: held_out.len(),
                log_loss,
                accuracy,
                iterations: probe.iterations,
                converged: probe.converged,
            });
        }
    }
    for tried in &mut path {
        let clips: f64 = tried.folds.iter().map(|fold| fold.held_out as f64).sum();
        let mean = |figure: fn(&Fold) -> f64| {
            tried.folds.iter().map(|fold| figure(fold) * fold.held_out as f64).sum::<f64>() / clips
        };
        (tried.log_loss, tried.accuracy) = (mean(|fold| fold.log_loss), mean(|fold| fold.accuracy));
    }
    Ok(path)
}

/// The best value; among equals the stronger penalty.
fn best(path: &[Tried], by: SelectBy) -> &Tried {
    let better = |a: &Tried, b: &Tried| match by {
        SelectBy::LogLoss => a.log_loss < b.log_loss,
        SelectBy::Accuracy => {
            a.accuracy.total_cmp(&b.accuracy).then(b.log_loss.total_cmp(&a.log_loss)) == std::cmp::Ordering::Greater
        }
    };
    path.iter().reduce(|best, tried| if better(tried, best) { tried } else { best }).expect("at least one value of c")
}

fn fit_clips(
    clips: &Clips,
    fitted: &[usize],
    classes: &[String],
    c: f64,
    spec: &Spec,
    start: Option<Vec<f64>>,
) -> Result<Fit, Error> {
    let (x, y) = clips.gather(fitted);
    let mut fit = fit_from(&x, &y, classes, c, spec, start)?;
    fit.probe.training_items = vec![0; classes.len()];
    for &at in fitted {
        fit.probe.training_items[clips.clip(at).class] += 1;
    }
    Ok(fit)
}

/// Mean log loss (probabilities clipped as in scikit-learn) and accuracy over these clips.
fn judge(probe: &Probe, clips: &Clips, chosen: &[usize]) -> Result<(f64, f64), Error> {
    let (mut loss, mut right) = (0.0, 0usize);
    for &at in chosen {
        let probabilities = probe.clip_probabilities(clips.vectors(at))?;
        let class = clips.clip(at).class;
        let first_largest =
            (0..probabilities.len()).fold(0, |best, k| if probabilities[k] > probabilities[best] { k } else { best });
        loss -= probabilities[class].clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
        right += usize::from(first_largest == class);
    }
    Ok((loss / chosen.len() as f64, right as f64 / chosen.len() as f64))
}
