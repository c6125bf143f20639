//! Who may depend on whom, and what every crate on the shelf must have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pipeline::registry::STAGES;

/// What the stages share: on the shelf, but no stages.
const SHARED: [&str; 8] = ["clip", "contract", "media", "networks", "predictions", "shard", "training", "transformer"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shelf() -> BTreeMap<String, toml::Table> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("stages")).unwrap() {
        let folder = entry.unwrap().path();
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let name = folder.file_name().unwrap().to_str().unwrap().to_string();
        found.insert(name, toml::from_str(&manifest).unwrap());
    }
    found
}

fn dependencies(manifest: &toml::Table, table: &str) -> BTreeSet<String> {
    manifest.get(table).and_then(|t| t.as_table()).map(|t| t.keys().cloned().collect()).unwrap_or_default()
}

/// Every Rust source file of the product.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders =
        vec![root().join("src"), root().join("stages"), root().join("data-manifests"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn a_stage_depends_on_no_stage_and_not_on_the_runner() {
    let shelf = shelf();
    for (name, manifest) in &shelf {
        for dependency in dependencies(manifest, "dependencies") {
            let ours = shelf.contains_key(&dependency) || dependency == "pipeline";
            assert!(!ours || SHARED.contains(&dependency.as_str()), "{name} depends on {dependency}");
            assert!(!(name == "contract" && ours), "contract depends on nothing of ours, but on {dependency}");
        }
    }
}

#[test]
fn native_libraries_stay_in_their_rooms() {
    let rooms: [(&str, &[&str]); 3] = [
        ("ffmpeg-next", &["media"]),
        ("hdf5-metno", &["shard"]),
        ("candle-core", &["clip", "encode-clip", "networks", "training"]),
    ];
    let mut crates = shelf();
    crates.insert(
        "pipeline".into(),
        toml::from_str(&std::fs::read_to_string(root().join("Cargo.toml")).unwrap()).unwrap(),
    );
    for (library, allowed) in rooms {
        for (name, manifest) in &crates {
            let uses = dependencies(manifest, "dependencies").contains(library);
            assert_eq!(uses, allowed.contains(&name.as_str()), "{name} and {library}");
        }
    }
}

/// The main program is not to load libav: the linker drops what nobody names, so nobody but the worker may name what decodes.
#[test]
fn the_worker_alone_decodes() {
    let constants = ["media::LIBAV", "media::LibavVersions", "media::SYMPHONIA_VERSION"];
    let mut uses = 0;
    for path in sources() {
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        if !shown.starts_with("src/") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code.filter(|line| line.contains("media::")) {
            uses += 1;
            let constant = constants.iter().any(|constant| line.contains(constant));
            assert!(constant || shown.starts_with("src/bin/pipeline-media/"), "{shown}: {line}");
        }
    }
    assert!(uses > 0);
}

#[test]
fn a_pure_stage_is_tested_without_native_libraries() {
    let shelf = shelf();
    let pure = [
        "contract",
        "discover",
        "evaluate",
        "extract-frames",
        "late-fusion",
        "linear-probe",
        "log-mel",
        "predictions",
        "report",
    ];
    for pure in pure {
        for table in ["dependencies", "dev-dependencies"] {
            for heavy in ["media", "shard", "ffmpeg-next", "hdf5-metno", "candle-core"] {
                assert!(!dependencies(&shelf[pure], table).contains(heavy), "{pure} {table}: {heavy}");
            }
        }
    }
}

#[test]
fn every_folder_on_the_shelf_is_a_registered_stage_or_shared() {
    for name in shelf().keys() {
        let registered = STAGES.iter().any(|stage| stage.id == name);
        assert!(registered != SHARED.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn every_crate_takes_versions_and_lints_from_the_root() {
    for (name, manifest) in shelf() {
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{name}");
        for (dependency, value) in manifest.get("dependencies").and_then(|t| t.as_table()).into_iter().flatten() {
            let inherited = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
            assert!(inherited, "{name}: the version of {dependency} belongs in the root Cargo.toml");
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_fits_a_head() {
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        let shown = path.strip_prefix(root()).unwrap().display();
        // The unit tests of a module are named after it; everything else says what it is.
        let unit_tests =
            path.components().skip(1).any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
        assert!(unit_tests || text.starts_with("//!"), "{shown} has no module documentation");
        let lines = text.lines().count();
        assert!(lines <= 600, "{shown} has {lines} lines: is it still one thing?");
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            !["utils", "util", "misc", "helpers", "common", "imp"].contains(&name),
            "{shown}: a name that says nothing"
        );
    }
}

#[test]
fn the_kernels_and_the_key_module_read_no_clock_and_no_environment() {
    for path in sources() {
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        let pure =
            ["log-mel", "extract-frames", "linear-probe"].iter().any(|s| shown.starts_with(&format!("stages/{s}/src")));
        if !(pure || shown == "src/key.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in ["SystemTime", "Instant::now", "std::env", "std::fs", "println!"] {
            let test = shown.ends_with("tests.rs") || shown.contains("/tests/");
            assert!(test || !code.contains(word), "{shown} uses {word}");
        }
    }
}

#[test]
fn pipeline_toml_documents_every_knob() {
    use pipeline::config::Config;
    let text = std::fs::read_to_string(root().join("pipeline.toml")).unwrap();
    let written: toml::Table = toml::from_str(&text).unwrap();
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    for (table, knobs) in &defaults {
        let Some(knobs) = knobs.as_table() else { continue };
        assert!(written.contains_key(table), "pipeline.toml lacks [{table}]");
        for knob in knobs.keys() {
            let named = text.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{knob} =")));
            assert!(named, "pipeline.toml does not name {table}.{knob}");
        }
    }
}

/// The optional knobs of `[log-mel]` stand in `pipeline.toml` as comments: they must be all of them, and say what the preset says.
#[test]
fn the_commented_knobs_of_log_mel_are_the_preset() {
    let text = std::fs::read_to_string(root().join("pipeline.toml")).unwrap();
    let section = text.split("\n[log-mel]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let knobs: String = section
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.contains(" = "))
        .fold(String::new(), |all, line| if line.starts_with("top_db") { all } else { all + line + "\n" });
    let written: log_mel::Params = toml::from_str(&knobs).unwrap();
    let preset = log_mel::Params::default().resolve().unwrap();
    assert_eq!(written.resolve().unwrap(), preset);
    for knob in serde_json::to_value(&preset).unwrap().as_object().unwrap().keys() {
        assert!(section.contains(&format!("# {knob} = ")), "pipeline.toml does not show log-mel.{knob}");
    }
}
