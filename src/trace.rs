//! Where the time of a run goes, clip by clip: `run --trace FILE` writes what Perfetto and Chrome (chrome://tracing) show as a picture.
//!
//! A track a thread, and a curve a queue ([`Queue`]): where a queue stays full, what takes from it is too slow; where it stays empty, what fills it.
//!
//! The form is the JSON array of the Trace Event Format, a line an event; its readers take an array that does not end, so a run that is killed
//! leaves a good file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{IoContext, Result};

/// The track of the writer, and of the systems after it; lanes count from 1.
pub const WRITER: usize = 0;

/// What waits between the threads of a run.
#[derive(Debug, Clone, Copy)]
pub enum Queue {
    /// Between decoding and encoding, where one thread encodes the pictures of all lanes.
    Pictures,
    /// Between what computes and what writes.
    Values,
}

impl Queue {
    fn name(self) -> &'static str {
        match self {
            Queue::Pictures => "pictures waiting for the encoder",
            Queue::Values => "values waiting for the writer",
        }
    }
}

/// A trace in the making.
#[derive(Debug)]
pub struct Trace {
    begin: Instant,
    out: Mutex<BufWriter<File>>,
}

impl Trace {
    /// Into this file.
    pub fn create(path: &Path) -> Result<Trace> {
        let mut out = BufWriter::new(File::create(path).at("create", path)?);
        out.write_all(b"[\n").at("write", path)?;
        let trace = Trace { begin: Instant::now(), out: Mutex::new(out) };
        trace.name(WRITER, "writer");
        Ok(trace)
    }

    /// Names a track.
    pub fn name(&self, track: usize, name: &str) {
        self.put(&json!({ "ph": "M", "pid": 1, "tid": track, "name": "thread_name", "args": { "name": name } }));
    }

    /// Something that took from `begin` until now.
    pub fn span(&self, track: usize, name: &str, begin: Instant, about: &str) {
        let (ts, duration) = (micros(begin.saturating_duration_since(self.begin)), micros(begin.elapsed()));
        let args = if about.is_empty() { json!({}) } else { json!({ "about": about }) };
        self.put(&json!({ "ph": "X", "pid": 1, "tid": track, "name": name, "ts": ts, "dur": duration, "args": args }));
    }

    /// How much waits in a queue now.
    pub fn depth(&self, queue: Queue, depth: usize) {
        let ts = micros(self.begin.elapsed());
        self.put(&json!({ "ph": "C", "pid": 1, "name": queue.name(), "ts": ts, "args": { "depth": depth } }));
    }

    fn put(&self, event: &Value) {
        // A trace that cannot be written is no reason to stop a run.
        let mut out = self.out.lock().expect("no holder panics");
        let _ = writeln!(out, "{event},");
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
