//! EfficientAT's published weights on real sounds: the logits of PyTorch, and the tags that a person hears.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use contract::{Sound, Values};
use serde_json::Value;

use crate::{Architecture, Config, Mode, Network};

/// The folder of the weights, or a note that they are not here.
fn folder(test: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PIPELINE_TEST_MEDIA");
    if root.is_none() {
        eprintln!("skipped: {test} needs PIPELINE_TEST_MEDIA");
    }
    Some(Path::new(&root?).join("models/efficientat-mn04"))
}

fn log_mel(path: &Path) -> (usize, Vec<f32>) {
    let mut wav = hound::WavReader::open(path).unwrap();
    let sample_rate = wav.spec().sample_rate;
    let samples = wav.samples::<i16>().map(|s| f32::from(s.unwrap()) / 32768.0).collect();
    let params: log_mel::Params = serde_json::from_str(r#"{"preset": "efficientat"}"#).unwrap();
    let mut stage = log_mel::LogMel::new(&params.resolve().unwrap()).unwrap();
    let rows = stage.compute(&Sound { sample_rate, channels: 1, samples }).unwrap();
    match &rows.column("log_mel").unwrap().values {
        Values::F32(values) => (rows.len, values.clone()),
        other => panic!("{:?}", other.element()),
    }
}

fn largest_error(ours: &[f32], theirs: &Value) -> f64 {
    let theirs = theirs.as_array().unwrap();
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - b.as_f64().unwrap()).abs()).fold(0.0, f64::max)
}

#[test]
fn the_published_network_hears_what_a_person_hears_and_what_pytorch_hears() {
    let Some(folder) = folder("the_published_network_hears_what_a_person_hears_and_what_pytorch_hears") else { return };
    let net = Network::new(&Config::audio(Architecture::Mn { tenths: 4 }, 128, 527), 0, &Device::Cpu).unwrap();
    let report = net.load(&folder.join("mn04_as_mAP_432.pt")).unwrap();
    assert_eq!(report.matched.len(), net.variables().len());
    assert!(report.fresh.is_empty() && report.unexpected.is_empty(), "{report}");

    let names: Vec<String> = std::fs::read_to_string(folder.join("class_labels_indices.csv"))
        .unwrap()
        .lines()
        .skip(1)
        .map(|line| line.splitn(3, ',').nth(2).unwrap().trim_matches('"').to_owned())
        .collect();
    assert_eq!(names.len(), 527);
    let heard = [("music.wav", "Music"), ("speech.wav", "Speech"), ("typing.wav", "Computer keyboard")];

    let file: Value = serde_json::from_str(include_str!("../../fixtures/efficientat.json")).unwrap();
    let cases = file["sounds"].as_array().unwrap();
    assert_eq!(cases.len(), heard.len());
    for (case, (sound, tag)) in cases.iter().zip(heard) {
        assert_eq!(case["sound"], sound);
        let (frames, values) = log_mel(&folder.join(sound));
        let some: Vec<f32> = case["frames"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|t| values[t.as_u64().unwrap() as usize * 128..][..128].to_vec())
            .collect();
        let error = largest_error(&some, &case["log_mel"]);
        assert!(error < 1e-5, "{sound}: log-mel off by {error}");

        let x = Tensor::from_vec(values, (1, frames, 128), &Device::Cpu).unwrap();
        let logits = net.forward(&x, None, Mode::Eval).unwrap().squeeze(0).unwrap().to_vec1::<f32>().unwrap();
        let error = largest_error(&logits, &case["logits"]);
        assert!(error < 1e-4, "{sound}: logits off by {error}");
        let embedding = net.embed(&x, Mode::Eval).unwrap().squeeze(0).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(embedding.len(), net.embedding_width());
        let error = largest_error(&embedding, &case["embedding"]);
        assert!(error < 1e-4, "{sound}: embedding off by {error}");

        let best = (0..527).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        assert_eq!(names[best], tag, "{sound}");
        assert!(logits[best] > 0.0, "{sound}: {tag} with less than even odds");
    }
}
