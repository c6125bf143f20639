//! Why there is no probe, or no vector for an item.

use contract::{Cause, Classify};

/// Why there is no probe, or no vector for an item.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The clip has fewer pictures than [`Params::frame`](crate::Params::frame) asks for.
    #[error(
        "the clip has {pictures} pictures, frame {frame} was asked for: \
         choose an earlier frame or frame = \"mean\" in [linear-probe]"
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
    /// An embedding is not a vector of numbers, or has no direction when it must be normalised.
    #[error("the embedding of picture {picture} {problem}: encode the clip again, or leave it out")]
    BadEmbedding {
        /// The picture, from 1.
        picture: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Nothing to fit.
    #[error(
        "no training items: no labelled item of the training splits has an embedding; check train_splits in [linear-probe]"
    )]
    NoItems,
    /// A classifier needs two classes.
    #[error("{0} class(es) to tell apart: a classifier needs at least two; check the labels of the manifest")]
    TooFewClasses(usize),
    /// A class that the probe could never learn.
    #[error(
        "class `{0}` has no training items: move items of it into a training split, \
         or leave its items out of the manifest"
    )]
    EmptyClass(String),
    /// Fewer groups than parts to cut them into.
    #[error(
        "{groups} training group(s) cannot be cut into {folds} folds to choose c from: \
         lower folds, name a `val` split, or give a single c in [linear-probe]"
    )]
    FewerGroupsThanFolds {
        /// Groups of the training clips.
        groups: usize,
        /// [`Params::folds`](crate::Params::folds).
        folds: usize,
    },
    /// A class that would be missing from the fit while its only group is held out.
    #[error(
        "class `{0}` has fewer than two training groups, so none can be held out to choose c: \
         name a `val` split, or give a single c in [linear-probe]"
    )]
    LoneGroup(String),
    /// Without a `val` split each fit lacks another part of the training clips.
    #[error(
        "refit = false needs a `val` split: with folds there is no single fit to keep; \
         set refit = true, or give a single c in [linear-probe]"
    )]
    NothingToKeep,
    /// A single fit was asked for.
    #[error("{0} values of c, where a single fit takes one: let `train` choose")]
    SeveralC(usize),
    /// A label outside of the list of classes.
    #[error("training item {item} has class number {class}, but there are {classes} classes")]
    BadLabel {
        /// Row of the item, from 0.
        item: usize,
        /// Its class number.
        class: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A feature that is NaN or infinite.
    #[error("feature {feature} of item {item} is {value}: encode that clip again, or leave it out")]
    NotFinite {
        /// Row of the item, from 0.
        item: usize,
        /// Column, from 0.
        feature: usize,
        /// The value.
        value: f32,
    },
    /// The number of values is not items x features.
    #[error("{values} values cannot be split into {items} items of {features} features")]
    Shape {
        /// Number of values given.
        values: usize,
        /// Number of items expected.
        items: usize,
        /// Features per item, where they are known; 0 otherwise.
        features: usize,
    },
    /// The numbers overflow.
    #[error("the objective overflows: c in [linear-probe] is too small; 0.001 is already a very strong penalty")]
    Overflow,
}

impl Classify for Error {
    fn class(&self) -> Cause {
        match self {
            Error::TooShort { .. } | Error::NoPictures => Cause::TooShort,
            Error::BadEmbedding { .. } | Error::NotFinite { .. } | Error::Overflow => Cause::Corrupt,
            Error::NoItems
            | Error::TooFewClasses(_)
            | Error::EmptyClass(_)
            | Error::FewerGroupsThanFolds { .. }
            | Error::LoneGroup(_)
            | Error::NothingToKeep => Cause::Missing,
            Error::SeveralC(_) | Error::BadLabel { .. } | Error::Shape { .. } => Cause::Internal,
        }
    }
}
