//! The kernels of the item stages by themselves, with Criterion: `cargo bench --workspace --bench kernels [-- FILTER]`.
//!
//! Each is the public function of its stage on data of the size that a clip of 10 s has; what peers take for the same is measured by the benches
//! of the crates, and what a whole run reaches by `pipeline bench`.

use std::hint::black_box;
use std::path::Path;

use contract::{Picture, Sound};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use encode_clip::{Checkpoint, DeviceChoice, Encoder, Order, Preprocess, Recipe, Threads};
use extract_frames::{FileSpec, Format};
use log_mel::{LogMel, Params, Preset};

const SECONDS: usize = 10;
/// ViT-B/32's side.
const SIDE: usize = 224;

fn value(i: usize) -> u32 {
    (i as u32).wrapping_mul(2_654_435_761) >> 8
}

fn noise(sample_rate: u32, channels: usize) -> Sound {
    let samples =
        (0..SECONDS * sample_rate as usize * channels).map(|i| value(i) as f32 / 16_777_216.0 - 0.5).collect();
    Sound { sample_rate, channels, samples }
}

/// A slope with a little noise, as compressible as pictures are.
fn picture(width: usize, height: usize) -> Picture {
    let rgb = (0..width * height * 3).map(|i| (i / 3 % width / 8 + i / 3 / width / 8 + value(i) as usize % 5) as u8);
    Picture { width, height, rgb: rgb.collect() }
}

fn log_mel(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log-mel");
    for (name, preset) in
        [("reference", Preset::Reference), ("panns", Preset::Panns), ("efficientat", Preset::EfficientAt)]
    {
        let spec = Params { preset, ..Params::default() }.resolve().expect("a preset");
        let mut stage = LogMel::new(&spec).expect("a spec");
        for (label, sound) in [("32 kHz", noise(32_000, 1)), ("48 kHz stereo", noise(48_000, 2))] {
            group.throughput(Throughput::Elements((sound.samples.len() / sound.channels) as u64));
            group.bench_function(format!("{name}/{label}"), |b| {
                b.iter(|| black_box(stage.compute(&sound).expect("a clip")));
            });
        }
        let frames = 1 + SECONDS * spec.sample_rate as usize / spec.hop_length;
        group.bench_function(format!("{name}/transforms alone"), |b| b.iter(|| stage.transform_only(frames)));
    }
    group.finish();
}

/// Preprocessing as OpenAI's ViT-B/32 wants it, whatever the checkpoint at hand is for.
fn preprocess(checkpoint: &Checkpoint) -> Preprocess {
    let recipe = Recipe::new(checkpoint, Order::OpenAi).expect("a recipe");
    let mut json = serde_json::to_value(recipe).expect("plain data");
    json["side"] = SIDE.into();
    json["config"]["resize"] = serde_json::json!({ "ShortestEdge": SIDE });
    json["config"]["crop"] = serde_json::json!([SIDE, SIDE]);
    Preprocess::of(&serde_json::from_value(json).expect("a recipe")).expect("a recipe that can be followed")
}

fn pictures(criterion: &mut Criterion) {
    let checkpoint = demo();
    let mut stage = preprocess(&checkpoint);
    let mut group = criterion.benchmark_group("pictures");
    for (width, height) in [(1280, 720), (1920, 1080)] {
        let picture = picture(width, height);
        group.throughput(Throughput::Elements((width * height) as u64));
        group.bench_function(format!("resize and crop/{width}x{height}"), |b| {
            b.iter(|| black_box(stage.crop(&picture).expect("a picture").len()));
        });
        let png = FileSpec { format: Format::Png, jpeg_quality: None };
        group.bench_function(format!("png/{width}x{height}"), |b| {
            b.iter(|| black_box(extract_frames::encode_picture(&picture, &png).expect("a picture")));
        });
    }
    group.finish();
}

fn demo() -> Checkpoint {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data-manifests/demo/clip");
    Checkpoint::locate(&folder.display().to_string()).expect("the demo's checkpoint")
}

/// The demo's small network: for its kernels over time. `pipeline bench` measures the network that is used.
fn encoder(criterion: &mut Criterion) {
    let checkpoint = demo();
    let spec = encode_clip::Params::default().resolve().expect("defaults");
    let encoder = Encoder::load(&checkpoint, &spec, DeviceChoice::Cpu, 32).expect("the demo's network");
    let values = 3 * checkpoint.describe().image_size.pow(2);
    let mut group = criterion.benchmark_group("encode-clip");
    for batch in [1, 10, 32] {
        let windows: Vec<u8> = (0..batch * values).map(|i| value(i) as u8).collect();
        group.throughput(Throughput::Elements(batch as u64));
        for (label, threads) in [("one thread", Threads::One), ("all threads", Threads::All)] {
            group.bench_function(format!("demo/{batch}/{label}"), |b| {
                b.iter(|| black_box(encoder.encode(&windows, batch, threads).expect("embeddings")));
            });
        }
    }
    group.finish();
}

criterion_group!(kernels, log_mel, pictures, encoder);
criterion_main!(kernels);
