#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::fixture;

fn config(json: &str) -> TextConfig {
    TextConfig::parse(&format!(r#"{{"model_type": "clip", "text_config": {json}}}"#)).unwrap().unwrap()
}

fn tiny() -> Tokenizer {
    Tokenizer::of(&Checkpoint::locate(fixture::path("pair-quick-gelu").to_str().unwrap()).unwrap()).unwrap()
}

/// The ids that OpenAI's own tokenizer gives, on the real `tokenizer.json` of the published models.
#[test]
fn ids_of_the_published_tokenizer() {
    let Some(media) = std::env::var_os("PIPELINE_TEST_MEDIA") else {
        eprintln!("skipped: ids_of_the_published_tokenizer (PIPELINE_TEST_MEDIA is not set)");
        return;
    };
    let file = Path::new(&media).join("models/clip-tokenizer/tokenizer.json");
    if !file.is_file() {
        eprintln!("skipped: ids_of_the_published_tokenizer (models/clip-tokenizer/tokenizer.json is not there)");
        return;
    }
    for eos in [49407, 2] {
        let tokenizer = Tokenizer::load(&file, &config(&format!(r#"{{"eos_token_id": {eos}}}"#))).unwrap();
        let check = |prompt: &str, ids: &[u32]| {
            let wanted = [&[49406], ids, &[49407]].concat();
            assert_eq!(tokenizer.encode(prompt).unwrap(), wanted, "{prompt}");
        };
        check("a diagram", &[320, 22697]);
        check("a dog", &[320, 1929]);
        check("a cat", &[320, 2368]);
        check("it's 42 don't!!", &[585, 568, 275, 273, 847, 713, 748]);
        check("  A   Photo\n of AN airport ", &[320, 1125, 539, 550, 3259]);
        let scenes: [(&str, &[u32]); 11] = [
            ("airport", &[3259]),
            ("bus", &[2840]),
            ("metro", &[6784]),
            ("metro station", &[6784, 2631]),
            ("park", &[1452]),
            ("public square", &[2122, 3999]),
            ("shopping mall", &[4266, 6220]),
            ("street pedestrian", &[2012, 18256]),
            ("pedestrian street", &[18256, 2012]),
            ("street traffic", &[2012, 3399]),
            ("tram", &[17500]),
        ];
        for (scene, ids) in scenes {
            check(&format!("a photo of a {scene}."), &[&[320, 1125, 539, 320], ids, &[269]].concat());
        }
        // Characters beyond ASCII are bytes to it, never unknown.
        assert_eq!(tokenizer.encode("café 駅 🚋").unwrap().len(), 8);
        let long = ["dog"; 76].join(" ");
        let error = tokenizer.encode(&long).unwrap_err().to_string();
        assert!(error.contains("has 78 tokens, first and last included; the model has room for 77"), "{error}");
        assert_eq!(tokenizer.encode(&["dog"; 75].join(" ")).unwrap().len(), 77);
    }
    let error = Tokenizer::load(&file, &config(r#"{"vocab_size": 49407, "eos_token_id": 2}"#)).unwrap_err().to_string();
    assert!(error.contains("has token ids up to 49407, but vocab_size in config.json is 49407"), "{error}");
}

#[test]
fn a_prompt_that_cannot_be_encoded_is_named() {
    let tokenizer = tiny();
    let message = |prompt: &str| tokenizer.encode(prompt).unwrap_err().to_string();
    assert!(message("").starts_with("the prompt \"\" is empty"), "{}", message(""));
    assert!(message(" \n").contains("is empty"), "{}", message(" \n"));
    let long = "a photo of a tram and a photo of a bus and the metro station!";
    let said = message(long);
    assert!(said.starts_with(&format!("the prompt {long:?} has ")) && said.contains("has room for 21"), "{said}");
    for prompt in ["a café", "a <|endoftext|> b"] {
        assert!(message(prompt).contains("has the end-of-text token before its end"), "{}", message(prompt));
    }
}

#[test]
fn a_prompt_that_the_normaliser_empties_is_refused() {
    let folder = fixture::copy_of("pair-quick-gelu");
    let file = folder.path().join(TOKENIZER);
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let deletion = serde_json::json!({"type": "Replace", "pattern": {"String": "!"}, "content": ""});
    json["normalizer"]["normalizers"].as_array_mut().unwrap().push(deletion);
    fs::write(&file, json.to_string()).unwrap();
    let tokenizer = Tokenizer::of(&Checkpoint::locate(folder.path().to_str().unwrap()).unwrap()).unwrap();
    assert!(tokenizer.encode("a!").is_ok());
    let error = tokenizer.encode("!!").unwrap_err().to_string();
    assert_eq!(error, "the prompt \"!!\" holds nothing that tokenizer.json makes a token of");
}

#[test]
fn truncation_and_padding_of_the_file_are_switched_off() {
    let folder = fixture::copy_of("pair-quick-gelu");
    let file = folder.path().join(TOKENIZER);
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    json["truncation"] =
        serde_json::json!({"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0});
    json["padding"] = serde_json::json!({
        "strategy": {"Fixed": 21}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 1, "pad_type_id": 0, "pad_token": "<|endoftext|>",
    });
    fs::write(&file, json.to_string()).unwrap();
    let found = Tokenizer::of(&Checkpoint::locate(folder.path().to_str().unwrap()).unwrap()).unwrap();
    let prompt = "a photo of a bus.";
    assert_eq!(found.encode(prompt).unwrap(), tiny().encode(prompt).unwrap());
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let file = fixture::path("pair-quick-gelu").join(TOKENIZER);
    let message = |json: &str| Tokenizer::load(&file, &config(json)).unwrap_err().to_string();
    for (json, said) in [
        (r#"{"vocab_size": 158, "eos_token_id": 1}"#, "has token ids up to 158, but vocab_size in config.json is 158"),
        // The default: 49407.
        ("{}", "lacks the end-of-text token: the eos_token_id of config.json, 49407"),
        (
            r#"{"eos_token_id": 5}"#,
            "does not end a text with the end-of-text token, the eos_token_id of config.json, 5",
        ),
        (r#"{"eos_token_id": 2}"#, "does not end a text with the end-of-text token, its highest id, 158"),
    ] {
        let error = message(json);
        assert!(error.starts_with(&format!("tokenizer.json {said}")), "{error}");
        assert!(error.contains("copy the tokenizer.json of this checkpoint"), "{error}");
    }
    let folder = fixture::copy_of("pair-quick-gelu");
    let file = folder.path().join(TOKENIZER);
    let text = fs::read_to_string(&file).unwrap();
    let message =
        || Tokenizer::load(&file, &config(r#"{"vocab_size": 159, "eos_token_id": 1}"#)).unwrap_err().to_string();
    fs::write(&file, &text[..text.len() / 2]).unwrap();
    assert!(message().starts_with("tokenizer.json is not a tokenizer of Hugging Face tokenizers"), "{}", message());
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["post_processor"] = serde_json::Value::Null;
    fs::write(&file, json.to_string()).unwrap();
    assert!(message().contains("does not end a text with the end-of-text token"), "{}", message());
    fs::remove_file(&file).unwrap();
    assert_eq!(message(), "tokenizer.json cannot be read: entity not found");
}
