#![expect(clippy::unwrap_used, reason = "tests")]

use candle_core::{DType, Device, Tensor};
use transformer::{Pixels, Threads};

use super::*;
use crate::fixture::{self, relative_error};
use crate::image::{ImageTower, patchify};

/// The sets of instructions of this processor; names those that it lacks.
fn each_set(test: &str, mut run: impl FnMut(Instructions)) {
    for instructions in Instructions::ALL {
        if instructions.available() {
            run(instructions);
        } else {
            eprintln!("skipped: {test} on {instructions} (this processor has none)");
        }
    }
}

#[test]
fn equals_transformers() {
    for name in ["tiny-quick-gelu", "tiny-gelu"] {
        let checkpoint = Checkpoint::locate(fixture::path(name).to_str().unwrap()).unwrap();
        let pixels = fixture::floats(&format!("{name}/pixels.f32"));
        let wanted = fixture::floats(&format!("{name}/features.f32"));
        each_set("equals_transformers", |instructions| {
            for (elements, bound) in [(Elements::F32, 5e-6), (Elements::Bf16, 2e-2)] {
                let (tower, unexpected) = load(&checkpoint, instructions, elements).unwrap();
                let error = relative_error(&tower.encode(Pixels::Values(&pixels), Threads::All), &wanted);
                eprintln!("{name}, {elements:?} on {instructions}: largest error {error:.1e} of the largest value");
                assert!(error < bound && unexpected.is_empty(), "{name} {elements:?} {instructions}: {error}");
            }
        });
    }
}

/// candle's tower computes the same on another way.
#[test]
fn equals_candle() {
    let folder = tempfile::tempdir().unwrap();
    fixture::random_checkpoint(folder.path(), fixture::VISION, fixture::TEXT, 10);
    let checkpoint = Checkpoint::locate(folder.path().to_str().unwrap()).unwrap();
    let config = checkpoint.config();
    let side = config.image_size;
    let n = 5;
    let pixels: Vec<f32> = (0..n * 3 * side * side).map(|i| fixture::uniform(i as u64) * 4.0).collect();
    let pictures = Tensor::from_slice(&pixels, (n, 3, side, side), &Device::Cpu).unwrap();
    let input = patchify(&pictures, config.patch_size).unwrap();
    let (candle, _) = ImageTower::load(&checkpoint, &Device::Cpu, DType::F32).unwrap();
    let wanted: Vec<f32> = candle.forward(&input).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    each_set("equals_candle", |instructions| {
        let (tower, _) = load(&checkpoint, instructions, Elements::F32).unwrap();
        let error = relative_error(&tower.encode(Pixels::Values(&pixels), Threads::One), &wanted);
        assert!(error < 3e-6, "{instructions}: {error}");
    });
}
