//! The media of a data set, from where they are published to a folder: `pipeline data fetch` and `pipeline data verify`.
//!
//! ```text
//! archives/NAME.zip.part      what is downloaded so far; a download goes on from its end         (download)
//! archives/NAME.zip           complete: size and MD5 are the manifest's
//! archives/NAME.zip.json      published when everything in it is unpacked: names, sizes and CRCs    (unpack)
//! ROOT/…                      the unpacked files, each under its name only when its CRC was right
//! ```
//!
//! Whatever ends a fetch, the next one goes on from there: a finished archive is not downloaded again, an unpacked one not even looked at.
//! One archive that fails does not hold up the others.

pub mod download;
pub mod space;
pub mod unpack;
pub mod verify;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use discover::manifest::Archive;
use serde::Serialize;

use crate::data::download::Retry;
use crate::data::unpack::Contents;

/// Where archives and what is in them belong.
#[derive(Debug, Clone)]
pub struct Places {
    /// The folder of the archives.
    pub archives: PathBuf,
    /// The folder of the media.
    pub root: PathBuf,
}

impl Places {
    /// The complete archive.
    pub fn archive(&self, archive: &Archive) -> PathBuf {
        self.archives.join(&archive.name)
    }

    /// What is downloaded of it so far.
    pub fn part(&self, archive: &Archive) -> PathBuf {
        self.archives.join(format!("{}.part", archive.name))
    }

    /// What was unpacked of it.
    pub fn contents(&self, archive: &Archive) -> PathBuf {
        self.archives.join(format!("{}.json", archive.name))
    }
}

/// How far an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Standing {
    /// Everything in it is unpacked.
    Unpacked,
    /// It is here and complete by its size.
    Here,
    /// A part of it is here.
    Partial {
        /// Bytes of the part.
        bytes: u64,
    },
    /// Nothing of it is here.
    Absent,
}

impl Standing {
    /// How far this archive is, by what lies in the folders.
    pub fn of(archive: &Archive, places: &Places) -> Standing {
        let size = |path: &Path| std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|m| m.len());
        if Contents::read(&places.contents(archive), archive).is_some() {
            return Standing::Unpacked;
        }
        match (size(&places.archive(archive)), size(&places.part(archive))) {
            (Some(bytes), _) if archive.bytes.is_none_or(|expected| expected == bytes) => Standing::Here,
            (_, Some(bytes)) => Standing::Partial { bytes },
            _ => Standing::Absent,
        }
    }
}

/// Whether an archive is meant by a word of `--only`: its name, or a part of its name between dots (`audio`, `video`, `meta`).
pub fn is_meant(archive: &Archive, word: &str) -> bool {
    archive.name == word || archive.name.split('.').any(|part| part == word)
}

/// How to fetch.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Downloads at the same time.
    pub jobs: usize,
    /// What to do about failures that may pass.
    pub retry: Retry,
    /// Time without a byte after which a connection counts as dead.
    pub patience: Duration,
    /// Unpack what was downloaded.
    pub unpack: bool,
    /// Remove an archive once everything in it is unpacked.
    pub remove_archives: bool,
}

/// What happens, as data.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum DataEvent<'a> {
    /// Bytes of an archive are on disk.
    Downloaded {
        /// The archive.
        archive: &'a str,
        /// Bytes of it so far.
        bytes: u64,
    },
    /// A download stumbled and goes on.
    Stumbled {
        /// The archive.
        archive: &'a str,
        /// Why.
        reason: &'a str,
        /// Seconds until the next try.
        wait: f64,
    },
    /// An archive is complete, and is what the manifest says.
    Complete {
        /// The archive.
        archive: &'a str,
    },
    /// Everything in an archive is unpacked.
    Unpacked {
        /// The archive.
        archive: &'a str,
        /// Files in it.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// An archive failed; the others go on.
    Failed {
        /// The archive.
        archive: &'a str,
        /// Why, and what to do.
        message: &'a str,
    },
}

/// Takes events, from any thread.
pub trait Watch: Sync {
    /// Takes one.
    fn report(&self, event: &DataEvent<'_>);
}

/// What is wrong with an archive or its download; the message names it.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No address.
    #[error("{0}: the manifest names no url; download it by hand into the folder of the archives")]
    NoUrl(String),
    /// The server will not give it, or gives something else.
    #[error("{url}: {reason}")]
    Refused {
        /// The address.
        url: String,
        /// What it said.
        reason: String,
    },
    /// Failures that may pass did not.
    #[error(
        "{url}: given up after {tries} tries without progress: {reason}; what is here is kept, run the command again to go on"
    )]
    GivenUp {
        /// The address.
        url: String,
        /// Tries in a row.
        tries: u32,
        /// The last failure.
        reason: String,
    },
    /// Other bytes than the manifest promises, several times.
    #[error(
        "{name}: its MD5 is {found} and not {expected}, {tries} downloads in a row: the manifest or the server is wrong"
    )]
    Digest {
        /// The archive.
        name: String,
        /// The digest of what came.
        found: String,
        /// The digest of the manifest.
        expected: String,
        /// Downloads that were thrown away.
        tries: u32,
    },
    /// An archive cannot be unpacked.
    #[error("{}: {reason}", path.display())]
    Zip {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Too little room.
    #[error(
        "{} has {:.1} GB free and about {:.1} GB are needed: choose another folder with --to, fetch less at a time with --only, \
         or free each archive once it is unpacked with --remove-archives",
        folder.display(), *free as f64 / 1e9, *needed as f64 / 1e9
    )]
    NoSpace {
        /// The folder.
        folder: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
}

/// Puts the path and the verb onto an I/O error.
fn at<T>(outcome: std::io::Result<T>, doing: &'static str, path: &Path) -> Result<T, DataError> {
    outcome.map_err(|source| DataError::Io { doing, path: path.to_path_buf(), source })
}

/// Downloads and unpacks these archives. Returns the names of those that failed; each was reported.
pub fn fetch(
    archives: &[&Archive],
    places: &Places,
    settings: &Settings,
    watch: &dyn Watch,
) -> Result<Vec<String>, DataError> {
    at(std::fs::create_dir_all(&places.archives), "create", &places.archives)?;
    at(std::fs::create_dir_all(&places.root), "create", &places.root)?;
    let need = space::Need::of(archives, places, settings);
    need.check(places)?;
    let agent = download::agent(settings.patience);
    let waiting = Mutex::new(archives.iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..settings.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no holder panics").next().copied();
                    let Some(archive) = next else { return };
                    if let Err(error) = fetch_one(&agent, archive, places, settings, watch) {
                        watch.report(&DataEvent::Failed { archive: &archive.name, message: &error.to_string() });
                        failed.lock().expect("no holder panics").push(archive.name.clone());
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().expect("no holder panics");
    failed.sort();
    Ok(failed)
}

fn fetch_one(
    agent: &ureq::Agent,
    archive: &Archive,
    places: &Places,
    settings: &Settings,
    watch: &dyn Watch,
) -> Result<(), DataError> {
    let path = places.archive(archive);
    match Standing::of(archive, places) {
        Standing::Unpacked => return Ok(()),
        // Somebody else may have put it there: it counts when its digest is right.
        Standing::Here if verify::digest_is_right(archive, &path)? => {}
        standing => {
            if standing == Standing::Here {
                verify::set_aside(&path)?;
            }
            download::download(agent, archive, &places.part(archive), settings, watch)?;
            at(std::fs::rename(places.part(archive), &path), "rename into place", &path)?;
        }
    }
    watch.report(&DataEvent::Complete { archive: &archive.name });
    let is_zip = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("zip"));
    if !settings.unpack || !is_zip {
        return Ok(());
    }
    let contents = unpack::unpack(archive, &path, &places.root)?;
    contents.publish(&places.contents(archive))?;
    watch.report(&DataEvent::Unpacked {
        archive: &archive.name,
        files: contents.entries.len(),
        bytes: contents.bytes(),
    });
    if settings.remove_archives {
        at(std::fs::remove_file(&path), "remove", &path)?;
    }
    Ok(())
}
