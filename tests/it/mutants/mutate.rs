//! The ways to spoil a file.

use super::boxes::{Mp4Box, find, parse, places, write};
use super::chance::Chance;
use super::sources::Source;

/// A kind of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Not spoilt.
    Whole,
    FlippedHeader,
    FlippedMedia,
    CutAtBox,
    CutAnywhere,
    Spliced,
    Zeroed,
    SwappedTracks,
    AbsurdField,
}

impl Kind {
    /// Those that are drawn, each as often as the others.
    pub(crate) const DRAWN: [Kind; 8] = [
        Kind::FlippedHeader,
        Kind::FlippedMedia,
        Kind::CutAtBox,
        Kind::CutAnywhere,
        Kind::Spliced,
        Kind::Zeroed,
        Kind::SwappedTracks,
        Kind::AbsurdField,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Whole => "whole",
            Kind::FlippedHeader => "bits flipped, header",
            Kind::FlippedMedia => "bits flipped, media",
            Kind::CutAtBox => "cut at a box",
            Kind::CutAnywhere => "cut anywhere",
            Kind::Spliced => "spliced",
            Kind::Zeroed => "zeroed",
            Kind::SwappedTracks => "tracks swapped",
            Kind::AbsurdField => "absurd field",
        }
    }

    /// A mutant of this kind; `None` where the source has nothing that could be spoilt so. `other` lends bytes for splices.
    pub(crate) fn apply(self, source: &Source, other: &Source, chance: &mut Chance) -> Option<Vec<u8>> {
        let mut bytes = source.bytes.clone();
        if bytes.len() < 64 {
            return None;
        }
        match self {
            Kind::Whole => {}
            Kind::FlippedHeader | Kind::FlippedMedia => {
                let header = header(&bytes);
                let media = self == Kind::FlippedMedia;
                for _ in 0..=chance.below(8) {
                    let at = loop {
                        let at = chance.below(bytes.len());
                        if bytes.len() == header.len() || header.contains(&at) != media || chance.below(1000) == 0 {
                            break at;
                        }
                    };
                    bytes[at] ^= 1 << chance.below(8);
                }
            }
            Kind::CutAtBox => {
                let places = is_mp4(&bytes).then(|| places(&bytes))?;
                let (from, to, _) = *chance.of(&places);
                bytes.truncate(*chance.of(&[from, from + 8, to]));
                if bytes.len() == source.bytes.len() {
                    return None;
                }
            }
            Kind::CutAnywhere => bytes.truncate(1 + chance.below(bytes.len() - 1)),
            Kind::Spliced => {
                let from = chance.below(other.bytes.len());
                let length = 1 + chance.below((other.bytes.len() - from).min(bytes.len() / 4).max(1));
                let piece = &other.bytes[from..(from + length).min(other.bytes.len())];
                let at = chance.below(bytes.len());
                // Inserted, or laid over what was there.
                let over = if chance.below(2) == 0 { 0 } else { piece.len().min(bytes.len() - at) };
                bytes.splice(at..at + over, piece.iter().copied());
            }
            Kind::Zeroed => {
                let at = chance.below(bytes.len());
                let length = 1 + chance.below((bytes.len() - at).min(bytes.len() / 5).max(1));
                let end = (at + length).min(bytes.len());
                bytes[at..end].fill(0);
            }
            Kind::SwappedTracks => {
                let mut boxes = parse(&bytes)?;
                swap_tracks(&mut boxes, chance)?;
                bytes = write(&boxes);
            }
            Kind::AbsurdField => absurd_field(&mut bytes, chance),
        }
        Some(bytes)
    }
}

/// Every mutant of a file that ends where one of its boxes begins, has its head behind it, or ends.
pub(crate) fn cut_at_every_box(source: &Source) -> Vec<Vec<u8>> {
    if !is_mp4(&source.bytes) {
        return Vec::new();
    }
    let places = places(&source.bytes).into_iter().flat_map(|(from, to, _)| [from, from + 8, to]);
    let mut places: Vec<usize> = places.filter(|at| (1..source.bytes.len()).contains(at)).collect();
    places.sort_unstable();
    places.dedup();
    places.into_iter().map(|at| source.bytes[..at].to_vec()).collect()
}

fn is_mp4(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"ftyp")
}

/// Where the numbers are that say what the rest is.
fn header(bytes: &[u8]) -> std::ops::Range<usize> {
    let boxed = places(bytes).into_iter().find(|(_, _, name)| name == b"moov").filter(|_| is_mp4(bytes));
    boxed.map_or(0..bytes.len().min(512), |(from, to, _)| from..to)
}

/// What the tracks of a movie exchange: themselves, or a part of them.
const EXCHANGED: [&str; 6] = [
    "moov/trak",
    "moov/trak/mdia/hdlr",
    "moov/trak/mdia/minf/stbl/stsd",
    "moov/trak/mdia/minf/stbl",
    "moov/trak/mdia/mdhd",
    "moov/trak/tkhd",
];

fn swap_tracks(boxes: &mut [Mp4Box], chance: &mut Chance) -> Option<()> {
    let mut found = find(boxes, chance.of::<&str>(&EXCHANGED));
    let [first, .., last] = &mut found[..] else { return None };
    std::mem::swap(*first, *last);
    Some(())
}

/// Numbers that no file means.
const ABSURD: [u32; 9] = [0, 1, 2, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff, 0x0001_0000];

/// Fields of four bytes by the box that they are in: places in its content, those of version 0.
const FIELDS: [(&[u8; 4], &[usize]); 18] = [
    (b"mvhd", &[12, 16]),
    (b"tkhd", &[12, 20, 40, 76, 80]),
    (b"mdhd", &[12, 16]),
    (b"elst", &[4, 8, 12, 16]),
    (b"stts", &[4, 8, 12]),
    (b"ctts", &[4, 8, 12]),
    (b"stsc", &[4, 8, 12, 16]),
    (b"stsz", &[4, 8, 12, 20]),
    (b"stco", &[4, 8, 12]),
    (b"stss", &[4, 8]),
    // The number of descriptions, the size and kind of the first; width and height of pictures, channels and rate of sound.
    (b"stsd", &[4, 8, 12, 40, 32, 40]),
    (b"trun", &[4, 8, 12, 16]),
    (b"tfhd", &[4, 8, 12]),
    (b"tfdt", &[4, 8]),
    (b"mfhd", &[4]),
    (b"trex", &[4, 8, 12, 16]),
    (b"mdat", &[0]),
    (b"hdlr", &[8]),
];

fn absurd_field(bytes: &mut [u8], chance: &mut Chance) {
    let value = match chance.below(4) {
        0 => chance.word() as u32,
        _ => *chance.of(&ABSURD),
    };
    let put = |bytes: &mut [u8], at: usize, value: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    };
    if is_mp4(bytes) {
        let places = places(bytes);
        let (from, _, name) = *chance.of(&places);
        let fields = FIELDS.iter().find(|(of, _)| **of == name).map(|(_, fields)| *fields);
        let at = match fields {
            Some(fields) if chance.below(4) > 0 => from + 8 + chance.of(fields),
            // The size of the box itself.
            _ => from,
        };
        // Half of them with the sense of the field left: sixteen bits of it.
        if chance.below(3) == 0 {
            put(bytes, at, &(value as u16).to_be_bytes());
        } else {
            put(bytes, at, &value.to_be_bytes());
        }
        return;
    }
    if bytes.starts_with(b"RIFF") {
        // The size of the file, the chunk `fmt ` with format, channels, rate, rate in bytes, alignment, bits, and the chunk `data` behind it.
        let fields = [(4, 4), (16, 4), (20, 2), (22, 2), (24, 4), (28, 4), (32, 2), (34, 2), (40, 4)];
        let (at, width) = *chance.of(&fields);
        let data = bytes.windows(4).position(|w| w == b"data");
        let at = if at == 40 { data.map_or(at, |data| data + 4) } else { at };
        put(bytes, at, &value.to_le_bytes()[..width]);
        return;
    }
    // Elsewhere: one to four bytes at the beginning.
    let at = chance.below(bytes.len().min(768));
    let width = 1 + chance.below(4);
    put(bytes, at, &value.to_be_bytes()[..width]);
}
