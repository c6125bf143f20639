//! The encoder by itself, on all cores.

use std::time::Instant;

use encode_clip::{Checkpoint, Encoder, Spec, Threads};
use serde::Serialize;

use crate::config::Config;
use crate::error::Result;
use crate::resolve::refuse;

/// How fast pictures become embeddings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EncoderRate {
    /// Model and device.
    pub model: String,
    /// Arithmetic.
    pub precision: String,
    /// Pictures per second, in calls of as many pictures as a clip has.
    pub pictures_per_second: f64,
    /// Pictures of a call.
    pub batch: usize,
    /// Pictures per second if nothing but the multiplications and additions of the network took time, in registers on all cores; `None` on a
    /// GPU, whose limit is not measured.
    pub limit: Option<f64>,
    /// Whether it computes on the processor that decodes.
    pub on_cpu: bool,
}

/// Loads the encoder and lets it work for at least a second and at most about `seconds`.
pub fn measure(
    checkpoint: &Checkpoint,
    spec: &Spec,
    config: &Config,
    batch: usize,
    seconds: f64,
) -> Result<EncoderRate> {
    let stage = encode_clip::DECL.id;
    let batch = batch.clamp(1, config.run.batch_size);
    let encoder =
        Encoder::load(checkpoint, spec, config.run.device, config.run.batch_size).map_err(|e| refuse(stage, &e))?;
    let info = checkpoint.describe();
    let values = 3 * info.image_size * info.image_size;
    let windows: Vec<u8> = (0..batch * values).map(|i| ((i as u32).wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let encode = || encoder.encode(&windows, batch, Threads::All).map_err(|e| refuse(stage, &e));
    let before = Instant::now();
    encode()?;
    // The first call warms up; where one takes longer than there is time, it is the measurement.
    let (mut calls, mut elapsed) = (1, before.elapsed().as_secs_f64());
    if elapsed < seconds {
        let start = Instant::now();
        calls = 0;
        while calls == 0 || start.elapsed().as_secs_f64() < seconds.min(1.0) {
            encode()?;
            calls += 1;
        }
        elapsed = start.elapsed().as_secs_f64();
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let random = if info.random_weights { " (RANDOM weights)" } else { "" };
    Ok(EncoderRate {
        model: format!("{}{random} on {}", info.name, encoder.backend()),
        precision: spec.precision.name().to_string(),
        pictures_per_second: (calls * batch) as f64 / elapsed,
        batch,
        limit: encoder.limit(threads),
        on_cpu: encoder.backend().is_cpu(),
    })
}
