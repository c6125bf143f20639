//! What a container states about its own length, held against the length of the file.
//!
//! Only numbers that count bytes of media: a chunk of samples, a cluster, a page. Whatever is not understood states nothing.

mod ogg;

use std::io::{Read, Seek, SeekFrom};

use crate::MediaFile;
use crate::damage::Damage;
use crate::file::Reader;

/// Chunks, boxes and pages that are looked at: more are no container but an attack on patience.
const MOST: usize = 10_000_000;

/// A file as bytes at places.
struct Bytes {
    reader: Reader,
    len: u64,
}

impl Bytes {
    fn new(file: &MediaFile) -> Bytes {
        Bytes { reader: file.reader(), len: file.len() }
    }

    /// The `N` bytes at this place, if they are all there.
    fn at<const N: usize>(&mut self, place: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.seek(SeekFrom::Start(place)).ok()?;
        self.reader.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    fn u32_le(&mut self, place: u64) -> Option<u64> {
        self.at(place).map(|bytes| u64::from(u32::from_le_bytes(bytes)))
    }

    fn u32_be(&mut self, place: u64) -> Option<u64> {
        self.at(place).map(|bytes| u64::from(u32::from_be_bytes(bytes)))
    }
}

/// What the container promises and the file does not have; without a time, which the caller knows from what came before it.
pub(crate) fn damage(file: &MediaFile) -> Option<Damage> {
    let mut bytes = Bytes::new(file);
    let head: [u8; 12] = bytes.at(0)?;
    let end = match (&head[..4], &head[8..]) {
        (b"RIFF", b"WAVE") => wav(&mut bytes, false),
        (b"RF64", b"WAVE") => wav(&mut bytes, true),
        (b"RIFF", b"AVI ") => avi(&mut bytes),
        (b"FORM", b"AIFF" | b"AIFC") => aiff(&mut bytes),
        (b"caff", _) => caf(&mut bytes),
        ([0x1a, 0x45, 0xdf, 0xa3], _) => matroska(&mut bytes),
        (b"OggS", _) => return ogg::damage(&mut bytes),
        ([b'I', b'D', b'3', _] | [0xff, 0xe0..=0xff, _, _], _) => mp3(&mut bytes),
        (_, _) if head[4..8] == *b"ftyp" || head[4..8] == *b"styp" => fragments(&mut bytes),
        _ => None,
    }?;
    (end > bytes.len).then(|| cut_off(bytes.len, end))
}

fn cut_off(len: u64, end: u64) -> Damage {
    let detail = format!("the file is cut off, its media end at byte {end}");
    Damage { missing: true, micros: None, byte: Some(len), detail }
}

/// A size that its writer did not know: a pipe cannot be rewound to fill it in.
pub(crate) fn unknown(size: u64) -> bool {
    size == 0 || (0x7fff_0000..=0x7fff_ffff).contains(&size) || size >= 0xffff_0000
}

/// Where the samples end; those of a last, incomplete moment of all channels do not count.
fn wav(bytes: &mut Bytes, long: bool) -> Option<u64> {
    let (mut place, mut align, mut length) = (12, 1, None);
    for _ in 0..MOST {
        let name: [u8; 4] = bytes.at(place)?;
        let size = bytes.u32_le(place + 4)?;
        match &name {
            b"ds64" if long => length = bytes.at(place + 16).map(u64::from_le_bytes),
            b"fmt " => align = bytes.at(place + 20).map_or(1, u16::from_le_bytes).max(1),
            b"data" => {
                let size = if long { length? } else { Some(size).filter(|size| !unknown(*size))? };
                return (place + 8).checked_add(size - size % u64::from(align));
            }
            _ => {}
        }
        place += 8 + size + size % 2;
    }
    None
}

/// Where the list of frames ends; the index behind it is no loss.
fn avi(bytes: &mut Bytes) -> Option<u64> {
    let mut place = 12;
    for _ in 0..MOST {
        let name: [u8; 4] = bytes.at(place)?;
        let size = bytes.u32_le(place + 4)?;
        if &name == b"LIST" && bytes.at(place + 8) == Some(*b"movi") {
            return (!unknown(size)).then_some(place + 8 + size);
        }
        place += 8 + size + size % 2;
    }
    None
}

fn aiff(bytes: &mut Bytes) -> Option<u64> {
    let mut place = 12;
    for _ in 0..MOST {
        let name: [u8; 4] = bytes.at(place)?;
        let size = bytes.u32_be(place + 4)?;
        if &name == b"SSND" {
            return (!unknown(size)).then_some(place + 8 + size);
        }
        place += 8 + size + size % 2;
    }
    None
}

fn caf(bytes: &mut Bytes) -> Option<u64> {
    let mut place = 8_u64;
    for _ in 0..MOST {
        let name: [u8; 4] = bytes.at(place)?;
        let size = i64::from_be_bytes(bytes.at(place + 4)?);
        // -1: up to the end of the file.
        let size = u64::try_from(size).ok()?;
        let end = place.checked_add(12)?.checked_add(size)?;
        if &name == b"data" {
            return Some(end);
        }
        place = end;
    }
    None
}

/// Where the segment ends, which holds everything.
fn matroska(bytes: &mut Bytes) -> Option<u64> {
    let (header, place) = element_size(bytes, 4)?;
    let place = place.checked_add(header?)?;
    if bytes.at(place)? != [0x18, 0x53, 0x80, 0x67] {
        return None;
    }
    let (size, place) = element_size(bytes, place + 4)?;
    place.checked_add(size?)
}

/// The size of an EBML element, unless it is unknown, and the place behind it.
fn element_size(bytes: &mut Bytes, place: u64) -> Option<(Option<u64>, u64)> {
    let first = bytes.at::<1>(place)?[0];
    let length = first.leading_zeros() + 1;
    if length > 8 {
        return None;
    }
    let mut size = u64::from(first) & ((1 << (8 - length)) - 1);
    for i in 1..u64::from(length) {
        size = size << 8 | u64::from(bytes.at::<1>(place + i)?[0]);
    }
    let all_ones = (1_u64 << (7 * length)) - 1;
    Some(((size != all_ones).then_some(size), place + u64::from(length)))
}

/// Where a fragment ends that is cut in two, be it in its index or in its media: nobody knows what should have come behind it. In a file that is
/// not in fragments the index in front tells everything, and is held against the length of the file by who reads it.
fn fragments(bytes: &mut Bytes) -> Option<u64> {
    let (mut place, mut begun) = (0_u64, false);
    for _ in 0..MOST {
        let size = bytes.u32_be(place)?;
        let name: [u8; 4] = bytes.at(place + 4)?;
        let size = match size {
            1 => u64::from_be_bytes(bytes.at(place + 8)?),
            0 => return None,
            size => size,
        };
        let end = place.checked_add(size.max(8))?;
        begun |= &name == b"moof";
        if begun && matches!(&name, b"moof" | b"mdat") && end > bytes.len {
            return Some(end);
        }
        place = end;
    }
    None
}

/// The bytes that a Xing or Info header counts. Some writers count the tag before it as well, so what a tag could explain is no loss.
fn mp3(bytes: &mut Bytes) -> Option<u64> {
    let head: [u8; 10] = bytes.at(0)?;
    let mut place = 0;
    if head.starts_with(b"ID3") {
        place = 10 + head[6..].iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
    }
    let frame: [u8; 4] = bytes.at(place)?;
    if frame[0] != 0xff || frame[1] & 0xe6 != 0xe2 {
        return None;
    }
    let (first, mono) = (frame[1] & 0x18 == 0x18, frame[3] >> 6 == 3);
    let side = match (first, mono) {
        (true, false) => 32,
        (true, true) | (false, false) => 17,
        (false, true) => 9,
    };
    let at = place + 4 + side;
    let name: [u8; 4] = bytes.at(at)?;
    let flags = bytes.u32_be(at + 4)?;
    if !matches!(&name, b"Xing" | b"Info") || flags & 2 == 0 {
        return None;
    }
    bytes.u32_be(at + if flags & 1 == 0 { 8 } else { 12 })
}

/// Samples per channel that the header of a FLAC file states.
pub(crate) fn flac_samples(file: &MediaFile) -> Option<u64> {
    let mut bytes = Bytes::new(file);
    if bytes.at(0)? != *b"fLaC" || bytes.at::<1>(4)?[0] & 0x7f != 0 {
        return None;
    }
    let stated = u64::from_be_bytes(bytes.at(18)?) & ((1 << 36) - 1);
    (stated > 0).then_some(stated)
}

#[cfg(test)]
mod tests;
