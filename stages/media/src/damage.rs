//! Of which files only a part is good, and from where on it is not.
//!
//! The ffmpeg command makes what it can of a truncated or damaged file and ends well, and so does this crate: [`Damage`] is told beside the
//! pictures or the sound, and whoever asked decides whether a part will do. A file is *partial* in a stream if one of these holds:
//!
//! | | seen in | told from |
//! |---|---|---|
//! | a sample that the index lists lies beyond the end of the file | MP4, MOV | the index, before anything is decoded |
//! | the container states more bytes of media than there are | WAV, RF64, AIFF, CAF, AVI, Matroska, fragments of MP4, Ogg, MP3 with a Xing header | its own numbers ([`super::statement`]) |
//! | pages are missing or fail their checksum, or there is no last one | Ogg | the pages |
//! | the demuxer marks a packet as incomplete or lost | all, above all MPEG-TS | the packets |
//! | the stream states more samples than were decoded | FLAC | its header |
//! | a packet does not decode, or its picture is patched up | all | the decoder |
//!
//! Not partial: what a header says about duration, frame rate or the length of the file as a whole, which is often wrong where every sample is there;
//! sizes that stand for "unknown" (0, all ones, 2 GiB less a little); chunks behind the media, and what is no frame behind the last one of a bare MP3 or AAC stream; samples that an edit list cuts away; what lies
//! before the first key frame of a stream that was joined midway (a recording of a broadcast).
//!
//! Pictures that are not decoded cannot be judged: where only some frames are wanted, damage between them goes unseen, and the pictures that are
//! given are those of the command all the same. A container that states nothing (MPEG-TS, ADTS, a bare stream, a live Matroska) can be
//! cut between two packets without a trace. The first damage that is met in a picture has the whole stream decoded, so that numbers in messages are complete.

use std::fmt;

/// A part of a file that is damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Whether the rest is not there, or there but broken.
    pub missing: bool,
    /// From which time on, in microseconds from the start of the file, where known.
    pub micros: Option<i64>,
    /// From which byte of the file on, where known.
    pub byte: Option<u64>,
    /// What is wrong, in plain words.
    pub detail: String,
}

impl Damage {
    /// The one that begins earlier; `a` where nobody can tell.
    pub(crate) fn earlier(a: Option<Damage>, b: Option<Damage>) -> Option<Damage> {
        match (a, b) {
            (Some(a), Some(b)) => {
                let later = matches!((a.micros, b.micros), (Some(a), Some(b)) if b < a);
                Some(if later { b } else { a })
            }
            (a, b) => a.or(b),
        }
    }

    /// What is missing begins where that ends which is there.
    pub(crate) fn behind(mut self, micros: Option<i64>) -> Damage {
        if self.missing {
            self.micros = self.micros.or(micros);
        }
        self
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.missing { "missing" } else { "damaged" })?;
        match (self.micros, self.byte) {
            (Some(micros), Some(byte)) => write!(f, " from {} s on (byte {byte})", seconds(micros))?,
            (Some(micros), None) => write!(f, " from {} s on", seconds(micros))?,
            (None, Some(byte)) => write!(f, " from byte {byte} on")?,
            (None, None) => {}
        }
        write!(f, ": {}", self.detail)
    }
}

/// Seconds to the millisecond, without zeros at the end.
fn seconds(micros: i64) -> f64 {
    (micros.max(0) as f64 / 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(missing: bool, micros: Option<i64>, byte: Option<u64>) -> Damage {
        Damage { missing, micros, byte, detail: "41 of 250 pictures do not decode".into() }
    }

    #[test]
    fn the_message_says_from_where_on() {
        let words = [
            (damage(false, Some(3_200_000), None), "damaged from 3.2 s on: 41 of 250 pictures do not decode"),
            (damage(true, Some(40_499), Some(7)), "missing from 0.04 s on (byte 7): 41 of 250 pictures do not decode"),
            (damage(false, None, Some(7)), "damaged from byte 7 on: 41 of 250 pictures do not decode"),
            (damage(true, Some(-5), None), "missing from 0 s on: 41 of 250 pictures do not decode"),
        ];
        for (damage, message) in words {
            assert_eq!(damage.to_string(), message);
        }
    }

    #[test]
    fn the_earlier_of_two_is_told() {
        let (early, late, unknown) =
            (damage(true, Some(1), None), damage(false, Some(2), None), damage(false, None, Some(3)));
        let of = |a: &Damage, b: &Damage| Damage::earlier(Some(a.clone()), Some(b.clone()));
        assert_eq!(of(&early, &late), Some(early.clone()));
        assert_eq!(of(&late, &early), Some(early.clone()));
        assert_eq!(of(&unknown, &early), Some(unknown.clone()));
        assert_eq!(Damage::earlier(None, Some(late.clone())), Some(late));
        assert_eq!(Damage::earlier(None, None), None);
    }
}
