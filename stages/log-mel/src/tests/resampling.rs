//! Length, delay, ripple and aliases of the resampler.

use std::f64::consts::TAU;

use super::{compute, noise, sound};
use crate::Resampling;
use crate::resample::Resampler;

fn tone(rate: u32, hz: f64, n: usize) -> Vec<f32> {
    (0..n).map(|i| (TAU * hz * i as f64 / f64::from(rate) + 0.3).sin() as f32).collect()
}

fn resample(from: u32, to: u32, quality: Resampling, x: &[f32]) -> Vec<f32> {
    let mut out = Vec::new();
    Resampler::new(from, to, quality).run(x, &mut out);
    out
}

/// Far from both ends the output is the same tone at the same time: no ripple, no delay.
#[test]
fn a_tone_stays_where_it_is() {
    let rates =
        [(48_000, 32_000), (44_100, 32_000), (11_025, 32_000), (192_000, 32_000), (1234, 32_000), (44_101, 16_000)];
    let limits = [
        (Resampling::High, 0.96, 1e-6),
        (Resampling::High, 0.97, 1e-3),
        (Resampling::Medium, 0.88, 1e-6),
        (Resampling::Medium, 0.91, 1e-3),
    ];
    for (from, to) in rates {
        for (quality, band, limit) in limits {
            let hz = f64::from(u32::min(from, to)) / 2.0 * band;
            let out = resample(from, to, quality, &tone(from, hz, 2 * from as usize));
            let wanted = tone(to, hz, out.len());
            let inside = to as usize * 3 / 4..to as usize * 5 / 4;
            let error = inside.map(|i| f64::from(out[i] - wanted[i]).abs()).fold(0.0, f64::max);
            assert!(error < limit, "{from} -> {to} {quality:?} {band}: {error}");
        }
    }
}

#[test]
fn a_tone_beyond_the_band_is_gone() {
    for from in [48_000, 44_100, 192_000] {
        for hz in [16_010.0, 20_000.0] {
            let out = resample(from, 32_000, Resampling::High, &tone(from, hz, from as usize));
            let inside = &out[8_000..24_000];
            let level =
                10.0 * (2.0 * inside.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / inside.len() as f64).log10();
            assert!(level < -140.0, "{hz} Hz of {from}: {level} dB");
        }
    }
}

/// The clips of the DCASE set are 10 s give or take a sample.
#[test]
fn lengths_are_exact() {
    for (n, samples, frames) in [(479_999, 319_999, 500), (480_000, 320_000, 501), (480_001, 320_000, 501)] {
        assert_eq!(Resampler::output_len(48_000, 32_000, n), samples);
        assert_eq!(resample(48_000, 32_000, Resampling::High, &vec![0.1; n]).len(), samples);
        let rows = compute("{}", &sound(48_000, noise(n))).unwrap();
        assert_eq!(rows.len, frames);
    }
    for from in [53, 1234, 8_000, 22_050, 31_999, 44_101, 96_000, 767_999] {
        let mut resampler = Resampler::new(from, 32_000, Resampling::Medium);
        let mut out = Vec::new();
        for n in [0, 1, 2, 1000, 5001] {
            resampler.run(&vec![0.5; n], &mut out);
            assert_eq!(out.len() as u64, n as u64 * 32_000 / u64::from(from), "{n} samples at {from}");
        }
    }
}

/// The first run leaves nothing behind that the second could hear.
#[test]
fn a_clip_does_not_depend_on_the_one_before() {
    let mut resampler = Resampler::new(44_100, 32_000, Resampling::High);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let x = noise(10_000);
    resampler.run(&x, &mut first);
    resampler.run(&vec![1.0; 3_333], &mut second);
    resampler.run(&x, &mut second);
    assert_eq!(first, second);
}
