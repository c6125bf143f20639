//! Tests of the invariants and of the CSV.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use crate::{Prediction, Predictions, Protocol};

fn row(id: &str, second: Option<u32>, p: [f64; 2]) -> Prediction {
    Prediction {
        id: id.to_owned(),
        second,
        label: "in".to_owned(),
        group: None,
        city: None,
        split: "test".to_owned(),
        probabilities: p.to_vec(),
    }
}

fn table(protocol: Protocol, rows: Vec<Prediction>) -> Predictions {
    let classes = vec!["in".to_owned(), "out".to_owned()];
    Predictions { system: "s".to_owned(), protocol, classes, rows }
}

fn csv(predictions: &Predictions) -> String {
    let mut written = Vec::new();
    predictions.write_csv(&mut written).unwrap();
    String::from_utf8(written).unwrap()
}

#[test]
fn the_file_is_this() {
    let mut named = row("x", None, [0.75, 0.25]);
    named.group = Some("lisbon-1".to_owned());
    named.city = Some("lisbon".to_owned());
    let clips = table(Protocol::PerClip, vec![named, row("y, z", None, [0.1, 0.9])]);
    let text = "id,second,label,group,city,split,predicted,p_in,p_out\n\
                x,,in,lisbon-1,lisbon,test,in,0.75,0.25\n\"y, z\",,in,,,test,out,0.1,0.9\n";
    assert_eq!(csv(&clips), text);
    assert_eq!(Predictions::read_csv("s", Protocol::PerClip, text.as_bytes()).unwrap(), clips);

    let seconds =
        table(Protocol::PerSecond, vec![row("x", Some(0), [0.5, 0.5]), row("x", Some(1), [1.0 / 3.0, 2.0 / 3.0])]);
    let text = "id,second,label,group,city,split,predicted,p_in,p_out\n\
                x,0,in,,,test,in,0.5,0.5\nx,1,in,,,test,out,0.3333333333333333,0.6666666666666666\n";
    assert_eq!(csv(&seconds), text);
    assert_eq!(Predictions::read_csv("s", Protocol::PerSecond, text.as_bytes()).unwrap(), seconds);
}

#[test]
fn bad_tables_name_the_line() {
    let header = "id,second,label,group,city,split,predicted,p_a,p_b\n";
    let in_seconds = |body: &str| (Protocol::PerSecond, format!("{header}{body}"));
    let in_clips = |body: &str| (Protocol::PerClip, format!("{header}{body}"));
    let bare = |text: &str| (Protocol::PerClip, text.to_owned());
    for ((protocol, text), expected) in [
        (bare(""), "predictions of s, line 1: the file is empty"),
        (bare("id,label,split\n"), "line 1: column 2 is `label`, expected `second`"),
        (bare("id,second,label,group\n"), "line 1: column 5 is `nothing`, expected `city`"),
        (bare(&header.replace("p_b", "b")), "line 1: column `b`: expected `p_<class>`"),
        (bare(&header.replace("p_b", "p_a")), "the class `a` occurs twice"),
        (bare(&header.replace(",p_b", "")), "1 class(es): there is nothing to tell apart"),
        (in_clips("x,,a,,,test,a,0.5\n"), "line 2: 8 columns, expected 9"),
        (in_clips("x,,a,,,test,a,0.5,0.5\ny,,a,,,test,a,0.5,half\n"), "line 3: `half` is not a number"),
        (in_clips("x,,a,,,test,a,1.5,-0.5\n"), "line 2: 1.5 is no probability"),
        (in_clips("x,,a,,,test,a,NaN,0.5\n"), "line 2: NaN is no probability"),
        (in_clips("x,,a,,,test,a,0.5,0.4\n"), "line 2: the probabilities add up to 0.9, not to 1"),
        (in_clips("x,,c,,,test,a,0.5,0.5\n"), "line 2: the label `c` is none of the 2 classes (a, b)"),
        (in_clips(",,a,,,test,a,0.5,0.5\n"), "line 2: the id is empty"),
        (in_clips("x,,a,,,test,b,0.6,0.4\n"), "line 2: predicted is `b`, but the largest probability is that of `a`"),
        (in_clips("x,,a,,,test,b,0.5,0.5\n"), "line 2: predicted is `b`"), // a tie goes to the first
        (in_clips("x,3,a,,,test,a,0.5,0.5\n"), "line 2: second 3 in a table of one row per clip"),
        (in_clips("x,,a,,,test,a,0.5,0.5\nx,,a,,,test,a,0.6,0.4\n"), "line 3: it occurs twice"),
        (in_seconds("x,,a,,,test,a,0.5,0.5\n"), "line 2: no second in a table of one row per second"),
        (in_seconds("x,-1,a,,,test,a,0.5,0.5\n"), "line 2: second is `-1`, expected a whole number from 0"),
        (in_seconds("x,0,a,,,test,a,1,0\nx,1,a,,,test,a,1,0\nx,0,a,,,test,a,1,0\n"), "line 4: second 0 of it occurs"),
        (in_seconds("x,0,a,,,test,a,1,0\nx,1,b,,,test,a,1,0\n"), "line 3: its seconds differ in label: `a` and `b`"),
        (in_seconds("x,0,a,g,,test,a,1,0\nx,1,a,,,test,a,1,0\n"), "line 3: its seconds differ in group: `g` and ``"),
        (in_seconds("x,0,a,,,test,a,1,0\nx,1,a,,,val,a,1,0\n"), "line 3: its seconds differ in split"),
    ] {
        let got = Predictions::read_csv("s", protocol, text.as_bytes()).unwrap_err().to_string();
        assert!(got.contains(expected), "{got}\nexpected {expected}");
    }
    let not_utf8 = [header.as_bytes(), b"\xff,,a,,,test,a,1,0\n"].concat();
    let error = Predictions::read_csv("s", Protocol::PerClip, not_utf8.as_slice()).unwrap_err().to_string();
    assert_eq!(error, "predictions of s, line 2: the text is not UTF-8");
}

#[test]
fn bad_rows_are_neither_used_nor_written() {
    let message = |predictions: &Predictions| {
        let message = predictions.truths().unwrap_err().to_string();
        assert_eq!(predictions.write_csv(Vec::new()).unwrap_err().to_string(), message);
        message
    };
    let mut predictions = table(Protocol::PerClip, vec![row("y, z", None, [0.1, 0.9])]);
    predictions.rows[0].label = "elsewhere".to_owned();
    let expected = "s (10s): item `y, z`: the label `elsewhere` is none of the 2 classes (in, out)";
    assert_eq!(message(&predictions), expected);
    predictions.rows[0] = row("x", None, [0.1, 0.9]);
    predictions.rows[0].group = Some(String::new());
    assert!(message(&predictions).contains("a group or city that is there must have a name"));
    predictions.rows[0] = row("x", None, [0.1, 0.9]);
    predictions.rows[0].probabilities.push(0.0);
    assert!(message(&predictions).contains("3 probabilities for 2 classes"));
    let twice = table(Protocol::PerSecond, vec![row("x", Some(1), [0.5, 0.5]), row("x", Some(1), [0.5, 0.5])]);
    assert_eq!(message(&twice), "s (1s): item `x`: second 1 of it occurs twice");
}

#[test]
fn the_names_of_the_protocols() {
    for protocol in Protocol::ALL {
        assert_eq!(serde_json::to_string(&protocol).unwrap(), format!("\"{protocol}\""));
    }
    assert_eq!(Protocol::ALL.map(Protocol::name), ["10s", "1s"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// CSV loses nothing, whatever the texts and the probabilities are.
    #[test]
    fn csv_keeps_every_bit(
        rows in prop::collection::vec((0usize..3, prop::collection::vec(0.001f64..1.0, 3), "\\PC*", "[ -~\n\r]*"), 1..40),
        per_second: bool,
    ) {
        let protocol = if per_second { Protocol::PerSecond } else { Protocol::PerClip };
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let rows = rows.iter().enumerate().map(|(at, (label, weights, group, city))| Prediction {
            id: format!("{at} {group}"),
            second: per_second.then_some(at as u32),
            label: ["a", "b", "c"][*label].to_owned(),
            group: some(group),
            city: some(city),
            split: "test".to_owned(),
            probabilities: weights.iter().map(|w| w / weights.iter().sum::<f64>()).collect(),
        });
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        let predictions = Predictions { system: "s".to_owned(), protocol, classes, rows: rows.collect() };
        let mut csv = Vec::new();
        predictions.write_csv(&mut csv).unwrap();
        prop_assert_eq!(&Predictions::read_csv("s", protocol, csv.as_slice()).unwrap(), &predictions);
    }
}
