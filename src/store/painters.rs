//! Who writes picture files, and with which parameters.
//!
//! Each run that is about to write pictures puts up a sign: an empty file `PARAMETERS-HOST-PID`, where `PARAMETERS` is a digest of the key
//! template. It keeps nobody out, and nobody has to remove one that a dead run left.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{IoContext, Result};
use crate::key::Template;
use crate::store::WorkDir;
use crate::store::publish::{host, is_abandoned, publish_bytes, remove};

/// A run that writes pictures, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    path: PathBuf,
    parameters: String,
    /// Whether the run is over.
    pub is_abandoned: bool,
}

impl Sign {
    /// This run's, for all to see from here on.
    pub fn put_up(work: &WorkDir, template: &Template) -> Result<Sign> {
        let parameters = parameters_of(template);
        let path = work.painters().join(format!("{parameters}-{}-{}", host(), std::process::id()));
        publish_bytes(&path, &[])?;
        Ok(Sign { path, parameters, is_abandoned: false })
    }

    /// Those of all others.
    pub fn of_others(work: &WorkDir) -> Result<Vec<Sign>> {
        let folder = work.painters();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.at("list", &folder)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            found.extend(Sign::read(&entry.at("list", &folder)?.path()));
        }
        Ok(found)
    }

    fn read(path: &Path) -> Option<Sign> {
        // One that is still under a temporary name is none yet.
        let name = path.file_name()?.to_str().filter(|name| !name.starts_with('.'))?;
        let (parameters, owner) = name.split_once('-')?;
        let (of, pid) = owner.rsplit_once('-')?;
        let pid: i32 = pid.parse().ok()?;
        let is_own = of == host() && pid.cast_unsigned() == std::process::id();
        let is_abandoned = is_abandoned(of, pid, path);
        (!is_own).then(|| Sign { path: path.to_path_buf(), parameters: parameters.to_string(), is_abandoned })
    }

    /// Whether its pictures are those that these parameters make.
    pub fn is_of(&self, template: &Template) -> bool {
        self.parameters == parameters_of(template)
    }

    /// Takes it down; one that is gone already is no error.
    pub fn take_down(&self) -> Result<()> {
        remove(&self.path)
    }
}

fn parameters_of(template: &Template) -> String {
    blake3::hash(template.text().as_bytes()).to_hex()[..16].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::content;
    use crate::store::publish::sweep_temporaries;
    use serde_json::json;

    #[test]
    fn the_signs_of_others_tell_their_parameters_and_whether_they_are_over() {
        let folder = tempfile::tempdir().expect("tempdir");
        let work = WorkDir::new(folder.path());
        assert_eq!(Sign::of_others(&work).expect("none"), []);
        let template = |fps: u32| Template::new("extract-frames", 1, &json!({"fps": fps}), &json!({}), &content());
        let own = Sign::put_up(&work, &template(1)).expect("put up");
        assert!(own.is_of(&template(1)) && !own.is_of(&template(2)));
        assert_eq!(Sign::of_others(&work).expect("own alone"), []);
        let mut child = std::process::Command::new("true").spawn().expect("spawn");
        let dead = child.id();
        child.wait().expect("wait");
        let name = |host: &str, pid: u32| work.painters().join(format!("{}-{host}-{pid}", parameters_of(&template(2))));
        for path in [name(&host(), dead), name("else-where", 1)] {
            fs::write(path, b"").expect("write");
        }
        // A process died before its sign had a name.
        fs::write(work.painters().join(format!(".abc-{0}-{dead}.tmp-{0}-{dead}-1", host())), b"").expect("write");
        let mut others = Sign::of_others(&work).expect("two");
        others.sort_by_key(|sign| sign.is_abandoned);
        assert_eq!(others.iter().map(|sign| sign.is_abandoned).collect::<Vec<_>>(), [false, true]);
        assert!(others.iter().all(|sign| sign.is_of(&template(2))));
        for sign in &others {
            sign.take_down().expect("taken down");
        }
        own.take_down().expect("taken down");
        own.take_down().expect("gone already");
        assert_eq!(sweep_temporaries(&work.painters()), 1);
        assert_eq!(fs::read_dir(work.painters()).expect("there").count(), 0);
    }
}
