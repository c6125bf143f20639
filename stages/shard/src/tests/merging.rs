//! Shards to one file.

use std::path::PathBuf;

use super::{header, items, write};
use crate::{Header, Shard, ShardError, merge};

#[test]
fn a_merged_file_holds_all_items_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let made = items(50, 16);
    let at = |index, count| Header { position: Some((index, count)), ..header(16) };
    let paths: Vec<PathBuf> = (0..4).map(|i| folder.path().join(format!("{i:05}-of-00004.h5"))).collect();
    for (i, part) in made.chunks(13).enumerate() {
        write(&paths[i], &at(i as u32, 4), part).unwrap();
    }
    let out = folder.path().join("all.h5");
    merge(&paths, &out).unwrap();
    let direct = folder.path().join("direct.h5");
    write(&direct, &Header { position: None, ..header(16) }, &made).unwrap();
    assert!(std::fs::read(&out).unwrap() == std::fs::read(&direct).unwrap());
    assert_eq!(Shard::open(&out).unwrap().len(), 50);

    let refused = |paths: &[PathBuf]| merge(paths, &out).unwrap_err().to_string();
    assert_eq!(refused(&[]), "cannot merge: no shards");
    assert_eq!(refused(&paths[..3]), "cannot merge: 3 shards of 4");
    assert_eq!(
        refused(&[0, 2, 1, 3].map(|i| paths[i].clone())),
        "cannot merge: shard 1 of 4 is not where it should be"
    );
    assert_eq!(refused(&[direct]), "cannot merge: the first file states no position");
    let other = Header { version: 4, ..at(3, 4) };
    write(&paths[3], &other, &made[39..]).unwrap();
    assert!(refused(&paths).contains("shard 3 was made with other parameters"));
    std::fs::remove_file(&paths[2]).unwrap();
    assert!(matches!(merge(&paths, &out), Err(ShardError::Io { .. })));
}
