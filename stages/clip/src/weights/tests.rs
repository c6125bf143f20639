#![expect(clippy::unwrap_used, reason = "tests")]

use candle_core::{DType, Device, Tensor};

use super::*;
use crate::checkpoint::Checkpoint;
use crate::fixture::{self, TEXT, Tensors, VISION};
use crate::image::ImageTower;

/// Loads the image tower of a folder; gives the names that belong to neither tower.
fn load(folder: &Path) -> Result<Vec<String>, Error> {
    tower(folder).map(|(_, unexpected)| unexpected)
}

fn tower(folder: &Path) -> Result<(ImageTower, Vec<String>), Error> {
    ImageTower::load(&Checkpoint::locate(folder.to_str().unwrap())?, &Device::Cpu, DType::F32)
}

/// What `load` says of the small checkpoint after `damage`.
fn damaged(damage: impl FnOnce(&mut Tensors)) -> Result<Vec<String>, Error> {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = fixture::random_checkpoint(folder.path(), VISION, TEXT, 10);
    damage(&mut tensors);
    fixture::save(&tensors, &folder.path().join("model.safetensors"));
    load(folder.path())
}

#[test]
fn every_tensor_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = fixture::random_checkpoint(folder.path(), VISION, TEXT, 10);
    let names: Vec<String> = tensors.into_keys().filter(|name| name.starts_with("vis")).collect();
    assert_eq!(names.len(), 4 + 4 + 2 * 16);
    for name in names {
        let error = damaged(|tensors| drop(tensors.remove(&name))).unwrap_err().to_string();
        assert!(error.starts_with(&format!("model.safetensors: tensor {name} of shape [")), "{error}");
    }
}

#[test]
fn shapes_and_values_are_checked() {
    let name = "vision_model.encoder.layers.1.mlp.fc1.weight";
    let error = damaged(|t| t.get_mut(name).unwrap().0 = vec![24, 40]).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("model.safetensors: tensor {name} has shape [24, 40] where config.json implies [40, 24]")
    );
    for value in [f32::NAN, f32::INFINITY] {
        let error = damaged(|t| t.get_mut(name).unwrap().1[7] = value).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("model.safetensors: tensor {name} holds values that are not finite: the file is damaged")
        );
    }
}

#[test]
fn foreign_tensors_are_reported_those_of_the_text_tower_are_not() {
    let unexpected = damaged(|tensors| {
        for name in [
            "text_model.encoder.layers.7.mlp.fc1.bias",
            "text_projection.bias",
            "lora.a",
            "adapter",
            "vision_model.embeddings.position_ids",
        ] {
            tensors.insert(name.into(), (vec![1], vec![0.0]));
        }
    });
    assert_eq!(unexpected.unwrap(), ["adapter", "lora.a"]);
}

#[test]
fn damaged_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = fixture::random_checkpoint(folder.path(), VISION, TEXT, 10);
    let file = folder.path().join("model.safetensors");
    let whole = std::fs::read(&file).unwrap();
    let message = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        load(folder.path()).unwrap_err().to_string()
    };
    assert!(message(&whole[..whole.len() - 5]).contains("where its header promises"));
    assert!(message(&whole[..100]).contains("not a safetensors file, or its download was cut short"));
    assert!(message(&[]).contains("shorter than a safetensors header"));
    assert!(message(b"version https://git-lfs.github.com/spec/v1").contains("not a safetensors file"));
    let mut scribbled = whole.clone();
    scribbled[9] = b'x';
    assert!(message(&scribbled).contains("damaged header"));
    std::fs::write(&file, &whole).unwrap();
    fixture::save(&tensors, &folder.path().join("other.safetensors"));
    std::fs::rename(&file, folder.path().join("first.safetensors")).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("other.safetensors: tensor ") && error.contains("another weight file"), "{error}");
}

#[test]
fn half_precision_weights_are_widened() {
    use safetensors::tensor::{Dtype, TensorView};
    type Narrow = (Dtype, fn(f32) -> (Vec<u8>, f32));
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = fixture::random_checkpoint(folder.path(), VISION, TEXT, 10);
    let file = folder.path().join("model.safetensors");
    let patches: Vec<f32> = (0..9 * 48).map(|n| fixture::uniform(n) * 4.0).collect();
    let forward = || -> Vec<f32> {
        let input = Tensor::from_slice(&patches, (1, 9, 48), &Device::Cpu).unwrap();
        tower(folder.path()).unwrap().0.forward(&input).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let kinds: [Narrow; 3] = [
        (Dtype::F16, |v| (half::f16::from_f32(v).to_le_bytes().to_vec(), half::f16::from_f32(v).to_f32())),
        (Dtype::BF16, |v| (half::bf16::from_f32(v).to_le_bytes().to_vec(), half::bf16::from_f32(v).to_f32())),
        (Dtype::F64, |v| (f64::from(v).to_le_bytes().to_vec(), v)),
    ];
    let original = tensors.clone();
    for (dtype, narrow) in kinds {
        let mut bytes = std::collections::BTreeMap::new();
        for (name, (_, values)) in &original {
            let (narrowed, widened): (Vec<_>, Vec<_>) = values.iter().map(|v| narrow(*v)).unzip();
            bytes.insert(name, narrowed.concat());
            tensors.get_mut(name).unwrap().1 = widened;
        }
        let views =
            original.iter().map(|(n, (shape, _))| (n, TensorView::new(dtype, shape.clone(), &bytes[n]).unwrap()));
        std::fs::write(&file, safetensors::serialize(views, None).unwrap()).unwrap();
        let found = forward();
        fixture::save(&tensors, &file);
        let wanted = forward();
        assert_eq!(found, wanted, "{dtype:?}");
    }
    let ids = vec![0u8; 8 * 24];
    let name = "vision_model.embeddings.class_embedding".to_owned();
    let view = [(&name, TensorView::new(Dtype::I64, vec![24], &ids).unwrap())];
    std::fs::write(&file, safetensors::serialize(view, None).unwrap()).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("holds tensor vision_model.embeddings.class_embedding as I64"), "{error}");
}
