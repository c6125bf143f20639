//! Why an item has no value.
//!
//! Rules: a function on the shelf returns its crate's own typed error, which implements [`Classify`]. The runner turns it
//! into a [`Failure`] once, adding the file; nobody logs and returns. Messages name what is wrong and, where there is
//! something to do, what to do; they hold no absolute path, no address and no time, since a failure is stored as data
//! and two runs must store the same bytes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The closed list of causes. The code of each is stored in shards as `item/status` (0 is success) and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Cause {
    /// The file is not there, or the manifest names none.
    Missing = 1,
    /// The file is there but cannot be read (permission, I/O error). Worth another try.
    Unreadable = 2,
    /// The container has no stream of the kind that is needed.
    NoStream = 3,
    /// The container or codec is known but not supported, or encrypted.
    Unsupported = 4,
    /// The bytes are not what the container or codec promises.
    Corrupt = 5,
    /// Too short to give a single row.
    TooShort = 6,
    /// The file changed while it was being read. Worth another try.
    Changed = 7,
    /// A limit on time was reached.
    Timeout = 8,
    /// The process that decoded it died.
    Crashed = 9,
    /// A limit on memory or picture size was reached.
    TooLarge = 10,
    /// A defect of this program.
    Internal = 11,
}

impl Cause {
    /// Every cause, in order of its code.
    pub const ALL: [Cause; 11] = [
        Cause::Missing,
        Cause::Unreadable,
        Cause::NoStream,
        Cause::Unsupported,
        Cause::Corrupt,
        Cause::TooShort,
        Cause::Changed,
        Cause::Timeout,
        Cause::Crashed,
        Cause::TooLarge,
        Cause::Internal,
    ];

    /// The code stored in `item/status`; 0 stands for success and is no cause.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The cause with this code.
    pub fn from_code(code: u8) -> Option<Cause> {
        Cause::ALL.into_iter().find(|c| c.code() == code)
    }

    /// Whether the next run should try again by itself: the world may have changed, the bytes have not been judged.
    pub fn is_transient(self) -> bool {
        matches!(self, Cause::Unreadable | Cause::Changed | Cause::Timeout)
    }

    /// What it means, in one line for a person.
    pub fn meaning(self) -> &'static str {
        match self {
            Cause::Missing => "the file is not there, or the manifest names none",
            Cause::Unreadable => {
                "the file is there but cannot be read: permissions, an error of the disk or the network"
            }
            Cause::NoStream => "the file has no pictures, or no sound",
            Cause::Unsupported => "a container, codec or format that nothing here decodes, or that is encrypted",
            Cause::Corrupt => "the bytes are not what the container or the codec promises",
            Cause::TooShort => "too short for a single row",
            Cause::Changed => "the file changed while it was being read",
            Cause::Timeout => "decoding it took longer than it may",
            Cause::Crashed => "the process that decoded it died, twice",
            Cause::TooLarge => "a picture or a sound larger than it may be, or more memory than a process may have",
            Cause::Internal => "a defect of this program: please report it",
        }
    }

    /// The name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Missing => "missing",
            Cause::Unreadable => "unreadable",
            Cause::NoStream => "no-stream",
            Cause::Unsupported => "unsupported",
            Cause::Corrupt => "corrupt",
            Cause::TooShort => "too-short",
            Cause::Changed => "changed",
            Cause::Timeout => "timeout",
            Cause::Crashed => "crashed",
            Cause::TooLarge => "too-large",
            Cause::Internal => "internal",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error that knows its cause.
pub trait Classify: std::error::Error {
    /// The cause class of this error.
    fn class(&self) -> Cause;
}

/// A failure as data: what is recorded for an item that has no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{cause}: {message}")]
pub struct Failure {
    /// The cause class.
    pub cause: Cause,
    /// One line in plain words; deterministic.
    pub message: String,
}

impl Failure {
    /// A failure from a typed error.
    pub fn from_error(error: &dyn Classify) -> Self {
        Failure { cause: error.class(), message: error.to_string() }
    }

    /// A failure with this cause and message.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Failure { cause, message: message.into() }
    }
}

/// The message of an error, without the backtrace that some libraries put behind it where `RUST_BACKTRACE` is set: messages are stored beside items, and what is stored
/// depends on the item alone.
pub fn without_backtrace(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    text.split("\n   0: ").next().unwrap_or_default().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtrace_is_no_part_of_a_message() {
        let error = "two lines\nof it\n   0: bt\n             at error.rs:1\n   1: main\n";
        assert_eq!(without_backtrace(&error), "two lines\nof it");
        assert_eq!(without_backtrace(&"plain"), "plain");
    }

    #[test]
    fn codes_are_unique_and_round_trip() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_code(cause.code()), Some(cause));
        }
        assert_eq!(Cause::from_code(0), None);
    }
}
