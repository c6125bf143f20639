//! Which libav is at work, and its error codes in our words.

use std::fmt;
use std::sync::Once;

use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::{self as ffmpeg, Dictionary};
use serde::{Deserialize, Serialize};

use crate::MediaError;
use crate::file::{Failure, MediaFile};

/// Major and minor versions of the libraries that decide the bytes of a picture: facts for cache keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibavVersions {
    /// Decoders, as `major.minor`.
    pub avcodec: String,
    /// Demuxers, as `major.minor`.
    pub avformat: String,
    /// Colour conversion, as `major.minor`.
    pub swscale: String,
}

impl fmt::Display for LibavVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "avcodec {}, avformat {}, swscale {}", self.avcodec, self.avformat, self.swscale)
    }
}

/// The libraries that this process has loaded (not those it was compiled against).
pub fn libav_versions() -> LibavVersions {
    let text = |packed: u32| format!("{}.{}", packed >> 16, (packed >> 8) & 0xff);
    LibavVersions {
        avcodec: text(ffmpeg::codec::version()),
        avformat: text(ffmpeg::format::version()),
        swscale: text(ffmpeg::software::scaling::version()),
    }
}

/// Silences libav and teaches it the texts of its errors, once per process.
pub(crate) fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        ffmpeg::log::set_level(ffmpeg::log::Level::Quiet);
        // Without it the errors of libav's own have no text.
        ffmpeg::util::error::register_all();
    });
}

/// What libav makes of a file, or its error. [`Failure`] tells afterwards whether the system failed.
///
/// It reads through a [`MediaFile`] and never sees a path, so no name is taken for a protocol, and a playlist in disguise finds every
/// other file and the network closed.
pub(crate) fn open_input(file: &MediaFile) -> (Result<Input, ffmpeg::Error>, Failure) {
    init();
    let reader = file.reader();
    let failure = reader.failure();
    let mut options = Dictionary::new();
    // As the command does.
    options.set("scan_all_pmts", "1");
    options.set("protocol_whitelist", "none");
    let input = StreamIo::from_read_seek(reader)
        .and_then(|stream| ffmpeg::format::input_from_stream(stream, Some(file.name()), Some(options)));
    (input, failure)
}

/// What libav says of an error code.
pub(crate) fn message(code: i32) -> String {
    ffmpeg::Error::from(code).to_string()
}

/// The error of opening a container, the system's own errors set aside.
pub(crate) fn container_error(error: ffmpeg::Error) -> MediaError {
    match error {
        ffmpeg::Error::InvalidData | ffmpeg::Error::Eof => {
            MediaError::NotMedia { detail: "no container format recognises its bytes".to_owned() }
        }
        ffmpeg::Error::DemuxerNotFound | ffmpeg::Error::PatchWelcome => {
            MediaError::Unsupported { what: error.to_string() }
        }
        error => MediaError::NotMedia { detail: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        let versions = libav_versions();
        for text in [&versions.avcodec, &versions.avformat, &versions.swscale] {
            let parts: Vec<_> = text.split('.').map(str::parse::<u32>).collect();
            assert!(matches!(parts.as_slice(), [Ok(1..), Ok(_)]), "{text}");
        }
    }
}
