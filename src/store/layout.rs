//! Where things lie in the work directory. Nobody else joins these paths.

use std::path::{Path, PathBuf};

/// A work directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkDir {
    root: PathBuf,
}

impl WorkDir {
    /// The work directory at this path, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        WorkDir { root: root.into() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a stage: its shards, pictures or products.
    pub fn stage(&self, stage: &str) -> PathBuf {
        self.root.join(stage)
    }

    /// A published shard.
    pub fn shard(&self, stage: &str, index: usize, count: usize) -> PathBuf {
        self.stage(stage).join(shard_name(index, count))
    }

    /// Parts and superseded shards of a stage.
    pub fn parts(&self, stage: &str) -> PathBuf {
        self.state().join("parts").join(stage)
    }

    /// The index of a stage.
    pub fn index(&self, stage: &str) -> PathBuf {
        self.state().join("index").join(stage)
    }

    /// The digest cache: a folder of segments.
    pub fn digests(&self) -> PathBuf {
        self.state().join("digests")
    }

    /// What `status` said last.
    pub fn status(&self) -> PathBuf {
        self.state().join("status")
    }

    /// How often what failed was tried.
    pub fn attempts(&self) -> PathBuf {
        self.state().join("attempts")
    }

    /// Who writes pictures with which parameters.
    pub fn painters(&self) -> PathBuf {
        self.state().join("painters")
    }

    /// Where a stage that trains keeps how far it is.
    pub fn checkpoint(&self, stage: &str) -> PathBuf {
        self.state().join("checkpoints").join(stage)
    }

    /// What was submitted to Slurm.
    pub fn slurm(&self) -> PathBuf {
        self.state().join("slurm")
    }

    /// The records of the runs.
    pub fn runs(&self) -> PathBuf {
        self.state().join("runs")
    }

    fn state(&self) -> PathBuf {
        self.root.join(".pipeline").join("v1")
    }
}

/// `00003-of-00048.h5`
pub fn shard_name(index: usize, count: usize) -> String {
    format!("{index:05}-of-{count:05}.h5")
}

/// Reads a shard's index and count back from its file name; `None` for any other file.
pub fn parse_shard_name(name: &str) -> Option<(usize, usize)> {
    let (index, count) = name.strip_suffix(".h5")?.split_once("-of-")?;
    let (index, count) = (index.parse().ok()?, count.parse().ok()?);
    (shard_name(index, count) == name && index < count).then_some((index, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_names_round_trip_and_nothing_else_is_a_shard() {
        assert_eq!(parse_shard_name(&shard_name(3, 48)), Some((3, 48)));
        assert_eq!(parse_shard_name(&shard_name(123_456, 200_000)), Some((123_456, 200_000)));
        for other in
            ["00048-of-00048.h5", "3-of-48.h5", ".00003-of-00048.h5.tmp-a-1-0", "00003-of-00048.h5.damaged", "x.png"]
        {
            assert_eq!(parse_shard_name(other), None, "{other}");
        }
    }
}
