//! What is refused, and what holds for every sound.

use contract::{Cause, Classify, Element, Sound, Values};
use proptest::prelude::*;

use super::{compute, f32s, noise, sound, spec, steps};
use crate::{DECL, Error, LogMel, Params};

#[test]
fn the_table_is_checked() {
    for (table, field) in [
        (r#"{"fmax": 20000.0}"#, "fmax"),
        (r#"{"sample_rate": 16000}"#, "fmax"),
        (r#"{"fmin": 16000.0}"#, "fmin"),
        (r#"{"fmin": -1.0}"#, "fmin"),
        (r#"{"n_fft": 0}"#, "n_fft"),
        (r#"{"win_length": 1025}"#, "win_length"),
        (r#"{"hop_length": 0}"#, "hop_length"),
        (r#"{"n_mels": 0}"#, "n_mels"),
        (r#"{"sample_rate": 0}"#, "sample_rate"),
        (r#"{"amin": 0.0}"#, "amin"),
        (r#"{"power": 0.0}"#, "power"),
        (r#"{"top_db": -1.0}"#, "top_db"),
    ] {
        let error = serde_json::from_str::<Params>(table).unwrap().resolve().unwrap_err();
        assert_eq!(error.field, field, "{table}: {error}");
    }
    assert!(Params { amin: Some(f64::NAN), ..Params::default() }.resolve().is_err());
    assert!(serde_json::from_str::<Params>(r#"{"hop": 1}"#).is_err());
    let error = Params { fmax: Some(2e4), ..Params::default() }.resolve().unwrap_err();
    let text = "fmax = 20000: must lie between 0 and 16000; Hz (half of sample_rate is the upper end)";
    assert_eq!(error.to_string(), text);
}

#[test]
fn logarithms_without_decibels_have_no_levels_in_decibels() {
    for (table, field) in [
        (r#"{"log": "ln", "ref_db": 3.0}"#, "ref_db"),
        (r#"{"preset": "efficientat", "top_db": 80.0}"#, "top_db"),
        (r#"{"preemphasis": 1.5}"#, "preemphasis"),
        (r#"{"divisor": 0.0}"#, "divisor"),
        (r#"{"preset": "efficientat", "n_fft": 512}"#, "win_length"),
    ] {
        assert_eq!(serde_json::from_str::<Params>(table).unwrap().resolve().unwrap_err().field, field, "{table}");
    }
    let spec = spec(r#"{"preset": "efficientat"}"#);
    assert_eq!(spec.columns()[0].unit, "1");
    let json = serde_json::to_value(&spec).unwrap();
    assert_eq!((&json["preemphasis"], &json["log"]), (&0.97.into(), &"ln".into()));
    // 10 s are 1000 frames: pre-emphasis takes a sample. One sample more than half a transform is needed, and that one.
    assert_eq!(compute(r#"{"preset": "efficientat"}"#, &sound(32_000, noise(320_000))).unwrap().len, 1000);
    let error = compute(r#"{"preset": "efficientat"}"#, &sound(32_000, noise(513))).unwrap_err();
    assert_eq!(error, Error::TooShort { samples: 513, rate: 32_000, needed: 514 });
    let silence = compute(r#"{"preset": "efficientat"}"#, &sound(32_000, vec![0.0; 4_000])).unwrap();
    assert!(f32s(&silence).iter().all(|v| (f64::from(*v) - (1e-5_f64.ln() + 4.5) / 5.0).abs() < 1e-6));
}

/// The key holds every value, also those that the table does not name.
#[test]
fn spec_is_explicit() {
    // What was done before there was a choice of `partial` has the key of then.
    let json = serde_json::to_value(spec(r#"{"preset": "panns", "n_fft": 512, "partial": "keep"}"#)).unwrap();
    let mut wanted = serde_json::json!({
        "sample_rate": 32000, "resampler": "high", "mono": "mean", "peak_normalize": false, "n_fft": 512, "win_length": 512,
        "hop_length": 320, "window": "hann", "center": true, "pad_mode": "reflect", "power": 2.0, "n_mels": 64, "fmin": 50.0,
        "fmax": 14000.0, "mel_scale": "slaney", "mel_norm": "slaney", "ref_db": 0.0, "amin": 1e-10, "top_db": null,
        "dtype": "f32"
    });
    assert_eq!(json, wanted);
    wanted["partial"] = "reject".into();
    assert_eq!(serde_json::to_value(spec(r#"{"preset": "panns", "n_fft": 512}"#)).unwrap(), wanted);
    assert_eq!(serde_json::to_string(&Params::default()).unwrap(), r#"{"preset":"reference","partial":"reject"}"#);
}

#[test]
fn declaration_and_columns_agree_with_the_rows() {
    assert_eq!(DECL.id, "log-mel");
    for (table, element) in [("{}", Element::F32), (r#"{"dtype": "f16"}"#, Element::F16)] {
        let mut stage = LogMel::new(&spec(table)).unwrap();
        let rows = stage.compute(&sound(32_000, noise(5_000))).unwrap();
        let (column, declared) = (&rows.columns[0], &stage.columns()[0]);
        assert_eq!((column.name.as_str(), column.width), (declared.name.as_str(), declared.width));
        assert_eq!((column.values.element(), declared.element), (element, element));
        assert_eq!(column.values.len(), rows.len * 128);
        assert_eq!(declared.unit, "dB");
    }
}

#[test]
fn half_precision_is_the_rounded_value() {
    let x = sound(32_000, steps(4_000));
    let full = compute("{}", &x).unwrap();
    let half = compute(r#"{"dtype": "f16"}"#, &x).unwrap();
    let Values::F16(half) = &half.columns[0].values else { panic!() };
    for (a, b) in f32s(&full).iter().zip(half) {
        assert!((a - b.to_f32()).abs() <= 0.03125, "{a} {b}");
    }
}

#[test]
fn too_short() {
    for (table, needed) in [("{}", 513), (r#"{"pad_mode": "constant"}"#, 1), (r#"{"center": false}"#, 1024)] {
        let error = compute(table, &sound(32_000, noise(needed - 1))).unwrap_err();
        assert_eq!(error, Error::TooShort { samples: needed - 1, rate: 32_000, needed });
        assert_eq!(error.class(), Cause::TooShort);
        assert_eq!(compute(table, &sound(32_000, noise(needed))).unwrap().len, 1);
    }
    assert_eq!(compute("{}", &sound(48_000, noise(770))).unwrap().len, 1, "513 samples at 32 kHz");
    assert!(matches!(compute("{}", &sound(48_000, noise(769))), Err(Error::TooShort { samples: 512, .. })));
}

#[test]
fn damaged() {
    for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        for table in ["{}", r#"{"mono": "first"}"#] {
            let mut stereo = Sound { sample_rate: 48_000, channels: 2, samples: noise(4_000) };
            stereo.samples[1001] = value;
            let error = compute(table, &stereo).unwrap_err();
            assert_eq!(error, Error::NotFinite { frame: 500, channel: 1, value: shown.into() });
            assert_eq!(error.class(), Cause::Corrupt);
        }
    }
    for (rate, channels, samples) in [(0, 1, 4), (48_000, 0, 4), (48_000, 3, 4)] {
        let bad = Sound { sample_rate: rate, channels, samples: vec![0.0; samples] };
        assert_eq!(compute("{}", &bad).unwrap_err().class(), Cause::Corrupt);
    }
    assert_eq!(compute("{}", &sound(u32::MAX, noise(4_000))).unwrap_err().class(), Cause::Unsupported);
    let error = compute("{}", &sound(1, vec![0.0; 40_000])).unwrap_err();
    assert_eq!((error.class(), &error), (Cause::TooLarge, &Error::TooLarge { values: 1_280_000_000 }));
}

#[test]
fn silence_is_the_floor() {
    for table in ["{}", r#"{"preset": "panns"}"#] {
        let rows = compute(table, &sound(44_100, vec![0.0; 44_100])).unwrap();
        assert!(f32s(&rows).iter().all(|v| v.to_bits() == (-100.0_f32).to_bits()));
    }
}

/// The largest finite sample is no reason for an infinite value.
#[test]
fn extreme_but_finite() {
    let loud = sound(44_100, vec![f32::MAX; 8_000]);
    for table in ["{}", r#"{"preset": "panns"}"#] {
        assert!(f32s(&compute(table, &loud).unwrap()).iter().all(|v| v.is_finite()));
    }
}

#[test]
fn mono_is_the_mean_or_the_first() {
    let (left, right) = (noise(4_000), steps(4_000));
    let stereo: Vec<f32> = left.iter().zip(&right).flat_map(|(l, r)| [*l, *r]).collect();
    let stereo = Sound { sample_rate: 32_000, channels: 2, samples: stereo };
    let mean: Vec<f32> = left.iter().zip(&right).map(|(l, r)| (l + r) / 2.0).collect();
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
    assert!(close(f32s(&compute("{}", &stereo).unwrap()), f32s(&compute("{}", &sound(32_000, mean)).unwrap())));
    let first = compute(r#"{"mono": "first"}"#, &stereo).unwrap();
    assert_eq!(first, compute("{}", &sound(32_000, left)).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any rate, channels and length: either the promised number of finite frames or `TooShort`.
    #[test]
    fn any_sound(rate in prop_oneof![1_u32..400_000, Just(44_100), Just(48_000)], channels in 1_usize..4, n in 0_usize..6_000) {
        let samples = noise(n * channels);
        let at_32k = n as u64 * 32_000 / u64::from(rate);
        prop_assume!(at_32k < 2_000_000);
        match compute("{}", &Sound { sample_rate: rate, channels, samples }) {
            Ok(rows) => {
                prop_assert!(at_32k >= 513);
                prop_assert_eq!(rows.len as u64, 1 + at_32k / 640);
                prop_assert!(f32s(&rows).iter().all(|v| v.is_finite() && *v >= -100.0));
            }
            Err(error) => {
                prop_assert_eq!(error.class(), Cause::TooShort);
                prop_assert!(at_32k < 513);
            }
        }
    }

    /// With peak normalisation the level of a recording does not matter.
    #[test]
    fn level_does_not_matter(exponent in -6_i32..7) {
        let level = 2.0_f32.powi(exponent);
        let a = compute("{}", &sound(32_000, noise(2_000))).unwrap();
        let b = compute("{}", &sound(32_000, noise(2_000).iter().map(|v| v * level).collect())).unwrap();
        prop_assert!(f32s(&a).iter().zip(f32s(&b)).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    /// A stage that has seen other clips gives the same bytes as a fresh one.
    #[test]
    fn order_does_not_matter(rates in proptest::collection::vec(prop_oneof![Just(32_000_u32), Just(44_100), Just(48_000)], 1..5)) {
        let mut used = LogMel::new(&spec("{}")).unwrap();
        for (i, rate) in rates.into_iter().enumerate() {
            let clip = sound(rate, noise(3_000 + 500 * i));
            prop_assert_eq!(used.compute(&clip).unwrap(), compute("{}", &clip).unwrap());
        }
    }
}
