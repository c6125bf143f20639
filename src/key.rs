//! Keys: when is an item up to date.
//!
//! `key(item, stage) = BLAKE3(canonical JSON { format, stage, version, params, facts, inputs })`
//!
//! | value | in the key of | why |
//! |---|---|---|
//! | [`FORMAT`] | every stage | what this module itself means by a key |
//! | stage id, stage `version` | that stage and all below | other code, other values |
//! | resolved parameters that can change values | that stage and all below | |
//! | libav major versions | `extract-frames` and all below; `log-mel` | another decoder or scaler may give other bytes |
//! | digest of the model's files, precision | `encode-clip` and all below | other weights, other values |
//! | BLAKE3 of the media file's content | every item stage | the bytes are the input, whatever the file is called |
//! | picture format and quality | `extract-frames` only | an embedding is made of the decoded pixels, not of the picture file |
//! | labels, groups, splits, and which items there are | set stages only | an item stage never sees them |
//!
//! | never in a key | why |
//! |---|---|
//! | modification time, inode | noise on network file systems; they only save re-hashing ([`crate::store::digests`]) |
//! | absolute path, file name, item id, item order, shard size | moving, renaming and reordering change no value |
//! | host, device, thread count, batch size | results are equal within the stated tolerance; they are recorded beside the run |
//! | git commit, build time | `version` says when values change, and a tripwire test in each stage holds it to that |
//!
//! Departure from the design: the key of a stage holds the *whole* preimage of the stage that it reads instead of that
//! stage's key. The hash is as strong, and `explain` can name every field that differs although streamed pictures leave
//! no record of their own. All items of a stage share one preimage up to the content digest, so it is kept once a shard
//! ([`Template`]) and hashing 1,000,000 keys costs about a second.

use serde::Serialize;
use serde_json::{Value, json};

/// Version of what a key is. Changing it recomputes everything everywhere.
pub const FORMAT: u32 = 1;

/// Stands for the content digest in a [`Template`].
const CONTENT: &str = "$content";

/// The key of one item for one stage.
pub type Key = [u8; 32];

/// BLAKE3 of a media file's content; all zero when there is no such file.
pub type Content = [u8; 32];

/// The content of a file that is not there.
pub const NO_CONTENT: Content = [0; 32];

/// The preimage of a stage's keys with the content digest left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    /// Byte position of [`CONTENT`] in `text`.
    hole: usize,
}

impl Template {
    /// The template of an item stage. `inputs` names what the stage reads: [`content`] or the [`Template::value`] of
    /// another stage.
    pub fn new(stage: &str, version: u32, params: &impl Serialize, facts: &Value, inputs: &Value) -> Self {
        let params = serde_json::to_value(params).expect("parameters are plain data");
        let value = json!({
            "format": FORMAT, "stage": stage, "version": version, "params": params, "facts": facts, "inputs": inputs,
        });
        Self::from_text(canonical(&value)).expect("inputs name the content")
    }

    /// A template as stored in a shard; `None` when the text is none.
    pub fn from_text(text: String) -> Option<Self> {
        let hole = text.find(CONTENT)?;
        Some(Template { text, hole })
    }

    /// The canonical JSON.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As a JSON value, to be read by a person or to stand in the inputs of the next stage.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.text).expect("a template is JSON")
    }

    /// The key of the item with this content.
    pub fn key(&self, content: &Content) -> Key {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.text.as_bytes()[..self.hole]);
        hasher.update(hex(content).as_bytes());
        hasher.update(&self.text.as_bytes()[self.hole + CONTENT.len()..]);
        *hasher.finalize().as_bytes()
    }
}

/// The place of the content digest in the inputs of a stage.
pub fn content() -> Value {
    Value::String(CONTENT.to_string())
}

/// Lower-case hexadecimal.
pub fn hex(digest: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*digest).to_hex().to_string()
}

/// JSON with sorted keys and no white space, whatever features of `serde_json` some dependency switches on.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(name, _)| name.as_str());
            let fields: Vec<String> = entries
                .into_iter()
                .map(|(name, v)| format!("{}:{}", Value::String(name.clone()), canonical(v)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(canonical).collect::<Vec<_>>().join(",")),
        scalar => scalar.to_string(),
    }
}

/// One field of a preimage that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Dotted path, e.g. `params.n_mels`.
    pub field: String,
    /// The value that the stored result was made with; `None` when the field did not exist.
    pub old: Option<String>,
    /// The value that is asked for now.
    pub new: Option<String>,
}

/// Every field that differs between two preimages, in order of the field names.
pub fn differences(old: &Value, new: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    collect("", Some(old), Some(new), &mut found);
    found
}

fn collect(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Difference>) {
    if old == new {
        return;
    }
    if let (Some(Value::Object(a)), Some(Value::Object(b))) = (old, new) {
        let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            collect(&path, a.get(name), b.get(name), found);
        }
        return;
    }
    found.push(Difference { field: path.to_string(), old: old.map(canonical), new: new.map(canonical) });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(n_mels: u32) -> Template {
        Template::new("log-mel", 1, &json!({"n_mels": n_mels}), &json!({"avcodec": 59}), &json!({"sound": content()}))
    }

    #[test]
    fn canonical_json_sorts_at_every_level() {
        let value = json!({"b": [1, {"z": null, "a": "x\"y"}], "a": 0.5});
        assert_eq!(canonical(&value), r#"{"a":0.5,"b":[1,{"a":"x\"y","z":null}]}"#);
    }

    #[test]
    fn a_key_is_the_hash_of_the_whole_preimage() {
        let content = [7; 32];
        let whole = template(64).text().replace(CONTENT, &hex(&content));
        assert_eq!(template(64).key(&content), *blake3::hash(whole.as_bytes()).as_bytes());
    }

    #[test]
    fn the_key_format_is_pinned() {
        // Changing what this prints recomputes every user's store: raise FORMAT and say so in the changelog.
        assert_eq!(
            template(64).text(),
            r#"{"facts":{"avcodec":59},"format":1,"inputs":{"sound":"$content"},"params":{"n_mels":64},"stage":"log-mel","version":1}"#
        );
    }

    #[test]
    fn every_difference_is_listed_with_both_values() {
        let old = json!({"params": {"n_mels": 64, "gone": true}, "facts": {"avcodec": 59}});
        let new = json!({"params": {"n_mels": 128, "fresh": "a"}, "facts": {"avcodec": 59}});
        let fields: Vec<_> = differences(&old, &new).into_iter().map(|d| (d.field, d.old, d.new)).collect();
        assert_eq!(
            fields,
            [
                ("params.fresh".into(), None, Some("\"a\"".into())),
                ("params.gone".into(), Some("true".into()), None),
                ("params.n_mels".into(), Some("64".into()), Some("128".into())),
            ]
        );
    }
}
