//! The products of a set stage: a few files and `key.json`, which is published last and says what they are.
//!
//! `key.json` holds the key's preimage, the key, and the BLAKE3 of every product. The products are current when the
//! preimage is the one asked for and every product is there with these bytes. Before new products are written, `key.json`
//! goes; a kill in between leaves products that nothing vouches for, and the stage runs again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{IoContext, Result};
use crate::key::{Content, Difference, canonical, differences, hex};
use crate::store::digests::{Digests, hash_file};
use crate::store::publish::{publish_bytes, remove};

/// What vouches for the products of a folder.
pub const KEY_FILE: &str = "key.json";

/// The content of `key.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeyFile {
    key: String,
    preimage: Value,
    /// File name → BLAKE3 of its bytes.
    products: BTreeMap<String, String>,
}

/// A product on its way: its name and its bytes.
pub type File = (&'static str, Vec<u8>);

/// The folder of a set stage.
#[derive(Debug)]
pub struct Products {
    folder: PathBuf,
}

/// What is stored, held against what is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing is stored.
    New,
    /// Everything is there and as asked for.
    Current,
    /// Stored for another preimage; every field that differs.
    Changed(Vec<Difference>),
    /// This product is missing or has other bytes than were published.
    Damaged(String),
}

impl Products {
    /// The products in this folder.
    pub fn new(folder: PathBuf) -> Self {
        Products { folder }
    }

    /// Compares with the preimage asked for. Tables of a large data set are large: what has not been touched since it was hashed is
    /// taken to be as it was, as media files are; [`Products::damaged`] reads everything.
    pub fn state(&self, preimage: &Value, digests: &Digests) -> State {
        let Some(stored) = self.read_key() else { return State::New };
        if stored.preimage != *preimage {
            return State::Changed(differences(&stored.preimage, preimage));
        }
        let hash = |path: &Path| digests.digest(path).ok();
        Self::damaged_of(&stored, |name| hash(&self.path(name))).map_or(State::Current, State::Damaged)
    }

    /// The first product that is missing or has other bytes than were published.
    pub fn damaged(&self) -> Option<String> {
        Self::damaged_of(&self.read_key()?, |name| hash_file(&self.path(name)).ok())
    }

    fn damaged_of(stored: &KeyFile, hash: impl Fn(&str) -> Option<Content>) -> Option<String> {
        let is_good = |name: &str, digest: &str| hash(name).is_some_and(|found| hex(&found) == digest);
        stored.products.iter().find(|(name, digest)| !is_good(name, digest)).map(|(name, _)| name.clone())
    }

    fn read_key(&self) -> Option<KeyFile> {
        serde_json::from_slice(&std::fs::read(self.folder.join(KEY_FILE)).ok()?).ok()
    }

    /// The preimage of what is stored.
    pub fn preimage(&self) -> Option<Value> {
        self.read_key().map(|stored| stored.preimage)
    }

    /// What stands for a product in the preimage of what is made of it; `None` while there is none that anything vouches for.
    pub fn digest(&self, name: &str) -> Option<String> {
        self.read_key()?.products.get(name).cloned()
    }

    /// The bytes of a product, as they were published: another process may be replacing them.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path(name);
        let bytes = std::fs::read(&path).at("read", &path)?;
        if self.digest(name).is_none_or(|digest| blake3::hash(&bytes).to_hex().as_str() != digest) {
            let message = "these are not the bytes that were published; `pipeline run` makes them anew";
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message)).at("read", &path);
        }
        Ok(bytes)
    }

    /// Publishes new products and then what vouches for them. What another process has published of the same meanwhile stays as it is.
    pub fn publish(&self, preimage: &Value, products: &[File]) -> Result<()> {
        let digest = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
        let digests = products.iter().map(|(name, bytes)| ((*name).to_string(), digest(bytes))).collect();
        let key = hex(blake3::hash(canonical(preimage).as_bytes()).as_bytes());
        let key_file = KeyFile { key, preimage: preimage.clone(), products: digests };
        let stored = self.read_key();
        let vouched = stored.as_ref() == Some(&key_file);
        // Where there is none, there may be in a moment: that of a process that makes the same.
        if !vouched && stored.is_some() {
            remove(&self.folder.join(KEY_FILE))?;
        }
        for (name, bytes) in products {
            let path = self.folder.join(name);
            if !vouched || !std::fs::read(&path).is_ok_and(|there| there == *bytes) {
                publish_bytes(&path, bytes)?;
            }
        }
        if vouched {
            return Ok(());
        }
        let mut text = serde_json::to_vec_pretty(&key_file).expect("plain data");
        text.push(b'\n');
        publish_bytes(&self.folder.join(KEY_FILE), &text)
    }

    /// Path of a product.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn products_are_current_only_while_every_byte_is_as_published() {
        let folder = tempfile::tempdir().expect("tempdir");
        let products = Products::new(folder.path().join("linear-probe"));
        let digests = Digests::load(&folder.path().join("digests"));
        let preimage = json!({"params": {"c": 0.316}});
        assert_eq!(products.state(&preimage, &digests), State::New);
        products.publish(&preimage, &[("model.json", b"{}".to_vec())]).expect("publish");
        assert_eq!(products.state(&preimage, &digests), State::Current);
        let other = json!({"params": {"c": 1.0}});
        let State::Changed(fields) = products.state(&other, &digests) else { panic!("changed") };
        assert_eq!(fields[0].field, "params.c");
        std::fs::write(products.path("model.json"), b"{!").expect("write");
        assert_eq!(products.state(&preimage, &digests), State::Damaged("model.json".into()));
        std::fs::remove_file(products.path("model.json")).expect("remove");
        assert_eq!(products.state(&preimage, &digests), State::Damaged("model.json".into()));
    }
}
