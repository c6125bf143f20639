//! Shards by themselves, against a plain file of as many bytes, both forced to the disk.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use contract::{Column, ColumnSpec, Element, Rows, Values};
use serde::Serialize;
use shard::{Entry, Header, Writer};

use crate::error::{Error, IoContext, Result};

/// How fast rows become a shard.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WritingRate {
    /// Items of the shard.
    pub items: usize,
    /// Bytes of the shard.
    pub bytes: u64,
    /// Seconds that it took, until it was on the disk.
    pub shard: f64,
    /// Seconds that a plain file of as many bytes took.
    pub plain: f64,
}

/// Writes `items` items of `rows` by `width` f32 into a shard in a folder of its own in `folder`, which is removed again.
pub fn measure(folder: &Path, items: usize, rows: usize, width: usize) -> Result<WritingRate> {
    let place = tempfile::Builder::new().prefix(".bench-").tempdir_in(folder).at("write to", folder)?;
    let values: Vec<f32> =
        (0..rows * width).map(|i| -(((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32) / 2e5).collect();
    let values = Rows {
        len: rows,
        columns: vec![Column { name: "log_mel".into(), width: Some(width), values: Values::F32(values) }],
    };
    let column = ColumnSpec { name: "log_mel".into(), width: Some(width), element: Element::F32, unit: "dB".into() };
    let header = Header {
        stage: "bench".into(),
        version: 1,
        key_template: "{}".into(),
        columns: vec![column],
        attributes: std::collections::BTreeMap::new(),
        position: Some((0, 1)),
    };
    let path = place.path().join("shard.h5");
    let fail = |source| Error::Shard { path: path.clone(), source };
    let start = Instant::now();
    let mut writer = Writer::create(&path, &header, Some(items)).map_err(fail)?;
    for i in 0..items {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&(i as u64).to_le_bytes());
        let id = format!("clip-{i}");
        writer.push(Entry { id: &id, key, content: key, outcome: Ok(&values) }).map_err(fail)?;
    }
    writer.finish().map_err(fail)?;
    File::open(&path).and_then(|file| file.sync_all()).at("sync", &path)?;
    let shard = start.elapsed().as_secs_f64();

    let bytes = std::fs::read(&path).at("read", &path)?;
    let plain = place.path().join("plain");
    let start = Instant::now();
    let mut file = File::create(&plain).at("create", &plain)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).at("write", &plain)?;
    Ok(WritingRate { items, bytes: bytes.len() as u64, shard, plain: start.elapsed().as_secs_f64() })
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_is_left_behind() {
        let folder = tempfile::tempdir().expect("tempdir");
        let rate = super::measure(folder.path(), 3, 10, 4).expect("measured");
        assert!(rate.items == 3 && rate.bytes > 3 * 10 * 4 * 4 && rate.shard > 0.0 && rate.plain > 0.0, "{rate:?}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 0);
    }
}
