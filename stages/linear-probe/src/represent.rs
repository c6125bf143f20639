//! The vectors of a clip: those that stand for it, and those of its seconds.

use std::ops::Range;

use crate::{Error, Frame, Spec};

/// The vectors that stand for a clip, `[vectors][dim]`, from its embeddings `rows`: `[pictures][dim]`.
///
/// One vector, or with [`Frame::All`] as many as there are pictures. With `normalize` each picture's embedding is divided by its
/// Euclidean length first (before a mean is taken). The mean is taken in f64, picture after picture.
pub fn represent(rows: &[f32], dim: usize, spec: &Spec) -> Result<Vec<f32>, Error> {
    let pictures = count(rows, dim)?;
    let wanted = match spec.frame {
        Frame::All => return represent_each(rows, dim, spec),
        Frame::Number(number) if number as usize > pictures => {
            return Err(Error::TooShort { pictures, frame: number });
        }
        Frame::Number(number) => number as usize - 1..number as usize,
        Frame::Mean => 0..pictures,
    };
    mean(rows, dim, wanted, spec)
}

/// The vector of every picture of a clip, `[pictures][dim]`: what a decision per second is made of, whatever `frame` says.
pub fn represent_each(rows: &[f32], dim: usize, spec: &Spec) -> Result<Vec<f32>, Error> {
    let mut vectors = Vec::with_capacity(rows.len());
    for picture in 0..count(rows, dim)? {
        vectors.extend(mean(rows, dim, picture..picture + 1, spec)?);
    }
    Ok(vectors)
}

/// Number of pictures; at least 1.
fn count(rows: &[f32], dim: usize) -> Result<usize, Error> {
    if dim == 0 || !rows.len().is_multiple_of(dim) {
        return Err(Error::Shape { values: rows.len(), items: 1, features: dim });
    }
    match rows.len() / dim {
        0 => Err(Error::NoPictures),
        pictures => Ok(pictures),
    }
}

/// The mean over these pictures.
fn mean(rows: &[f32], dim: usize, wanted: Range<usize>, spec: &Spec) -> Result<Vec<f32>, Error> {
    let count = wanted.len() as f64;
    let mut sum = vec![0.0f64; dim];
    for picture in wanted {
        let embedding = &rows[picture * dim..][..dim];
        let length = checked_length(embedding, picture + 1, spec.normalize)?;
        for (total, value) in sum.iter_mut().zip(embedding) {
            *total += f64::from(*value) / length;
        }
    }
    Ok(sum.into_iter().map(|total| (total / count) as f32).collect())
}

/// What to divide an embedding by: its length, or 1. An embedding that cannot be used is an error naming the picture.
fn checked_length(embedding: &[f32], picture: usize, normalize: bool) -> Result<f64, Error> {
    if embedding.iter().any(|value| !value.is_finite()) {
        return Err(Error::BadEmbedding { picture, problem: "holds a value that is not a finite number" });
    }
    if !normalize {
        return Ok(1.0);
    }
    let length = embedding.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length == 0.0 {
        return Err(Error::BadEmbedding { picture, problem: "is all zeros and has no direction to normalise" });
    }
    Ok(length)
}
