//! Against the ffmpeg command itself: every kind of file that it can write, and real ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use contract::{Classify, Sound};

use crate::sound::{hear, sound};
use crate::{MediaError, MediaFile};

/// Two decoders of one lossy stream differ in rounding only.
const LOSSY: f32 = 1e-4;

/// What the ffmpeg command makes of a file: its sound, or nothing. AU is raw f32 behind a header with rate and channels.
fn ffmpeg(path: &Path) -> Option<Sound> {
    let out = Command::new("ffmpeg")
        .args(["-v", "quiet", "-nostdin", "-i"])
        .arg(path)
        .args(["-map_metadata", "-1", "-c:a", "pcm_f32be", "-f", "au", "-"])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let word = |at: usize| out.stdout.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let (start, sample_rate, channels) = (word(4)? as usize, word(16)?, word(20)? as usize);
    let values = out.stdout[start..].chunks_exact(4);
    let samples: Vec<f32> = values.map(|b| f32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
    (!samples.is_empty()).then_some(Sound { sample_rate, channels, samples })
}

/// How our outcome compares with the command's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Score {
    /// The same bits.
    Equal,
    /// The same length, values within [`LOSSY`].
    Close,
    /// Neither makes a sample of it.
    BothRefuse,
    /// We decode, the command does not.
    OursOnly,
    /// The command decodes, we do not.
    TheirsOnly,
    /// Another rate, number of channels, length or value.
    Different,
}

fn score(ours: &Result<Sound, MediaError>, theirs: Option<&Sound>) -> Score {
    let (ours, theirs) = match (ours, theirs) {
        (Ok(ours), Some(theirs)) => (ours, theirs),
        (Ok(_), None) => return Score::OursOnly,
        (Err(_), Some(_)) => return Score::TheirsOnly,
        (Err(_), None) => return Score::BothRefuse,
    };
    let shape = |s: &Sound| (s.sample_rate, s.channels, s.samples.len());
    let pairs = || ours.samples.iter().zip(&theirs.samples);
    if shape(ours) != shape(theirs) {
        Score::Different
    } else if pairs().all(|(a, b)| a.to_bits() == b.to_bits()) {
        Score::Equal
    } else if pairs().all(|(a, b)| (a - b).abs() <= LOSSY) {
        Score::Close
    } else {
        Score::Different
    }
}

/// What the command can write, with the score that is expected of reading it again. 1.3 s, so that nothing is a whole number
/// of frames of any codec.
const WRITTEN: &[(&str, &str, Score)] = &[
    ("u8.wav", "-c:a pcm_u8", Score::Equal),
    ("s16.wav", "-c:a pcm_s16le", Score::Equal),
    ("s24.wav", "-c:a pcm_s24le", Score::Equal),
    ("s32.wav", "-c:a pcm_s32le", Score::Equal),
    ("s64.wav", "-c:a pcm_s64le", Score::Equal),
    ("f32.wav", "-c:a pcm_f32le", Score::Equal),
    ("f64.wav", "-c:a pcm_f64le", Score::Equal),
    ("alaw.wav", "-c:a pcm_alaw", Score::Equal),
    ("mulaw.wav", "-c:a pcm_mulaw", Score::Equal),
    ("adpcm.wav", "-c:a adpcm_ms", Score::Equal),
    ("six.wav", "-ac 6", Score::Equal),
    ("mono.wav", "-ac 1 -ar 11025", Score::Equal),
    ("s16.rf64", "-rf64 always -f wav", Score::Equal),
    ("s16.w64", "", Score::Equal),
    ("s16.au", "-c:a pcm_s16be", Score::Equal),
    ("s16.aiff", "", Score::Equal),
    ("s24.aiff", "-c:a pcm_s24be", Score::Equal),
    ("s16.caf", "-c:a pcm_s16le", Score::Equal),
    ("f32.caf", "-c:a pcm_f32be", Score::Equal),
    ("s16.flac", "-sample_fmt s16", Score::Equal),
    ("s24.flac", "-sample_fmt s32", Score::Equal),
    ("flac.ogg", "-c:a flac", Score::Equal),
    ("mp3.mp3", "-c:a libmp3lame -b:a 96k", Score::Equal),
    ("plain.mp3", "-c:a libmp3lame -write_xing 0 -id3v2_version 0", Score::Equal),
    ("mp2.mp2", "", Score::Equal),
    ("vorbis.ogg", "-c:a libvorbis", Score::Close),
    ("opus.ogg", "-c:a libopus", Score::Equal),
    ("opus.webm", "-c:a libopus", Score::Equal),
    ("aac.m4a", "-c:a aac", Score::Equal),
    ("aac.aac", "-c:a aac", Score::Equal),
    ("alac.m4a", "-c:a alac", Score::Equal),
    ("aac.mkv", "-c:a aac", Score::Equal),
    ("ac3.ts", "-c:a ac3", Score::Equal),
    ("cut.mp4", "-c:a aac -ss 0.37", Score::Equal),
    ("wav-in-disguise.mp3", "-c:a pcm_s16le -f wav", Score::Equal),
    ("flac-in-disguise.wav", "-c:a flac -f flac", Score::Equal),
];

/// Has the command write stereo sound to `path`.
fn make(path: &Path, options: &str) {
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-bitexact", "-f", "lavfi", "-i"])
        .arg("aevalsrc=0.5*sin(900*t*t)|0.3*random(0)-0.15:s=48000:d=1.3")
        .args(options.split_whitespace())
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success(), "the command does not write {}", path.display());
}

const HEARD: &str = "MEDIA_TEST_HEARD";

/// Not a test by itself: run by [`nothing_is_kept_of_a_file_that_was_heard`] in a process of its own.
#[test]
fn child_hears_a_file_again_and_again() {
    let Some(path) = std::env::var_os(HEARD) else { return };
    let path = Path::new(&path);
    let heard = |times: usize| {
        for _ in 0..times {
            assert!(!sound(path).unwrap().samples.is_empty());
        }
        resident_kib()
    };
    let before = heard(20);
    let growth = heard(200) - before;
    assert!(growth < 2048, "{growth} KiB more after 200 times");
    eprintln!("{growth} KiB more after 200 times");
}

fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Every packet is given back: a worker hears thousands of files.
#[test]
fn nothing_is_kept_of_a_file_that_was_heard() {
    if !Path::new("/proc/self/status").exists() {
        eprintln!("skipped: nothing_is_kept_of_a_file_that_was_heard: no /proc");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("noise.m4a");
    // 40 KB of packets.
    make(&path, "-c:a aac -b:a 256k");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sound::tests::peer::child_hears_a_file_again_and_again", "--nocapture"])
        .env(HEARD, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("KiB more after 200 times"), "{said}");
}

/// One file behind the other: the same format goes on, another is refused (the command would resample it to the first).
#[test]
fn chained_streams_go_on_or_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let chain = |first: &str, second: &str, extension: &str| {
        let parts = [first, second].map(|options| {
            let path = folder.path().join(format!("part.{extension}"));
            make(&path, &format!("-y {options}"));
            std::fs::read(path).unwrap()
        });
        let path = folder.path().join(format!("chained.{extension}"));
        std::fs::write(&path, parts.concat()).unwrap();
        path
    };
    let path = chain("-c:a libvorbis", "-c:a libvorbis -serial_offset 7", "ogg");
    let (ours, theirs) = (sound(&path), ffmpeg(&path).unwrap());
    assert!(theirs.samples.len() > 2 * 2 * 60_000);
    assert!(score(&ours, Some(&theirs)) <= Score::Close);
    let error = sound(&chain("-c:a aac", "-c:a aac -ar 44100", "aac")).unwrap_err();
    assert_eq!(error.class(), contract::Cause::Unsupported);
    assert!(error.to_string().contains("48000 Hz, 2 channels to 44100 Hz, 2 channels"), "{error}");
}

#[test]
fn reads_what_the_command_writes() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options, expected) in WRITTEN {
        let path = folder.path().join(name);
        make(&path, options);
        let theirs = ffmpeg(&path);
        let ours = sound(&path);
        assert_eq!(score(&ours, theirs.as_ref()), *expected, "{name}: {:?}", ours.map(|s| s.samples.len()));
    }
}

/// Where we leave the command on purpose.
const EXCEPTIONS: &[(&str, Score, &str)] = &[
    ("flac/bear_32bit.flac", Score::OursOnly, "FLAC with 32 bits, which ffmpeg 5.1 does not know yet"),
    ("pcmwaveformat-24bit-4byte-48kHz-stereo.wav", Score::TheirsOnly, "integers that ffmpeg takes for floats"),
    ("waveformatextensible-24bit-4byte-48kHz-stereo.wav", Score::TheirsOnly, "integers that ffmpeg takes for floats"),
    ("test-44100Hz-2ch-32bit-float-be.wav", Score::OursOnly, "RIFX, which ffmpeg does not know"),
    ("test-44100Hz-be-1ch-4bytes.wav", Score::OursOnly, "RIFX, which ffmpeg does not know"),
    ("test-8000Hz-be-3ch-5S-24bit.wav", Score::Different, "RIFX, of which ffmpeg takes the samples for little-endian"),
];

/// Files of which only a part is good, each with what is told of it. All others count as whole.
const PARTIAL: &[(&str, &str)] = &[
    // Bytes of no meaning before the first frame, in which libav hears some.
    (
        "media/audio/androidx_media/mp3/100kB-garbage-prefix.mp3",
        "damaged from 0 s on: 471 of 3998 packets of sound do not decode",
    ),
    (
        "media/audio/scipy_wav/test-44100Hz-le-1ch-4bytes-early-eof.wav",
        "missing from 0.005 s on (byte 1024): the file is cut off, its media end at byte 17720",
    ),
    (
        "media/video/fate_suite/h264/h264_intra_first-small.mp4",
        "damaged from 0.984 s on (byte 1456248): 2 of 43 packets of sound do not decode",
    ),
    (
        "media/video/fate_suite/h264/wwwq_cut.mp4",
        "missing from 3.264 s on (byte 2048000): 529 of 682 packets of sound lie beyond the end of the file",
    ),
    (
        "media/video/fate_suite/hevc/loewe.mp4",
        "damaged from 0.277 s on (byte 75389): 5 of 17 packets of sound do not decode",
    ),
];

fn media() -> Option<PathBuf> {
    let root = std::env::var_os("PIPELINE_TEST_MEDIA").map(PathBuf::from);
    if root.is_none() {
        eprintln!("skipped: the comparison over real files, since PIPELINE_TEST_MEDIA is not set");
    }
    root
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Every file of `media/audio` and `media/video` and one in twenty of ESC-10: equal to the command, or refused by both with
/// a cause, or in the list of exceptions. Prints the score table.
#[test]
fn real_files_sound_as_the_command_hears_them() {
    let Some(root) = media() else { return };
    let mut all = files(&root.join("media/audio"));
    all.extend(files(&root.join("media/video")));
    let esc = files(&root.join("datasets/ESC-10")).into_iter().filter(|p| p.extension().is_some_and(|e| e == "ogg"));
    all.extend(esc.step_by(20));
    assert!(all.len() > 100, "{} is not the folder of test media", root.display());

    let (next, (send, receive)) = (AtomicUsize::new(0), mpsc::channel());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (send, next, all) = (send.clone(), &next, &all);
            scope.spawn(move || {
                while let Some(path) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let heard = MediaFile::read(path).and_then(|file| hear(&file));
                    let damage = heard.as_ref().ok().and_then(|heard| heard.damage.clone());
                    let ours = heard.map(|heard| heard.sound);
                    let score = score(&ours, ffmpeg(path).as_ref());
                    send.send((path, score, ours.err(), damage)).unwrap();
                }
            });
        }
        drop(send);
    });

    let mut table: BTreeMap<Score, usize> = BTreeMap::new();
    let mut causes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut surprises = Vec::new();
    let mut partial = Vec::new();
    for (path, score, error, damage) in receive {
        *table.entry(score).or_default() += 1;
        if let Some(error) = &error {
            *causes.entry(error.class().name()).or_default() += 1;
        }
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        partial.extend(damage.map(|damage| (name.clone(), damage.to_string())));
        let expected = EXCEPTIONS.iter().find(|(tail, ..)| name.ends_with(tail)).map(|(_, score, _)| *score);
        let good = matches!(score, Score::Equal | Score::Close | Score::BothRefuse);
        if expected.map_or(!good, |e| e != score) {
            surprises.push(format!("{name}: {score:?} {error:?}"));
        }
    }
    eprintln!("{} files against the ffmpeg command: {table:?}; refused: {causes:?}", all.len());
    surprises.sort();
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    partial.sort();
    let expected: Vec<_> = PARTIAL.iter().map(|(name, what)| ((*name).to_string(), (*what).to_string())).collect();
    assert_eq!(partial, expected);
}

/// The same signal was written in both orders of bytes; its floats on two machines, whose sines differ in the last bit.
#[test]
fn rifx_equals_its_little_endian_twin() {
    let Some(root) = media() else { return };
    let folder = root.join("media/audio/scipy_wav");
    for (big, little) in [
        ("test-44100Hz-2ch-32bit-float-be.wav", "test-44100Hz-2ch-32bit-float-le.wav"),
        ("test-44100Hz-be-1ch-4bytes.wav", "test-44100Hz-le-1ch-4bytes.wav"),
        ("test-8000Hz-be-3ch-5S-24bit.wav", "test-8000Hz-le-3ch-5S-24bit.wav"),
    ] {
        let (big, little) = (sound(&folder.join(big)).unwrap(), sound(&folder.join(little)).unwrap());
        assert_eq!(
            (big.sample_rate, big.channels, big.samples.len()),
            (little.sample_rate, little.channels, little.samples.len())
        );
        let error = big.samples.iter().zip(&little.samples).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error < 1.2e-7, "off by {error}");
    }
}

/// Damaged copies of real files: no panic, no hang, and what comes out is what the container could hold.
#[test]
fn damage_is_survived() {
    let Some(root) = media() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged");
    let mut state = 1_u32;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize
    };
    for name in [
        "scipy_wav/test-8000Hz-le-2ch-1byteu.wav",
        "scipy_wav/test-44100Hz-2ch-32bit-float-be.wav",
        "scipy_wav/test-48000Hz-2ch-64bit-float-le-wavex.wav",
        "librosa/sir_duke_fast.ogg",
        "androidx_media/flac/bear_uncommon_sample_rate.flac",
        "androidx_media/mp3/bear-id3.mp3",
    ] {
        let whole = std::fs::read(root.join("media/audio").join(name)).unwrap();
        for round in 0..40 {
            let mut bytes = whole.clone();
            // Headers are where the numbers are: every other round damages only them.
            let range = if round % 2 == 0 { bytes.len().min(200) } else { bytes.len() };
            for _ in 0..=random() % 8 {
                bytes[random() % range] = random() as u8;
            }
            if round % 5 == 0 {
                bytes.truncate(random() % whole.len());
            }
            std::fs::write(&path, bytes).unwrap();
            match sound(&path) {
                Ok(sound) => {
                    assert!(sound.channels > 0 && sound.sample_rate > 0 && !sound.samples.is_empty(), "{name}");
                    assert!(sound.samples.len().is_multiple_of(sound.channels), "{name}");
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}
