//! What it costs that media are decoded in a process of its own: `cargo bench --bench worker -- FOLDER [ROUNDS]`.
//!
//! Each media file of the folder goes through a worker (request, hash, pictures resized for the encoder, log-mel, all of it over the pipe) and
//! through the same functions in this process, in turn; the medians over the rounds are compared.

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use encode_clip::{Checkpoint, Order, Preprocess, Recipe};
use log_mel::LogMel;
use media::{MediaFile, Video};
use pipeline::worker::child::{WORKER_VARIABLE, path_bytes};
use pipeline::worker::incoming::IncomingRows;
use pipeline::worker::protocol::{Reply, Request, Wanted};
use pipeline::worker::{Drain, Limits, MediaWorker, Settings};

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let folder = PathBuf::from(arguments.next().expect("a folder of media files"));
    let rounds: usize = arguments.next().map_or(7, |rounds| rounds.parse().expect("a number of rounds"));
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "mp4" || end == "wav"))
        .collect();
    files.sort();
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/clip/fixtures/pair-quick-gelu");
    let checkpoint = Checkpoint::locate(checkpoint.to_str().expect("a path in UTF-8")).expect("a checkpoint");
    let settings = Settings {
        extract_frames: extract_frames::Params::default(),
        log_mel: Some(log_mel::Params::default()),
        encode_clip: Some(Recipe::new(&checkpoint, Order::Hf).expect("a recipe")),
        limits: Limits { seconds: 60.0, per_second: 4.0, address_space: 8 << 30 },
    };
    let stop = AtomicBool::new(false);
    let drain = Drain::new(&stop, Duration::ZERO);
    let program = std::env::var_os(WORKER_VARIABLE)
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_pipeline-media")), PathBuf::from);
    let mut worker = MediaWorker::start_program(&program, &settings, &drain).expect("the worker starts");
    let mut here = Here::new(&settings);
    let (mut apart, mut within) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (mut a, mut b) = (Duration::ZERO, Duration::ZERO);
        for file in &files {
            let wanted = Wanted { windows: is_video(file), sound: !is_video(file), files: false };
            let start = Instant::now();
            let through_the_pipe = ask(&mut worker, file, wanted);
            a += start.elapsed();
            let start = Instant::now();
            let directly = here.make(file, wanted);
            b += start.elapsed();
            assert_eq!(through_the_pipe, directly, "{}: as many bytes either way", file.display());
        }
        // The first round warms up.
        if round > 0 {
            apart.push(a.as_secs_f64());
            within.push(b.as_secs_f64());
        }
    }
    let (apart, within) = (median(&mut apart), median(&mut within));
    println!(
        "{} files, median of {rounds} rounds: in a process of its own {apart:.3} s, in this one {within:.3} s, ratio {:.3}",
        files.len(),
        apart / within
    );
}

fn is_video(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "mp4")
}

/// Bytes of values that come of a file.
fn ask(worker: &mut MediaWorker<'_>, file: &Path, wanted: Wanted) -> usize {
    worker.allow(Duration::from_mins(10));
    worker.send(&Request::Open { path: path_bytes(file), hash: true }).expect("it listens");
    worker.send(&Request::Make(wanted)).expect("it listens");
    let (mut bulk, mut bytes, mut rows) = (Vec::new(), 0, IncomingRows::default());
    loop {
        match worker.receive(&mut bulk).expect("it answers") {
            Reply::Picture { .. } => bytes += bulk.len(),
            Reply::Column(head) => rows.begin(head),
            Reply::Piece => {
                assert!(rows.take(&bulk));
                bytes += bulk.len();
            }
            Reply::StartOver => bytes = 0,
            Reply::Pictures(outcome) => {
                outcome.expect("a good file");
                return bytes;
            }
            Reply::Sound(outcome) => {
                let len = outcome.expect("a good file");
                black_box(rows.finish(len).expect("complete"));
                return bytes;
            }
            _ => {}
        }
    }
}

/// The same without a process.
struct Here {
    frames: extract_frames::FrameSpec,
    preprocess: Preprocess,
    log_mel: LogMel,
}

impl Here {
    fn new(settings: &Settings) -> Here {
        let log_mel = settings.log_mel.as_ref().expect("asked for");
        Here {
            frames: settings.extract_frames.resolve().expect("defaults").frames,
            preprocess: Preprocess::of(settings.encode_clip.as_ref().expect("asked for")).expect("a recipe"),
            log_mel: LogMel::new(&log_mel.resolve().expect("defaults")).expect("defaults"),
        }
    }

    fn make(&mut self, path: &Path, wanted: Wanted) -> usize {
        let file = MediaFile::read(path).expect("a good file");
        let mut hasher = blake3::Hasher::new();
        file.hash_into(&mut |piece| {
            hasher.update(piece);
        })
        .expect("a good file");
        black_box(hasher.finalize());
        if wanted.sound {
            let rows = self.log_mel.compute(&media::sound_of(&file).expect("a good file")).expect("sound");
            return rows.columns.iter().map(|column| column.values.len() * 4).sum();
        }
        let mut video = Video::open_file(&file).expect("a good file");
        let picks = extract_frames::select(video.timeline(), &self.frames).expect("pictures");
        let frames: Vec<usize> = picks.iter().map(|pick| pick.frame).collect();
        let mut bytes = 0;
        let outcome = video.decode(&frames, &mut |_, picture| {
            bytes += black_box(self.preprocess.crop(picture).expect("a picture").to_vec()).len();
            ControlFlow::Continue(())
        });
        let _ = outcome.expect("a good file");
        bytes
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
