#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn message(json: &str) -> String {
    VisionConfig::parse(json).unwrap_err().to_string()
}

#[test]
fn defaults_are_vit_b_32() {
    let config = VisionConfig::parse(r#"{"model_type": "clip"}"#).unwrap();
    let expected = VisionConfig {
        hidden_size: 768,
        intermediate_size: 3072,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        image_size: 224,
        patch_size: 32,
        activation: Activation::QuickGelu,
        layer_norm_eps: 1e-5,
        projection_dim: 512,
        random_weights: false,
    };
    assert_eq!(config, expected);
    assert_eq!((config.grid(), config.tokens(), config.patch_len(), config.stack().head_dim()), (7, 50, 3072, 64));
    let bare = VisionConfig::parse(r#"{"model_type": "clip_vision_model"}"#).unwrap();
    assert_eq!(bare, expected);
}

#[test]
fn tokens_of_the_published_models() {
    let tokens = |size: usize, patch: usize| {
        let json = format!(
            r#"{{"model_type": "clip", "vision_config": {{"image_size": {size}, "patch_size": [{patch}, {patch}]}}}}"#
        );
        VisionConfig::parse(&json).unwrap().tokens()
    };
    assert_eq!([tokens(224, 32), tokens(224, 16), tokens(224, 14), tokens(336, 14)], [50, 197, 257, 577]);
}

#[test]
fn the_projection_of_a_full_model_is_at_the_top() {
    let full = r#"{"model_type": "clip", "projection_dim": 768, "vision_config": {"projection_dim": 512, "hidden_act": "gelu"}}"#;
    let config = VisionConfig::parse(full).unwrap();
    assert_eq!((config.projection_dim, config.activation), (768, Activation::Gelu));
    let vision = r#"{"model_type": "clip_vision_model", "projection_dim": 640, "pipeline_random_weights": true}"#;
    let config = VisionConfig::parse(vision).unwrap();
    assert_eq!((config.projection_dim, config.random_weights), (640, true));
}

#[test]
fn an_old_vision_config_dict_wins_entirely() {
    let json = r#"{"model_type": "clip", "vision_config": {"patch_size": 16, "num_hidden_layers": 3}, "vision_config_dict": {"patch_size": 14}}"#;
    let config = VisionConfig::parse(json).unwrap();
    assert_eq!((config.patch_size, config.num_hidden_layers), (14, 12));
    let json = r#"{"model_type": "clip", "vision_config": {"patch_size": 16}, "vision_config_dict": null}"#;
    assert_eq!(VisionConfig::parse(json).unwrap().patch_size, 16);
}

#[test]
fn what_is_wrong_is_named() {
    assert!(message("{").starts_with("config.json: EOF"));
    assert!(message(r#"{"model_type": "siglip"}"#).contains(r#"model_type is "siglip""#));
    assert!(message("{}").contains("model_type"));
    let with = |key: &str| message(&format!(r#"{{"model_type": "clip", "vision_config": {{{key}}}}}"#));
    assert!(with(r#""hidden_act": "relu""#).contains("unknown variant `relu`"));
    assert!(with(r#""num_attention_heads": 7"#).contains("hidden_size 768 is no multiple of num_attention_heads 7"));
    assert!(with(r#""num_hidden_layers": 0"#).contains("num_hidden_layers is 0"));
    assert!(with(r#""image_size": [224, 200]"#).contains("image_size is not square"));
    assert!(with(r#""num_channels": 4"#).contains("num_channels is 4"));
    assert!(with(r#""layer_norm_eps": 0"#).contains("layer_norm_eps is 0"));
    assert!(with(r#""patch_size": 256"#).contains("patch_size 256 is larger"));
    assert!(message(r#"{"model_type": "clip", "projection_dim": -1}"#).contains("projection_dim"));
    assert!(message(r#"{"model_type": "clip", "vision_config": 3}"#).contains("vision_config is not an object"));
}

fn text(json: &str) -> TextConfig {
    TextConfig::parse(json).unwrap().unwrap()
}

#[test]
fn text_defaults_are_vit_b_32() {
    let expected = TextConfig {
        vocab_size: 49408,
        hidden_size: 512,
        intermediate_size: 2048,
        num_hidden_layers: 12,
        num_attention_heads: 8,
        max_position_embeddings: 77,
        activation: Activation::QuickGelu,
        layer_norm_eps: 1e-5,
        projection_dim: 512,
        end_of_text: EndOfText::Id(49407),
    };
    assert_eq!(text(r#"{"model_type": "clip"}"#), expected);
    // As openai/clip-vit-base-patch32 was published: the ids of another kind of model.
    let old = r#"{"model_type": "clip", "text_config": {"bos_token_id": 0, "eos_token_id": 2, "projection_dim": 99}}"#;
    assert_eq!(text(old), TextConfig { end_of_text: EndOfText::Highest, ..expected });
    assert_eq!(TextConfig::parse(r#"{"model_type": "clip_vision_model"}"#).unwrap(), None);
}

#[test]
fn an_old_text_config_dict_wins_entirely() {
    let json = r#"{"model_type": "clip", "projection_dim": 768, "text_config": {"num_hidden_layers": 3}, "text_config_dict": {"hidden_size": 768, "num_attention_heads": 12}}"#;
    let config = text(json);
    assert_eq!((config.num_hidden_layers, config.hidden_size, config.projection_dim), (12, 768, 768));
}

#[test]
fn what_is_wrong_with_the_text_part_is_named() {
    let message = |key: &str| {
        let json = format!(r#"{{"model_type": "clip", "text_config": {{{key}}}}}"#);
        TextConfig::parse(&json).unwrap_err().to_string()
    };
    assert!(message(r#""hidden_act": "relu""#).contains("text_config: unknown variant `relu`"));
    assert!(message(r#""num_attention_heads": 7"#).contains("text_config: hidden_size 512 is no multiple"));
    assert!(message(r#""eos_token_id": 49408"#).contains("eos_token_id is 49408, but vocab_size is 49408"));
    assert!(message(r#""eos_token_id": null"#).contains("text_config: invalid type: null"));
    assert!(message(r#""max_position_embeddings": 0"#).contains("max_position_embeddings is 0"));
}
