//! The item table: the group `item`, one row per item.

use std::ops::Range;

use contract::{Cause, Failure};
use hdf5_metno::types::{FixedAscii, IntSize, TypeDescriptor};
use hdf5_metno::{self as hdf5, Dataset, Group};

use crate::stored::{Extent0, Stored, create};
use crate::{ItemRecord, ShardError, digest, element, layout, text};

/// Characters of a BLAKE3 digest in hexadecimal.
const HEX: usize = 64;

const NUMBERS: TypeDescriptor = TypeDescriptor::Integer(IntSize::U8);
const STATUS: TypeDescriptor = TypeDescriptor::Unsigned(IntSize::U1);

/// Writes the table of finished items.
pub(crate) fn write(file: &Group, items: &[ItemRecord]) -> hdf5::Result<()> {
    let group = file.create_group_builder().obj_track_times(false).create(layout::ITEM)?;
    text::write_attribute(&group, "digest", &hex(&digest::of_table(items)))?;

    let column = |name: &str, kind: &TypeDescriptor, rows: usize, unit: &str| {
        create(&group, name, kind, (Extent0::Final(rows), None), layout::chunk_rows(kind.size()), unit)
    };
    let texts = |name: &str, texts: &[&str]| {
        let width = text::width(texts.iter().copied());
        text::write(&column(name, &text::descriptor(width), texts.len(), "")?, width, texts)
    };
    let digests = |name: &str, of: fn(&ItemRecord) -> &[u8; 32]| -> hdf5::Result<()> {
        let dataset = column(name, &TypeDescriptor::FixedAscii(HEX), items.len(), "")?;
        write_hex(&dataset, items, of)
    };

    texts("id", &items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>())?;
    digests("key", |item| &item.key)?;
    digests("content", |item| &item.content)?;
    digests("digest", |item| &item.digest)?;

    let status = items.iter().map(|item| item.outcome.as_ref().err().map_or(0, |failure| failure.cause.code()));
    let dataset = column("status", &STATUS, items.len(), "")?;
    text::write_attribute(&dataset, "codes", &layout::status_codes())?;
    if !items.is_empty() {
        dataset.write_slice(&status.collect::<Vec<u8>>(), 0..items.len())?;
    }

    let message = |item: &'_ ItemRecord| item.outcome.as_ref().err().map_or("", |failure| &failure.message).to_owned();
    let messages: Vec<String> = items.iter().map(message).collect();
    texts("message", &messages.iter().map(String::as_str).collect::<Vec<_>>())?;

    let mut offsets = vec![0_i64];
    let mut end = 0;
    for item in items {
        end += item.outcome.as_ref().map_or(0, Range::len);
        offsets.push(end as i64);
    }
    column("offset", &NUMBERS, offsets.len(), "row")?.write_slice(&offsets, 0..offsets.len())
}

fn write_hex(dataset: &Dataset, items: &[ItemRecord], of: fn(&ItemRecord) -> &[u8; 32]) -> hdf5::Result<()> {
    let block = layout::chunk_rows(HEX);
    for (i, items) in items.chunks(block).enumerate() {
        let fixed = items
            .iter()
            .map(|item| FixedAscii::<HEX>::from_ascii(hex(of(item)).as_bytes()).map_err(|e| e.to_string().into()))
            .collect::<hdf5::Result<Vec<_>>>()?;
        dataset.write_slice(&fixed, i * block..i * block + fixed.len())?;
    }
    Ok(())
}

/// Reads the table and compares it with its digest. Every offset is checked against its neighbours here, against the
/// columns by the caller.
pub(crate) fn read(file: &Group, file_bytes: u64) -> Result<Vec<ItemRecord>, ShardError> {
    let group = file.group(layout::ITEM).map_err(|e| ShardError::reading(layout::ITEM, &e))?;
    let open = |name: &str| Stored::open(&group, name, &format!("{}/{name}", layout::ITEM), file_bytes);

    let stored = open("status")?;
    let count = stored.rows;
    let status = numbers::<u8>(&stored.expect(&STATUS, count)?)?;
    let offsets = numbers::<i64>(&open("offset")?.expect(&NUMBERS, count + 1)?)?;
    let ids = text::read(&open("id")?.expect_rows(count)?, layout::MAX_ID_BYTES)?;
    let messages = text::read(&open("message")?.expect_rows(count)?, layout::MAX_MESSAGE_BYTES)?;
    let digests = |name: &str| read_hex(&open(name)?.expect(&TypeDescriptor::FixedAscii(HEX), count)?);
    let (keys, contents, values) = (digests("key")?, digests("content")?, digests("digest")?);

    if offsets[0] != 0 {
        return Err(ShardError::damaged("item/offset", "it does not begin with 0"));
    }
    let mut items = Vec::with_capacity(count);
    for (i, (id, message)) in ids.into_iter().zip(messages).enumerate() {
        let rows = match (usize::try_from(offsets[i]), usize::try_from(offsets[i + 1])) {
            (Ok(start), Ok(end)) if start <= end => start..end,
            _ => return Err(ShardError::damaged("item/offset", format!("item {i} ends before it begins"))),
        };
        let outcome = match (status[i], Cause::from_code(status[i])) {
            (0, _) if message.is_empty() => Ok(rows),
            (_, Some(cause)) if rows.is_empty() => Err(Failure { cause, message }),
            _ => return Err(ShardError::damaged("item/status", format!("item {i} has an impossible status"))),
        };
        items.push(ItemRecord { id, key: keys[i], content: contents[i], digest: values[i], outcome });
    }

    let stated = text::read_attribute(&group, "digest")?;
    if stated != hex(&digest::of_table(&items)) {
        return Err(ShardError::damaged(layout::ITEM, "the table does not have its digest"));
    }
    Ok(items)
}

fn numbers<T: hdf5::H5Type>(stored: &Stored) -> Result<Vec<T>, ShardError> {
    element::read_slice(&stored.dataset, false, 0..stored.rows).map_err(|e| ShardError::reading(&stored.name, &e))
}

fn read_hex(stored: &Stored) -> Result<Vec<[u8; 32]>, ShardError> {
    let block = layout::chunk_rows(HEX);
    let mut digests = Vec::with_capacity(stored.rows);
    for first in (0..stored.rows).step_by(block) {
        let rows = first..(first + block).min(stored.rows);
        let fixed = element::read_slice::<FixedAscii<HEX>>(&stored.dataset, false, rows)
            .map_err(|e| ShardError::reading(&stored.name, &e))?;
        for text in &fixed {
            let digest = blake3::Hash::from_hex(text.as_bytes())
                .map_err(|_| ShardError::damaged(&stored.name, "not 64 hexadecimal digits"))?;
            digests.push(*digest.as_bytes());
        }
    }
    Ok(digests)
}

fn hex(digest: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*digest).to_hex().to_string()
}
