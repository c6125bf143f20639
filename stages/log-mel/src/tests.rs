#![expect(clippy::unwrap_used, reason = "tests")]

mod golden;
mod kernels;
mod properties;
mod resampling;

use contract::{Rows, Sound, Values};

use crate::instructions::Instructions;
use crate::{Error, LogMel, Params, Spec};

/// The integer hash that the signals of these tests (and of `fixtures/make_librosa.py`) are made of.
fn mix(n: usize) -> u32 {
    let mut h = (n as u32).wrapping_mul(2654435761);
    h ^= h >> 15;
    h = h.wrapping_mul(2246822519);
    h ^ (h >> 13)
}

fn noise(n: usize) -> Vec<f32> {
    (0..n).map(|i| (f64::from(mix(i)) / 4294967296.0 - 0.5) as f32).collect()
}

fn steps(n: usize) -> Vec<f32> {
    noise(n).iter().enumerate().map(|(i, v)| v * 0.5_f32.powi(((i / 256) % 15) as i32)).collect()
}

fn tone(n: usize) -> Vec<f32> {
    (0..n).map(|i| (0.9 * (std::f64::consts::TAU * 0.01 * i as f64).sin()) as f32).collect()
}

fn sound(sample_rate: u32, samples: Vec<f32>) -> Sound {
    Sound { sample_rate, channels: 1, samples }
}

/// The table `[log-mel]`, as JSON.
fn spec(table: &str) -> Spec {
    serde_json::from_str::<Params>(table).unwrap().resolve().unwrap()
}

/// Every set of instructions that this processor has.
fn instructions() -> Vec<Instructions> {
    vec![Instructions::best(), Instructions::Baseline, Instructions::Scalar]
}

fn compute(table: &str, sound: &Sound) -> Result<Rows, Error> {
    LogMel::new(&spec(table)).unwrap().compute(sound)
}

fn f32s(rows: &Rows) -> &[f32] {
    match &rows.column("log_mel").unwrap().values {
        Values::F32(v) => v,
        other => panic!("{:?}", other.element()),
    }
}
