#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn params_as_written() {
    let params: Params = serde_json::from_str("{}").unwrap();
    assert_eq!(params, Params::default());
    let written =
        r#"{"model": "./m", "preprocessing": "openai", "precision": "bf16", "normalize": true, "dtype": "f16"}"#;
    let params: Params = serde_json::from_str(written).unwrap();
    let spec = params.resolve().unwrap();
    let json = r#"{"preprocessing":"openai","precision":"bf16","normalize":true,"dtype":"f16"}"#;
    assert_eq!(serde_json::to_string(&spec).unwrap(), json);
    assert!(
        serde_json::from_str::<Params>(r#"{"batch": 3}"#).unwrap_err().to_string().contains("unknown field `batch`")
    );
    assert!(
        serde_json::from_str::<Params>(r#"{"precision": "int8"}"#)
            .unwrap_err()
            .to_string()
            .contains("unknown variant `int8`")
    );
}

#[test]
fn the_model_is_no_part_of_the_spec() {
    let spec =
        |model: &str, preprocessing| Params { model: model.into(), preprocessing, ..Params::default() }.resolve();
    assert_eq!(spec("./a", Preprocessing::Auto), spec("owner/b", Preprocessing::Hf));
    assert_ne!(spec("./a", Preprocessing::Auto), spec("./a", Preprocessing::OpenAi));
    assert_eq!(spec("  ", Preprocessing::Auto), Err(ParamsError::NoModel));
}

#[test]
fn columns_and_rows_agree() {
    for dtype in [Dtype::F32, Dtype::F16] {
        let rows = rows(vec![0.5, 1.0, 1.5, 2.0, 2.5, 3.0], vec![0.0, 1.0], dtype).unwrap();
        assert_eq!(rows.len, 2);
        for (spec, column) in columns(3, dtype).iter().zip(&rows.columns) {
            assert_eq!((&spec.name, spec.width, spec.element), (&column.name, column.width, column.values.element()));
            assert_eq!(column.values.len(), 2 * column.width.unwrap_or(1));
        }
    }
    assert_eq!(rows(vec![1e6; 3], vec![0.0], Dtype::F16).unwrap_err().class(), Cause::Internal);
}

/// Whatever changes these values changes what is stored: bump `DECL.version`, write its history line, and pin the new ones.
/// The bytes of a picture are pinned exactly; embeddings to 1e-5, since their last bits follow the processor.
#[test]
fn version_tripwire() {
    let folder = fixture::checkpoint("tiny-quick-gelu");
    let checkpoint = Checkpoint::locate(folder.to_str().unwrap()).unwrap();
    let spec = Params::default().resolve().unwrap();
    let mut preprocess = Preprocess::new(&checkpoint, spec.preprocessing).unwrap();
    let picture = fixture::gradient(97, 61);
    let window = preprocess.crop(&picture).unwrap();
    let digest = blake3::hash(window).to_hex();
    let encoder = Encoder::load(&checkpoint, &spec, DeviceChoice::Cpu, 1).unwrap();
    let embedding = encoder.encode(window, 1, Threads::All).unwrap();
    assert_eq!((DECL.version, &digest[..16]), (2, "deb6154f9e68b161"));
    let pinned = [-6.752474, -1.4861339, -0.53795564, -1.8875926, 3.3185582, -1.053262];
    let found = &embedding[..6];
    assert!(found.iter().zip(pinned).all(|(f, p)| (f - p).abs() < 1e-5), "{found:?}");
}

#[test]
fn without_its_configuration_only_openais_order_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let vision = r#"{"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "image_size": 30, "patch_size": 10}"#;
    fixture::random_checkpoint(folder.path(), vision, 4);
    std::fs::remove_file(folder.path().join("preprocessor_config.json")).unwrap();
    let checkpoint = Checkpoint::locate(folder.path().to_str().unwrap()).unwrap();
    assert!(Preprocess::new(&checkpoint, Order::Hf).err().unwrap().to_string().contains("no preprocessor_config.json"));
    let preprocess = Preprocess::new(&checkpoint, Order::OpenAi).unwrap();
    assert_eq!(preprocess.side(), 30);
}
