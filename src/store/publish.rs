//! The one way a file gets its final name: temporary file in the same folder, close, check, sync, rename, sync the folder.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::RenameFlags;

use crate::error::{IoContext, Result};

/// Marks a temporary file: `.NAME.tmp-HOST-PID-NONCE`.
const MARK: &str = ".tmp-";

/// How old another host's file must be before it counts as left behind.
const FOREIGN_AGE: Duration = Duration::from_hours(24);

/// Writes `path` through `write`, which is handed a temporary path in the same folder and must leave a closed, checked
/// file there. When this returns, the file is under its final name and survives a power cut; when it fails or the
/// process dies, `path` is what it was before.
pub fn publish(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let draft = Draft::begin(path)?;
    write(draft.temporary())?;
    draft.sync()?;
    draft.publish()
}

/// A file on its way to its name, for whoever has something to do between writing and naming it. Dropped before, it leaves nothing.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    folder: PathBuf,
    temporary: PathBuf,
}

impl Draft {
    /// Makes the folder; writing [`Draft::temporary`] and closing it is up to the caller.
    pub fn begin(path: &Path) -> Result<Draft> {
        let folder = folder_of(path).to_path_buf();
        make_folder(&folder)?;
        Ok(Draft { path: path.to_path_buf(), folder, temporary: temporary_name(path) })
    }

    /// Where to write.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Makes what was written durable.
    pub fn sync(&self) -> Result<()> {
        let file = File::open(&self.temporary).at("reopen", &self.temporary)?;
        file.sync_all().at("sync", &self.temporary)
    }

    /// Gives it its name; what another process has given that name meanwhile gets the name `aside`, in the same file system, at the same instant. (Looking first and
    /// renaming then would replace unseen what comes in between.)
    pub fn publish_beside(mut self, aside: &Path) -> Result<Published> {
        for _ in 0..ATTEMPTS {
            match renamed(&self.temporary, &self.path, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    self.temporary.clear();
                    sync_folder(&self.folder)?;
                    return Ok(Published::New);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if cannot_swap(&error) => return Ok(Published::Unable(self)),
                Err(error) if error.kind() == ErrorKind::NotFound && self.temporary == aside => {
                    return Ok(Published::Taken);
                }
                outcome => outcome.at("rename into place", &self.path)?,
            }
            // It is whole, and a file among others before the two change names: what is displaced has a name at every instant.
            make_folder(folder_of(aside))?;
            fs::rename(&self.temporary, aside).at("move aside", &self.temporary)?;
            self.temporary.clear();
            sync_folder(folder_of(aside))?;
            match renamed(aside, &self.path, RenameFlags::EXCHANGE) {
                Ok(()) => {
                    sync_folder(&self.folder)?;
                    sync_folder(folder_of(aside))?;
                    return Ok(Published::Displacing);
                }
                // The one or the other is gone: what was to be displaced, or this, which another process has taken for its own.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if cannot_swap(&error) => {
                    self.temporary = aside.to_path_buf();
                    return Ok(Published::Unable(self));
                }
                outcome => outcome.at("rename into place", &self.path)?,
            }
            if !aside.exists() {
                return Ok(Published::Taken);
            }
            self.temporary = aside.to_path_buf();
        }
        // Whoever takes the name away again and again is left with what is there: this stays aside.
        self.temporary.clear();
        Ok(Published::Taken)
    }

    /// Gives it its name.
    pub fn publish(mut self) -> Result<()> {
        fs::rename(&self.temporary, &self.path).at("rename into place", &self.path)?;
        self.temporary.clear();
        sync_folder(&self.folder)
    }
}

/// How [`Draft::publish_beside`] ended.
#[derive(Debug)]
pub enum Published {
    /// Nothing had that name.
    New,
    /// What had it lies aside.
    Displacing,
    /// It has not got that name, but what is in it is in a file that another process published, or lies aside.
    Taken,
    /// This file system cannot exchange names; nothing was done.
    Unable(Draft),
}

/// How often a name is tried for that comes and goes.
const ATTEMPTS: usize = 8;

fn renamed(from: &Path, to: &Path, flags: RenameFlags) -> std::io::Result<()> {
    Ok(rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, flags)?)
}

/// How a file system or a kernel says that it knows no such way to rename.
fn cannot_swap(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported)
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.temporary.as_os_str().is_empty() {
            // Best effort: the next run's sweep removes what this cannot.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// The folder that a file lies in. The parent of a bare name is the empty path, which is no folder to the system.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder and those above it that are missing. Their names are synced, too: a file is no safer than the folder that it lies in.
fn make_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder_of(folder);
    if above != folder {
        make_folder(above)?;
    }
    match fs::create_dir(folder) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
        outcome => outcome.at("create", folder)?,
    }
    sync_folder(above)
}

/// The same for a folder of files: `write` is handed an empty one under a temporary name. There must be nothing under its final name yet.
pub fn publish_folder(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = folder_of(path);
    make_folder(folder)?;
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
    let temporary = temporary_name(path);
    let written = match fs::write(&temporary, bytes) {
        // The folder is made on the first write into it, not looked for on every one.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_folder(folder_of(path))?;
            fs::write(&temporary, bytes)
        }
        written => written,
    };
    let outcome =
        written.at("write", &temporary).and_then(|()| fs::rename(&temporary, path).at("rename into place", path));
    if outcome.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    outcome
}

/// Makes everything written so far to the file system of `folder` durable.
pub fn sync_file_system(folder: &Path) -> Result<()> {
    let file = File::open(folder).at("open", folder)?;
    match rustix::fs::syncfs(&file).map_err(std::io::Error::from) {
        // Where one file system cannot be asked for, all are.
        Err(error) if cannot_sync(&error) => {
            rustix::fs::sync();
            Ok(())
        }
        outcome => outcome.at("sync", folder),
    }
}

/// Gives a published file another published name in the same file system; returns whether it did. A source that is already gone is
/// no error: another process did the same.
pub fn retire(from: &Path, to: &Path) -> Result<bool> {
    let folder = folder_of(to);
    make_folder(folder)?;
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        outcome => {
            outcome.at("move aside", from)?;
            sync_folder(folder)?;
            Ok(true)
        }
    }
}

/// Removes a published file; one that is already gone is no error.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome.at("remove", path),
    }
}

/// The same, and no power cut brings it back.
pub fn remove_for_good(path: &Path) -> Result<()> {
    remove(path)?;
    sync_folder(folder_of(path))
}

/// Makes a rename durable, where the file system can.
fn sync_folder(folder: &Path) -> Result<()> {
    match File::open(folder).at("open", folder)?.sync_all() {
        Err(error) if cannot_sync(&error) => Ok(()),
        outcome => outcome.at("sync", folder),
    }
}

/// How a file system says that it cannot sync what it was asked to (some network ones cannot sync a folder).
fn cannot_sync(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported)
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

/// A file name that no other process and no other file of this one has; later ones stand behind earlier ones.
pub fn own_name(kind: &str) -> String {
    static GIVEN: AtomicU64 = AtomicU64::new(1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    format!("{kind}-{now:014}-{}-{}-{}", host(), std::process::id(), GIVEN.fetch_add(1, Ordering::Relaxed))
}

/// Whether the process that left this file is dead. Of one on another host nobody knows; when the file is very old it counts as dead.
pub(crate) fn is_abandoned(host: &str, pid: i32, file: &Path) -> bool {
    if host == self::host() {
        let alive = rustix::process::Pid::from_raw(pid)
            .is_some_and(|p| rustix::process::test_kill_process(p) != Err(rustix::io::Errno::SRCH));
        pid != std::process::id().cast_signed() && !alive
    } else {
        let written = fs::metadata(file).and_then(|m| m.modified()).ok();
        let age = written.and_then(|t| SystemTime::now().duration_since(t).ok());
        age.is_some_and(|age| age > FOREIGN_AGE)
    }
}

/// Removes the temporary files in `folder` whose process is dead, and very old ones of other hosts; never one that may be
/// in use. Returns how many went.
pub fn sweep_temporaries(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let mut swept = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some((host, pid)) = name.to_str().and_then(parse_temporary) else { continue };
        if is_abandoned(host, pid, &entry.path()) && fs::remove_file(entry.path()).is_ok() {
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
