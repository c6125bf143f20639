//! The ready configuration for TAU Urban Audio-Visual Scenes 2021: it says what was published, and it plans.

use std::path::Path;

use pipeline::config::{Config, Overrides};

use crate::lab::{CLIPS, Lab};

fn file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data-manifests/tau-2021.pipeline.toml")
}

#[test]
fn it_says_what_was_published() {
    let config = Config::load(&Overrides { file: Some(file()), ..Overrides::default() }).unwrap();
    assert!(config.data().unwrap().ends_with("data-manifests/tau-2021-development.toml"));
    let probe = config.linear_probe.resolve().unwrap();
    assert_eq!((&probe.c[..], probe.frame), (&[0.316][..], linear_probe::Frame::Number(5)));
    let mel = serde_json::to_value(config.log_mel.resolve().unwrap()).unwrap();
    for (knob, value) in [("sample_rate", 32_000), ("n_fft", 1024), ("hop_length", 640), ("n_mels", 128)] {
        assert_eq!(mel[knob], value, "{knob}");
    }
    // The resolved tables of both networks, as the reference's configuration has them.
    let tables = [
        serde_json::to_value(config.audio.resolve().unwrap()).unwrap(),
        serde_json::to_value(config.audio_visual.resolve().unwrap()).unwrap(),
    ];
    for table in tables {
        let training = &table["training"];
        assert_eq!((&training["epochs"], &training["batch_size"]), (&500.into(), &64.into()));
        assert_eq!((&training["checkpoint_step"], &training["mixup_alpha"]), (&500.into(), &0.5.into()));
        assert_eq!((&training["select_by"], &table["select_on"]), (&"accuracy".into(), &"test".into()));
        assert_eq!(table["network"], "resnet50");
    }
    config.zero_shot.resolve().unwrap();
    // The report knows by the name whose figures were published.
    let manifest = discover::manifest::archives(config.data().unwrap(), &|_| None).unwrap();
    assert_eq!(manifest.name, report::PUBLISHED_OF);
    config.late_fusion.resolve().unwrap();
}

#[test]
fn it_plans_on_a_folder_as_the_archives_unpack() {
    let lab = Lab::new();
    let root = lab.path("tau");
    let (mut meta, mut train, mut test) = (String::new(), String::new(), String::new());
    for class in crate::lab::CLASSES {
        for location in 0..CLIPS / 2 {
            let clip = lab.clip(class, location, "wav").with_extension("");
            let name = clip.file_name().unwrap().to_str().unwrap().to_string();
            for (folder, extension) in [("audio", "wav"), ("video", "mp4")] {
                std::fs::create_dir_all(root.join(folder)).unwrap();
                let to = root.join(folder).join(format!("{name}.{extension}"));
                std::fs::copy(lab.clip(class, location, extension), to).unwrap();
            }
            let row = format!("audio/{name}.wav\tvideo/{name}.mp4\t{class}");
            meta += &format!("{row}\t{location}\n");
            *(if location == 0 { &mut test } else { &mut train }) += &format!("{row}\n");
        }
    }
    let head = "filename_audio\tfilename_video\tscene_label";
    std::fs::create_dir_all(root.join("evaluation_setup")).unwrap();
    std::fs::write(root.join("meta.csv"), format!("{head}\tidentifier\n{meta}")).unwrap();
    std::fs::write(root.join("evaluation_setup/fold1_train.csv"), format!("{head}\n{train}")).unwrap();
    std::fs::write(root.join("evaluation_setup/fold1_evaluate.csv"), format!("{head}\n{test}")).unwrap();

    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/clip/fixtures/tiny-quick-gelu");
    let model = format!("encode-clip.model={:?}", model.display().to_string());
    let config = file();
    let common = ["--config", config.to_str().unwrap(), "--work", "w", "--set", &model];
    let pipeline = |args: &[&str]| {
        let output = lab.command(&[args, &common[..]].concat()).env("TAU_2021_DEVELOPMENT", &root).output().unwrap();
        crate::lab::Said::new(&output)
    };
    let folder = lab.pipeline(&["run", "log-mel", "--dry-run", "--data", "tau", "--work", "f"]).ended(3);
    assert!(folder.stdout.starts_with(report::PUBLISHED_OF), "{}", folder.stdout);
    let said = pipeline(&["run", "log-mel", "encode-clip", "--dry-run"]).ended(3);
    assert!(
        said.stdout.contains("6 items") && said.stdout.contains("the split is the official fold 1"),
        "{}",
        said.stdout
    );
    pipeline(&["run", "log-mel", "encode-clip"]).ended(0);
    let items = std::fs::read_to_string(lab.path("w/discover/items.csv")).unwrap();
    let of = |split: &str| items.lines().filter(|line| line.ends_with(&format!(",{split}"))).count();
    // As published, nothing is held out to choose by.
    assert_eq!((of("train"), of("val"), of("test")), (4, 0, 2), "{items}");
    let fetch = pipeline(&["data", "fetch", "--dry-run"]).ended(3);
    assert!(fetch.stdout.contains("107.7 GB to download"), "{}", fetch.stdout);
    assert_eq!(fetch.stdout.matches("to be downloaded").count(), 27);
}
