//! Text in fixed-length HDF5 strings, padded with NUL.
//!
//! The width in the file is that of the longest text. hdf5-metno knows widths at compile time only, so in memory the next
//! larger of a few capacities is used and libhdf5 pads or cuts the padding.

use std::str::FromStr;

use hdf5_metno::types::{FixedUnicode, TypeDescriptor};
use hdf5_metno::{self as hdf5, Dataset, Location};

use crate::stored::Stored;
use crate::{ShardError, element, layout};

/// Largest width that is read.
const MAX_WIDTH: usize = 1 << 16;

macro_rules! with_capacity {
    ($width:expr, $B:ident => $body:expr) => {
        match $width {
            0..=16 => {
                const $B: usize = 16;
                $body
            }
            17..=32 => {
                const $B: usize = 32;
                $body
            }
            33..=64 => {
                const $B: usize = 64;
                $body
            }
            65..=128 => {
                const $B: usize = 128;
                $body
            }
            129..=256 => {
                const $B: usize = 256;
                $body
            }
            257..=512 => {
                const $B: usize = 512;
                $body
            }
            513..=1024 => {
                const $B: usize = 1024;
                $body
            }
            1025..=8192 => {
                const $B: usize = 8192;
                $body
            }
            _ => {
                const $B: usize = MAX_WIDTH;
                $body
            }
        }
    };
}

/// The width that these texts need; HDF5 has no strings of width 0.
pub(crate) fn width<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(str::len).max().unwrap_or(0).max(1)
}

/// The type of a text of this width.
pub(crate) fn descriptor(width: usize) -> TypeDescriptor {
    TypeDescriptor::FixedUnicode(width)
}

fn fixed<const B: usize>(text: &str) -> hdf5::Result<FixedUnicode<B>> {
    FixedUnicode::from_str(text).map_err(|e| hdf5::Error::Internal(e.to_string()))
}

/// Writes one text per row, in blocks.
pub(crate) fn write(dataset: &Dataset, width: usize, texts: &[&str]) -> hdf5::Result<()> {
    let block = layout::chunk_rows(width);
    with_capacity!(width, B => {
        for (i, texts) in texts.chunks(block).enumerate() {
            let fixed = texts.iter().map(|text| fixed::<B>(text)).collect::<hdf5::Result<Vec<_>>>()?;
            dataset.write_slice(&fixed, i * block..i * block + fixed.len())?;
        }
    });
    Ok(())
}

/// Reads all texts of a dataset, in blocks; none may be longer than `limit`.
pub(crate) fn read(stored: &Stored, limit: usize) -> Result<Vec<String>, ShardError> {
    let width = match stored.kind {
        TypeDescriptor::FixedUnicode(width) if (1..=limit.min(MAX_WIDTH)).contains(&width) => width,
        ref other => return Err(ShardError::damaged(&stored.name, format!("unexpected type {other}"))),
    };
    let block = layout::chunk_rows(width);
    let mut texts = Vec::with_capacity(stored.rows);
    for first in (0..stored.rows).step_by(block) {
        let rows = first..(first + block).min(stored.rows);
        with_capacity!(width, B => {
            let fixed = element::read_slice::<FixedUnicode<B>>(&stored.dataset, false, rows)
                .map_err(|e| ShardError::reading(&stored.name, &e))?;
            for text in &fixed {
                texts.push(checked(&stored.name, text.as_bytes())?);
            }
        });
    }
    Ok(texts)
}

/// Adds a text attribute.
pub(crate) fn write_attribute(to: &Location, name: &str, text: &str) -> hdf5::Result<()> {
    let attribute = to.new_attr_builder().empty_as(descriptor(text.len().max(1))).create(name)?;
    with_capacity!(text.len(), B => attribute.write_scalar(&fixed::<B>(text)?))
}

/// Reads a text attribute.
pub(crate) fn read_attribute(from: &Location, name: &str) -> Result<String, ShardError> {
    let wrong = |e: &hdf5::Error| ShardError::reading(name, e);
    let attribute = from.attr(name).map_err(|e| wrong(&e))?;
    match attribute.dtype().and_then(|t| t.to_descriptor()).map_err(|e| wrong(&e))? {
        TypeDescriptor::FixedUnicode(width) if (1..=MAX_WIDTH).contains(&width) => {
            with_capacity!(width, B => {
                let text = attribute.read_scalar::<FixedUnicode<B>>().map_err(|e| wrong(&e))?;
                checked(name, text.as_bytes())
            })
        }
        other => Err(ShardError::damaged(name, format!("unexpected type {other}"))),
    }
}

/// Adds a numeric attribute.
pub(crate) fn write_number(to: &Location, name: &str, number: u32) -> hdf5::Result<()> {
    to.new_attr::<u32>().create(name)?.write_scalar(&number)
}

/// Reads a numeric attribute.
pub(crate) fn read_number(from: &Location, name: &str) -> Result<u32, ShardError> {
    from.attr(name)
        .and_then(|attribute| attribute.as_reader().no_convert().read_scalar::<u32>())
        .map_err(|e| ShardError::reading(name, &e))
}

/// `FixedUnicode::as_str` trusts the file; this does not.
fn checked(name: &str, bytes: &[u8]) -> Result<String, ShardError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(ShardError::damaged(name, "text that is not UTF-8")),
    }
}
