//! A look at the first 48 bytes before libhdf5 sees the file.
//!
//! Shards are written with the 1.10 format, whose superblock (version 3), object headers and chunk indexes carry checksums. Files
//! in the older formats, where a flipped byte sends libhdf5 anywhere, are refused here. Source: HDF5 File Format
//! Specification 3.0, II.A "Disk Format: Level 0A - Format Signature and Superblock".

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::ShardError;

const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";
const LENGTH: usize = 48;
const VERSION: usize = 8;
const FLAGS: usize = 11;
const END_OF_FILE: usize = 28;

/// Accepts a file that begins like a shard and is as long as it says; returns its length in bytes.
pub(crate) fn check(path: &Path) -> Result<u64, ShardError> {
    check_path("open the file", path)?;
    let open = |e: std::io::Error| ShardError::io("open the file", &e);
    let file = File::open(path).map_err(open)?;
    let metadata = file.metadata().map_err(open)?;
    let not_a_shard = |reason: &str| Err(ShardError::NotAShard { reason: reason.to_owned() });
    if !metadata.is_file() {
        return not_a_shard("it is no regular file");
    }
    let found = metadata.len();
    let mut head = Vec::with_capacity(LENGTH);
    file.take(LENGTH as u64).read_to_end(&mut head).map_err(|e| ShardError::io("read the file", &e))?;

    let begins = head.len().min(SIGNATURE.len());
    if head.is_empty() {
        return not_a_shard("the file is empty");
    }
    if head[..begins] != SIGNATURE[..begins] {
        return not_a_shard("the file is not HDF5");
    }
    let Ok(head) = <[u8; LENGTH]>::try_from(head) else {
        return Err(ShardError::Truncated { expected: LENGTH as u64, found });
    };
    if head[VERSION] != 3 {
        return not_a_shard("HDF5 in an older format, written by another program");
    }
    if head[FLAGS] != 0 {
        return Err(ShardError::Unfinished);
    }
    let mut end = [0; 8];
    end.copy_from_slice(&head[END_OF_FILE..END_OF_FILE + 8]);
    let expected = u64::from_le_bytes(end);
    if found < expected {
        return Err(ShardError::Truncated { expected, found });
    }
    if found > expected {
        return Err(ShardError::damaged("end of the file", format!("{} bytes too many", found - expected)));
    }
    Ok(found)
}

/// libhdf5 takes paths as C strings and hdf5-metno as UTF-8.
pub(crate) fn check_path(doing: &'static str, path: &Path) -> Result<(), ShardError> {
    match path.to_str() {
        Some(text) if !text.contains('\0') => Ok(()),
        _ => Err(ShardError::Io { doing, message: "its path is not UTF-8, or has a NUL".to_owned() }),
    }
}
