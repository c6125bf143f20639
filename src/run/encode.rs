//! The thread that batches across clips, for a GPU: windows from all lanes in, full batches through the model, embeddings of whole clips out.
//!
//! Batches are filled across clips, so that short clips do not leave the device idle. What an item's embedding is does not
//! depend on its batch: `encode_clip::Encoder` promises that, and tests hold it to it.

use std::collections::HashMap;
use std::time::Instant;

use contract::Failure;
use crossbeam_channel::{Receiver, Sender};
use encode_clip::Threads;

use crate::error::{Error, Result};
use crate::key::{Content, Key};
use crate::resolve::ClipScience;
use crate::run::writer::{Finished, Outcome, ToWriter, WriterMessage};
use crate::trace::{Queue, Trace};

/// One attempt at an item: its position in the data set, and how often it was begun anew because the file turned out to be other
/// than its packets said.
pub type Attempt = (usize, u32);

/// What lanes send. The frames of an attempt come in order and before its end.
#[derive(Debug)]
pub enum ToEncoder {
    /// One resized picture, `[S][S][3]`.
    Frame {
        /// Whose it is.
        attempt: Attempt,
        /// Its bytes.
        window: Vec<u8>,
    },
    /// The pictures of this attempt are worth nothing; another follows.
    Abandon(Attempt),
    /// The item has no more frames, and these are their times.
    End {
        /// Whose.
        attempt: Attempt,
        /// Its key.
        key: Key,
        /// The content that the key was made of.
        content: Content,
        /// Seconds of each picture.
        times: Vec<f64>,
    },
}

/// An item between its first frame and its last embedding.
#[derive(Default)]
struct Open {
    embeddings: Vec<f32>,
    done: usize,
    end: Option<(Key, Content, Vec<f64>)>,
    /// One of its pictures has no finite embedding.
    failed: Option<Failure>,
}

/// Runs until every sender is gone.
pub fn run(
    clip: &ClipScience,
    encoder: &encode_clip::Encoder,
    batch_size: usize,
    stage: usize,
    inbox: &Receiver<ToEncoder>,
    to_writer: &Sender<ToWriter>,
    trace: Option<(&Trace, usize)>,
) -> Result<()> {
    if let Some((trace, track)) = trace {
        trace.name(track, "encoder");
    }
    let mut batch = Batch { attempts: Vec::new(), windows: Vec::new(), trace };
    let mut open: HashMap<Attempt, Open> = HashMap::new();
    for message in inbox {
        match message {
            ToEncoder::Frame { attempt, window } => {
                batch.attempts.push(attempt);
                batch.windows.extend_from_slice(&window);
                open.entry(attempt).or_default();
                if batch.attempts.len() == batch_size {
                    let ready = batch.encode(encoder, &mut open)?;
                    if let Some((trace, _)) = trace {
                        trace.depth(Queue::Pictures, inbox.len());
                    }
                    send_complete(clip, stage, &mut open, &ready, to_writer)?;
                }
            }
            // Its frames in the batch are computed with the others and dropped.
            ToEncoder::Abandon(attempt) => drop(open.remove(&attempt)),
            ToEncoder::End { attempt, key, content, times } => {
                open.entry(attempt).or_default().end = Some((key, content, times));
                send_complete(clip, stage, &mut open, &[attempt], to_writer)?;
            }
        }
    }
    let ready = batch.encode(encoder, &mut open)?;
    send_complete(clip, stage, &mut open, &ready, to_writer)
}

struct Batch<'a> {
    /// Whose each picture is.
    attempts: Vec<Attempt>,
    /// `[attempts.len()][S][S][3]`
    windows: Vec<u8>,
    /// Takes what each batch took, on a track of its own.
    trace: Option<(&'a Trace, usize)>,
}

impl Batch<'_> {
    /// Encodes what is there and gives every embedding to its attempt; returns the attempts touched.
    fn encode(&mut self, encoder: &encode_clip::Encoder, open: &mut HashMap<Attempt, Open>) -> Result<Vec<Attempt>> {
        let mut touched = self.attempts.clone();
        touched.dedup();
        let embeddings = loop {
            if self.attempts.is_empty() {
                return Ok(touched);
            }
            let begin = Instant::now();
            let encoded = encoder.encode(&self.windows, self.attempts.len(), Threads::All);
            if let Some((trace, track)) = self.trace {
                trace.span(track, "encode", begin, &format!("{} pictures", self.attempts.len()));
            }
            match encoded {
                Ok(embeddings) => break embeddings,
                // One picture overflowed in half precision: that costs its item, not its batch mates.
                Err(error @ encode_clip::Error::NotFinite { row, .. }) => {
                    self.expel(row, &Failure::from_error(&error), open);
                }
                Err(error) => return Err(crate::resolve::refuse(encode_clip::DECL.id, &error)),
            }
        };
        let width = encoder.dimension();
        for (attempt, embedding) in self.attempts.iter().zip(embeddings.chunks_exact(width)) {
            if let Some(entry) = open.get_mut(attempt) {
                entry.embeddings.extend_from_slice(embedding);
                entry.done += 1;
            }
        }
        self.windows.clear();
        self.attempts.clear();
        Ok(touched)
    }
}

impl Batch<'_> {
    /// Fails the attempt that picture `row` belongs to and takes its pictures out of the batch.
    fn expel(&mut self, row: usize, failure: &Failure, open: &mut HashMap<Attempt, Open>) {
        let expelled = self.attempts[row];
        if let Some(entry) = open.get_mut(&expelled) {
            entry.failed = Some(failure.clone());
        }
        let size = self.windows.len() / self.attempts.len();
        let kept = self.windows.chunks_exact(size).zip(&self.attempts).filter(|(_, attempt)| **attempt != expelled);
        self.windows = kept.flat_map(|(window, _)| window).copied().collect();
        self.attempts.retain(|attempt| *attempt != expelled);
    }
}

/// Sends on those of `attempts` whose last embedding is there.
fn send_complete(
    clip: &ClipScience,
    stage: usize,
    open: &mut HashMap<Attempt, Open>,
    attempts: &[Attempt],
    to_writer: &Sender<ToWriter>,
) -> Result<()> {
    for attempt in attempts {
        let Some(entry) = open.get(attempt) else { continue };
        let complete =
            entry.end.as_ref().is_some_and(|(_, _, times)| times.len() == entry.done || entry.failed.is_some());
        if !complete {
            continue;
        }
        let entry = open.remove(attempt).expect("just seen");
        if let Some((key, content, times)) = entry.end {
            let rows = entry.failed.map_or_else(|| clip.rows(entry.embeddings, times), Err);
            let outcome = Outcome::Computed(rows);
            send(stage, Finished { item: attempt.0, key, content, outcome }, to_writer)?;
        }
    }
    Ok(())
}

fn send(stage: usize, finished: Finished, to_writer: &Sender<ToWriter>) -> Result<()> {
    let gone = || Error::Internal("the writer stopped".to_string());
    to_writer.send((stage, WriterMessage::Finished(finished))).map_err(|_| gone())
}
