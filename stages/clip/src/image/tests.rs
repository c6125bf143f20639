#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::fixture::{self, Tensors, Twin, VISION, add, dot, relative_error};

/// The embedding of one picture from the definition.
fn slow(tensors: &Tensors, config: &VisionConfig, picture: &[f32]) -> Vec<f32> {
    let twin = Twin { tensors, stack: config.stack() };
    let (width, side, patch) = (config.hidden_size, config.image_size, config.patch_size);
    let mut tokens = vec![twin.get("vision_model.embeddings.class_embedding")];
    let kernel = twin.get("vision_model.embeddings.patch_embedding.weight");
    for (gy, gx) in (0..side / patch).flat_map(|gy| (0..side / patch).map(move |gx| (gy, gx))) {
        let mut token = vec![0.0; width];
        for (o, value) in token.iter_mut().enumerate() {
            for (c, y, x) in (0..3).flat_map(|c| (0..patch).flat_map(move |y| (0..patch).map(move |x| (c, y, x)))) {
                let pixel = picture[(c * side + gy * patch + y) * side + gx * patch + x];
                *value += kernel[((o * 3 + c) * patch + y) * patch + x] * f64::from(pixel);
            }
        }
        tokens.push(token);
    }
    let positions = twin.get("vision_model.embeddings.position_embedding.weight");
    for (token, position) in tokens.iter_mut().zip(positions.chunks(width)) {
        add(token, position);
        *token = twin.norm("vision_model.pre_layrnorm", token);
    }
    twin.blocks("vision_model", &mut tokens, false);
    let class = twin.norm("vision_model.post_layernorm", &tokens[0]);
    twin.get("visual_projection.weight").chunks(width).map(|row| dot(row, &class) as f32).collect()
}

/// The embeddings of pictures `[n][3][S][S]` by the tower.
fn fast(tower: &ImageTower, config: &VisionConfig, pictures: &[f32]) -> Vec<f32> {
    let side = config.image_size;
    let pictures =
        Tensor::from_slice(pictures, (pictures.len() / (3 * side * side), 3, side, side), &Device::Cpu).unwrap();
    let input = patchify(&pictures, config.patch_size).unwrap();
    tower.forward(&input).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn equals_the_definition() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = fixture::random_checkpoint(folder.path(), VISION, fixture::TEXT, 10);
    let checkpoint = Checkpoint::locate(folder.path().to_str().unwrap()).unwrap();
    let (tower, unexpected) = ImageTower::load(&checkpoint, &Device::Cpu, DType::F32).unwrap();
    assert!(unexpected.is_empty());
    let pixels: Vec<f32> = (0..2 * 3 * 14 * 14).map(|n| fixture::uniform(n) * 4.0).collect();
    let wanted: Vec<f32> = pixels.chunks(3 * 14 * 14).flat_map(|p| slow(&tensors, checkpoint.config(), p)).collect();
    let error = relative_error(&fast(&tower, checkpoint.config(), &pixels), &wanted);
    eprintln!("largest error to f64: {error:.1e} of the largest value");
    assert!(error < 3e-6, "{error}");
}

#[test]
fn equals_transformers() {
    for name in ["tiny-quick-gelu", "tiny-gelu"] {
        let checkpoint = Checkpoint::locate(fixture::path(name).to_str().unwrap()).unwrap();
        let (tower, unexpected) = ImageTower::load(&checkpoint, &Device::Cpu, DType::F32).unwrap();
        let found = fast(&tower, checkpoint.config(), &fixture::floats(&format!("{name}/pixels.f32")));
        let error = relative_error(&found, &fixture::floats(&format!("{name}/features.f32")));
        assert!(error < 5e-6 && unexpected.is_empty(), "{name}: {error}");
    }
}
