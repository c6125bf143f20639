//! The tokenizer: CLIP's byte-level BPE, its merges learnt from captions.
//!
//! As Hugging Face's `CLIPTokenizerFast`: text is lower-cased and its white space collapsed, words are split off by CLIP's expression, their bytes
//! written as printable characters, the last of a word with `</w>`. All 256 bytes are in the vocabulary in both forms, so any text can be encoded.
//! Ids: 256 bytes, 256 bytes at the end of a word, merges in the order of their rank, `<|startoftext|>`, `<|endoftext|>`.

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::{
    AddedToken, Model, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, Tokenizer, Trainer,
};

/// Starts every text.
pub const START: &str = "<|startoftext|>";
/// Ends every text, and fills up behind it.
pub const END: &str = "<|endoftext|>";

const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Learns at most `merges` merges from `texts`, those that occur most often first. The text of `tokenizer.json`.
pub fn learn(texts: &[String], merges: usize) -> Result<String> {
    let bytes: Vec<String> = byte_characters().iter().map(char::to_string).collect();
    let base: Vec<String> = bytes.iter().cloned().chain(bytes.iter().map(|b| format!("{b}</w>"))).collect();
    // Ties between equally frequent pairs are broken by id. Naming the base as special tokens fixes its ids, so that nothing depends on the order of a hash map.
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .min_frequency(2)
        .vocab_size(base.len() + merges)
        .end_of_word_suffix("</w>".into())
        .special_tokens(base.iter().map(|token| AddedToken::from(token.clone(), false)).collect())
        .build();
    let splitter = load(&file(&json!({}), &json!([]), 0))?;
    trainer.feed(texts.iter(), |text| words(&splitter, text)).map_err(|e| anyhow!(e))?;
    let mut model = BPE::default();
    trainer.train(&mut model).map_err(|e| anyhow!(e))?;
    let size = model.get_vocab_size();
    let model = serde_json::to_value(&model)?;
    Ok(file(&model["vocab"], &model["merges"], size))
}

/// Reads `tokenizer.json`.
pub fn load(json: &str) -> Result<Tokenizer> {
    json.parse().map_err(|e: tokenizers::Error| anyhow!("tokenizer.json: {e}"))
}

/// The words of a text, as the tokenizer sees them.
fn words(tokenizer: &Tokenizer, text: &str) -> tokenizers::Result<Vec<String>> {
    let mut normalized = tokenizers::NormalizedString::from(text);
    if let Some(normalizer) = tokenizer.get_normalizer() {
        normalizer.normalize(&mut normalized)?;
    }
    let mut split = PreTokenizedString::from(normalized);
    if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
        pre_tokenizer.pre_tokenize(&mut split)?;
    }
    let splits = split.get_splits(OffsetReferential::Original, OffsetType::Byte);
    Ok(splits.into_iter().map(|(word, ..)| word.to_owned()).collect())
}

/// `tokenizer.json` as Hugging Face writes it for CLIP; the two special tokens come after `size` others.
fn file(vocabulary: &Value, merges: &Value, size: usize) -> String {
    let mut vocabulary = vocabulary.clone();
    vocabulary[START] = json!(size);
    vocabulary[END] = json!(size + 1);
    let special = |content: &str, id: usize| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })
    };
    let file = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [special(START, size), special(END, size + 1)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Lowercase"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]},
        "post_processor": {
            "type": "RobertaProcessing", "sep": [END, size + 1], "cls": [START, size],
            "trim_offsets": false, "add_prefix_space": false,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": END, "continuing_subword_prefix": "", "end_of_word_suffix": "</w>",
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary, "merges": merges,
        },
    });
    format!("{file:#}\n")
}

/// The printable character of each byte, in the order of CLIP's vocabulary: those that print as they are, then the rest from U+0100 on.
fn byte_characters() -> Vec<char> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let rest = (0..=255_u8).filter(|byte| !printable(byte)).count() as u32;
    let plain = (0..=255_u8).filter(printable).map(char::from);
    plain.chain((0..rest).map(|n| char::from_u32(0x100 + n).expect("far below the surrogates"))).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn texts() -> Vec<String> {
        let texts = ["a photo of a tram.", "a photo of a metro station, not a tram.", "two trams in a station"];
        texts.repeat(3).into_iter().map(str::to_owned).collect()
    }

    fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
        tokenizer.encode(text, true).unwrap().get_ids().to_vec()
    }

    #[test]
    fn a_tokenizer_is_the_same_every_time_and_has_no_unknown_text() {
        let file = learn(&texts(), 40).unwrap();
        for _ in 0..5 {
            assert!(learn(&texts(), 40).unwrap() == file);
        }
        let tokenizer = load(&file).unwrap();
        let size = tokenizer.get_vocab_size(true) as u32;
        assert_eq!(tokenizer.token_to_id(START), Some(size - 2));
        assert_eq!(tokenizer.token_to_id(END), Some(size - 1));
        // CLIP's order: "!" is 0, its form at the end of a word 256, so "a" there is 320 as in every CLIP.
        assert_eq!(ids(&tokenizer, "a!"), [size - 2, 320, 256, size - 1]);
        for text in ["zebra", "naïve café 東京", "it's 42 don't!!", "\u{1F68B}"] {
            let ids = ids(&tokenizer, text);
            assert!(ids.len() > 2 && ids[1..ids.len() - 1].iter().all(|&id| id < size - 2), "{text}: {ids:?}");
        }
    }

    #[test]
    fn case_and_white_space_do_not_matter_and_the_text_comes_back() {
        let tokenizer = load(&learn(&texts(), 40).unwrap()).unwrap();
        assert_eq!(ids(&tokenizer, "A  Photo of\n a TRAM."), ids(&tokenizer, "a photo of a tram."));
        assert_ne!(ids(&tokenizer, "a photo of a tram."), ids(&tokenizer, "a tram of a photo."));
        let decoded = tokenizer.decode(&ids(&tokenizer, "a photo of a tram."), true).unwrap();
        assert_eq!(decoded.replace("</w>", " ").trim_end(), "a photo of a tram .");
    }
}
