//! Big-endian WAV: the RIFF file format with every number turned round.
//!
//! Integers of 8 to 64 bits and floats of 32 and 64, plain or extensible. Nothing else was ever written that way.

use std::io::{BufReader, ErrorKind, Read};

use contract::Sound;

use super::{Heard, Samples};
use crate::statement::unknown;
use crate::{Damage, MediaError};

/// What the chunk `fmt ` says.
struct Format {
    float: bool,
    channels: usize,
    sample_rate: u32,
    /// Bytes per sample of one channel.
    width: usize,
}

const INTEGER: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xfffe;

/// Reads chunk after chunk; a file that ends within its samples gives those that are whole.
pub(super) fn sound(file: impl Read) -> Result<Heard, MediaError> {
    let mut file = BufReader::new(file);
    skip(&mut file, 12)?;
    let mut format = None;
    loop {
        let mut header = [0; 8];
        exact(&mut file, &mut header)?;
        let [a, b, c, d, size @ ..] = header;
        let size = u64::from(u32::from_be_bytes(size));
        match (&[a, b, c, d], &format) {
            (b"fmt ", _) => {
                let mut chunk = Vec::new();
                (&mut file).take(size.min(64)).read_to_end(&mut chunk).map_err(|e| MediaError::from_io(&e))?;
                format = Some(parse_format(&chunk)?);
                skip(&mut file, size.saturating_sub(64) + size % 2)?;
            }
            (b"data", Some(format)) => return samples(&mut file, size, format),
            (b"data", None) => return Err(corrupt("the samples come before their format")),
            _ => skip(&mut file, size + size % 2)?,
        }
    }
}

fn parse_format(chunk: &[u8]) -> Result<Format, MediaError> {
    let short = || corrupt("the chunk that describes the samples is too short");
    let u16_at = |at: usize| chunk.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]])).ok_or_else(short);
    let high_rate = u16_at(4)?;
    let sample_rate = u32::from(high_rate) << 16 | u32::from(u16_at(6)?);
    let (channels, align) = (usize::from(u16_at(2)?), usize::from(u16_at(12)?));
    // The GUID of the extensible form begins with the tag, as a 32-bit number.
    let tag = if u16_at(0)? == EXTENSIBLE { u16_at(26)? } else { u16_at(0)? };
    if channels == 0 || sample_rate == 0 || !align.is_multiple_of(channels) {
        return Err(corrupt("channels, sample rate and size of a frame do not fit together"));
    }
    let width = align / channels;
    let float = tag == FLOAT;
    if !(float && matches!(width, 4 | 8) || tag == INTEGER && (1..=8).contains(&width)) {
        let what = format!("big-endian WAV of format {tag} with {width} bytes per sample");
        return Err(MediaError::Unsupported { what });
    }
    Ok(Format { float, channels, sample_rate, width })
}

fn samples(file: &mut impl Read, size: u64, format: &Format) -> Result<Heard, MediaError> {
    let frame = format.width * format.channels;
    let mut samples = Samples::new();
    let mut left = size;
    let mut block = Vec::new();
    while left > 0 {
        block.clear();
        let wanted = left.min(1024 * frame as u64);
        let got = file.take(wanted).read_to_end(&mut block).map_err(|e| MediaError::from_io(&e))?;
        let whole = &block[..got - got % frame];
        samples.extend(whole.chunks_exact(format.width).map(|bytes| sample(bytes, format.float)))?;
        left = if (got as u64) < wanted { 0 } else { left - wanted };
    }
    if samples.values.is_empty() {
        return Err(MediaError::Empty { unit: "sample" });
    }
    let sound = Sound { sample_rate: format.sample_rate, channels: format.channels, samples: samples.values };
    let (frames, stated) = (sound.frames() as u64, size / frame as u64);
    let damage = (frames < stated && !unknown(size)).then(|| Damage {
        missing: true,
        micros: Some((u128::from(frames) * 1_000_000 / u128::from(format.sample_rate)) as i64),
        byte: None,
        detail: format!("the file is cut off, {frames} of {stated} samples are there"),
    });
    Ok(Heard { sound, damage })
}

/// Integers are left-justified in their bytes, so the bytes alone say the value; a single byte is unsigned.
fn sample(bytes: &[u8], float: bool) -> f32 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    let bits = u64::from_be_bytes(word);
    match (float, bytes.len()) {
        (true, 4) => f32::from_bits((bits >> 32) as u32),
        (true, _) => f64::from_bits(bits) as f32,
        (false, 1) => (f32::from(bytes[0]) - 128.0) / 128.0,
        (false, _) => bits.cast_signed() as f32 / 9_223_372_036_854_775_808.0,
    }
}

fn skip(file: &mut impl Read, bytes: u64) -> Result<(), MediaError> {
    let skipped = std::io::copy(&mut file.take(bytes), &mut std::io::sink()).map_err(|e| MediaError::from_io(&e))?;
    if skipped < bytes { Err(corrupt("the file ends before its samples")) } else { Ok(()) }
}

fn exact(file: &mut impl Read, bytes: &mut [u8]) -> Result<(), MediaError> {
    file.read_exact(bytes).map_err(|e| match e.kind() {
        ErrorKind::UnexpectedEof => corrupt("the file ends before its samples"),
        _ => MediaError::from_io(&e),
    })
}

fn corrupt(detail: &str) -> MediaError {
    MediaError::Corrupt { detail: detail.into() }
}
