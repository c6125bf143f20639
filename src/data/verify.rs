//! Archives against the manifest, unpacked files against the directory of their archive.
//!
//! What is wrong is set aside under `NAME.damaged`, and the record that everything is unpacked goes, so that the next fetch makes it good.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use discover::manifest::Archive;
use md5::{Digest, Md5};
use rayon::prelude::*;

use crate::data::unpack::{Contents, crc32};
use crate::data::{DataError, Places, at, download};

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Archives that are here and right.
    pub archives: usize,
    /// Unpacked files that are right.
    pub files: usize,
    /// What is not: one line each.
    pub wrong: Vec<String>,
    /// Archives of which nothing is here.
    pub absent: Vec<String>,
}

/// Checks what is here of these archives. `quick`: sizes only.
pub fn verify(archives: &[&Archive], places: &Places, quick: bool) -> Result<Found, DataError> {
    let mut found = Found::default();
    for archive in archives {
        let path = places.archive(archive);
        let contents = Contents::read(&places.contents(archive), archive);
        if !path.exists() && contents.is_none() {
            found.absent.push(archive.name.clone());
        }
        if path.exists() {
            let bytes = at(std::fs::metadata(&path), "look at", &path)?.len();
            if archive.bytes.is_some_and(|expected| expected != bytes) {
                found.wrong.push(format!("{}: it has {bytes} bytes", path.display()));
                set_aside(&path)?;
            } else if !quick && !digest_is_right(archive, &path)? {
                found.wrong.push(format!("{}: its MD5 is not the manifest's", path.display()));
                set_aside(&path)?;
            } else {
                found.archives += 1;
            }
        }
        let Some(contents) = contents else { continue };
        let checks: Vec<Option<String>> = contents
            .entries
            .par_iter()
            .map(|entry| {
                let file = places.root.join(&entry.path);
                let wrong = match std::fs::metadata(&file) {
                    Err(_) => return Ok(Some(format!("{}: it is gone", file.display()))),
                    Ok(metadata) if metadata.len() != entry.bytes => format!("it has {} bytes", metadata.len()),
                    Ok(_) if quick || crc32(&file)? == entry.crc32 => return Ok(None),
                    Ok(_) => "its CRC is not that of the archive".to_string(),
                };
                set_aside(&file)?;
                Ok(Some(format!("{}: {wrong}", file.display())))
            })
            .collect::<Result<_, DataError>>()?;
        let wrong: Vec<String> = checks.into_iter().flatten().collect();
        found.files += contents.entries.len() - wrong.len();
        if !wrong.is_empty() {
            let record = places.contents(archive);
            at(std::fs::remove_file(&record), "remove", &record)?;
        }
        found.wrong.extend(wrong);
    }
    Ok(found)
}

/// Whether a file has the MD5 of the manifest; one without a digest there is taken at its size.
pub(super) fn digest_is_right(archive: &Archive, path: &Path) -> Result<bool, DataError> {
    let Some(expected) = &archive.md5 else { return Ok(true) };
    let mut file = at(File::open(path), "open", path)?;
    let mut md5 = Md5::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = at(file.read(&mut buffer), "read", path)?;
        if n == 0 {
            return Ok(expected.eq_ignore_ascii_case(&download::hex(&md5.finalize())));
        }
        md5.update(&buffer[..n]);
    }
}

/// Puts a damaged file where nothing looks.
pub(super) fn set_aside(path: &Path) -> Result<(), DataError> {
    let mut name = path.file_name().expect("a file").to_os_string();
    name.push(".damaged");
    let aside: PathBuf = path.with_file_name(name);
    at(std::fs::rename(path, &aside), "set aside", path)
}
