//! The kernels and what candle composes of its own operations (for other devices) give the same, gradients and statistics too.

use candle_core::{Device, Tensor, Var};

use super::filler::uniform;
use crate::layers::{Activation, BatchNorm, Conv, composed_conv_norm, composed_max_pool, conv_norm, max_pool};

fn tensor(name: &str, shape: &[usize]) -> Var {
    let values = uniform(name, shape.iter().product());
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
}

fn norm(channels: usize) -> BatchNorm {
    let positive = |name: &str| Var::from_tensor(&(tensor(name, &[channels]).as_tensor() + 1.5).unwrap()).unwrap();
    BatchNorm {
        weight: tensor("weight", &[channels]),
        bias: tensor("bias", &[channels]),
        mean: tensor("mean", &[channels]),
        variance: positive("variance"),
        eps: 1e-3,
        momentum: 0.1,
    }
}

fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

/// Output, gradients of `inputs` for a loss that weighs every output differently.
fn run(y: &Tensor, inputs: &[Var]) -> Vec<Tensor> {
    let loss = (y * tensor("loss", y.dims()).as_tensor()).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let of = inputs.iter().map(|v| gradients.get(v.as_tensor()).unwrap().clone());
    std::iter::once(y.detach()).chain(of).collect()
}

#[test]
fn convolution_norm_residual_activation() {
    for (channels, outputs, kernel, stride, groups, activation, added) in [
        (3, 7, 3, 1, 1, Activation::Relu, true),
        (3, 7, 3, 2, 1, Activation::Relu, false),
        (1, 6, 7, 2, 1, Activation::Relu, false),
        (5, 8, 1, 2, 1, Activation::None, false),
        (6, 6, 5, 2, 6, Activation::HardSwish, false),
        (6, 6, 3, 1, 6, Activation::None, true),
    ] {
        let what = format!("{channels} to {outputs}, kernel {kernel}, stride {stride}, {activation:?}");
        let x = tensor("x", &[2, channels, 8, 10]);
        let weight = tensor("conv", &[outputs, channels / groups, kernel, kernel]);
        let conv = Conv { weight, stride, padding: (kernel - 1) / 2, groups };
        let size = [2, outputs, 8 / stride, 10 / stride];
        let residual = tensor("residual", &size);
        let added = added.then_some(&residual);
        let (fast, slow) = (norm(outputs), norm(outputs));
        let inputs = |norm: &BatchNorm| -> Vec<Var> {
            let BatchNorm { weight, bias, .. } = norm;
            let all = [Some(&x), Some(&conv.weight), Some(weight), Some(bias), added];
            all.into_iter().flatten().cloned().collect()
        };
        let given = added.map(Var::as_tensor);
        let ours = conv_norm(Some(&conv), &fast, activation, &x, given, true).unwrap();
        let theirs = composed_conv_norm(Some(&conv), &slow, activation, &x, given, true).unwrap();
        for (i, (a, b)) in run(&ours, &inputs(&fast)).iter().zip(run(&theirs, &inputs(&slow))).enumerate() {
            let error = difference(a, &b);
            assert!(error < 1e-4, "{what}: {i} differs by {error}");
        }
        for (a, b) in [(&fast.mean, &slow.mean), (&fast.variance, &slow.variance)] {
            assert!(difference(a, b) < 1e-5, "{what}: running statistics");
        }
        let ours = conv_norm(Some(&conv), &fast, activation, &x, given, false).unwrap();
        let theirs = composed_conv_norm(Some(&conv), &slow, activation, &x, given, false).unwrap();
        assert!(difference(&ours, &theirs) < 1e-4, "{what}: evaluation");
        assert!(ours.sum_all().unwrap().backward().is_err(), "evaluation has no gradients, and says so");
    }
}

#[test]
fn pooling() {
    let x = tensor("x", &[2, 3, 7, 10]);
    let positive = x.as_tensor().abs().unwrap();
    let x = Var::from_tensor(&positive).unwrap();
    let ours = run(&max_pool(&x).unwrap(), std::slice::from_ref(&x));
    let theirs = run(&composed_max_pool(&x).unwrap(), std::slice::from_ref(&x));
    for (a, b) in ours.iter().zip(&theirs) {
        assert!(difference(a, b) < 1e-6);
    }
}
