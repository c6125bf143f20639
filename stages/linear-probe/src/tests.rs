//! Tests of the probe against scikit-learn, the definition and bad input.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::float_cmp, reason = "what must be the same bits is compared as such")]

use std::process::{Command, Stdio};

use proptest::prelude::*;

mod selection;

use crate::lbfgs::{Limits, minimize};
use crate::objective::Objective;
use crate::{DECL, Error, Frame, Params, Probe, Spec, Standardizer, fit, represent};

/// `fixtures/sklearn.json`, made by `fixtures/make_sklearn.py`.
#[derive(serde::Deserialize)]
struct Peer {
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    c: f64,
    standardize: bool,
    classes: usize,
    dim: usize,
    x: Vec<f32>,
    y: Vec<usize>,
    mean: Option<Vec<f64>>,
    scale: Option<Vec<f64>>,
    coef: Vec<Vec<f64>>,
    intercept: Vec<f64>,
    predicted: Vec<usize>,
    probabilities: Vec<Vec<f64>>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str::<Peer>(include_str!("../fixtures/sklearn.json")).unwrap().cases
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("class-{class}")).collect()
}

fn spec() -> Spec {
    Params::default().resolve().unwrap()
}

fn fit_case(case: &Case, tolerance: f64) -> Probe {
    let spec =
        Params { c: vec![case.c], standardize: case.standardize, tolerance, ..Params::default() }.resolve().unwrap();
    fit(&case.x, &case.y, &names(case.classes), &spec).unwrap()
}

/// Largest difference, as a share of the largest value of `expected`.
fn relative_error(got: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(0.0f64, |max, value| max.max(value.abs()));
    got.iter().zip(expected).fold(0.0f64, |max, (a, b)| max.max((a - b).abs())) / largest
}

/// Decisions as scikit-learn's `predict`: the first largest probability.
fn predicted(probabilities: &[f64], classes: usize) -> Vec<usize> {
    let first_largest =
        |row: &[f64]| (0..classes).fold(0, |best, class| if row[class] > row[best] { class } else { best });
    probabilities.chunks_exact(classes).map(first_largest).collect()
}

#[test]
fn equals_scikit_learn_at_the_optimum() {
    let cases = cases();
    assert_eq!(cases.len(), 12);
    for case in &cases {
        let probe = fit_case(case, 1e-11);
        let mut coef = probe.coef.concat();
        let mut intercept = probe.intercept.clone();
        if case.classes == 2 {
            coef = probe.coef[1].iter().zip(&probe.coef[0]).map(|(a, b)| a - b).collect();
            intercept = vec![intercept[1] - intercept[0]];
        }
        let coef_error = relative_error(&coef, &case.coef.concat());
        let intercept_error = relative_error(&intercept, &case.intercept);
        let probabilities = probe.probabilities(&case.x).unwrap();
        let shown = case.probabilities.concat();
        let worst = shown.iter().zip(&probabilities).fold(0.0f64, |max, (a, b)| max.max((a - b).abs()));
        assert!(
            coef_error < 1e-6 && intercept_error < 1e-6 && worst < 1e-8,
            "{}: coef {coef_error:.1e}, intercept {intercept_error:.1e}, probabilities {worst:.1e}, gradient {:.1e}",
            case.name,
            probe.gradient_norm
        );
        assert_eq!(predicted(&probabilities, case.classes), case.predicted, "{}", case.name);
    }
}

#[test]
fn the_default_tolerance_is_close_enough() {
    for case in &cases() {
        let probe = fit_case(case, Params::default().tolerance);
        assert!(probe.converged, "{}: {:?}", case.name, probe.warning());
        assert!(probe.warning().is_none());
        let shown = case.probabilities.concat();
        let probabilities = probe.probabilities(&case.x).unwrap();
        let worst = shown.iter().zip(&probabilities).fold(0.0f64, |max, (a, b)| max.max((a - b).abs()));
        assert!(worst < 1e-3, "{}: {worst:.1e}", case.name);
        assert_eq!(predicted(&probabilities, case.classes), case.predicted, "{}", case.name);
    }
}

#[test]
fn the_standardizer_is_scikit_learns() {
    let case = cases().into_iter().find(|case| case.standardize).unwrap();
    let scaler = Standardizer::fit(&case.x, case.dim);
    assert!(relative_error(&scaler.mean, &case.mean.unwrap()) < 1e-15);
    assert!(relative_error(&scaler.scale, case.scale.as_ref().unwrap()) < 1e-15);
    assert_eq!(scaler.scale[case.dim - 1], 1.0, "a constant feature keeps its scale");
}

/// The slow twin: value and gradient from the definition, row by row.
fn by_definition(
    x: &[f32],
    y: &[usize],
    k: usize,
    shift: &[f64],
    factor: &[f64],
    penalty: f64,
    point: &[f64],
) -> (f64, Vec<f64>) {
    let (dim, n) = (shift.len(), y.len() as f64);
    let mut gradient = vec![0.0; point.len()];
    let mut value = 0.0;
    for (row, &label) in x.chunks_exact(dim).zip(y) {
        let z: Vec<f64> = (0..k)
            .map(|class| {
                let term = |d: usize| point[class * dim + d] * (f64::from(row[d]) - shift[d]) * factor[d];
                (0..dim).map(term).sum::<f64>() + point[k * dim + class]
            })
            .collect();
        let total: f64 = z.iter().map(|z| z.exp()).sum();
        value += (total.ln() - z[label]) / n;
        for class in 0..k {
            let residual = z[class].exp() / total - f64::from(u8::from(class == label));
            for d in 0..dim {
                gradient[class * dim + d] += residual * (f64::from(row[d]) - shift[d]) * factor[d] / n;
            }
            gradient[k * dim + class] += residual / n;
        }
    }
    for w in 0..k * dim {
        value += 0.5 * penalty * point[w] * point[w];
        gradient[w] += penalty * point[w];
    }
    (value, gradient)
}

/// Numbers in -1..1 from an integer hash.
fn noise(count: usize, seed: u64) -> Vec<f64> {
    let mix = |at: u64| {
        let mut z = (at ^ seed << 32).wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ z >> 31) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..count as u64).map(mix).collect()
}

#[test]
fn the_objective_equals_its_slow_twin() {
    // one row; a block less one, exactly, plus one; more strips than one; the largest number of strips
    for (n, dim, k) in [(1, 3, 2), (127, 5, 3), (128, 1, 4), (129, 7, 10), (1000, 6, 3), (9000, 4, 3)] {
        let x: Vec<f32> = noise(n * dim, 1).into_iter().map(|value| (value * 3.0) as f32).collect();
        let y: Vec<usize> = (0..n).map(|item| (item * 7 + item / 3) % k).collect();
        let (shift, factor) = (noise(dim, 2), noise(dim, 3));
        let point = noise(k * (dim + 1), 4);
        let (value, gradient) = by_definition(&x, &y, k, &shift, &factor, 0.07, &point);
        let mut objective = Objective::new(&x, &y, k, &shift, &factor, 0.07);
        let mut got = vec![f64::NAN; point.len()];
        for _ in 0..2 {
            let got_value = objective.evaluate(&point, &mut got); // twice: nothing may be left from the first time
            assert!((got_value - value).abs() < 1e-12, "{n} x {dim}: {got_value} {value}");
            assert!(relative_error(&got, &gradient) < 1e-12, "{n} x {dim}");
        }
    }
}

#[test]
fn the_thread_count_changes_no_bit() {
    let (n, dim, k) = (3000, 16, 5);
    let x: Vec<f32> = noise(n * dim, 5).into_iter().map(|value| value as f32).collect();
    let y: Vec<usize> = (0..n).map(|item| item % k).collect();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fit(&x, &y, &names(k), &spec()).unwrap())
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(7));
}

#[test]
fn lbfgs_finds_minima_that_are_known() {
    // a quartic valley with widely different curvatures: sum of s_i (x_i - i)² + (x_i - i)⁴
    let function = |x: &[f64], gradient: &mut [f64]| {
        let mut value = 0.0;
        for (i, (x, g)) in x.iter().zip(gradient).enumerate() {
            let (s, d) = (10f64.powi(i as i32 - 3), x - i as f64);
            value += s * d * d + d.powi(4);
            *g = 2.0 * s * d + 4.0 * d.powi(3);
        }
        value
    };
    let limits = Limits { max_iter: 500, tolerance: 1e-10 };
    let minimum = minimize(function, vec![50.0; 8], 1.0, limits);
    assert!(minimum.gradient_norm <= 1e-10 && minimum.iterations < 200, "{minimum:?}");
    for (i, x) in minimum.point.iter().enumerate() {
        assert!((x - i as f64).abs() < 1e-6, "{minimum:?}");
    }
}

#[test]
fn lbfgs_ends_where_rounding_or_the_limit_ends_it() {
    let parabola = |x: &[f64], gradient: &mut [f64]| {
        gradient[0] = 2.0 * (x[0] - 0.1) + 1e-3; // not the gradient of the value: no step can please both
        (x[0] - 0.1).powi(2) + 1e6
    };
    let minimum = minimize(parabola, vec![0.1], 1.0, Limits { max_iter: 1000, tolerance: 1e-12 });
    assert!(minimum.gradient_norm > 1e-12 && minimum.iterations < 1000, "{minimum:?}");

    let case = &cases()[1];
    let spec = Params { max_iter: 3, ..Params::default() }.resolve().unwrap();
    let probe = fit(&case.x, &case.y, &names(case.classes), &spec).unwrap();
    assert_eq!((probe.iterations, probe.converged), (3, false));
    let warning = probe.warning().unwrap();
    assert!(warning.contains("did not converge") && warning.contains("raise max_iter"), "{warning}");
}

#[test]
fn the_model_file_gives_the_same_bits() {
    for case in cases() {
        let probe = fit_case(&case, 1e-6);
        let read: Probe = serde_json::from_str(&serde_json::to_string_pretty(&probe).unwrap()).unwrap();
        assert_eq!(read, probe);
        assert_eq!(read.probabilities(&case.x).unwrap(), probe.probabilities(&case.x).unwrap());
        assert_eq!(probe.training_items.iter().sum::<usize>(), case.y.len());
    }
}

/// The three lines of the crate's documentation, run by numpy where there is one.
#[test]
fn numpy_can_use_the_model_file() {
    let program = r#"
import json, sys
import numpy as np
m, x = json.load(sys.stdin)
s = m["scaler"] or {"mean": 0, "scale": 1}
x = np.array(x, np.float32).reshape(-1, len(m["coef"][0]))
z = (x - np.array(s["mean"])) / np.array(s["scale"]) @ np.array(m["coef"]).T + m["intercept"]
p = np.exp(z - z.max(1, keepdims=True)); p /= p.sum(1, keepdims=True)
print(json.dumps(p.ravel().tolist()))
"#;
    let python = |code: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", code]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn()
    };
    if !python("import numpy").is_ok_and(|mut child| child.wait().is_ok_and(|status| status.success())) {
        eprintln!("skipped: numpy_can_use_the_model_file (no python3 with numpy)");
        return;
    }
    for case in cases() {
        let probe = fit_case(&case, 1e-6);
        let mut child = python(program).unwrap();
        serde_json::to_writer(child.stdin.take().unwrap(), &(&probe, &case.x)).unwrap();
        let output = child.wait_with_output().unwrap();
        let got: Vec<f64> = serde_json::from_slice(&output.stdout).unwrap();
        let error = relative_error(&got, &probe.probabilities(&case.x).unwrap());
        assert!(error < 1e-12, "{}: {error:.1e}", case.name);
    }
}

#[test]
fn the_frame_rule() {
    let rows: Vec<f32> = (0u8..12).map(f32::from).collect(); // 6 pictures of 2
    let at = |frame| represent(&rows, 2, &Spec { frame, ..spec() });
    assert_eq!(at(Frame::Number(1)).unwrap(), [0.0, 1.0]);
    assert_eq!(at(Frame::Number(5)).unwrap(), [8.0, 9.0]);
    assert_eq!(at(Frame::Mean).unwrap(), [5.0, 6.0]);
    let error = represent(&rows[..6], 2, &spec()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the clip has 3 pictures, frame 5 was asked for: choose an earlier frame or frame = \"mean\" in [linear-probe]"
    );
    assert_eq!(contract::Classify::class(&error), contract::Cause::TooShort);
    assert_eq!(represent(&[], 2, &Spec { frame: Frame::Mean, ..spec() }), Err(Error::NoPictures));
    assert!(matches!(represent(&rows, 5, &spec()), Err(Error::Shape { .. })));
}

#[test]
fn normalisation_comes_before_the_mean() {
    let mean = Spec { frame: Frame::Mean, normalize: true, ..spec() };
    assert_eq!(represent(&[3.0, 4.0, 0.0, 10.0], 2, &mean).unwrap(), [0.3, 0.9]);
    let zero = represent(&[3.0, 4.0, 0.0, 0.0], 2, &mean).unwrap_err();
    assert!(zero.to_string().starts_with("the embedding of picture 2 is all zeros"), "{zero}");
    // a bad picture that is not asked for does not matter
    let first = Spec { frame: Frame::Number(1), ..spec() };
    assert_eq!(represent(&[3.0, 4.0, f32::NAN, 0.0], 2, &first).unwrap(), [3.0, 4.0]);
    let nan = represent(&[3.0, 4.0, f32::NAN, 0.0], 2, &Spec { frame: Frame::Number(2), ..spec() }).unwrap_err();
    assert!(nan.to_string().contains("picture 2 holds a value that is not a finite number"), "{nan}");
}

#[test]
fn bad_input_says_what_is_wrong() {
    let x = [0.0f32, 1.0, 2.0, 3.0];
    let two = names(2);
    let message = |x: &[f32], y: &[usize], classes: &[String]| fit(x, y, classes, &spec()).unwrap_err().to_string();
    assert!(message(&[], &[], &two).contains("no training items"));
    assert!(message(&x, &[0, 0, 0, 0], &two[..1]).contains("at least two"));
    assert!(message(&x, &[0, 1, 1, 0], &names(3)).contains("class `class-2` has no training items"));
    assert!(message(&x, &[0, 1, 2, 0], &two).contains("item 2 has class number 2, but there are 2 classes"));
    assert!(message(&x, &[0, 1, 0], &two).contains("4 values cannot be split into 3 items"));
    assert!(message(&[0.0, 1.0, f32::NAN, 3.0], &[0, 1], &two).contains("feature 0 of item 1 is NaN"));
    let tiny = Params { c: vec![1e-310], ..Params::default() }.resolve().unwrap();
    assert_eq!(fit(&x, &[0, 1, 0, 1], &two, &tiny), Err(Error::Overflow));
    // the largest f32 values do not overflow in f64, but no tolerance can be reached with them
    let huge = fit(&[-3e38, 3e38, -2e38, 2e38], &[0, 1, 0, 1], &two, &spec()).unwrap().warning().unwrap();
    assert!(huge.contains("set standardize = true"), "{huge}");
    let probe = fit(&x, &[0, 1, 0, 1], &two, &spec()).unwrap();
    assert!(matches!(probe.probabilities(&[f32::INFINITY]), Err(Error::NotFinite { .. })));
    let wide = fit(&x, &[0, 1], &two, &spec()).unwrap();
    assert!(matches!(wide.probabilities(&x[..3]), Err(Error::Shape { features: 2, .. })));
    assert_eq!(wide.dim(), 2);
}

#[test]
fn the_table_is_checked() {
    let resolve = |params: Params| params.resolve().unwrap_err().to_string();
    assert_eq!(resolve(Params { c: vec![0.0], ..Params::default() }), "c = 0: must be a number greater than 0");
    assert!(resolve(Params { tolerance: f64::NAN, ..Params::default() }).starts_with("tolerance = NaN"));
    assert!(resolve(Params { max_iter: 0, ..Params::default() }).contains("at least one iteration"));
    assert!(resolve(Params { train_splits: vec![], ..Params::default() }).contains("name at least one split"));
    let with_test = vec!["train".to_owned(), "test".to_owned()];
    assert!(resolve(Params { train_splits: with_test, ..Params::default() }).contains("cannot be judged by it"));
    assert!(resolve(Params { c: vec![], ..Params::default() }).starts_with("c = []"));
    assert!(resolve(Params { c: vec![1.0, -1.0], ..Params::default() }).starts_with("c = -1"));
    assert!(resolve(Params { folds: 1, ..Params::default() }).starts_with("folds = 1: at least 2"));

    let read = |text: &str| serde_json::from_str::<Params>(text);
    assert_eq!(read("{}").unwrap(), Params::default());
    assert_eq!(read(r#"{"frame": "mean"}"#).unwrap().frame, Frame::Mean);
    for text in [r#"{"frame": 0}"#, r#"{"frame": -1}"#, r#"{"frame": "middle"}"#, r#"{"frame": 5.5}"#] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains("expected a picture number counted from 1, such as 5, \"mean\" or \"all\""), "{error}");
    }
    assert_eq!(read(r#"{"frame": "all"}"#).unwrap().frame, Frame::All);
    assert_eq!(read(r#"{"c": [1, 0.5]}"#).unwrap().c, [1.0, 0.5]);
    for text in [r#"{"c": "0.5"}"#, r#"{"c": true}"#] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains("expected a number such as 0.316, or a list such as [0.1, 1.0]"), "{error}");
    }
    assert!(read(r#"{"C": 1.0}"#).unwrap_err().to_string().contains("unknown field `C`"));

    let splits = ["val", "train", "val"].map(str::to_owned).to_vec();
    let spec = Params { train_splits: splits, ..Params::default() }.resolve().unwrap();
    assert_eq!(
        serde_json::to_string(&spec).unwrap(),
        r#"{"c":0.316,"select_by":"log-loss","folds":5,"seed":0,"refit":true,"max_iter":1000,"tolerance":1e-6,"frame":5,"normalize":false,"standardize":false,"train_splits":["train","val"]}"#
    );
}

/// Version tripwire. Floats are pinned to six decimals, since the last bits depend on the instruction set.
#[test]
fn the_version_stands_for_these_values() {
    let case = &cases()[0];
    let probe = fit_case(case, 1e-9);
    let digits: Vec<String> = probe.coef[0].iter().chain(&probe.intercept).map(|value| format!("{value:.6}")).collect();
    assert_eq!(
        (DECL.version, digits.join(" ").as_str()),
        (2, "0.166149 0.698293 -0.240950 -0.574051 0.655390 -0.724889 0.069499"),
        "the output changed: bump `version` of linear-probe and say why in its history"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Renaming the classes renames the rows; nothing else.
    #[test]
    fn classes_can_be_renumbered(seed in 0u64..1000, turn in 1usize..3) {
        let (n, dim, k) = (60, 4, 3);
        let x: Vec<f32> = noise(n * dim, seed).into_iter().map(|value| value as f32).collect();
        let y: Vec<usize> = (0..n).map(|item| item % k).collect();
        let turned: Vec<usize> = y.iter().map(|class| (class + turn) % k).collect();
        let spec = Spec { tolerance: 1e-10, ..spec() };
        let a = fit(&x, &y, &names(k), &spec).unwrap().probabilities(&x).unwrap();
        let b = fit(&x, &turned, &names(k), &spec).unwrap().probabilities(&x).unwrap();
        for (a, b) in a.chunks_exact(k).zip(b.chunks_exact(k)) {
            prop_assert!((a.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for class in 0..k {
                prop_assert!((a[class] - b[(class + turn) % k]).abs() < 1e-7);
            }
        }
    }

    /// Adding a constant to a feature changes no probability: the intercept is free.
    #[test]
    fn offsets_do_not_matter(seed in 0u64..1000, offset in -64i8..64) {
        let (n, dim, k) = (50, 3, 4);
        let x: Vec<f32> = noise(n * dim, seed).into_iter().map(|value| (value * 64.0).round() as f32 / 64.0).collect();
        let moved: Vec<f32> = x.iter().map(|value| value + f32::from(offset)).collect();
        let y: Vec<usize> = (0..n).map(|item| item % k).collect();
        let spec = Spec { tolerance: 1e-10, ..spec() };
        let a = fit(&x, &y, &names(k), &spec).unwrap().probabilities(&x).unwrap();
        let b = fit(&moved, &y, &names(k), &spec).unwrap().probabilities(&moved).unwrap();
        for (a, b) in a.iter().zip(&b) {
            prop_assert!((a - b).abs() < 1e-7);
        }
    }
}
