//! The encoder thread: pixels from all workers in, full batches through the model, embeddings of whole clips out.
//!
//! Batches are filled across clips, so that short clips do not leave the device idle. What an item's embedding is does not
//! depend on its batch: `encode_clip::Encoder` promises that, and tests hold it to it.

use std::collections::HashMap;

use contract::Failure;
use crossbeam_channel::{Receiver, Sender};

use crate::error::{Error, Result};
use crate::key::{Content, Key};
use crate::resolve::ClipScience;
use crate::run::WriterMessage;
use crate::run::clip::ToWriter;
use crate::run::writer::{Finished, Outcome};

/// What workers send. The frames of an item come in order and before its end.
#[derive(Debug)]
pub enum ToEncoder {
    /// One preprocessed picture, `[3][S][S]`.
    Frame {
        /// Position of the item in the data set.
        item: usize,
        /// Its pixels.
        pixels: Vec<f32>,
    },
    /// The item has no more frames: their times, or why it failed.
    End {
        /// Position of the item in the data set.
        item: usize,
        /// Its key.
        key: Key,
        /// The content that the key was made of.
        content: Content,
        /// Seconds of each picture.
        times: Result<Vec<f64>, Failure>,
    },
}

/// An item between its first frame and its last embedding.
#[derive(Default)]
struct Open {
    embeddings: Vec<f32>,
    done: usize,
    end: Option<(Key, Content, Vec<f64>)>,
}

/// Runs until every sender is gone.
pub fn run(
    clip: &ClipScience,
    encoder: &encode_clip::Encoder,
    batch_size: usize,
    stage: usize,
    inbox: &Receiver<ToEncoder>,
    to_writer: &Sender<ToWriter>,
) -> Result<()> {
    let mut batch = Batch { items: Vec::new(), pixels: Vec::new() };
    let mut open: HashMap<usize, Open> = HashMap::new();
    for message in inbox {
        match message {
            ToEncoder::Frame { item, pixels } => {
                batch.items.push(item);
                batch.pixels.extend_from_slice(&pixels);
                open.entry(item).or_default();
                if batch.items.len() == batch_size {
                    let ready = batch.encode(encoder, &mut open)?;
                    send_complete(clip, stage, &mut open, &ready, to_writer)?;
                }
            }
            ToEncoder::End { item, key, content, times: Ok(times) } => {
                open.entry(item).or_default().end = Some((key, content, times));
                send_complete(clip, stage, &mut open, &[item], to_writer)?;
            }
            ToEncoder::End { item, key, content, times: Err(failure) } => {
                // Its frames in the batch are computed with the others and dropped.
                open.remove(&item);
                send(stage, Finished { item, key, content, outcome: Outcome::Computed(Err(failure)) }, to_writer)?;
            }
        }
    }
    let ready = batch.encode(encoder, &mut open)?;
    send_complete(clip, stage, &mut open, &ready, to_writer)
}

struct Batch {
    /// The item of each picture.
    items: Vec<usize>,
    /// `[items.len()][3][S][S]`
    pixels: Vec<f32>,
}

impl Batch {
    /// Encodes what is there and gives every embedding to its item; returns the items touched.
    fn encode(&mut self, encoder: &encode_clip::Encoder, open: &mut HashMap<usize, Open>) -> Result<Vec<usize>> {
        if self.items.is_empty() {
            return Ok(Vec::new());
        }
        let embeddings = encoder
            .encode(&self.pixels, self.items.len())
            .map_err(|e| Error::Stage { stage: encode_clip::DECL.id, message: e.to_string() })?;
        let width = encoder.dimension();
        for (item, embedding) in self.items.iter().zip(embeddings.chunks_exact(width)) {
            if let Some(entry) = open.get_mut(item) {
                entry.embeddings.extend_from_slice(embedding);
                entry.done += 1;
            }
        }
        self.pixels.clear();
        let mut touched = std::mem::take(&mut self.items);
        touched.dedup();
        Ok(touched)
    }
}

/// Sends on those of `items` whose last embedding is there.
fn send_complete(
    clip: &ClipScience,
    stage: usize,
    open: &mut HashMap<usize, Open>,
    items: &[usize],
    to_writer: &Sender<ToWriter>,
) -> Result<()> {
    for item in items {
        let Some(entry) = open.get(item) else { continue };
        let complete = entry.end.as_ref().is_some_and(|(_, _, times)| times.len() == entry.done);
        if !complete {
            continue;
        }
        let entry = open.remove(item).expect("just seen");
        if let Some((key, content, times)) = entry.end {
            let outcome = Outcome::Computed(clip.rows(entry.embeddings, times));
            send(stage, Finished { item: *item, key, content, outcome }, to_writer)?;
        }
    }
    Ok(())
}

fn send(stage: usize, finished: Finished, to_writer: &Sender<ToWriter>) -> Result<()> {
    let gone = || Error::Internal("the writer stopped".to_string());
    to_writer.send((stage, WriterMessage::Finished(finished))).map_err(|_| gone())
}
