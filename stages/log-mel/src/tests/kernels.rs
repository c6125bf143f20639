//! The kernels by themselves, against what they stand for.

use super::{instructions, noise, sound, spec, steps};
use crate::LogMel;
use crate::level::log2;

/// Over all magnitudes that can come, and finely around 1, where the exponent changes and the logarithm vanishes.
#[test]
fn the_logarithm_is_one() {
    let wide = (-1000..1000).map(|e| 1.1 * 2.0_f64.powf(f64::from(e) * 1.01));
    let fine = (0..200_000).map(|i| 0.5 + f64::from(i) * 1e-5);
    for x in wide.chain(fine) {
        let error = (log2(x) - x.log2()).abs();
        assert!(error < 3e-11 + 2e-16 * x.log2().abs(), "log2 {x:e}: off by {error:e}");
    }
    assert_eq!([1.0, 2.0, 0.25, 1024.0].map(log2).map(f64::to_bits), [0.0, 1.0, -2.0, 10.0_f64].map(f64::to_bits));
}

/// The sets of instructions differ by rounding alone, in transforms (and with it by the error that the crate states); each gives the same
/// bytes twice.
#[test]
fn instructions_do_not_matter() {
    for table in ["{}", r#"{"preset": "panns"}"#, r#"{"preset": "efficientat"}"#, r#"{"n_fft": 441, "power": 1.0}"#] {
        for (rate, x) in [(32_000, noise(9_000)), (48_000, steps(9_000)), (44_100, noise(9_000))] {
            let clip = sound(rate, x);
            let all: Vec<Vec<f32>> = instructions()
                .into_iter()
                .map(|set| {
                    let mut stage = LogMel::with(&spec(table), set).unwrap();
                    let rows = stage.compute(&clip).unwrap();
                    assert_eq!(stage.compute(&clip).unwrap(), rows, "{set:?}");
                    super::f32s(&rows).to_vec()
                })
                .collect();
            for other in &all[1..] {
                let error = all[0].iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(error < 2e-3, "{table} {rate}: {error}");
            }
        }
    }
}
