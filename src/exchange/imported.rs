//! A stage whose values were imported: what its folder says of them.
//!
//! `work/STAGE/imported.json` holds the key template of the shards beside it, where they came from, and their width. It is published
//! before the first shard and says `finished` after the last one, so that an import that was killed is told. As long as it is there, nothing
//! of this stage is computed: a plan takes the key of each item from the shards. To compute again, remove the stage's folder.
//!
//! The key of an imported value is over `{ stage, params: { imported: [source names], width }, inputs: { values: BLAKE3 of the values } }`: it can never
//! be taken for one that was computed, and stages that read it see it change when other values are imported.

use std::collections::HashMap;

use contract::{ColumnSpec, Decl};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, IoContext, Result};
use crate::key::{Content, Template, content};
use crate::store::WorkDir;
use crate::store::index::Index;
use crate::store::publish::publish_bytes;

const FILE: &str = "imported.json";

/// What `imported.json` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// The key template of the shards, as JSON.
    pub template: Value,
    /// File names that the values were read from.
    pub sources: Vec<String>,
    /// Values per row of the stage's matrix: bands, or the dimension of the embedding.
    pub width: usize,
    /// Unit of the matrix, by the configuration that the import was made with.
    pub unit: String,
    /// Items with values.
    pub items: usize,
    /// Whether every shard is there.
    pub finished: bool,
}

impl Imported {
    /// A record of an import to come.
    pub fn new(decl: &Decl, sources: Vec<String>, width: usize, unit: String) -> Self {
        let params = json!({ "imported": sources, "width": width });
        let template = Template::new(decl.id, decl.version, &params, &json!({}), &json!({ "values": content() }));
        Imported { template: template.value(), sources, width, unit, items: 0, finished: false }
    }

    /// The record of a stage; `None` when its values are computed. An import that did not come to its end is an error.
    pub fn read(work: &WorkDir, stage: &str) -> Result<Option<Self>> {
        let path = work.stage(stage).join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at("read", &path),
        };
        let again = |what: String| Error::Config {
            path: path.clone(),
            message: format!("{what}: run `pipeline import {stage}` again, or remove the folder to compute"),
        };
        let record: Imported = serde_json::from_slice(&bytes).map_err(|e| again(format!("is damaged ({e})")))?;
        if record.finished { Ok(Some(record)) } else { Err(again("tells of an unfinished import".to_string())) }
    }

    /// Publishes the record.
    pub fn publish(&self, work: &WorkDir, stage: &str) -> Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain data");
        bytes.push(b'\n');
        publish_bytes(&work.stage(stage).join(FILE), &bytes)
    }

    /// The key template.
    pub fn template(&self, stage: &'static str) -> Result<Template> {
        let text = crate::key::canonical(&self.template);
        Template::from_text(text).ok_or_else(|| Error::Stage {
            stage,
            message: format!("its {FILE} is damaged: run `pipeline import {stage}` again"),
        })
    }

    /// The columns of the shards.
    pub fn columns(&self, decl: &Decl) -> Vec<ColumnSpec> {
        if decl.id == log_mel::DECL.id {
            let (element, unit) = (contract::Element::F32, self.unit.clone());
            return vec![ColumnSpec { name: "log_mel".into(), width: Some(self.width), element, unit }];
        }
        encode_clip::columns(self.width, encode_clip::Dtype::F32)
    }

    /// One line for people.
    pub fn note(&self, stage: &str) -> String {
        let items = crate::ui::plural(self.items, "item");
        format!("{stage} is imported, not computed: {items} from {}", self.sources.join(", "))
    }
}

/// Whether a shard's key template is that of imported values.
pub fn is_imported(template: &str) -> bool {
    serde_json::from_str::<Value>(template).is_ok_and(|value| value["params"].get("imported").is_some())
}

/// The content of every imported item, by its id. Shards stand before parts in the index, and their word stands.
pub fn contents<'a>(index: &'a Index, template: &Template) -> HashMap<&'a str, Content> {
    let ours = index.files.iter().rev().filter(|file| file.template == template.text());
    ours.flat_map(|file| &file.items).map(|item| (item.id.as_str(), item.content)).collect()
}
