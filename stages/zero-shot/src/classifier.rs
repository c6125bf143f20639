//! The classifier that prompts make, and its probabilities.

use clip::{Checkpoint, TextEncoder, Tokenizer};
use serde::{Deserialize, Serialize};

use crate::prompts::{ClassPrompts, prompts};
use crate::{Ensemble, Error, Frame, Spec};

/// A zero-shot classifier; its JSON is the model file, which is only read where its numbers fit together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Classifier {
    /// Names of the classes, in the order of the columns of the probabilities.
    pub classes: Vec<String>,
    /// The prompts of each class.
    pub prompts: Vec<ClassPrompts>,
    /// How it was made.
    pub spec: Spec,
    /// The factor before the cosines, `exp(logit_scale)` of the checkpoint.
    pub logit_scale: f64,
    /// Vectors of length 1, `[M][K][D]`; M is 1, or the number of templates where probabilities are averaged.
    pub weights: Vec<Vec<Vec<f64>>>,
}

/// A model file before it is checked.
#[derive(Deserialize)]
struct Unchecked {
    classes: Vec<String>,
    prompts: Vec<ClassPrompts>,
    spec: Spec,
    logit_scale: f64,
    weights: Vec<Vec<Vec<f64>>>,
}

impl TryFrom<Unchecked> for Classifier {
    type Error = String;

    fn try_from(read: Unchecked) -> Result<Self, String> {
        let Unchecked { classes, prompts, spec, logit_scale, weights } = read;
        let dim = weights.first().and_then(|member| member.first()).map_or(0, Vec::len);
        if dim == 0 || weights.iter().flatten().any(|row| row.len() != dim) {
            return Err("weights must be [members][classes][values], none of them 0".into());
        }
        if weights.iter().any(|member| member.len() != classes.len()) {
            return Err(format!("weights must have a row for each of the {} classes", classes.len()));
        }
        if !(logit_scale.is_finite() && logit_scale > 0.0) {
            return Err(format!("logit_scale is {logit_scale}, which is no factor"));
        }
        Ok(Classifier { classes, prompts, spec, logit_scale, weights })
    }
}

/// Finds out, without reading weights, whether [`classifier`] will succeed: the text tower is there, the tokenizer belongs to it, and every
/// prompt of every class fits.
pub fn check(checkpoint: &Checkpoint, classes: &[String], spec: &Spec) -> Result<(), Error> {
    let classes = prompts(classes, spec)?;
    checkpoint.check_text()?;
    let tokenizer = Tokenizer::of(checkpoint)?;
    for ClassPrompts { class, prompts } in &classes {
        for prompt in prompts.iter().flatten() {
            tokenizer.encode(prompt).map_err(|source| Error::Prompt { class: class.clone(), source })?;
        }
    }
    Ok(())
}

/// Encodes the prompts of `classes` and makes a classifier of them.
pub fn classifier(encoder: &TextEncoder, classes: &[String], spec: &Spec) -> Result<Classifier, Error> {
    let prompts = prompts(classes, spec)?;
    let mut features = Vec::new();
    for ClassPrompts { class, prompts } in &prompts {
        let encoded =
            encoder.encode(&prompts.concat()).map_err(|source| Error::Prompt { class: class.clone(), source })?;
        features.push(encoded);
    }
    let weights = weights(&prompts, &features, encoder.dimension(), spec.ensemble)?;
    Ok(Classifier {
        classes: classes.to_vec(),
        prompts,
        spec: spec.clone(),
        logit_scale: encoder.logit_scale(),
        weights,
    })
}

/// `[M][K][D]` of the text features of each class, `[templates * phrases][D]`, template by template.
pub(crate) fn weights(
    prompts: &[ClassPrompts],
    features: &[Vec<f32>],
    dim: usize,
    ensemble: Ensemble,
) -> Result<Vec<Vec<Vec<f64>>>, Error> {
    let members = match ensemble {
        Ensemble::Features => 1,
        Ensemble::Probabilities => prompts[0].prompts.len(),
    };
    let mut weights = vec![Vec::new(); members];
    for (ClassPrompts { class, .. }, features) in prompts.iter().zip(features) {
        for (member, part) in weights.iter_mut().zip(features.chunks_exact(features.len() / members)) {
            let mut sum = vec![0.0; dim];
            let no_direction = || Error::NoDirection(class.clone());
            for feature in part.chunks_exact(dim) {
                add(&mut sum, &unit(feature.iter().map(|v| f64::from(*v)).collect()).ok_or_else(no_direction)?);
            }
            member.push(unit(sum).ok_or_else(no_direction)?);
        }
    }
    Ok(weights)
}

impl Classifier {
    /// Values of one embedding.
    pub fn dim(&self) -> usize {
        self.weights[0][0].len()
    }

    /// The class probabilities `[K]` of one picture's embedding `[D]`, of any length but 0.
    pub fn probabilities(&self, embedding: &[f32]) -> Result<Vec<f64>, Error> {
        self.check_shape(embedding.len(), 1)?;
        Ok(self.of_vector(&direction(embedding, 1)?))
    }

    /// The class probabilities `[K]` of a clip, from the embeddings of its pictures `[N][D]`, by [`Spec::frame`].
    pub fn of_clip(&self, rows: &[f32]) -> Result<Vec<f64>, Error> {
        let (dim, pictures) = (self.dim(), self.pictures(rows)?);
        if pictures == 0 {
            return Err(Error::NoPictures);
        }
        match self.spec.frame {
            Frame::Number(frame) if frame as usize > pictures => Err(Error::TooShort { pictures, frame }),
            Frame::Number(frame) => {
                let picture = frame as usize;
                Ok(self.of_vector(&direction(&rows[(picture - 1) * dim..][..dim], picture)?))
            }
            Frame::Mean => {
                let mut sum = vec![0.0; dim];
                for (i, row) in rows.chunks_exact(dim).enumerate() {
                    add(&mut sum, &direction(row, i + 1)?);
                }
                let cancelled = Error::BadEmbedding { picture: 1, problem: "and those after it cancel out" };
                Ok(self.of_vector(&unit(sum).ok_or(cancelled)?))
            }
        }
    }

    /// The class probabilities of every picture of a clip, `[N][K]`: row k is second k of the 1-s protocol, counted from 0.
    pub fn of_each_picture(&self, rows: &[f32]) -> Result<Vec<Vec<f64>>, Error> {
        self.pictures(rows)?;
        let of = |(i, row)| Ok(self.of_vector(&direction(row, i + 1)?));
        rows.chunks_exact(self.dim()).enumerate().map(of).collect()
    }

    fn pictures(&self, rows: &[f32]) -> Result<usize, Error> {
        let pictures = rows.len() / self.dim();
        self.check_shape(rows.len(), pictures)?;
        Ok(pictures)
    }

    fn check_shape(&self, values: usize, pictures: usize) -> Result<(), Error> {
        let features = self.dim();
        if values == pictures * features { Ok(()) } else { Err(Error::Shape { values, features }) }
    }

    /// Of a vector of length 1.
    fn of_vector(&self, vector: &[f64]) -> Vec<f64> {
        let mut mean = vec![0.0; self.classes.len()];
        for member in &self.weights {
            let dot = |w: &Vec<f64>| w.iter().zip(vector).map(|(w, x)| w * x).sum::<f64>();
            let mut scores: Vec<f64> = member.iter().map(|w| self.logit_scale * dot(w)).collect();
            softmax(&mut scores);
            add(&mut mean, &scores);
        }
        let members = self.weights.len() as f64;
        mean.iter().map(|sum| sum / members).collect()
    }
}

/// The embedding of a picture at length 1; one that cannot be used is an error naming the picture.
fn direction(embedding: &[f32], picture: usize) -> Result<Vec<f64>, Error> {
    if embedding.iter().any(|value| !value.is_finite()) {
        return Err(Error::BadEmbedding { picture, problem: "holds a value that is not a finite number" });
    }
    unit(embedding.iter().map(|v| f64::from(*v)).collect())
        .ok_or(Error::BadEmbedding { picture, problem: "is all zeros and has no direction" })
}

/// The vector divided by its length; `None` where it has none.
fn unit(mut vector: Vec<f64>) -> Option<Vec<f64>> {
    let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
    for v in &mut vector {
        *v /= length;
    }
    (length > 0.0).then_some(vector)
}

fn add(sum: &mut [f64], values: &[f64]) {
    sum.iter_mut().zip(values).for_each(|(a, b)| *a += b);
}

/// `exp(z) / sum exp(z)`, without overflow.
fn softmax(scores: &mut [f64]) {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for z in &mut *scores {
        *z = (*z - highest).exp();
    }
    let sum: f64 = scores.iter().sum();
    for z in scores {
        *z /= sum;
    }
}
