//! What `pipeline bench` asks of the media worker, and what it answers: JSON over the worker's standard input and output.

use std::io::Write;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::worker::child;

/// The argument by which the worker measures instead of serving.
pub const ARGUMENT: &str = "bench";

/// Which files, looked at in which way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The clips.
    pub clips: Vec<Clip>,
    /// [`crate::worker::Settings::to_text`].
    pub settings: String,
    /// No further clip is begun after this time.
    pub seconds: f64,
}

/// The files of a clip, by the bytes of their paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clip {
    /// Its id.
    pub id: String,
    /// What pictures are taken of.
    pub video: Option<Vec<u8>>,
    /// What the sound is taken of.
    pub sound: Option<Vec<u8>>,
}

/// What was measured, in seconds on one thread, summed over the clips.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Clips that were measured whole.
    pub clips: usize,
    /// Those that failed, and why.
    pub failed: Vec<String>,
    /// Files, and their bytes.
    pub files: usize,
    /// Bytes of all files.
    pub bytes: u64,
    /// Reading them for the first time, from wherever they were.
    pub read_first: f64,
    /// Reading them again, from the page cache.
    pub read_again: f64,
    /// Hashing what was read.
    pub hash: f64,
    /// Pictures that were taken of videos.
    pub pictures: usize,
    /// How long the videos last.
    pub video_seconds: f64,
    /// Opening and decoding to the wanted pictures, without converting one.
    pub decode_only: f64,
    /// The same with conversion to RGB: all of the extraction.
    pub extract: f64,
    /// Pictures that were resized.
    pub resized: usize,
    /// Resizing and cropping them for the encoder.
    pub resize: f64,
    /// Going once over the bytes that resizing must read.
    pub pass: f64,
    /// How long the sounds last.
    pub sound_seconds: f64,
    /// Decoding them.
    pub sound: f64,
    /// Their log-mel.
    pub log_mel: f64,
    /// Of which the transforms, by themselves.
    pub transforms: f64,
    /// Values per row, rows and columns of what the log-mel of all clips is; for the writer.
    pub log_mel_rows: usize,
}

/// Has the worker measure.
pub fn measure(request: &Request) -> Result<Measured> {
    let program = child::find()?;
    let fail = |message: String| Error::Worker { path: program.clone(), message };
    let mut process = Command::new(&program)
        .arg(ARGUMENT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| fail(format!("it cannot be started ({e})")))?;
    let text = serde_json::to_vec(request).expect("plain data");
    let mut stdin = process.stdin.take().expect("piped");
    let sent = stdin.write_all(&text);
    drop(stdin);
    let output = process.wait_with_output().map_err(|e| fail(e.to_string()))?;
    sent.map_err(|e| fail(format!("it does not listen ({e})")))?;
    if !output.status.success() {
        return Err(fail(format!("it ended with {} while it measured", output.status)));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| fail(format!("it said what nobody understands ({e})")))
}
