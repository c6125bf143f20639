//! The BLAKE3 digests of a shard. Both are taken over values, not over the file, so they do not depend on HDF5.

use contract::Rows;

use crate::{ItemRecord, element};

/// Digest of the values of one item: for every column its name and element type, each followed by NUL, the number of
/// rows and the width (0 for scalars) as u64, then the values row after row; numbers little-endian.
pub(crate) fn of_rows(rows: &Rows) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for column in &rows.columns {
        hasher.update(column.name.as_bytes()).update(&[0]);
        hasher.update(element::name(column.values.element()).as_bytes()).update(&[0]);
        hasher.update(&(rows.len as u64).to_le_bytes());
        hasher.update(&(column.width.unwrap_or(0) as u64).to_le_bytes());
        element::le_bytes(&column.values, |bytes| {
            hasher.update(bytes);
        });
    }
    *hasher.finalize().as_bytes()
}

/// Digest of the item table, stored as attribute `digest` of the group `item`: Fletcher-32 does not see a word of zeros
/// turn into a word of ones, and keys decide what is computed again.
pub(crate) fn of_table(items: &[ItemRecord]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for item in items {
        hasher.update(&(item.id.len() as u64).to_le_bytes()).update(item.id.as_bytes());
        hasher.update(&item.key).update(&item.content).update(&item.digest);
        match &item.outcome {
            Ok(rows) => hasher.update(&[0]).update(&(rows.len() as u64).to_le_bytes()),
            Err(failure) => hasher
                .update(&[failure.cause.code()])
                .update(&(failure.message.len() as u64).to_le_bytes())
                .update(failure.message.as_bytes()),
        };
    }
    *hasher.finalize().as_bytes()
}
