//! Tests of the figures against scikit-learn, of the CSV and of the tables.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::float_cmp, reason = "what must be the same bits is compared as such")]

use proptest::prelude::*;

use crate::{
    DECL, Error, Interval, Metrics, PER_CLIP, Params, Prediction, Predictions, Report, Spec, SystemMetrics,
    confusion_table, metrics, table,
};

const SCENES: &str = include_str!("../fixtures/scenes.csv");
const EDGES: &str = include_str!("../fixtures/edges.csv");

/// `fixtures/expected.json`, made by `fixtures/make_sklearn.py`.
#[derive(serde::Deserialize)]
struct Peer {
    cases: Vec<Case>,
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
    accuracy: f64,
    macro_accuracy: f64,
    log_loss: f64,
    macro_log_loss: f64,
    ece: f64,
    confusion: Vec<Vec<u64>>,
    per_class: Vec<crate::ClassMetrics>,
    interval: Interval,
}

fn spec() -> Spec {
    Params::default().resolve().unwrap()
}

fn read(text: &str) -> Predictions {
    Predictions::read_csv("linear-probe", text.as_bytes()).unwrap()
}

fn scenes() -> Metrics {
    metrics(&read(SCENES), &spec()).unwrap()
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
    let peer: Peer = serde_json::from_str(include_str!("../fixtures/expected.json")).unwrap();
    assert_eq!(peer.cases.len(), 2);
    for Case { name, seed, metrics: expected } in peer.cases {
        let text = if name == "scenes" { SCENES } else { EDGES };
        let got = metrics(&read(text), &Params { seed, ..Params::default() }.resolve().unwrap()).unwrap();
        assert_eq!((got.n, &got.confusion), (expected.n, &expected.confusion), "{name}");
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
        let (a, b) = (got.interval.unwrap(), expected.interval);
        assert_eq!((a.groups, a.resamples), (b.groups, b.resamples));
        for (a, b) in a.accuracy.iter().chain(&a.log_loss).zip(b.accuracy.iter().chain(&b.log_loss)) {
            assert!(close(*a, *b), "{name}: interval {a} {b}");
        }
    }
}

#[test]
fn csv_keeps_every_bit() {
    for text in [SCENES, EDGES] {
        let predictions = read(text);
        let mut written = Vec::new();
        predictions.write_csv(&mut written).unwrap();
        assert_eq!(Predictions::read_csv("linear-probe", written.as_slice()).unwrap(), predictions);
    }
    let mut written = Vec::new();
    two_rows().write_csv(&mut written).unwrap();
    assert_eq!(
        String::from_utf8(written).unwrap(),
        "id,label,group,split,predicted,p_in,p_out\nx,in,g,test,in,0.75,0.25\n\"y, z\",in,,test,out,0.1,0.9\n"
    );
}

fn two_rows() -> Predictions {
    let row = |id: &str, group: Option<&str>, p: [f64; 2]| Prediction {
        id: id.to_owned(),
        label: "in".to_owned(),
        group: group.map(str::to_owned),
        split: "test".to_owned(),
        probabilities: p.to_vec(),
    };
    Predictions {
        system: "s".to_owned(),
        classes: vec!["in".to_owned(), "out".to_owned()],
        rows: vec![row("x", Some("g"), [0.75, 0.25]), row("y, z", None, [0.1, 0.9])],
    }
}

#[test]
fn bad_tables_name_the_line() {
    let message = |text: &str| Predictions::read_csv("s", text.as_bytes()).unwrap_err().to_string();
    let header = "id,label,group,split,predicted,p_a,p_b\n";
    for (text, expected) in [
        (String::new(), "line 1: the file is empty"),
        ("id,label,split\n".to_owned(), "line 1: column 3 is `split`, expected `group`"),
        ("id,label,group,split\n".to_owned(), "line 1: column 5 is `nothing`, expected `predicted`"),
        (header.replace("p_b", "b"), "line 1: column `b`: expected `p_<class>`"),
        (header.replace("p_b", "p_a"), "the class `a` occurs twice"),
        (header.replace(",p_b", ""), "1 class(es): there is nothing to tell apart"),
        (format!("{header}x,a,,test,a,0.5\n"), "line 2: 6 columns, expected 7"),
        (format!("{header}x,a,,test,a,0.5,0.5\ny,a,,test,a,0.5,half\n"), "line 3: `half` is not a number"),
        (format!("{header}x,a,,test,a,1.5,-0.5\n"), "line 2: 1.5 is no probability"),
        (format!("{header}x,a,,test,a,NaN,0.5\n"), "line 2: NaN is no probability"),
        (format!("{header}x,a,,test,a,0.5,0.4\n"), "line 2: the probabilities add up to 0.9, not to 1"),
        (format!("{header}x,c,,test,a,0.5,0.5\n"), "line 2: the label `c` is none of the 2 classes (a, b)"),
        (
            format!("{header}x,a,,test,b,0.6,0.4\n"),
            "line 2: predicted is `b`, but the largest probability is that of `a`",
        ),
        (format!("{header}x,a,,test,b,0.5,0.5\n"), "line 2: predicted is `b`"), // a tie goes to the first
    ] {
        let got = message(&text);
        assert!(got.contains(expected), "{got}\nexpected {expected}");
    }
    let not_utf8 = [header.as_bytes(), b"\xff,a,,test,a,1,0\n"].concat();
    let error = Predictions::read_csv("s", not_utf8.as_slice()).unwrap_err().to_string();
    assert_eq!(error, "predictions, line 2: the text is not UTF-8");
}

#[test]
fn bad_predictions_are_not_evaluated_or_written() {
    let mut predictions = two_rows();
    predictions.rows[1].label = "elsewhere".to_owned();
    let message = "s: item `y, z`: the label `elsewhere` is none of the 2 classes (in, out)";
    assert_eq!(metrics(&predictions, &spec()).unwrap_err().to_string(), message);
    assert_eq!(predictions.write_csv(Vec::new()).unwrap_err().to_string(), message);
    predictions.rows.pop();
    predictions.rows[0].probabilities.push(0.0);
    assert!(metrics(&predictions, &spec()).unwrap_err().to_string().contains("3 probabilities for 2 classes"));
}

#[test]
fn an_empty_split_says_which_there_are() {
    let other = Spec { split: "val".to_owned(), ..spec() };
    let error = metrics(&read(SCENES), &other).unwrap_err();
    assert!(matches!(error, Error::EmptySplit { .. }));
    assert_eq!(
        error.to_string(),
        "linear-probe: no rows of the split `val`; there are: `test` (120 rows), `train` (30 rows). Set `split` in [evaluate]"
    );
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

#[test]
fn the_report_is_json_of_the_stated_form() {
    let systems =
        [SystemMetrics { system: "linear-probe".to_owned(), protocol: PER_CLIP.to_owned(), metrics: scenes() }];
    let report = Report::new("test", &systems, vec!["2 items failed and were left out".to_owned()]);
    let json = serde_json::to_string_pretty(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let figures = &value["systems"]["linear-probe"]["10s"];
    assert_eq!(figures["n"], 120);
    assert_eq!(figures["accuracy"], systems[0].metrics.accuracy);
    assert_eq!(value["notes"][0], "2 items failed and were left out");
}

#[test]
fn the_tables_are_these() {
    let systems = [
        SystemMetrics { system: "linear-probe".to_owned(), protocol: PER_CLIP.to_owned(), metrics: scenes() },
        SystemMetrics {
            system: "edges".to_owned(),
            protocol: PER_CLIP.to_owned(),
            metrics: metrics(&read(EDGES), &Spec { bootstrap: 0, ..spec() }).unwrap(),
        },
    ];
    let expected = "\
system        protocol    n  accuracy  95% interval  macro accuracy  log loss         chance
linear-probe  10s       120     67.5%     57.5-77.6           67.8%     1.123  10.0% / 2.303
edges         10s        40     40.0%             -           40.6%     4.544  25.0% / 1.386
";
    assert_eq!(table(&systems), expected);
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
    assert_eq!(confusion_table(&systems[0].metrics), expected);
    let expected = "\
true \\ decided   1   2   3   4  recall
1 a             10   5   4   .   52.6%
2 b              8   6   7   .   28.6%
3 c              .   .   .   .       -
4 d              .   .   .   .       -
precision, %    56  55   0   -
";
    assert_eq!(confusion_table(&systems[1].metrics), expected);
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
    assert!(serde_json::from_str::<Params>(r#"{"bins": 15}"#).unwrap_err().to_string().contains("unknown field"));
    let spec = serde_json::to_string(&spec()).unwrap();
    assert_eq!(spec, r#"{"split":"test","bootstrap":1000,"seed":0}"#);
}

/// Version tripwire. Floats are pinned to nine decimals: the logarithm's last bit is the platform's.
#[test]
fn the_version_stands_for_these_values() {
    let got = scenes();
    let [low, high] = got.interval.unwrap().accuracy;
    let digits = [got.accuracy, got.macro_accuracy, got.log_loss, got.macro_log_loss, got.ece, low, high];
    assert_eq!(
        (DECL.version, digits.map(|value| format!("{value:.9}")).join(" ").as_str()),
        (1, "0.675000000 0.677707848 1.122647003 1.115563197 0.230727275 0.574579376 0.775700935"),
        "the output changed: bump `version` of evaluate and say why in its history"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Laws of the figures, and CSV without loss, for any probabilities.
    #[test]
    fn laws(weights in prop::collection::vec((0usize..3, prop::collection::vec(0.001f64..1.0, 3), 0u8..5), 1..40)) {
        let rows = weights.iter().enumerate().map(|(id, (label, weights, group))| Prediction {
            id: id.to_string(),
            label: ["a", "b", "c"][*label].to_owned(),
            group: (*group > 0).then(|| group.to_string()),
            split: "test".to_owned(),
            probabilities: weights.iter().map(|w| w / weights.iter().sum::<f64>()).collect(),
        });
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        let predictions = Predictions { system: "s".to_owned(), classes, rows: rows.collect() };
        let mut csv = Vec::new();
        predictions.write_csv(&mut csv).unwrap();
        prop_assert_eq!(&Predictions::read_csv("s", csv.as_slice()).unwrap(), &predictions);

        let got = metrics(&predictions, &Spec { bootstrap: 100, ..spec() }).unwrap();
        prop_assert_eq!(got.n, weights.len() as u64);
        prop_assert_eq!(got.confusion.iter().flatten().sum::<u64>(), got.n);
        for share in [got.accuracy, got.macro_accuracy, got.ece] {
            prop_assert!((0.0..=1.0).contains(&share));
        }
        prop_assert!(got.log_loss > 0.0);
        if let Some(interval) = got.interval {
            prop_assert!(interval.accuracy[0] <= interval.accuracy[1] && interval.log_loss[0] <= interval.log_loss[1]);
        }
    }
}
