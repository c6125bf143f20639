//! What the run made of a file, held against what the ffmpeg command makes of it.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use contract::{Sound, Values};
use log_mel::LogMel;
use serde_json::Value;
use shard::Shard;

/// Why there is nothing: class and message.
type Refusal = (String, String);

/// What a run made of one file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Made {
    /// Size and digest of the pixels of each picture.
    pub(crate) pictures: Result<Vec<Shot>, Refusal>,
    /// The log-mel, row by row.
    pub(crate) sound: Result<Vec<f32>, Refusal>,
}

/// Size and digest of the pixels of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shot {
    width: usize,
    height: usize,
    digest: blake3::Hash,
}

/// How a file came out.
pub(crate) enum Verdict {
    /// As the command makes it.
    Equal,
    /// The command cannot be the measure, for a reason that is known and narrow.
    Apart(&'static str),
    /// It failed with a class; `command`: what the command gives all the same.
    Failed { class: String, message: String, command: Option<String> },
    /// It is something else.
    Different(String),
}

/// Reads everything that lies in a work directory.
pub(crate) fn read(work: &Path, failures: &str) -> BTreeMap<String, Made> {
    let failures: Vec<Value> = serde_json::from_str(failures).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_string();
    let failed: BTreeMap<(String, String), Refusal> = failures
        .iter()
        .map(|f| ((text(&f["stage"]), text(&f["id"])), (text(&f["cause"]), text(&f["message"]))))
        .collect();
    let refusal = |stage: &str, id: &str| failed.get(&(stage.to_string(), id.to_string())).cloned();
    let mut made = BTreeMap::new();
    for (id, rows) in rows(&work.join("log-mel")) {
        let sound = match rows {
            Some(rows) => Ok(rows),
            None => Err(refusal("log-mel", &id).expect("what has no rows is listed")),
        };
        made.insert(id, Made { pictures: Ok(Vec::new()), sound });
    }
    for (id, one) in &mut made {
        one.pictures = match refusal("extract-frames", id) {
            Some(refusal) => Err(refusal),
            None => Ok(shots(&work.join("extract-frames"), id)),
        };
    }
    made
}

/// The log-mel of every item of a store, where it has one.
fn rows(folder: &Path) -> Vec<(String, Option<Vec<f32>>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "h5") {
            continue;
        }
        let shard = Shard::open(&path).unwrap();
        for (i, item) in shard.items().iter().enumerate() {
            let rows = item.outcome.is_ok().then(|| values(&shard.rows(i).unwrap()));
            found.push((item.id.clone(), rows));
        }
    }
    found
}

fn values(rows: &contract::Rows) -> Vec<f32> {
    match &rows.column("log_mel").unwrap().values {
        Values::F32(values) => values.clone(),
        other => panic!("{:?}", other.element()),
    }
}

/// The kept pictures of an item.
fn shots(folder: &Path, id: &str) -> Vec<Shot> {
    let mut shots = Vec::new();
    loop {
        let name = extract_frames::picture_name(id, shots.len() as u32 + 1, extract_frames::Format::Png);
        let Ok(bytes) = std::fs::read(folder.join(name)) else { return shots };
        let picture = extract_frames::decode_picture(&bytes).unwrap();
        shots.push(Shot { width: picture.width, height: picture.height, digest: blake3::hash(&picture.rgb) });
    }
}

/// Items whose file is a sound file have no pictures: that is no verdict on the mutant, and neither is it one on the command.
const NO_VIDEO: &str = "the data set names no video file for this item";

pub(crate) fn pictures(path: &Path, made: &Result<Vec<Shot>, Refusal>) -> Verdict {
    match made {
        Err((class, message)) if class == "too-large" || message == NO_VIDEO => failed(class, message, None),
        Err((class, message)) => {
            let command = command_pictures(path).unwrap_or_default();
            failed(class, message, (!command.is_empty()).then(|| format!("{} pictures", command.len())))
        }
        Ok(ours) => match command_pictures(path) {
            Err(why) => Verdict::Different(format!("{} pictures, and the command {why}", ours.len())),
            Ok(theirs) if *ours == theirs => Verdict::Equal,
            Ok(theirs) => {
                let same = ours.iter().zip(&theirs).filter(|(a, b)| a == b).count();
                Verdict::Different(format!("{} pictures of {}, {same} equal", ours.len(), theirs.len()))
            }
        },
    }
}

fn failed(class: &str, message: &str, command: Option<String>) -> Verdict {
    Verdict::Failed { class: class.to_string(), message: message.to_string(), command }
}

/// What the command may take for one file, and give.
const PATIENCE: Duration = Duration::from_mins(1);
const MOST: usize = 400_000_000;

/// Runs the command and gives its standard output to `read`; an error if it had to be ended.
fn command<T>(path: &Path, args: &[&str], read: impl FnOnce(&mut dyn Read) -> T) -> Result<T, String> {
    let mut child = Command::new("ffmpeg")
        // One thread: with several, the bytes of damaged H.264 differ from run to run.
        .args(["-nostdin", "-v", "quiet", "-threads", "1", "-i"])
        .arg(path)
        .args(args)
        .arg("-")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tests need the ffmpeg command (./setup.sh installs it)");
    let stdout = child.stdout.take().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let watch = {
        let done = Arc::clone(&done);
        std::thread::spawn(move || {
            let start = Instant::now();
            while !done.load(Ordering::Relaxed) && start.elapsed() < PATIENCE && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(2));
            }
            let ended = !done.load(Ordering::Relaxed) && start.elapsed() >= PATIENCE;
            // One that is done already is no failure.
            let _ = child.kill();
            child.wait().unwrap();
            ended
        })
    };
    let value = read(&mut BufReader::with_capacity(1 << 20, stdout.take(MOST as u64 + 1)));
    done.store(true, Ordering::Relaxed);
    if watch.join().unwrap() { Err(format!("did not end in {PATIENCE:?}")) } else { Ok(value) }
}

/// The pictures of the command: the RGB of a PNG without the minutes of deflate.
fn command_pictures(path: &Path) -> Result<Vec<Shot>, String> {
    let args = ["-vf", "fps=1", "-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "image2pipe"];
    command(path, &args, |stream| {
        let mut shots = Vec::new();
        while let Some((width, height)) = ppm_header(stream) {
            let mut rgb = vec![0; width * height * 3];
            if stream.read_exact(&mut rgb).is_err() {
                break;
            }
            shots.push(Shot { width, height, digest: blake3::hash(&rgb) });
        }
        shots
    })
}

fn ppm_header(stream: &mut dyn Read) -> Option<(usize, usize)> {
    let mut header = String::new();
    while header.bytes().filter(|b| *b == b'\n').count() < 3 {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        header.push(char::from(byte[0]));
    }
    let mut words = header.split_ascii_whitespace().skip(1).map(|w| w.parse().unwrap());
    Some((words.next()?, words.next()?))
}

/// The sound of the command; `None` if there is none. AU is raw f32 behind a header with rate and channels.
fn command_sound(path: &Path) -> Result<Option<Sound>, String> {
    let args = ["-map_metadata", "-1", "-c:a", "pcm_f32be", "-f", "au"];
    let bytes = command(path, &args, |stream| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    })?;
    let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let (Some(start), Some(sample_rate), Some(channels)) = (word(4), word(16), word(20)) else { return Ok(None) };
    let values = bytes[start as usize..].as_chunks::<4>().0;
    let samples: Vec<f32> = values.iter().map(|b| f32::from_be_bytes(*b)).collect();
    let sound = Sound { sample_rate, channels: channels as usize, samples };
    Ok(Some(sound).filter(|sound| !sound.samples.is_empty()))
}

pub(crate) fn sound(path: &Path, made: &Result<Vec<f32>, Refusal>) -> Verdict {
    match made {
        Err((class, message)) if class == "too-large" => failed(class, message, None),
        Err((class, message)) => {
            let command = command_sound(path).ok().flatten();
            let command = command.filter(|sound| !(message.contains("too few for one frame") && sound.frames() > 0));
            failed(class, message, command.map(|sound| format!("{} samples", sound.frames())))
        }
        // Big-endian WAV: the command opens most of it not at all and takes the rest for little-endian; what is right is tested in `media`.
        Ok(_) if std::fs::read(path).unwrap().starts_with(b"RIFX") => Verdict::Apart("RIFX"),
        // This libav decodes no FLAC of 32 bits; symphonia does.
        Ok(_) if is_wide_flac(&std::fs::read(path).unwrap()) => Verdict::Apart("FLAC of 32 bits"),
        Ok(ours) => {
            let theirs = match command_sound(path) {
                Err(why) => return Verdict::Different(format!("{} values, and the command {why}", ours.len())),
                Ok(None) => return Verdict::Different(format!("{} values, and the command gives none", ours.len())),
                Ok(Some(theirs)) => theirs,
            };
            let mut log_mel = LogMel::new(&log_mel::Params::default().resolve().unwrap()).unwrap();
            let theirs = match log_mel.compute(&theirs) {
                Ok(rows) => values(&rows),
                Err(why) => return Verdict::Different(format!("{} values, and of the command's: {why}", ours.len())),
            };
            compare(ours, &theirs)
        }
    }
}

/// Decoders of one lossy stream (symphonia's and libav's of Vorbis) differ in rounding, which is loudest where the sound is lowest.
fn compare(ours: &[f32], theirs: &[f32]) -> Verdict {
    if ours.len() != theirs.len() {
        return Verdict::Different(format!("{} values of {}", ours.len(), theirs.len()));
    }
    let off = |(a, b): (&f32, &f32)| if a.max(*b) < -60.0 { 0.0 } else { (a - b).abs() };
    let worst = ours.iter().zip(theirs).map(off).fold(0.0, f32::max);
    if worst > 0.05 { Verdict::Different(format!("values are off by up to {worst} dB")) } else { Verdict::Equal }
}

/// Whether a FLAC's first block says 32 bits a sample: 5 bits, less one, behind the rate and the channels.
fn is_wide_flac(bytes: &[u8]) -> bool {
    bytes.starts_with(b"fLaC") && bytes.len() > 21 && (bytes[20] & 1) == 1 && bytes[21] >> 4 == 15
}
