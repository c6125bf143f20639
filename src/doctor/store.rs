//! The work directory: room, and whether the file system does what the store relies on.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Check;

/// Less room than this is worth a word.
const LITTLE_ROOM: u64 = 10 << 30;
const FEW_INODES: u64 = 10_000;

/// A sync that takes longer makes publishing every few seconds costly.
const SLOW_SYNC: Duration = Duration::from_millis(500);

/// The folder, or the nearest one above it that exists: a run makes what is missing.
fn existing(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    absolute.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_path_buf()
}

/// Bytes and inodes that are free.
pub(super) fn room(work: &Path) -> Vec<Check> {
    let folder = existing(work);
    let state = match rustix::fs::statvfs(&folder) {
        Ok(state) => state,
        Err(error) => return vec![Check::bad("room", format!("{}: {error}", folder.display()))],
    };
    let free = state.f_bavail.saturating_mul(state.f_frsize);
    let found = format!("{:.1} GB free in {}", free as f64 / 1e9, folder.display());
    let mut checks = vec![if free < LITTLE_ROOM {
        Check::note("room", format!("{found}: ten seconds cost about 0.3 MB, with pictures kept 10 MB"))
    } else {
        Check::good("room", found)
    }];
    // Some file systems have no table of inodes, and say 0.
    if state.f_files > 0 {
        let found = format!("{} files more can be made", state.f_favail);
        checks.push(if state.f_favail < FEW_INODES {
            Check::note("inodes", found)
        } else {
            Check::good("inodes", found)
        });
    }
    checks
}

/// Writing, syncing, renaming and time stamps, tried out.
pub(super) fn behaviour(work: &Path) -> Vec<Check> {
    let folder = existing(work);
    let trial = match tempfile::Builder::new().prefix(".pipeline-doctor-").tempdir_in(&folder) {
        Ok(trial) => trial,
        Err(error) => {
            let message = format!("{} cannot be written to: {error}; name another with --work", folder.display());
            return vec![Check::bad("work directory", message)];
        }
    };
    match try_out(trial.path()) {
        Ok(checks) => checks,
        Err(error) => vec![Check::bad("work directory", format!("{}: {error}", folder.display()))],
    }
}

fn try_out(folder: &Path) -> std::io::Result<Vec<Check>> {
    let (a, b) = (folder.join("a"), folder.join("b"));
    let start = Instant::now();
    let mut file = File::create(&a)?;
    file.write_all(&[1; 4096])?;
    file.sync_all()?;
    let synced = start.elapsed();
    fs::write(&b, b"old")?;
    fs::rename(&a, &b)?;
    let replaced = fs::read(&b)? == [1; 4096] && !a.exists();
    let folder_synced = File::open(folder).and_then(|folder| folder.sync_all());
    let mut checks = vec![if replaced {
        Check::good("rename", "a file is replaced as a whole")
    } else {
        Check::bad("rename", "renaming a file over another does not replace it: use another file system")
    }];
    let took = format!("a file is durable after {:.1} ms", synced.as_secs_f64() * 1e3);
    checks.push(match folder_synced {
        Ok(()) if synced > SLOW_SYNC => {
            Check::note("fsync", format!("{took}: --set run.publish_every=60 publishes less often"))
        }
        Ok(()) => Check::good("fsync", took),
        Err(error) => Check::note(
            "fsync",
            format!("{took}, but a folder cannot be synced ({error}): a power cut may undo the last publication"),
        ),
    });
    let mut fractions = Vec::new();
    for n in 0..3 {
        let path = folder.join(format!("t{n}"));
        fs::write(&path, [])?;
        fractions.push(fs::metadata(&path)?.mtime_nsec());
        std::thread::sleep(Duration::from_millis(3));
    }
    checks.push(if fractions.iter().all(|fraction| *fraction == 0) {
        Check::note("time stamps", "whole seconds: files younger than two seconds are hashed again by the next command")
    } else {
        Check::good("time stamps", "finer than a second")
    });
    Ok(checks)
}
