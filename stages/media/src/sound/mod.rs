//! From a file to its decoded [`Sound`]: interleaved f32 samples of the best audio stream, at its own rate.
//!
//! The measure is the ffmpeg command, `ffmpeg -i FILE -f f32le -`: same number of samples, same values (integers divided by
//! 2^(bits-1), floats as they are), whatever a container asks to be skipped (encoder delay, edit lists) left out.
//! PCM and FLAC are equal to the bit, lossy codecs to 1e-4 of full scale (two decoders of the same bits differ in rounding).
//!
//! Who decodes is decided by the first bytes, never by the name of the file:
//!
//! | content | decoder |
//! |---|---|
//! | WAV (`RIFF`), FLAC, Ogg Vorbis, AIFF, CAF | `symphonia`: safe Rust, no libav involved |
//! | WAV whose block length is not that of its samples | `libav`: the command loses the end of each of its packets then |
//! | big-endian WAV (`RIFX`) | `rifx`: ffmpeg refuses most of them and misreads the rest, symphonia knows none |
//! | all else: MP3, MP4, Matroska, AAC, Opus, RF64 … | `libav` |
//!
//! Symphonia is held to perfection: whatever it stumbles over - an error anywhere, fewer or more samples than the
//! container states, a change of format - is decoded again, from the start, by libav. So a damaged file gives what the
//! ffmpeg command gives, usually its good beginning, and a file fails only if libav cannot make a sample of it either.
//! MP3 is libav's because the two disagree on how much of the encoder's delay is to be cut off where the encoder did not sign
//! as LAME (one frame of `bear-id3.mp3`), and length is part of the measure.
//!
//! Refused on purpose, though ffmpeg decodes it: WAV with integers of 24 bits in four bytes. The format wants them in the upper
//! three bytes, writers put them into the lower three, and ffmpeg takes them for floats, which reads as silence.
//!
//! Memory grows with what was decoded, never with what a header claims, up to [`MAX_VALUES`].

mod libav;
mod rifx;
mod sniff;
mod symphonia;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::path::Path;

use contract::Sound;

use crate::{Damage, MediaError, MediaFile, statement};
use sniff::Content;

/// The most values (samples over all channels) that are decoded of one file: 12 h of 48-kHz stereo, 16 GiB.
pub const MAX_VALUES: usize = 1 << 32;

/// [`sound_of`] the file at this path.
pub fn sound(path: &Path) -> Result<Sound, MediaError> {
    sound_of(&MediaFile::read(path)?)
}

/// What was heard of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// At least one sample, at least one channel, a rate above 0; samples may be NaN if the file says so.
    pub sound: Sound,
    /// Why that is only a part of what the file promises, if it is.
    pub damage: Option<Damage>,
}

/// The sound of a file, be it whole or not.
pub fn sound_of(file: &MediaFile) -> Result<Sound, MediaError> {
    hear(file).map(|heard| heard.sound)
}

/// The sound of a file, and whether it is whole.
pub fn hear(file: &MediaFile) -> Result<Heard, MediaError> {
    let mut head = Vec::new();
    file.reader().take(sniff::HEAD as u64).read_to_end(&mut head).map_err(|e| MediaError::from_io(&e))?;
    match sniff::content(&head) {
        Content::Rifx => rifx::sound(file.reader()),
        Content::PaddedWav => Err(MediaError::Unsupported {
            what: "WAV with 24-bit samples in four bytes, on whose place readers disagree".into(),
        }),
        Content::Symphonia => match symphonia::sound(file) {
            // As many samples as are stated; but an Ogg stream states nothing, and what is not there is not missed.
            Some(sound) => {
                let end = (sound.frames() as u128 * 1_000_000 / u128::from(sound.sample_rate)) as i64;
                let damage = statement::damage(file).map(|damage| damage.behind(Some(end)));
                Ok(Heard { sound, damage })
            }
            None => libav::sound(file),
        },
        Content::Other => libav::sound(file),
    }
}

/// Appends values as long as they are within [`MAX_VALUES`].
struct Samples {
    values: Vec<f32>,
    limit: usize,
}

impl Samples {
    fn new() -> Samples {
        Samples { values: Vec::new(), limit: MAX_VALUES }
    }

    /// Room for `n` more values, to be written.
    fn room(&mut self, n: usize) -> Result<&mut [f32], MediaError> {
        let start = self.values.len();
        self.extend(std::iter::repeat_n(0.0, n))?;
        Ok(&mut self.values[start..])
    }

    fn extend(&mut self, values: impl ExactSizeIterator<Item = f32>) -> Result<(), MediaError> {
        let total = self.values.len() + values.len();
        if total > self.limit {
            let what = "the number of samples over all channels";
            return Err(MediaError::TooLarge { what, value: total as u64, limit: self.limit as u64 });
        }
        self.values.extend(values);
        Ok(())
    }
}
