//! Ten steps beside PyTorch's: `fixtures/make_torch.py` has the same formulas for weights and batches.

use candle_core::{Device, Tensor};
use networks::{Config, Dropout};
use serde_json::Value;

use crate::*;

/// Losses may part by this much.
const LOSS: f64 = 1e-3;

fn fnv(text: &str) -> u32 {
    text.bytes().fold(2166136261, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16777619))
}

/// `count` numbers in [0, 1): a hash of the name, plus the position, mixed.
fn uniform(name: &str, count: usize) -> Vec<f32> {
    let first = fnv(name);
    (0..count as u32)
        .map(|i| {
            let mut h = first.wrapping_add(i).wrapping_mul(2654435761);
            h ^= h >> 15;
            h = h.wrapping_mul(2246822519);
            h ^= h >> 13;
            (f64::from(h) / 4294967296.0) as f32
        })
        .collect()
}

fn set_weights(network: &Classifier) {
    for variable in network.variables().into_iter().filter(|variable| variable.trainable) {
        let shape = variable.var.dims().to_vec();
        let numbers = uniform(&variable.name, variable.var.elem_count()).into_iter().map(|u| 2.0 * u - 1.0);
        let values: Vec<f32> = if shape.len() > 1 {
            let bound = (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt() as f32;
            numbers.map(|u| u * bound).collect()
        } else if variable.name.ends_with("weight") {
            let scale = if variable.name.ends_with("bn3.weight") { 0.1 } else { 1.0 };
            numbers.map(|u| (1.0 + 0.1 * u) * scale).collect()
        } else {
            numbers.map(|u| 0.1 * u).collect()
        };
        variable.var.set(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap();
    }
}

struct Shape {
    batch: usize,
    frames: usize,
    n_mels: usize,
    classes: usize,
}

fn batch(step: usize, shape: &Shape, image: usize) -> (Batch, Tensor) {
    let &Shape { batch, frames, n_mels, classes } = shape;
    let tensor = |values: Vec<f32>, dims: &[usize]| Tensor::from_vec(values, dims, &Device::Cpu).unwrap();
    let heard = uniform(&format!("log_mel {step}"), batch * frames * n_mels).into_iter().map(|u| -80.0 * u).collect();
    let seen = uniform(&format!("image {step}"), batch * image).into_iter().map(|u| 2.0 * u - 1.0).collect();
    let mut targets = vec![0.0; batch * classes];
    for i in 0..batch {
        targets[i * classes + (step + 3 * i) % classes] += 0.3;
        targets[i * classes + (step + 3 * ((i + 1) % batch)) % classes] += 0.7;
    }
    let image = (image > 0).then(|| tensor(seen, &[batch, image]));
    (Batch { log_mel: tensor(heard, &[batch, frames, n_mels]), image }, tensor(targets, &[batch, classes]))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn compare(network: &str, kind: &str) {
    let fixture: Value = serde_json::from_str(include_str!("../../fixtures/torch_steps.json")).unwrap();
    let of_shape = |name: &str| fixture["shape"][name].as_u64().unwrap() as usize;
    let shape = Shape {
        batch: of_shape("batch"),
        frames: of_shape("frames"),
        n_mels: of_shape("n_mels"),
        classes: of_shape("classes"),
    };
    let image = if kind == "audio" { 0 } else { of_shape("image") };
    let schedule: Schedule = serde_json::from_value(fixture["schedule"].clone()).unwrap();
    let expected = &fixture["networks"][network][kind];

    let audio = Config::audio(network.parse().unwrap(), shape.n_mels, shape.classes);
    let audio = Config { dropout: Dropout::NONE, ..audio };
    let config = if image > 0 { audio.with_image(image) } else { audio };
    let network = Classifier::new(&config, 0).unwrap();
    set_weights(&network);
    let mut adam = Adam::new(network.variables().into_iter().filter(|v| v.trainable).map(|v| v.var).collect());
    let losses = numbers(&expected["losses"]);
    let mut found = Vec::new();
    for step in 0..losses.len() {
        let (batch, targets) = batch(step, &shape, image);
        let loss = cross_entropy(&network.forward(&batch, Mode::Train { seed: 0 }).unwrap(), &targets).unwrap();
        adam.step(&loss.backward().unwrap(), schedule.rate(step as u64)).unwrap();
        found.push(f64::from(loss.to_scalar::<f32>().unwrap()));
    }
    let worst = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let difference = worst(&found, &losses);
    assert!(difference < LOSS, "losses part by {difference}:\n{found:?}\n{losses:?}");

    // and the running statistics: what the trained network says of another batch in evaluation mode
    let (next, _) = batch(losses.len(), &shape, image);
    let logits = network.forward(&next, Mode::Evaluate).unwrap().to_vec2::<f32>().unwrap();
    for (row, expected) in logits.iter().zip(expected["logits_after"].as_array().unwrap()) {
        let row: Vec<f64> = row.iter().map(|logit| f64::from(*logit)).collect();
        let difference = worst(&row, &numbers(expected));
        assert!(difference < 10.0 * LOSS, "logits part by {difference}");
    }
    eprintln!("largest difference of a loss: {difference:.1e}");
}

#[test]
fn ten_steps_of_resnet18_that_hears() {
    compare("resnet18", "audio");
}

#[test]
fn ten_steps_of_resnet18_that_hears_and_sees() {
    compare("resnet18", "audio-visual");
}

#[test]
fn ten_steps_of_resnet50_that_hears() {
    compare("resnet50", "audio");
}

#[test]
fn ten_steps_of_resnet50_that_hears_and_sees() {
    compare("resnet50", "audio-visual");
}
