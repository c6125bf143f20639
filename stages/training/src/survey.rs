//! What must hold before the work starts, and what the clips have in common.

use rayon::prelude::*;

use crate::{Error, Example, Network, Source};

/// What one look at every clip tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Survey {
    /// Mean of each band over all frames of the training clips, dB.
    pub(crate) band_means: Vec<f32>,
    /// Frames of the longest training clip.
    pub(crate) longest: usize,
}

/// Clips that are looked at between two calls of the observer; also the bound on how many are in memory.
const BLOCK: usize = 64;

/// What can be known without reading a clip: enough classes, and clips of each of them in both parts.
pub(crate) fn check_parts(
    network: &dyn Network,
    source: &dyn Source,
    train: &[usize],
    select: &[usize],
    selection_needed: bool,
) -> Result<(), Error> {
    let classes = source.classes();
    if classes.len() < 2 {
        return Err(Error::TooFewClasses(classes.len()));
    }
    if network.classes() != classes.len() {
        return Err(Error::Classes { network: network.classes(), data: classes.len() });
    }
    if train.is_empty() {
        return Err(Error::NoItems);
    }
    if select.is_empty() && selection_needed {
        return Err(Error::NoSelection);
    }
    for (part, indices) in [("training", train), ("selection", select)] {
        let mut counts = vec![0usize; classes.len()];
        for index in indices {
            match source.class(*index) {
                Some(class) if class < counts.len() => counts[class] += 1,
                _ => {
                    let id = source.id(*index).to_owned();
                    return Err(Error::NoClass { id, part, classes: classes.len() });
                }
            }
        }
        let empty = counts.iter().position(|count| *count == 0).filter(|_| !indices.is_empty());
        if let Some(class) = empty {
            return Err(Error::EmptyClass { class: classes[class].clone(), part });
        }
    }
    Ok(())
}

/// Reads a clip and checks that the network can take it.
pub(crate) fn checked_example(network: &Shape, source: &dyn Source, index: usize) -> Result<Example, Error> {
    let id = || source.id(index).to_owned();
    let example = source.example(index).map_err(|source| Error::Unreadable { id: id(), source })?;
    let n_mels = network.n_mels;
    if example.log_mel.is_empty() || !example.log_mel.len().is_multiple_of(n_mels) {
        return Err(Error::Shape { id: id(), values: example.log_mel.len(), n_mels });
    }
    if let Some(at) = example.log_mel.iter().position(|value| !value.is_finite()) {
        return Err(Error::NotFinite { id: id(), frame: at / n_mels, band: at % n_mels, value: example.log_mel[at] });
    }
    if let Some(expected) = network.image_width {
        let image = example.image.as_deref().unwrap_or(&[]);
        if image.len() != expected {
            return Err(Error::Image { id: id(), found: image.len(), expected });
        }
        if let Some(column) = image.iter().position(|value| !value.is_finite()) {
            return Err(Error::ImageNotFinite { id: id(), column, value: image[column] });
        }
    }
    Ok(example)
}

/// What a network takes: its part that other threads may know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) n_mels: usize,
    pub(crate) image_width: Option<usize>,
    pub(crate) classes: usize,
}

impl Shape {
    pub(crate) fn of(network: &dyn Network) -> Shape {
        Shape { n_mels: network.n_mels(), image_width: network.image_width(), classes: network.classes() }
    }
}

/// Looks at every clip once. `None`: `go_on(done)` said stop.
pub(crate) fn survey(
    network: &Shape,
    source: &dyn Source,
    train: &[usize],
    select: &[usize],
    go_on: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<Survey>, Error> {
    let mut sums = vec![0.0f64; network.n_mels];
    let (mut frames, mut longest, mut done) = (0usize, 0usize, 0usize);
    for (counts, indices) in [(true, train), (false, select)] {
        for block in indices.chunks(BLOCK) {
            // clip by clip in parallel, then summed in the order of the clips: the same on any number of threads
            let of_clips: Result<Vec<(Vec<f64>, usize)>, Error> = block
                .par_iter()
                .map(|index| checked_example(network, source, *index).map(|e| band_sums(&e.log_mel, network.n_mels)))
                .collect();
            for (of_clip, length) in of_clips? {
                if counts {
                    sums.iter_mut().zip(&of_clip).for_each(|(sum, value)| *sum += value);
                    frames += length;
                    longest = longest.max(length);
                }
            }
            done += block.len();
            if !go_on(done) {
                return Ok(None);
            }
        }
    }
    let band_means = sums.iter().map(|sum| (sum / frames as f64) as f32).collect();
    Ok(Some(Survey { band_means, longest }))
}

fn band_sums(log_mel: &[f32], n_mels: usize) -> (Vec<f64>, usize) {
    let mut sums = vec![0.0; n_mels];
    for frame in log_mel.chunks_exact(n_mels) {
        sums.iter_mut().zip(frame).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    (sums, log_mel.len() / n_mels)
}
