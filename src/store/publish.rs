//! The one way a file gets its final name: temporary file in the same folder, close, check, sync, rename, sync the folder.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::error::{IoContext, Result};

/// Marks a temporary file: `.NAME.tmp-HOST-PID-NONCE`.
const MARK: &str = ".tmp-";

/// How old another host's temporary file must be before it counts as left behind.
const FOREIGN_TEMPORARY_AGE: Duration = Duration::from_hours(24);

/// Writes `path` through `write`, which is handed a temporary path in the same folder and must leave a closed, checked
/// file there. When this returns, the file is under its final name and survives a power cut; when it fails or the
/// process dies, `path` is what it was before.
pub fn publish(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    // The parent of a bare name is the empty path, which is no folder to the system.
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).at("create", folder)?;
    let temporary = temporary_name(path);
    let outcome = write(&temporary).and_then(|()| {
        let file = File::open(&temporary).at("reopen", &temporary)?;
        file.sync_all().at("sync", &temporary)?;
        fs::rename(&temporary, path).at("rename into place", path)?;
        sync_folder(folder)
    });
    if outcome.is_err() {
        // Best effort: the next run's sweep removes what this cannot.
        let _ = fs::remove_file(&temporary);
    }
    outcome
}

/// The same for a folder of files: `write` is handed an empty one under a temporary name. There must be nothing under its final name yet.
pub fn publish_folder(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).at("create", folder)?;
    let temporary = temporary_name(path);
    fs::create_dir(&temporary).at("create", &temporary)?;
    let outcome = write(&temporary).and_then(|()| {
        sync_file_system(&temporary)?;
        fs::rename(&temporary, path).at("rename into place", path)?;
        sync_folder(folder)
    });
    if outcome.is_err() {
        let _ = fs::remove_dir_all(&temporary);
    }
    outcome
}

/// Publishes these bytes.
pub fn publish_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    publish(path, |temporary| {
        let mut file = File::create(temporary).at("create", temporary)?;
        file.write_all(bytes).at("write", temporary)
    })
}

/// Gives these bytes their final name, whole or not at all, without waiting for the disk: for many small files that one
/// [`sync_file_system`] makes durable before anything vouches for them.
pub fn place_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().expect("a file lies in a folder");
    let temporary = temporary_name(path);
    let outcome = fs::write(&temporary, bytes)
        .or_else(|error| {
            // The folder is made on the first write into it, not looked for on every one.
            fs::create_dir_all(folder)?;
            if error.kind() == std::io::ErrorKind::NotFound { fs::write(&temporary, bytes) } else { Err(error) }
        })
        .at("write", &temporary)
        .and_then(|()| fs::rename(&temporary, path).at("rename into place", path));
    if outcome.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    outcome
}

/// Makes everything written so far to the file system of `folder` durable.
pub fn sync_file_system(folder: &Path) -> Result<()> {
    let file = File::open(folder).at("open", folder)?;
    rustix::fs::syncfs(&file).map_err(std::io::Error::from).at("sync", folder)
}

/// Gives a published file another published name in the same file system. A source that is already gone is no error:
/// another process did the same.
pub fn retire(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().expect("a published file lies in a folder");
    fs::create_dir_all(folder).at("create", folder)?;
    match fs::rename(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        outcome => {
            outcome.at("move aside", from)?;
            sync_folder(folder)
        }
    }
}

/// Removes a published file; one that is already gone is no error.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.at("remove", path),
    }
}

/// Makes a rename durable. A file system that cannot sync a folder (some network ones) has said so by `EINVAL`.
fn sync_folder(folder: &Path) -> Result<()> {
    match File::open(folder).and_then(|f| f.sync_all()) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
        outcome => outcome.at("sync", folder),
    }
}

fn temporary_name(path: &Path) -> PathBuf {
    static NONCE: AtomicU64 = AtomicU64::new(0);
    let nonce = NONCE.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().expect("a file name").to_string_lossy();
    path.with_file_name(format!(".{name}{MARK}{}-{}-{nonce}", host(), std::process::id()))
}

/// The name of this host, with what a file name or [`parse_temporary`] could not bear replaced.
pub(crate) fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let clean: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
    if clean.is_empty() { "host".to_string() } else { clean }
}

/// Host and process id of a temporary file.
fn parse_temporary(name: &str) -> Option<(&str, i32)> {
    let (_, owner) = name.strip_prefix('.')?.rsplit_once(MARK)?;
    let mut fields = owner.rsplitn(3, '-');
    let _nonce: u64 = fields.next()?.parse().ok()?;
    let pid = fields.next()?.parse().ok()?;
    Some((fields.next()?, pid))
}

/// Removes the temporary files in `folder` whose process is dead, and very old ones of other hosts; never one that may be
/// in use. Returns how many went.
pub fn sweep_temporaries(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let here = host();
    let mut swept = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some((host, pid)) = name.to_str().and_then(parse_temporary) else { continue };
        let abandoned = if host == here {
            let alive = rustix::process::Pid::from_raw(pid)
                .is_some_and(|p| rustix::process::test_kill_process(p) != Err(rustix::io::Errno::SRCH));
            pid != std::process::id().cast_signed() && !alive
        } else {
            let age =
                entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| SystemTime::now().duration_since(t).ok());
            age.is_some_and(|age| age > FOREIGN_TEMPORARY_AGE)
        };
        if abandoned && fs::remove_file(entry.path()).is_ok() {
            swept += 1;
        }
    }
    swept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_temporary() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("a");
        publish_bytes(&path, b"old").expect("published");
        let outcome = publish(&path, |temporary| {
            fs::write(temporary, b"half").expect("write");
            Err(crate::Error::Internal("no".into()))
        });
        assert!(outcome.is_err());
        assert_eq!(fs::read(&path).expect("read"), b"old");
        assert_eq!(fs::read_dir(folder.path()).expect("dir").count(), 1);
    }

    #[test]
    fn only_temporaries_of_dead_processes_are_swept() {
        let folder = tempfile::tempdir().expect("tempdir");
        let mut child = std::process::Command::new("true").spawn().expect("spawn");
        let dead = child.id();
        child.wait().expect("wait");
        let keep = [
            format!(".x.h5{MARK}{}-{}-0", host(), std::process::id()),
            format!(".x.h5{MARK}elsewhere-1-0"),
            "x.h5".to_string(),
            ".hidden".to_string(),
        ];
        for name in &keep {
            fs::write(folder.path().join(name), b"").expect("write");
        }
        fs::write(folder.path().join(format!(".x.h5{MARK}{}-{dead}-7", host())), b"").expect("write");
        assert_eq!(sweep_temporaries(folder.path()), 1);
        assert!(keep.iter().all(|name| folder.path().join(name).exists()));
    }
}
