use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::{Architecture, Config, Mode, Network};

fn net(config: &Config) -> Network {
    Network::new(config, 1, &Device::Cpu).unwrap()
}

/// Counted in the reference example (facts 1.5): its AudioSet network, its two scene classifiers.
#[test]
fn the_reference_networks_have_their_exact_numbers_of_parameters() {
    let audioset = net(&Config::audio(Architecture::ResNet50, 128, 527));
    assert_eq!(audioset.parameter_count(), 28_778_191);
    assert_eq!(audioset.parameter_count() + audioset.buffer_count(), 28_831_567);
    let audio = Config::audio(Architecture::ResNet50, 128, 10);
    assert_eq!(net(&audio).parameter_count(), 27_718_858);
    assert_eq!(net(&audio.with_image(512)).parameter_count(), 27_723_978);
}

#[test]
fn a_step_gives_every_parameter_a_gradient_and_moves_the_statistics() {
    let net = net(&Config::audio(Architecture::ResNet18, 16, 3).with_image(4));
    let x = Tensor::randn(0f32, 10.0, (2, 40, 16), &Device::Cpu).unwrap();
    let image = Tensor::randn(0f32, 1.0, (2, 4), &Device::Cpu).unwrap();
    let before = net.state().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let loss = net.forward(&x, Some(&image), Mode::Train(&mut rng)).unwrap().sqr().unwrap().sum_all().unwrap();
    let grads = loss.backward().unwrap();
    for v in net.variables() {
        if v.trainable {
            assert_eq!(grads.get(&v.var).unwrap().dims(), v.var.dims(), "{}", v.name);
        } else {
            let moved = (v.var.as_tensor() - &before[&v.name]).unwrap().abs().unwrap().max_all().unwrap();
            assert!(moved.to_scalar::<f32>().unwrap() > 0.0, "{}", v.name);
        }
    }
}

#[test]
fn the_same_generator_draws_the_same_dropout_and_evaluation_draws_none() {
    let rows = |t: &Tensor| t.to_vec2::<f32>().unwrap();
    for architecture in [Architecture::ResNet18, Architecture::Mn { tenths: 4 }] {
        let net = net(&Config::audio(architecture, 32, 4));
        let x = Tensor::randn(0f32, 1.0, (3, 50, 32), &Device::Cpu).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let kept = rng.clone();
        let first = rows(&net.forward(&x, None, Mode::Train(&mut rng)).unwrap());
        let next = rows(&net.forward(&x, None, Mode::Train(&mut rng)).unwrap());
        let again = rows(&net.forward(&x, None, Mode::Train(&mut kept.clone())).unwrap());
        assert_eq!(first, again, "statistics of the batch do not depend on the running ones");
        assert_ne!(first, next);
        // A clip's evaluation depends on nothing beside it.
        let all = rows(&net.forward(&x, None, Mode::Eval).unwrap());
        let one = rows(&net.forward(&x.narrow(0, 1, 1).unwrap(), None, Mode::Eval).unwrap());
        assert_eq!(all[1], one[0]);
        assert_eq!(net.embed(&x, Mode::Eval).unwrap().dims(), [3, net.embedding_width()]);
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let net = net(&Config::audio(Architecture::ResNet18, 16, 3).with_image(4));
    let tensor = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let (x, image) = (tensor(&[2, 40, 16]), tensor(&[2, 4]));
    assert!(net.forward(&x, Some(&image), Mode::Eval).is_ok());
    for (x, image, said) in [
        (tensor(&[2, 40, 17]), Some(image.clone()), "[batch, frames, 16]"),
        (tensor(&[2, 1, 40, 16]), Some(image.clone()), "[batch, frames, 16]"),
        (x.clone(), None, "none were given"),
        (x.clone(), Some(tensor(&[2, 5])), "another CLIP model"),
        (x.clone(), Some(tensor(&[1, 4])), "[2, 4]"),
    ] {
        let error = net.forward(&x, image.as_ref(), Mode::Eval).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let config = Config::audio(Architecture::ResNet18, 16, 3);
    for bad in [Config { classes: 1, ..config }, Config { n_mels: 0, ..config }, config.with_image(0)] {
        assert!(Network::new(&bad, 0, &Device::Cpu).is_err());
    }
    for name in ["resnet101", "mn4", "mn00", "mnxx", ""] {
        assert!(name.parse::<Architecture>().is_err(), "{name}");
    }
    assert_eq!("mn10".parse::<Architecture>().unwrap().name(), "mn10");
}
