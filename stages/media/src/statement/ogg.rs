//! The pages of an Ogg stream (RFC 3533): each has a number, a checksum, and the last one says so.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};

use super::{Bytes, MOST};
use crate::damage::Damage;

/// One logical stream on the way through the pages.
struct Stream {
    next: u32,
    ended: bool,
}

/// The first page that is cut off, lost or broken, or that there is no last one. What stands behind the last page of all streams is no loss.
pub(super) fn damage(bytes: &mut Bytes) -> Option<Damage> {
    let mut streams: HashMap<u32, Stream> = HashMap::new();
    let mut place = 0;
    let mut page = Vec::new();
    for number in 1..=MOST {
        let all_ended = !streams.is_empty() && streams.values().all(|stream| stream.ended);
        let Some(header) = bytes.at::<27>(place).filter(|header| header.starts_with(b"OggS")) else {
            if all_ended {
                return None;
            }
            return Some(match bytes.at::<4>(place) {
                Some(start) if start != *b"OggS" => broken(place, format!("what should be page {number} is none")),
                _ => Damage {
                    missing: true,
                    micros: None,
                    byte: Some(bytes.len),
                    detail: "the file is cut off, its last page is not there".into(),
                },
            });
        };
        let length = length(bytes, place, header[26])?;
        if place + length > bytes.len {
            return Some(super::cut_off(bytes.len, place + length));
        }
        page.resize(length as usize, 0);
        bytes.reader.seek(SeekFrom::Start(place)).ok()?;
        bytes.reader.read_exact(&mut page).ok()?;
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        page[22..26].fill(0);
        if checksum(&page) != word(22) {
            return Some(broken(place, format!("page {number} fails its checksum")));
        }
        let (kind, serial, sequence) = (header[5], word(14), word(18));
        let begins = kind & 2 != 0;
        let stream = streams.entry(serial).or_insert(Stream { next: sequence, ended: false });
        if begins {
            *stream = Stream { next: sequence, ended: false };
        }
        if stream.next != sequence {
            return Some(broken(place, format!("pages are missing before page {number}")));
        }
        stream.next = sequence.wrapping_add(1);
        stream.ended = kind & 4 != 0;
        place += length;
    }
    None
}

fn broken(place: u64, detail: String) -> Damage {
    Damage { missing: false, micros: None, byte: Some(place), detail }
}

/// The length of the page at this place, even of one that is not all there.
fn length(bytes: &mut Bytes, place: u64, segments: u8) -> Option<u64> {
    let mut table = vec![0; usize::from(segments)];
    bytes.reader.seek(SeekFrom::Start(place + 27)).ok()?;
    let mut read = 0;
    while read < table.len() {
        match bytes.reader.read(&mut table[read..]).ok()? {
            0 => break,
            n => read += n,
        }
    }
    Some(27 + u64::from(segments) + table.iter().map(|length| u64::from(*length)).sum::<u64>())
}

/// CRC-32 with the polynomial 0x04c11db7, neither reflected nor inverted.
fn checksum(page: &[u8]) -> u32 {
    page.iter().fold(0, |crc, byte| crc << 8 ^ TABLE[usize::from((crc >> 24) as u8 ^ byte)])
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = (i as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000_0000 == 0 { crc << 1 } else { crc << 1 ^ 0x04c1_1db7 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};
