//! The errors of the runner. Each names the path or key it is about and, where there is something to do, what to do.
//!
//! Rules: an error of a stage crate is wrapped once, where the runner knows the file; nothing is logged *and* returned;
//! `main` prints the chain and chooses the exit code.

use std::path::{Path, PathBuf};

/// What can end a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line or the configuration asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// A configuration file cannot be understood.
    #[error("{}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line where known.
        message: String,
    },
    /// A file operation failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The verb, e.g. `read`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data set cannot be listed.
    #[error(transparent)]
    Discover(#[from] discover::DiscoverError),
    /// The media cannot be fetched or checked.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// A shard cannot be written or read.
    #[error("{}: {source}", path.display())]
    Shard {
        /// The shard.
        path: PathBuf,
        /// What is wrong with it.
        source: shard::ShardError,
    },
    /// A stage cannot run at all: its parameters or its model are wrong.
    #[error("{stage}: {message}")]
    Stage {
        /// Id of the stage.
        stage: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// The program that decodes media cannot be used.
    #[error("the media worker {}: {message}", path.display())]
    Worker {
        /// The program.
        path: PathBuf,
        /// What is wrong with it and what to do.
        message: String,
    },
    /// A command of Slurm failed.
    #[error("{command}: {message}")]
    Slurm {
        /// The command.
        command: String,
        /// What it said.
        message: String,
    },
    /// More items failed than `run.max_failures` allows.
    #[error(
        "stopped: {failed} item{} failed, more than run.max_failures = {limit}; what was done is kept \
         (`pipeline failures` lists them, `--keep-going` goes on regardless)",
        if *failed == 1 { "" } else { "s" }
    )]
    TooManyFailures {
        /// Items failed so far.
        failed: usize,
        /// The limit, as written.
        limit: String,
    },
    /// A defect of this program: a thread died.
    #[error("internal error: {0}; finished work is kept, running again continues")]
    Internal(String),
}

impl Error {
    /// Whether a file holds something else than was written, as opposed to one that cannot be read now and may be good.
    pub fn is_damage(&self) -> bool {
        matches!(self, Error::Shard { source, .. } if !matches!(source, shard::ShardError::Io { .. }))
    }

    /// The same of this file: what fails to be written reads like damage, too.
    pub fn is_damage_of(&self, file: &Path) -> bool {
        self.is_damage() && matches!(self, Error::Shard { path, .. } if path == file)
    }
}

/// The result of a runner function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Puts the path and the verb onto an I/O error.
pub(crate) trait IoContext<T> {
    /// `cannot DOING PATH: …`
    fn at(self, doing: &'static str, path: &Path) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { doing, path: path.to_path_buf(), source })
    }
}

/// Puts the path onto a shard error.
pub(crate) trait ShardContext<T> {
    /// `PATH: …`
    fn in_shard(self, path: &Path) -> Result<T>;
}

impl<T> ShardContext<T> for std::result::Result<T, shard::ShardError> {
    fn in_shard(self, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Shard { path: path.to_path_buf(), source })
    }
}

/// What a thread said when it panicked.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a thread panicked")
        .to_string()
}
