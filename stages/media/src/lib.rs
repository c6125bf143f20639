//! Opening, demuxing and decoding media: pictures through libav, sound through symphonia (sound files) or libav (everything else).
//!
//! | module | what it makes of a file |
//! |---|---|
//! | [`file`] | its bytes, opened once and read from disk once |
//! | [`video`] | the presentation times of its pictures, and those pictures that are wanted, with the bytes of the ffmpeg command |
//! | [`sound`](mod@sound) | its decoded samples, those of the ffmpeg command |
//! | [`libav`] | which libav is at work: a fact for cache keys |
//! | [`damage`] | that only a part of a file is good, and from where on it is not |
//! | [`error`] | why there are none |
//!
//! Media are hostile. What libav reports is passed on as [`MediaError`]; what it does not survive (a crash, a hang, a bomb) is the affair of
//! the process around it. Nothing here prints: libav's own log is switched off when the first file is opened.

pub mod damage;
pub mod error;
pub mod file;
pub mod libav;
pub mod sound;
mod statement;
pub mod video;

pub use damage::Damage;
pub use error::MediaError;
pub use file::MediaFile;
pub use libav::{LIBAV, LibavVersions, has_decoder};
pub use sound::{Heard, hear, sound, sound_of};
pub use video::{Outcome, Video, VideoInfo};

/// The version of symphonia, which decodes most sound files: a fact for cache keys.
pub const SYMPHONIA_VERSION: &str = "0.6";
