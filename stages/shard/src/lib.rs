//! Makes one HDF5 file, a *shard*, of what an item stage made of consecutive items, and reads it back.
//!
//! The layout is dense: the rows of all items lie one after the other in one dataset per column (`embedding` `[N, D]`,
//! `time` `[N]`, `log_mel` `[N, n_mels]`), and `item/offset` `[M + 1]` says which rows belong to which of the M items.
//! Nothing has variable length, nothing is compressed, every dataset carries Fletcher-32, and any h5py opens it as it
//! is. `LAYOUT.md`, beside this crate's `Cargo.toml`, describes every name.
//!
//! Beside it, [`per_clip`] reads and writes the layout of one dataset per clip that others keep such features in.
//!
//! # Invariants
//!
//! - **Same items, same bytes.** No times, no host, no order of arrival: two writers that push the same items with the
//!   same [`Header`] give files that are equal byte for byte.
//! - **Nothing is missing in silence.** An item without a value is there with its [`Failure`]. A file that was not
//!   [finished](Writer::finish) is no shard.
//! - **Damage is an error.** The format's own structures carry checksums, every chunk carries Fletcher-32, the item
//!   table and the values of each item carry a BLAKE3 digest. A size that the file states is compared with the size of
//!   the file before anything is allocated. No input makes this crate panic.
//! - **Bounded memory.** Writing keeps one chunk per column and the item table (about 300 bytes an item) in memory;
//!   reading keeps the item table and what is asked for.
//!
//! # What it does not do
//!
//! - It does not publish: the path is a temporary file of the caller, who syncs and renames it.
//! - It does not lock: HDF5's file locking is switched off for every file that is opened here, by a property of the file
//!   that libhdf5 has had since 1.10.7, whatever the environment says.
//! - It is not parallel: libhdf5 is entered under **one lock for the whole process**, whatever the file. Two threads
//!   that read two shards take turns; use one writer thread, and processes to read in parallel.
//! - It does not defend against a file made to attack: libhdf5 itself parses the structures. What is refused before
//!   libhdf5 sees it: files that are no HDF5, cut short, longer than they say, or in the old format without checksums.
//!
//! # History of [`SCHEMA_VERSION`]
//!
//! - 1: the first.

mod digest;
mod element;
mod error;
mod layout;
mod merge;
pub mod per_clip;
mod reader;
mod stored;
mod superblock;
mod table;
mod text;
mod writer;

use std::collections::BTreeMap;
use std::ops::Range;

use contract::{ColumnSpec, Failure, Rows};

pub use error::ShardError;
pub use layout::{MAX_ATTRIBUTE_BYTES, MAX_ID_BYTES, MAX_MESSAGE_BYTES, SCHEMA_VERSION};
pub use merge::merge;
pub use reader::Shard;
pub use writer::Writer;

/// Major, minor and release number of the libhdf5 at work.
pub fn hdf5_version() -> (u8, u8, u8) {
    hdf5_metno::library_version()
}

/// What holds for a whole shard. Everything in it must be a function of the inputs: it becomes bytes of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Id of the stage.
    pub stage: String,
    /// Version of the stage.
    pub version: u32,
    /// Canonical JSON of the preimage of the keys, with a placeholder where the digest of the content stands.
    pub key_template: String,
    /// The columns, in the order in which [`Rows`] has them.
    pub columns: Vec<ColumnSpec>,
    /// Provenance by name: parameters as JSON, digest of the model, version of the tool. Stored as root attributes.
    pub attributes: BTreeMap<String, String>,
    /// `(index, count)`: this is shard `index` of `count`, counted from 0. `None`: a part, or a merged file.
    pub position: Option<(u32, u32)>,
}

/// One item on its way into a shard.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Id of the item; unique in the shard, without control characters, at most [`MAX_ID_BYTES`].
    pub id: &'a str,
    /// Key of the item at this stage.
    pub key: [u8; 32],
    /// BLAKE3 of the media file; zeros when there is none.
    pub content: [u8; 32],
    /// Its rows, or why there are none.
    pub outcome: Result<&'a Rows, &'a Failure>,
}

/// One item of a shard, without its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRecord {
    /// Id of the item.
    pub id: String,
    /// Key of the item at this stage.
    pub key: [u8; 32],
    /// BLAKE3 of the media file; zeros when there was none.
    pub content: [u8; 32],
    /// BLAKE3 of the values; the digest of no rows when the item failed.
    pub digest: [u8; 32],
    /// Which rows of every column are its own, or why there are none.
    pub outcome: Result<Range<usize>, Failure>,
}

#[cfg(test)]
mod tests;
