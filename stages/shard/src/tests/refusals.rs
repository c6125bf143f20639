//! What the writer refuses.

use std::process::Command;

use contract::{Element, Values};

use super::{Made, entry, header, items, rows, spec, write};
use crate::{Entry, Header, Shard, ShardError, Writer};

#[test]
fn headers_that_cannot_be_stored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let refused = |header: &Header| match Writer::create(&path, header, None) {
        Err(ShardError::BadHeader { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let columns = |columns: &[(&str, Option<usize>)]| {
        let columns = columns.iter().map(|&(name, width)| spec(name, width, Element::F32, "")).collect();
        refused(&Header { columns, ..header(4) })
    };
    assert_eq!(columns(&[]), "no columns");
    assert_eq!(columns(&[("a", None), ("a", None)]), "column \"a\": the name is taken");
    assert_eq!(columns(&[("item", None)]), "column \"item\": the name is taken");
    assert_eq!(columns(&[("a/b", None)]), "column \"a/b\": a name is made of a-z, 0-9 and _");
    assert_eq!(columns(&[("", None)]), "column \"\": a name is made of a-z, 0-9 and _");
    assert_eq!(columns(&[("a", Some(0))]), "column \"a\": a row has 1 byte to 256 MiB");
    assert_eq!(columns(&[("a", Some(usize::MAX))]), "column \"a\": a row has 1 byte to 256 MiB");
    let attribute = |name: &str, value: &str| {
        refused(&Header { attributes: [(name.to_owned(), value.to_owned())].into(), ..header(4) })
    };
    assert!(attribute("stage", "").contains("taken"));
    assert!(attribute("x", &"y".repeat(70_000)).contains("longer than 60000 bytes"));
    assert!(attribute("x", "\0").contains("with a NUL"));
    assert_eq!(refused(&Header { position: Some((4, 4)), ..header(4) }), "shard 4 of 4, counted from 0");
    assert!(!path.exists());
}

#[test]
fn items_that_do_not_fit_leave_the_shard_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let made = items(5, 4);
    let mut writer = Writer::create(&path, &header(4), Some(5)).unwrap();
    for made in &made {
        writer.push(entry(made)).unwrap();
        let mut refused = |id: &str, change: fn(&mut contract::Rows)| {
            let mut rows = rows(3, 4, 1);
            change(&mut rows);
            writer.push(Entry { id, ..entry(&Made { id: id.to_owned(), outcome: Ok(rows) }) }).unwrap_err().to_string()
        };
        assert_eq!(refused(&made.id, |_| ()), format!("item {:?} is there twice", made.id));
        assert_eq!(refused("", |_| ()), "item id \"\": it is empty");
        assert_eq!(refused("a\nb", |_| ()), "item id \"a\\nb\": it has control characters");
        assert!(refused(&"x".repeat(1025), |_| ()).ends_with("it is longer than 1,024 bytes"));
        assert!(refused("x", |rows| rows.len = 4).contains("has 12 values in 4 rows"));
        assert!(refused("x", |rows| rows.len = usize::MAX).contains("has 12 values in"));
        assert!(refused("x", |rows| drop(rows.columns.pop())).contains("1 columns, the shard has 2"));
        assert!(refused("x", |rows| rows.columns.swap(0, 1)).contains("the shard has"));
        assert!(refused("x", |rows| rows.columns[1].values = Values::F32(vec![0.0; 3])).contains("the shard has"));
        assert!(refused("x", |rows| rows.columns[0].width = Some(3)).contains("the shard has"));
    }
    writer.finish().unwrap();
    let undisturbed = folder.path().join("b.h5");
    write(&undisturbed, &header(4), &made).unwrap();
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&undisturbed).unwrap());
}

#[test]
fn a_missing_item_is_no_shard() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let mut writer = Writer::create(&path, &header(4), Some(2)).unwrap();
    writer.push(entry(&items(1, 4)[0])).unwrap();
    assert_eq!(writer.finish().unwrap_err().to_string(), "1 items were written, 2 were announced");
    assert!(Shard::open(&path).is_err());
}

#[test]
fn a_folder_that_is_not_there_is_named_by_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let error = Writer::create(&folder.path().join("no/a.h5"), &header(4), None).unwrap_err();
    assert_eq!(error.to_string(), "cannot create the shard: No such file or directory");
}

const FULL: &str = "SHARD_TEST_FULL";

/// Not a test by itself: run by [`a_full_disk_is_an_error`] with a limit on the size of files.
#[test]
fn child_meets_the_limit() {
    let Some(path) = std::env::var_os(FULL) else { return };
    let path = std::path::Path::new(&path);
    let error = write(path, &header(512), &items(400, 512)).unwrap_err();
    assert_eq!(error.to_string(), "cannot write the shard: File too large");
    // The process goes on: another file can be written and read.
    let small = path.with_extension("small.h5");
    write(&small, &header(4), &items(9, 4)).unwrap();
    Shard::open(&small).unwrap().check_data().unwrap();
    eprintln!("the limit was met");
}

/// A full disk, imitated by a limit of 400 KiB on the size of files.
#[test]
fn a_full_disk_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args([
            "-c",
            r#"trap "" XFSZ; ulimit -f 800; exec "$0" --exact tests::refusals::child_meets_the_limit --nocapture"#,
        ])
        .arg(std::env::current_exe().unwrap())
        .env(FULL, folder.path().join("a.h5"))
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && err.contains("the limit was met"), "{err}");
    assert!(!err.contains("HDF5"), "libhdf5 printed: {err}");
}

#[cfg(unix)]
#[test]
fn a_path_that_libhdf5_cannot_take_is_refused_without_naming_it() {
    use std::os::unix::ffi::OsStrExt;
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(b"/nowhere/\xff.h5"));
    let expected = "cannot open the file: its path is not UTF-8, or has a NUL";
    assert_eq!(Shard::open(path).unwrap_err().to_string(), expected);
    assert!(Writer::create(path, &header(4), None).is_err());
}
