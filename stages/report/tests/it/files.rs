//! The page's content as JSON and CSV.

use report::{DECL, Figures, PUBLISHED_OF, Page, Params, render};
use serde_json::Value;

use crate::made_up;

fn files() -> Vec<(&'static str, Vec<u8>)> {
    render(&made_up::page()).unwrap()
}

fn file(name: &str) -> Vec<u8> {
    files().into_iter().find(|(found, _)| *found == name).unwrap().1
}

fn rows(name: &str) -> Vec<csv::StringRecord> {
    csv::Reader::from_reader(&file(name)[..]).records().map(Result::unwrap).collect()
}

#[test]
fn the_files_are_these_and_always_the_same() {
    let names: Vec<&str> = files().iter().map(|(name, _)| *name).collect();
    let expected = [
        "index.html",
        "metrics.json",
        "systems.csv",
        "per_class.csv",
        "per_city.csv",
        "confusion.csv",
        "comparisons.csv",
        "curves.csv",
        "failures.csv",
    ];
    assert_eq!(names, expected);
    assert_eq!(files(), files());
}

#[test]
fn metrics_json_holds_the_figures_to_the_last_bit() {
    let theirs: Value = serde_json::from_slice(&made_up::metrics_json()).unwrap();
    let ours: Value = serde_json::from_slice(&file("metrics.json")).unwrap();
    for key in ["split", "order", "systems", "comparisons", "notes"] {
        assert_eq!(ours[key], theirs[key], "{key}");
    }
    let figures = &ours["systems"]["audio-visual"]["1s"];
    for key in ["accuracy", "macro_accuracy", "log_loss", "n", "per_group"] {
        assert!(!figures[key].is_null(), "{key}");
    }
    assert_eq!(ours["curves"][1]["system"], "audio-visual");
    assert!(ours.get("published").is_none(), "nothing was published of made-up scenes");
    assert_eq!(ours["failures"][1]["n"], 2);
    assert_eq!(ours["samples"][0]["decisions"].as_array().unwrap().len(), 5);
    assert!(ours["samples"][0].get("picture").is_none());
    assert_eq!(ours["provenance"][0]["entries"][1][1], "400");
}

#[test]
fn the_tables_hold_the_figures() {
    let figures = made_up::page().figures;
    let systems = rows("systems.csv");
    assert_eq!(systems.len(), 10);
    for row in &systems {
        let metrics = &figures.systems[&row[0]];
        let metrics = metrics.iter().find(|(protocol, _)| protocol.name() == &row[1]).unwrap().1;
        let numbers: Vec<f64> = row.iter().skip(2).take(12).map(|cell| cell.parse().unwrap()).collect();
        let interval = metrics.interval.unwrap();
        let expected = [
            metrics.n as f64,
            metrics.items as f64,
            metrics.left_out as f64,
            metrics.accuracy,
            interval.accuracy[0],
            interval.accuracy[1],
            metrics.macro_accuracy,
            metrics.log_loss,
            interval.log_loss[0],
            interval.log_loss[1],
            metrics.macro_log_loss,
            metrics.ece,
        ];
        assert_eq!(numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>(), expected.map(f64::to_bits));
    }
    assert!(systems.iter().all(|row| row[14].is_empty()));
    assert_eq!(rows("per_class.csv").len(), 100);
    assert_eq!(rows("per_city.csv").len(), 40);
    assert_eq!(rows("comparisons.csv").len(), 20);
    assert_eq!(rows("curves.csv").len(), 54);
    assert_eq!(rows("curves.csv").iter().filter(|row| &row[7] == "true").count(), 2);
    assert_eq!(rows("failures.csv").len(), 3);
    let confusion = rows("confusion.csv");
    assert_eq!(confusion.len(), 1000);
    let of_audio = confusion.iter().filter(|row| &row[0] == "audio" && &row[1] == "10s");
    assert_eq!(of_audio.map(|row| row[4].parse::<u64>().unwrap()).sum::<u64>(), 133);
}

#[test]
fn published_figures_are_in_the_files_of_their_data_set() {
    let files = render(&Page { dataset: PUBLISHED_OF.to_owned(), ..made_up::page() }).unwrap();
    let file = |name: &str| &files.iter().find(|(found, _)| *found == name).unwrap().1;
    let metrics: Value = serde_json::from_slice(file("metrics.json")).unwrap();
    assert_eq!(metrics["published"]["figures"][1]["accuracy"], 0.893);
    assert_eq!(metrics["published"]["dataset"], PUBLISHED_OF);
    let systems = String::from_utf8(file("systems.csv").clone()).unwrap();
    assert_eq!(systems.lines().filter(|row| row.ends_with(",0.893")).count(), 1);
}

#[test]
fn figures_that_contradict_themselves_are_refused() {
    let message = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_slice(&made_up::metrics_json()).unwrap();
        change(&mut value);
        Figures::read(&serde_json::to_vec(&value).unwrap()).unwrap_err().to_string()
    };
    let drop_row = |value: &mut Value| {
        value["systems"]["audio"]["10s"]["confusion"].as_array_mut().unwrap().pop();
    };
    assert_eq!(
        message(&drop_row),
        "the metrics.json of evaluate: audio (10s): the confusion matrix does not fit the classes. Run evaluate again"
    );
    let drop_class = |value: &mut Value| {
        value["systems"]["audio"]["1s"]["per_class"].as_array_mut().unwrap().pop();
    };
    assert!(message(&drop_class).contains("audio (1s): the figures per class do not fit the classes"));
    let drop_key = |value: &mut Value| {
        value["systems"]["audio"]["1s"].as_object_mut().unwrap().remove("ece");
    };
    assert!(message(&drop_key).contains("missing field `ece`"));
}

#[test]
fn the_table_of_parameters_is_checked() {
    assert!(Params { samples: 201, ..Params::default() }.resolve().unwrap_err().to_string().contains("at most 200"));
    assert!(serde_json::from_str::<Params>(r#"{"titel": "x"}"#).unwrap_err().to_string().contains("unknown field"));
    let spec = serde_json::to_string(&Params::default().resolve().unwrap()).unwrap();
    assert_eq!(spec, r#"{"title":"","samples":12}"#);
    assert_eq!(DECL.version, 2);
}
