//! The encoder by itself, on all cores.

use std::time::Instant;

use encode_clip::{Checkpoint, Encoder, Spec, Threads};
use serde::Serialize;

use crate::bench::peak;
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
    /// Operations that a picture takes: of the matrix products alone, two for a multiplication and an addition.
    pub flop_per_picture: f64,
    /// Operations per second that the instructions reach in registers; `None` on a GPU, which is not measured.
    pub peak_flops: Option<f64>,
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
    let on_cpu = encoder.backend().is_cpu();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let random = if info.random_weights { " (RANDOM weights)" } else { "" };
    Ok(EncoderRate {
        model: format!("{}{random} on {}", info.name, encoder.backend()),
        precision: format!("{:?}", spec.precision).to_lowercase(),
        pictures_per_second: (calls * batch) as f64 / elapsed,
        batch,
        flop_per_picture: flop_per_picture(&info),
        peak_flops: on_cpu.then(|| peak::peak_flops(threads)),
        on_cpu,
    })
}

/// Of a vision transformer whose hidden layers are four times as wide as its stream: patches, projections of q, k, v and their sum, attention,
/// hidden layers, final projection.
fn flop_per_picture(info: &encode_clip::ModelInfo) -> f64 {
    let patches = (info.image_size / info.patch_size).pow(2) as f64;
    let (tokens, d) = (patches + 1.0, info.hidden_size as f64);
    let embedding = patches * 3.0 * (info.patch_size as f64).powi(2) * d;
    let layer = tokens * 12.0 * d * d + 2.0 * tokens * tokens * d;
    2.0 * (embedding + info.layers as f64 * layer + d * info.projection_dim as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_through_vit_b_32_takes_8_82_gflop() {
        let info = encode_clip::ModelInfo {
            name: String::new(),
            random_weights: true,
            projection_dim: 512,
            image_size: 224,
            patch_size: 32,
            hidden_size: 768,
            layers: 12,
            heads: 12,
            parameters: 0,
        };
        assert!((flop_per_picture(&info) / 1e9 - 8.82).abs() < 0.01);
    }
}
