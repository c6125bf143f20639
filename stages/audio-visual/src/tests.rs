#![expect(clippy::unwrap_used, reason = "tests")]

use training::{Description, Network as _, load_weights, save_weights};

use crate::*;

const FEATURES: Features<'_> = Features { preset: "reference", n_mels: 24, image_width: 6 };

fn spec(text: &str) -> Spec {
    serde_json::from_str::<Params>(text).unwrap().resolve().unwrap()
}

/// A model of `audio`, with random weights.
fn audio_model(architecture: networks::Architecture, n_mels: usize) -> Model {
    let config = Config::audio(architecture, n_mels, 3);
    let weights = save_weights(&Classifier::new(&config, 77).unwrap()).unwrap();
    let description = Description {
        stage: "audio".into(),
        config,
        classes: vec!["a".into(), "b".into(), "c".into()],
        inputs: spec("{}").training.inputs,
        front_end: serde_json::Value::Null,
        selected: None,
    };
    Model::new(description, &weights).unwrap()
}

fn values(network: &Classifier, name: &str) -> Vec<f32> {
    let variable = network.variables().into_iter().find(|v| v.name == name).unwrap();
    variable.var.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn pretrained_is_the_audio_stage_a_file_or_nothing() {
    let of = |text: &str| serde_json::from_str::<Params>(text).unwrap().pretrained;
    assert_eq!(of("{}"), Pretrained::Audio);
    assert_eq!(of(r#"{"pretrained": ""}"#), Pretrained::Nothing);
    assert_eq!(of(r#"{"pretrained": "./audio"}"#), Pretrained::File("./audio".into()));
    let written = serde_json::to_value(Params::default()).unwrap();
    assert_eq!(written["pretrained"], "audio");
    let nothing = serde_json::from_str::<Params>(r#"{"pretrained": "", "freeze_audio": true}"#).unwrap();
    assert!(nothing.resolve().unwrap_err().to_string().contains("freeze_audio"));
    let dropped = serde_json::from_str::<Params>(r#"{"image_dropout": 1.5}"#).unwrap();
    assert!(dropped.resolve().unwrap_err().to_string().contains("image_dropout = 1.5"));
    assert!(serde_json::from_str::<Params>(r#"{"frame": 0}"#).unwrap_err().to_string().contains("counted from 1"));
}

#[test]
fn the_half_that_hears_starts_as_the_audio_model() {
    let model = audio_model(networks::Architecture::ResNet18, 24);
    let audio = model.network().unwrap();
    let spec = spec(r#"{"network": "resnet18"}"#);
    let fused = spec.network(FEATURES, 3, Start::Audio(&model)).unwrap();
    let random = spec.network(FEATURES, 3, Start::Random).unwrap();
    for variable in audio.variables() {
        if variable.name != "fc.weight" {
            assert_eq!(values(&fused, &variable.name), values(&audio, &variable.name), "{}", variable.name);
        }
    }
    let (heard, all, start) = (values(&audio, "fc.weight"), values(&fused, "fc.weight"), values(&random, "fc.weight"));
    for class in 0..3 {
        let row = &all[class * 518..][..518];
        assert_eq!(row[..512], heard[class * 512..][..512]);
        assert_eq!(row[512..], start[class * 518 + 512..][..6], "the columns of the image stay");
    }
    assert!(fused.variables().iter().any(|v| v.trainable && v.name == "conv1.weight"));
}

#[test]
fn a_frozen_half_leaves_the_last_layer_to_train() {
    let model = audio_model(networks::Architecture::ResNet18, 24);
    let spec = spec(r#"{"network": "resnet18", "freeze_audio": true}"#);
    let network = spec.network(FEATURES, 3, Start::Audio(&model)).unwrap();
    let trained: Vec<String> = network.variables().into_iter().filter(|v| v.trainable).map(|v| v.name).collect();
    assert_eq!(trained, ["fc.weight", "fc.bias"]);
    // in training it hears as in evaluation, and its running statistics do not move
    let x = candle_core::Tensor::randn(-40f32, 10.0, (2, 50, 24), &candle_core::Device::Cpu).unwrap();
    let image = candle_core::Tensor::randn(0f32, 1.0, (2, 6), &candle_core::Device::Cpu).unwrap();
    let batch = training::Batch { log_mel: x, image: Some(image) };
    let before = save_weights(&network).unwrap();
    let run = |mode| network.forward(&batch, mode).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(run(training::Mode::Train { seed: 1 }), run(training::Mode::Evaluate));
    assert_eq!(save_weights(&network).unwrap(), before);
    load_weights(&network, &before).unwrap();
}

#[test]
fn another_network_than_audios_is_refused() {
    let model = audio_model(networks::Architecture::ResNet18, 24);
    let error = |text: &str, features| match spec(text).network(features, 3, Start::Audio(&model)) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("not refused"),
    };
    let text = error(r#"{"network": "resnet34"}"#, FEATURES);
    assert!(text.contains("\"resnet34\"") && text.contains("resnet18"), "{text}");
    let text = error(r#"{"network": "resnet18"}"#, Features { n_mels: 64, ..FEATURES });
    assert!(text.contains("64 bands") && text.contains("24 bands"), "{text}");
}

#[test]
fn the_image_vector_is_a_picture_or_the_mean() {
    let rows = [3.0, 4.0, 0.0, 2.0];
    assert_eq!(image_vector(&rows, 2, Frame::Number(2), false).unwrap(), [0.0, 2.0]);
    assert_eq!(image_vector(&rows, 2, Frame::Mean, false).unwrap(), [1.5, 3.0]);
    assert_eq!(image_vector(&rows, 2, Frame::Number(1), true).unwrap(), [0.6, 0.8]);
    assert_eq!(image_vector(&rows, 2, Frame::Mean, true).unwrap(), [0.3, 0.9]);
    let text = image_vector(&rows, 2, Frame::Number(5), false).unwrap_err().to_string();
    assert!(text.contains("has 2 pictures, frame 5"), "{text}");
    assert!(image_vector(&[], 2, Frame::Mean, false).is_err());
    assert!(image_vector(&[0.0, 0.0], 2, Frame::Mean, true).unwrap_err().to_string().contains("picture 1"));
}
