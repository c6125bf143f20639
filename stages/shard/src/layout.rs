//! Names, limits and chunk sizes of the layout.

use std::collections::BTreeSet;

use contract::{Cause, ColumnSpec};

use crate::{Header, ShardError, element};

/// Value of the root attribute `schema`: what makes an HDF5 file a shard.
pub(crate) const SCHEMA: &str = "pipeline-shard";

/// Version of the layout, stored as `schema_version`. Raised whenever an older reader would misread.
pub const SCHEMA_VERSION: u32 = 1;

/// Longest id of an item, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 1024;

/// Longest message of a failure, in bytes of UTF-8; what is longer is cut and ends in `…`.
pub const MAX_MESSAGE_BYTES: usize = 1024;

/// Longest text attribute, in bytes of UTF-8: HDF5 keeps attributes in an object header message of less than 64 KiB.
pub const MAX_ATTRIBUTE_BYTES: usize = 60_000;

/// Largest row: a chunk holds at least one.
const MAX_ROW_BYTES: usize = 256 << 20;

/// Bytes of a full chunk. A read of one row costs a whole chunk with its checksum, a chunk costs about 100 bytes of
/// index, and libhdf5's default chunk cache of 1 MiB holds four of them.
const CHUNK_BYTES: usize = 256 << 10;

/// The group of the item table.
pub(crate) const ITEM: &str = "item";

/// Root attributes that are not provenance.
pub(crate) const RESERVED: [&str; 8] =
    ["schema", "schema_version", "stage", "stage_version", "key_template", "columns", "shard_index", "shard_count"];

/// Rows in a full chunk of a dataset with rows of this many bytes.
pub(crate) fn chunk_rows(row_bytes: usize) -> usize {
    (CHUNK_BYTES / row_bytes.max(1)).max(1)
}

/// Bytes of one row of a column.
pub(crate) fn row_bytes(spec: &ColumnSpec) -> usize {
    spec.width.unwrap_or(1).saturating_mul(element::size(spec.element))
}

/// The legend of `item/status`, stored beside it for human readers.
pub(crate) fn status_codes() -> String {
    let causes = Cause::ALL.iter().map(|cause| format!("{} {}", cause.code(), cause.name()));
    std::iter::once("0 ok".to_owned()).chain(causes).collect::<Vec<_>>().join(", ")
}

/// Whether a header can be stored so that it reads back equal.
pub(crate) fn check_header(header: &Header) -> Result<(), ShardError> {
    let bad = |reason: String| Err(ShardError::BadHeader { reason });
    if header.columns.is_empty() {
        return bad("no columns".to_owned());
    }
    let mut names = BTreeSet::new();
    for spec in &header.columns {
        let name = &spec.name;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            return bad(format!("column {name:?}: a name is made of a-z, 0-9 and _"));
        }
        if name == ITEM || !names.insert(name) {
            return bad(format!("column {name:?}: the name is taken"));
        }
        if spec.width == Some(0) || row_bytes(spec) > MAX_ROW_BYTES {
            return bad(format!("column {name:?}: a row has 1 byte to 256 MiB"));
        }
        check_text(&format!("unit of {name:?}"), &spec.unit)?;
    }
    check_text("stage", &header.stage)?;
    check_text("key template", &header.key_template)?;
    for (name, value) in &header.attributes {
        if name.is_empty() || name.contains('\0') || name.len() > 255 || RESERVED.contains(&name.as_str()) {
            return bad(format!("attribute {name:?}: the name is empty, too long or taken"));
        }
        check_text(name, value)?;
    }
    match header.position {
        Some((index, count)) if index >= count => bad(format!("shard {index} of {count}, counted from 0")),
        _ => Ok(()),
    }
}

/// Attributes are padded with NUL, so a NUL of their own would not come back.
fn check_text(name: &str, text: &str) -> Result<(), ShardError> {
    if text.len() > MAX_ATTRIBUTE_BYTES || text.contains('\0') {
        let reason = format!("{name}: longer than {MAX_ATTRIBUTE_BYTES} bytes, or with a NUL");
        return Err(ShardError::BadHeader { reason });
    }
    Ok(())
}

/// Whether an id can be stored.
pub(crate) fn check_id(id: &str) -> Result<(), ShardError> {
    let reason = if id.is_empty() {
        "it is empty"
    } else if id.len() > MAX_ID_BYTES {
        "it is longer than 1,024 bytes"
    } else if id.chars().any(char::is_control) {
        "it has control characters"
    } else {
        return Ok(());
    };
    Err(ShardError::BadId { id: id.to_owned(), reason })
}

/// A message as it is stored: NUL replaced, since NUL pads, and cut to the limit at a character.
pub(crate) fn stored_message(message: &str) -> String {
    const ELLIPSIS: char = '…';
    let message = message.replace('\0', "\u{fffd}");
    if message.len() <= MAX_MESSAGE_BYTES {
        return message;
    }
    let end = message.floor_char_boundary(MAX_MESSAGE_BYTES - ELLIPSIS.len_utf8());
    let mut cut = message[..end].to_owned();
    cut.push(ELLIPSIS);
    cut
}
