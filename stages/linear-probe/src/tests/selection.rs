//! Several `c`: held-out figures against scikit-learn's, folds of whole groups, and what never takes part.

use std::collections::{BTreeMap, BTreeSet};

use super::{names, noise, relative_error, spec};
use crate::select::path;
use crate::{Clips, Error, Frame, HeldOutBy, Params, SelectBy, Spec, fit, folds, represent, represent_each, train};

/// `fixtures/selection.json`, made by `fixtures/make_selection.py`.
#[derive(serde::Deserialize)]
struct Peer {
    cases: Vec<Case>,
    stratified: Vec<Stratified>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    classes: usize,
    dim: usize,
    /// Rows of each clip.
    rows: usize,
    x: Vec<f32>,
    y: Vec<usize>,
    group: Vec<usize>,
    /// The part in which a clip is held out; -1: never.
    fold: Vec<i64>,
    c: Vec<f64>,
    /// `[fold][c]`
    log_loss: Vec<Vec<f64>>,
    accuracy: Vec<Vec<f64>>,
    #[serde(default)]
    standardize: bool,
    chosen: Option<f64>,
    chosen_by_accuracy: Option<f64>,
    coef: Option<Vec<Vec<f64>>>,
    intercept: Option<Vec<f64>>,
}

#[derive(serde::Deserialize)]
struct Stratified {
    folds: usize,
    counts: Vec<Vec<f64>>,
    fold: Vec<usize>,
}

fn peer() -> Peer {
    serde_json::from_str(include_str!("../../fixtures/selection.json")).unwrap()
}

impl Case {
    fn clips(&self, split: impl Fn(usize) -> &'static str) -> Clips {
        let mut clips = Clips::new(self.dim);
        for (at, vectors) in self.x.chunks_exact(self.rows * self.dim).enumerate() {
            let group = self.group[at].to_string();
            clips.push(vectors, self.y[at], Some(&group), Some(split(at))).unwrap();
        }
        clips
    }

    fn spec(&self) -> Spec {
        let params = Params { c: self.c.clone(), standardize: self.standardize, tolerance: 1e-11, ..Params::default() };
        params.resolve().unwrap()
    }
}

#[test]
fn held_out_figures_equal_scikit_learns() {
    for case in peer().cases {
        let clips = case.clips(|_| "train");
        let held = |at: i64| (0..case.y.len()).partition::<Vec<usize>, _>(|clip| case.fold[*clip] != at);
        let parts: Vec<_> = (0..case.log_loss.len() as i64).map(held).collect();
        let path = path(&clips, &names(case.classes), &parts, &case.spec()).unwrap();
        assert_eq!(path.len(), case.c.len());
        for (at, tried) in path.iter().enumerate() {
            assert_eq!((tried.c, tried.folds.len()), (case.c[at], case.log_loss.len()));
            for (fold, theirs) in tried.folds.iter().zip(case.log_loss.iter().zip(&case.accuracy)) {
                let error = (fold.log_loss - theirs.0[at]).abs();
                assert!(error < 1e-7, "{}, c {}: {error:.1e}", case.name, tried.c);
                assert!((fold.accuracy - theirs.1[at]).abs() < 1e-12, "{}, c {}", case.name, tried.c);
                assert!(fold.converged && fold.fitted > fold.held_out);
            }
            // every held-out clip counts once
            let held: usize = tried.folds.iter().map(|fold| fold.held_out).sum();
            let pooled: f64 =
                tried.folds.iter().map(|fold| fold.log_loss * fold.held_out as f64).sum::<f64>() / held as f64;
            assert!((tried.log_loss - pooled).abs() < 1e-12);
        }
    }
}

#[test]
fn the_split_val_chooses_as_logistic_regression_cv() {
    let case = peer().cases.into_iter().find(|case| case.chosen.is_some()).unwrap();
    let clips = case.clips(|at| if case.fold[at] == 0 { "val" } else { "train" });
    let probe = train(&clips, &names(case.classes), &case.spec()).unwrap();
    let selection = probe.selection.as_ref().unwrap();
    assert_eq!((selection.held_out_by, selection.c, probe.c), (HeldOutBy::Val, case.chosen.unwrap(), selection.c));
    assert!(relative_error(&probe.coef.concat(), &case.coef.unwrap().concat()) < 1e-6);
    assert!(relative_error(&probe.intercept, &case.intercept.unwrap()) < 1e-6);
    assert_eq!(probe.training_items.iter().sum::<usize>(), case.y.len(), "refitted on train and val");

    let by_accuracy = Spec { select_by: SelectBy::Accuracy, ..probe.spec.clone() };
    let chosen = train(&clips, &names(case.classes), &by_accuracy).unwrap().selection.unwrap();
    let accuracy = |c: f64| chosen.path.iter().find(|tried| tried.c == c).unwrap().accuracy;
    assert_eq!(accuracy(chosen.c), accuracy(case.chosen_by_accuracy.unwrap()));
}

#[test]
fn the_kept_fit_is_that_of_its_c_alone_to_the_bit() {
    let case = peer().cases.remove(0);
    let k = names(case.classes);
    let clips = case.clips(|at| if case.fold[at] == 0 { "val" } else { "train" });
    let chosen = train(&clips, &k, &case.spec()).unwrap();
    let alone = Spec { c: vec![chosen.c], ..case.spec() };
    let one = train(&clips, &k, &alone).unwrap();
    assert_eq!((&one.coef, &one.intercept, one.selection), (&chosen.coef, &chosen.intercept, None));
    assert_eq!(one.coef, fit(&case.x, &case.y, &k, &alone).unwrap().coef);
    // without the second fit: what was judged
    let kept = train(&clips, &k, &Spec { refit: false, ..case.spec() }).unwrap();
    let train_only = Spec { train_splits: vec!["train".into()], ..alone };
    assert_eq!(kept.coef, train(&clips, &k, &train_only).unwrap().coef);
    assert!(kept.training_items.iter().sum::<usize>() < case.y.len());
}

#[test]
fn the_test_split_changes_nothing() {
    let case = peer().cases.remove(1);
    let clips = |poison: f32| {
        let mut clips = case.clips(|_| "train");
        for class in 0..case.classes {
            clips.push(&vec![poison; case.dim], class, Some("0"), Some("test")).unwrap();
            clips.push(&vec![poison; case.dim], class, Some("1"), None).unwrap();
        }
        clips
    };
    let spec = Spec { folds: 3, ..case.spec() };
    let a = train(&clips(1.0), &names(case.classes), &spec).unwrap();
    assert_eq!(a, train(&clips(f32::NAN), &names(case.classes), &spec).unwrap());
    let selection = a.selection.unwrap();
    assert_eq!(selection.held_out_by, HeldOutBy::Folds);
    assert!(selection.path.iter().all(|tried| tried.folds.iter().map(|f| f.held_out).sum::<usize>() == case.y.len()));
}

#[test]
fn groups_are_spread_as_scikit_learn_spreads_them() {
    for case in peer().stratified {
        assert_eq!(folds::stratify(&case.counts, case.folds), case.fold);
    }
}

#[test]
fn folds_are_whole_groups_whatever_the_order_of_the_clips() {
    let case = peer().cases.remove(1);
    let (clips, k) = (case.clips(|_| "train"), names(case.classes));
    let all: Vec<usize> = (0..clips.len()).collect();
    let assigned = folds::assign(&clips, &all, &k, 4, 0).unwrap();
    let mut fold_of: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (at, fold) in assigned.iter().enumerate() {
        fold_of.entry(case.group[at]).or_default().insert(*fold);
    }
    assert!(fold_of.values().all(|folds| folds.len() == 1));
    assert_eq!(assigned.iter().collect::<BTreeSet<_>>().len(), 4);
    let backwards: Vec<usize> = all.iter().rev().copied().collect();
    let mut turned = folds::assign(&clips, &backwards, &k, 4, 0).unwrap();
    turned.reverse();
    assert_eq!(assigned, turned);
    assert_ne!(assigned, folds::assign(&clips, &all, &k, 4, 1).unwrap(), "another seed");
}

#[test]
fn what_cannot_be_held_out_says_so() {
    let mut clips = Clips::new(1);
    for (at, value) in noise(12, 3).into_iter().enumerate() {
        let group = ["a", "b", "c"][at % 3];
        clips.push(&[value as f32], at % 3 % 2, Some(group), Some("train")).unwrap();
    }
    let several = Params { c: vec![0.1, 1.0], folds: 2, ..Params::default() }.resolve().unwrap();
    let message = |spec: &Spec| train(&clips, &names(2), spec).unwrap_err().to_string();
    // class 1 lies in the group `b` alone
    assert!(message(&several).starts_with("class `class-1` has fewer than two training groups"));
    assert!(message(&Spec { folds: 4, ..several.clone() }).contains("3 training group(s) cannot be cut into 4 folds"));
    assert!(message(&Spec { refit: false, ..several.clone() }).starts_with("refit = false needs a `val` split"));
    assert!(message(&Spec { train_splits: vec!["val".into()], ..several.clone() }).contains("0 training group(s)"));
    assert!(train(&clips, &names(2), &spec()).is_ok(), "one c holds nothing out");
    assert!(matches!(fit(&[0.0, 1.0], &[0, 1], &names(2), &several), Err(Error::SeveralC(2))));
    assert!(matches!(clips.push(&[], 0, None, None), Err(Error::Shape { .. })));
    // a val split without a class is no error, a training part without one is
    clips.push(&[0.0], 1, None, Some("val")).unwrap();
    assert_eq!(train(&clips, &names(2), &several).unwrap().selection.unwrap().held_out_by, HeldOutBy::Val);
    let only_val = Spec { train_splits: vec!["val".into()], ..several };
    assert!(matches!(train(&clips, &names(2), &only_val), Err(Error::NoItems)));
}

#[test]
fn every_frame_is_a_row_and_a_clip_is_their_mean() {
    let all = Spec { frame: Frame::All, normalize: true, ..spec() };
    let rows = [3.0f32, 4.0, 0.0, 10.0];
    assert_eq!(represent(&rows, 2, &all).unwrap(), [0.6, 0.8, 0.0, 1.0]);
    assert_eq!(
        represent_each(&rows, 2, &Spec { frame: Frame::Number(9), ..all.clone() }).unwrap(),
        [0.6, 0.8, 0.0, 1.0]
    );
    assert!(matches!(represent(&[], 2, &all), Err(Error::NoPictures)));

    let case = peer().cases.into_iter().find(|case| case.rows > 1).unwrap();
    let clips = case.clips(|_| "train");
    let probe = train(&clips, &names(case.classes), &Spec { c: vec![0.3], ..case.spec() }).unwrap();
    assert_eq!(probe.training_items.iter().sum::<usize>(), case.y.len(), "clips, not rows");
    let each = probe.probabilities(clips.vectors(2)).unwrap();
    let clip = probe.clip_probabilities(clips.vectors(2)).unwrap();
    for class in 0..case.classes {
        let mean = (0..case.rows).map(|row| each[row * case.classes + class]).sum::<f64>() / case.rows as f64;
        assert!((clip[class] - mean).abs() < 1e-15);
    }
    // one vector: the very same numbers
    let single = &clips.vectors(2)[..case.dim];
    assert_eq!(probe.clip_probabilities(single).unwrap(), probe.probabilities(single).unwrap());
    assert!(matches!(probe.clip_probabilities(&[]), Err(Error::NoPictures)));
}
