//! Against librosa, the f64 twin and the numbers of the reference example.

use serde_json::Value;

use super::{compute, f32s, noise, sound, spec, steps, tone};
use crate::filterbank::{Filterbank, mel_edges};
use crate::{DECL, MelNorm, MelScale, Spec, twin};

fn signal(name: &str, n: usize) -> Vec<f32> {
    match name {
        "noise" => noise(n),
        "steps" => steps(n),
        "tone" => tone(n),
        _ => panic!("{name}"),
    }
}

fn max_error(ours: &[f32], theirs: impl IntoIterator<Item = f64>) -> f64 {
    let theirs: Vec<f64> = theirs.into_iter().collect();
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

/// librosa 0.11 rounds its spectrum and its filters to f32, worth 1.5e-5 dB; the fixture rounds to 1e-4 dB, worth 5e-5.
#[test]
fn equals_librosa() {
    let file: Value = serde_json::from_str(include_str!("../../fixtures/librosa.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 17);
    for case in cases {
        let n = case["samples"].as_u64().unwrap() as usize;
        let params = case["params"].to_string();
        let rate = spec(&params).sample_rate;
        let x = signal(case["signal"].as_str().unwrap(), n);
        let rows = compute(&params, &sound(rate, x)).unwrap();
        let theirs = case["log_mel"].as_array().unwrap();
        assert_eq!(rows.len, theirs.len(), "frames of {}", case["name"]);
        let theirs = theirs.iter().flat_map(|row| row.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()));
        let error = max_error(f32s(&rows), theirs);
        assert!(error < 6.5e-5, "{}: off by {error} dB", case["name"]);
    }
}

/// The only loss against the definition is the final rounding to f32: half a unit in the last place at 64-128 is 3.8e-6.
#[test]
fn equals_its_slow_twin() {
    let tables = [
        r"{}",
        r#"{"preset": "panns"}"#,
        r#"{"preset": "efficientat"}"#,
        r#"{"preemphasis": 0.5, "offset": 3.0, "divisor": 2.0, "mel_scale": "kaldi", "fmax": 12000.0, "n_mels": 40}"#,
        r#"{"n_fft": 400, "win_length": 301, "hop_length": 160, "n_mels": 30, "mel_scale": "htk", "mel_norm": "none"}"#,
        r#"{"n_fft": 441, "hop_length": 100, "n_mels": 20, "pad_mode": "constant", "power": 1.0, "window": "hamming"}"#,
        r#"{"center": false, "power": 1.5, "top_db": 30.0, "ref_db": 7.0, "n_mels": 40, "amin": 1e-6}"#,
    ];
    for table in tables {
        let spec = spec(table);
        for x in [noise(1500), steps(1500), tone(1500), vec![0.0; 1500]] {
            let rows = compute(table, &sound(32_000, x.clone())).unwrap();
            let slow = twin::log_mel(&x, &spec);
            assert_eq!(rows.len, slow.len());
            let error = max_error(f32s(&rows), slow.into_iter().flatten());
            assert!(error < 4e-6, "{table}: off by {error} dB");
        }
    }
}

/// PyTorch in f32, as EfficientAT computes it (`fixtures/make_efficientat.py`); f32 is worth 2e-4 in its quietest values.
#[test]
fn equals_the_front_end_of_efficientat() {
    let file: Value = serde_json::from_str(include_str!("../../fixtures/efficientat.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let n = case["samples"].as_u64().unwrap() as usize;
        let x = signal(case["signal"].as_str().unwrap(), n);
        let rows = compute(r#"{"preset": "efficientat"}"#, &sound(32_000, x)).unwrap();
        let theirs = case["log_mel"].as_array().unwrap();
        assert_eq!(rows.len, theirs.len());
        let theirs = theirs.iter().flat_map(|row| row.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()));
        let error = max_error(f32s(&rows), theirs);
        assert!(error < 2e-4, "{}: off by {error}", case["signal"]);
    }
}

fn bank(table: &str) -> (Spec, Vec<f64>, Filterbank) {
    let s = spec(table);
    let edges = mel_edges(s.n_mels, s.fmin, s.fmax, s.mel_scale);
    let bank = Filterbank::new(s.sample_rate, s.n_fft, &edges, s.mel_scale, s.mel_norm);
    (s, edges, bank)
}

fn close(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{a} is not {b}");
}

/// (non-zero weights, their sum, the largest)
fn totals(s: &Spec, bank: &Filterbank) -> (usize, f64, f64) {
    let all = (0..s.n_mels).flat_map(|m| bank.band(m).1.iter().copied());
    all.fold((0, 0.0, 0.0), |(n, sum, max), w| (n + 1, sum + w, f64::max(max, w)))
}

#[test]
fn filters_of_the_reference() {
    let (s, edges, bank) = bank("{}");
    for (edge, hz) in edges.iter().zip([50.0, 78.205437, 106.410874, 134.616311]) {
        close(*edge, hz, 1e-6);
    }
    close(edges[128], 15541.301815, 1e-6);
    close(edges[129], 16000.0, 1e-9);
    assert!(bank.empty_bands().is_empty());
    let (n, sum, max) = totals(&s, &bank);
    assert_eq!(n, 1005);
    close(sum, 4.0957512963, 1e-7);
    close(max, 0.0348475026, 1e-9);
    let bands: [(usize, usize, &[f64]); 3] = [
        (0, 2, &[0.0157124658, 0.0159146841]),
        (10, 11, &[0.0147013747, 0.0169257752]),
        (63, 76, &[0.00591391622, 0.0123359147, 0.00983345111, 0.00359556254]),
    ];
    for (m, first, weights) in bands {
        let (bin, ours) = bank.band(m);
        assert_eq!((bin, ours.len()), (first, weights.len()));
        ours.iter().zip(weights).for_each(|(a, b)| close(*a, *b, 1e-9));
    }
    let (bin, ours) = bank.band(127);
    assert_eq!((bin, ours.len()), (484, 28));
}

#[test]
fn filters_of_panns() {
    let (s, _, bank) = bank(r#"{"preset": "panns"}"#);
    let (n, sum, max) = totals(&s, &bank);
    assert_eq!(n, 866);
    close(sum, 2.0481261805, 1e-7);
    close(max, 0.0181495164, 1e-9);
    let (bin, ours) = bank.band(0);
    assert_eq!(bin, 2);
    let theirs = [0.00428908946, 0.0150118131, 0.0113128468, 0.000590123134];
    ours.iter().zip(theirs).for_each(|(a, b)| close(*a, b, 1e-9));
}

#[test]
fn a_band_without_bins_is_named() {
    let edges = mel_edges(128, 0.0, 8000.0, MelScale::Htk);
    let bank = Filterbank::new(16_000, 400, &edges, MelScale::Htk, MelNorm::None);
    assert!(bank.empty_bands().contains(&0));
}

/// The reference example's own numbers for one second of noise (its f32 arithmetic; printed with five digits).
#[test]
fn equals_the_reference_example() {
    let x = noise(32_000);
    for (ours, theirs) in x.iter().zip([-0.5, -0.13641976, 0.33194041, -0.44155899, -0.31292170]) {
        close(f64::from(*ours), theirs, 5e-9);
    }
    let table = r#"{"peak_normalize": false}"#;
    let rows = compute(table, &sound(32_000, x.clone())).unwrap();
    let v = f32s(&rows);
    assert_eq!((rows.len, v.len()), (51, 51 * 128));
    let mean = v.iter().map(|&v| f64::from(v)).sum::<f64>() / v.len() as f64;
    close(mean, -1.022417, 1e-5);
    close(f64::from(v.iter().copied().fold(f32::MAX, f32::min)), -27.99841, 1e-4);
    close(f64::from(v.iter().copied().fold(f32::MIN, f32::max)), 9.71332, 1e-5);
    let mels = [0, 1, 2, 10, 32, 63, 64, 100, 126, 127];
    let frames: [(usize, [f64; 10]); 4] = [
        (0, [0.99032, 2.13554, -3.2143, -3.35537, -3.325, 0.0705, -2.33587, -4.16465, -1.05253, 0.31548]),
        (1, [-0.72115, -10.37057, -7.25715, 1.00789, -6.07524, 1.89104, 1.89907, 0.96346, 0.62785, -1.71663]),
        (25, [-1.22589, 0.3427, -0.27443, -3.19744, -0.0479, 2.17177, -1.52021, -0.60544, -2.78995, -2.59588]),
        (50, [1.04171, 2.01654, 0.74247, -6.03171, -4.75975, -6.36771, 1.57983, -1.27324, -0.05595, -2.77858]),
    ];
    for (t, values) in frames {
        for (m, value) in mels.iter().zip(values) {
            close(f64::from(v[t * 128 + m]), value, 2e-5);
        }
    }
    let padded = compute(r#"{"peak_normalize": false, "pad_mode": "constant"}"#, &sound(32_000, x)).unwrap();
    let p = f32s(&padded);
    for (m, value) in [(0, -1.98189), (10, -0.2799), (64, 0.0332), (127, -2.31732)] {
        close(f64::from(p[m]), value, 2e-5);
    }
    assert_eq!(p[25 * 128..26 * 128], v[25 * 128..26 * 128]);
}

/// Bytes that change while `version` stands still fail here: bump the version and write the new line. The values are
/// rounded to 1e-3 dB, since the last bit may differ between instruction sets.
#[test]
fn version_tripwire() {
    let rows = compute("{}", &sound(48_000, steps(9_000))).unwrap();
    let mut digest = 0xcbf29ce484222325_u64;
    for v in f32s(&rows) {
        for byte in ((f64::from(*v) * 1e3).round() as i64).to_le_bytes() {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x100000001b3);
        }
    }
    assert_eq!((DECL.version, rows.len, format!("{digest:016x}").as_str()), (1, 10, "cac8942ae06d14fa"));
}
