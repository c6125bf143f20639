//! What reads files that others wrote, without coverage: the corpus of `tests/fuzz`, and mutations of it that cost little and are the same in
//! every run. Nothing of it may panic, abort, or take memory that the file does not have. The fuzzers themselves: `tests/fuzz/run.sh`.

#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::mutants::chance::Chance;
use targets::{Desk, TARGETS, Target};

/// Address space beyond what a test process has when it begins. A header that claims more than is there is to be refused before.
const ROOM: u64 = 1 << 30;

/// Mutations of each file of the corpus; reading HDF5 takes a millisecond.
fn rounds(target: &str) -> usize {
    let long = std::env::var_os("PIPELINE_LONG").is_some_and(|value| value != "0" && !value.is_empty());
    let short = if matches!(target, "shard" | "clips") { 250 } else { 600 };
    if long { short * 50 } else { short }
}

/// Only where each test has a process of its own.
fn limit_memory() {
    if std::env::var_os("NEXTEST").is_none() {
        return;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kilobytes: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    let limit = Some(kilobytes * 1024 + ROOM);
    rustix::process::setrlimit(
        rustix::process::Resource::As,
        rustix::process::Rlimit { current: limit, maximum: limit },
    )
    .unwrap();
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Spoils bytes in one to four places.
fn spoil(bytes: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    for _ in 0..=chance.below(3) {
        let at = chance.below(bytes.len());
        let length = chance.below((bytes.len() - at).min(16) + 1);
        match chance.below(7) {
            0 => bytes.truncate(at.max(1)),
            1 => drop(bytes.drain(at..at + length)),
            2 => {
                let from = chance.below(other.len());
                let piece = &other[from..(from + length).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            3 => bytes[at..at + length].fill(*chance.of(&[0, 1, 0x7f, 0x80, 0xff])),
            4 if at + 8 <= bytes.len() => {
                let value = *chance.of(&[u64::MAX, i64::MAX as u64, 1 << 32, u64::from(u32::MAX), 1 << 16, 1000]);
                bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            // A digit for a digit: numbers in text.
            5 => {
                let digits = bytes.iter().enumerate().filter(|(_, b)| b.is_ascii_digit()).map(|(i, _)| i);
                let digits: Vec<usize> = digits.collect();
                if !digits.is_empty() {
                    let at = *chance.of(&digits);
                    bytes.splice(
                        at..=at,
                        chance.of(&[&b"9223372036854775807"[..], b"-1", b"0", b"1e300", b"4294967296"]).iter().copied(),
                    );
                }
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << chance.below(8);
                }
            }
        }
        if bytes.is_empty() {
            bytes.push(chance.word() as u8);
        }
    }
}

fn replay((name, run): Target) {
    limit_memory();
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(folder.path());
    let corpus = corpus(name);
    assert!(!corpus.is_empty());
    let mut chance = Chance::new(5);
    let mut count = 0;
    let last = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzzed-{name}"));
    let mut check = |bytes: &[u8], of: &Path| {
        // An abort leaves no time to say of what.
        std::fs::write(&last, bytes).unwrap();
        count += 1;
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&mut desk, bytes)));
        assert!(outcome.is_ok(), "{name} panics with {}, a mutation of {}", last.display(), of.display());
    };
    for (path, bytes) in &corpus {
        check(bytes, path);
        for _ in 0..rounds(name) {
            let mut spoilt = bytes.clone();
            let other = &corpus[chance.below(corpus.len())].1;
            spoil(&mut spoilt, other, &mut chance);
            check(&spoilt, path);
        }
    }
    std::fs::remove_file(&last).unwrap();
    eprintln!("{name}: {count} inputs");
}

fn target(name: &str) -> Target {
    *TARGETS.iter().find(|(known, _)| *known == name).unwrap()
}

macro_rules! replays {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            replay(target(stringify!($name)));
        }
    )*
        #[test]
        fn every_target_is_replayed() {
            assert_eq!(TARGETS.map(|(name, _)| name), [$(stringify!($name)),*]);
        }
    };
}

replays! {
    config manifest table shard clips index digests protocol npy model preprocessing weights weights_index tokenizer
}

/// Writes the part of the corpus that is made by the program itself: again after a change of a format, with `--run-ignored only`.
#[test]
#[ignore = "writes into the repository"]
fn the_corpus_is_written() {
    use pipeline::worker::protocol::{ColumnHead, Hello, Kind, Reply, Request, Settings, Wanted, send};
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let put = |name: &str, bytes: &[u8]| {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let lab = crate::lab::Lab::new();
    std::fs::write(lab.clip("park", 1, "mp4"), b"no media").unwrap();
    let small = ["--set", "log-mel.n_mels=2", "--set", "log-mel.hop_length=16000", "--set", "log-mel.n_fft=64"];
    lab.pipeline(&[&["run", "log-mel", "extract-frames"][..], &small].concat()).ended(4);
    let unsealed = |path: PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes[..bytes.len() - 32].to_vec()
    };
    put("shard/log-mel", &std::fs::read(lab.path("work/log-mel/00000-of-00002.h5")).unwrap());
    put("shard/extract-frames", &std::fs::read(lab.path("work/extract-frames/00000-of-00002.h5")).unwrap());
    put("index/log-mel", &unsealed(lab.path("work/.pipeline/v1/index/log-mel")));
    put("index/extract-frames", &unsealed(lab.path("work/.pipeline/v1/index/extract-frames")));
    let [segment] = &crate::lab::files_below(&lab.path("work/.pipeline/v1/digests"))[..] else { panic!("one segment") };
    put("digests/six", &unsealed(segment.clone()));
    lab.pipeline(&["export", "log-mel", "--out", "clips.h5"]).ended(0);
    put("clips/log-mel", &std::fs::read(lab.path("clips.h5")).unwrap());
    put("config/whole", &std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipeline.toml")).unwrap());
    put("config/lab", &std::fs::read(lab.path("pipeline.toml")).unwrap());

    let settings = Settings {
        extract_frames: extract_frames::Params::default(),
        log_mel: Some(log_mel::Params::default()),
        encode_clip: None,
        limits: pipeline::worker::Limits { seconds: 60.0, per_second: 4.0, address_space: 0 },
    };
    let mut asked = Vec::new();
    for request in [
        Request::Settings(settings.to_text()),
        Request::Open { path: b"/clips/a.mp4".to_vec(), hash: true },
        Request::Make(Wanted { files: true, windows: true, sound: true }),
    ] {
        send(&mut asked, &request, &[]).unwrap();
    }
    put("protocol/asked", &asked);
    let mut said = Vec::new();
    let pick = extract_frames::Pick { frame: 7, time: 1.0, pts_seconds: 1.1, number: 2 };
    let failure = contract::Failure::new(contract::Cause::Corrupt, "damaged");
    let column = ColumnHead { name: "log_mel".into(), width: Some(2), element: Kind::F32 };
    for (reply, bulk) in [
        (Reply::Hello(Hello::ours()), &b""[..]),
        (Reply::Opened(Ok(Some([7; 32]))), b""),
        (Reply::Picture { pick, width: 3, height: 2, file: 4 }, b"filewindow"),
        (Reply::StartOver, b""),
        (Reply::Pictures(Err(failure)), b""),
        (Reply::Column(column), b""),
        (Reply::Piece, &[1; 16]),
        (Reply::Sound(Ok(2)), b""),
    ] {
        send(&mut said, &reply, &[bulk]).unwrap();
    }
    put("protocol/said", &said);
    put("protocol/settings", settings.to_text().as_bytes());

    let (config, weights) = small_checkpoint();
    put("model/small", config.as_bytes());
    put("model/pictures_only", config.replace("\"clip\"", "\"clip_vision_model\"").as_bytes());
    put("weights/small", &weights);
    let fixture = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/clip/fixtures");
        std::fs::read_to_string(folder.join(name)).unwrap()
    };
    put("preprocessing/small", fixture("pair-quick-gelu/preprocessor_config.json").replace("24", "4").as_bytes());
    put(
        "preprocessing/old",
        br#"{"size": 4, "crop_size": 4, "resample": 1, "feature_extractor_type": "CLIPFeatureExtractor"}"#,
    );
    put("tokenizer/small", fixture("pair-quick-gelu/tokenizer.json").as_bytes());
    put("tokenizer/legacy", fixture("pair-gelu-legacy/tokenizer.json").as_bytes());
    put("weights_index/small", br#"{"metadata": {}, "weight_map": {"logit_scale": "part.safetensors"}}"#);
}

/// `config.json` and `model.safetensors` of a CLIP of a few thousand weights that fits the tokenizer of the fixtures.
fn small_checkpoint() -> (String, Vec<u8>) {
    let stack = r#""hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2"#;
    let config = format!(
        r#"{{"model_type": "clip", "projection_dim": 2, "vision_config": {{{stack}, "image_size": 4, "patch_size": 2}},
            "text_config": {{{stack}, "vocab_size": 159, "max_position_embeddings": 8, "eos_token_id": 1}}}}"#
    );
    let mut shapes = clip::weights::of_image(&clip::VisionConfig::parse(&config).unwrap());
    shapes.extend(clip::weights::of_text(&clip::TextConfig::parse(&config).unwrap().unwrap()));
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in shapes {
        let start = data.len();
        for i in 0..shape.iter().product::<usize>() {
            data.extend((0.01 * (i % 7) as f32).to_le_bytes());
        }
        let info = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] });
        header.insert(name, info);
    }
    let header = serde_json::to_vec(&header).unwrap();
    (config, [&(header.len() as u64).to_le_bytes(), &header[..], &data].concat())
}
