#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

use serde::Deserialize;

use super::*;
use crate::fixture::{self, TEXT, Tensors, Twin, VISION, add, relative_error};

/// What `make_tiny_pair.py` wrote.
#[derive(Deserialize)]
struct Golden {
    prompts: Vec<String>,
    ids: Vec<Vec<u32>>,
    features: Vec<Vec<f32>>,
}

const PAIRS: [&str; 2] = ["pair-quick-gelu", "pair-gelu-legacy"];

fn golden(name: &str) -> Golden {
    serde_json::from_slice(&std::fs::read(fixture::path(name).join("text.json")).unwrap()).unwrap()
}

fn checkpoint(name: &str) -> Checkpoint {
    Checkpoint::locate(fixture::path(name).to_str().unwrap()).unwrap()
}

#[test]
fn equals_transformers() {
    for name in PAIRS {
        let golden = golden(name);
        let encoder = TextEncoder::load(&checkpoint(name), DeviceChoice::Cpu).unwrap();
        for (prompt, ids) in golden.prompts.iter().zip(&golden.ids) {
            assert_eq!(encoder.tokenizer.encode(prompt).unwrap(), *ids, "{prompt}");
        }
        let found = encoder.encode(&golden.prompts).unwrap();
        let error = relative_error(&found, &golden.features.concat());
        eprintln!("{name}: largest error {error:.1e} of the largest value");
        assert!(error < 5e-6, "{name}: {error}");
        assert!((encoder.logit_scale() - 20.0).abs() < 1e-5, "{}", encoder.logit_scale());
        assert_eq!((encoder.dimension(), encoder.describe().positions, encoder.describe().layers), (16, 21, 2));
        assert!(encoder.describe().random_weights && encoder.backend().device == "cpu");
    }
}

/// The feature of one text from the definition, every position computed.
fn slow(tensors: &Tensors, config: &TextConfig, ids: &[u32], end: usize) -> Vec<f32> {
    let twin = Twin { tensors, stack: config.stack() };
    let row = |name: &str, row: usize| twin.get(name)[row * config.hidden_size..][..config.hidden_size].to_vec();
    let mut tokens: Vec<Vec<f64>> = ids
        .iter()
        .enumerate()
        .map(|(position, id)| {
            let mut token = row("text_model.embeddings.token_embedding.weight", *id as usize);
            add(&mut token, &row("text_model.embeddings.position_embedding.weight", position));
            token
        })
        .collect();
    twin.blocks("text_model", &mut tokens, true);
    let feature = twin.norm("text_model.final_layer_norm", &tokens[end]);
    twin.product("text_projection.weight", &feature).iter().map(|v| *v as f32).collect()
}

/// Random texts of 2 to 21 ids; the end of text, 7, stands at the last place only.
fn texts(n: u64) -> Vec<Vec<u32>> {
    let id = |k: u64| (f64::from(fixture::uniform(k) + 0.5) * 49.99) as u32;
    (0..n)
        .map(|i| {
            let length = 2 + (i * 7 % 20);
            let start = (0..length - 1).map(|k| Some(id(i * 31 + k)).filter(|id| *id != 7).unwrap_or(8));
            start.chain([7]).collect()
        })
        .collect()
}

fn random(folder: &tempfile::TempDir, text: &str) -> (Tensors, TextTower) {
    let tensors = fixture::random_checkpoint(folder.path(), VISION, text, 10);
    let checkpoint = Checkpoint::locate(folder.path().to_str().unwrap()).unwrap();
    (tensors, TextTower::load(&checkpoint, &Device::Cpu).unwrap())
}

#[test]
fn equals_the_definition() {
    let folder = tempfile::tempdir().unwrap();
    let (tensors, tower) = random(&folder, TEXT);
    let texts = texts(20);
    assert_eq!(texts.iter().map(Vec::len).max(), Some(21));
    let wanted: Vec<f32> = texts.iter().flat_map(|ids| slow(&tensors, tower.config(), ids, ids.len() - 1)).collect();
    let error = relative_error(&tower.features(&texts).unwrap(), &wanted);
    eprintln!("largest error to f64: {error:.1e} of the largest value");
    assert!(error < 3e-6, "{error}");
}

/// Ids as a padding tokenizer makes them: the feature is read at the first end of text, or the first highest id.
#[test]
fn the_end_of_text_is_where_transformers_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let ids = vec![3, 12, 7, 49, 7, 7];
    let (tensors, tower) = random(&folder, TEXT);
    let wanted = slow(&tensors, tower.config(), &ids, 2);
    assert!(relative_error(&tower.features(std::slice::from_ref(&ids)).unwrap(), &wanted) < 3e-6);
    let (tensors, tower) = random(&folder, &TEXT.replace(r#""eos_token_id": 7"#, r#""eos_token_id": 2"#));
    let wanted = slow(&tensors, tower.config(), &ids, 3);
    assert!(relative_error(&tower.features(std::slice::from_ref(&ids)).unwrap(), &wanted) < 3e-6);
    assert_eq!(tower.config().end_of_text.position(&[5, 49, 4, 49]), Some(1));
    assert_eq!(tower.config().end_of_text.position(&[]), None);
}

/// Large enough that the matrix kernel uses several threads and cuts the sums into parts.
const MIDDLE: &str = r#"{"vocab_size": 50, "hidden_size": 128, "intermediate_size": 1200, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 21, "eos_token_id": 7}"#;

#[test]
fn bytes_do_not_depend_on_the_other_prompts() {
    let folder = tempfile::tempdir().unwrap();
    let (_, tower) = random(&folder, MIDDLE);
    let texts = texts(45);
    let all = tower.features(&texts).unwrap();
    assert!(all.iter().any(|v| v.abs() > 0.1));
    for (i, ids) in texts.iter().enumerate() {
        let alone = tower.features(std::slice::from_ref(ids)).unwrap();
        let same = all[i * 10..][..10].iter().zip(&alone).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "text {i}");
    }
    let mut reversed = texts.clone();
    reversed.reverse();
    let reversed: Vec<f32> = tower.features(&reversed).unwrap().chunks(10).rev().flatten().copied().collect();
    assert_eq!(reversed, all);
    assert!(tower.features(&[]).unwrap().is_empty());
}

/// Bytes of some features, printed for `bytes_do_not_depend_on_the_number_of_threads`, which runs this in processes of its own.
#[test]
fn values_for_a_number_of_threads() {
    eprintln!("bits {:?}", bits());
}

fn bits() -> Vec<u32> {
    let folder = tempfile::tempdir().unwrap();
    let (_, tower) = random(&folder, MIDDLE);
    tower.features(&texts(11)).unwrap().iter().map(|v| v.to_bits()).collect()
}

#[test]
fn bytes_do_not_depend_on_the_number_of_threads() {
    let here = bits();
    for threads in ["1", "2", "3", "7"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "text::tests::values_for_a_number_of_threads", "--nocapture"])
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(&format!("bits {here:?}")), "{threads} threads: {text}");
    }
}

#[test]
fn every_text_tensor_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = fixture::random_checkpoint(folder.path(), VISION, TEXT, 10);
    let names: Vec<&String> = tensors.keys().filter(|name| !name.starts_with("vis")).collect();
    assert_eq!(names.len(), 6 + 2 * 16);
    for name in names {
        let mut rest = tensors.clone();
        rest.remove(name);
        fixture::save(&rest, &folder.path().join("model.safetensors"));
        let checkpoint = Checkpoint::locate(folder.path().to_str().unwrap()).unwrap();
        let error = checkpoint.check_text().unwrap_err().to_string();
        assert!(error.contains(&format!("has no text tower (model.safetensors lacks the tensor {name})")), "{error}");
        assert!(TextTower::load(&checkpoint, &Device::Cpu).is_err());
    }
}

#[test]
fn the_image_tower_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = fixture::random_checkpoint(folder.path(), VISION, TEXT, 10);
    let wanted = random(&folder, TEXT).1.features(&texts(3)).unwrap();
    for (name, (_, values)) in &mut tensors {
        if name.starts_with("vis") {
            values.fill(f32::NAN);
        }
    }
    fixture::save(&tensors, &folder.path().join("model.safetensors"));
    let checkpoint = Checkpoint::locate(folder.path().to_str().unwrap()).unwrap();
    assert_eq!(TextTower::load(&checkpoint, &Device::Cpu).unwrap().features(&texts(3)).unwrap(), wanted);
    for (name, (_, values)) in &mut tensors {
        if name == LOGIT_SCALE {
            values.fill(100.0);
        }
    }
    fixture::save(&tensors, &folder.path().join("model.safetensors"));
    let scale = TextTower::load(&checkpoint, &Device::Cpu).unwrap().logit_scale();
    assert!((scale / 100f64.exp() - 1.0).abs() < 1e-12);
    tensors.get_mut(LOGIT_SCALE).unwrap().1.fill(800.0);
    fixture::save(&tensors, &folder.path().join("model.safetensors"));
    let error = TextTower::load(&checkpoint, &Device::Cpu).err().unwrap().to_string();
    assert!(error.contains("model.safetensors holds a logit_scale whose exponential is inf"), "{error}");
    tensors.get_mut("text_projection.weight").unwrap().1[3] = f32::NAN;
    fixture::save(&tensors, &folder.path().join("model.safetensors"));
    let error = TextTower::load(&checkpoint, &Device::Cpu).err().unwrap().to_string();
    assert!(error.contains("tensor text_projection.weight holds values that are not finite"), "{error}");
}

#[test]
fn an_image_tower_alone_is_refused() {
    let error = TextEncoder::load(&checkpoint("tiny-gelu"), DeviceChoice::Cpu).err().unwrap().to_string();
    assert!(error.starts_with("the model \"tiny-gelu\" has no text tower (model_type in config.json"), "{error}");
    assert!(checkpoint("tiny-gelu").text_files().is_err());
    // A full checkpoint without tokenizer.json.
    let error = TextEncoder::load(&checkpoint("tiny-quick-gelu"), DeviceChoice::Cpu).err().unwrap().to_string();
    assert!(error.contains("has no tokenizer.json") && error.contains("save_pretrained"), "{error}");
}
