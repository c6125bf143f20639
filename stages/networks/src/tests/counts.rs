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
