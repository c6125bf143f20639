#![expect(clippy::unwrap_used, reason = "tests")]

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Repo, RepoType};

use super::*;
use crate::config::{Activation, EndOfText};
use crate::fixture::{self, copy_of};
use crate::hub::download;

fn locate(model: &str, cache: &Path) -> Result<Checkpoint, Error> {
    Checkpoint::locate_in(model, Some(Cache::new(cache.to_owned())), true)
}

fn message(model: &str) -> String {
    locate(model, Path::new("no cache")).unwrap_err().to_string()
}

fn names(checkpoint: &Checkpoint) -> Vec<String> {
    checkpoint.files().iter().map(|f| file_name(f)).collect()
}

#[test]
fn a_folder_with_one_file() {
    let checkpoint = Checkpoint::locate(fixture::path("tiny-quick-gelu").to_str().unwrap()).unwrap();
    assert_eq!(names(&checkpoint), ["config.json", "preprocessor_config.json", "model.safetensors"]);
    let info = ModelInfo {
        name: "tiny-quick-gelu".into(),
        random_weights: true,
        projection_dim: 24,
        image_size: 48,
        patch_size: 16,
        hidden_size: 48,
        layers: 2,
        heads: 4,
        parameters: 76_656,
    };
    assert_eq!(checkpoint.describe(), info);
    assert_eq!(checkpoint.preprocessing().len(), 1);
}

#[test]
fn a_folder_with_parts_and_an_index() {
    let checkpoint = Checkpoint::locate(fixture::path("tiny-gelu").to_str().unwrap()).unwrap();
    let (index, parts) = (INDEX, ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
    assert_eq!(names(&checkpoint), ["config.json", "processor_config.json", index, parts[0], parts[1]]);
    assert_eq!(checkpoint.config().activation, Activation::Gelu);
    assert_eq!(checkpoint.preprocessing().len(), 1);
}

#[test]
fn a_folder_with_parts_and_no_index() {
    let folder = copy_of("tiny-gelu");
    fs::remove_file(folder.path().join(INDEX)).unwrap();
    let checkpoint = locate(folder.path().to_str().unwrap(), Path::new("no cache")).unwrap();
    assert_eq!(checkpoint.weight_files().len(), 2);
    assert_eq!(checkpoint.files().len(), 4);
}

#[test]
fn the_text_side() {
    let checkpoint = Checkpoint::locate(fixture::path("pair-gelu-legacy").to_str().unwrap()).unwrap();
    let text: Vec<String> = checkpoint.text_files().unwrap().iter().map(|f| file_name(f)).collect();
    let parts = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    assert_eq!(text, ["config.json", INDEX, TOKENIZER, parts[0], parts[1]]);
    assert!(!names(&checkpoint).contains(&TOKENIZER.to_owned()), "the tokenizer is in no key of pictures");
    let info = TextInfo {
        name: "pair-gelu-legacy".into(),
        random_weights: true,
        projection_dim: 16,
        vocab_size: 159,
        positions: 21,
        hidden_size: 24,
        layers: 2,
        heads: 3,
        parameters: 13_713,
    };
    assert_eq!(checkpoint.describe_text().unwrap(), info);
    assert_eq!(checkpoint.check_text().unwrap().end_of_text, EndOfText::Highest);
}

#[test]
fn a_text_side_that_is_wrong_does_not_hinder_the_image_side() {
    let folder = copy_of("pair-quick-gelu");
    let file = folder.path().join(config::FILE);
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, config.replacen(r#""vocab_size": 159"#, r#""vocab_size": 160"#, 1)).unwrap();
    let checkpoint = Checkpoint::locate(folder.path().to_str().unwrap()).unwrap();
    let error = checkpoint.check_text().unwrap_err().to_string();
    let tensor = "text_model.embeddings.token_embedding.weight";
    assert_eq!(
        error,
        format!("model.safetensors: tensor {tensor} has shape [159, 24] where config.json implies [160, 24]")
    );
    fs::write(&file, config.replace(r#""vocab_size": 159"#, r#""vocab_size": 0"#)).unwrap();
    let checkpoint = Checkpoint::locate(folder.path().to_str().unwrap()).unwrap();
    assert!(checkpoint.text_files().unwrap_err().to_string().contains("text_config: vocab_size is 0"));
}

#[test]
fn the_tokenizer_of_a_hub_name_is_looked_for_when_it_is_wanted() {
    let cache = cache_with("owner/clip", "main", &[]);
    let checkpoint = locate("owner/clip", cache.path()).unwrap();
    let error = checkpoint.text_files().unwrap_err().to_string();
    assert!(error.contains("HF_HUB_OFFLINE forbids a download"), "{error}");
    assert!(error.contains("`hf download owner/clip tokenizer.json`"), "{error}");
    let repo = Cache::new(cache.path().to_owned()).repo(Repo::new("owner/clip".into(), RepoType::Model));
    fs::copy(fixture::path("pair-quick-gelu").join(TOKENIZER), repo.pointer_path("0123abcd").join(TOKENIZER)).unwrap();
    assert_eq!(file_name(&checkpoint.tokenizer_file().unwrap()), TOKENIZER);
}

#[test]
fn what_looks_like_a_path_is_never_a_hub_name() {
    for model in ["./models/clip", "/models/clip", "../nowhere", "~/clip"] {
        assert!(message(model).contains("there is no such folder"), "{}", message(model));
    }
    // A folder that exists is taken before the hub, even if its name could be one.
    assert!(message("src").contains("the folder has no config.json"));
    for model in ["a/b/c", "with space", "a//b", "", "name@", "name@../x"] {
        assert!(message(model).contains("it is no name on the hub"), "{model}: {}", message(model));
    }
}

#[test]
fn what_a_folder_lacks_is_named() {
    let folder = copy_of("tiny-quick-gelu");
    let model = folder.path().to_str().unwrap();
    fs::remove_file(folder.path().join(WEIGHTS)).unwrap();
    assert!(message(model).contains("neither model.safetensors, nor model.safetensors.index.json"));
    fs::write(folder.path().join("pytorch_model.bin"), "").unwrap();
    assert!(message(model).contains("has pytorch_model.bin but no *.safetensors"));
    fs::write(folder.path().join(INDEX), r#"{"weight_map": {"a": "part-1.safetensors"}}"#).unwrap();
    assert!(message(model).contains("names part-1.safetensors, which is not in the folder"));
    fs::write(folder.path().join(INDEX), r#"{"weight_map": {"a": "../part-1.safetensors"}}"#).unwrap();
    assert!(message(model).contains("is not a plain file name"));
    fs::write(folder.path().join(config::FILE), "not json").unwrap();
    fs::copy(fixture::path("tiny-quick-gelu").join(WEIGHTS), folder.path().join(WEIGHTS)).unwrap();
    assert!(message(model).starts_with("config.json: "));
}

/// A cache as huggingface_hub lays it out, with the tiny checkpoint under this revision.
fn cache_with(name: &str, revision: &str, without: &[&str]) -> tempfile::TempDir {
    let cache = tempfile::tempdir().unwrap();
    let repo =
        Cache::new(cache.path().to_owned()).repo(Repo::with_revision(name.into(), RepoType::Model, revision.into()));
    repo.create_ref("0123abcd").unwrap();
    let snapshot = repo.pointer_path("0123abcd");
    fs::create_dir_all(&snapshot).unwrap();
    for file in ["config.json", "preprocessor_config.json", "model.safetensors"] {
        if !without.contains(&file) {
            fs::copy(fixture::path("tiny-quick-gelu").join(file), snapshot.join(file)).unwrap();
        }
    }
    cache
}

#[test]
fn a_cached_hub_name_needs_no_network() {
    let cache = cache_with("owner/clip", "main", &[]);
    let checkpoint = locate("owner/clip", cache.path()).unwrap();
    assert_eq!((checkpoint.describe().name.as_str(), checkpoint.describe().layers), ("owner/clip", 2));
    assert_eq!(checkpoint.files().len(), 3);
    assert!(locate("owner/clip@other", cache.path()).is_err());
    let cache = cache_with("owner/clip", "v2", &[]);
    assert!(locate("owner/clip@v2", cache.path()).is_ok());
    assert!(locate("owner/clip", cache.path()).is_err());
}

#[test]
fn the_default_model_is_found_on_the_revision_that_has_its_safetensors() {
    let cache = cache_with("openai/clip-vit-base-patch32", "refs/pr/15", &[]);
    assert!(locate("openai/clip-vit-base-patch32", cache.path()).is_ok());
}

#[test]
fn a_model_that_is_nowhere_says_how_to_get_it() {
    for without in [&["config.json"][..], &["model.safetensors"], &["preprocessor_config.json"]] {
        let cache = cache_with("openai/clip-vit-base-patch32", "main", without);
        let text = locate("openai/clip-vit-base-patch32", cache.path()).unwrap_err().to_string();
        for part in [
            "the model \"openai/clip-vit-base-patch32\" was not found",
            "not in the local cache of the hub, and HF_HUB_OFFLINE forbids",
            "Looked for config.json, preprocessor_config.json and model.safetensors",
            "hf download openai/clip-vit-base-patch32 --revision refs/pr/15 config.json",
            "set `model = \"./clip-vit-base-patch32\"`",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert!(!text.contains(cache.path().to_str().unwrap()), "{text}");
    }
}

#[test]
fn a_download_that_fails_is_an_error_not_a_hang() {
    // An endpoint that refuses connections stands for a machine without a network.
    let cache = tempfile::tempdir().unwrap();
    let api = ApiBuilder::from_cache(Cache::new(cache.path().to_owned()))
        .with_endpoint("http://127.0.0.1:9".into())
        .with_progress(false);
    let reason = download(&api.build().unwrap().model("owner/clip".into())).unwrap_err();
    assert!(reason.contains("the download of config.json failed"), "{reason}");
}
