#![expect(clippy::unwrap_used, reason = "tests")]

use networks::{Architecture, Dropout};
use training::{Form, Network as _, SelectBy};

use crate::*;

fn parse(text: &str) -> Result<Params, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_the_reference_where_it_makes_sense() {
    let spec = Params::default().resolve().unwrap();
    assert_eq!(spec.network, Architecture::ResNet50);
    assert_eq!(spec.dropout, Dropout { layers: 0.2, feature: 0.2, head: 0.5 });
    let training = &spec.training;
    assert_eq!((training.inputs.form, training.inputs.frames, training.inputs.crop), (Form::Corrected, 501, 480));
    assert_eq!(
        (training.schedule.peak, training.schedule.warm_steps, training.schedule.decay_steps),
        (3e-4, 2000, 2000)
    );
    assert_eq!((training.mixup_alpha, training.select_by), (0.5, SelectBy::LogLoss));
    assert!(spec.warning().is_none());
}

#[test]
fn mistakes_are_named() {
    for (text, expected) in [
        (r#"{"network": "resnet51"}"#, "resnet51"),
        (r#"{"epoch_num": 3}"#, "epoch_num"),
        (r#"{"select_on": "train"}"#, "train"),
    ] {
        assert!(parse(text).unwrap_err().contains(expected), "{text}");
    }
    for (text, expected) in [
        (r#"{"dropout": 1.0}"#, "dropout = 1"),
        (r#"{"checkpoint_every": -1.0}"#, "checkpoint_every = -1"),
        (r#"{"mode": "frozen"}"#, "pretrained"),
        (r#"{"epochs": 0}"#, "epochs = 0"),
        (r#"{"form": "reference", "max_time_mask": 5, "max_time_mask_width": 60}"#, "max_time_mask"),
    ] {
        let error = parse(text).unwrap().resolve().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_changes_no_value_is_not_in_the_spec() {
    let rare = parse(r#"{"checkpoint_every": 9.0}"#).unwrap();
    assert_eq!(rare.resolve().unwrap(), Params::default().resolve().unwrap());
    assert_eq!(rare.checkpoint_interval().unwrap().as_secs(), 9);
}

#[test]
fn selection_on_test_is_said_loudly() {
    let spec = parse(r#"{"select_on": "test"}"#).unwrap().resolve().unwrap();
    assert!(spec.warning().unwrap().contains("too good to be believed"));
}

#[test]
fn published_efficientat_weights_want_their_own_log_mel() {
    let spec = parse(r#"{"network": "mn04", "mode": "frozen", "pretrained": "mn04.pt"}"#).unwrap().resolve().unwrap();
    let reference = LogMel { preset: "reference", n_mels: 128 };
    let text = spec.check_log_mel(reference, true).unwrap_err().to_string();
    assert!(text.contains("mn04") && text.contains("preset = \"efficientat\""), "{text}");
    spec.check_log_mel(LogMel { preset: "efficientat", n_mels: 128 }, true).unwrap();
    spec.check_log_mel(reference, false).unwrap();
}

#[test]
fn the_network_is_what_the_table_says_and_its_model_file_gives_it_back() {
    let spec = parse(r#"{"network": "resnet18", "seed": 4}"#).unwrap().resolve().unwrap();
    let log_mel = LogMel { preset: "reference", n_mels: 32 };
    let network = spec.network(log_mel, 3, None).unwrap();
    assert_eq!((network.name(), network.n_mels(), network.classes(), network.image_width()), ("resnet18", 32, 3, None));
    let weights = training::save_weights(&network).unwrap();
    assert_eq!(training::save_weights(&spec.network(log_mel, 3, None).unwrap()).unwrap(), weights, "same seed");
    let description = training::Description {
        stage: DECL.id.into(),
        config: *network.network().config(),
        classes: vec!["a".into(), "b".into(), "c".into()],
        inputs: spec.training.inputs,
        front_end: serde_json::json!({"preset": "reference"}),
        selected: None,
    };
    let model = training::Model::new(description, &weights).unwrap();
    let read = training::Model::from_bytes(model.bytes.clone()).unwrap();
    assert_eq!(read, model);
    assert_eq!(training::save_weights(&read.network().unwrap()).unwrap(), weights);
    let text = training::Model::from_bytes(weights).unwrap_err().to_string();
    assert!(text.contains("without a description"), "{text}");
}

#[test]
fn a_file_of_weights_is_loaded_and_says_what_it_had() {
    let spec = parse(r#"{"network": "mn04", "seed": 4}"#).unwrap().resolve().unwrap();
    let log_mel = LogMel { preset: "efficientat", n_mels: 32 };
    let other = spec.network(log_mel, 5, None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    std::fs::write(&path, training::save_weights(&other).unwrap()).unwrap();

    let network = spec.network(log_mel, 3, Some(&path)).unwrap();
    let loaded = network.loaded().unwrap();
    assert_eq!(loaded.fresh, ["classifier.5.bias", "classifier.5.weight"]);
    assert_eq!(loaded.matched.len() + 2, network.variables().len());
    let text = loaded.to_string();
    assert!(text.contains("starts anew, at random"), "{text}");

    let resnet = Spec { network: Architecture::ResNet18, ..spec };
    let text = resnet.network(log_mel, 3, Some(&path)).unwrap_err().to_string();
    assert!(text.contains("weights.safetensors") && text.contains("bn0.weight"), "{text}");
}
