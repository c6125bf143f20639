//! This program's own contestant: the same questions as to the peers beside it (protocol.py), answered by the crates of the shelf.
//!
//! ```text
//! contestant decode                                       {"clips": [...]}
//! contestant encode  CHECKPOINT  f32|bf16  THREADS        {"batch": n, "repeat": r}, or {"batch": n, "windows": FILE, "save": FILE}
//! contestant log-mel MELS                                 {"sound": FILE, "repeat": r}
//! contestant crop    CHECKPOINT                           {"picture": FILE, "width": w, "height": h, "repeat": r}
//! ```
//!
//! With {"save": FILE} the last output is written there, raw. One thread each but for `encode`.

#![expect(clippy::print_stdout, reason = "answers go to standard output")]

use std::error::Error;
use std::hint::black_box;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use contract::{Picture, Sound, Values};
use encode_clip::{Checkpoint, DeviceChoice, Encoder, Precision, Preprocess, Threads};
use extract_frames::FrameSpec;
use log_mel::LogMel;
use media::{Outcome, Video};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;
/// What was asked for: shape, type and values, where it is to be saved.
type Output = (Vec<usize>, &'static str, Vec<u8>);
type Answer = Box<dyn FnMut(&Value) -> Result<Output>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (facts, mut answer) = match arguments[..] {
        ["decode"] => (json!({}), Box::new(decode) as Answer),
        ["encode", checkpoint, precision, threads] => encode(checkpoint, precision, threads.parse()?)?,
        ["log-mel", mels] => (json!({}), spectrogram(mels.parse()?)?),
        ["crop", checkpoint] => (json!({}), crop(checkpoint)?),
        _ => return Err("see the head of ours.rs".into()),
    };
    println!("{}", json!({ "ready": facts }));
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let start = Instant::now();
        let (shape, dtype, bytes) = answer(&request)?;
        let wall = start.elapsed().as_secs_f64();
        if let Some(path) = request["save"].as_str() {
            std::fs::write(path, bytes)?;
        }
        println!("{}", json!({ "wall": wall, "shape": shape, "dtype": dtype }));
    }
    Ok(())
}

fn text<'a>(request: &'a Value, field: &str) -> Result<&'a str> {
    request[field].as_str().ok_or_else(|| format!("the request lacks {field}").into())
}

fn number(request: &Value, field: &str) -> Result<usize> {
    Ok(request[field].as_u64().ok_or_else(|| format!("the request lacks {field}"))? as usize)
}

/// Pictures at one a second.
fn decode(request: &Value) -> Result<Output> {
    let clips = request["clips"].as_array().ok_or("the request lacks clips")?;
    let saves = request["save"].is_string();
    let mut kept = (Vec::new(), Vec::new());
    for clip in clips {
        let mut video = Video::open(Path::new(clip.as_str().ok_or("a path")?))?;
        // A timeline that did not hold is replaced, once.
        for _ in 0..2 {
            kept = (Vec::new(), Vec::new());
            let picks = extract_frames::select(video.timeline(), &FrameSpec::at(1, 1))?;
            let wanted: Vec<usize> = picks.iter().map(|pick| pick.frame).collect();
            let outcome = video.decode(&wanted, &mut |_, picture| {
                if saves {
                    kept.0 = vec![wanted.len(), picture.height, picture.width, 3];
                    kept.1.extend_from_slice(&picture.rgb);
                }
                black_box(picture);
                ControlFlow::Continue(())
            })?;
            if outcome == Outcome::Done {
                break;
            }
        }
    }
    Ok((kept.0, "|u1", kept.1))
}

/// Embeddings of windows, of random bytes unless they are given.
fn encode(checkpoint: &str, precision: &str, threads: usize) -> Result<(Value, Answer)> {
    let checkpoint = Checkpoint::locate(checkpoint)?;
    let mut spec = encode_clip::Params::default().resolve()?;
    spec.precision = if precision == "bf16" { Precision::Bf16 } else { Precision::F32 };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let encoder = Encoder::load(&checkpoint, &spec, DeviceChoice::Cpu, 32)?;
    // Pictures a second if it did nothing but multiply and add in registers: the best of three tries, which other work only slows down.
    let limit = (0..3).filter_map(|_| encoder.limit(threads)).fold(0.0, f64::max);
    let gflop = encoder.flops_per_picture().map(|flops| flops as f64 / 1e9);
    let facts = json!({ "backend": encoder.backend().to_string(), "limit": limit, "gflop": gflop });
    let threads = if threads == 1 { Threads::One } else { Threads::All };
    let size = 3 * checkpoint.config().image_size.pow(2);
    let mut windows: Vec<u8> = Vec::new();
    let answer = move |request: &Value| {
        let n = number(request, "batch")?;
        if let Some(path) = request["windows"].as_str() {
            windows = std::fs::read(path)?;
        } else if windows.len() != n * size {
            windows = (0..n * size).map(|k| (k.wrapping_mul(2654435761) >> 24) as u8).collect();
        }
        let mut embeddings = Vec::new();
        for _ in 0..request["repeat"].as_u64().unwrap_or(1) {
            embeddings = encoder.encode(&windows, n, threads)?;
        }
        Ok((vec![n, encoder.dimension()], "<f4", floats(&embeddings)))
    };
    Ok((facts, Box::new(answer)))
}

/// Log-mel with the preset `panns`, but for the number of bands.
fn spectrogram(mels: usize) -> Result<Answer> {
    let params = log_mel::Params { n_mels: Some(mels), ..toml::from_str("preset = \"panns\"")? };
    let mut log_mel = LogMel::new(&params.resolve()?)?;
    let mut sound: Option<(String, Sound)> = None;
    Ok(Box::new(move |request| {
        let path = text(request, "sound")?;
        if sound.as_ref().is_none_or(|(name, _)| name != path) {
            let bytes = std::fs::read(path)?;
            let samples = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))).collect();
            sound = Some((path.to_string(), Sound { sample_rate: 32_000, channels: 1, samples }));
        }
        let (_, sound) = sound.as_ref().expect("read above");
        let mut rows = log_mel.compute(sound)?;
        for _ in 1..number(request, "repeat")? {
            rows = black_box(log_mel.compute(sound)?);
        }
        let Values::F32(values) = &rows.columns[0].values else { return Err("f32 is the default".into()) };
        Ok((vec![rows.len, mels], "<f4", floats(values)))
    }))
}

/// Resize and crop.
fn crop(checkpoint: &str) -> Result<Answer> {
    let checkpoint = Checkpoint::locate(checkpoint)?;
    let spec = encode_clip::Params::default().resolve()?;
    let mut preprocess = Preprocess::new(&checkpoint, spec.preprocessing)?;
    let mut picture: Option<(String, Picture)> = None;
    Ok(Box::new(move |request| {
        let path = text(request, "picture")?;
        if picture.as_ref().is_none_or(|(name, _)| name != path) {
            let (width, height) = (number(request, "width")?, number(request, "height")?);
            picture = Some((path.to_string(), Picture { width, height, rgb: std::fs::read(path)? }));
        }
        let (_, picture) = picture.as_ref().expect("read above");
        for _ in 0..number(request, "repeat")? {
            black_box(preprocess.crop(picture)?);
        }
        let side = preprocess.side();
        Ok((vec![side, side, 3], "|u1", preprocess.crop(picture)?.to_vec()))
    }))
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
