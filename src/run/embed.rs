//! A lane's way to embeddings: windows of pictures in, rows out.
//!
//! On a CPU each lane computes its own, on its one thread: with as many lanes as cores none waits for another and none is
//! oversubscribed, since a lane's decoder is idle while the lane computes. A GPU wants full batches, and gets them from all lanes together
//! ([`crate::run::encode`]). What an embedding is depends on neither: `encode_clip::Encoder` promises that, and tests hold it to it.

use contract::{Failure, Rows};
use crossbeam_channel::Sender;
use encode_clip::{Encoder, Threads};

use crate::key::{Content, Key};
use crate::resolve::{ClipScience, refuse};
use crate::run::clip::Ended;
use crate::run::encode::{Attempt, ToEncoder};

/// Where the windows of a lane go.
pub enum Embedder<'a> {
    /// They are encoded here, on the lane's thread.
    Here(Here<'a>),
    /// They go to the thread that has the device, which sends rows to the writer itself.
    There(Sender<ToEncoder>),
}

/// Encodes the pictures of one clip after the other.
pub struct Here<'a> {
    clip: &'a ClipScience,
    encoder: &'a Encoder,
    batch_size: usize,
    /// `[waiting][S][S][3]`
    windows: Vec<u8>,
    waiting: usize,
    /// `[pictures so far][D]`
    embeddings: Vec<f32>,
    /// A picture of this clip has no finite embedding.
    failed: Option<Failure>,
}

impl<'a> Embedder<'a> {
    /// One that encodes on the lane's thread, `batch_size` pictures at a time at most.
    pub fn here(clip: &'a ClipScience, encoder: &'a Encoder, batch_size: usize) -> Self {
        let (windows, embeddings) = (Vec::new(), Vec::new());
        Embedder::Here(Here { clip, encoder, batch_size, windows, waiting: 0, embeddings, failed: None })
    }

    /// Takes the next picture of an attempt.
    pub fn window(&mut self, attempt: Attempt, window: &[u8]) -> Result<(), Ended> {
        match self {
            Embedder::Here(here) => here.window(window),
            Embedder::There(sender) => Ok(sender.send(ToEncoder::Frame { attempt, window: window.to_vec() })?),
        }
    }

    /// What was taken of this attempt is worth nothing; another follows.
    pub fn abandon(&mut self, attempt: Attempt) -> Result<(), Ended> {
        match self {
            Embedder::Here(here) => {
                here.clear();
                Ok(())
            }
            Embedder::There(sender) => Ok(sender.send(ToEncoder::Abandon(attempt))?),
        }
    }

    /// The clip has no more pictures: its rows, unless another thread makes them.
    pub fn end(
        &mut self,
        attempt: Attempt,
        key: Key,
        content: Content,
        times: Result<Vec<f64>, Failure>,
    ) -> Result<Option<Result<Rows, Failure>>, Ended> {
        match self {
            Embedder::Here(here) => here.end(times).map(Some),
            Embedder::There(sender) => {
                sender.send(ToEncoder::End { attempt, key, content, times })?;
                Ok(None)
            }
        }
    }
}

impl Here<'_> {
    fn window(&mut self, window: &[u8]) -> Result<(), Ended> {
        if self.failed.is_some() {
            return Ok(());
        }
        self.windows.extend_from_slice(window);
        self.waiting += 1;
        // Long clips: what waits is bounded, whatever their length.
        if self.waiting == self.batch_size { self.encode() } else { Ok(()) }
    }

    fn encode(&mut self) -> Result<(), Ended> {
        if self.waiting == 0 {
            return Ok(());
        }
        match self.encoder.encode(&self.windows, self.waiting, Threads::One) {
            Ok(embeddings) => self.embeddings.extend_from_slice(&embeddings),
            // A picture overflowed in half precision: that costs its item.
            Err(error @ encode_clip::Error::NotFinite { .. }) => self.failed = Some(Failure::from_error(&error)),
            Err(error) => return Err(Ended::Failed(refuse(encode_clip::DECL.id, &error))),
        }
        self.windows.clear();
        self.waiting = 0;
        Ok(())
    }

    fn end(&mut self, times: Result<Vec<f64>, Failure>) -> Result<Result<Rows, Failure>, Ended> {
        if times.is_ok() {
            self.encode()?;
        }
        let embeddings = std::mem::take(&mut self.embeddings);
        let failed = self.failed.take();
        self.clear();
        Ok(times.and_then(|times| failed.map_or_else(|| self.clip.rows(embeddings, times), Err)))
    }

    fn clear(&mut self) {
        self.windows.clear();
        self.waiting = 0;
        self.embeddings.clear();
        self.failed = None;
    }
}
