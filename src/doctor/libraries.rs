//! Decoding and the shards: the native libraries.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::Check;
use crate::config::Config;
use crate::worker::protocol::{Reply, Request};
use crate::worker::{Drain, Limits, MediaWorker, Settings};

/// Codecs of common clips: what a user may meet, by the name of a decoder or of one that stands for it.
const COMMON: [(&str, &[&str]); 9] = [
    ("H.264", &["h264"]),
    ("HEVC", &["hevc"]),
    ("MPEG-4", &["mpeg4"]),
    ("VP9", &["vp9", "libvpx-vp9"]),
    ("AV1", &["libdav1d", "libaom-av1", "av1"]),
    ("AAC", &["aac"]),
    ("MP3", &["mp3float", "mp3"]),
    ("Opus", &["opus", "libopus"]),
    ("FLAC", &["flac"]),
];

/// The worker, its libav and what that decodes.
pub(super) fn decoding(config: &Config) -> Vec<Check> {
    let settings = Settings {
        extract_frames: config.extract_frames.clone(),
        log_mel: None,
        encode_clip: None,
        limits: Limits::of(&config.run),
    };
    let stop = AtomicBool::new(false);
    let drain = Drain::new(&stop, Duration::ZERO);
    let mut worker = match MediaWorker::start(&settings, &drain) {
        Ok(worker) => worker,
        Err(error) => return vec![Check::bad("media worker", error.to_string())],
    };
    let mut checks = vec![Check::good("media worker", format!("starts; libav: {}", media::LIBAV))];
    let names: Vec<String> = COMMON.iter().flat_map(|(_, names)| names.iter().map(ToString::to_string)).collect();
    worker.allow(Duration::from_mins(1));
    let answered = worker.send(&Request::Decoders(names.clone())).and_then(|()| worker.receive(&mut Vec::new()));
    let Ok(Reply::Decoders(there)) = answered else {
        checks.push(Check::bad("codecs", "the media worker does not answer: build both programs together"));
        return checks;
    };
    let has = |name: &str| names.iter().zip(&there).any(|(known, there)| known == name && *there);
    let missing: Vec<&str> =
        COMMON.iter().filter(|(_, names)| !names.iter().any(|name| has(name))).map(|(codec, _)| *codec).collect();
    checks.push(if missing.is_empty() {
        let all: Vec<&str> = COMMON.iter().map(|(codec, _)| *codec).collect();
        Check::good("codecs", all.join(", "))
    } else {
        let message = format!(
            "no decoder for {}: such files will fail as `unsupported`; install a full ffmpeg",
            missing.join(", ")
        );
        Check::note("codecs", message)
    });
    checks
}

/// The HDF5 library.
pub(super) fn shards() -> Check {
    let (major, minor, release) = shard::hdf5_version();
    Check::good("HDF5", format!("{major}.{minor}.{release}, file locking off"))
}
