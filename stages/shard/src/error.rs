//! What can be wrong with a shard, and the translation of libhdf5's error stack.
//!
//! libhdf5 prints its stack to standard error unless told otherwise; hdf5-metno tells it, in each thread before the first
//! call. Its texts hold paths and times ("file write failed: time = ..., filename = ..."), so only the operating system's
//! message is taken from those, and what is left is deterministic.

use contract::{Cause, Classify, Failure};
use hdf5_metno as hdf5;

/// Why a shard cannot be written or read. Messages name no path: the caller knows the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// The operating system refused.
    #[error("cannot {doing}: {message}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The operating system's message.
        message: String,
    },
    /// libhdf5 refused for a reason of its own.
    #[error("HDF5 cannot {doing}: {message}")]
    Library {
        /// What was tried.
        doing: &'static str,
        /// The innermost message of its error stack.
        message: String,
    },
    /// Not HDF5, or HDF5 that this program did not write.
    #[error("not a shard: {reason}")]
    NotAShard {
        /// What shows it.
        reason: String,
    },
    /// The file ends before its end.
    #[error("cut short: the file has {found} bytes of {expected}; delete it and run again")]
    Truncated {
        /// Bytes it should have.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// Its writer died before closing it.
    #[error("its writer did not close it; delete it and run again")]
    Unfinished,
    /// A shard, but of another schema version.
    #[error("shard schema {found}, this program reads {SCHEMA}; use the version of the program that wrote it, or delete it and run again", SCHEMA = crate::SCHEMA_VERSION)]
    WrongSchema {
        /// The version it states.
        found: u32,
    },
    /// Part of it is not what was written.
    #[error("damaged: {dataset}: {reason}; delete it and run again")]
    Damaged {
        /// The dataset, attribute or structure.
        dataset: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header that cannot be stored.
    #[error("header: {reason}")]
    BadHeader {
        /// What is wrong with it.
        reason: String,
    },
    /// An id that cannot be stored.
    #[error("item id {id:?}: {reason}")]
    BadId {
        /// The id.
        id: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The same id twice in one shard.
    #[error("item {id:?} is there twice")]
    DuplicateId {
        /// The id.
        id: String,
    },
    /// Rows that do not fit the columns of the header.
    #[error("item {id:?}: {reason}")]
    Mismatch {
        /// The item.
        id: String,
        /// How they differ.
        reason: String,
    },
    /// Another number of items than announced.
    #[error("{pushed} items were written, {expected} were announced")]
    Incomplete {
        /// Announced.
        expected: usize,
        /// Written.
        pushed: usize,
    },
    /// An earlier write failed, so the file cannot be finished.
    #[error("an earlier write to this shard failed")]
    Broken,
    /// No column of this name.
    #[error("no column {name:?}; there are: {known}")]
    NoSuchColumn {
        /// The name that was asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// No item of this number.
    #[error("no item {index}: the shard has {len}")]
    NoSuchItem {
        /// The number that was asked for, from 0.
        index: usize,
        /// How many there are.
        len: usize,
    },
    /// The item has no rows because it failed.
    #[error("item {id:?} has no rows: {failure}")]
    NoRows {
        /// The item.
        id: String,
        /// Why.
        failure: Failure,
    },
    /// The inputs of a merge do not make a whole.
    #[error("cannot merge: {reason}")]
    CannotMerge {
        /// What does not fit.
        reason: String,
    },
}

impl Classify for ShardError {
    fn class(&self) -> Cause {
        match self {
            ShardError::Io { .. } => Cause::Unreadable,
            ShardError::NotAShard { .. }
            | ShardError::Truncated { .. }
            | ShardError::Unfinished
            | ShardError::WrongSchema { .. }
            | ShardError::Damaged { .. } => Cause::Corrupt,
            ShardError::NoRows { failure, .. } => failure.cause,
            _ => Cause::Internal,
        }
    }
}

impl ShardError {
    /// From an error of the operating system.
    pub(crate) fn io(doing: &'static str, error: &std::io::Error) -> Self {
        ShardError::Io { doing, message: error.to_string() }
    }

    /// From an error of libhdf5 while writing, or while opening a file.
    pub(crate) fn library(doing: &'static str, error: &hdf5::Error) -> Self {
        let innermost = innermost(error);
        match system_message(&innermost) {
            Some(message) => ShardError::Io { doing, message },
            None => ShardError::Library { doing, message: innermost },
        }
    }

    /// From an error of libhdf5 while reading `dataset` of an open shard.
    pub(crate) fn reading(dataset: &str, error: &hdf5::Error) -> Self {
        let innermost = innermost(error);
        match system_message(&innermost) {
            Some(message) => ShardError::Io { doing: "read the file", message },
            None => ShardError::damaged(dataset, innermost),
        }
    }

    /// Something in an open shard is not as written.
    pub(crate) fn damaged(dataset: impl Into<String>, reason: impl Into<String>) -> Self {
        ShardError::Damaged { dataset: dataset.into(), reason: reason.into() }
    }
}

/// The message of the innermost frame: the cause, where the outer ones say what it prevented.
fn innermost(error: &hdf5::Error) -> String {
    match error {
        hdf5::Error::Internal(message) => message.clone(),
        hdf5::Error::HDF5(_) => error
            .stack()
            .and_then(|stack| stack.last().map(|frame| frame.desc().to_owned()))
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| "no reason given".to_owned()),
    }
}

/// The part between quotes of `..., errno = 28, error message = 'No space left on device', ...`.
fn system_message(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("error message = '")?;
    rest.split_once('\'').map(|(message, _)| message.to_owned())
}
