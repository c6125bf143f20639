//! Against PyTorch (in f64, so that only our rounding counts), with the same weights, inputs and targets: `fixtures/make_pytorch.py`, `fixtures/make_efficientat.py`.

use candle_core::{D, Device, Tensor, backprop::GradStore};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::filler::{digest, fill_network, uniform};
use crate::{Architecture, Config, Dropout, Mode, Network};

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn index(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn close(ours: &Tensor, theirs: &Value, tolerance: f64, what: &str) {
    let ours = ours.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let theirs = floats(theirs);
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let error = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    assert!(error < tolerance, "{what} is off by {error}");
}

/// Mean cross entropy of clips whose class is their place, modulo the classes.
fn loss(logits: &Tensor) -> Tensor {
    let (b, k) = logits.dims2().unwrap();
    let target: Vec<u32> = (0..b).map(|i| (i % k) as u32).collect();
    let target = Tensor::from_vec(target, (b, 1), &Device::Cpu).unwrap();
    let log_sum = logits.exp().unwrap().sum_keepdim(D::Minus1).unwrap().log().unwrap();
    (log_sum - logits.gather(&target, 1).unwrap()).unwrap().mean_all().unwrap()
}

/// Every gradient and every running statistic, by its norm and its product with another vector.
fn compare_step(net: &Network, gradients: &GradStore, case: &Value, tolerance: f64, what: &str) {
    for v in net.variables() {
        let (theirs, tensor) = if v.trainable {
            (floats(&case["gradients"][&v.name]), gradients.get(&v.var).unwrap())
        } else {
            (floats(&case["statistics"][&v.name]), v.var.as_tensor())
        };
        let ours = digest(&v.name, tensor);
        // Relative to the norm; a gradient that is zero but for rounding (before a batch norm) to one.
        let tolerance = tolerance * theirs[0].max(1e-2);
        for (a, b) in ours.iter().zip(&theirs) {
            assert!((a - b).abs() < tolerance, "{what}, {}: {ours:?}, PyTorch {theirs:?}", v.name);
        }
    }
}

#[test]
fn resnets_run_and_learn_as_in_pytorch() {
    let file: Value = serde_json::from_str(include_str!("../../fixtures/pytorch.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let (depth, image, classes) = (index(&case["depth"]), index(&case["image"]), index(&case["classes"]));
        let what = format!("resnet{depth} with {image} image numbers");
        let size: Vec<usize> = floats(&case["size"]).iter().map(|v| *v as usize).collect();
        let architecture: Architecture = format!("resnet{depth}").parse().unwrap();
        let config = Config { dropout: Dropout::NONE, ..Config::audio(architecture, size[2], classes) };
        let config = if image > 0 { config.with_image(image) } else { config };
        let net = Network::new(&config, 0, &Device::Cpu).unwrap();
        fill_network(&net);
        let x = uniform("log-mel", size.iter().product()).iter().map(|u| u * 30.0 - 40.0).collect();
        let x = Tensor::from_vec(x, size.clone(), &Device::Cpu).unwrap();
        let p = (image > 0)
            .then(|| Tensor::from_vec(uniform("image", size[0] * image), (size[0], image), &Device::Cpu).unwrap());
        let eval = net.forward(&x, p.as_ref(), Mode::Eval).unwrap();
        let scale = floats(&case["eval"]).iter().fold(1.0f64, |a, b| a.max(b.abs()));
        close(&eval, &case["eval"], 1e-5 * scale, &what);
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for (step, theirs) in floats(&case["losses"]).into_iter().enumerate() {
            let logits = net.forward(&x, p.as_ref(), Mode::Train(&mut rng)).unwrap();
            let loss = loss(&logits);
            let gradients = loss.backward().unwrap();
            if step == 0 {
                close(&logits, &case["train"], 1e-4, &what);
                // Fifty layers turn roundings into gradients: at most three times as far off as PyTorch's own f32.
                let tolerance = (3.0 * case["f32"].as_f64().unwrap()).max(1e-4);
                compare_step(&net, &gradients, case, tolerance, &what);
            }
            let ours = f64::from(loss.to_scalar::<f32>().unwrap());
            assert!((ours - theirs).abs() < 1e-3, "{what}, step {step}: loss {ours}, PyTorch {theirs}");
            for v in net.variables().iter().filter(|v| v.trainable) {
                let moved = (v.var.as_detached_tensor() - (gradients.get(&v.var).unwrap() * 0.01).unwrap()).unwrap();
                v.var.set(&moved).unwrap();
            }
        }
    }
}

#[test]
fn mn_learns_as_in_pytorch() {
    let file: Value = serde_json::from_str(include_str!("../../fixtures/efficientat.json")).unwrap();
    let case = &file["step"];
    let size: Vec<usize> = floats(&case["size"]).iter().map(|v| *v as usize).collect();
    let config = Config::audio("mn04".parse().unwrap(), size[2], index(&case["classes"]));
    let config = Config { dropout: Dropout::NONE, ..config };
    let net = Network::new(&config, 0, &Device::Cpu).unwrap();
    fill_network(&net);
    let x = Tensor::from_vec(uniform("log-mel", size.iter().product()), size, &Device::Cpu).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let logits = net.forward(&x, None, Mode::Train(&mut rng)).unwrap();
    close(&logits, &case["train"], 1e-4, "mn04 in training");
    let loss = loss(&logits);
    let gradients = loss.backward().unwrap();
    let ours = f64::from(loss.to_scalar::<f32>().unwrap());
    assert!((ours - case["loss"].as_f64().unwrap()).abs() < 1e-4);
    compare_step(&net, &gradients, case, 1e-3, "mn04");
}
