//! A damaged file is an error or reads as it was written; never anything else.

use std::path::{Path, PathBuf};

use contract::Rows;

use super::{header, items, random, write};
use crate::{Header, ItemRecord, Shard, ShardError};

type Everything = (Header, Vec<ItemRecord>, Vec<Result<Rows, ShardError>>);

/// All that a shard says, once its data have been checked.
fn everything(path: &Path) -> Result<Everything, ShardError> {
    let shard = Shard::open(path)?;
    shard.check_data()?;
    let rows = (0..shard.len()).map(|i| shard.rows(i)).collect();
    Ok((shard.header().clone(), shard.items().to_vec(), rows))
}

struct Sample {
    _folder: tempfile::TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
    said: Everything,
}

/// A shard with more than one chunk of embeddings.
fn sample(count: usize, width: usize) -> Sample {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    write(&path, &header(width), &items(count, width)).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let said = everything(&path).unwrap();
    Sample { _folder: folder, path, bytes, said }
}

#[test]
fn a_file_that_is_cut_short_says_so() {
    let sample = sample(40, 16);
    let length = sample.bytes.len();
    let mut next = random(1);
    let mut cuts: Vec<usize> = (0..60).chain(length - 60..length).collect();
    cuts.extend((0..150).map(|_| next() as usize % length));
    for cut in cuts {
        std::fs::write(&sample.path, &sample.bytes[..cut]).unwrap();
        match Shard::open(&sample.path) {
            Err(ShardError::Truncated { found, .. }) => assert!(found == cut as u64 && cut > 0),
            Err(ShardError::NotAShard { .. }) => assert_eq!(cut, 0),
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[test]
fn a_flipped_byte_is_an_error_or_harmless() {
    let sample = sample(40, 16);
    let mut next = random(2);
    // Every byte of the superblock and around it, then anywhere; single bits and whole bytes.
    let mut flips: Vec<(usize, u8)> = (0..600).map(|at| (at, 1 << (at % 8))).collect();
    flips.extend((0..600).map(|_| (next() as usize % sample.bytes.len(), next() as u8 | 1)));
    let mut detected = 0;
    for &(at, mask) in &flips {
        let mut bytes = sample.bytes.clone();
        bytes[at] ^= mask;
        std::fs::write(&sample.path, &bytes).unwrap();
        match everything(&sample.path) {
            Err(_) => detected += 1,
            Ok(said) => assert!(said == sample.said, "byte {at} ^ {mask:#x} changes what the shard says"),
        }
    }
    assert!(detected > flips.len() / 2, "{detected} of {} flips were detected", flips.len());
}

/// What a failing disk does: a sector of zeros, ones, or of something else. Fletcher-32 takes a word of ones for a word of zeros.
#[test]
fn an_overwritten_sector_is_an_error_or_harmless() {
    let sample = sample(60, 512);
    let mut next = random(3);
    let sectors = sample.bytes.len() / 512;
    for round in 0..240 {
        let mut bytes = sample.bytes.clone();
        let (to, from) = (next() as usize % sectors * 512, next() as usize % sectors * 512);
        match round % 3 {
            0 => bytes[to..to + 512].fill(0),
            1 => bytes[to..to + 512].fill(0xff),
            _ => bytes.copy_within(from..from + 512, to),
        }
        std::fs::write(&sample.path, &bytes).unwrap();
        if let Ok(said) = everything(&sample.path) {
            assert!(said == sample.said, "sector at {to} changes what the shard says");
        }
    }
}

#[test]
fn words_of_zeros_that_became_ones_are_seen() {
    // Fletcher-32 alone would not see it: the item's digest does.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let mut made = items(1, 64);
    let mut zeros = super::rows(3, 64, 0);
    let mut values = vec![0.0; 3 * 64];
    values[0] = 1.0; // the sums of nothing but zeros are told from those of ones
    zeros.columns[0].values = contract::Values::F32(values);
    made[0].outcome = Ok(zeros);
    write(&path, &header(64), &made).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(190 * 4).position(|w| w.iter().all(|&b| b == 0)).unwrap();
    bytes[at + 64..at + 128].fill(0xff);
    std::fs::write(&path, &bytes).unwrap();
    let error = everything(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        "damaged: rows of item \"straße-00000\": they do not have their digest; delete it and run again"
    );
}

#[test]
fn damaged_rows_name_their_dataset() {
    let sample = sample(40, 16);
    let contract::Values::F32(values) = &sample.said.2[1].as_ref().unwrap().columns[0].values else { panic!() };
    let needle: Vec<u8> = values[..8].iter().flat_map(|v| v.to_le_bytes()).collect();
    let at = sample.bytes.windows(needle.len()).position(|w| w == needle).unwrap();
    let mut bytes = sample.bytes.clone();
    bytes[at] ^= 4;
    std::fs::write(&sample.path, bytes).unwrap();
    let shard = Shard::open(&sample.path).unwrap();
    shard.check().unwrap();
    assert!(matches!(shard.check_data(), Err(ShardError::Damaged { dataset, .. }) if dataset == "embedding"));
}

#[test]
fn a_longer_file_is_damaged() {
    let sample = sample(3, 4);
    let mut bytes = sample.bytes.clone();
    bytes.extend_from_slice(b"more");
    std::fs::write(&sample.path, bytes).unwrap();
    assert_eq!(
        Shard::open(&sample.path).unwrap_err().to_string(),
        "damaged: end of the file: 4 bytes too many; delete it and run again"
    );
}
