//! Which image vector stands for a clip.

use std::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// Which picture of a clip is seen. In TOML and JSON a number (`5`) or the word `"mean"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// The picture with this number, counted from 1.
    Number(u32),
    /// The mean over all pictures.
    Mean,
}

/// The image vector of a clip from its embeddings `rows`, `[pictures][width]`; with `normalize` each picture's embedding is
/// divided by its Euclidean length first. The mean is taken in f64, picture after picture.
pub fn image_vector(rows: &[f32], width: usize, frame: Frame, normalize: bool) -> Result<Vec<f32>, Error> {
    let pictures = rows.len().checked_div(width).unwrap_or(0);
    let wanted = match frame {
        Frame::Number(number) if number as usize > pictures || number == 0 => {
            return Err(Error::TooShort { pictures, frame: number });
        }
        Frame::Mean if pictures == 0 => return Err(Error::TooShort { pictures, frame: 1 }),
        Frame::Number(number) => number as usize - 1..number as usize,
        Frame::Mean => 0..pictures,
    };
    let count = wanted.len() as f64;
    let mut sum = vec![0.0f64; width];
    for picture in wanted {
        let embedding = &rows[picture * width..][..width];
        let length = if normalize { length(embedding, picture + 1)? } else { 1.0 };
        for (total, value) in sum.iter_mut().zip(embedding) {
            *total += f64::from(*value) / length;
        }
    }
    Ok(sum.into_iter().map(|total| (total / count) as f32).collect())
}

fn length(embedding: &[f32], picture: usize) -> Result<f64, Error> {
    let length = embedding.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 { Ok(length) } else { Err(Error::NoDirection { picture }) }
}

impl Serialize for Frame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Frame::Number(number) => serializer.serialize_u32(*number),
            Frame::Mean => serializer.serialize_str("mean"),
        }
    }
}

impl<'de> Deserialize<'de> for Frame {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FrameVisitor)
    }
}

/// By hand instead of `serde(untagged)`, whose error says only that nothing matched.
struct FrameVisitor;

impl Visitor<'_> for FrameVisitor {
    type Value = Frame;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a picture number counted from 1, such as 5, or \"mean\"")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Frame, E> {
        match u32::try_from(number) {
            Ok(number) if number > 0 => Ok(Frame::Number(number)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Frame, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Frame, E> {
        if word == "mean" { Ok(Frame::Mean) } else { Err(E::invalid_value(Unexpected::Str(word), &self)) }
    }
}
