#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn of(bytes: &[u8]) -> Option<Damage> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    damage(&MediaFile::read(&path).unwrap())
}

/// The place where the file is cut off and where its media should end.
fn cut(bytes: &[u8]) -> Option<(u64, String)> {
    of(bytes).map(|damage| {
        assert!(damage.missing);
        (damage.byte.unwrap(), damage.detail)
    })
}

fn chunk(name: [u8; 4], size: u32, body: &[u8], big: bool) -> Vec<u8> {
    let size = if big { size.to_be_bytes() } else { size.to_le_bytes() };
    [&name[..], &size, body].concat()
}

fn wav(size: u32, held: usize) -> Vec<u8> {
    let format = [1_u8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 16, 0];
    let head = [&b"RIFF\0\0\0\0WAVE"[..], &chunk(*b"junk", 3, b"abc\0", false)].concat();
    [head, chunk(*b"fmt ", 16, &format, false), chunk(*b"data", size, &vec![1; held], false)].concat()
}

#[test]
fn a_wave_file_states_its_samples() {
    assert_eq!(of(&wav(40, 40)), None);
    assert_eq!(of(&wav(40, 60)), None);
    assert_eq!(cut(&wav(40, 39)).unwrap().1, "the file is cut off, its media end at byte 96");
    assert_eq!(cut(&wav(40, 20)).unwrap().0, 76);
    // Two bytes of a moment of four are no moment.
    assert_eq!(of(&wav(42, 40)), None);
    for unknown in [0, 0x7fff_ffff, 0x7fff_0000, 0xffff_ffff] {
        assert_eq!(of(&wav(unknown, 40)), None, "{unknown:x}");
    }
}

#[test]
fn other_chunks_of_samples() {
    let aiff = |held| [b"FORM\0\0\0\0AIFF".to_vec(), chunk(*b"SSND", 20, &vec![0; held], true)].concat();
    assert_eq!((of(&aiff(20)), cut(&aiff(19)).unwrap().0), (None, 39));
    let avi = |held| {
        let list = [&b"movi"[..], &vec![0; held]].concat();
        [b"RIFF\0\0\0\0AVI ".to_vec(), chunk(*b"LIST", 24, &list, false)].concat()
    };
    assert_eq!((of(&avi(20)), cut(&avi(19)).unwrap().0), (None, 43));
    let caf = |size: i64, held| {
        [b"caff\0\x01\0\0desc".to_vec(), 2_i64.to_be_bytes().to_vec(), b"..data".to_vec()]
            .into_iter()
            .chain([size.to_be_bytes().to_vec(), vec![0; held]])
            .flatten()
            .collect::<Vec<u8>>()
    };
    assert_eq!((of(&caf(20, 20)), of(&caf(-1, 20)), cut(&caf(20, 19)).unwrap().0), (None, None, 53));
}

#[test]
fn a_segment_of_matroska_states_its_length_or_that_it_does_not_know() {
    let file = |size: &[u8], held| [&b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67"[..], size, &vec![0; held]].concat();
    assert_eq!((of(&file(&[0x8a], 10)), cut(&file(&[0x8a], 9)).unwrap().0), (None, 21));
    assert_eq!(of(&file(&[0x40, 10], 10)), None);
    assert_eq!(cut(&file(&[0x40, 10], 9)).unwrap().0, 22);
    assert_eq!((of(&file(&[0xff], 9)), of(&file(&[0x01, 255, 255, 255, 255, 255, 255, 255], 9))), (None, None));
}

#[test]
fn a_fragment_that_is_cut_in_two() {
    let file = |held| {
        let kind = chunk(*b"ftyp", 0, b"", true);
        let mut file = [&[0, 0, 0, 12], &kind[..4], b"isom"].concat();
        file.extend([&[0, 0, 0, 30], &b"moof"[..], &vec![0; held]].concat());
        file
    };
    assert_eq!((of(&file(22)), cut(&file(21)).unwrap().0), (None, 41));
    let media = |held| [file(22), vec![0, 0, 0, 20], b"mdat".to_vec(), vec![0; held]].concat();
    assert_eq!((of(&media(12)), cut(&media(11)).unwrap().0), (None, 61));
    // Without a fragment, a box of media that is too long says nothing: the index does.
    let plain = [&file(22)[..12], &[0, 0, 0, 90], b"mdat", &[0; 11]].concat();
    assert_eq!(of(&plain), None);
}

#[test]
fn an_mp3_header_counts_bytes() {
    let file = |counted: u32, held: usize| {
        let mut frame = vec![0xff, 0xfb, 0x90, 0];
        frame.extend([0; 32]);
        frame.extend(b"Info\0\0\0\x03\0\0\0\x01");
        frame.extend(counted.to_be_bytes());
        frame.resize(held, 0);
        frame
    };
    assert_eq!((of(&file(100, 100)), cut(&file(100, 90)).unwrap().0), (None, 90));
    let tagged = |held| [b"ID3\x04\0\0\0\0\0\x02ab".to_vec(), file(100, held)].concat();
    assert_eq!(of(&tagged(88)), None, "the tag may have been counted");
    assert!(of(&tagged(87)).is_some());
}

fn page(kind: u8, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(kind);
    page.extend([0; 8]);
    page.extend(7_u32.to_le_bytes());
    page.extend(sequence.to_le_bytes());
    page.extend([0; 4]);
    page.extend([1, body.len() as u8]);
    page.extend(body);
    let crc = (0..page.len()).fold(0_u32, |crc, i| {
        // Bit by bit, from the definition.
        (0..8).rev().fold(crc, |crc, bit| {
            let carry = crc >> 31 ^ u32::from(page[i] >> bit & 1);
            crc << 1 ^ (carry * 0x04c1_1db7)
        })
    });
    page[22..26].copy_from_slice(&crc.to_le_bytes());
    page
}

#[test]
fn pages_of_ogg_are_numbered_checked_and_ended() {
    let (first, second, last) = (page(2, 0, b"head"), page(0, 1, b"body"), page(4, 2, b"tail"));
    let whole = [&first[..], &second, &last].concat();
    assert_eq!(of(&whole), None);
    assert_eq!(of(&[&whole[..], b"something else"].concat()), None);
    assert_eq!(of(&[&whole[..], &whole].concat()), None, "one stream behind the other");
    let words = |bytes: &[u8]| of(bytes).unwrap().to_string();
    assert_eq!(words(&whole[..64]), "missing from byte 64 on: the file is cut off, its last page is not there");
    assert_eq!(words(&whole[..60]), "missing from byte 60 on: the file is cut off, its media end at byte 64");
    assert_eq!(words(&whole[..70]), "missing from byte 70 on: the file is cut off, its last page is not there");
    assert_eq!(words(&[&first[..], &last].concat()), "damaged from byte 32 on: pages are missing before page 2");
    let mut flipped = whole.clone();
    flipped[61] ^= 1;
    assert_eq!(words(&flipped), "damaged from byte 32 on: page 2 fails its checksum");
    flipped[61] ^= 1;
    flipped[66] ^= 1;
    assert_eq!(words(&flipped), "damaged from byte 64 on: what should be page 3 is none");
}

#[test]
fn flac_states_its_samples() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let of = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        flac_samples(&MediaFile::read(&path).unwrap())
    };
    let header = |samples: u64| {
        let mut header = b"fLaC\0\0\0\x22".to_vec();
        header.extend([0; 10]);
        header.extend((0x0ac4_42f0_u64 << 36 | samples).to_be_bytes());
        header.extend([0; 16]);
        header
    };
    assert_eq!((of(&header(5)), of(&header(0)), of(b"fLaC")), (Some(5), None, None));
}
