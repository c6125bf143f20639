#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use contract::{Classify, Item};
use tempfile::TempDir;

use super::*;

mod folders;
mod manifests;
mod splits;
mod tau_layout;

fn tree(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        write(folder.path(), file, "");
    }
    folder
}

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn found(source: &Path) -> Dataset {
    discover(source, &Params::default()).unwrap()
}

fn error(source: &Path) -> String {
    discover(source, &Params::default()).unwrap_err().to_string()
}

/// `id video audio label group split`, paths below the root, `.` for absent.
fn lines(data: &Dataset, root: &Path) -> Vec<String> {
    let path = |path: &Option<std::path::PathBuf>| {
        path.as_ref().map_or(".".to_owned(), |path| path.strip_prefix(root).unwrap().display().to_string())
    };
    let text = |text: &Option<String>| text.clone().unwrap_or(".".to_owned());
    let line = |item: &Item| {
        [item.id.clone(), path(&item.video), path(&item.audio), text(&item.label), text(&item.group), text(&item.split)]
            .join(" ")
    };
    data.items.iter().map(line).collect()
}

fn with_table(table: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("m.toml"), "name = 'm'\nroot = '.'\ntable = 't.csv'\n").unwrap();
    fs::write(folder.path().join("t.csv"), table).unwrap();
    folder
}

fn table_error(table: &str) -> String {
    error(&with_table(table).path().join("m.toml"))
}

fn manifest_error(manifest: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("m.toml"), manifest).unwrap();
    error(&folder.path().join("m.toml"))
}

#[test]
fn committed_manifests_are_read() {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data-manifests");
    let Some(media) = std::env::var_os("PIPELINE_TEST_MEDIA") else {
        eprintln!("skipped: committed_manifests_are_read (PIPELINE_TEST_MEDIA is not set)");
        return;
    };
    for (name, files) in [("real-media.toml", 57), ("real-sounds.toml", 74)] {
        let data = found(&manifests.join(name));
        assert_eq!(data.items.len(), files, "{name}");
        for path in data.items.iter().filter_map(Item::sound_source) {
            assert!(path.exists(), "{} below {}", path.display(), media.display());
        }
    }
}

#[test]
fn the_committed_tau_manifest_describes_the_layout() {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data-manifests");
    let root = tree(&[]);
    let header = "filename_audio\tfilename_video\tscene_label";
    let row = "audio/tram-lyon-1-2.wav\tvideo/tram-lyon-1-2.mp4\ttram";
    write(root.path(), "meta.csv", &format!("{header}\n{row}\n"));
    write(root.path(), "evaluation_setup/fold1_train.csv", &format!("{header}\n{row}\n"));
    write(root.path(), "evaluation_setup/fold1_evaluate.csv", &format!("{header}\n"));
    let here = |name: &str| (name == "TAU_2021_DEVELOPMENT").then(|| root.path().display().to_string());
    let draft = manifest::read(&manifests.join("tau-2021-development.toml"), &here).unwrap();
    assert_eq!((draft.items.len(), draft.classes.unwrap().len()), (1, 10));
}

/// Pins the output on a fixture: if this fails, bump `DECL.version` and say in its history why.
#[test]
fn version_tripwire() {
    let folder =
        with_table("id,video,label,group\na,a.mp4,x,g1\nb,b.mp4,x,g2\nc,c.mp4,y,g3\nd,d.mp4,y,g4\ne,e.mp4,y,g5\n");
    let data = found(&folder.path().join("m.toml"));
    let text = format!("{:?} {:?} {:?}", lines(&data, folder.path()), data.classes, data.notes);
    let digest = blake3::hash(text.as_bytes()).to_hex();
    assert_eq!((DECL.version, &digest[..16]), (1, "e4d99e794bf0845e"), "{text}");
}
