//! One file of many shards, by copying: nothing in it points elsewhere, so nothing can go missing later.

use std::path::{Path, PathBuf};

use crate::{Shard, ShardError, Writer};

/// Copies the items of all shards of a stage, given in order, to one file without a position. Refuses an incomplete or
/// unordered list and shards that differ in anything but their position.
///
/// `out` is a temporary file of the caller's, as with [`Writer::create`]. At most two shards are open at a time.
pub fn merge(inputs: &[PathBuf], out: &Path) -> Result<(), ShardError> {
    let refuse = |reason: String| Err(ShardError::CannotMerge { reason });
    let Some(first) = inputs.first() else {
        return refuse("no shards".to_owned());
    };
    let mut header = Shard::open(first)?.header().clone();
    match header.position.take() {
        Some((_, count)) if count as usize == inputs.len() => {}
        Some((_, count)) => return refuse(format!("{} shards of {count}", inputs.len())),
        None => return refuse("the first file states no position".to_owned()),
    }
    let mut writer = Writer::create(out, &header, None)?;
    for (index, path) in inputs.iter().enumerate() {
        let shard = Shard::open(path)?;
        let mut other = shard.header().clone();
        let position = other.position.take();
        if position != Some((index as u32, inputs.len() as u32)) {
            return refuse(format!("shard {index} of {} is not where it should be", inputs.len()));
        }
        if other != header {
            return refuse(format!("shard {index} was made with other parameters or another version than shard 0"));
        }
        for item in 0..shard.len() {
            shard.copy_item(item, &mut writer)?;
        }
    }
    writer.finish()
}
