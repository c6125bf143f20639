//! What reads files that others wrote, each as a function of bytes that must not panic, whatever they are. Used by the fuzzers beside this
//! file and, without coverage, by the tests (`tests/it/fuzzing.rs`).

use std::path::{Path, PathBuf};

use clip::{Checkpoint, DeviceChoice, TextConfig, TextEncoder, Tokenizer};
use contract::Picture;
use encode_clip::{Encoder, Preprocess};
use pipeline::config::{Config, Overrides};
use pipeline::exchange::import::{Orientation, Request, import};
use pipeline::exchange::npy::Npy;
use pipeline::store::WorkDir;
use pipeline::store::digests::Digests;
use pipeline::store::index::Index;
use pipeline::worker::incoming::IncomingRows;
use pipeline::worker::protocol::{self, Reply, Settings};
use shard::Shard;
use shard::per_clip::PerClip;

/// A target: its name, which is also that of its folder in `corpus`, and what it does with bytes.
pub(crate) type Target = (&'static str, fn(&mut Desk, &[u8]));

/// Every target.
pub(crate) const TARGETS: [Target; 14] = [
    ("config", config),
    ("manifest", manifest),
    ("table", table),
    ("shard", shard),
    ("clips", clips),
    ("index", index),
    ("digests", digests),
    ("protocol", protocol),
    ("npy", npy),
    ("model", model),
    ("preprocessing", preprocessing),
    ("weights", weights),
    ("weights_index", weights_index),
    ("tokenizer", tokenizer),
];

/// A folder to put files in.
pub(crate) struct Desk {
    folder: PathBuf,
}

impl Desk {
    /// A desk in this folder, which exists.
    pub(crate) fn new(folder: &Path) -> Desk {
        Desk { folder: folder.to_path_buf() }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.join(name);
        let folder = path.parent().expect("a folder");
        std::fs::create_dir_all(folder).expect("the desk can be written");
        std::fs::write(&path, bytes).expect("the desk can be written");
        path
    }
}

/// `pipeline.toml`.
fn config(desk: &mut Desk, bytes: &[u8]) {
    let file = Some(desk.put("pipeline.toml", bytes));
    if let Ok(config) = Config::load(&Overrides { file, ..Overrides::default() }) {
        // Whatever is accepted is also judged.
        let _ = (config.extract_frames.resolve(), config.log_mel.resolve(), config.encode_clip.resolve());
        let _ = (config.audio.resolve(), config.audio_visual.resolve(), config.linear_probe.resolve());
        let _ = (config.zero_shot.resolve(), config.late_fusion.resolve(), config.evaluate.resolve());
    }
}

/// A manifest with its items in it, or with a table that is not fuzzed here.
fn manifest(desk: &mut Desk, bytes: &[u8]) {
    desk.put("items.csv", b"id,video,label\na,a.mp4,park\nb,b.mp4,tram\n");
    let path = desk.put("manifest.toml", bytes);
    let _ = discover::discover(&path, &discover::Params::default());
    let _ = discover::manifest::archives(&path, &|_| None);
}

/// The table of a manifest.
fn table(desk: &mut Desk, bytes: &[u8]) {
    desk.put("items.csv", bytes);
    let path = desk.put("manifest.toml", b"name = \"fuzzed\"\ntable = \"items.csv\"\n");
    let _ = discover::discover(&path, &discover::Params::default());
}

/// A shard, read as a run and `pipeline verify` read it.
fn shard(desk: &mut Desk, bytes: &[u8]) {
    let path = desk.put("shard.h5", bytes);
    if let Ok(shard) = Shard::open(&path) {
        let _ = shard.check_data();
        for i in 0..shard.len() {
            let _ = shard.rows(i);
        }
    }
}

/// HDF5 with one dataset per clip, as others write it.
fn clips(desk: &mut Desk, bytes: &[u8]) {
    let path = desk.put("clips.h5", bytes);
    if let Ok(file) = PerClip::open(&path) {
        for id in file.ids() {
            let _ = file.read(id);
        }
    }
}

/// What is behind a checksum, with the checksum that it should have: a writer with a defect is the way to such bytes.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    [bytes, blake3::hash(bytes).as_bytes()].concat()
}

/// The index of a stage.
fn index(desk: &mut Desk, bytes: &[u8]) {
    let work = WorkDir::new(&desk.folder);
    let place = work.index("log-mel").strip_prefix(&desk.folder).expect("below the desk").display().to_string();
    desk.put(&place, &sealed(bytes));
    if let Ok(index) = Index::open(&work, "log-mel", false) {
        let _ = index.locations();
    }
}

/// The digest cache, of which another process has a part.
fn digests(desk: &mut Desk, bytes: &[u8]) {
    let path = desk.put("digests/digests-1", &sealed(bytes));
    desk.put("digests/digests-2", &sealed(include_bytes!("../corpus/digests/six")));
    let digests = Digests::load(&desk.folder.join("digests"));
    let _ = digests.known(&path);
}

/// What a worker says, as a runner hears it.
fn protocol(_: &mut Desk, bytes: &[u8]) {
    let (mut from, mut bulk) = (bytes, Vec::new());
    let mut rows = IncomingRows::default();
    while let Ok(Some(reply)) = protocol::receive::<Reply>(&mut from, &mut bulk) {
        match reply {
            Reply::Column(head) => rows.begin(head),
            Reply::Piece => {
                rows.take(&bulk);
            }
            Reply::Sound(Ok(len)) => {
                let _ = std::mem::take(&mut rows).finish(len);
            }
            _ => {}
        }
    }
    let mut from = bytes;
    while let Ok(Some(_)) = protocol::receive::<protocol::Request>(&mut from, &mut bulk) {}
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Settings::from_text(text);
    }
}

/// A matrix that others extracted, and the import of it.
fn npy(desk: &mut Desk, bytes: &[u8]) {
    let path = desk.put("values.npy", bytes);
    if let Ok(mut npy) = Npy::open(&path) {
        let rows = npy.rows();
        let _ = (npy.width(), npy.read(0..rows.min(4)), npy.integers());
    }
    let files = [path];
    let ids = desk.put("ids.txt", b"a\nb\n");
    for decl in [&encode_clip::DECL, &log_mel::DECL] {
        let request =
            Request { decl, files: &files, ids: Some(&ids), offsets: None, orientation: Orientation::MelTime };
        let work = WorkDir::new(desk.folder.join("work"));
        // No item of the data set is in it, so that it is read and nothing is written.
        let _ = import(&Config::default(), &[], &work, &request, &|_| ());
    }
}

/// The files of a small checkpoint, as the tests write them into the corpus.
const CHECKPOINT: [(&str, &[u8]); 4] = [
    ("config.json", include_bytes!("../corpus/model/small")),
    ("preprocessor_config.json", include_bytes!("../corpus/preprocessing/small")),
    ("model.safetensors", include_bytes!("../corpus/weights/small")),
    ("tokenizer.json", include_bytes!("../corpus/tokenizer/small")),
];

/// The small checkpoint with other bytes in one of its files, found as a run finds it.
fn checkpoint(desk: &Desk, changed: &str, bytes: &[u8]) -> Option<Checkpoint> {
    for (name, good) in CHECKPOINT {
        desk.put(&format!("checkpoint/{name}"), if name == changed { bytes } else { good });
    }
    Checkpoint::locate(&desk.folder.join("checkpoint").display().to_string()).ok()
}

/// `config.json` of a checkpoint.
fn model(desk: &mut Desk, bytes: &[u8]) {
    if let Some(checkpoint) = checkpoint(desk, "config.json", bytes) {
        let _ = (checkpoint.describe(), checkpoint.describe_text(), checkpoint.check_text());
        load(&checkpoint);
    }
}

/// `preprocessor_config.json`, and pictures prepared as it says.
fn preprocessing(desk: &mut Desk, bytes: &[u8]) {
    let Some(checkpoint) = checkpoint(desk, "preprocessor_config.json", bytes) else { return };
    for order in [encode_clip::Order::Hf, encode_clip::Order::OpenAi] {
        if let Ok(mut preprocess) = Preprocess::new(&checkpoint, order) {
            for (width, height) in [(7, 5), (1, 9)] {
                let picture = Picture { width, height, rgb: vec![99; width * height * 3] };
                let _ = preprocess.crop(&picture);
            }
        }
    }
}

/// The tensors of a checkpoint.
fn weights(desk: &mut Desk, bytes: &[u8]) {
    if let Some(checkpoint) = checkpoint(desk, "model.safetensors", bytes) {
        load(&checkpoint);
    }
}

/// Both towers, as a run loads them.
fn load(checkpoint: &Checkpoint) {
    if let Ok(spec) = encode_clip::Params::default().resolve() {
        let _ = Encoder::load(checkpoint, &spec, DeviceChoice::Cpu, 1);
    }
    let _ = TextEncoder::load(checkpoint, DeviceChoice::Cpu);
}

/// Which files hold the tensors.
fn weights_index(desk: &mut Desk, bytes: &[u8]) {
    for (name, good) in CHECKPOINT {
        let name = if name == "model.safetensors" { "part.safetensors" } else { name };
        desk.put(&format!("in-parts/{name}"), good);
    }
    desk.put("in-parts/model.safetensors.index.json", bytes);
    if let Ok(checkpoint) = Checkpoint::locate(&desk.folder.join("in-parts").display().to_string()) {
        load(&checkpoint);
    }
}

/// `tokenizer.json`, and a prompt through it.
fn tokenizer(desk: &mut Desk, bytes: &[u8]) {
    let path = desk.put("tokenizer.json", bytes);
    let config = std::str::from_utf8(CHECKPOINT[0].1).ok().and_then(|text| TextConfig::parse(text).ok().flatten());
    if let Ok(tokenizer) = Tokenizer::load(&path, &config.expect("the small checkpoint has a text tower")) {
        let _ = (tokenizer.encode("a photo of a tram, 1990"), tokenizer.encode("\u{1f68b}\0<|endoftext|> x"));
    }
}
