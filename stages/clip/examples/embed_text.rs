//! `embed_text MODEL IDS OUT [DEVICE]`: the text features of token ids, for comparison with other programs.
//!
//! `MODEL` is a folder or a hub name; `IDS` is JSON, `[[49406, …, 49407], …]`, and `OUT` gets `[n, D]`, raw little-endian f32.

use std::error::Error;
use std::time::Instant;
use std::{env, fs};

use clip::{Checkpoint, DeviceChoice, TextTower};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [model, ids, out, rest @ ..] = &arguments[..] else {
        return Err("usage: embed_text MODEL IDS OUT [DEVICE]".into());
    };
    let device: DeviceChoice = rest.first().map_or("auto", String::as_str).parse()?;
    let texts: Vec<Vec<u32>> = serde_json::from_slice(&fs::read(ids)?)?;
    let checkpoint = Checkpoint::locate(model)?;
    let (device, backend) = device.open()?;
    let tower = TextTower::load(&checkpoint, &device)?;
    let start = Instant::now();
    let features = tower.features(&texts)?;
    eprintln!(
        "{} texts in {:.2} s on {backend}; {} parameters",
        texts.len(),
        start.elapsed().as_secs_f64(),
        checkpoint.describe_text()?.parameters
    );
    fs::write(out, features.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?;
    Ok(())
}
