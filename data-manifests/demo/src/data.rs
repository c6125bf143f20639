//! A hundred clips: pictures piped to the `ffmpeg` command, sound written as WAV, a table of what there is.
//!
//! ```text
//! out/items.csv                              id, video, audio, label, group, city, split
//! out/video/airport-lisbon-1000-40000.mp4    H.264 with B-frames, no sound track
//! out/audio/airport-lisbon-1000-40000.wav    48 kHz, 24 bit, stereo; 480,000 samples, give or take one
//! out/rendered.json                          what was written: sizes and digests
//! ```
//!
//! Every file is published by renaming a finished one, and `rendered.json` follows after each clip, so an interrupted run goes on where it was and a finished one has
//! nothing to do. Whole places are in `train` or in `test`. The same seed gives the same samples and, from one build of ffmpeg, the same bytes:
//! each clip is encoded by one thread, clips run side by side.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::scene::picture::Painter;
use crate::scene::{Clip, SECONDS, Scene, sound};
use crate::{publish, temporary};

/// Changes whenever clips of the same seed come out differently; clips of another version are rendered anew.
const VERSION: u32 = 1;

/// Pixels per row of the videos.
pub const WIDTH: usize = 384;
/// Rows of the videos.
pub const HEIGHT: usize = 216;

/// What to render.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where to.
    pub out: PathBuf,
    /// How many clips; spread evenly over the ten classes.
    pub clips: usize,
    /// Another seed gives other places, people and noises.
    pub seed: u64,
    /// Adds an item whose video is cut off in the middle, and one whose video is not there at all.
    pub broken: bool,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Clips rendered now.
    pub rendered: usize,
    /// Clips that were there already.
    pub kept: usize,
}

#[derive(Default, Serialize, Deserialize, PartialEq)]
struct Record {
    recipe: String,
    clips: BTreeMap<String, [Written; 2]>,
}

#[derive(Serialize, Deserialize, PartialEq, Clone)]
struct Written {
    bytes: u64,
    blake3: String,
}

/// The clips of a data set of this size. Two recordings per place where there are enough clips; two places per class at least.
pub fn clips(count: usize) -> Vec<Clip> {
    let places = count.div_ceil(Scene::ALL.len()).div_ceil(2).max(2);
    let clip = |n: usize| {
        let nth = n / Scene::ALL.len();
        Clip { scene: Scene::ALL[n % Scene::ALL.len()], place: nth % places, segment: nth / places }
    };
    let mut clips: Vec<Clip> = (0..count).map(clip).collect();
    clips.sort_unstable();
    clips
}

/// Two places of five are for test.
fn split(clip: &Clip) -> &'static str {
    if clip.place % 3 == 1 { "test" } else { "train" }
}

/// 25 frames per second in some places, the 29.97 of American television in others.
fn frame_rate(clip: &Clip) -> (u32, u32) {
    if clip.place.is_multiple_of(2) { (25, 1) } else { (30_000, 1001) }
}

/// Renders what is missing and writes the table.
pub fn render(request: &Request) -> Result<Outcome> {
    let Request { out, seed, .. } = request;
    ensure!(request.clips > 0, "--clips must be at least 1");
    for folder in ["video", "audio"] {
        let folder = out.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let clips = clips(request.clips);
    let recipe = format!("version {VERSION}, seed {seed}, {WIDTH}x{HEIGHT}");
    let known = read_record(out, &recipe)?;
    let finished: Vec<bool> = clips.par_iter().map(|clip| is_finished(out, clip, &known)).collect();
    let due: Vec<Clip> = clips.iter().zip(&finished).filter(|(_, done)| !**done).map(|(clip, _)| *clip).collect();
    if !due.is_empty() {
        check_ffmpeg()?;
    }
    let record = Mutex::new(known);
    due.par_iter().try_for_each(|clip| -> Result<()> {
        let written = render_clip(out, clip, *seed).with_context(|| format!("clip {}", clip.id()))?;
        let mut record = record.lock().expect("no thread panics with the record in its hands");
        record.clips.insert(clip.id(), written);
        publish(&out.join("rendered.json"), &serde_json::to_vec_pretty(&*record)?)
    })?;
    publish(&out.join("items.csv"), &table(request, &clips)?)?;
    Ok(Outcome { rendered: due.len(), kept: clips.len() - due.len() })
}

fn paths(out: &Path, id: &str) -> [PathBuf; 2] {
    [out.join(format!("video/{id}.mp4")), out.join(format!("audio/{id}.wav"))]
}

/// The record of an earlier run, empty if there is none or its recipe was another.
fn read_record(out: &Path, recipe: &str) -> Result<Record> {
    let file = out.join("rendered.json");
    let fresh = Record { recipe: recipe.to_owned(), ..Record::default() };
    match fs::read(&file) {
        Ok(bytes) => {
            let record: Record = serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged; delete it to render anew", file.display()))?;
            Ok(if record.recipe == recipe { record } else { fresh })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(fresh),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Whether both files hold what the record says; by content, since that takes a fraction of a second for all of them.
fn is_finished(out: &Path, clip: &Clip, record: &Record) -> bool {
    let id = clip.id();
    record.clips.get(&id).is_some_and(|written| {
        paths(out, &id).iter().zip(written).all(|(path, written)| {
            fs::metadata(path).is_ok_and(|found| found.len() == written.bytes)
                && Written::of(path).is_ok_and(|found| found == *written)
        })
    })
}

impl Written {
    fn of(path: &Path) -> Result<Written> {
        let bytes = fs::read(path)?;
        Ok(Written { bytes: bytes.len() as u64, blake3: blake3::hash(&bytes).to_hex().to_string() })
    }
}

fn render_clip(out: &Path, clip: &Clip, seed: u64) -> Result<[Written; 2]> {
    let [video, audio] = paths(out, &clip.id());
    let file = temporary(&video, ".mp4")?;
    encode(clip, seed, file.path())?;
    let pictures = Written::of(file.path())?;
    file.persist(&video)?;
    let file = temporary(&audio, ".wav")?;
    write_wav(file.path(), &sound::render(seed, clip))?;
    let samples = Written::of(file.path())?;
    file.persist(&audio)?;
    Ok([pictures, samples])
}

fn check_ffmpeg() -> Result<()> {
    let encoders = Command::new("ffmpeg")
        .args(["-hide_banner", "-encoders"])
        .stdin(Stdio::null())
        .output()
        .context("cannot run the command `ffmpeg`; install it (Debian: apt install ffmpeg)")?;
    let found = String::from_utf8_lossy(&encoders.stdout).contains("libx264");
    ensure!(found, "this `ffmpeg` has no encoder libx264; install one that has (Debian: apt install ffmpeg)");
    Ok(())
}

/// Frames as raw RGB into the command, H.264 in MP4 out of it.
fn encode(clip: &Clip, seed: u64, file: &Path) -> Result<()> {
    let (rate, scale) = frame_rate(clip);
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"])
        .args(["-video_size", &format!("{WIDTH}x{HEIGHT}"), "-framerate", &format!("{rate}/{scale}"), "-i", "pipe:0"])
        .args(["-vf", "scale=flags=bilinear:out_color_matrix=bt709:out_range=tv,format=yuv420p"])
        .args(["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"])
        .args(["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-crf", "27", "-threads", "1"])
        .args(["-fflags", "+bitexact", "-f", "mp4"])
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run the command `ffmpeg`")?;
    let mut pipe = BufWriter::with_capacity(1 << 20, ffmpeg.stdin.take().expect("stdin is piped"));
    let frames = (SECONDS * rate as f32 / scale as f32).round() as usize;
    let mut painter = Painter::new(seed, clip, WIDTH, HEIGHT);
    let sent = (0..frames).try_for_each(|n| pipe.write_all(painter.paint(n as f32 * scale as f32 / rate as f32)));
    drop(pipe);
    let end = ffmpeg.wait_with_output()?;
    if !end.status.success() {
        bail!("ffmpeg: {}", String::from_utf8_lossy(&end.stderr).trim());
    }
    sent.context("ffmpeg stopped reading")
}

fn write_wav(file: &Path, samples: &[[f32; 2]]) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: sound::RATE,
        bits_per_sample: 24,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(file, spec)?;
    for sample in samples.iter().flatten() {
        wav.write_sample((sample.clamp(-1.0, 1.0) * 8_388_607.0).round() as i32)?;
    }
    wav.finalize()?;
    Ok(())
}

/// The table of items, and the broken files if they are asked for.
fn table(request: &Request, clips: &[Clip]) -> Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["id", "video", "audio", "label", "group", "city", "split"])?;
    for clip in clips {
        let (id, group) = (clip.id(), clip.group());
        let (video, audio) = (format!("video/{id}.mp4"), format!("audio/{id}.wav"));
        table.write_record([&id, &video, &audio, clip.scene.name(), &group, clip.city(), split(clip)])?;
    }
    if request.broken {
        let whole = &clips[0];
        let [video, audio] = [format!("video/{}.mp4", whole.id()), format!("audio/{}.wav", whole.id())];
        let bytes = fs::read(request.out.join(video))?;
        // The index of an MP4 is at its end: half of the file is no video at all.
        publish(&request.out.join("video/broken-truncated.mp4"), &bytes[..bytes.len() / 2])?;
        for id in ["broken-truncated", "broken-missing"] {
            let video = format!("video/{id}.mp4");
            table.write_record([id, &video, &audio, whole.scene.name(), &whole.group(), whole.city(), split(whole)])?;
        }
    }
    Ok(table.into_inner()?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn a_hundred_clips_are_ten_scenes_five_places_and_two_recordings() {
        let clips = clips(100);
        let ids: BTreeSet<String> = clips.iter().map(Clip::id).collect();
        assert_eq!((ids.len(), clips[0].id().as_str()), (100, "airport-lisbon-1000-40000"));
        let mut groups: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for clip in &clips {
            groups.entry(clip.group()).or_default().insert(split(clip));
        }
        assert_eq!(groups.len(), 50);
        assert!(groups.values().all(|splits| splits.len() == 1), "a place is on one side");
        assert_eq!(clips.iter().filter(|clip| split(clip) == "test").count(), 40);
    }

    #[test]
    fn fewer_clips_are_some_of_the_same_with_both_sides_of_each_class() {
        let all: BTreeSet<String> = clips(100).iter().map(Clip::id).collect();
        for count in [20, 40] {
            let some = clips(count);
            assert!(some.iter().all(|clip| all.contains(&clip.id())));
            let sides: BTreeSet<_> = some.iter().map(|clip| (clip.scene, split(clip))).collect();
            assert_eq!(sides.len(), 20);
        }
    }

    #[test]
    fn a_second_run_keeps_what_is_whole_and_renders_the_rest_to_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let request = Request { out: folder.path().to_owned(), clips: 2, seed: 5, broken: true };
        assert_eq!(render(&request).unwrap(), Outcome { rendered: 2, kept: 0 });
        let [video, audio] = paths(folder.path(), &clips(2)[0].id());
        let samples = (fs::metadata(&audio).unwrap().len() - 68) / 6;
        assert!((479_999..=480_001).contains(&samples), "{samples}");
        assert_eq!(render(&request).unwrap(), Outcome { rendered: 0, kept: 2 });

        // Same size, other content; only the record can tell.
        let whole = fs::read(&video).unwrap();
        let mut damaged = whole.clone();
        damaged[5000] ^= 1;
        fs::write(&video, damaged).unwrap();
        assert_eq!(render(&request).unwrap(), Outcome { rendered: 1, kept: 1 });
        assert!(fs::read(&video).unwrap() == whole, "the same bytes again");

        let table = fs::read_to_string(folder.path().join("items.csv")).unwrap();
        assert_eq!(table.lines().count(), 5);
        assert!(
            table
                .contains("\nbroken-truncated,video/broken-truncated.mp4,audio/airport-lisbon-1000-40000.wav,airport,")
        );
        assert!(!folder.path().join("video/broken-missing.mp4").exists());
        let left: Vec<_> = fs::read_dir(folder.path().join("video")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 3, "two clips, a broken one and no temporary file: {left:?}");
    }
}
