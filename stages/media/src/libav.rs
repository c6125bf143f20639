//! Which libav is at work, and its error codes in our words.

use std::fmt;
use std::sync::Once;

use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::{self as ffmpeg, Dictionary};
use serde::{Deserialize, Serialize};

use crate::file::{Failure, MediaFile};
use crate::{Damage, MediaError};

/// Major versions of the libraries that decide the bytes of a picture or a sound: facts for cache keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibavVersions {
    /// Decoders.
    pub avcodec: u32,
    /// Demuxers.
    pub avformat: u32,
    /// Colour conversion.
    pub swscale: u32,
}

impl fmt::Display for LibavVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "avcodec {}, avformat {}, swscale {}", self.avcodec, self.avformat, self.swscale)
    }
}

/// The libraries that this was compiled against. A major version is part of a library's file name, so these are also the ones that a process
/// loads; and a constant loads nothing.
pub const LIBAV: LibavVersions = LibavVersions {
    avcodec: ffmpeg::ffi::LIBAVCODEC_VERSION_MAJOR as u32,
    avformat: ffmpeg::ffi::LIBAVFORMAT_VERSION_MAJOR as u32,
    swscale: ffmpeg::ffi::LIBSWSCALE_VERSION_MAJOR as u32,
};

/// Whether this libav has a decoder of this name.
pub fn has_decoder(name: &str) -> bool {
    init();
    ffmpeg::decoder::find_by_name(name).is_some()
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

/// Samples of a stream that the index of its file lists and that are not there.
pub(crate) struct Listed {
    count: usize,
    total: usize,
    /// The decoding time of the first, in ticks of the stream.
    pub(crate) first: i64,
}

impl Listed {
    /// As damage of a file of this length. `unit`: what the samples are, many of them.
    pub(crate) fn damage(&self, unit: &str, len: u64) -> Damage {
        let detail = format!("{} of {} {unit} lie beyond the end of the file", self.count, self.total);
        Damage { missing: true, micros: None, byte: Some(len), detail }
    }
}

/// Samples of a stream that the index of an MP4 lists and that lie beyond the end of the file. In other formats an index holds only places to
/// jump to.
#[expect(unsafe_code, reason = "the binding does not show the index")]
pub(crate) fn listed_beyond_end(input: &mut Input, index: usize, len: u64) -> Option<Listed> {
    if !input.format().name().split(',').any(|name| name == "mp4") {
        return None;
    }
    let (mut count, mut first) = (0, None);
    // SAFETY: the stream lives as long as `input`, which nobody else holds; an entry is looked at before anything else is called.
    let total = unsafe {
        let stream = *(*input.as_mut_ptr()).streams.add(index);
        let total = ffmpeg::ffi::avformat_index_get_entries_count(stream).max(0);
        for i in 0..total {
            let Some(entry) = ffmpeg::ffi::avformat_index_get_entry(stream, i).as_ref() else { break };
            let end = u64::try_from(entry.pos).unwrap_or(u64::MAX).saturating_add(entry.size().max(0) as u64);
            // What an edit list cuts away is no loss.
            if end > len && entry.flags() & ffmpeg::ffi::AVINDEX_DISCARD_FRAME == 0 {
                count += 1;
                first.get_or_insert(entry.timestamp);
            }
        }
        total as usize
    };
    first.map(|first| Listed { count, total, first })
}

/// What libav says where an allocation failed. It is no damage to be passed over: with more memory the file would give something else.
pub(crate) const NO_MEMORY: ffmpeg::Error = ffmpeg::Error::Other { errno: ffmpeg::error::ENOMEM };

/// What libav says of an error code.
pub(crate) fn message(code: i32) -> String {
    ffmpeg::Error::from(code).to_string()
}

/// The error of opening a container, the system's own errors set aside.
pub(crate) fn container_error(error: ffmpeg::Error) -> MediaError {
    match error {
        NO_MEMORY => MediaError::OutOfMemory,
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
    fn the_libraries_that_are_loaded_are_those_of_the_compiler() {
        let loaded = LibavVersions {
            avcodec: ffmpeg::codec::version() >> 16,
            avformat: ffmpeg::format::version() >> 16,
            swscale: ffmpeg::software::scaling::version() >> 16,
        };
        assert_eq!(loaded, LIBAV);
    }
}
