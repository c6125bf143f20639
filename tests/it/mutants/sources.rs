//! The files that mutants are made of: small ones of every kind that the ffmpeg command can write, and real ones.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file before it is mutated.
pub(crate) struct Source {
    /// Short, and unique among the sources.
    pub(crate) name: String,
    /// Decides under what the mutants are found in a folder.
    pub(crate) extension: String,
    pub(crate) bytes: Vec<u8>,
}

const X264: &str = "-c:v libx264 -preset veryfast -bf 2 -g 12 -pix_fmt yuv420p";
const X265: &str = "-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=3:keyint=12";

/// Names, and what the command is told; each is three seconds of a moving picture and of sound.
fn written() -> Vec<(&'static str, String)> {
    vec![
        ("h264-aac.mp4", format!("{X264} -c:a aac -movflags +faststart")),
        ("h264-pcm.mov", format!("{X264} -c:a pcm_s16le")),
        ("fragments.mp4", format!("{X264} -c:a aac -movflags +frag_keyframe+empty_moov")),
        ("hevc-aac.mp4", format!("{X265} -c:a aac")),
        ("mpeg4-mp3.avi", "-c:v mpeg4 -bf 2 -c:a libmp3lame".into()),
        ("h264-aac.ts", format!("{X264} -c:a aac")),
        ("h264-flac.mkv", format!("{X264} -c:a flac")),
        ("vp9-opus.webm", "-c:v libvpx-vp9 -b:v 200k -deadline realtime -cpu-used 8 -c:a libopus".into()),
        ("mpeg2-mp2.mpg", "-c:v mpeg2video -bf 2 -c:a mp2".into()),
        ("s16.wav", "-vn -c:a pcm_s16le".into()),
        ("s24.wav", "-vn -c:a pcm_s24le".into()),
        ("f32.wav", "-vn -c:a pcm_f32le".into()),
        ("flac.flac", "-vn".into()),
        ("vorbis.ogg", "-vn -c:a libvorbis".into()),
        ("mp3.mp3", "-vn -c:a libmp3lame -b:a 64k".into()),
        ("aac.m4a", "-vn -c:a aac -movflags +faststart".into()),
    ]
}

/// Writes them all in one run of the command.
pub(crate) fn generated() -> Vec<Source> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("ffmpeg");
    // Without the instructions of this machine's processor, in which floats are rounded otherwise: the same mutants everywhere.
    command.current_dir(folder.path()).args(["-nostdin", "-v", "error", "-y", "-bitexact", "-cpuflags", "0"]);
    command.args(["-f", "lavfi", "-i", "testsrc2=s=96x80:r=10:d=3", "-f", "lavfi", "-i"]);
    command.arg("aevalsrc=0.4*sin(900*t*t)|0.2*random(0)-0.1:s=16000:d=3");
    let written = written();
    for (name, options) in &written {
        command.args(options.split_ascii_whitespace()).args(["-threads", "1"]).arg(name);
    }
    let output = command.output().expect("the tests need the ffmpeg command (./setup.sh installs it)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    written.iter().map(|(name, _)| source(&folder.path().join(name), name)).collect()
}

fn source(path: &Path, name: &str) -> Source {
    let extension = name.rsplit_once('.').unwrap().1.to_string();
    Source { name: name.replace('.', "_"), extension, bytes: std::fs::read(path).unwrap() }
}

/// Every media file of the real set with at most `most` bytes, in order of their names; says what is skipped where there is no set.
pub(crate) fn real(most: u64) -> Vec<Source> {
    let Some(root) = std::env::var_os("PIPELINE_TEST_MEDIA") else {
        eprintln!("skipped: mutants of real files, since PIPELINE_TEST_MEDIA is not set");
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(root).join("media")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let known = |e: &std::ffi::OsStr| {
                let e = e.to_str().unwrap_or_default();
                discover::VIDEO_EXTENSIONS.contains(&e) || discover::AUDIO_EXTENSIONS.contains(&e)
            };
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(known) && path.metadata().unwrap().len() <= most {
                found.push(path);
            }
        }
    }
    found.sort();
    found
        .iter()
        .enumerate()
        .map(|(i, path)| {
            let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
            let name: String = path.file_name().unwrap().to_string_lossy().chars().map(plain).collect();
            source(path, &format!("real{i:03}_{name}"))
        })
        .collect()
}
