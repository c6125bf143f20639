//! The fit and the fitted model.

use serde::{Deserialize, Serialize};

use crate::lbfgs::{self, Limits};
use crate::objective::{Objective, softmax_in_place};
use crate::standardizer::moments;
use crate::{Error, Selection, Spec, Standardizer};

/// A fitted linear probe; its JSON is the model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Names of the classes, in the order of the rows of `coef` and of the columns of the probabilities.
    pub classes: Vec<String>,
    /// Number of training items of each class.
    pub training_items: Vec<usize>,
    /// How the vectors were chosen and fitted.
    pub spec: Spec,
    /// The inverse strength of the penalty of this fit: the only value of the specification, or the chosen one.
    pub c: f64,
    /// How `c` was chosen; `None` where there was only one.
    pub selection: Option<Selection>,
    /// What is applied to a vector before the weights; `None`: nothing.
    pub scaler: Option<Standardizer>,
    /// Weights, `[K][D]`.
    pub coef: Vec<Vec<f64>>,
    /// Intercepts, `[K]`; their sum is 0.
    pub intercept: Vec<f64>,
    /// Iterations of L-BFGS.
    pub iterations: usize,
    /// Largest component of the gradient of the mean penalised log loss at the end, for centred features.
    pub gradient_norm: f64,
    /// Whether `gradient_norm` came down to the tolerance.
    pub converged: bool,
}

/// Fits the probe to `x` (`[n][D]`, finite) with the class numbers `y` (`[n]`, indices into `classes`) and the one `c` of the
/// specification; to choose among several is what [`train`](crate::train) does.
///
/// A fit that stops short of the tolerance is returned with `converged: false`; show [`Probe::warning`].
pub fn fit(x: &[f32], y: &[usize], classes: &[String], spec: &Spec) -> Result<Probe, Error> {
    match spec.c[..] {
        [c] => fit_from(x, y, classes, c, spec, None).map(|fit| fit.probe),
        _ => Err(Error::SeveralC(spec.c.len())),
    }
}

/// A fit, and the minimum in the coordinates of the optimiser: where the fit of the next `c` starts.
pub(crate) struct Fit {
    pub(crate) probe: Probe,
    pub(crate) point: Vec<f64>,
}

/// [`fit`], from `start` or from zero.
pub(crate) fn fit_from(
    x: &[f32],
    y: &[usize],
    classes: &[String],
    c: f64,
    spec: &Spec,
    start: Option<Vec<f64>>,
) -> Result<Fit, Error> {
    let training_items = check(x, y, classes)?;
    let (dim, k, n) = (x.len() / y.len(), classes.len(), y.len() as f64);
    let scaler = spec.standardize.then(|| Standardizer::fit(x, dim));
    let (mean, variance) = moments(x, dim);
    let factor: Vec<f64> = match &scaler {
        Some(scaler) => scaler.scale.iter().map(|scale| 1.0 / scale).collect(),
        None => vec![1.0; dim],
    };
    // scikit-learn's binomial penalty, see the crate's documentation
    let penalty = if k == 2 { 2.0 } else { 1.0 } / (c * n);

    // a bound on the diagonal of the Hessian at W = 0, b = 0, where every class has the probability 1/K
    let widest = variance.iter().zip(&factor).map(|(variance, factor)| variance * factor * factor).fold(1.0, f64::max);
    let curvature = (1.0 - 1.0 / k as f64) / k as f64 * widest + penalty;

    let mut objective = Objective::new(x, y, k, &mean, &factor, penalty);
    let minimum = lbfgs::minimize(
        |point, gradient| objective.evaluate(point, gradient),
        start.unwrap_or_else(|| vec![0.0; k * (dim + 1)]),
        curvature,
        Limits { max_iter: spec.max_iter, tolerance: spec.tolerance },
    );
    if !minimum.gradient_norm.is_finite() || minimum.point.iter().any(|value| !value.is_finite()) {
        return Err(Error::Overflow);
    }

    let (weights, centred) = minimum.point.split_at(k * dim);
    let coef: Vec<Vec<f64>> = weights.chunks_exact(dim).map(<[f64]>::to_vec).collect();
    let mut intercept = centred.to_vec();
    if scaler.is_none() {
        for (b, w) in intercept.iter_mut().zip(&coef) {
            *b -= w.iter().zip(&mean).map(|(w, mean)| w * mean).sum::<f64>();
        }
    }
    let middle = intercept.iter().sum::<f64>() / k as f64;
    for b in &mut intercept {
        *b -= middle;
    }
    let probe = Probe {
        classes: classes.to_vec(),
        training_items,
        spec: spec.clone(),
        c,
        selection: None,
        scaler,
        coef,
        intercept,
        iterations: minimum.iterations,
        gradient_norm: minimum.gradient_norm,
        converged: minimum.gradient_norm <= spec.tolerance,
    };
    Ok(Fit { probe, point: minimum.point })
}

/// Everything that [`fit`] asks of its arguments; the number of items of each class.
fn check(x: &[f32], y: &[usize], classes: &[String]) -> Result<Vec<usize>, Error> {
    if y.is_empty() {
        return Err(Error::NoItems);
    }
    if classes.len() < 2 {
        return Err(Error::TooFewClasses(classes.len()));
    }
    if x.is_empty() || !x.len().is_multiple_of(y.len()) {
        return Err(Error::Shape { values: x.len(), items: y.len(), features: 0 });
    }
    let mut items = vec![0; classes.len()];
    for (item, &class) in y.iter().enumerate() {
        *items.get_mut(class).ok_or(Error::BadLabel { item, class, classes: classes.len() })? += 1;
    }
    if let Some(empty) = items.iter().position(|&count| count == 0) {
        return Err(Error::EmptyClass(classes[empty].clone()));
    }
    check_finite(x, x.len() / y.len())?;
    Ok(items)
}

fn check_finite(x: &[f32], dim: usize) -> Result<(), Error> {
    match x.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Error::NotFinite { item: at / dim, feature: at % dim, value: x[at] }),
        None => Ok(()),
    }
}

impl Probe {
    /// Number of features of a vector.
    pub fn dim(&self) -> usize {
        self.coef[0].len()
    }

    /// The class probabilities of `x`, `[n][D]`: `[n][K]`, each row with the sum 1. A row's values do not depend on the
    /// other rows.
    pub fn probabilities(&self, x: &[f32]) -> Result<Vec<f64>, Error> {
        let (dim, k) = (self.dim(), self.classes.len());
        if !x.len().is_multiple_of(dim) {
            return Err(Error::Shape { values: x.len(), items: x.len() / dim, features: dim });
        }
        check_finite(x, dim)?;
        let mut probabilities = vec![0.0; x.len() / dim * k];
        let mut vector = vec![0.0; dim];
        for (row, out) in x.chunks_exact(dim).zip(probabilities.chunks_exact_mut(k)) {
            for (d, (value, x)) in vector.iter_mut().zip(row).enumerate() {
                *value = match &self.scaler {
                    Some(scaler) => (f64::from(*x) - scaler.mean[d]) / scaler.scale[d],
                    None => f64::from(*x),
                };
            }
            for ((score, w), b) in out.iter_mut().zip(&self.coef).zip(&self.intercept) {
                *score = w.iter().zip(&vector).map(|(w, x)| w * x).sum::<f64>() + b;
            }
            softmax_in_place(out);
        }
        Ok(probabilities)
    }

    /// The class probabilities of a clip with the vectors `x`, `[vectors][D]` as [`represent`](crate::represent) gives them: the mean of
    /// its vectors' probabilities, `[K]`. The mean of probabilities, not of their logarithms, so that one second that is
    /// certain of something else cannot overrule all others.
    pub fn clip_probabilities(&self, x: &[f32]) -> Result<Vec<f64>, Error> {
        let rows = self.probabilities(x)?;
        let k = self.classes.len();
        let mut mean = vec![0.0; k];
        for row in rows.chunks_exact(k) {
            mean.iter_mut().zip(row).for_each(|(total, p)| *total += p);
        }
        let n = rows.len() / k;
        if n == 0 {
            return Err(Error::NoPictures);
        }
        if n > 1 {
            for total in &mut mean {
                *total /= n as f64;
            }
        }
        Ok(mean)
    }

    /// What a person should know of a fit that did not converge, and what to do.
    pub fn warning(&self) -> Option<String> {
        (!self.converged).then(|| {
            let remedy = if self.iterations >= self.spec.max_iter {
                "raise max_iter or set standardize = true in [linear-probe]"
            } else {
                "rounding allows no more; raise tolerance or set standardize = true in [linear-probe]"
            };
            format!(
                "linear-probe did not converge: gradient {:.1e} after {} iterations, tolerance {:.1e}; {remedy}",
                self.gradient_norm, self.iterations, self.spec.tolerance
            )
        })
    }
}
