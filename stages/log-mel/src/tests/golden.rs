//! Against librosa, the f64 twin and the numbers of the reference example.

use contract::Rows;
use serde_json::Value;

use super::{compute, f32s, instructions, noise, sound, spec, steps, tone};
use crate::filterbank::{Filterbank, mel_edges};
use crate::instructions::Instructions;
use crate::{DECL, LogMel, MelNorm, MelScale, Spec, twin};

fn signal(name: &str, n: usize) -> Vec<f32> {
    match name {
        "noise" => noise(n),
        "steps" => steps(n),
        "tone" => tone(n),
        _ => panic!("{name}"),
    }
}

/// The error that the crate states, in dB, of a value that lies `below` dB under the loudest of its frame.
fn stated(below: f64) -> f64 {
    1e-5 + 2e-6 * 10_f64.powf(below / 20.0)
}

/// The largest error, in dB; and the largest part of what is stated, `also` granted on top to the other side. `unit` is what one dB is.
fn errors(ours: &Rows, theirs: &[Vec<f64>], unit: f64, also: f64) -> (f64, f64) {
    assert_eq!(ours.len, theirs.len(), "frames");
    let (mut largest, mut part) = (0.0, 0.0);
    for (ours, theirs) in f32s(ours).chunks(theirs[0].len()).zip(theirs) {
        let loudest = theirs.iter().copied().fold(f64::MIN, f64::max);
        for (a, b) in ours.iter().zip(theirs) {
            let error = (f64::from(*a) - b).abs() / unit;
            largest = f64::max(largest, error);
            part = f64::max(part, error / (also + stated((loudest - b) / unit)));
        }
    }
    (largest, part)
}

fn rows_of(case: &Value) -> Vec<Vec<f64>> {
    let row = |row: &Value| row.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    case["log_mel"].as_array().unwrap().iter().map(row).collect()
}

/// librosa 0.11 computes its transform in f64 and rounds the spectrum and the filters to f32, worth 1.5e-5 dB; the fixture rounds to
/// 1e-4 dB, worth 5e-5.
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
        let (error, part) = errors(&rows, &rows_of(case), 1.0, 6.5e-5);
        eprintln!("{}: {error:.2e} dB, {part:.2} of what is stated", case["name"]);
        assert!(part < 1.0, "{}: off by {error} dB", case["name"]);
    }
}

/// The definition in f64, with every set of instructions: the error is the one that the crate's documentation states.
#[test]
fn equals_its_slow_twin() {
    let tables = [
        (r"{}", 1.0),
        (r#"{"preset": "panns"}"#, 1.0),
        (r#"{"preset": "efficientat"}"#, std::f64::consts::LN_10 / 10.0 / 5.0),
        (
            r#"{"preemphasis": 0.5, "offset": 3.0, "divisor": 2.0, "mel_scale": "kaldi", "fmax": 12000.0, "n_mels": 40}"#,
            0.5,
        ),
        (
            r#"{"n_fft": 400, "win_length": 301, "hop_length": 160, "n_mels": 30, "mel_scale": "htk", "mel_norm": "none"}"#,
            1.0,
        ),
        (
            r#"{"n_fft": 441, "hop_length": 100, "n_mels": 20, "pad_mode": "constant", "power": 1.0, "window": "hamming"}"#,
            1.0,
        ),
        (r#"{"center": false, "power": 1.5, "top_db": 30.0, "ref_db": 7.0, "n_mels": 40, "amin": 1e-6}"#, 1.0),
    ];
    for (table, unit) in tables {
        let spec = spec(table);
        for (name, x) in
            [("noise", noise(1500)), ("steps", steps(1500)), ("tone", tone(1500)), ("silence", vec![0.0; 1500])]
        {
            let slow = twin::log_mel(&x, &spec);
            for set in instructions() {
                let rows = LogMel::with(&spec, set).unwrap().compute(&sound(32_000, x.clone())).unwrap();
                let (error, part) = errors(&rows, &slow, unit, 0.0);
                eprintln!("{name} {table} {set:?}: {error:.2e} dB, {part:.2} of what is stated");
                assert!(part < 1.0, "{table}: off by {error} dB");
            }
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
        let theirs = rows_of(case).concat();
        assert_eq!(f32s(&rows).len(), theirs.len());
        let error = f32s(&rows).iter().zip(theirs).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        eprintln!("{}: {error:.2e}", case["signal"]);
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
    let all = (0..s.n_mels).flat_map(|m| bank.band(m).1.iter().map(|w| f64::from(*w)));
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
        ours.iter().zip(weights).for_each(|(a, b)| close(f64::from(*a), *b, 1e-9));
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
    ours.iter().zip(theirs).for_each(|(a, b)| close(f64::from(*a), b, 1e-9));
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

/// Bytes that change while `version` stands still fail here: bump the version and write the new line. Without vectors, so that the
/// values are those of every processor; rounded to 1e-3 dB, since the sines of two systems may differ in the last bit.
#[test]
fn version_tripwire() {
    let rows = LogMel::with(&spec("{}"), Instructions::Scalar).unwrap().compute(&sound(48_000, steps(9_000))).unwrap();
    let mut digest = 0xcbf29ce484222325_u64;
    for v in f32s(&rows) {
        for byte in ((f64::from(*v) * 1e3).round() as i64).to_le_bytes() {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x100000001b3);
        }
    }
    assert_eq!((DECL.version, rows.len, format!("{digest:016x}").as_str()), (3, 10, "fa8d00dc06615197"));
}
