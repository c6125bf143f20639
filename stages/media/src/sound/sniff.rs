//! What a file holds, by its first bytes.

/// How many bytes are looked at.
pub(super) const HEAD: usize = 64;

/// Who is to decode it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// A sound format that symphonia knows.
    Symphonia,
    /// Big-endian WAV.
    Rifx,
    /// Anything else, or nothing known.
    Other,
}

pub(super) fn content(head: &[u8]) -> Content {
    let at = |offset: usize, bytes: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(bytes));
    let symphonia = (at(0, b"RIFF") && at(8, b"WAVE"))
        || at(0, b"fLaC")
        || at(0, b"caff")
        || (at(0, b"FORM") && (at(8, b"AIFF") || at(8, b"AIFC")))
        // The first page of an Ogg stream holds one packet, behind a header of 27 bytes and one length.
        || (at(0, b"OggS") && at(28, b"\x01vorbis"))
        || at(0, b"ID3")
        || is_mpeg_audio(head);
    match symphonia {
        true => Content::Symphonia,
        false if at(0, b"RIFX") && at(8, b"WAVE") => Content::Rifx,
        false => Content::Other,
    }
}

/// A header of an MPEG audio frame: eleven ones, a version, a layer (0 is reserved, and ADTS AAC), a bit rate, a sample rate.
fn is_mpeg_audio(head: &[u8]) -> bool {
    match head {
        [0xff, b, c, ..] => b & 0xe0 == 0xe0 && b & 0x18 != 0x08 && b & 0x06 != 0 && c & 0xf0 != 0xf0 && c & 0x0c != 0x0c,
        _ => false,
    }
}
