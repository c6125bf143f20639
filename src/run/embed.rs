//! A lane's way to embeddings: windows of pictures in, rows out.
//!
//! On a CPU each lane computes its own, on its one thread: with as many lanes as cores none waits for another and no core has two to
//! serve, since a lane's decoder is idle while the lane computes. Only when there are fewer clips left than lanes, those that still have
//! one use the cores of the others. A GPU wants full batches, and gets them from all lanes together ([`crate::run::encode`]). What an
//! embedding is depends on none of it: `encode_clip::Encoder` promises that, and tests hold it to it.
//!
//! The encoder is loaded while the first clips are decoded.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use contract::{Failure, Rows};
use crossbeam_channel::Sender;
use encode_clip::{Encoder, Threads};

use crate::config::{Batching, Run};
use crate::error::{Error, Result};
use crate::key::{Content, Key};
use crate::resolve::{ClipScience, refuse};
use crate::run::clip::Ended;
use crate::run::encode::{Attempt, ToEncoder};
use crate::trace::{Queue, Trace};

/// The encoder of a run, and who of the lanes can do without its core.
pub struct Encoding<'a> {
    clip: &'a ClipScience,
    load: Box<dyn Fn() -> Result<Encoder> + Sync + 'a>,
    batch_size: usize,
    batching: Batching,
    /// Whether the lanes are all cores that there are.
    lanes_are_cores: bool,
    /// Lanes that have no more clips.
    resting: AtomicUsize,
    encoder: OnceLock<Option<Encoder>>,
    /// Why there is none.
    error: Mutex<Option<Error>>,
}

impl<'a> Encoding<'a> {
    /// The encoder that `load` will give, shared by this many lanes in the way that `run` asks for.
    pub fn new(clip: &'a ClipScience, run: &Run, lanes: usize, load: impl Fn() -> Result<Encoder> + Sync + 'a) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Encoding {
            clip,
            load: Box::new(load),
            batch_size: run.batch_size,
            batching: run.batching,
            lanes_are_cores: lanes >= cores,
            resting: AtomicUsize::new(0),
            encoder: OnceLock::new(),
            error: Mutex::new(None),
        }
    }

    /// Loads the encoder, or waits until another thread has; the error goes to the first who asks.
    pub fn encoder(&self) -> Result<&Encoder, Ended> {
        let encoder = self.encoder.get_or_init(|| {
            let loaded = (self.load)();
            loaded.map_err(|error| *self.error.lock().expect("no holder panics") = Some(error)).ok()
        });
        encoder.as_ref().ok_or_else(|| {
            let error = self.error.lock().expect("no holder panics").take();
            error.map_or(Ended::Disconnected, Ended::Failed)
        })
    }

    /// Pictures per pass, where the device's memory made it fewer than usual.
    pub fn reduced_to(&self) -> Option<usize> {
        self.encoder.get()?.as_ref()?.reduced_to()
    }

    /// Whether the pictures of all lanes go to one thread, which fills batches across clips.
    pub fn is_across(&self, encoder: &Encoder) -> bool {
        match self.batching {
            Batching::Auto => !encoder.backend().is_cpu(),
            Batching::Clip => false,
            Batching::Across => true,
        }
    }

    /// A lane has no more clips.
    pub fn rest(&self) {
        self.resting.fetch_add(1, Ordering::Relaxed);
    }

    fn threads(&self) -> Threads {
        if self.lanes_are_cores && self.resting.load(Ordering::Relaxed) > 0 { Threads::All } else { Threads::One }
    }
}

/// A lane's end of it: the pictures of one clip after the other.
pub struct Embedder<'a> {
    encoding: &'a Encoding<'a>,
    across: Sender<ToEncoder>,
    /// `[waiting][S][S][3]`
    windows: Vec<u8>,
    waiting: usize,
    /// `[pictures so far][D]`, where they are computed here.
    embeddings: Vec<f32>,
    /// A picture of this clip has no finite embedding.
    failed: Option<Failure>,
    /// Pictures of this attempt went to the thread that batches across clips.
    sent: bool,
    /// Takes what each batch took, on the track of the lane.
    trace: Option<(&'a Trace, usize)>,
}

impl<'a> Embedder<'a> {
    /// One for a lane; `across` goes to the thread that batches across clips.
    pub fn new(encoding: &'a Encoding<'a>, across: Sender<ToEncoder>, trace: Option<(&'a Trace, usize)>) -> Self {
        let (windows, embeddings) = (Vec::new(), Vec::new());
        Embedder { encoding, across, windows, waiting: 0, embeddings, failed: None, sent: false, trace }
    }

    /// Takes the next picture of an attempt.
    pub fn window(&mut self, attempt: Attempt, window: &[u8]) -> Result<(), Ended> {
        self.windows.extend_from_slice(window);
        self.waiting += 1;
        // Long clips: what waits is bounded, whatever their length.
        if self.waiting == self.encoding.batch_size { self.encode(attempt) } else { Ok(()) }
    }

    /// What was taken of this attempt is worth nothing; another follows.
    pub fn abandon(&mut self, attempt: Attempt) -> Result<(), Ended> {
        if self.sent {
            self.across.send(ToEncoder::Abandon(attempt))?;
        }
        self.clear();
        Ok(())
    }

    /// The clip has no more pictures, and these are their times: its rows, unless the thread that batches across clips makes them.
    pub fn end(
        &mut self,
        attempt: Attempt,
        key: Key,
        content: Content,
        times: Vec<f64>,
    ) -> Result<Option<Result<Rows, Failure>>, Ended> {
        self.encode(attempt)?;
        let (sent, failed) = (self.sent, self.failed.take());
        let embeddings = std::mem::take(&mut self.embeddings);
        self.clear();
        if sent {
            self.across.send(ToEncoder::End { attempt, key, content, times })?;
            return Ok(None);
        }
        Ok(Some(failed.map_or_else(|| self.encoding.clip.rows(embeddings, times), Err)))
    }

    fn encode(&mut self, attempt: Attempt) -> Result<(), Ended> {
        if self.waiting == 0 {
            return Ok(());
        }
        let encoder = self.encoding.encoder()?;
        if self.encoding.is_across(encoder) {
            self.sent = true;
            for window in self.windows.chunks_exact(self.windows.len() / self.waiting) {
                self.across.send(ToEncoder::Frame { attempt, window: window.to_vec() })?;
            }
            if let Some((trace, _)) = self.trace {
                trace.depth(Queue::Pictures, self.across.len());
            }
        } else if self.failed.is_none() {
            let begin = Instant::now();
            let encoded = encoder.encode(&self.windows, self.waiting, self.encoding.threads());
            if let Some((trace, lane)) = self.trace {
                trace.span(lane, "encode", begin, &format!("{} pictures", self.waiting));
            }
            match encoded {
                Ok(embeddings) => self.embeddings.extend_from_slice(&embeddings),
                // A picture overflowed in half precision: that costs its item.
                Err(error @ encode_clip::Error::NotFinite { .. }) => self.failed = Some(Failure::from_error(&error)),
                Err(error) => return Err(Ended::Failed(refuse(encode_clip::DECL.id, &error))),
            }
        }
        self.windows.clear();
        self.waiting = 0;
        Ok(())
    }

    fn clear(&mut self) {
        self.windows.clear();
        self.waiting = 0;
        self.embeddings.clear();
        self.failed = None;
        self.sent = false;
    }
}
