//! Tests of the figures against scikit-learn and scipy, and of the tables.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::float_cmp, reason = "what must be the same bits is compared as such")]

use predictions::{Prediction, Predictions, Protocol};
use proptest::prelude::*;

use crate::compare::exact_binomial;
use crate::{
    Bin, CityMetrics, Comparison, DECL, Difference, Error, Interval, McNemar, Metrics, Params, Report, Spec, compare,
    comparison_table, confusion_table, evaluate, metrics, submission, table,
};

const SCENES: &str = include_str!("../fixtures/scenes.csv");
const EDGES: &str = include_str!("../fixtures/edges.csv");
const OTHER: &str = include_str!("../fixtures/other.csv");
const SECONDS: &str = include_str!("../fixtures/seconds.csv");
const NOISY_SECONDS: &str = include_str!("../fixtures/noisy_seconds.csv");

/// `fixtures/expected.json`, made by `fixtures/make_sklearn.py`.
#[derive(serde::Deserialize)]
struct Peer {
    cases: Vec<Case>,
    pairs: Vec<Pair>,
    mcnemar: Vec<McNemar>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    seed: u64,
    metrics: Expected,
}

/// As [`Metrics`], without what scikit-learn has no word for.
#[derive(serde::Deserialize)]
struct Expected {
    n: u64,
    items: u64,
    accuracy: f64,
    macro_accuracy: f64,
    log_loss: f64,
    macro_log_loss: f64,
    ece: f64,
    confusion: Vec<Vec<u64>>,
    per_class: Vec<crate::ClassMetrics>,
    per_city: Option<std::collections::BTreeMap<String, CityMetrics>>,
    reliability: Vec<Bin>,
    interval: Interval,
}

/// As [`Comparison`], without the protocol.
#[derive(serde::Deserialize)]
struct Pair {
    a: String,
    b: String,
    n: u64,
    only_a: u64,
    only_b: u64,
    groups: usize,
    accuracy: Difference,
    log_loss: Difference,
    mcnemar: McNemar,
}

fn peer() -> Peer {
    serde_json::from_str(include_str!("../fixtures/expected.json")).unwrap()
}

fn spec() -> Spec {
    Params::default().resolve().unwrap()
}

fn seeded(seed: u64) -> Spec {
    Spec { seed, ..spec() }
}

fn fixture(name: &str) -> Predictions {
    let (text, protocol) = match name {
        "scenes" => (SCENES, Protocol::PerClip),
        "edges" => (EDGES, Protocol::PerClip),
        "other" => (OTHER, Protocol::PerClip),
        "seconds" => (SECONDS, Protocol::PerSecond),
        "noisy_seconds" => (NOISY_SECONDS, Protocol::PerSecond),
        other => panic!("no fixture {other}"),
    };
    Predictions::read_csv(name, protocol, text.as_bytes()).unwrap()
}

fn scenes() -> Metrics {
    metrics(&fixture("scenes"), &spec()).unwrap()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * b.abs().max(1.0)
}

fn close_option(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => close(a, b),
        (a, b) => a == b,
    }
}

#[test]
fn equals_scikit_learn() {
    let peer = peer();
    assert_eq!(peer.cases.len(), 5);
    for Case { name, seed, metrics: expected } in peer.cases {
        let got = metrics(&fixture(&name), &seeded(seed)).unwrap();
        assert_eq!((got.n, got.items, &got.confusion), (expected.n, expected.items, &expected.confusion), "{name}");
        for (what, a, b) in [
            ("accuracy", got.accuracy, expected.accuracy),
            ("macro accuracy", got.macro_accuracy, expected.macro_accuracy),
            ("log loss", got.log_loss, expected.log_loss),
            ("macro log loss", got.macro_log_loss, expected.macro_log_loss),
            ("ece", got.ece, expected.ece),
        ] {
            assert!(close(a, b), "{name}: {what} {a} {b}");
        }
        assert_eq!(got.per_class.len(), expected.per_class.len());
        for (a, b) in got.per_class.iter().zip(&expected.per_class) {
            assert_eq!((&a.class, a.n), (&b.class, b.n));
            let same = close_option(a.recall, b.recall)
                && close_option(a.precision, b.precision)
                && close_option(a.f1, b.f1)
                && close_option(a.log_loss, b.log_loss);
            assert!(same, "{name}: {a:?} {b:?}");
        }
        assert_eq!(got.reliability.len(), expected.reliability.len());
        for (a, b) in got.reliability.iter().zip(&expected.reliability) {
            let same = close(a.low, b.low) && close(a.high, b.high) && a.n == b.n;
            let same = same && close_option(a.confidence, b.confidence) && close_option(a.accuracy, b.accuracy);
            assert!(same, "{name}: {a:?} {b:?}");
        }
        let (a, b) = (got.per_city.unwrap_or_default(), expected.per_city.unwrap_or_default());
        assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
        for (a, b) in a.values().zip(b.values()) {
            let figures = [(a.accuracy, b.accuracy), (a.macro_accuracy, b.macro_accuracy), (a.log_loss, b.log_loss)];
            assert!(a.n == b.n && figures.iter().all(|(a, b)| close(*a, *b)), "{name}: {a:?} {b:?}");
        }
        let (a, b) = (got.interval.unwrap(), expected.interval);
        assert_eq!((a.groups, a.resamples), (b.groups, b.resamples));
        for (a, b) in a.accuracy.iter().chain(&a.log_loss).zip(b.accuracy.iter().chain(&b.log_loss)) {
            assert!(close(*a, *b), "{name}: interval {a} {b}");
        }
    }
}

fn same_difference(a: Difference, b: Difference) -> bool {
    let intervals = a.interval.unwrap().into_iter().zip(b.interval.unwrap());
    let figures = [(a.a, b.a), (a.b, b.b), (a.difference, b.difference), (a.p.unwrap(), b.p.unwrap())];
    figures.into_iter().chain(intervals).all(|(a, b)| close(a, b))
}

#[test]
fn comparisons_equal_scipy_and_the_definition() {
    let peer = peer();
    assert_eq!(peer.pairs.len(), 4);
    for pair in peer.pairs {
        let (mut a, b) = (fixture(&pair.a), fixture(&pair.b));
        let name = format!("{} and {}", pair.a, pair.b);
        let got = compare(&a, &b, &seeded(42)).unwrap().unwrap();
        assert_eq!((got.n, got.only_a, got.only_b, got.groups), (pair.n, pair.only_a, pair.only_b, pair.groups));
        assert!(same_difference(got.accuracy, pair.accuracy), "{name}: {:?} {:?}", got.accuracy, pair.accuracy);
        assert!(same_difference(got.log_loss, pair.log_loss), "{name}: {:?} {:?}", got.log_loss, pair.log_loss);
        let (u, v) = (got.mcnemar, pair.mcnemar);
        assert_eq!((u.only_a_right, u.only_b_right), (v.only_a_right, v.only_b_right));
        assert!(close(u.p, v.p), "{name}: {u:?} {v:?}");

        // The order of a system's rows does not matter to which rows are compared.
        a.rows.reverse();
        let reversed = compare(&a, &b, &seeded(42)).unwrap().unwrap();
        assert_eq!((reversed.n, reversed.mcnemar), (got.n, got.mcnemar));
    }
    for McNemar { only_a_right, only_b_right, p } in peer.mcnemar {
        for got in [exact_binomial(only_a_right, only_b_right), exact_binomial(only_b_right, only_a_right)] {
            // Sums of up to 20000 exponentials of sums of logarithms: nine digits are left.
            assert!((got - p).abs() <= 1e-9 * p.max(1e-3), "{only_a_right} {only_b_right}: {got} {p}");
        }
    }
}

#[test]
fn systems_that_cannot_be_compared_say_why() {
    let message = |a: &Predictions, b: &Predictions| compare(a, b, &spec()).unwrap_err().to_string();
    let scenes = fixture("scenes");
    assert!(message(&scenes, &fixture("edges")).starts_with("scenes and edges (10s): their classes differ"));
    assert!(message(&scenes, &fixture("seconds")).contains("the latter is of the protocol 1s"));
    let mut other = fixture("other");
    let row = other.rows.iter_mut().find(|row| row.split == "test").unwrap();
    row.group = Some("elsewhere".to_owned());
    let expected = format!("disagree about label, group or split of item `{}`", row.id);
    assert!(message(&scenes, &other).contains(&expected));
    other.rows.retain(|row| row.split == "train");
    assert_eq!(compare(&scenes, &other, &spec()).unwrap(), None);
}

#[test]
fn one_group_gives_a_comparison_without_interval() {
    let mut a = two_rows();
    for row in &mut a.rows {
        row.group = Some("g".to_owned());
    }
    let got = compare(&a, &a, &spec()).unwrap().unwrap();
    assert_eq!((got.groups, got.accuracy.interval, got.log_loss.p), (1, None, None));
}

fn two_rows() -> Predictions {
    let row = |id: &str, group: Option<&str>, p: [f64; 2]| Prediction {
        id: id.to_owned(),
        second: None,
        label: "in".to_owned(),
        group: group.map(str::to_owned),
        city: None,
        split: "test".to_owned(),
        probabilities: p.to_vec(),
    };
    Predictions {
        system: "s".to_owned(),
        protocol: Protocol::PerClip,
        classes: vec!["out".to_owned(), "in".to_owned()],
        rows: vec![row("x", Some("g"), [0.25, 0.75]), row("y, z", None, [0.9, 0.1])],
    }
}

#[test]
fn bad_predictions_are_not_evaluated() {
    let mut predictions = two_rows();
    predictions.rows[1].label = "elsewhere".to_owned();
    let message = "s (10s): item `y, z`: the label `elsewhere` is none of the 2 classes (out, in)";
    assert_eq!(metrics(&predictions, &spec()).unwrap_err().to_string(), message);
    assert_eq!(submission(&predictions, None).unwrap_err().to_string(), message);
    assert_eq!(compare(&two_rows(), &predictions, &spec()).unwrap_err().to_string(), message);
}

#[test]
fn an_empty_split_says_which_there_are() {
    let other = Spec { split: "val".to_owned(), ..spec() };
    let error = metrics(&fixture("scenes"), &other).unwrap_err();
    assert!(matches!(error, Error::EmptySplit { .. }));
    assert_eq!(
        error.to_string(),
        "scenes (10s): no rows of the split `val`; there are: `test` (120 rows), `train` (30 rows). Set `split` in [evaluate]"
    );
}

#[test]
fn the_submission_is_tab_separated_and_alphabetical() {
    let expected = "filename_audio_video\tscene_label\tin\tout\nx\tin\t0.75\t0.25\ny, z\tout\t0.1\t0.9\n";
    let clips = two_rows();
    assert_eq!(submission(&clips, Some("test")).unwrap(), expected);
    assert_eq!(submission(&clips, Some("val")).unwrap(), "filename_audio_video\tscene_label\tin\tout\n");
    let mut seconds = two_rows();
    seconds.protocol = Protocol::PerSecond;
    for (second, row) in seconds.rows.iter_mut().enumerate() {
        row.second = Some(second as u32);
    }
    let names: Vec<String> =
        submission(&seconds, None).unwrap().lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["filename_audio_video", "x-0", "y, z-1"]);
    let mut odd = clips;
    odd.rows[0].id = "a\tb".to_owned();
    assert!(submission(&odd, None).unwrap_err().to_string().contains("a tab or line break"));
}

#[test]
fn intervals_need_two_groups_and_resampling() {
    let mut predictions = two_rows();
    assert_eq!(metrics(&predictions, &spec()).unwrap().interval.unwrap().groups, 2);
    assert!(metrics(&predictions, &Spec { bootstrap: 0, ..spec() }).unwrap().interval.is_none());
    predictions.rows[1].group = Some("g".to_owned());
    let one_group = metrics(&predictions, &spec()).unwrap();
    assert!(one_group.interval.is_none());
    assert_eq!(one_group.per_group.unwrap()["g"].n, 2);
    for row in &mut predictions.rows {
        row.group = None;
    }
    assert!(metrics(&predictions, &spec()).unwrap().per_group.is_none());
}

#[test]
fn groups_and_chance_add_up() {
    let got = scenes();
    let groups = got.per_group.as_ref().unwrap();
    assert_eq!(groups.values().map(|group| group.n).sum::<u64>(), got.n);
    let hits: f64 = groups.values().map(|group| group.accuracy * group.n as f64).sum();
    assert!(close(hits / got.n as f64, got.accuracy));
    assert_eq!((got.chance.accuracy, got.chance.log_loss), (0.1, 10f64.ln()));
    let commonest = got.per_class.iter().map(|class| class.n).max().unwrap();
    assert_eq!(got.chance.majority, commonest as f64 / got.n as f64);
    let interval = got.interval.unwrap();
    assert!(interval.accuracy[0] < got.accuracy && got.accuracy < interval.accuracy[1]);
}

fn report() -> Report {
    let tables = ["scenes", "other", "seconds"].map(fixture);
    evaluate(&tables, &spec(), vec!["2 items failed and were left out".to_owned()]).unwrap()
}

#[test]
fn the_report_is_json_of_the_stated_form() {
    let report = report();
    let json = serde_json::to_string_pretty(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let figures = &value["systems"]["scenes"]["10s"];
    assert_eq!((&figures["n"], &figures["left_out"]), (&120.into(), &1.into()));
    assert_eq!(figures["accuracy"], scenes().accuracy);
    assert!(value["systems"]["seconds"]["1s"]["macro_accuracy"].is_f64());
    let comparison: Comparison = serde_json::from_value(value["comparisons"][0].clone()).unwrap();
    assert_eq!((comparison.a.as_str(), comparison.b.as_str(), comparison.n), ("scenes", "other", 113));
    assert_eq!(value["comparisons"].as_array().unwrap().len(), 1);
}

#[test]
fn missing_rows_and_classes_are_said() {
    let notes = report().notes;
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert_eq!(notes[0], "2 items failed and were left out");
    let expected = "other (10s) lacks 7 of 121 clips that another system decided; its figures rest on the other 114";
    assert_eq!(notes[2], expected);
    let edges = evaluate(&[fixture("edges")], &spec(), Vec::new()).unwrap();
    assert_eq!(edges.notes, ["the split test has no clip of: c, d. Macro figures are means over the other classes"]);
}

#[test]
fn nothing_and_the_same_twice_are_errors() {
    let message = |tables: &[Predictions]| evaluate(tables, &spec(), Vec::new()).unwrap_err().to_string();
    assert!(message(&[]).contains("no predictions of any system"));
    let expected = "scenes (10s): two tables of predictions of the same system and protocol";
    assert_eq!(message(&[fixture("scenes"), fixture("scenes")]), expected);
}

#[test]
fn the_tables_are_these() {
    let mut all = report();
    let edges = metrics(&fixture("edges"), &Spec { bootstrap: 0, ..spec() }).unwrap();
    all.order.insert(0, "edges".to_owned());
    all.systems.insert("edges".to_owned(), [(Protocol::PerClip, edges.clone())].into());
    let expected = "\
system   protocol    n  accuracy  95% interval  macro accuracy  log loss         chance
edges    10s        40     40.0%             -           40.6%     4.544  25.0% / 1.386
scenes   10s       120     67.5%     57.5-77.6           67.8%     1.123  10.0% / 2.303
";
    assert!(table(&all).starts_with(expected), "{}", table(&all));
    assert!(table(&all).lines().last().unwrap().starts_with("seconds  1s  "), "{}", table(&all));
    let expected = "\
a       b        n  accuracy   95% interval      p  log loss      95% interval      p  McNemar p
scenes  other  113     -10.6  -20.7 to -0.8  0.044    +0.169  +0.023 to +0.317  0.026      0.058
";
    assert_eq!(comparison_table(&all, Protocol::PerClip), expected);
    assert_eq!(comparison_table(&all, Protocol::PerSecond), "");
    let expected = "\
true \\ decided         1   2   3   4   5   6   7   8   9  10  recall
 1 airport             7   .   1   .   .   1   .   .   .   .   77.8%
 2 bus                 1   7   .   .   .   .   1   .   .   .   77.8%
 3 metro               .   .   7   1   1   .   2   1   .   1   53.8%
 4 metro_station       .   .   1   5   .   3   .   .   .   .   55.6%
 5 park                .   1   .   1   6   .   2   1   .   .   54.5%
 6 public_square       .   .   .   .   .   8   1   1   .   .   80.0%
 7 shopping_mall       1   .   2   .   .   .  12   2   1   .   66.7%
 8 street_pedestrian   1   1   1   .   .   .   1  10   .   .   71.4%
 9 street_traffic      .   1   .   .   2   .   .   .  11   .   78.6%
10 tram                .   3   1   .   .   .   1   .   .   8   61.5%
precision, %          70  54  54  71  67  67  60  67  92  89
";
    assert_eq!(confusion_table(&scenes()), expected);
    let expected = "\
true \\ decided   1   2   3   4  recall
1 a             10   5   4   .   52.6%
2 b              8   6   7   .   28.6%
3 c              .   .   .   .       -
4 d              .   .   .   .       -
precision, %    56  55   0   -
";
    assert_eq!(confusion_table(&edges), expected);
}

#[test]
fn ten_long_names_and_large_counts_fit_a_hundred_columns() {
    let mut metrics = scenes();
    for name in &mut metrics.classes {
        *name = format!("überlanger_name_einer_klasse_{name}");
    }
    for count in metrics.confusion.iter_mut().flatten() {
        *count += 12_345;
    }
    let text = confusion_table(&metrics);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let (header, row) = (text.lines().next().unwrap(), text.lines().nth(1).unwrap());
    assert_eq!(header.chars().count(), row.chars().count(), "{text}");
}

#[test]
fn the_table_of_parameters_is_checked() {
    let message = |params: Params| params.resolve().unwrap_err().to_string();
    assert!(message(Params { split: String::new(), ..Params::default() }).contains("name the split"));
    assert!(message(Params { bootstrap: 5, ..Params::default() }).contains("at least 100 resamples"));
    assert!(message(Params { bins: 1, ..Params::default() }).contains("bins = 1: use 2 to 100"));
    assert!(serde_json::from_str::<Params>(r#"{"bin": 15}"#).unwrap_err().to_string().contains("unknown field"));
    let spec = serde_json::to_string(&spec()).unwrap();
    assert_eq!(spec, r#"{"split":"test","bootstrap":1000,"seed":0,"bins":15}"#);
}

/// Version tripwire. Floats are pinned to nine decimals: the logarithm's last bit is the platform's.
#[test]
fn the_version_stands_for_these_values() {
    let got = scenes();
    let [low, high] = got.interval.unwrap().accuracy;
    let digits = [got.accuracy, got.macro_accuracy, got.log_loss, got.macro_log_loss, got.ece, low, high];
    assert_eq!(
        (DECL.version, digits.map(|value| format!("{value:.9}")).join(" ").as_str()),
        (2, "0.675000000 0.677707848 1.122647003 1.115563197 0.230727275 0.574579376 0.775700935"),
        "the output changed: bump `version` of evaluate and say why in its history"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Laws of the figures, for any probabilities.
    #[test]
    fn laws(weights in prop::collection::vec((0usize..3, prop::collection::vec(0.001f64..1.0, 3), 0u8..5), 1..40)) {
        let rows = weights.iter().enumerate().map(|(id, (label, weights, group))| Prediction {
            id: id.to_string(),
            second: None,
            label: ["a", "b", "c"][*label].to_owned(),
            group: (*group > 0).then(|| group.to_string()),
            city: (*group > 2).then(|| group.to_string()),
            split: "test".to_owned(),
            probabilities: weights.iter().map(|w| w / weights.iter().sum::<f64>()).collect(),
        });
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        let rows = rows.collect();
        let predictions = Predictions { system: "s".to_owned(), protocol: Protocol::PerClip, classes, rows };

        let got = metrics(&predictions, &Spec { bootstrap: 100, ..spec() }).unwrap();
        prop_assert_eq!(got.n, weights.len() as u64);
        prop_assert_eq!(got.confusion.iter().flatten().sum::<u64>(), got.n);
        for share in [got.accuracy, got.macro_accuracy, got.ece] {
            prop_assert!((0.0..=1.0).contains(&share));
        }
        prop_assert!(got.log_loss > 0.0);
        prop_assert_eq!(got.reliability.iter().map(|bin| bin.n).sum::<u64>(), got.n);
        let itself = compare(&predictions, &predictions, &Spec { bootstrap: 100, ..spec() }).unwrap().unwrap();
        prop_assert_eq!((itself.accuracy.difference, itself.log_loss.difference, itself.mcnemar.p), (0.0, 0.0, 1.0));
        if let Some(interval) = got.interval {
            prop_assert!(interval.accuracy[0] <= interval.accuracy[1] && interval.log_loss[0] <= interval.log_loss[1]);
        }
    }
}
