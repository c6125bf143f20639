//! Room on the disk, before the first byte is asked for.

use std::path::Path;

use discover::manifest::Archive;
use serde::Serialize;

use crate::data::{DataError, Places, Settings, Standing, at, unpack};

/// What a fetch will take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Need {
    /// Bytes to download, where sizes are known.
    pub download: u64,
    /// Bytes to unpack: exact for archives that are here; for others their own size, since sound and pictures hardly shrink in a zip.
    pub unpack: u64,
    /// Largest use of the archives' folder at any time, beyond what is there already.
    pub archives: u64,
}

impl Need {
    /// What these archives need.
    pub fn of(archives: &[&Archive], places: &Places, settings: &Settings) -> Need {
        let mut need = Need::default();
        let mut downloads = Vec::new();
        for archive in archives {
            let bytes = archive.bytes.unwrap_or(0);
            match Standing::of(archive, places) {
                Standing::Unpacked => continue,
                Standing::Here => {
                    let missing = unpack::missing(&places.archive(archive), &places.root).unwrap_or(bytes);
                    need.unpack += missing;
                    continue;
                }
                Standing::Partial { bytes: here } => downloads.push(bytes.saturating_sub(here)),
                Standing::Absent => downloads.push(bytes),
            }
            need.unpack += bytes;
        }
        need.download = downloads.iter().sum();
        need.archives = need.download;
        if !settings.unpack {
            need.unpack = 0;
        } else if settings.remove_archives {
            downloads.sort_unstable();
            need.archives = downloads.iter().rev().take(settings.jobs.max(1)).sum();
        }
        need
    }

    /// Refuses a fetch that cannot fit.
    pub fn check(&self, places: &Places) -> Result<(), DataError> {
        let same = device(&places.archives)? == device(&places.root)?;
        let demands = if same {
            vec![(&places.root, self.archives + self.unpack)]
        } else {
            vec![(&places.archives, self.archives), (&places.root, self.unpack)]
        };
        for (folder, needed) in demands {
            let free = free(folder)?;
            if needed > free {
                return Err(DataError::NoSpace { folder: folder.clone(), free, needed });
            }
        }
        Ok(())
    }
}

/// Bytes that are free for this user where `folder` is, or will be.
pub fn free(folder: &Path) -> Result<u64, DataError> {
    let there = existing(folder);
    let stat = at(rustix::fs::statvfs(there).map_err(std::io::Error::from), "look at", there)?;
    Ok(stat.f_bavail * stat.f_frsize)
}

fn device(folder: &Path) -> Result<u64, DataError> {
    use std::os::unix::fs::MetadataExt;
    let there = existing(folder);
    Ok(at(std::fs::metadata(there), "look at", there)?.dev())
}

/// The nearest folder above that exists.
fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|a| !a.as_os_str().is_empty() && a.exists()).unwrap_or(Path::new("."))
}
