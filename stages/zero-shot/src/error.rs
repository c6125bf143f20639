//! Why there is no classifier, or no probability for an item.

use contract::{Cause, Classify};

/// Why there is no classifier, or no probability for an item.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text side of the checkpoint cannot be used, or not with these prompts.
    #[error(transparent)]
    Clip(#[from] clip::Error),
    /// A prompt that the tokenizer refuses.
    #[error("class `{class}`: {source}; see templates and prompts in [zero-shot]")]
    Prompt {
        /// The class that it is of.
        class: String,
        /// What is wrong.
        source: clip::Error,
    },
    /// A classifier needs two classes.
    #[error("{0} class(es) to tell apart: a classifier needs at least two; check the labels of the manifest")]
    TooFewClasses(usize),
    /// Words for a class that the data set does not have.
    #[error("prompts in [zero-shot] has words for class `{class}`, which the data set does not have; its classes are {}", classes.join(", "))]
    UnknownClass {
        /// As written.
        class: String,
        /// The classes of the data set.
        classes: Vec<String>,
    },
    /// Text features that have no direction.
    #[error("the text features of class `{0}` cancel out or are zero: give it other words in prompts of [zero-shot]")]
    NoDirection(String),
    /// The clip has fewer pictures than [`Params::frame`](crate::Params::frame) asks for.
    #[error(
        "the clip has {pictures} pictures, frame {frame} was asked for: \
         choose an earlier frame or frame = \"mean\" in [zero-shot]"
    )]
    TooShort {
        /// Pictures of the clip.
        pictures: usize,
        /// The picture asked for, from 1.
        frame: u32,
    },
    /// The clip has no picture at all.
    #[error("the clip has no pictures (a clip shorter than 0.5 s gives none)")]
    NoPictures,
    /// An embedding is not a vector of numbers, or has no direction.
    #[error("the embedding of picture {picture} {problem}: encode the clip again, or leave it out")]
    BadEmbedding {
        /// The picture, from 1.
        picture: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The embeddings are not of the width of the text features.
    #[error(
        "{values} values are no rows of {features} numbers: the embeddings are of another checkpoint than the text features, \
         encode the clips again"
    )]
    Shape {
        /// Number of values given.
        values: usize,
        /// Values of one text feature.
        features: usize,
    },
}

impl Classify for Error {
    fn class(&self) -> Cause {
        match self {
            Error::Clip(error) | Error::Prompt { source: error, .. } => error.class(),
            Error::TooShort { .. } | Error::NoPictures => Cause::TooShort,
            Error::BadEmbedding { .. } => Cause::Corrupt,
            Error::TooFewClasses(_) => Cause::Missing,
            Error::UnknownClass { .. } | Error::NoDirection(_) => Cause::Unsupported,
            Error::Shape { .. } => Cause::Internal,
        }
    }
}
