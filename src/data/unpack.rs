//! Zip archives to folders of files.
//!
//! An archive is not trusted: a name that leads out of the folder, a link and an encrypted entry are refused before anything is written,
//! and no entry gives more bytes than its directory says. A file gets its name when its CRC was right; one that is there already with the right
//! size is left as it is (`data verify` reads it).

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use discover::manifest::Archive;
use serde::{Deserialize, Serialize};
use zip::ZipArchive;

use crate::data::{DataError, at};
use crate::store::publish::publish_bytes;

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Path below the root.
    pub path: PathBuf,
    /// Size, unpacked.
    pub bytes: u64,
    /// CRC-32 of the content.
    pub crc32: u32,
}

/// What was unpacked of an archive: its directory, kept so that files can be verified when the archive is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// MD5 of the archive by the manifest, where it names one.
    pub md5: Option<String>,
    /// Size of the archive by the manifest, where it names one.
    pub bytes: Option<u64>,
    /// Its files.
    pub entries: Vec<Entry>,
}

impl Contents {
    /// What was unpacked of this very archive; `None` when it was not, or not to the end.
    pub fn read(path: &Path, archive: &Archive) -> Option<Contents> {
        let contents: Contents = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        (contents.md5 == archive.md5 && contents.bytes == archive.bytes).then_some(contents)
    }

    /// Says that everything is unpacked.
    pub fn publish(&self, path: &Path) -> Result<(), DataError> {
        let bytes = serde_json::to_vec(self).expect("plain data");
        let outcome = publish_bytes(path, &bytes).map_err(|e| std::io::Error::other(e.to_string()));
        at(outcome, "publish", path)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.bytes).sum()
    }
}

/// An open archive whose directory was found harmless.
struct Checked {
    zip: ZipArchive<BufReader<File>>,
    /// Position in the archive, and the file.
    files: Vec<(usize, Entry)>,
}

fn open(path: &Path) -> Result<Checked, DataError> {
    let bad = |reason: String| DataError::Zip { path: path.to_path_buf(), reason };
    let file = BufReader::new(at(File::open(path), "open", path)?);
    let mut zip = ZipArchive::new(file).map_err(|e| bad(format!("it is no zip archive: {e}")))?;
    let mut files = Vec::new();
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(|e| bad(e.to_string()))?;
        let name = entry.name().map_err(|e| bad(e.to_string()))?.into_owned();
        let refuse = |why: &str| Err(bad(format!("its entry {name:?} {why}; nothing of it is unpacked")));
        let Some(below) = entry.enclosed_name() else { return refuse("would be written outside of the folder") };
        if entry.is_symlink() {
            return refuse("is a link");
        }
        if entry.encrypted() {
            return refuse("is encrypted");
        }
        if !entry.is_dir() {
            files.push((index, Entry { path: below, bytes: entry.size(), crc32: entry.crc32() }));
        }
    }
    Ok(Checked { zip, files })
}

/// Bytes that unpacking would still write.
pub fn missing(path: &Path, root: &Path) -> Result<u64, DataError> {
    let files = open(path)?.files;
    Ok(files.iter().filter(|(_, entry)| !is_there(&root.join(&entry.path), entry)).map(|(_, entry)| entry.bytes).sum())
}

fn is_there(path: &Path, entry: &Entry) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == entry.bytes)
}

/// Unpacks an archive below `root`.
pub fn unpack(archive: &Archive, path: &Path, root: &Path) -> Result<Contents, DataError> {
    let Checked { mut zip, files } = open(path)?;
    for (index, entry) in &files {
        let target = root.join(&entry.path);
        if is_there(&target, entry) {
            continue;
        }
        let bad = |reason: String| DataError::Zip {
            path: path.to_path_buf(),
            reason: format!("its entry {:?}: {reason}", entry.path.display().to_string()),
        };
        let folder = target.parent().expect("below the root");
        at(std::fs::create_dir_all(folder), "create", folder)?;
        let name = target.file_name().expect("a file").to_string_lossy();
        let temporary = target.with_file_name(format!(".{name}.part"));
        let from = zip.by_index(*index).map_err(|e| bad(e.to_string()))?;
        let mut to = BufWriter::new(at(File::create(&temporary), "create", &temporary)?);
        // One byte more than it should have is enough to know; the CRC is compared at its end.
        let copied = std::io::copy(&mut from.take(entry.bytes + 1), &mut to);
        let outcome = match copied {
            Ok(bytes) if bytes == entry.bytes => at(to.flush(), "write", &temporary),
            Ok(_) => Err(bad(format!("it does not have the {} bytes that its directory says", entry.bytes))),
            Err(error) => Err(bad(error.to_string())),
        };
        drop(to);
        if let Err(error) = outcome {
            let _ = std::fs::remove_file(&temporary);
            return Err(error);
        }
        at(std::fs::rename(&temporary, &target), "rename into place", &target)?;
    }
    // Made durable together, before the record vouches for them.
    let synced = crate::store::publish::sync_file_system(root).map_err(|e| std::io::Error::other(e.to_string()));
    at(synced, "sync", root)?;
    let entries = files.into_iter().map(|(_, entry)| entry).collect();
    Ok(Contents { md5: archive.md5.clone(), bytes: archive.bytes, entries })
}

/// CRC-32 of a file, as zip has it.
pub fn crc32(path: &Path) -> Result<u32, DataError> {
    let mut file = at(File::open(path), "open", path)?;
    let mut buffer = vec![0; 256 << 10];
    let mut crc = crc32fast::Hasher::new();
    loop {
        let n = at(file.read(&mut buffer), "read", path)?;
        if n == 0 {
            return Ok(crc.finalize());
        }
        crc.update(&buffer[..n]);
    }
}
