//! `embed MODEL PIXELS OUT [DEVICE [PRECISION]]`: the embeddings of prepared pictures, for comparison with other programs.
//!
//! `MODEL` is a folder or a hub name; `PIXELS` holds `[n, 3, S, S]` and `OUT` gets `[n, D]`, raw little-endian f32.

use std::error::Error;
use std::time::Instant;
use std::{env, fs};

use encode_clip::{Checkpoint, DeviceChoice, Encoder, Params, Threads};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [model, pixels, out, rest @ ..] = &arguments[..] else {
        return Err("usage: embed MODEL PIXELS OUT [DEVICE [PRECISION]]".into());
    };
    let device: DeviceChoice = rest.first().map_or("auto", String::as_str).parse()?;
    let precision = serde_json::from_value(rest.get(1).map_or("f32", String::as_str).into())?;
    let checkpoint = Checkpoint::locate(model)?;
    let info = checkpoint.describe();
    let pixels: Vec<f32> = fs::read(pixels)?.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let n = pixels.len() / (3 * info.image_size * info.image_size);
    let spec = Params { precision, ..Params::default() }.resolve()?;
    let encoder = Encoder::load(&checkpoint, &spec, device, n)?;
    let start = Instant::now();
    let embeddings = encoder.encode_pixels(&pixels, n, Threads::All)?;
    eprintln!(
        "{n} pictures in {:.2} s on {}; {} parameters",
        start.elapsed().as_secs_f64(),
        encoder.backend(),
        info.parameters
    );
    fs::write(out, embeddings.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?;
    Ok(())
}
