//! Prompts to token ids, by the `tokenizer.json` of the checkpoint.
//!
//! Normalisation, splitting, merges and the first and last token are what the file says (any Hugging Face tokenizer). Truncation and padding,
//! which a file can ask for as well, are switched off: a prompt that does not fit is an error, never cut, and what is filled up to the
//! length of a block is the tower's business.

use std::fs;
use std::path::Path;

use crate::Error;
use crate::checkpoint::{Checkpoint, TOKENIZER, file_name};
use crate::config::{EndOfText, TextConfig};

/// A tokenizer that was checked against the text tower that it is for.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    positions: usize,
    end_of_text: EndOfText,
}

impl Tokenizer {
    /// The tokenizer of a checkpoint.
    pub fn of(checkpoint: &Checkpoint) -> Result<Tokenizer, Error> {
        Self::load(&checkpoint.tokenizer_file()?, &checkpoint.text_config()?)
    }

    /// Reads a `tokenizer.json` for a text tower. An error where it belongs to another model: where it knows ids that the tower has no
    /// embedding for, or does not end a text with the token whose output becomes the feature.
    pub fn load(file: &Path, config: &TextConfig) -> Result<Tokenizer, Error> {
        let bytes =
            fs::read(file).map_err(|e| Error::Unreadable { file: file_name(file), message: e.kind().to_string() })?;
        let bad = |message: String| Error::Tokenizer { message };
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|e| bad(format!("is not a tokenizer of Hugging Face tokenizers: {e}")))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| bad(format!("cannot be used without truncation: {e}")))?;

        let highest = inner.get_vocab(true).into_values().max().ok_or_else(|| bad("has an empty vocabulary".into()))?;
        let remedy =
            format!("it belongs to another model, copy the {TOKENIZER} of this checkpoint beside its config.json");
        if highest as usize >= config.vocab_size {
            return Err(bad(format!(
                "has token ids up to {highest}, but vocab_size in config.json is {}: {remedy}",
                config.vocab_size
            )));
        }
        let (end, why) = match config.end_of_text {
            EndOfText::Id(id) => (id, format!("the eos_token_id of config.json, {id}")),
            EndOfText::Highest => (highest, format!("its highest id, {highest} (eos_token_id in config.json is 2)")),
        };
        if inner.id_to_token(end).is_none() {
            return Err(bad(format!("lacks the end-of-text token: {why}: {remedy}")));
        }
        let probe = inner.encode("a", true).map_err(|e| bad(format!("cannot encode \"a\": {e}")))?;
        if probe.get_ids().last() != Some(&end) {
            return Err(bad(format!("does not end a text with the end-of-text token, {why}: {remedy}")));
        }
        Ok(Tokenizer { inner, positions: config.max_position_embeddings, end_of_text: config.end_of_text })
    }

    /// The ids of a prompt, first and last token included; the last one is where the feature is read. An error naming the prompt where it is
    /// empty, too long, or has an end of text before its end.
    pub fn encode(&self, prompt: &str) -> Result<Vec<u32>, Error> {
        let bad = |message: String| Error::Prompt { prompt: prompt.into(), message };
        if prompt.trim().is_empty() {
            return Err(bad("is empty: write what the picture shows".into()));
        }
        let encoding = self.inner.encode(prompt, true).map_err(|e| bad(format!("cannot be tokenized: {e}")))?;
        let ids = encoding.get_ids();
        if encoding.get_special_tokens_mask().iter().all(|special| *special == 1) {
            return Err(bad(format!("holds nothing that {TOKENIZER} makes a token of")));
        }
        if ids.len() > self.positions {
            let (tokens, room) = (ids.len(), self.positions);
            return Err(bad(format!(
                "has {tokens} tokens, first and last included; the model has room for {room}: shorten it"
            )));
        }
        if self.end_of_text.position(ids) != Some(ids.len() - 1) {
            return Err(bad(format!(
                "has the end-of-text token before its end (by that name, or for a character that {TOKENIZER} does not know): what follows \
                 would not be read; write it with other characters"
            )));
        }
        Ok(ids.to_vec())
    }
}

impl EndOfText {
    /// Where the feature of these ids is read.
    pub fn position(self, ids: &[u32]) -> Option<usize> {
        let end = match self {
            EndOfText::Id(id) => id,
            EndOfText::Highest => *ids.iter().max()?,
        };
        ids.iter().position(|id| *id == end)
    }
}

#[cfg(test)]
mod tests;
