#![expect(clippy::unwrap_used, reason = "tests")]

mod peer;

use std::path::{Path, PathBuf};

use contract::{Cause, Classify};

use super::sniff::{Content, content};
use super::{Samples, sound};
use crate::MediaError;

/// A WAV file, `RIFF` or `RIFX`, with one chunk before the format.
fn wav(big: bool, tag: u16, channels: u16, width: u16, data: &[u8]) -> Vec<u8> {
    let u16_bytes = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let u32_bytes = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let mut file = Vec::from(if big { *b"RIFX" } else { *b"RIFF" });
    file.extend(u32_bytes(48 + data.len() as u32));
    file.extend(b"WAVEjunk");
    file.extend(u32_bytes(3));
    file.extend(b"abc\0fmt ");
    file.extend(u32_bytes(16));
    for v in [tag, channels] {
        file.extend(u16_bytes(v));
    }
    file.extend(u32_bytes(8000));
    file.extend(u32_bytes(8000 * u32::from(channels * width)));
    for v in [channels * width, 8 * width] {
        file.extend(u16_bytes(v));
    }
    file.extend(b"data");
    file.extend(u32_bytes(data.len() as u32));
    file.extend(data);
    file
}

fn write(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("file");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn content_is_told_by_its_bytes() {
    assert_eq!(content(&wav(false, 1, 2, 2, &[0; 8])), Content::Symphonia);
    assert_eq!(content(&wav(true, 1, 2, 2, &[0; 8])), Content::Rifx);
    assert_eq!(content(b"fLaC\0\0"), Content::Symphonia);
    assert_eq!(content(b"FORM\0\0\0\0AIFC"), Content::Symphonia);
    assert_eq!(content(b"RIFF\0\0\0\0AVI LIST"), Content::Other);
    assert_eq!(content(b"ID3\x04\0\0"), Content::Other);
    assert_eq!(content(&[0xff, 0xfb, 0x90, 0x64]), Content::Other);
    assert_eq!(content(b"RIFF"), Content::Other);
    assert_eq!(content(b""), Content::Other);
    let mut padded = wav(false, 1, 1, 4, &[0; 8]);
    padded[46] = 24;
    assert_eq!(content(&padded), Content::PaddedWav);
    // Two channels of 16 bits in moments of 5 bytes.
    let mut odd = wav(false, 1, 2, 2, &[0; 8]);
    assert_eq!(content(&odd), Content::Symphonia);
    let align = odd.windows(4).position(|w| w == b"fmt ").unwrap() + 20;
    odd[align] = 5;
    assert_eq!(content(&odd), Content::Other);
}

/// Values by the definition: integers over 2^(bits-1), floats as they are, in either order of bytes.
#[test]
fn values_are_scaled_by_the_definition() {
    let folder = tempfile::tempdir().unwrap();
    let check = |tag: u16, little: &[&[u8]], expected: &[f32]| {
        let width = little[0].len();
        for big in [false, true] {
            let order = |b: &&[u8]| if big { b.iter().rev().copied().collect() } else { b.to_vec() };
            let data: Vec<u8> = little.iter().flat_map(order).collect();
            let path = write(folder.path(), &wav(big, tag, 1, width as u16, &data));
            let sound = sound(&path).unwrap();
            assert_eq!((sound.sample_rate, sound.channels), (8000, 1));
            let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&sound.samples), bits(expected), "format {tag}, {width} bytes, big-endian: {big}");
        }
    };
    check(1, &[&[0], &[255], &[128], &[64]], &[-1.0, 127.0 / 128.0, 0.0, -0.5]);
    check(1, &[&[0, 0x80], &[0xff, 0x7f], &[1, 0]], &[-1.0, 32767.0 / 32768.0, 1.0 / 32768.0]);
    check(1, &[&[0, 0, 0x80], &[1, 0, 0], &[0, 0, 0x40]], &[-1.0, 1.0 / 8388608.0, 0.5]);
    check(1, &[&[0, 0, 0, 0x80], &[1, 0, 0, 0], &[0, 0, 0, 0xc0]], &[-1.0, 1.0 / 2147483648.0, -0.5]);
    let float = |v: f32| v.to_le_bytes();
    check(3, &[&float(1.5), &float(-0.0), &float(1e-40), &float(f32::INFINITY)], &[1.5, -0.0, 1e-40, f32::INFINITY]);
    check(3, &[&0.1_f64.to_le_bytes(), &(-2.0_f64).to_le_bytes()], &[0.1, -2.0]);
}

/// A file that ends within its samples gives those that are whole.
#[test]
fn a_truncated_file_gives_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    for big in [false, true] {
        let mut bytes = wav(big, 1, 2, 2, &[64; 8000]);
        bytes.truncate(bytes.len() - 4001);
        let sound = sound(&write(folder.path(), &bytes)).unwrap();
        assert_eq!((sound.channels, sound.samples.len()), (2, 1998), "big-endian: {big}");
    }
}

/// A header may claim 4 GiB of samples; memory is taken for those that are there.
#[test]
fn claims_of_a_header_cost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for big in [false, true] {
        let mut bytes = wav(big, 1, 1, 2, &[1; 10]);
        let data = bytes.len() - 14;
        bytes[data..data + 4].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
        let sound = sound(&write(folder.path(), &bytes)).unwrap();
        assert_eq!(sound.samples.len(), 5);
        assert!(sound.samples.capacity() < 1 << 20);
    }
    let mut samples = Samples { values: vec![0.0; 10], limit: 12 };
    assert!(samples.extend([0.0; 2].into_iter()).is_ok());
    let error = samples.extend([0.0; 1].into_iter()).unwrap_err();
    assert_eq!((error.class(), samples.values.len()), (Cause::TooLarge, 12));
}

#[test]
fn refusals_have_a_cause() {
    let folder = tempfile::tempdir().unwrap();
    let class = |bytes: &[u8]| sound(&write(folder.path(), bytes)).unwrap_err().class();
    assert_eq!(sound(&folder.path().join("absent")).unwrap_err(), MediaError::Missing);
    assert_eq!(sound(folder.path()).unwrap_err().class(), Cause::Unreadable, "a folder");
    assert_eq!(class(b""), Cause::Corrupt);
    assert_eq!(class(b"no media at all"), Cause::Corrupt);
    for big in [false, true] {
        assert_eq!(class(&wav(big, 1, 2, 2, &[])), Cause::TooShort, "no sample, big-endian: {big}");
        assert_eq!(class(&wav(big, 1, 2, 2, &[0; 8])[..30]), Cause::Corrupt, "half a header, big-endian: {big}");
    }
    assert_eq!(class(&wav(true, 7, 1, 1, &[0; 8])), Cause::Unsupported, "big-endian mu-law");
    assert_eq!(class(&wav(true, 1, 0, 2, &[0; 8])), Cause::Corrupt, "no channels");
    let mut padded = wav(false, 1, 1, 4, &[0; 8]);
    padded[46] = 24;
    assert_eq!(class(&padded), Cause::Unsupported);
    assert_eq!(class(b"#EXTM3U\n#EXTINF:1,\nhttp://localhost:9/x.ts\n"), Cause::Corrupt, "a playlist fetches nothing");
}
