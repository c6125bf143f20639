//! `pipeline bench`: what it says has the promised shape, and it leaves nothing behind. No time is asserted.

use serde_json::Value;

use crate::lab::{CLIPS, Lab, PICTURES};

fn numbers(step: &Value, names: &[&str]) {
    for name in names {
        assert!(step[name].as_f64().is_some_and(|v| v.is_finite() && v > 0.0), "{name} of {step}");
    }
}

#[test]
fn every_step_has_a_rate_a_limit_and_a_cost() {
    let lab = Lab::new();
    let said = lab.pipeline(&["bench", "--clips", "2", "--json"]).ended(0);
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&json["clips"], &json["items"]), (&2.into(), &CLIPS.into()));
    assert_eq!(json["failed"], Value::Array(Vec::new()));
    let machine = &json["machine"];
    assert!(
        ["processor", "instructions", "build", "version"].iter().all(|name| machine[name].is_string()),
        "{machine}"
    );
    assert!(machine["cores"].as_u64() >= Some(1) && machine["jobs"].as_u64() >= Some(1));
    assert_eq!(json["encoder"]["precision"], "f32");
    assert_eq!(json["encoder"]["batch"], PICTURES);
    numbers(&json["encoder"], &["pictures_per_second", "limit"]);
    let steps = json["steps"].as_array().unwrap();
    let names: Vec<&str> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    let wanted =
        ["read", "hash", "extract-frames", "resize and crop", "encode-clip", "sound", "log-mel", "write shards"];
    assert_eq!(names, wanted);
    for step in steps {
        numbers(step, &["rate", "core_seconds_per_clip"]);
        // What has no limit of its own.
        if step["step"] != "sound" && step["step"] != "hash" {
            numbers(step, &["limit_rate", "share"]);
        }
    }
    for name in ["extract-frames", "encode-clip", "sound", "log-mel"] {
        numbers(&steps[names.iter().position(|n| *n == name).unwrap()], &["real_time"]);
    }
    assert!(names.contains(&json["bound"].as_str().unwrap()));
    numbers(&json, &["expected_seconds"]);
    assert!(!lab.path("work").exists(), "measuring writes nothing");
    let left: Vec<_> = std::fs::read_dir(lab.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".bench")), "{left:?}");
}

#[test]
fn a_person_reads_the_same_and_damaged_clips_are_named() {
    let lab = Lab::new();
    std::fs::write(lab.clip("park", 0, "mp4"), b"no video").unwrap();
    let said = lab.pipeline(&["bench", "--set", "log-mel.preset=panns"]).ended(0);
    for text in ["at a time", "extract-frames", "log-mel", "write shards", "bound by", "would take about", "f32"] {
        assert!(said.stdout.contains(text), "{text}: {}", said.stdout);
    }
    assert!(said.stdout.contains(&format!("{} clips of {CLIPS} measured", CLIPS - 1)), "{}", said.stdout);
    assert!(said.stdout.contains("note: park-"), "{}", said.stdout);
    let help = lab.pipeline(&["bench", "--help"]).ended(0);
    for step in ["read ", "hash ", "extract-frames ", "resize and crop ", "encode-clip ", "log-mel ", "write shards "] {
        assert!(help.stdout.contains(step), "--help does not explain {step}");
    }
}

/// Sound alone: what is not there is not measured.
#[test]
fn what_the_data_set_lacks_is_left_out() {
    let lab = Lab::new();
    for class in std::fs::read_dir(lab.path("clips")).unwrap() {
        for entry in std::fs::read_dir(class.unwrap().path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "mp4") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    let said = lab.pipeline(&["bench", "--json"]).ended(0);
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(json["encoder"], Value::Null);
    let names: Vec<&Value> = json["steps"].as_array().unwrap().iter().map(|step| &step["step"]).collect();
    assert_eq!(names, ["read", "hash", "sound", "log-mel", "write shards"]);
}
