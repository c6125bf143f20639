#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use super::*;
use crate::fixture;

fn config(json: &str) -> PreprocessorConfig {
    PreprocessorConfig::parse(PREPROCESSING[1], json).unwrap().unwrap()
}

fn preprocess(side: usize, order: Order) -> Preprocess {
    Preprocess::with_config(config(&format!(r#"{{"size": {side}, "crop_size": {side}}}"#)), side, order).unwrap()
}

#[derive(Deserialize, Debug)]
struct Case {
    width: usize,
    height: usize,
    channels: usize,
    side: usize,
    filter: String,
    order: Order,
}

#[test]
fn equals_pillow_on_odd_sizes() {
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(fixture::path("resize.json")).unwrap()).unwrap();
    let bytes = std::fs::read(fixture::path("resize.bin")).unwrap();
    let mut expected = &bytes[..];
    assert_eq!(cases.len(), 78);
    for case in cases {
        let code = match case.filter.as_str() {
            "lanczos" => 1,
            "bilinear" => 2,
            _ => 3,
        };
        let json = format!(r#"{{"size": {0}, "crop_size": {0}, "resample": {code}}}"#, case.side);
        let mut preprocess = Preprocess::with_config(config(&json), case.side, case.order).unwrap();
        let pixels = fixture::noise(case.width, case.height, case.channels);
        let found = if case.channels == 4 {
            preprocess.crop_rgba(case.width, case.height, &pixels).unwrap()
        } else {
            preprocess.crop(&Picture { width: case.width, height: case.height, rgb: pixels }).unwrap()
        };
        let wanted = expected.split_off(..found.len()).unwrap();
        let differing = found.iter().zip(wanted).filter(|(a, b)| a != b).count();
        assert_eq!(differing, 0, "{case:?}: {differing} of {} bytes differ", found.len());
    }
    assert!(expected.is_empty());
}

#[test]
fn equals_pillow_on_video_sizes() {
    // SHA-256 of what Pillow's resize and crop make of the same synthetic pictures; both orders agree, the margin is even.
    let golden = [
        (1280, 720, "a9d939b7614f93a3f639fb40b40fe410bb663465c37ad9c1d5ddcb77eb4b5f73", [6320298, 6316231, 6346525]),
        (1920, 1080, "5a38433c1a11d0db6275fea69f5dccdcf6fff142ef450460c0817287c9276a00", [6319566, 6317352, 6347039]),
    ];
    for (width, height, digest, sums) in golden {
        for order in [Order::Hf, Order::OpenAi] {
            let mut preprocess = preprocess(224, order);
            let window = preprocess.crop(&fixture::gradient(width, height)).unwrap();
            assert_eq!(channel_sums(window), sums, "{width}x{height}");
            assert_eq!(sha256(window), digest, "{width}x{height}");
        }
    }
}

#[test]
fn equals_pillow_on_real_pictures() {
    let Some(folder) = media() else { return };
    // CLIP.png has transparency, so the orders differ in more than the crop.
    let picture = image::open(folder.join("CLIP.png")).unwrap();
    let rgba = picture.as_rgba8().unwrap();
    let golden = [
        (
            Order::OpenAi,
            "c96d5fbf8273c7bea132e34850cece46b2b4a3f976fe50c1e9855f55495eddce",
            [4584737, 4613185, 4701920],
        ),
        (Order::Hf, "229e87d0ba80c5886a165e0e7f01ec586691024613ed058ed08e3b4125230f45", [4492814, 4520075, 4608548]),
    ];
    for (order, digest, sums) in golden {
        let mut preprocess = preprocess(224, order);
        let window = preprocess.crop_rgba(2162, 762, rgba.as_raw()).unwrap();
        assert_eq!((channel_sums(window), sha256(window).as_str()), (sums, digest), "{order:?}");
    }
}

/// Decoders of JPEG differ by a few levels, so the bytes are only equal if Pillow itself decodes.
#[test]
fn equals_pillow_on_real_photographs() {
    let Some(folder) = media() else { return };
    for name in ["123_456", "208_495", "321_421", "389_535"] {
        let file = folder.join(format!("{name}.jpg"));
        let npy = std::fs::read(folder.join(format!("{name}_center224_u8.npy"))).unwrap();
        let wanted = &npy[npy.len() - 224 * 224 * 3..];
        let mut preprocess = preprocess(224, Order::Hf);
        let mut errors = |width: u32, height: u32, rgb: Vec<u8>| -> Vec<u8> {
            let picture = Picture { width: width as usize, height: height as usize, rgb };
            preprocess.crop(&picture).unwrap().iter().zip(wanted).map(|(a, b)| a.abs_diff(*b)).collect()
        };
        let picture = image::open(&file).unwrap().into_rgb8();
        let (width, height) = picture.dimensions();
        let near = errors(width, height, picture.into_raw());
        let mean = near.iter().map(|v| f64::from(*v)).sum::<f64>() / near.len() as f64;
        assert!(mean < 0.5 && near.iter().all(|v| *v <= 6), "{name}: mean difference {mean}");
        let script = "import sys; from PIL import Image; sys.stdout.buffer.write(Image.open(sys.argv[1]).convert('RGB').tobytes())";
        match Command::new("python3").args(["-c", script]).arg(&file).output() {
            Ok(output) if output.status.success() => {
                let differing = errors(width, height, output.stdout).iter().filter(|v| **v > 0).count();
                assert_eq!(differing, 0, "{name} {width}x{height}");
            }
            _ => eprintln!("skipped: equals_pillow_on_real_photographs, to the byte, {name} (python3 has no Pillow)"),
        }
    }
}

fn media() -> Option<PathBuf> {
    let folder = std::env::var_os("PIPELINE_TEST_MEDIA").map(|root| PathBuf::from(root).join("media/clip"));
    if folder.is_none() {
        eprintln!("skipped: equals_pillow_on_real_* (PIPELINE_TEST_MEDIA is not set)");
    }
    folder
}

fn channel_sums(window: &[u8]) -> [u32; 3] {
    std::array::from_fn(|c| window.iter().skip(c).step_by(3).map(|v| u32::from(*v)).sum())
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    format!("{:x}", sha2::Sha256::digest(bytes))
}

#[test]
fn normalises_to_the_bit() {
    let golden = fixture::floats(&fixture::path("normalised.f32"));
    for (order, golden) in [Order::Hf, Order::OpenAi].into_iter().zip(golden.chunks(3 * 256)) {
        let config = config(r#"{"size": 16, "crop_size": 16}"#);
        let table = Normalize::with_config(&config, order);
        assert!(table.table().as_flattened().iter().zip(golden).all(|(a, b)| a.to_bits() == b.to_bits()), "{order:?}");
    }
}

#[test]
fn the_crop_differs_only_where_the_margin_is_odd() {
    let starts = |order| -> Vec<usize> { (24..33).map(|output| preprocess(24, order).crop_start(output)).collect() };
    assert_eq!(starts(Order::Hf), [0, 0, 1, 1, 2, 2, 3, 3, 4]);
    // Python: [int(round(m / 2.0)) for m in range(9)]
    assert_eq!(starts(Order::OpenAi), [0, 0, 1, 2, 2, 2, 3, 4, 4]);
}

#[test]
fn the_longer_side_is_rounded_down() {
    let output = |width: usize, height: usize| {
        let (h, v) = preprocess(224, Order::Hf).axes(width, height, width * height * 3, 3).unwrap();
        (h.output, v.output)
    };
    assert_eq!(output(1280, 720), (398, 224));
    assert_eq!(output(1920, 1080), (398, 224));
    assert_eq!(output(720, 1280), (224, 398));
    assert_eq!(output(224, 224), (224, 224));
    assert_eq!(output(426, 240), (397, 224)); // 397.6
    assert_eq!(output(2162, 762), (635, 224)); // 635.55
    assert_eq!(output(1, 5000), (224, 1_120_000));
}

#[test]
fn extreme_pictures_cost_little() {
    let mut preprocess = preprocess(224, Order::Hf);
    for (width, height) in [(1, 1), (1, 20_000), (20_000, 1), (2, 3), (223, 225)] {
        let rgb = vec![77; width * height * 3];
        let window = preprocess.crop(&Picture { width, height, rgb }).unwrap();
        assert!(window.iter().all(|v| *v == 77), "{width}x{height}");
        assert!(preprocess.resizer.between_len() <= 224 * 225 * 3, "{width}x{height}");
    }
}

#[test]
fn a_picture_with_missing_bytes_is_an_error() {
    let mut preprocess = preprocess(24, Order::Hf);
    for (width, height, bytes) in [(0, 5, 0), (5, 0, 0), (2, 2, 11), (2, 2, 13), (usize::MAX, 2, 6)] {
        let error = preprocess.crop(&Picture { width, height, rgb: vec![0; bytes] }).unwrap_err();
        assert!(error.to_string().contains(&format!("{width}x{height}")), "{error}");
    }
}

#[test]
fn reads_old_and_new_files() {
    let old = r#"{"crop_size": 224, "do_center_crop": true, "do_normalize": true, "do_resize": true, "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": 224}"#;
    let new = r#"{"crop_size": {"height": 224, "width": 224}, "do_convert_rgb": true, "image_processor_type": "CLIPImageProcessorFast",
        "rescale_factor": 0.00392156862745098, "resample": 3, "size": {"shortest_edge": 224}}"#;
    assert_eq!(config(old), config(new));
    assert_eq!(config("{}"), PreprocessorConfig::openai(224));
    let nested = format!(r#"{{"image_processor": {new}, "processor_class": "CLIPProcessor"}}"#);
    assert_eq!(PreprocessorConfig::parse(PREPROCESSING[0], &nested).unwrap(), Some(config(new)));
    assert_eq!(PreprocessorConfig::parse(PREPROCESSING[0], r#"{"processor_class": "CLIPProcessor"}"#).unwrap(), None);
    let square = config(r#"{"size": {"height": 24, "width": 24}, "do_center_crop": false}"#);
    let mut squeezed = Preprocess::with_config(square, 24, Order::Hf).unwrap();
    assert_eq!(squeezed.crop(&fixture::gradient(90, 30)).unwrap().len(), 24 * 24 * 3);
}

#[test]
fn what_is_not_supported_is_named() {
    let message = |json: &str| match PreprocessorConfig::parse(PREPROCESSING[1], json) {
        Err(e) => e.to_string(),
        Ok(config) => Preprocess::with_config(config.unwrap(), 224, Order::OpenAi).err().unwrap().to_string(),
    };
    assert!(message(r#"{"resample": 0}"#).contains("resample = 0 is not supported"));
    assert!(message(r#"{"do_resize": false}"#).contains("do_resize = false"));
    assert!(message(r#"{"do_pad": true}"#).contains("do_pad"));
    assert!(message(r#"{"do_center_crop": false}"#).contains("do_center_crop = false needs"));
    assert!(message(r#"{"size": {"longest_edge": 3}}"#).contains("shortest_edge"));
    assert!(message(r#"{"size": 200}"#).contains("smaller than the crop"));
    assert!(message(r#"{"crop_size": 200}"#).contains("become 200x200, but image_size in config.json is 224"));
    assert!(message(r#"{"image_std": [0, 1, 1]}"#).contains("image_std above 0"));
    assert!(message(r#"{"image_processor_type": "SiglipImageProcessor"}"#).contains("SiglipImageProcessor"));
    assert!(message(r#"{"rescale_factor": 1.0}"#).contains("rescale_factor"));
    assert!(message("[]").starts_with("preprocessor_config.json: "));
}
