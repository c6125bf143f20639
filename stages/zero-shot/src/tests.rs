#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use clip::{Checkpoint, DeviceChoice, TextEncoder};
use contract::{Cause, Classify, Picture};
use encode_clip::{Encoder, Preprocess, Threads};
use serde::Deserialize;

use super::*;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../clip/fixtures").join(name)
}

fn checkpoint(name: &str) -> Checkpoint {
    Checkpoint::locate(folder(name).to_str().unwrap()).unwrap()
}

fn classes(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn spec(json: &str) -> Spec {
    serde_json::from_str::<Params>(json).unwrap().resolve().unwrap()
}

fn refused(json: &str) -> String {
    serde_json::from_str::<Params>(json).unwrap().resolve().unwrap_err().to_string()
}

/// What `make_chain.py` wrote for one checkpoint.
#[derive(Deserialize)]
struct Chain {
    checkpoint: String,
    logits: Vec<Vec<f64>>,
    probabilities: Vec<Vec<f64>>,
    ensemble: Vec<Vec<f64>>,
    averaged: Vec<Vec<f64>>,
}

/// The embeddings `[3][D]` of the committed pictures.
fn embeddings(checkpoint: &Checkpoint) -> Vec<f32> {
    let spec = encode_clip::Params::default().resolve().unwrap();
    let mut preprocess = Preprocess::new(checkpoint, spec.preprocessing).unwrap();
    let mut windows = Vec::new();
    for name in ["gradient", "noise", "stripes"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/{name}.png"));
        let rgb = image::open(file).unwrap().into_rgb8();
        let picture = Picture { width: rgb.width() as usize, height: rgb.height() as usize, rgb: rgb.into_raw() };
        windows.extend_from_slice(preprocess.crop(&picture).unwrap());
    }
    Encoder::load(checkpoint, &spec, DeviceChoice::Cpu, 3).unwrap().encode(&windows, 3, Threads::All).unwrap()
}

fn largest_difference(found: &[Vec<f64>], wanted: &[Vec<f64>]) -> f64 {
    assert_eq!((found.len(), found[0].len()), (wanted.len(), wanted[0].len()));
    found.concat().iter().zip(wanted.concat()).map(|(f, w)| (f - w).abs()).fold(0.0, f64::max)
}

/// From picture files and words to probabilities: preprocessing, both towers, tokenizer, `logit_scale` and softmax are transformers'.
#[test]
fn the_whole_chain_equals_transformers() {
    let chains: Vec<Chain> = serde_json::from_slice(
        &std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/chain.json")).unwrap(),
    )
    .unwrap();
    assert_eq!(chains.len(), 2);
    let classes = classes(&["bus", "metro_station", "park"]);
    let one = r#""prompts": {"bus": ["bus"], "metro_station": ["metro station"], "park": ["park"]}, "templates": ["a photo of a {}."]"#;
    let many = r#""prompts": {"bus": ["bus", "bus inside"], "metro_station": ["metro station", "subway"], "park": ["park"]}, "templates": ["a photo of a {}.", "inside of a {}"]"#;
    for chain in chains {
        let checkpoint = checkpoint(&chain.checkpoint);
        let embeddings = embeddings(&checkpoint);
        let encoder = TextEncoder::load(&checkpoint, DeviceChoice::Cpu).unwrap();
        let of = |table: &str| {
            let spec = spec(&format!("{{{table}}}"));
            check(&checkpoint, &classes, &spec).unwrap();
            classifier(&encoder, &classes, &spec).unwrap()
        };
        let single = of(one);
        let dim = single.dim();
        let logits: Vec<Vec<f64>> = embeddings
            .chunks(dim)
            .map(|x| {
                let length = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
                let cosine = |w: &Vec<f64>| w.iter().zip(x).map(|(w, x)| w * f64::from(*x)).sum::<f64>() / length;
                single.weights[0].iter().map(|w| single.logit_scale * cosine(w)).collect()
            })
            .collect();
        let error = largest_difference(&logits, &chain.logits);
        eprintln!("{}: largest error of a logit {error:.1e}", chain.checkpoint);
        assert!(error < 3e-5, "{error}");
        for (classifier, wanted) in [
            (single, &chain.probabilities),
            (of(many), &chain.ensemble),
            (of(&format!(r#"{many}, "ensemble": "probabilities""#)), &chain.averaged),
        ] {
            let found = classifier.of_each_picture(&embeddings).unwrap();
            let error = largest_difference(&found, wanted);
            assert!(error < 3e-6, "{}: {error}", chain.checkpoint);
            for (row, embedding) in found.iter().zip(embeddings.chunks(dim)) {
                assert_eq!(*row, classifier.probabilities(embedding).unwrap());
                assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            }
            // The model file says all of it, but for the last bit of a number.
            let read: Classifier = serde_json::from_str(&serde_json::to_string(&classifier).unwrap()).unwrap();
            assert!(largest_difference(&read.of_each_picture(&embeddings).unwrap(), &found) < 1e-13);
            assert_eq!(
                (&read.classes, &read.prompts, &read.spec),
                (&classifier.classes, &classifier.prompts, &classifier.spec)
            );
        }
    }
}

/// A classifier of two classes in the plane: towards x, and towards y.
fn plane(frame: Frame) -> Classifier {
    Classifier {
        classes: classes(&["x", "y"]),
        prompts: Vec::new(),
        spec: Params { frame, ..Params::default() }.resolve().unwrap(),
        logit_scale: 2.0,
        weights: vec![vec![vec![1.0, 0.0], vec![0.0, 1.0]]],
    }
}

/// `p` of the first class at the logits `2 a` and `2 b`.
fn first(a: f64, b: f64) -> f64 {
    1.0 / (1.0 + (2.0 * (b - a)).exp())
}

#[test]
fn a_clip_is_one_picture_or_the_mean_direction() {
    let rows = [3.0, 0.0, 0.0, 0.5, -6.0, 8.0];
    assert!((plane(Frame::Number(1)).of_clip(&rows).unwrap()[0] - first(1.0, 0.0)).abs() < 1e-12);
    assert!((plane(Frame::Number(3)).of_clip(&rows).unwrap()[0] - first(-0.6, 0.8)).abs() < 1e-12);
    // Each picture counts the same, however long its embedding is: (1, 0) + (0, 1) + (-0.6, 0.8).
    let length = f64::hypot(0.4, 1.8);
    let found = plane(Frame::Mean).of_clip(&rows).unwrap();
    assert!((found[0] - first(0.4 / length, 1.8 / length)).abs() < 1e-12);
    let seconds = plane(Frame::Number(9)).of_each_picture(&rows).unwrap();
    assert_eq!(seconds.len(), 3);
    assert!((seconds[1][0] - first(0.0, 1.0)).abs() < 1e-12);
    assert!(plane(Frame::Mean).of_each_picture(&[]).unwrap().is_empty());
}

#[test]
fn a_clip_that_cannot_be_judged_says_why() {
    let rows = [3.0, 0.0, 0.0, 0.5];
    let error = plane(Frame::Number(5)).of_clip(&rows).unwrap_err();
    assert_eq!(error.class(), Cause::TooShort);
    assert!(error.to_string().contains("has 2 pictures, frame 5 was asked for"), "{error}");
    assert!(matches!(plane(Frame::Mean).of_clip(&[]), Err(Error::NoPictures)));
    for (bad, said) in [(f32::NAN, "not a finite number"), (f32::INFINITY, "not a finite number"), (0.0, "all zeros")] {
        let rows = [1.0, 0.0, bad, 0.0];
        for found in [plane(Frame::Mean).of_clip(&rows).map(drop), plane(Frame::Mean).of_each_picture(&rows).map(drop)]
        {
            let error = found.unwrap_err();
            assert_eq!(error.class(), Cause::Corrupt);
            assert!(error.to_string().starts_with("the embedding of picture 2 "), "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
        // The one that is asked for is fine.
        assert!(plane(Frame::Number(1)).of_clip(&rows).is_ok());
    }
    let error = plane(Frame::Mean).of_clip(&[1.0, 2.0, 3.0]).unwrap_err().to_string();
    assert!(error.contains("3 values are no rows of 2 numbers"), "{error}");
    assert!(matches!(plane(Frame::Mean).probabilities(&[1.0]), Err(Error::Shape { .. })));
    assert!(matches!(plane(Frame::Mean).probabilities(&[]), Err(Error::Shape { .. })));
}

#[test]
fn a_model_file_that_does_not_fit_together_is_refused() {
    let model = |change: &dyn Fn(&mut Classifier)| {
        let mut changed = plane(Frame::Mean);
        change(&mut changed);
        serde_json::from_str::<Classifier>(&serde_json::to_string(&changed).unwrap()).map_err(|e| e.to_string())
    };
    assert_eq!(model(&|_| ()).unwrap(), plane(Frame::Mean));
    for change in [
        |c: &mut Classifier| c.weights.clear(),
        |c: &mut Classifier| c.weights[0].clear(),
        |c: &mut Classifier| c.weights[0].iter_mut().for_each(Vec::clear),
        |c: &mut Classifier| c.weights[0][1].push(0.5),
    ] {
        assert!(model(&change).unwrap_err().contains("weights must be [members][classes][values]"));
    }
    assert!(model(&|c| drop(c.weights[0].pop())).unwrap_err().contains("a row for each of the 2 classes"));
    assert!(model(&|c| c.logit_scale = -1.0).unwrap_err().contains("logit_scale is -1"));
}

#[test]
fn a_hundred_times_a_cosine_does_not_overflow() {
    let mut sure = plane(Frame::Mean);
    sure.logit_scale = 1e4;
    assert_eq!(sure.probabilities(&[1.0, -1.0]).unwrap(), [1.0, 0.0]);
}

#[test]
fn features_that_cancel_out_are_refused() {
    let prompts = prompts(&classes(&["park", "bus"]), &spec(r#"{"templates": ["{}", "a {}"]}"#)).unwrap();
    let found =
        classifier::weights(&prompts, &[vec![1.0, 0.0, 3.0, 0.0], vec![0.0, 1.0, 0.0, -2.0]], 2, Ensemble::Features);
    assert!(found.unwrap_err().to_string().contains("class `bus` cancel out or are zero"));
    let zero = classifier::weights(&prompts, &[vec![0.0; 4], vec![1.0; 4]], 2, Ensemble::Probabilities);
    assert!(zero.unwrap_err().to_string().contains("class `park`"));
}

#[test]
fn words_of_a_class() {
    let all = classes(&["tram", "metro_station", "dog_park"]);
    let table = r#"{"templates": ["a {}.", "{} or {}"], "prompts": {"tram": [" streetcar "]}}"#;
    let found = prompts(&all, &spec(table)).unwrap();
    assert_eq!(found[0].prompts, [["a streetcar."], ["streetcar or streetcar"]]);
    assert_eq!(found[1].prompts[0], ["a metro station.", "a subway station."]);
    assert_eq!(found[2].prompts, [["a dog park."], ["dog park or dog park"]]);
    let typo = prompts(&all, &spec(r#"{"prompts": {"tramway": ["tram"]}}"#)).unwrap_err().to_string();
    assert!(typo.contains("words for class `tramway`") && typo.contains("tram, metro_station, dog_park"), "{typo}");
    assert!(matches!(prompts(&all[..1], &spec("{}")), Err(Error::TooFewClasses(1))));
}

#[test]
fn the_defaults_are_sound() {
    let params: Params = serde_json::from_str("{}").unwrap();
    assert_eq!(params, Params::default());
    let spec = params.resolve().unwrap();
    assert_eq!((spec.frame, spec.ensemble, spec.templates.len()), (Frame::Number(5), Ensemble::Features, 8));
    let names = SCENES.map(|(scene, _)| scene.to_owned());
    let prompts = prompts(&names, &spec).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for prompt in prompts.iter().flat_map(|class| class.prompts.iter().flatten()) {
        assert!(!prompt.contains(['{', '}', '_']) && seen.insert(prompt), "{prompt}");
    }
}

#[test]
fn params_as_written() {
    let table = r#"{"templates": ["{}"], "prompts": {"bus": ["bus"]}, "frame": "mean", "ensemble": "probabilities"}"#;
    assert_eq!(serde_json::to_string(&spec(table)).unwrap().replace(':', ": ").replace(',', ", "), table);
    let wrong = |json: &str| serde_json::from_str::<Params>(json).unwrap_err().to_string();
    assert!(wrong(r#"{"template": []}"#).contains("unknown field `template`"));
    assert!(wrong(r#"{"frame": 0}"#).contains("a picture number counted from 1"));
    assert!(wrong(r#"{"frame": "middle"}"#).contains("\"mean\""));
    assert!(wrong(r#"{"ensemble": "logits"}"#).contains("unknown variant `logits`"));
    assert!(refused(r#"{"templates": []}"#).starts_with("templates = []"));
    assert!(refused(r#"{"templates": ["a {}", "a photo"]}"#).starts_with("templates: \"a photo\" has no {}"));
    assert!(refused(r#"{"templates": ["a {class} {}"]}"#).contains("has a brace that is no {}"));
    assert!(refused(r#"{"prompts": {"bus": []}}"#).contains("class `bus` has an empty list"));
    assert!(refused(r#"{"prompts": {"bus": ["bus", " "]}}"#).contains("class `bus` has an empty phrase"));
}

#[test]
fn what_would_fail_later_is_found_at_once() {
    let all = classes(&["bus", "park"]);
    let message = |name: &str, json: &str| {
        let checkpoint = checkpoint(name);
        let said = check(&checkpoint, &all, &spec(json)).unwrap_err().to_string();
        // Nothing but the prompts can be wrong once the encoder is there.
        if let Ok(encoder) = TextEncoder::load(&checkpoint, DeviceChoice::Cpu) {
            assert_eq!(classifier(&encoder, &all, &spec(json)).unwrap_err().to_string(), said);
        }
        said
    };
    assert!(message("tiny-gelu", "{}").contains("has no text tower"));
    assert!(message("tiny-quick-gelu", "{}").contains("has no tokenizer.json"));
    let long =
        message("pair-quick-gelu", r#"{"templates": ["a photo of a {} where very many people wait for a bus"]}"#);
    assert!(
        long.starts_with("class `bus`: the prompt \"a photo of a bus where") && long.contains("room for 21"),
        "{long}"
    );
    let foreign = message("pair-quick-gelu", r#"{"prompts": {"park": ["park", "parc à vélos"]}, "templates": ["{}"]}"#);
    assert!(foreign.starts_with("class `park`: the prompt \"parc à vélos\" has the end-of-text token"), "{foreign}");
    assert!(message("pair-quick-gelu", r#"{"prompts": {"parc": ["park"]}}"#).contains("class `parc`"));
}
