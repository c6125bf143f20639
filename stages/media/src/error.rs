//! Why a file gives no pictures or no sound.

use std::io;

use contract::{Cause, Classify};

/// Why a file gives no pictures or no sound. Messages name no path: the runner adds the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// There is no such file.
    #[error("there is no such file")]
    Missing,
    /// The file is there but the system does not let us read it.
    #[error("the file cannot be read ({kind}): check its permissions and the disk")]
    Unreadable {
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// No demuxer recognises the bytes.
    #[error("not a media file: {detail}")]
    NotMedia {
        /// What the demuxer said.
        detail: String,
    },
    /// Container or codec recognised, but the bytes do not keep what it promises.
    #[error("damaged: {detail}")]
    Corrupt {
        /// What the demuxer or decoder said.
        detail: String,
    },
    /// The container holds no pictures (cover art of a sound file counts only where there is nothing else).
    #[error("no video stream in the file")]
    NoVideoStream,
    /// The container holds no sound.
    #[error("no audio stream in the file")]
    NoAudioStream,
    /// Known by name, but nothing here decodes it.
    #[error("no decoder for {what}: convert the file with ffmpeg first")]
    Unsupported {
        /// Codec, sample format or pixel format.
        what: String,
    },
    /// The samples are encrypted and there is no key.
    #[error("the stream is encrypted: a decrypted copy is needed")]
    Encrypted,
    /// Opened and decoded, but not one picture or sample came out.
    #[error("the stream holds not a single {unit}")]
    Empty {
        /// `picture` or `sample`.
        unit: &'static str,
    },
    /// More than this program is willing to hold in memory.
    #[error("{what} is {value}, more than the limit of {limit}")]
    TooLarge {
        /// What is too large, with its unit, e.g. `picture width in pixels`.
        what: &'static str,
        /// What the file says.
        value: u64,
        /// The limit.
        limit: u64,
    },
    /// The system gave no more memory: the process has a limit, or the file asks for absurdly much.
    #[error("decoding it takes more memory than the process may have")]
    OutOfMemory,
    /// A defect of this program or of a library under it.
    #[error("internal error in {at}: {detail}")]
    Internal {
        /// The call that failed.
        at: &'static str,
        /// What it said.
        detail: String,
    },
}

impl MediaError {
    /// The error of opening or reading the file itself.
    pub fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => MediaError::Missing,
            kind => MediaError::Unreadable { kind },
        }
    }
}

impl Classify for MediaError {
    fn class(&self) -> Cause {
        match self {
            MediaError::Missing => Cause::Missing,
            MediaError::Unreadable { .. } => Cause::Unreadable,
            MediaError::NotMedia { .. } | MediaError::Corrupt { .. } => Cause::Corrupt,
            MediaError::NoVideoStream | MediaError::NoAudioStream => Cause::NoStream,
            MediaError::Unsupported { .. } | MediaError::Encrypted => Cause::Unsupported,
            MediaError::Empty { .. } => Cause::TooShort,
            MediaError::TooLarge { .. } | MediaError::OutOfMemory => Cause::TooLarge,
            MediaError::Internal { .. } => Cause::Internal,
        }
    }
}
