//! The numbers of `fixtures/filler.py`.

use candle_core::{Device, Tensor};

use crate::Network;

/// `count` numbers of [-1, 1): SplitMix64 of FNV-1a(name) + place.
pub(crate) fn uniform(name: &str, count: usize) -> Vec<f32> {
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
    (1..=count as u64)
        .map(|i| {
            let mut z = hash.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            ((z >> 40) as f64 / f64::from(1 << 23) - 1.0) as f32
        })
        .collect()
}

fn fill(name: &str, shape: &[usize]) -> Vec<f32> {
    let numbers = uniform(name, shape.iter().product());
    let norm = name.contains("bn") || name.contains("downsample.1");
    let each = |f: &dyn Fn(f32) -> f32| numbers.iter().map(|u| f(*u)).collect();
    match *shape {
        [_, inputs, rows, columns] => {
            let scale = (6.0 / (inputs * rows * columns) as f64).sqrt() as f32;
            each(&|u| u * scale)
        }
        [_, inputs] => {
            let scale = (1.0 / (inputs as f64).sqrt()) as f32;
            each(&|u| u * scale)
        }
        // Norms of ResNet put most values above zero: near zero a ReLU turns rounding into a gradient that is there or not.
        _ if norm && name.ends_with("weight") => each(&|u| 0.4 + 0.08 * u),
        _ if norm && name.ends_with("bias") => each(&|u| 1.0 + 0.1 * u),
        _ if name.ends_with("running_var") => each(&|u| 1.0 + 0.5 * u),
        _ if name.ends_with("running_mean") || name.ends_with("bias") => each(&|u| 0.1 * u),
        _ => each(&|u| 1.0 + 0.2 * u),
    }
}

/// Sets every tensor of the network.
pub(crate) fn fill_network(net: &Network) {
    for v in net.variables() {
        let values = Tensor::from_vec(fill(&v.name, v.var.dims()), v.var.shape(), &Device::Cpu).unwrap();
        v.var.set(&values).unwrap();
    }
}

/// The norm of a tensor and its product with another vector, as the fixtures keep them.
pub(crate) fn digest(name: &str, tensor: &Tensor) -> [f64; 2] {
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let other = uniform(&format!("digest {name}"), values.len());
    let norm = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let product = values.iter().zip(other).map(|(v, o)| f64::from(*v) * f64::from(o)).sum();
    [norm, product]
}
