//! What a network makes of clips: logits, probabilities, embeddings.
//!
//! Clips are computed in blocks of [`BLOCK`] of one length, so that a clip's values depend on the clip alone: not on which
//! other clips are asked for, nor on their order. A block that cannot be filled is filled up with its last clip.

use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;

use candle_core::Tensor;
use rayon::prelude::*;

use crate::batch::batch;
use crate::loss::softmax;
use crate::survey::{Shape, checked_example};
use crate::{Batch, Error, Inputs, Mode, Network, Source};

/// Rows of every batch.
const BLOCK: usize = 8;
/// Clips that may wait for others of their length: a bound on memory where all lengths differ.
const WAITING: usize = 64;

/// Called with the number of clips that are done; `false` stops.
pub type GoOn<'a> = &'a mut dyn FnMut(usize) -> bool;

/// Probabilities of the classes, `[n][K]`, a row per index: the softmax of the logits in evaluation mode.
/// `None`: `go_on` said stop.
pub fn probabilities(
    network: &dyn Network,
    source: &dyn Source,
    indices: &[usize],
    inputs: &Inputs,
    go_on: GoOn<'_>,
) -> Result<Option<Vec<Vec<f64>>>, Error> {
    let logits = logits(network, source, indices, inputs, go_on)?;
    Ok(logits.map(|rows| rows.iter().map(|row| softmax(row)).collect()))
}

/// Embeddings, `[n][E]`, a row per index: see [`Network::embed`]. `None`: `go_on` said stop.
pub fn embeddings(
    network: &dyn Network,
    source: &dyn Source,
    indices: &[usize],
    inputs: &Inputs,
    go_on: GoOn<'_>,
) -> Result<Option<Vec<Vec<f32>>>, Error> {
    rows(Shape::of(network), source, indices, inputs, &|batch| network.embed(batch), go_on)
}

pub(crate) fn logits(
    network: &dyn Network,
    source: &dyn Source,
    indices: &[usize],
    inputs: &Inputs,
    go_on: GoOn<'_>,
) -> Result<Option<Vec<Vec<f32>>>, Error> {
    rows(Shape::of(network), source, indices, inputs, &|batch| network.forward(batch, Mode::Evaluate), go_on)
}

/// A clip that waits for its block: its place in the result, and what the network takes.
struct Ready {
    place: usize,
    log_mel: Vec<f32>,
    image: Vec<f32>,
}

fn rows(
    shape: Shape,
    source: &dyn Source,
    indices: &[usize],
    inputs: &Inputs,
    function: &dyn Fn(&Batch) -> Result<Tensor, Error>,
    go_on: GoOn<'_>,
) -> Result<Option<Vec<Vec<f32>>>, Error> {
    let mut rows = vec![Vec::new(); indices.len()];
    std::thread::scope(|scope| {
        let (sender, blocks) = sync_channel::<Result<Vec<Ready>, Error>>(1);
        // One block is read ahead of the one that is computed.
        scope.spawn(move || {
            let mut waiting = Waiting::default();
            for (window, of_window) in indices.chunks(BLOCK).enumerate() {
                let read: Result<Vec<Ready>, Error> = of_window
                    .par_iter()
                    .enumerate()
                    .map(|(slot, index)| {
                        let example = checked_example(&shape, source, *index)?;
                        let log_mel = inputs.evaluation(&example.log_mel, shape.n_mels);
                        let image = example.image.filter(|_| shape.image_width.is_some()).unwrap_or_default();
                        Ok(Ready { place: window * BLOCK + slot, log_mel, image })
                    })
                    .collect();
                let full = match read {
                    Ok(clips) => clips.into_iter().filter_map(|clip| waiting.add(clip)).map(Ok).collect(),
                    Err(error) => vec![Err(error)],
                };
                for block in full {
                    let failed = block.is_err();
                    // an error here says that nobody listens any more
                    if sender.send(block).is_err() || failed {
                        return;
                    }
                }
            }
            for block in waiting.rest() {
                if sender.send(Ok(block)).is_err() {
                    return;
                }
            }
        });
        let mut done = 0;
        for block in blocks {
            let block = block?;
            let fill = || block.iter().chain(std::iter::repeat_n(&block[block.len() - 1], BLOCK - block.len()));
            let log_mel = fill().flat_map(|clip| clip.log_mel.iter().copied()).collect();
            let image = fill().flat_map(|clip| clip.image.iter().copied()).collect();
            let values = function(&batch(log_mel, image, BLOCK, shape)?)?.to_vec2::<f32>()?;
            for (clip, row) in block.iter().zip(values) {
                rows[clip.place] = row;
            }
            done += block.len();
            if !go_on(done) {
                return Ok(None);
            }
        }
        Ok(Some(rows))
    })
}

/// Clips by length, until there are enough for a block.
#[derive(Default)]
struct Waiting(BTreeMap<usize, Vec<Ready>>);

impl Waiting {
    /// Takes a clip; gives the block that is full with it, or the fullest one where too many wait.
    fn add(&mut self, clip: Ready) -> Option<Vec<Ready>> {
        let length = clip.log_mel.len();
        let of_length = self.0.entry(length).or_default();
        of_length.push(clip);
        if of_length.len() == BLOCK {
            return self.0.remove(&length);
        }
        if self.0.values().map(Vec::len).sum::<usize>() < WAITING {
            return None;
        }
        let fullest = self.0.iter().max_by_key(|(_, clips)| clips.len()).map(|(length, _)| *length)?;
        self.0.remove(&fullest)
    }

    fn rest(self) -> impl Iterator<Item = Vec<Ready>> {
        self.0.into_values()
    }
}
