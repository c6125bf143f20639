#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;

use super::*;
use crate::fixture::{self, Tensors};
use crate::{Params, config};

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
        let encoder = load(&fixture::path(name), 3).unwrap();
        let pixels = fixture::floats(&format!("{name}/pixels.f32"));
        let wanted = fixture::floats(&format!("{name}/features.f32"));
        let error = relative_error(&encoder.encode(&pixels, 3).unwrap(), &wanted);
        eprintln!("{name}: largest error {error:.1e} of the largest value");
        assert!(error < 5e-6, "{name}: {error}");
        assert!(encoder.unexpected_tensors().is_empty());
    }
}

/// The network from its definition, in f64, one picture at a time, on the tensors by their names in the checkpoint.
fn slow(tensors: &Tensors, config: &VisionConfig, picture: &[f32]) -> Vec<f64> {
    let get = |name: &str| -> Vec<f64> { tensors[name].1.iter().map(|v| f64::from(*v)).collect() };
    let (width, side, patch, heads) =
        (config.hidden_size, config.image_size, config.patch_size, config.num_attention_heads);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let linear = |name: &str, x: &[f64]| -> Vec<f64> {
        let (weight, bias) = (get(&format!("{name}.weight")), get(&format!("{name}.bias")));
        weight.chunks(x.len()).zip(bias).map(|(row, b)| dot(row, x) + b).collect()
    };
    let norm = |name: &str, x: &[f64]| -> Vec<f64> {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let scale = (variance + config.layer_norm_eps).sqrt();
        let (weight, bias) = (get(&format!("{name}.weight")), get(&format!("{name}.bias")));
        x.iter().zip(weight.iter().zip(bias)).map(|(v, (w, b))| (v - mean) / scale * w + b).collect()
    };
    let add = |a: &mut Vec<f64>, b: Vec<f64>| a.iter_mut().zip(b).for_each(|(x, y)| *x += y);

    let mut tokens = vec![get("vision_model.embeddings.class_embedding")];
    let kernel = get("vision_model.embeddings.patch_embedding.weight");
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
    for (token, position) in
        tokens.iter_mut().zip(get("vision_model.embeddings.position_embedding.weight").chunks(width))
    {
        add(token, position.to_vec());
        *token = norm("vision_model.pre_layrnorm", token);
    }
    for layer in 0..config.num_hidden_layers {
        let name = |part: &str| format!("vision_model.encoder.layers.{layer}.{part}");
        let normed: Vec<Vec<f64>> = tokens.iter().map(|t| norm(&name("layer_norm1"), t)).collect();
        let project = |part: &str| -> Vec<Vec<f64>> { normed.iter().map(|t| linear(&name(part), t)).collect() };
        let (q, k, v) = (project("self_attn.q_proj"), project("self_attn.k_proj"), project("self_attn.v_proj"));
        let head = width / heads;
        for (t, token) in tokens.iter_mut().enumerate() {
            let mut mixed = vec![0.0; width];
            for h in (0..heads).map(|h| h * head..(h + 1) * head) {
                let scores: Vec<f64> =
                    k.iter().map(|k| (dot(&q[t][h.clone()], &k[h.clone()]) / (head as f64).sqrt()).exp()).collect();
                let sum: f64 = scores.iter().sum();
                for (score, v) in scores.iter().zip(&v) {
                    mixed[h.clone()].iter_mut().zip(&v[h.clone()]).for_each(|(m, v)| *m += score / sum * v);
                }
            }
            add(token, linear(&name("self_attn.out_proj"), &mixed));
            let middle = linear(&name("mlp.fc1"), &norm(&name("layer_norm2"), token));
            assert_eq!(config.activation, config::Activation::QuickGelu);
            let middle: Vec<f64> = middle.iter().map(|x| x / (1.0 + (-1.702 * x).exp())).collect();
            add(token, linear(&name("mlp.fc2"), &middle));
        }
    }
    let class = norm("vision_model.post_layernorm", &tokens[0]);
    get("visual_projection.weight").chunks(width).map(|row| dot(row, &class)).collect()
}

const SMALL: &str = r#"{"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 14, "patch_size": 4}"#;

#[test]
fn equals_the_definition() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = fixture::random_checkpoint(folder.path(), SMALL, 10);
    let encoder = load(folder.path(), 2).unwrap();
    let pixels: Vec<f32> = (0..2 * 3 * 14 * 14).map(|n| fixture::uniform(n) * 4.0).collect();
    let wanted: Vec<f32> =
        pixels.chunks(3 * 14 * 14).flat_map(|p| slow(&tensors, &encoder.config, p)).map(|v| v as f32).collect();
    let error = relative_error(&encoder.encode(&pixels, 2).unwrap(), &wanted);
    eprintln!("largest error to f64: {error:.1e} of the largest value");
    assert!(error < 3e-6, "{error}");
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
    let alone = encoder.encode(&picture(0), 1).unwrap();
    assert!(alone.iter().any(|v| v.abs() > 0.1));
    for n in [1, 2, 3, 7, 8, 9, 16, 17, 19] {
        for position in 0..n {
            let mut pixels: Vec<f32> = (1..=n as u64).flat_map(|mate| picture(mate + 31 * n as u64)).collect();
            pixels[position * len..][..len].copy_from_slice(&picture(0));
            let found = encoder.encode(&pixels, n).unwrap();
            assert_eq!(found.len(), n * 64);
            let same = found[position * 64..][..64].iter().zip(&alone).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "position {position} of {n}");
        }
    }
    // Mates that overflow the network to infinity stay among themselves.
    let mut pixels = vec![f32::MAX; 8 * len];
    pixels[5 * len..6 * len].copy_from_slice(&picture(0));
    assert!(matches!(encoder.encode(&pixels, 8), Err(Error::NotFinite { row: 0, .. })));
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
    let embeddings = encoder.encode(&pixels, 11).unwrap();
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
    let checkpoint = Checkpoint::locate(fixture::path("tiny-quick-gelu").to_str().unwrap()).unwrap();
    let spec = Params { normalize: true, ..Params::default() }.resolve().unwrap();
    let encoder = Encoder::load(&checkpoint, &spec, DeviceChoice::Cpu, 3).unwrap();
    let pixels = fixture::floats("tiny-quick-gelu/pixels.f32");
    let raw = fixture::floats("tiny-quick-gelu/features.f32");
    for (unit, raw) in encoder.encode(&pixels, 3).unwrap().chunks(24).zip(raw.chunks(24)) {
        let norm = raw.iter().map(|v| v * v).sum::<f32>().sqrt();
        let wanted: Vec<f32> = raw.iter().map(|v| v / norm).collect();
        assert!(relative_error(unit, &wanted) < 5e-6);
        assert!((unit.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-6);
    }
}

#[test]
fn nothing_in_is_nothing_out() {
    let encoder = load(&fixture::path("tiny-gelu"), 3).unwrap();
    assert!(encoder.encode(&[], 0).unwrap().is_empty());
    assert_eq!((encoder.dimension(), encoder.batch_size()), (20, 3));
}

/// What `load` says of the small checkpoint after `damage`.
fn damaged(damage: impl FnOnce(&mut Tensors)) -> Result<Encoder, Error> {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = fixture::random_checkpoint(folder.path(), SMALL, 10);
    damage(&mut tensors);
    fixture::save(&tensors, &folder.path().join("model.safetensors"));
    load(folder.path(), 1)
}

#[test]
fn every_tensor_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = fixture::random_checkpoint(folder.path(), SMALL, 10).into_keys().collect();
    assert_eq!(names.len(), 4 + 4 + 2 * 16);
    for name in names {
        let error = damaged(|tensors| drop(tensors.remove(&name))).err().unwrap().to_string();
        assert!(error.starts_with(&format!("model.safetensors: tensor {name} of shape [")), "{error}");
    }
}

#[test]
fn shapes_and_values_are_checked() {
    let name = "vision_model.encoder.layers.1.mlp.fc1.weight";
    let error = damaged(|t| t.get_mut(name).unwrap().0 = vec![24, 40]).err().unwrap().to_string();
    assert_eq!(
        error,
        format!("model.safetensors: tensor {name} has shape [24, 40] where config.json implies [40, 24]")
    );
    for value in [f32::NAN, f32::INFINITY] {
        let error = damaged(|t| t.get_mut(name).unwrap().1[7] = value).err().unwrap().to_string();
        assert_eq!(
            error,
            format!("model.safetensors: tensor {name} holds values that are not finite: the file is damaged")
        );
    }
}

#[test]
fn foreign_tensors_are_reported_those_of_the_text_tower_are_not() {
    let encoder = damaged(|tensors| {
        for name in [
            "text_model.final_layer_norm.weight",
            "text_projection.weight",
            "logit_scale",
            "lora.a",
            "adapter",
            "vision_model.embeddings.position_ids",
        ] {
            tensors.insert(name.into(), (vec![1], vec![0.0]));
        }
    });
    assert_eq!(encoder.unwrap().unexpected_tensors(), ["adapter", "lora.a"]);
}

#[test]
fn damaged_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = fixture::random_checkpoint(folder.path(), SMALL, 10);
    let file = folder.path().join("model.safetensors");
    let whole = std::fs::read(&file).unwrap();
    let message = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        load(folder.path(), 1).err().unwrap().to_string()
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
    let error = load(folder.path(), 1).err().unwrap().to_string();
    assert!(error.contains("other.safetensors: tensor ") && error.contains("another weight file"), "{error}");
}

#[test]
fn half_precision_weights_are_widened() {
    use safetensors::tensor::{Dtype, TensorView};
    type Narrow = (Dtype, fn(f32) -> (Vec<u8>, f32));
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = fixture::random_checkpoint(folder.path(), SMALL, 10);
    let file = folder.path().join("model.safetensors");
    let pixels: Vec<f32> = (0..3 * 14 * 14).map(|n| fixture::uniform(n) * 4.0).collect();
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
        let found = load(folder.path(), 1).unwrap().encode(&pixels, 1).unwrap();
        fixture::save(&tensors, &file);
        let wanted = load(folder.path(), 1).unwrap().encode(&pixels, 1).unwrap();
        assert_eq!(found, wanted, "{dtype:?}");
    }
    let ids = vec![0u8; 8 * 24];
    let name = "vision_model.embeddings.class_embedding".to_owned();
    let view = [(&name, TensorView::new(Dtype::I64, vec![24], &ids).unwrap())];
    std::fs::write(&file, safetensors::serialize(view, None).unwrap()).unwrap();
    let error = load(folder.path(), 1).err().unwrap().to_string();
    assert!(error.contains("holds tensor vision_model.embeddings.class_embedding as I64"), "{error}");
}

#[test]
fn devices() {
    for (text, choice) in [("auto", DeviceChoice::Auto), ("cpu", DeviceChoice::Cpu), ("cuda:1", DeviceChoice::Cuda(1))]
    {
        assert_eq!(text.parse::<DeviceChoice>().unwrap(), choice);
        assert_eq!(choice.to_string(), text);
    }
    assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
    for text in ["gpu", "cuda:", "cuda:x", "CPU", ""] {
        assert!(
            text.parse::<DeviceChoice>().unwrap_err().to_string().contains("expected \"auto\", \"cpu\" or \"cuda:N\"")
        );
    }
    let checkpoint = Checkpoint::locate(fixture::path("tiny-gelu").to_str().unwrap()).unwrap();
    let encoder = Encoder::load(&checkpoint, &spec(), DeviceChoice::Cpu, 1).unwrap();
    assert!(encoder.backend().to_string().starts_with("cpu ("), "{}", encoder.backend());
    for precision in [Precision::Bf16, Precision::F16] {
        let spec = Params { precision, ..Params::default() }.resolve().unwrap();
        let error = Encoder::load(&checkpoint, &spec, DeviceChoice::Cpu, 1).err().unwrap().to_string();
        assert!(error.contains("the CPU computes in f32 only"), "{error}");
    }
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_cpu_build_says_that_it_is_one() {
    let checkpoint = Checkpoint::locate(fixture::path("tiny-gelu").to_str().unwrap()).unwrap();
    let error = Encoder::load(&checkpoint, &spec(), DeviceChoice::Cuda(0), 1).err().unwrap().to_string();
    assert!(error.starts_with("device \"cuda:0\": this is a CPU build; use a build with CUDA"), "{error}");
}

/// Run on a machine with a CUDA device; reports by name that it did not run elsewhere.
#[test]
fn cuda_equals_transformers() {
    if !candle_core::utils::cuda_is_available() {
        eprintln!("skipped: cuda_equals_transformers (a CPU build)");
        return;
    }
    let checkpoint = Checkpoint::locate(fixture::path("tiny-quick-gelu").to_str().unwrap()).unwrap();
    let pixels = fixture::floats("tiny-quick-gelu/pixels.f32");
    let wanted = fixture::floats("tiny-quick-gelu/features.f32");
    for (precision, tolerance) in [(Precision::F32, 1e-4), (Precision::F16, 1e-2), (Precision::Bf16, 5e-2)] {
        let spec = Params { precision, ..Params::default() }.resolve().unwrap();
        match Encoder::load(&checkpoint, &spec, DeviceChoice::Cuda(0), 3) {
            Ok(encoder) => {
                assert!(relative_error(&encoder.encode(&pixels, 3).unwrap(), &wanted) < tolerance, "{precision:?}");
            }
            Err(error) => eprintln!("skipped: cuda_equals_transformers ({error})"),
        }
    }
}
