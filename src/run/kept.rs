//! Pictures that an earlier run kept: an embedding that is due is made of them instead of decoding the video again.
//!
//! Only lossless ones: a PNG holds the decoded pixels, so the embedding has the same bytes either way. Each file must have
//! the digest that its row says; where one is gone, touched or unreadable, the video is decoded as if none were kept.

use std::collections::HashMap;
use std::path::PathBuf;

use contract::{Picture, Values};
use extract_frames::{FileSpec, Format, Pick};
use shard::Shard;

use crate::error::Result;
use crate::key::{Content, Key, Template};
use crate::resolve::Science;
use crate::store::WorkDir;
use crate::store::index::{Index, IndexedItem, Location};

/// The pictures in the store that were made with the present rate and format.
#[derive(Debug)]
pub struct KeptPictures {
    folder: PathBuf,
    files: FileSpec,
    template: Template,
    index: Index,
    locations: HashMap<Key, Location>,
}

/// One picture file and what its row says.
#[derive(Debug)]
pub struct KeptPicture {
    /// What it is a picture of.
    pub pick: Pick,
    path: PathBuf,
    digest: [u8; 32],
}

impl KeptPictures {
    /// Looks at the store; `None` where it keeps no lossless pictures.
    pub fn open(work: &WorkDir, science: &Science) -> Result<Option<Self>> {
        if science.files.format != Format::Png {
            return Ok(None);
        }
        let index = Index::open(work, extract_frames::DECL.id, false)?;
        let locations = index.locations();
        let folder = work.stage(extract_frames::DECL.id);
        let (files, template) = (science.files, science.pictures_template.clone());
        Ok((!locations.is_empty()).then_some(KeptPictures { folder, files, template, index, locations }))
    }

    /// Whether the store lists pictures of a video with this content.
    pub fn lists(&self, content: &Content) -> bool {
        self.find(content).is_some()
    }

    fn find(&self, content: &Content) -> Option<Location> {
        let at = *self.locations.get(&self.template.key(content))?;
        self.index.item(at).failed.is_none().then_some(at)
    }

    /// The pictures of a video with this content, in order.
    pub fn of(&self, content: &Content) -> Option<Vec<KeptPicture>> {
        let at = self.find(content)?;
        let IndexedItem { id, key, .. } = self.index.item(at);
        let shard = Shard::open(&self.index.files[at.file].path).ok()?;
        // Since it was listed, another process may have published a shard of other pictures under its name.
        shard.items().get(at.item).filter(|item| item.key == *key)?;
        let rows = shard.rows(at.item).ok()?;
        match (&rows.column("time")?.values, &rows.column("pts")?.values, &rows.column("digest")?.values) {
            (Values::F64(time), Values::F64(pts), Values::U8(digest)) => {
                let picture = |i: usize| {
                    let number = i as u32 + 1;
                    let path = self.folder.join(extract_frames::picture_name(id, number, self.files.format));
                    let digest = digest[32 * i..32 * (i + 1)].try_into().ok()?;
                    Some(KeptPicture {
                        pick: Pick { frame: i, time: time[i], pts_seconds: pts[i], number },
                        path,
                        digest,
                    })
                };
                (0..rows.len).map(picture).collect()
            }
            _ => None,
        }
    }
}

impl KeptPicture {
    /// The pixels, if the file is the one that was kept.
    pub fn read(&self) -> Option<Picture> {
        let bytes = std::fs::read(&self.path).ok()?;
        if *blake3::hash(&bytes).as_bytes() != self.digest {
            return None;
        }
        extract_frames::decode_picture(&bytes).ok()
    }
}

#[cfg(test)]
mod tests;
