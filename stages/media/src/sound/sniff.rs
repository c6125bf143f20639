//! What a file holds, by its first bytes.

/// How many bytes are looked at: enough for the chunks that some recorders write before the format of a WAV file.
pub(super) const HEAD: usize = 4096;

/// Who is to decode it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// A sound format that symphonia knows.
    Symphonia,
    /// Big-endian WAV.
    Rifx,
    /// WAV with samples of 24 bits in four bytes.
    PaddedWav,
    /// Anything else, or nothing known.
    Other,
}

pub(super) fn content(head: &[u8]) -> Content {
    let at = |offset: usize, bytes: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(bytes));
    if at(0, b"RIFF") && at(8, b"WAVE") {
        return wav(head).unwrap_or(Content::Symphonia);
    }
    if at(0, b"RIFX") && at(8, b"WAVE") {
        return Content::Rifx;
    }
    let aiff = at(0, b"FORM") && (at(8, b"AIFF") || at(8, b"AIFC"));
    // The first page of an Ogg stream holds one packet, behind a header of 27 bytes and one length.
    let vorbis = at(0, b"OggS") && at(28, b"\x01vorbis");
    if aiff || vorbis || at(0, b"fLaC") || at(0, b"caff") { Content::Symphonia } else { Content::Other }
}

/// What the format of a WAV file says; `None` where there is no telling.
fn wav(head: &[u8]) -> Option<Content> {
    let u16_at = |at: usize| head.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let mut at = 12;
    while head.get(at..at + 4)? != b"fmt " {
        let size = head.get(at + 4..at + 8)?;
        let size = u32::from_le_bytes([size[0], size[1], size[2], size[3]]) as usize;
        at += 8 + size + size % 2;
    }
    let (tag, channels, align, bits) = (u16_at(at + 8)?, u16_at(at + 10)?, u16_at(at + 20)?, u16_at(at + 22)?);
    let valid = match tag {
        EXTENSIBLE => u16_at(at + 26)?,
        _ => bits,
    };
    let (align, channels) = (u32::from(align), u32::from(channels));
    if matches!(tag, INTEGER | EXTENSIBLE) && valid == 24 && align == 4 * channels {
        return Some(Content::PaddedWav);
    }
    // Where the length of one moment of all channels is not what channels and bits make of it, the command reads in steps of that length and
    // drops what is no whole moment at the end of each of its packets.
    let plain = matches!(tag, INTEGER | FLOAT | EXTENSIBLE);
    let whole = align == channels * u32::from(bits).div_ceil(8);
    Some(if plain && !whole { Content::Other } else { Content::Symphonia })
}

/// Tags of the format of a WAV file.
const INTEGER: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xfffe;
