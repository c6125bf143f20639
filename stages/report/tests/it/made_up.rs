//! A page of made-up systems on made-up clips, with figures that were really computed from them.

use predictions::{Prediction, Predictions, Protocol};
use report::{Curve, Failure, Figures, Page, Point, Sample, Section, choose};

const CLASSES: [&str; 10] = [
    "airport",
    "bus",
    "metro",
    "metro_station",
    "park",
    "public_square",
    "shopping_mall",
    "street_pedestrian",
    "street_traffic",
    "tram",
];
const CITIES: [&str; 4] = ["lisbon", "milan", "prague", "vienna"];
/// Name of a system, how well it knows the truth, how sure it is of itself.
const SYSTEMS: [(&str, f64, f64); 5] = [
    ("zero-shot", 1.6, 1.9),
    ("linear-probe", 2.9, 1.2),
    ("audio", 2.0, 1.0),
    ("audio-visual", 3.4, 1.3),
    ("late-fusion", 3.3, 0.9),
];

/// Numbers of 0 to 1 that look random and are the same everywhere.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / f64::from(1u32 << 31)
    }

    /// About normal, mean 0, variance 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

fn table(system: usize, protocol: Protocol) -> Predictions {
    let (name, skill, sureness) = SYSTEMS[system];
    let mut rows = Vec::new();
    for clip in 0..400usize {
        // The audio system lacks a few clips: they have no sound.
        if name == "audio" && clip % 97 == 13 {
            continue;
        }
        let (place, truth) = (clip % 48, (clip % 48) % CLASSES.len());
        let city = CITIES[place % CITIES.len()];
        let seconds = if protocol == Protocol::PerClip { vec![None] } else { (0..10).map(Some).collect() };
        // What is hard about a clip is hard for all; each system adds its own noise, each second a little more.
        let mut hard = Noise(clip as u64 * 7919 + 1);
        let shared: Vec<f64> = (0..CLASSES.len()).map(|_| hard.normal()).collect();
        let mut own = Noise((clip * SYSTEMS.len() + system) as u64 * 104_729 + 3);
        let own: Vec<f64> = (0..CLASSES.len()).map(|_| own.normal() * 0.8).collect();
        for second in seconds {
            let mut more = Noise((clip as u64 * 31 + u64::from(second.unwrap_or(77))) * 131 + system as u64);
            let scores = (0..CLASSES.len()).map(|class| {
                // The tram sounds and looks like the bus, the metro station like the metro.
                let alike = [(1, 9), (9, 1), (2, 3), (3, 2), (0, 6), (5, 7)].contains(&(truth, class));
                let known = if class == truth { skill } else { f64::from(u8::from(alike)) * 1.3 };
                let jitter = if second.is_some() { more.normal() * 0.7 } else { 0.0 };
                sureness * (known + shared[class] * 0.8 + own[class] + jitter)
            });
            let scores: Vec<f64> = scores.collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
            rows.push(Prediction {
                id: format!("{}-{city}-{}-{clip}", CLASSES[truth], 1000 + place),
                second,
                label: CLASSES[truth].to_owned(),
                group: Some(format!("{city}-{}", 1000 + place)),
                city: Some(city.to_owned()),
                split: if place % 3 == 0 { "test" } else { "train" }.to_owned(),
                probabilities: powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect(),
            });
        }
    }
    Predictions { system: name.to_owned(), protocol, classes: CLASSES.map(str::to_owned).to_vec(), rows }
}

/// Both protocols of all systems.
pub(crate) fn tables() -> Vec<Predictions> {
    let of = |protocol| (0..SYSTEMS.len()).map(move |system| table(system, protocol));
    of(Protocol::PerClip).chain(of(Protocol::PerSecond)).collect()
}

/// The `metrics.json` of `evaluate` for [`tables`].
pub(crate) fn metrics_json() -> Vec<u8> {
    let spec = evaluate::Params::default().resolve().expect("the defaults are right");
    let notes =
        vec!["embeddings come from a checkpoint with RANDOM weights: a test of the machinery, not of CLIP".to_owned()];
    let report = evaluate::evaluate(&tables(), &spec, notes).expect("the tables are right");
    serde_json::to_vec(&report).expect("plain data")
}

fn curve(system: &str, final_accuracy: f64, epochs: usize) -> Curve {
    let mut noise = Noise(epochs as u64);
    let points = (1..=epochs).map(|epoch| {
        let t = epoch as f64 / epochs as f64;
        let learned = 1.0 - (-5.0 * t).exp();
        let warmth = (t / 0.12).min(1.0);
        Point {
            epoch,
            step: epoch as u64 * 31,
            learning_rate: 3e-4 * warmth * 0.8f64.powf((t * 14.0).floor()),
            train_loss: 2.3 - 1.55 * learned + 0.05 * noise.normal(),
            val_loss: Some(2.25 - 1.75 * learned + 0.35 * (t - 0.6).max(0.0) + 0.04 * noise.normal()),
            val_accuracy: Some((0.1 + (final_accuracy - 0.1) * learned + 0.012 * noise.normal()).clamp(0.0, 1.0)),
        }
    });
    let points: Vec<Point> = points.collect();
    let losses = points.iter().enumerate().filter_map(|(at, point)| Some((at, point.val_loss?)));
    let best = losses.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at);
    Curve { system: system.to_owned(), points, best }
}

/// A picture of coloured stripes, as PNG or JPEG.
fn picture(seed: u64, format: image::ImageFormat) -> Vec<u8> {
    let mut noise = Noise(seed);
    let tint = [0; 3].map(|_| 60.0 + 130.0 * noise.next());
    let pixels = image::RgbImage::from_fn(320, 180, |x, y| {
        let wave = ((f64::from(x) / 37.0 + seed as f64).sin() + (f64::from(y) / 23.0).cos()) * 26.0;
        image::Rgb(tint.map(|t| (t + wave + f64::from(y) / 4.0).clamp(0.0, 255.0) as u8))
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    pixels.write_to(&mut bytes, format).expect("written to memory");
    bytes.into_inner()
}

/// The page.
pub(crate) fn page() -> Page {
    let tables = tables();
    let samples = choose(&tables, "test", 12).into_iter().enumerate().map(|(at, id)| {
        let format = if at % 2 == 0 { image::ImageFormat::Jpeg } else { image::ImageFormat::Png };
        let picture = (at != 5).then(|| picture(at as u64 + 1, format));
        Sample::new(&id, picture, &tables).expect("chosen from these tables")
    });
    let failure = |stage: &str, id: &str, cause: &str, message: &str| Failure {
        stage: stage.to_owned(),
        id: id.to_owned(),
        cause: cause.to_owned(),
        message: message.to_owned(),
    };
    let section = |title: &str, entries: &[(&str, &str)]| Section {
        title: title.to_owned(),
        entries: entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    Page {
        title: "Made-up scenes".to_owned(),
        dataset: "made-up scenes".to_owned(),
        figures: Figures::read(&metrics_json()).expect("evaluate wrote it"),
        curves: vec![curve("audio", 0.74, 30), curve("audio-visual", 0.93, 24)],
        samples: samples.collect(),
        failures: vec![
            failure("log-mel", "bus-lisbon-1013-13", "no-stream", "the file has no sound"),
            failure("log-mel", "metro-prague-1014-110", "no-stream", "the file has no sound"),
            failure("encode-clip", "park-vienna-1027-400", "corrupt", "moov atom not found: the file was cut off"),
        ],
        provenance: vec![
            section(
                "Data",
                &[("data set", "made-up scenes"), ("clips", "400"), ("test split", "136 clips of 16 groups")],
            ),
            section("Program", &[("pipeline", "0.1.0"), ("libav", "59.27.100"), ("backend", "CPU, AVX2")]),
            section(
                "Models",
                &[
                    ("encode-clip", "clip-vit-base-patch32, BLAKE3 6f0c1f3a9b7e42d8"),
                    ("audio", "ResNet-18, 11 689 512 parameters, epoch 27 of 30"),
                    ("late-fusion", "weighted: linear-probe 0.71, audio 0.29"),
                ],
            ),
        ],
        config: "[linear-probe]\nc = 0.316\nframe = 5\n\n[late-fusion]\nmethod = \"weighted\"\n".to_owned(),
    }
}
