//! The systems from outside: what they leave, what they say of new clips, and what they refuse.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::lab::{CLASSES, CLIPS, Lab, id, with_networks};

/// The probabilities of a row of a table of predictions, by class.
fn probabilities(lab: &Lab, table: &str, id: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(lab.path("work").join(table)).unwrap();
    let row =
        text.lines().find(|line| line.starts_with(&format!("{id},"))).unwrap_or_else(|| panic!("{id} in\n{text}"));
    let fields: Vec<&str> = row.split(',').collect();
    fields[fields.len() - CLASSES.len()..].iter().map(|p| p.parse().unwrap()).collect()
}

fn lines(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_new_clip_is_judged_as_the_same_clip_was_in_the_data_set() {
    let lab = Lab::new();
    lab.run(&["linear-probe"]);
    let said = lab.pipeline(&["predict", "clips/park/park-lisbon-0-1.mp4", "clips/tram/tram-lisbon-2-1.mp4"]).ended(0);
    let lines = lines(&said.stdout);
    assert_eq!(lines.len(), 2, "{}", said.stdout);
    for (line, (class, location)) in lines.iter().zip([("park", 0), ("tram", 2)]) {
        let expected = probabilities(&lab, "linear-probe/predictions.csv", &id(class, location));
        let found: Vec<f64> = CLASSES.iter().map(|c| line["probabilities"][c].as_f64().unwrap()).collect();
        assert_eq!(found, expected, "{line}");
        assert_eq!(line["system"], "linear-probe");
        let best = if expected[0] >= expected[1] { CLASSES[0] } else { CLASSES[1] };
        assert_eq!(line["predicted"], best);
    }
}

#[test]
fn predict_says_which_clip_failed_and_refuses_other_features() {
    let lab = Lab::new();
    let said = lab.pipeline(&["predict", "clips/park/park-lisbon-0-1.mp4"]).ended(2);
    assert!(said.stderr.contains("pipeline run all"), "{}", said.stderr);
    lab.run(&["linear-probe"]);
    std::fs::write(lab.path("broken.mp4"), b"not a video").unwrap();
    let said = lab.pipeline(&["predict", "broken.mp4", "nowhere.mp4", "clips/park/park-lisbon-0-1.mp4"]).ended(4);
    let lines = lines(&said.stdout);
    let failed: Vec<bool> = lines.iter().map(|line| line["error"].is_string()).collect();
    assert_eq!(failed, [true, true, false], "{}", said.stdout);
    let said = lab.pipeline(&["predict", "clips/park/park-lisbon-0-1.mp4", "--set", "extract-frames.fps=2"]).ended(1);
    assert!(said.stderr.contains("encode-clip.inputs.frames.params.fps"), "{}", said.stderr);
    let said = lab.pipeline(&["predict", "broken.mp4", "--system", "linear-prob"]).ended(2);
    assert!(said.stderr.contains("did you mean `linear-probe`?"), "{}", said.stderr);
}

#[test]
fn every_labelled_clip_is_predicted_and_what_is_left_out_is_listed() {
    let lab = Lab::new();
    std::fs::write(lab.clip("park", 0, "mp4"), b"not a video").unwrap();
    lab.pipeline(&["run", "linear-probe", "--set", "run.max_class_loss=0.34"]).ended(4);
    let read = |name: &str| std::fs::read_to_string(lab.path("work/linear-probe").join(name)).unwrap();
    assert_eq!(read("predictions.csv").lines().count(), CLIPS, "a header and a row for each of the others");
    let left_out = read("left-out.csv");
    assert!(left_out.contains(&id("park", 0)) && left_out.lines().count() == 2, "{left_out}");
    // Seconds are judged outside of the training part.
    let training = read("predictions.csv").lines().filter(|line| line.contains(",train,")).count();
    assert!(read("predictions-1s.csv").lines().all(|line| !line.contains(",train,")), "{training}");
    assert!(read("predictions-1s.csv").lines().count() > 1);
}

#[test]
fn a_class_without_training_clips_is_refused_before_any_clip_is_read() {
    let lab = Lab::new();
    let row = |class: &str, location: usize, split: &str| {
        let stem = format!("{class}/{class}-lisbon-{location}-1");
        format!("{class}-{location},clips/{stem}.mp4,clips/{stem}.wav,{class},{split}\n")
    };
    let table = "id,video,audio,label,split\n".to_string() + &row("park", 0, "train") + &row("tram", 0, "test");
    std::fs::write(lab.path("items.csv"), table).unwrap();
    std::fs::write(lab.path("set.toml"), "name = \"odd\"\ntable = \"items.csv\"\nroot = \".\"\n").unwrap();
    let said = lab.pipeline(&["run", "linear-probe", "--data", "set.toml"]).ended(1);
    assert!(said.stderr.contains("no clip of `tram` is in the split train or val"), "{}", said.stderr);
    assert!(!lab.path("work/encode-clip").exists(), "nothing was computed");
}

const SYSTEMS: [&str; 5] = ["zero-shot", "linear-probe", "audio", "audio-visual", "late-fusion"];

#[test]
fn every_system_ends_in_the_report_and_judges_new_clips_as_it_judged_the_old() {
    let lab = Lab::new();
    lab.run(&with_networks(&["all"]));
    let read = |name: &str| std::fs::read(lab.path("work").join(name)).unwrap();
    let metrics: Value = serde_json::from_slice(&read("report/metrics.json")).unwrap();
    for system in SYSTEMS {
        for protocol in ["10s", "1s"] {
            let figures = &metrics["systems"][system][protocol];
            for figure in ["accuracy", "macro_accuracy", "log_loss", "n"] {
                assert!(figures[figure].is_number(), "{system} {protocol} {figure}: {figures}");
            }
        }
        let submission = String::from_utf8(read(&format!("{system}/submission.tsv"))).unwrap();
        assert!(submission.starts_with("filename_audio_video\tscene_label\tpark\ttram\n"), "{submission}");
    }
    let page = String::from_utf8(read("report/index.html")).unwrap();
    assert!(SYSTEMS.iter().all(|system| page.contains(system)) && page.contains("data:image/jpeg;base64,"));

    // Nothing to do is nothing to do, for networks as well.
    let again = lab.run(&with_networks(&["all"]));
    for line in lines(&again.stdout).iter().filter(|line| line["event"] == "set-stage") {
        assert_eq!(line["reused"], true, "{line}");
    }

    let clip = "clips/park/park-lisbon-0-1.mp4";
    let wav = "clips/park/park-lisbon-0-1.wav";
    let said = lab.pipeline(&with_networks(&["predict", clip, "--system", "audio"])).ended(4);
    assert!(lines(&said.stdout)[0]["error"].is_string(), "the video has no sound of its own: {}", said.stdout);
    let said = lab.pipeline(&with_networks(&["predict", clip, wav, "--system", "all"])).ended(0);
    let systems: Vec<Value> = lines(&said.stdout).into_iter().map(|line| line["system"].clone()).collect();
    assert_eq!(systems.len(), SYSTEMS.len(), "a video and a sound of one name are one clip: {}", said.stdout);
    // It looks at what it was trained to look at, whatever the configuration says by now.
    let mut other_frame = with_networks(&["predict", clip, wav, "--system", "audio-visual"]);
    other_frame.extend(["--set", "audio-visual.frame=1"]);
    let said = lab.pipeline(&other_frame).ended(0);
    let expected = probabilities(&lab, "audio-visual/predictions.csv", &id("park", 0));
    let found = lines(&said.stdout)[0]["probabilities"][CLASSES[0]].as_f64().unwrap();
    assert!((found - expected[0]).abs() < 1e-12, "{found} and {}", expected[0]);
    let said = lab.pipeline(&with_networks(&["predict", wav, "--system", "audio"])).ended(0);
    let expected = probabilities(&lab, "audio/predictions.csv", &id("park", 0));
    for (class, expected) in CLASSES.iter().zip(expected) {
        let found = lines(&said.stdout)[0]["probabilities"][class].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-12, "{class}: {found} and {expected}");
    }
}

#[test]
fn training_that_is_killed_goes_on_and_ends_in_the_same_bytes() {
    let (whole, killed) = (Lab::new(), Lab::new());
    whole.run(&with_networks(&["audio"]));
    let mut arguments = vec!["run"];
    arguments.extend(with_networks(&["audio", "--json"]));
    let mut child = killed.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let trains = |line: &str| line.contains("\"event\":\"training\"") && line.contains("\"phase\":\"train\"");
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(output.any(|line| trains(&line.unwrap())), "it trains");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!killed.path("work/audio/model.safetensors").exists(), "killed in time");
    let said = killed.run(&with_networks(&["audio"]));
    assert!(said.stdout.contains("goes on from a checkpoint"), "{}", said.stdout);
    for product in ["model.safetensors", "history.json", "predictions.csv", "predictions-1s.csv"] {
        let of = |lab: &Lab| blake3::hash(&std::fs::read(lab.path("work/audio").join(product)).unwrap());
        assert_eq!(of(&killed), of(&whole), "{product}");
    }
    assert!(!killed.path("work/.pipeline/v1/checkpoints/audio").exists(), "the checkpoint has served");
}

#[test]
fn weights_and_prompts_that_cannot_be_are_refused_before_any_clip_is_read() {
    let lab = Lab::new();
    std::fs::write(lab.path("weights.pt"), b"no weights").unwrap();
    for (knob, hint) in [
        ("audio.pretrained=weights.pt", "weights.pt"),
        ("audio.pretrained=nowhere.safetensors", "nowhere.safetensors"),
        ("zero-shot.templates=[\"no place for a class\"]", "{}"),
        ("zero-shot.prompts={park=[\"\"]}", "park"),
        ("zero-shot.prompts={parc=[\"a park\"]}", "parc"),
        ("audio-visual.pretrained=", "select_by"),
    ] {
        let mut arguments = vec!["run"];
        arguments.extend(with_networks(&["all", "--set", "audio.select_by=last"]));
        arguments.extend(["--set", knob]);
        if hint == "select_by" {
            arguments.extend(["--set", "audio-visual.select_by=log-loss"]);
        }
        let said = lab.pipeline(&arguments).ended(1);
        assert!(said.stderr.contains(hint) && said.stderr.contains("error: "), "{knob}: {}", said.stderr);
        assert!(!lab.path("work/log-mel").exists(), "{knob}: nothing was computed");
    }
}
