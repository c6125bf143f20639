//! The command and this crate, picture by picture.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use extract_frames::{FrameSpec, Rate, select};
use tempfile::TempDir;

use super::super::Source;
use super::super::kept::Kept;
use crate::{Damage, MediaError, MediaFile, Outcome, Video};

/// Size and digest of one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shot {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) hash: u64,
}

/// FNV-1a over eight bytes at a time: no cryptography is needed to tell two pictures apart.
fn digest(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let step = |h: u64, v: u64| (h ^ v).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
    let h = words.iter().fold(0xcbf2_9ce4_8422_2325, |h, w| step(h, u64::from_le_bytes(*w)));
    rest.iter().fold(h, |h, b| step(h, u64::from(*b)))
}

/// How many threads the command decodes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Threads {
    /// Its default, as users run it.
    Auto,
    /// One. The bytes of *damaged* H.264 depend on the number of threads, and with several they differ from run to run: what a broken
    /// picture is patched up with is whatever lies in another thread's buffer. Then only this is a reference.
    One,
}

/// What the command writes. `image2pipe` has the flags of `image2` that decide the frame rate mode (neither stores timestamps, both run at
/// a constant rate), and PPM holds the same RGB as an 8-bit PNG without the minutes of deflate.
pub(super) fn command(path: &Path, fps: &str, threads: Threads) -> Result<Vec<Shot>, String> {
    let mut child = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "quiet"])
        .args(if threads == Threads::One { &["-threads", "1"][..] } else { &[] })
        .arg("-i")
        .arg(path)
        .args(["-vf", &format!("fps={fps}"), "-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "image2pipe", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let mut stream = std::io::BufReader::with_capacity(1 << 20, child.stdout.take().unwrap());
    let mut shots = Vec::new();
    while let Some((width, height)) = ppm_header(&mut stream) {
        let mut rgb = vec![0; width * height * 3];
        stream.read_exact(&mut rgb).map_err(|e| e.to_string())?;
        shots.push(Shot { width, height, hash: digest(&rgb) });
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    if status.success() { Ok(shots) } else { Err(format!("the command ended with {status}")) }
}

fn ppm_header(stream: &mut impl Read) -> Option<(usize, usize)> {
    let mut header = String::new();
    while header.bytes().filter(|b| *b == b'\n').count() < 3 {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        header.push(char::from(byte[0]));
    }
    let mut words = header.split_ascii_whitespace().skip(1).map(|w| w.parse().unwrap());
    Some((words.next()?, words.next()?))
}

/// What this crate gives.
pub(super) fn ours(path: &Path, fps: &str) -> Result<Vec<Shot>, MediaError> {
    ours_and_damage(path, fps).map(|(shots, _)| shots)
}

/// The same, and whether it is only a part of the file.
pub(super) fn ours_and_damage(path: &Path, fps: &str) -> Result<(Vec<Shot>, Option<Damage>), MediaError> {
    let rate: Rate = fps.parse().unwrap();
    let spec = FrameSpec::at(rate.num, rate.den);
    let mut video = Video::open_for(&MediaFile::read(path)?, spec.period())?;
    for _ in 0..2 {
        let picks = select(video.timeline(), &spec).unwrap();
        let wanted: Vec<usize> = picks.iter().map(|p| p.frame).collect();
        let mut shots = BTreeMap::new();
        let outcome = video.decode(&wanted, &mut |index, p| {
            assert_eq!(p.rgb.len(), p.width * p.height * 3);
            shots.insert(index, Shot { width: p.width, height: p.height, hash: digest(&p.rgb) });
            ControlFlow::Continue(())
        })?;
        if outcome == Outcome::Done {
            decoded_again_they_are_the_same(&mut video, &shots);
            return Ok((wanted.iter().map(|i| shots[i]).collect(), video.damage().cloned()));
        }
    }
    panic!("revised twice");
}

/// Where frames were kept while the stream was looked at: what a second look gives.
fn decoded_again_they_are_the_same(video: &mut Video, shots: &BTreeMap<usize, Shot>) {
    let Source::Decoded { kept, timeline, .. } = &mut video.source else { return };
    let wanted: Vec<usize> = shots.keys().copied().collect();
    assert!(kept.all(&wanted).is_some(), "the frames that are wanted are those that were kept");
    *kept = Kept::every(None, timeline.time_base);
    let outcome = video.decode(&wanted, &mut |index, p| {
        assert_eq!(shots[&index], Shot { width: p.width, height: p.height, hash: digest(&p.rgb) });
        ControlFlow::Continue(())
    });
    assert_eq!(outcome, Ok(Outcome::Done));
}

/// `Ok` with a line for a table, or `Err` with what differs.
pub(super) fn compare(path: &Path, fps: &str, threads: Threads) -> Result<String, String> {
    compare_with(ours(path, fps), command(path, fps, threads))
}

/// The same of what both gave.
pub(super) fn compare_with(
    ours: Result<Vec<Shot>, MediaError>,
    command: Result<Vec<Shot>, String>,
) -> Result<String, String> {
    match (ours, command) {
        (Ok(ours), Ok(command)) => {
            let same = ours.iter().zip(&command).filter(|(a, b)| a == b).count();
            let line = format!("{same} of {} equal", command.len());
            if same == ours.len() && same == command.len() {
                Ok(line)
            } else {
                Err(format!("{line}, {} ours", ours.len()))
            }
        }
        (Err(error), Err(_)) => Ok(format!("both refuse: {error}")),
        // A stream of which nothing decodes: the command says so only in its exit text.
        (Err(error @ (MediaError::Empty { .. } | MediaError::Corrupt { .. })), Ok(command)) if command.is_empty() => {
            Ok(format!("none, and we say: {error}"))
        }
        (Err(error), Ok(command)) => Err(format!("{} of the command, and we say: {error}", command.len())),
        (Ok(ours), Err(error)) => Err(format!("{} ours, and {error}", ours.len())),
    }
}

/// Clips made by the command in a folder of their own.
pub(super) struct Clips {
    dir: TempDir,
}

impl Clips {
    pub(super) fn new() -> Self {
        Clips { dir: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `ffmpeg ARGS NAME` in the folder; arguments are separated by blanks.
    pub(super) fn make(&self, name: &str, args: &str) -> PathBuf {
        self.make_all(args, &[(name, "")]);
        self.path(name)
    }

    /// Makes several files of one input in one run, since starting the command takes longer than making a small clip.
    pub(super) fn make_all(&self, input: &str, outputs: &[(&str, &str)]) {
        let mut command = Command::new("ffmpeg");
        command.current_dir(self.dir.path()).args(["-nostdin", "-v", "error", "-y"]);
        command.args(input.split_ascii_whitespace());
        for (name, options) in outputs {
            command.args(options.split_ascii_whitespace()).arg(name);
        }
        let output = command.output().expect("the ffmpeg command is installed");
        assert!(output.status.success(), "{outputs:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
