//! What the bytes of a packet say of other packets: whether decoding can begin anew with it, whether anything refers to it, whether
//! it changes the parameters of the stream.
//!
//! Known for H.264 and HEVC, from the headers of their units (ITU-T H.264 table 7-1, H.265 table 7-1 and clause 7.4.2.2). A packet that is not
//! understood, and those of all other codecs, are taken for pictures that later ones refer to. VP9 and AV1 may change the size with any
//! picture, so there is nothing to gain without decoding them.

use ffmpeg_next::ffi::AVCodecID;

/// Whether what follows a picture can do without what went before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// It cannot, or nobody knows. A key frame of the container may be such a picture.
    #[default]
    No,
    /// All but its leading pictures can (HEVC: clean random access).
    Open,
    /// All can (instantaneous refresh).
    Closed,
}

/// What one packet is to the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) start: Start,
    /// Refers to pictures before the [`Start`] that it follows, though it is shown before it.
    pub(crate) leading: bool,
    /// Its temporal layer, if no other picture of that layer refers to it. Those of higher layers may.
    pub(crate) unreferenced: Option<u8>,
    /// Temporal layer.
    pub(crate) layer: u8,
    /// Brings parameters (the size of pictures among them) that differ from those before, or may.
    pub(crate) renews: bool,
    /// The syntax is known, and there is no picture in it: damage, or nothing to show.
    pub(crate) strange: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syntax {
    H264,
    Hevc,
}

/// Reads the roles of a stream's packets, in file order.
pub(crate) struct Roles {
    syntax: Option<Syntax>,
    /// Bytes of the length before each unit; `None`: start codes.
    length: Option<usize>,
    /// The parameter sets of the last packet that had any.
    parameters: Vec<u8>,
}

impl Roles {
    /// `extradata` is the codec's header in the container.
    pub(crate) fn new(codec: AVCodecID, extradata: &[u8]) -> Self {
        let syntax = match codec {
            AVCodecID::AV_CODEC_ID_H264 => Some(Syntax::H264),
            AVCodecID::AV_CODEC_ID_HEVC => Some(Syntax::Hevc),
            _ => None,
        };
        // `avcC` and `hvcC` begin with a version, a header with start codes begins with zeros.
        let at = if syntax == Some(Syntax::Hevc) { 21 } else { 4 };
        let boxed = extradata.first().is_some_and(|version| *version != 0);
        let length = extradata.get(at).filter(|_| boxed).map(|byte| usize::from(byte & 3) + 1);
        Roles { syntax: syntax.filter(|_| !boxed || length.is_some()), length, parameters: Vec::new() }
    }

    /// The role of the next packet. `key`: the container calls it a key frame; `renewed`: it brings a new header.
    pub(crate) fn next(&mut self, data: &[u8], key: bool, renewed: bool) -> Role {
        if renewed {
            // The rest may be written in another way.
            self.syntax = None;
        }
        let read = self.syntax.and_then(|syntax| self.read(syntax, data));
        read.unwrap_or(Role { renews: key || renewed, strange: self.syntax.is_some(), ..Role::default() })
    }

    /// All up to the first unit that is part of a picture; parameter sets come before it.
    fn read(&mut self, syntax: Syntax, data: &[u8]) -> Option<Role> {
        let mut parameters = Vec::new();
        let mut role = Role::default();
        let units = Units { data, length: self.length };
        for unit in units {
            let first = *unit.first()?;
            let sets = match syntax {
                Syntax::H264 => matches!(first & 31, 7 | 8 | 13 | 15),
                Syntax::Hevc => matches!(first >> 1 & 63, 32..=34),
            };
            if sets {
                parameters.extend_from_slice(if self.length.is_none() { before_code(unit) } else { unit });
                continue;
            }
            match (syntax, first & 31, first >> 1 & 63) {
                (Syntax::H264, kind @ 1..=5, _) => {
                    role.start = if kind == 5 { Start::Closed } else { Start::No };
                }
                (Syntax::Hevc, _, kind @ 0..=31) => {
                    // Units of other views or qualities than the base are not decoded.
                    let second = *unit.get(1)?;
                    if (first & 1, second >> 3) != (0, 0) {
                        continue;
                    }
                    role.start = match kind {
                        19 | 20 => Start::Closed,
                        16..=18 | 21 => Start::Open,
                        _ => Start::No,
                    };
                    role.leading = matches!(kind, 8 | 9);
                    role.layer = (second & 7).checked_sub(1)?;
                    role.unreferenced = (kind < 16 && kind % 2 == 0).then_some(role.layer);
                }
                _ => continue,
            }
            if !parameters.is_empty() && parameters != self.parameters {
                self.parameters = parameters;
                role.renews = true;
            }
            return Some(role);
        }
        None
    }
}

/// The units of a packet. Where start codes divide them, each goes on to the end of the packet: few are needed whole.
struct Units<'a> {
    data: &'a [u8],
    length: Option<usize>,
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if let Some(bytes) = self.length {
            let (length, rest) = self.data.split_at_checked(bytes)?;
            let length = length.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
            let (unit, rest) = rest.split_at_checked(length)?;
            self.data = rest;
            Some(unit)
        } else {
            self.data = &self.data[code(self.data)? + 3..];
            Some(self.data)
        }
    }
}

/// Where the next start code is.
fn code(data: &[u8]) -> Option<usize> {
    data.windows(3).position(|w| w == [0, 0, 1])
}

/// The unit at the beginning of `data`, without the zeros that belong to the next start code.
fn before_code(data: &[u8]) -> &[u8] {
    let mut unit = &data[..code(data).unwrap_or(data.len())];
    while let [rest @ .., 0] = unit {
        unit = rest;
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    const H264: AVCodecID = AVCodecID::AV_CODEC_ID_H264;
    const HEVC: AVCodecID = AVCodecID::AV_CODEC_ID_HEVC;

    /// Units as a packet, with start codes or with lengths of four bytes, and the header that says so.
    fn packet(boxed: bool, units: &[&[u8]]) -> Vec<u8> {
        let prefix = |unit: &[u8]| if boxed { (unit.len() as u32).to_be_bytes() } else { [0, 0, 0, 1] };
        units.iter().flat_map(|unit| [&prefix(unit), *unit].concat()).collect()
    }

    fn header(codec: AVCodecID, boxed: bool) -> Vec<u8> {
        let mut header = vec![0xff; 23];
        header[0] = 1;
        if boxed { header } else { packet(false, &[if codec == HEVC { &[0x42, 1] } else { &[0x67] }]) }
    }

    fn roles(codec: AVCodecID, packets: &[&[&[u8]]]) -> Vec<Role> {
        let both = [false, true].map(|boxed| {
            let mut roles = Roles::new(codec, &header(codec, boxed));
            packets.iter().map(|units| roles.next(&packet(boxed, units), false, false)).collect::<Vec<_>>()
        });
        assert_eq!(both[0], both[1]);
        both[0].clone()
    }

    #[test]
    fn pictures_of_h264() {
        let (sets, idr, open, plain): (&[u8], &[u8], &[u8], &[u8]) =
            (&[0x67, 9, 9], &[0x65, 0x88], &[0x41, 7], &[0x01, 7]);
        let found = roles(H264, &[&[&[9, 0x10], sets, &[0x68, 1], &[6, 5], idr], &[open], &[&[6, 6], plain], &[idr]]);
        let closed = Role { start: Start::Closed, ..Role::default() };
        let expected = [Role { renews: true, ..closed }, Role::default(), Role::default(), closed];
        assert_eq!(found, expected);
    }

    #[test]
    fn parameters_that_stay_are_not_new() {
        let (one, other, idr): (&[u8], &[u8], &[u8]) = (&[0x67, 9, 9], &[0x67, 9, 8], &[0x65, 1]);
        let found = roles(H264, &[&[one, idr], &[one, idr], &[idr], &[other, idr], &[other, idr], &[one, idr]]);
        assert_eq!(found.iter().map(|r| r.renews).collect::<Vec<_>>(), [true, false, false, true, false, true]);
        assert!(found.iter().all(|r| r.start == Start::Closed));
    }

    #[test]
    fn pictures_of_hevc() {
        let unit = |kind: u8, layer: u8| [kind << 1, layer + 1, 0x80];
        let role = |kind, layer| roles(HEVC, &[&[&unit(35, 0), &unit(39, 0), &unit(kind, layer)]])[0];
        let plain = |layer| Role { layer, ..Role::default() };
        assert_eq!([role(19, 0), role(20, 0)], [Role { start: Start::Closed, ..plain(0) }; 2]);
        assert_eq!([role(16, 0), role(21, 0)], [Role { start: Start::Open, ..plain(0) }; 2]);
        assert_eq!([role(1, 0), role(1, 2)], [plain(0), plain(2)]);
        assert_eq!(role(0, 1), Role { unreferenced: Some(1), ..plain(1) });
        assert_eq!(role(6, 0), Role { unreferenced: Some(0), ..plain(0) });
        assert_eq!(role(8, 0), Role { leading: true, unreferenced: Some(0), ..plain(0) });
        assert_eq!(role(9, 0), Role { leading: true, ..plain(0) });
    }

    #[test]
    fn what_is_not_understood_is_referred_to() {
        let unknown = |key, renewed| Role { renews: key || renewed, ..Role::default() };
        let strange = Role { strange: true, ..unknown(true, false) };
        let next = |codec, extradata: &[u8], data: &[u8]| Roles::new(codec, extradata).next(data, true, false);
        let idr = packet(true, &[&[0x65, 1]]);
        assert_eq!(next(H264, &header(H264, true), &idr).start, Start::Closed);
        assert_eq!(next(AVCodecID::AV_CODEC_ID_VP9, &header(H264, true), &idr), unknown(true, false));
        assert_eq!(next(H264, &[1, 2], &idr), unknown(true, false), "a header that is too short");
        assert_eq!(next(H264, &header(H264, true), &idr[..5]), strange, "a unit that is too short");
        assert_eq!(next(H264, &header(H264, true), &[]), strange);
        assert_eq!(next(H264, &[], &[0x65, 1]), strange, "no start code");
        let mut roles = Roles::new(H264, &header(H264, true));
        assert_eq!(roles.next(&idr, false, true), unknown(false, true), "a new header");
        assert_eq!(roles.next(&idr, false, false), unknown(false, false), "behind a new header");
        // Another layer's unit says nothing of the picture.
        let other = packet(true, &[&[19 << 1, 0x09, 1], &[1 << 1, 1, 1]]);
        assert_eq!(next(HEVC, &header(HEVC, true), &other), Role::default());
    }
}
