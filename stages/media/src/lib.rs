//! Opening, demuxing and decoding media: pictures through libav, sound through symphonia (sound files) or libav (everything else).

pub mod error;

pub use error::MediaError;
