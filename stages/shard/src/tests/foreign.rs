//! Files that are no shards, and files that were written to look like one.

use std::path::Path;

use contract::Classify;
use hdf5_metno::{self as hdf5, Extent, File, SimpleExtents};

use super::{entry, header, items, write};
use crate::{Shard, ShardError, Writer, text};

#[test]
fn other_files_are_no_shards() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let refusal = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Shard::open(&path).unwrap_err().to_string()
    };
    assert_eq!(refusal(b""), "not a shard: the file is empty");
    assert_eq!(refusal(b"RIFF....WAVEfmt "), "not a shard: the file is not HDF5");
    assert_eq!(refusal(&[0; 4096]), "not a shard: the file is not HDF5");
    assert_eq!(Shard::open(folder.path()).unwrap_err().to_string(), "not a shard: it is no regular file");
    let error = Shard::open(&folder.path().join("absent.h5")).unwrap_err();
    assert_eq!(error.to_string(), "cannot open the file: No such file or directory (os error 2)");
    assert_eq!(error.class(), contract::Cause::Unreadable);
}

#[test]
fn other_hdf5_is_no_shard() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let old = File::create(&path).unwrap();
    old.new_dataset::<f32>().shape(3).create("x").unwrap();
    old.close().unwrap();
    let refusal = Shard::open(&path).unwrap_err().to_string();
    assert_eq!(refusal, "not a shard: HDF5 in an older format, written by another program");
    new_format(&path).close().unwrap();
    let refusal = Shard::open(&path).unwrap_err().to_string();
    assert_eq!(refusal, "not a shard: HDF5, but it does not state the schema of a shard");
}

#[test]
fn a_shard_of_another_schema_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let file = new_format(&path);
    text::write_attribute(&file, "schema", "pipeline-shard").unwrap();
    text::write_number(&file, "schema_version", 7).unwrap();
    file.close().unwrap();
    assert_eq!(Shard::open(&path).unwrap_err(), ShardError::WrongSchema { found: 7 });
}

#[test]
fn a_writer_that_died_leaves_no_shard() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let made = items(200, 512);
    let mut writer = Writer::create(&path, &header(512), None).unwrap();
    for made in &made {
        writer.push(entry(made)).unwrap();
    }
    // As `kill -9` leaves it: what has reached the file so far.
    let killed = folder.path().join("killed.h5");
    std::fs::copy(&path, &killed).unwrap();
    assert_eq!(Shard::open(&killed).unwrap_err(), ShardError::Unfinished);
    drop(writer);
    assert!(matches!(Shard::open(&path), Err(ShardError::NotAShard { .. })));
}

/// Opens a sound shard for changes and reads it again.
fn changed(change: impl Fn(&File) -> hdf5::Result<()>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    write(&path, &header(4), &items(20, 4)).unwrap();
    let file = File::with_options().with_fapl(|p| p.libver_v110().file_locking(false)).open_rw(&path).unwrap();
    change(&file).unwrap();
    file.close().unwrap();
    match Shard::open(&path).and_then(|shard| shard.check_data()) {
        Ok(()) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Replaces a dataset by an empty one of this type and shape that claims to be of any size.
fn replaced<T: hdf5::H5Type>(name: &'static str, shape: &[usize], chunk: &[usize]) -> String {
    changed(|file| {
        file.unlink(name)?;
        let extents = shape.iter().map(|&n| Extent::resizable(n)).collect();
        let builder = file.new_dataset::<T>().shape(SimpleExtents::from_vec(extents)).chunk(chunk.to_vec());
        text::write_attribute(&*builder.fletcher32().create(name)?, "unit", "")
    })
}

#[test]
fn nothing_is_allocated_on_the_word_of_the_file() {
    assert_eq!(changed(|_| Ok(())), "accepted");
    let refused = |what: String, reason: &str| assert!(what.contains(reason), "{what}");
    let large = "it claims to be larger than the file";
    refused(replaced::<u8>("item/status", &[1 << 45], &[1 << 20]), large);
    refused(replaced::<i64>("item/offset", &[1 << 45], &[1 << 20]), large);
    refused(replaced::<f32>("embedding", &[1 << 40, 4], &[1, 4]), large);
    refused(replaced::<f32>("embedding", &[3, 1 << 28], &[1, 1 << 28]), large);
    refused(replaced::<f32>("embedding", &[1 << 43, 1 << 20], &[1, 1 << 20]), large);
    refused(replaced::<f64>("time", &[20], &[1 << 28]), large);
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |what: String, reason: &str| assert!(what.contains(reason), "{what} lacks {reason}");
    refused(replaced::<u8>("item/status", &[20], &[20]), "chunks are missing");
    refused(replaced::<f32>("item/status", &[20], &[20]), "damaged: item/status: ");
    refused(replaced::<u8>("item/status", &[0], &[20]), "damaged: item/offset: it has 21 rows, not 1");
    refused(replaced::<f64>("time", &[0], &[1]), "damaged: time: it has 0 rows, not ");
    refused(replaced::<i64>("item/id", &[20], &[1]), "damaged: item/id: ");
    refused(replaced::<f64>("time", &[2, 2, 2], &[1, 2, 2]), "it has neither one dimension nor two");
    refused(changed(|f| f.unlink("time")), "it does not hold what its attribute");
    refused(changed(|f| f.unlink("item/key")), "damaged: item/key");
    refused(changed(|f| f.link_soft("/time", "more")), "it does not hold what its attribute");
    refused(changed(|f| f.unlink("time").and_then(|()| f.link_soft("/embedding", "time"))), "does not hold");
    refused(changed(|f| f.dataset("item/status")?.write_slice(&[99_u8], 0..1)), "item 0 has an impossible status");
    refused(changed(|f| f.dataset("item/offset")?.write_slice(&[9_i64], 0..1)), "does not begin with 0");
    refused(changed(|f| f.dataset("item/offset")?.write_slice(&[-1_i64], 1..2)), "item 0 ends before it begins");
    refused(changed(|f| f.dataset("item/offset")?.write_slice(&[1_i64], 1..2)), "the table does not have its digest");
    refused(changed(|f| f.dataset("time")?.write_slice(&[1.0_f64], 3..4)), "they do not have their digest");
    refused(changed(|f| f.new_attr::<i32>().create("n").map(drop)), "damaged: n: unexpected type");
    refused(
        changed(|f| {
            f.unlink("time")?;
            let dataset = f.new_dataset::<f64>().shape(3).create("time")?;
            text::write_attribute(&dataset, "unit", "s")
        }),
        "it is not chunked",
    );
}

fn new_format(path: &Path) -> File {
    File::with_options().with_fapl(|p| p.libver_v110().file_locking(false)).create(path).unwrap()
}
