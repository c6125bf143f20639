//! Files whose beginning is good and whose end is missing or damaged: refused with the place, or kept as the command keeps them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::judge::{self, Verdict};
use super::sources::{Source, generated};
use crate::lab::Lab;

const STAGES: [&str; 3] = ["extract-frames", "log-mel", "encode-clip"];

/// What is done to a file of three seconds.
enum Spoil {
    Nothing,
    /// Only this share of it is left.
    Cut(f64),
    /// This range of shares is zeroed.
    Zero(f64, f64),
}

/// Name of the source, what is done to it, and from which second on pictures and sound are spoilt, at least and at most.
type Case = (&'static str, Spoil, Option<(f64, f64)>, Option<(f64, f64)>);

const CASES: [Case; 17] = [
    ("h264-aac_mp4", Spoil::Nothing, None, None),
    ("fragments_mp4", Spoil::Nothing, None, None),
    ("mpeg4-mp3_avi", Spoil::Nothing, None, None),
    ("h264-flac_mkv", Spoil::Nothing, None, None),
    ("vorbis_ogg", Spoil::Nothing, None, None),
    ("h264-aac_mp4", Spoil::Cut(0.7), Some((0.5, 2.8)), Some((0.5, 2.8))),
    ("fragments_mp4", Spoil::Cut(0.7), Some((0.5, 2.8)), Some((0.5, 2.8))),
    ("mpeg4-mp3_avi", Spoil::Cut(0.7), Some((0.5, 2.8)), Some((0.5, 2.8))),
    ("h264-flac_mkv", Spoil::Cut(0.7), Some((0.5, 2.8)), Some((0.5, 2.8))),
    ("vp9-opus_webm", Spoil::Cut(0.7), Some((0.5, 2.8)), Some((0.5, 2.8))),
    ("s16_wav", Spoil::Cut(0.5), None, Some((1.4, 1.6))),
    ("flac_flac", Spoil::Cut(0.5), None, Some((1.0, 2.0))),
    ("vorbis_ogg", Spoil::Cut(0.5), None, Some((0.5, 2.5))),
    ("aac_m4a", Spoil::Cut(0.5), None, Some((1.0, 2.0))),
    ("h264-aac_mp4", Spoil::Zero(0.4, 0.9), Some((0.1, 2.8)), Some((0.1, 2.8))),
    ("hevc-aac_mp4", Spoil::Zero(0.3, 0.7), Some((0.0, 2.8)), Some((0.0, 2.8))),
    ("h264-aac_mp4", Spoil::Zero(0.3, 0.5), Some((0.0, 2.8)), Some((0.0, 2.8))),
];

fn spoilt(source: &Source, how: &Spoil) -> Vec<u8> {
    let mut bytes = source.bytes.clone();
    let at = |share: f64| (source.bytes.len() as f64 * share) as usize;
    match how {
        Spoil::Nothing => {}
        Spoil::Cut(share) => bytes.truncate(at(*share)),
        Spoil::Zero(from, to) => bytes[at(*from)..at(*to)].fill(0),
    }
    bytes
}

/// The second that a message names, e.g. 1.2 of "missing from 1.2 s on (byte 7): …".
fn second(message: &str) -> f64 {
    let words = message.split_once(" from ").and_then(|(_, rest)| rest.split_once(" s on"));
    words.and_then(|(second, _)| second.parse().ok()).unwrap_or_else(|| panic!("no second in {message:?}"))
}

#[test]
fn a_part_of_a_file_is_refused_with_the_place_or_kept_as_the_command_keeps_it() {
    let sources = generated();
    let lab = Lab::new();
    let folder = lab.path("partial");
    std::fs::create_dir(&folder).unwrap();
    let mut files = Vec::new();
    for (i, (name, how, ..)) in CASES.iter().enumerate() {
        let source =
            sources.iter().find(|source| source.name == *name).unwrap_or_else(|| panic!("{name} is no source"));
        let file = format!("{i:02}_{name}.{}", source.extension);
        std::fs::write(folder.join(&file), spoilt(source, how)).unwrap();
        files.push(file);
    }
    let run = |extra: &[&str]| {
        let args = [&["run"], &STAGES[..], &["--json", "--data", "partial"], extra].concat();
        lab.pipeline(&args).ended(4);
        let failures = lab.pipeline(&["failures", "--json", "--data", "partial"]).ended(0).stdout;
        let rows: Vec<Value> = serde_json::from_str(&failures).unwrap();
        let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_string();
        rows.iter()
            .map(|row| ((text(row, "stage"), text(row, "id")), (text(row, "cause"), text(row, "message"))))
            .collect::<BTreeMap<_, _>>()
    };

    let refused = run(&[]);
    for (file, (_, _, pictures, sound)) in files.iter().zip(&CASES) {
        let (id, extension) = file.rsplit_once('.').unwrap();
        let is_video = discover::VIDEO_EXTENSIONS.contains(&extension);
        for (stage, place) in [("extract-frames", pictures), ("encode-clip", pictures), ("log-mel", sound)] {
            let found = refused.get(&(stage.to_string(), id.to_string()));
            if stage != "log-mel" && !is_video {
                assert_eq!(found.unwrap().0, "missing", "{file}");
                continue;
            }
            let Some((from, to)) = place else {
                assert_eq!(found, None, "{stage} of {file}");
                continue;
            };
            let (cause, message) = found.unwrap_or_else(|| panic!("{stage} takes {file}"));
            eprintln!("{stage:<15}{file:<24}{message}");
            assert_eq!(cause, "corrupt", "{file}: {message}");
            assert!((*from..=*to).contains(&second(message)), "{stage} of {file}: {message}");
            let knob = if stage == "log-mel" { "`log-mel.partial" } else { "`extract-frames.partial" };
            assert!(message.contains(knob), "{message}");
        }
    }
    assert!(!refused.contains_key(&("encode-clip".to_string(), "00_h264-aac_mp4".to_string())));

    // The other policy is another value: it is computed, and is what the command gives.
    let kept = run(&["--set", "extract-frames.partial=keep", "--set", "log-mel.partial=keep"]);
    assert!(kept.values().all(|(cause, _)| cause == "missing"), "{kept:?}");
    let failures = lab.pipeline(&["failures", "--json", "--data", "partial"]).ended(0).stdout;
    let made = judge::read(&lab.path("work"), &failures);
    for file in &files {
        let (path, made) = (folder.join(file), &made[file.rsplit_once('.').unwrap().0]);
        for verdict in [judge::pictures(&path, &made.pictures), judge::sound(&path, &made.sound)] {
            let good = matches!(&verdict, Verdict::Equal | Verdict::Failed { command: None, .. });
            assert!(good, "{file} is not what the command makes of it");
        }
    }
}
