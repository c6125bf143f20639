//! Taking up a part of the work: some items, some shards, some stages; and what a plan says of it.

use std::path::Path;

use crate::lab::{CLIPS, Lab, PICTURES, id};

fn computed(lab: &Lab, stage: &str, args: &[&str]) -> u64 {
    lab.run(&[&[stage], args].concat()).computed(stage)
}

#[test]
fn parts_of_the_items_add_up_to_the_whole() {
    let whole = Lab::new();
    whole.run(&["log-mel"]);
    let lab = Lab::new();
    let said = lab.pipeline(&["run", "log-mel", "--limit", "1", "--work", "limited"]).ended(0).stderr;
    assert!(said.contains("log-mel         1 item to do, 0 in the store, 5 left out"), "{said}");
    assert_eq!(computed(&lab, "log-mel", &["--limit", "1"]), 1);
    assert_eq!(lab.shards().len(), 0, "no shard is whole yet");
    assert_eq!(computed(&lab, "log-mel", &["--items", "tram-*"]), 3);
    std::fs::write(lab.path("ids"), format!("{}\n{}\n", id("park", 0), id("park", 1))).unwrap();
    assert_eq!(computed(&lab, "log-mel", &["--items", "@ids"]), 1, "the other one is there");
    assert_eq!(computed(&lab, "log-mel", &["--sample", "6"]), 1);
    assert_eq!(lab.shards(), whole.shards());
    let dry = lab.pipeline(&["run", "log-mel", "--dry-run", "--items", "park-*"]).ended(0);
    assert!(dry.stdout.contains("up to date: 6 done"), "{}", dry.stdout);
    let said = lab.pipeline(&["run", "log-mel", "--items", "tramm-tram-lisbon-2-1"]).ended(2);
    assert!(said.stderr.contains(&format!("did you mean `{}`?", id("tram", 2))), "{}", said.stderr);
}

/// What one task of a job array does.
#[test]
fn shares_of_the_shards_add_up_to_the_whole() {
    let whole = Lab::new();
    whole.run(&["log-mel", "encode-clip"]);
    let lab = Lab::new();
    let share = |share: &str| lab.run(&["log-mel", "encode-clip", "--shards", share, "--set", "store.shard_size=2"]);
    assert_eq!(share("2/3").computed("log-mel"), 2);
    assert_eq!(lab.shards().keys().collect::<Vec<_>>(), ["encode-clip/00001-of-00003.h5", "log-mel/00001-of-00003.h5"]);
    assert_eq!((share("1/3").computed("log-mel"), share("3/3").computed("log-mel")), (2, 2));
    assert_eq!(share("1/3").computed("log-mel"), 0);
    assert_eq!(lab.run(&["log-mel", "encode-clip"]).computed("encode-clip"), 0, "another shard size copies");
    assert_eq!(lab.shards(), whole.shards());
    let said = lab.pipeline(&["run", "log-mel", "--shards", "4/3"]).ended(2);
    assert!(said.stderr.contains("write I/N"), "{}", said.stderr);
}

#[test]
fn what_sees_the_whole_data_set_waits_for_it() {
    let lab = Lab::new();
    let said = lab.pipeline(&["run", "zero-shot", "--items", "park-*"]).ended(0);
    assert!(said.stderr.contains("3 values are left out of this run"), "{}", said.stderr);
    assert!(!lab.path("work/zero-shot").exists());
    let said = lab.pipeline(&["run", "all", "--only", "zero-shot"]).ended(2);
    assert!(
        said.stderr.contains("encode-clip is taken for done (--from, --only) and is not: 3 items"),
        "{}",
        said.stderr
    );
    assert_eq!(lab.run(&["all", "--until", "encode-clip"]).computed("encode-clip"), 3);
    assert!(!lab.path("work/log-mel").exists(), "what encode-clip does not read is not run");
    lab.pipeline(&["run", "all", "--only", "zero-shot"]).ended(0);
    assert!(lab.path("work/zero-shot/predictions.csv").exists() && !lab.path("work/linear-probe").exists());
    let said = lab.pipeline(&["run", "all", "--from", "evaluate"]).ended(2);
    assert!(said.stderr.contains("log-mel is taken for done"), "{}", said.stderr);
    let said = lab.pipeline(&["run", "all", "--until", "zero-shoot"]).ended(2);
    assert!(said.stderr.contains("did you mean `zero-shot`?"), "{}", said.stderr);
}

#[test]
fn force_computes_again_what_is_there_and_gets_the_same() {
    let lab = Lab::new();
    lab.run(&["all"]);
    let before = lab.shards();
    let said = lab.run(&["all", "--force=log-mel"]);
    assert_eq!((said.computed("log-mel"), said.computed("encode-clip")), (CLIPS as u64, 0));
    assert_eq!(computed(&lab, "encode-clip", &["--force", "--items", "park-*"]), 3);
    assert_eq!(lab.shards(), before);
    assert_eq!(lab.run(&["all"]).computed("log-mel"), 0);
    let said = lab.pipeline(&["run", "all", "--force=zero-shot", "--dry-run"]).ended(3);
    assert!(said.stdout.contains("asked for again (--force)"), "{}", said.stdout);
    let said = lab.pipeline(&["run", "all", "--force=zero-shot"]).ended(0);
    assert!(!said.stderr.contains("zero-shot       up to date"), "{}", said.stderr);
}

#[test]
fn a_dry_run_forecasts_by_what_ran_here() {
    let lab = Lab::new();
    let said = lab.pipeline(&["run", "log-mel", "--dry-run"]).ended(3);
    assert!(said.stdout.contains("forecast: 6 items; no run of these stages on this machine"), "{}", said.stdout);
    lab.run(&["log-mel"]);
    let said = lab.pipeline(&["run", "log-mel", "--dry-run", "--set", "log-mel.n_mels=40"]).ended(3);
    assert!(said.stdout.contains("forecast: about ") && said.stdout.contains("for 6 items and"), "{}", said.stdout);
    // Others in the same pass take longer: that run says nothing of them.
    let said = lab.pipeline(&["run", "log-mel", "encode-clip", "--dry-run", "--set", "log-mel.n_mels=40"]).ended(3);
    assert!(said.stdout.contains("no run of these stages"), "{}", said.stdout);
}

#[test]
fn runs_and_logs_tell_what_was_done() {
    let lab = Lab::new();
    assert!(lab.pipeline(&["runs"]).ended(0).stdout.contains("nothing was run"));
    std::fs::write(lab.clip("park", 0, "wav"), b"RIFF").unwrap();
    lab.pipeline(&["run", "log-mel"]).ended(4);
    lab.pipeline(&["run", "log-mel", "--set", "log-mel.n_mels=40"]).ended(4);
    let list = lab.pipeline(&["runs"]).ended(0).stdout;
    assert_eq!(list.lines().count(), 3, "{list}");
    let latest = list.lines().nth(1).unwrap();
    assert!(
        latest.contains("done, 6 computed, 1 failed") && latest.ends_with("run log-mel --set log-mel.n_mels=40"),
        "{list}"
    );
    let log = lab.pipeline(&["logs"]).ended(0).stdout;
    assert!(
        log.contains(&format!("failed: log-mel {}: corrupt", id("park", 0))) && log.contains("finished after"),
        "{log}"
    );
    let first = list.lines().nth(2).unwrap().split_whitespace().next().unwrap();
    let events = lab.pipeline(&["logs", first, "--json"]).ended(0).stdout;
    assert!(events.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{events}");
    lab.pipeline(&["logs", "nothing"]).ended(2);
    lab.pipeline(&["run", "log-mel", "--fail-fast", "--set", "log-mel.n_mels=41"]).ended(1);
    assert!(lab.pipeline(&["runs"]).ended(0).stdout.contains("error (pipeline logs)"));
    assert!(lab.pipeline(&["logs"]).ended(0).stdout.contains("error: stopped: 1 item failed"));
}

#[test]
fn the_graph_is_drawn_three_ways() {
    let lab = Lab::new();
    lab.run(&["log-mel"]);
    let text = lab.pipeline(&["graph"]).ended(0).stdout;
    assert!(text.contains("✓ log-mel") && text.contains("• encode-clip"), "{text}");
    let dot = lab.pipeline(&["graph", "--form", "dot"]).ended(0).stdout;
    assert!(dot.starts_with("digraph") && dot.contains("\"encode-clip\" -> \"zero-shot\";"), "{dot}");
    let mermaid = lab.pipeline(&["graph", "zero-shot", "--form", "mermaid"]).ended(0).stdout;
    assert!(mermaid.contains("encode-clip --> zero-shot") && !mermaid.contains("log-mel"), "{mermaid}");
    std::fs::remove_file(lab.path("pipeline.toml")).unwrap();
    assert!(lab.pipeline(&["graph", "--bare"]).ended(0).stdout.contains("◀ log-mel, encode-clip"));
}

#[test]
fn doctor_says_what_is_wrong_and_what_to_do() {
    let lab = Lab::new();
    let said = lab.pipeline(&["doctor"]).ended(0).stdout;
    for line in [
        "good  media worker",
        "good  HDF5",
        "good  model checksums BLAKE3 ",
        "good  NVIDIA driver",
        "good  rename",
        "good  data set        clips: 6 items, 2 classes",
        "RANDOM",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!lab.path("work").exists(), "it leaves nothing behind");
    let said = lab.pipeline(&["doctor", "--set", "encode-clip.model=./nowhere", "--json"]).ended(1).stdout;
    let checks: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
    let bad: Vec<&serde_json::Value> = checks.iter().filter(|check| check["verdict"] == "bad").collect();
    assert!(bad.len() == 1 && bad[0]["what"] == "model", "{bad:?}");
    let said = lab.pipeline(&["doctor", "--set", "run.device=cuda:7"]).ended(1).stdout;
    assert!(said.contains("BAD   device"), "{said}");
    // A model whose bytes change is another model than the one that the store was made of.
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/clip/fixtures/pair-quick-gelu");
    crate::lab::copy_folder(&fixture, &lab.path("model"));
    lab.run(&["encode-clip", "--set", "encode-clip.model=model"]);
    let checksums = || lab.pipeline(&["doctor", "--set", "encode-clip.model=model"]).ended(0).stdout;
    assert!(checksums().contains("the store's embeddings are of it"), "{}", checksums());
    let config = lab.path("model/config.json");
    std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + "\n").unwrap();
    assert!(checksums().contains("note  model checksums"), "{}", checksums());
    assert!(checksums().contains("are of another model"), "{}", checksums());
}

#[test]
fn a_shell_and_a_manual_know_the_command_line() {
    let lab = Lab::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = lab.pipeline(&["completions", shell]).ended(0).stdout;
        assert!(script.contains("encode") || script.contains("dry-run"), "{shell}");
    }
    let page = lab.pipeline(&["man"]).ended(0).stdout;
    assert!(page.contains(".TH pipeline 1") && page.contains("Exit codes"), "{page}");
    assert!(lab.pipeline(&["man", "run"]).ended(0).stdout.contains("fail\\-fast"));
    lab.pipeline(&["man", "rum"]).ended(2);
}

#[test]
fn a_trace_tells_what_each_clip_took() {
    let lab = Lab::new();
    lab.run(&["log-mel", "encode-clip", "--trace", "trace.json"]);
    let text = std::fs::read_to_string(lab.path("trace.json")).unwrap();
    let whole = format!("{}]", text.trim_end().trim_end_matches(','));
    let events: Vec<serde_json::Value> = serde_json::from_str(&whole).unwrap();
    let spans = |name: &str| events.iter().filter(|event| event["ph"] == "X" && event["name"] == name).count();
    assert_eq!((spans(&id("park", 0)), spans("encode")), (1, CLIPS), "{text}");
    assert!(spans("wait for the worker") >= CLIPS, "{text}");
}

/// Which side of a queue waits for the other.
#[test]
fn a_trace_tells_how_much_waits_in_each_queue() {
    let lab = Lab::new();
    lab.run(&["zero-shot", "--set", "run.batching=across", "--set", "run.batch_size=4", "--trace", "trace.json"]);
    let text = std::fs::read_to_string(lab.path("trace.json")).unwrap();
    let events: Vec<serde_json::Value> =
        serde_json::from_str(&format!("{}]", text.trim_end().trim_end_matches(','))).unwrap();
    for (queue, bound, at_least) in
        [("pictures waiting for the encoder", 2 * 4, CLIPS), ("values waiting for the writer", 64, CLIPS)]
    {
        let of = |event: &&serde_json::Value| event["ph"] == "C" && event["name"] == queue;
        let curve: Vec<&serde_json::Value> = events.iter().filter(of).collect();
        assert!(curve.len() >= at_least, "{queue}: {text}");
        assert!(curve.iter().all(|event| event["ts"].is_f64()), "{queue}: {text}");
        assert!(
            curve.iter().all(|event| event["args"]["depth"].as_u64().is_some_and(|n| n <= bound)),
            "{queue}: {text}"
        );
    }
    let spans = |name: &str| events.iter().filter(|event| event["ph"] == "X" && event["name"] == name).count();
    assert_eq!((spans("encode"), spans("zero-shot")), ((CLIPS * PICTURES).div_ceil(4), 1), "{text}");
    assert!(events.iter().any(|event| event["ph"] == "M" && event["args"]["name"] == "encoder"), "{text}");
}
