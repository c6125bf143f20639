#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;

use super::*;
use crate::Params;
use crate::fixture;

fn spec() -> Spec {
    Params::default().resolve().unwrap()
}

fn load(folder: &Path, batch_size: usize) -> Result<Encoder, Error> {
    let checkpoint = Checkpoint::locate(folder.to_str().unwrap())?;
    Encoder::load(&checkpoint, &spec(), DeviceChoice::Cpu, batch_size)
}

fn relative_error(found: &[f32], wanted: &[f32]) -> f32 {
    let largest = wanted.iter().fold(0f32, |a, v| a.max(v.abs()));
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).fold(0f32, |a, (f, w)| a.max((f - w).abs())) / largest
}

#[test]
fn equals_transformers() {
    for name in ["tiny-quick-gelu", "tiny-gelu"] {
        let encoder = load(&fixture::checkpoint(name), 3).unwrap();
        let pixels = fixture::floats(&fixture::checkpoint(name).join("pixels.f32"));
        let wanted = fixture::floats(&fixture::checkpoint(name).join("features.f32"));
        let error = relative_error(&encoder.encode_pixels(&pixels, 3, Threads::All).unwrap(), &wanted);
        eprintln!("{name}: largest error {error:.1e} of the largest value");
        assert!(error < 5e-6, "{name}: {error}");
        assert!(encoder.unexpected_tensors().is_empty());
    }
}

/// Large enough that the matrix kernel uses several threads and cuts the sums into parts.
const MIDDLE: &str = r#"{"hidden_size": 128, "intermediate_size": 1200, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}"#;

#[test]
fn bytes_do_not_depend_on_batch_mates_position_or_batch_size() {
    let folder = tempfile::tempdir().unwrap();
    fixture::random_checkpoint(folder.path(), MIDDLE, 64);
    let encoder = load(folder.path(), 19).unwrap();
    let len = 3 * 32 * 32;
    let picture =
        |seed: u64| -> Vec<f32> { (0..len as u64).map(|n| fixture::uniform(seed * 1_000_003 + n) * 4.0).collect() };
    let alone = encoder.encode_pixels(&picture(0), 1, Threads::All).unwrap();
    assert!(alone.iter().any(|v| v.abs() > 0.1));
    for n in [1, 2, 3, 7, 8, 9, 16, 17, 19] {
        for position in 0..n {
            let mut pixels: Vec<f32> = (1..=n as u64).flat_map(|mate| picture(mate + 31 * n as u64)).collect();
            pixels[position * len..][..len].copy_from_slice(&picture(0));
            let found = encoder.encode_pixels(&pixels, n, Threads::All).unwrap();
            assert_eq!(found.len(), n * 64);
            let same = found[position * 64..][..64].iter().zip(&alone).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "position {position} of {n}");
        }
    }
    // Mates that overflow the network to infinity stay among themselves.
    let mut pixels = vec![f32::MAX; 8 * len];
    pixels[5 * len..6 * len].copy_from_slice(&picture(0));
    assert!(matches!(encoder.encode_pixels(&pixels, 8, Threads::All), Err(Error::NotFinite { row: 0, .. })));
}

/// The digest of some embeddings, printed for `bytes_do_not_depend_on_the_number_of_threads`, which runs this in processes of its own.
#[test]
fn digest_for_a_number_of_threads() {
    eprintln!("digest {}", digest());
}

fn digest() -> blake3::Hash {
    let folder = tempfile::tempdir().unwrap();
    fixture::random_checkpoint(folder.path(), MIDDLE, 64);
    let encoder = load(folder.path(), 11).unwrap();
    let pixels: Vec<f32> = (0..11 * 3 * 32 * 32).map(|n| fixture::uniform(n) * 4.0).collect();
    let embeddings = encoder.encode_pixels(&pixels, 11, Threads::All).unwrap();
    let bytes: Vec<u8> = embeddings.iter().flat_map(|v| v.to_le_bytes()).collect();
    blake3::hash(&bytes)
}

#[test]
fn bytes_do_not_depend_on_the_number_of_threads() {
    let here = digest().to_string();
    for threads in ["1", "2", "3", "7"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "encoder::tests::digest_for_a_number_of_threads", "--nocapture"])
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(&format!("digest {here}")), "{threads} threads: {text}");
    }
}

#[test]
fn unit_length_on_request() {
    let checkpoint = Checkpoint::locate(fixture::checkpoint("tiny-quick-gelu").to_str().unwrap()).unwrap();
    let spec = Params { normalize: true, ..Params::default() }.resolve().unwrap();
    let encoder = Encoder::load(&checkpoint, &spec, DeviceChoice::Cpu, 3).unwrap();
    let pixels = fixture::floats(&fixture::checkpoint("tiny-quick-gelu/pixels.f32"));
    let raw = fixture::floats(&fixture::checkpoint("tiny-quick-gelu/features.f32"));
    for (unit, raw) in encoder.encode_pixels(&pixels, 3, Threads::All).unwrap().chunks(24).zip(raw.chunks(24)) {
        let norm = raw.iter().map(|v| v * v).sum::<f32>().sqrt();
        let wanted: Vec<f32> = raw.iter().map(|v| v / norm).collect();
        assert!(relative_error(unit, &wanted) < 5e-6);
        assert!((unit.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-6);
    }
}

#[test]
fn nothing_in_is_nothing_out() {
    let encoder = load(&fixture::checkpoint("tiny-gelu"), 3).unwrap();
    assert!(encoder.encode_pixels(&[], 0, Threads::All).unwrap().is_empty());
    assert_eq!((encoder.dimension(), encoder.batch_size()), (20, 3));
}

#[test]
fn precisions() {
    let checkpoint = Checkpoint::locate(fixture::checkpoint("tiny-gelu").to_str().unwrap()).unwrap();
    let encoder = Encoder::load(&checkpoint, &spec(), DeviceChoice::Cpu, 1).unwrap();
    assert!(encoder.backend().to_string().starts_with("cpu ("), "{}", encoder.backend());
    let spec = |precision| Params { precision, ..Params::default() }.resolve().unwrap();
    let error = Encoder::load(&checkpoint, &spec(Precision::F16), DeviceChoice::Cpu, 1).err().unwrap().to_string();
    assert!(error.contains("the CPU computes in f32 or bf16"), "{error}");
    let half = Encoder::load(&checkpoint, &spec(Precision::Bf16), DeviceChoice::Cpu, 3).unwrap();
    assert!(half.backend().to_string().contains("bf16"), "{}", half.backend());
    let pixels = fixture::floats(&fixture::checkpoint("tiny-gelu/pixels.f32"));
    let wanted = fixture::floats(&fixture::checkpoint("tiny-gelu/features.f32"));
    let found = half.encode_pixels(&pixels, 3, Threads::One).unwrap();
    assert!(relative_error(&found, &wanted) < 2e-2 && found != wanted);
}

/// The first CUDA device's encoder; `None`, said by name, where this is a build for the CPU or there is no device.
fn on_cuda(test: &str, checkpoint: &Checkpoint, precision: Precision, batch_size: usize) -> Option<Encoder> {
    let spec = Params { precision, ..Params::default() }.resolve().unwrap();
    match Encoder::load(checkpoint, &spec, DeviceChoice::Cuda(0), batch_size) {
        Ok(encoder) => Some(encoder),
        Err(error) if !candle_core::utils::cuda_is_available() || error.to_string().contains("NO_DEVICE") => {
            eprintln!("skipped: encoder::tests::{test} ({error})");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn cuda_equals_transformers() {
    let checkpoint = Checkpoint::locate(fixture::checkpoint("tiny-quick-gelu").to_str().unwrap()).unwrap();
    let pixels = fixture::floats(&fixture::checkpoint("tiny-quick-gelu/pixels.f32"));
    let wanted = fixture::floats(&fixture::checkpoint("tiny-quick-gelu/features.f32"));
    for (precision, tolerance) in [(Precision::F32, 1e-4), (Precision::F16, 1e-2), (Precision::Bf16, 5e-2)] {
        let Some(encoder) = on_cuda("cuda_equals_transformers", &checkpoint, precision, 3) else { return };
        let found = encoder.encode_pixels(&pixels, 3, Threads::All).unwrap();
        assert!(relative_error(&found, &wanted) < tolerance, "{precision:?}");
    }
}

/// One store for both: values of the two devices must be the same to f32's tolerance, and bf16 must point the same way.
#[test]
fn cuda_equals_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    fixture::random_checkpoint(folder.path(), MIDDLE, 64);
    let checkpoint = Checkpoint::locate(folder.path().to_str().unwrap()).unwrap();
    let n = 7;
    let pixels: Vec<f32> = (0..n as u64 * 3 * 32 * 32).map(|i| fixture::uniform(i) * 4.0).collect();
    let wanted = load(folder.path(), 8).unwrap().encode_pixels(&pixels, n, Threads::All).unwrap();
    let encode = |precision| {
        let encoder = on_cuda("cuda_equals_the_cpu", &checkpoint, precision, 8)?;
        assert!(!encoder.backend().is_cpu(), "{}", encoder.backend());
        Some(encoder.encode_pixels(&pixels, n, Threads::All).unwrap())
    };
    let Some(single) = encode(Precision::F32) else { return };
    let error = relative_error(&single, &wanted);
    assert!(error < 1e-4, "{error}");
    let Some(half) = encode(Precision::Bf16) else { return };
    for (found, wanted) in half.chunks(64).zip(wanted.chunks(64)) {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let cosine = dot(found, wanted) / (dot(found, found) * dot(wanted, wanted)).sqrt();
        assert!(cosine > 0.999, "{cosine}");
    }
    assert_ne!(half, single);
}
