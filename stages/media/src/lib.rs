//! Opening, demuxing and decoding media: pictures through libav, sound through symphonia (sound files) or libav (everything else).

pub mod error;
pub mod sound;

pub use error::MediaError;
pub use sound::sound;
