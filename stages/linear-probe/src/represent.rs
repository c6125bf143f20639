//! One vector per clip.

use crate::{Error, Frame, Spec};

/// The vector that stands for a clip, from its embeddings `rows`: `[pictures][dim]`.
///
/// With `normalize` each picture's embedding is divided by its Euclidean length first (before a mean is taken). The mean
/// is taken in f64, picture after picture.
pub fn represent(rows: &[f32], dim: usize, spec: &Spec) -> Result<Vec<f32>, Error> {
    if dim == 0 || !rows.len().is_multiple_of(dim) {
        return Err(Error::Shape { values: rows.len(), items: 1, features: dim });
    }
    let pictures = rows.len() / dim;
    if pictures == 0 {
        return Err(Error::NoPictures);
    }
    let wanted = match spec.frame {
        Frame::Number(number) if number as usize > pictures => {
            return Err(Error::TooShort { pictures, frame: number });
        }
        Frame::Number(number) => number as usize - 1..number as usize,
        Frame::Mean => 0..pictures,
    };
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
