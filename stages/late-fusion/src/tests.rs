//! Tests of the weights against scipy, and of which rows are fused.
#![expect(clippy::unwrap_used, reason = "tests")]

use predictions::{Prediction, Predictions, Protocol};

use crate::weights::minimise;
use crate::{DECL, Fusion, Method, Params, Spec, fit};

/// `fixtures/expected.json`, made by `fixtures/make_scipy.py`.
#[derive(serde::Deserialize)]
struct Peer {
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    truths: Vec<Vec<f64>>,
    weights: Vec<f64>,
    log_loss: f64,
}

fn peer() -> Vec<Case> {
    serde_json::from_str::<Peer>(include_str!("../fixtures/expected.json")).unwrap().cases
}

/// A system that gives these probabilities to the first class, which is the truth of every row.
fn system(name: &str, rows: &[(&str, &str, f64)]) -> Predictions {
    let row = |(id, split, p): &(&str, &str, f64)| Prediction {
        id: (*id).to_owned(),
        second: None,
        label: "a".to_owned(),
        group: None,
        city: None,
        split: (*split).to_owned(),
        probabilities: vec![*p, 1.0 - p],
    };
    Predictions {
        system: name.to_owned(),
        protocol: Protocol::PerClip,
        classes: vec!["a".to_owned(), "b".to_owned()],
        rows: rows.iter().map(row).collect(),
    }
}

fn pair() -> [Predictions; 2] {
    [
        system("linear-probe", &[("x", "val", 0.75), ("y", "test", 0.5), ("only", "test", 1.0)]),
        system("audio", &[("y", "test", 0.125), ("x", "val", 0.25), ("other", "train", 0.5)]),
    ]
}

fn spec(method: Method) -> Spec {
    Params { method, ..Params::default() }.resolve().unwrap()
}

fn close(a: f64, b: f64, bound: f64) -> bool {
    (a - b).abs() <= bound
}

#[test]
fn weights_equal_scipy() {
    let cases = peer();
    assert_eq!(cases.len(), 5);
    for Case { name, truths, weights, log_loss } in cases {
        let got = minimise(&truths.concat(), weights.len());
        let loss = |row: &Vec<f64>| -row.iter().zip(&got.weights).map(|(p, w)| p * w).sum::<f64>().ln();
        let reached = truths.iter().map(loss).sum::<f64>() / truths.len() as f64;
        assert!(close(reached, log_loss, 1e-9), "{name}: {reached} {log_loss}");
        assert!(got.gap <= 1e-10, "{name}: {got:?}");
        assert!(close(got.weights.iter().sum(), 1.0, 1e-12), "{name}");
        for (a, b) in got.weights.iter().zip(&weights) {
            assert!(close(*a, *b, 1e-4), "{name}: {:?} {weights:?}", got.weights);
        }
    }
}

/// The fit on predictions is the fit on the probabilities of their truths, whatever rows of other splits say.
#[test]
fn weights_come_of_the_validation_rows_alone() {
    let case = &peer()[0];
    let ids: Vec<String> = (0..case.truths.len()).map(|at| at.to_string()).collect();
    let table = |name: &str, at: usize| {
        let mut rows: Vec<(&str, &str, f64)> = vec![("t", "train", 0.5 - 0.5 * at as f64), ("u", "test", 0.0)];
        rows.extend(ids.iter().zip(&case.truths).map(|(id, truths)| (id.as_str(), "val", truths[at])));
        system(name, &rows)
    };
    let fusion = fit(&[table("audio", 1), table("linear-probe", 0)], &spec(Method::Weighted)).unwrap();
    assert_eq!(fusion.systems, ["linear-probe", "audio"]);
    let found = fusion.fit.as_ref().unwrap();
    assert_eq!((found.split.as_str(), found.n), ("val", 60));
    assert!(close(found.log_loss, case.log_loss, 1e-9));
    assert!(found.log_loss_alone.iter().all(|alone| *alone >= found.log_loss - found.gap));
    assert!(close(fusion.weights[0], case.weights[0], 1e-4));
    let json = serde_json::to_string(&fusion).unwrap();
    assert_eq!(serde_json::from_str::<Fusion>(&json).unwrap().systems, fusion.systems);
}

#[test]
fn degenerate_rows_end_the_iteration() {
    assert_eq!(minimise(&[0.0, 0.0, 0.0, 0.0], 2).weights, [0.5, 0.5]);
    let same = minimise(&[0.3, 0.3, 0.9, 0.9], 2);
    assert_eq!((same.weights.as_slice(), same.steps), ([0.5, 0.5].as_slice(), 0));
    let better = minimise(&[0.9, 0.3, 0.8, 0.4, 0.0, 0.0], 2);
    assert!(better.weights[0] > 0.999_999 && better.gap <= 1e-10, "{better:?}");
}

#[test]
fn means_are_by_hand() {
    let apply = |method| {
        let fusion = fit(&pair(), &spec(method)).unwrap();
        fusion.apply(&pair(), Protocol::PerClip).unwrap()
    };
    let fused = apply(Method::Mean);
    let rows: Vec<_> = fused.predictions.rows.iter().map(|row| (row.id.as_str(), row.probabilities.clone())).collect();
    assert_eq!(rows, [("x", vec![0.5, 0.5]), ("y", vec![0.3125, 0.6875])]);
    assert_eq!(fused.predictions.system, DECL.id);
    let left_out: Vec<_> = fused.left_out.iter().map(|row| (row.id.as_str(), row.lacking.join(" "))).collect();
    assert_eq!(left_out, [("only", "audio".to_owned()), ("other", "linear-probe".to_owned())]);

    let fused = apply(Method::Geometric);
    // sqrt(0.5 * 0.125) = 0.25, sqrt(0.5 * 0.875) = 0.6614…
    let (a, b) = (0.25, (0.5f64 * 0.875).sqrt());
    assert!(close(fused.predictions.rows[1].probabilities[0], a / (a + b), 1e-15));

    let fused = apply(Method::Weighted);
    assert!(fused.predictions.rows[0].probabilities[0] > 0.749_999, "val says to take the probe alone");
    fused.predictions.truths().unwrap();
}

#[test]
fn certainties_stay_probabilities() {
    let names = ["zero-shot", "linear-probe", "audio"];
    let tables: Vec<Predictions> =
        names.iter().map(|name| system(name, &[("x", "val", 1.0), ("y", "test", 0.0)])).collect();
    for method in [Method::Mean, Method::Geometric, Method::Weighted] {
        let spec = Params { systems: names.map(str::to_owned).to_vec(), method }.resolve().unwrap();
        let mut fusion = fit(&tables, &spec).unwrap();
        let fused = fusion.apply(&tables, Protocol::PerClip).unwrap().predictions;
        fused.truths().unwrap();
        assert!(fused.rows[0].probabilities[0] > 0.999_999 && fused.rows[1].probabilities[1] > 0.999_999);
        fusion.weights.pop();
        assert!(fusion.apply(&tables, Protocol::PerClip).unwrap_err().to_string().contains("2 weights for 3 systems"));
    }
}

#[test]
fn seconds_use_the_weights_of_clips() {
    let mut tables = pair().to_vec();
    for table in pair() {
        let seconds =
            |row: &Prediction| (0..2).map(|k| Prediction { second: Some(k), ..row.clone() }).collect::<Vec<_>>();
        let rows = table.rows.iter().flat_map(seconds).collect();
        tables.push(Predictions { protocol: Protocol::PerSecond, rows, ..table });
    }
    let fusion = fit(&tables, &spec(Method::Weighted)).unwrap();
    assert_eq!(fusion.fit.as_ref().unwrap().n, 1);
    let fused = fusion.apply(&tables, Protocol::PerSecond).unwrap();
    let keys: Vec<_> = fused.predictions.rows.iter().map(Prediction::key).collect();
    assert_eq!(keys, [("x", Some(0)), ("x", Some(1)), ("y", Some(0)), ("y", Some(1))]);
    assert_eq!(fused.left_out.len(), 4);
    assert_eq!(fused.predictions.protocol, Protocol::PerSecond);
}

#[test]
fn what_does_not_go_together_is_named() {
    let message = |tables: &[Predictions]| fit(tables, &spec(Method::Weighted)).unwrap_err().to_string();
    let [probe, audio] = pair();
    assert_eq!(
        message(std::slice::from_ref(&probe)),
        "there are no predictions of audio (10s); there are those of: linear-probe. Run audio, or leave it out of `systems` \
         in [late-fusion]"
    );
    let mut other = audio.clone();
    other.classes.swap(0, 1);
    assert!(message(&[probe.clone(), other]).contains("their classes differ: (a, b) and (b, a)"));
    let mut other = audio.clone();
    other.rows[0].split = "val".to_owned();
    assert!(message(&[probe.clone(), other]).contains("disagree about label, group, city or split of item `y`"));
    let mut other = audio.clone();
    other.rows[0].probabilities[0] = f64::NAN;
    assert!(message(&[probe.clone(), other]).contains("audio (10s): item `y`: NaN is no probability"));
    let [mut a, mut b] = pair();
    for table in [&mut a, &mut b] {
        table.rows.retain(|row| row.split != "val");
    }
    let expected = "linear-probe and audio have no item of it in common. Give the data set a validation part, or set";
    assert!(message(&[a.clone(), b.clone()]).contains(expected));
    fit(&[a, b], &spec(Method::Mean)).unwrap();
    let apart = system("audio", &[("elsewhere", "val", 0.5)]);
    assert!(message(&[probe, apart]).contains("linear-probe and audio (10s) share no item"));
}

#[test]
fn the_table_of_parameters_is_checked() {
    let message = |systems: &[&str]| {
        let systems = systems.iter().map(ToString::to_string).collect();
        Params { systems, ..Params::default() }.resolve().unwrap_err().to_string()
    };
    assert!(message(&["audio"]).contains("1 system(s): fusion needs at least two"));
    assert!(
        message(&["audio", "late-fusion"]).contains("there is no system `late-fusion` to fuse; there are zero-shot,")
    );
    assert!(message(&["audio", "audio"]).contains("names `audio` twice"));
    let params: Params = serde_json::from_str(r#"{"systems": ["audio", "zero-shot"], "method": "geometric"}"#).unwrap();
    assert_eq!(params.method, Method::Geometric);
    assert!(serde_json::from_str::<Params>(r#"{"weights": []}"#).unwrap_err().to_string().contains("unknown field"));
    let json = serde_json::to_string(&Params::default().resolve().unwrap()).unwrap();
    assert_eq!(json, r#"{"systems":["linear-probe","audio"],"method":"mean"}"#);
}

/// Version tripwire, to nine decimals.
#[test]
fn the_version_stands_for_these_values() {
    let case = &peer()[1];
    let weights: Vec<String> =
        minimise(&case.truths.concat(), 4).weights.iter().map(|weight| format!("{weight:.9}")).collect();
    assert_eq!(
        (DECL.version, weights.join(" ").as_str()),
        (1, "0.681299049 0.109562512 0.209138439 0.000000000"),
        "the output changed: bump `version` of late-fusion and say why in its history"
    );
}
