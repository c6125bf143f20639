#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::LazyLock;

use candle_core::{Device, Tensor};
use contract::Picture;
use encode_clip::{Checkpoint, DeviceChoice, Encoder, Order, Params, Preprocess};
use serde_json::json;

use super::judge::{Figures, judge};
use super::learn::encode;
use super::*;
use crate::data::{HEIGHT, WIDTH};
use crate::scene::picture::Painter;

/// The seed of the card's held-out pictures.
const UNSEEN: u64 = 2;

/// Twelve unseen places of each class: enough for differences of a few per cent, and a second to render.
static PICTURES: LazyLock<(Vec<Facts>, Vec<Picture>)> = LazyLock::new(|| {
    let clips: Vec<Recording> = Scene::ALL
        .into_iter()
        .flat_map(|scene| (0..12).map(move |place| Recording { scene, place, segment: 0 }))
        .collect();
    let paint = |clip: &Recording| Picture {
        width: WIDTH,
        height: HEIGHT,
        rgb: Painter::new(UNSEEN, clip, WIDTH, HEIGHT).paint(4.48).to_vec(),
    };
    (clips.iter().map(|clip| Facts::of(UNSEEN, clip)).collect(), clips.iter().map(paint).collect())
});

/// A checkpoint with the way to it, as the stages go it.
struct Chain {
    folder: PathBuf,
    change_picture: fn(&Picture) -> Picture,
    change_prompt: fn(&str) -> String,
    change_tokens: fn(Vec<u32>) -> Vec<u32>,
}

impl Chain {
    fn committed() -> Chain {
        Chain {
            folder: committed(),
            change_picture: Picture::clone,
            change_prompt: str::to_owned,
            change_tokens: |ids| ids,
        }
    }

    fn figures(&self) -> Figures {
        let checkpoint = Checkpoint::locate(self.folder.to_str().unwrap()).unwrap();
        let mut preprocess = Preprocess::new(&checkpoint, Order::Hf).unwrap();
        let (facts, pictures) = &*PICTURES;
        let mut pixels = vec![0.0; pictures.len() * preprocess.values()];
        for (out, picture) in pixels.chunks_exact_mut(preprocess.values()).zip(pictures) {
            preprocess.apply(&(self.change_picture)(picture), out).unwrap();
        }
        let spec = Params { normalize: true, ..Params::default() }.resolve().unwrap();
        let encoder = Encoder::load(&checkpoint, &spec, DeviceChoice::Cpu, pictures.len()).unwrap();
        let embeddings = encoder.encode(&pixels, pictures.len()).unwrap();
        let embeddings: Vec<Vec<f32>> = embeddings.chunks_exact(encoder.dimension()).map(<[f32]>::to_vec).collect();
        let (model, tokenizer) = read(&self.folder);
        let scale = f64::from(model.scale().unwrap().to_scalar::<f32>().unwrap());
        let figures = judge(facts, &embeddings, scale, |texts| {
            let ids = |text: &String| Ok((self.change_tokens)(encode(&tokenizer, &(self.change_prompt)(text))?));
            let texts: Vec<Vec<u32>> = texts.iter().map(ids).collect::<Result<_>>()?;
            Ok(model.embed_texts(&texts)?.to_vec2::<f32>()?)
        });
        figures.unwrap()
    }
}

/// Reads a checkpoint back into the trainer's model.
fn read(folder: &Path) -> (Clip, tokenizers::Tokenizer) {
    let tokenizer = vocabulary::load(&fs::read_to_string(folder.join("tokenizer.json")).unwrap()).unwrap();
    let model = Clip::new(shape(tokenizer.get_vocab_size(true)), 0).unwrap();
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.len(), model.variables.len());
    for (name, variable) in &model.variables {
        let view = tensors.tensor(name).unwrap();
        assert_eq!((view.dtype(), view.shape()), (Dtype::F16, variable.dims()), "{name}");
        let halves = view.data().as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32());
        variable.set(&Tensor::from_vec(halves.collect::<Vec<_>>(), view.shape(), &Device::Cpu).unwrap()).unwrap();
    }
    (model, tokenizer)
}

/// A copy of the committed checkpoint with one file changed.
fn changed(name: &str, change: impl Fn(&mut Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors"] {
        let mut bytes = fs::read(committed().join(file)).unwrap();
        if file == name {
            let mut json = serde_json::from_slice(&bytes).unwrap();
            change(&mut json);
            bytes = serde_json::to_vec(&json).unwrap();
        }
        fs::write(folder.path().join(file), bytes).unwrap();
    }
    folder
}

fn per_pixel(picture: &Picture, change: impl Fn(&[u8]) -> [u8; 3]) -> Picture {
    Picture { rgb: picture.rgb.chunks_exact(3).flat_map(change).collect(), ..picture.clone() }
}

fn upside_down(picture: &Picture) -> Picture {
    Picture { rgb: picture.rgb.rchunks_exact(3 * picture.width).flatten().copied().collect(), ..picture.clone() }
}

/// The same seed gives the same weights, and a model learns.
#[test]
fn training_repeats_itself_and_lowers_the_loss() {
    let tokenizer = vocabulary::load(&vocabulary::learn(&texts(7, 200), 100).unwrap()).unwrap();
    let tower = Tower { width: 16, layers: 1, heads: 2 };
    let vocabulary = tokenizer.get_vocab_size(true);
    let shape = Shape { image: 32, patch: 16, vision: tower, text: tower, positions: 32, vocabulary, projection: 8 };
    let album = Album::render(&shape, 7, 4, 1).unwrap();
    let lessons = Lessons { album: &album, normalisation: &album.normalisation(), tokenizer: &tokenizer };
    let learn = |steps: usize| {
        let model = Clip::new(shape, 7).unwrap();
        let recipe = Recipe { steps, of_each: 2, rate: 5e-3, decay: 0.1 };
        let loss = learn::train(&model, &lessons, &recipe, 7, &mut |_| ()).unwrap();
        (serialise(&model).unwrap(), loss)
    };
    let (bytes, loss) = learn(40);
    assert!(learn(40).0 == bytes, "another result from the same seed");
    let (_, first) = learn(1);
    assert!(loss < first - 0.3, "{first} before, {loss} after");
}

#[test]
fn the_seed_of_the_demo_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let request = Request { out: folder.path().join("clip"), seed: 0, steps: 1, places: 1 };
    let error = run(&request, &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("--seed 0"), "{error}");
    assert!(!request.out.exists());
}

#[test]
fn measure() {
    let right = Chain::committed().figures();
    eprintln!("right {right:?}");
    let chain = |folder: &tempfile::TempDir| Chain { folder: folder.path().to_owned(), ..Chain::committed() };
    let folder = changed("preprocessor_config.json", |c| {
        c["image_mean"] = json!([0.481_454_66, 0.457_827_5, 0.408_210_73]);
        c["image_std"] = json!([0.268_629_54, 0.261_302_58, 0.275_777_11]);
    });
    eprintln!("openai's normalisation {:?}", chain(&folder).figures());
    let folder = changed("preprocessor_config.json", |c| {
        c["image_mean"] = json!([0.0, 0.0, 0.0]);
        c["image_std"] = json!([1.0, 1.0, 1.0]);
    });
    eprintln!("no normalisation {:?}", chain(&folder).figures());
    let folder = changed("preprocessor_config.json", |c| {
        c["image_mean"] = json!([0.5, 0.5, 0.5]);
        c["image_std"] = json!([0.5, 0.5, 0.5]);
    });
    eprintln!("-1 to 1 {:?}", chain(&folder).figures());
    let folder = changed("preprocessor_config.json", |c| c["rescale_factor"] = json!(1.0));
    eprintln!("not divided by 255 {:?}", chain(&folder).figures());
    let folder = changed("preprocessor_config.json", |c| c["size"] = json!({"height": 96, "width": 96}));
    eprintln!("squashed {:?}", chain(&folder).figures());
    let folder = changed("preprocessor_config.json", |c| c["size"] = json!(216));
    eprintln!("cut without resize {:?}", chain(&folder).figures());
    let swapped = |p: &Picture| per_pixel(p, |rgb| [rgb[2], rgb[1], rgb[0]]);
    eprintln!("bgr {:?}", Chain { change_picture: swapped, ..Chain::committed() }.figures());
    let grey = |p: &Picture| per_pixel(p, |rgb| [rgb[1]; 3]);
    eprintln!("grey {:?}", Chain { change_picture: grey, ..Chain::committed() }.figures());
    eprintln!("upside down {:?}", Chain { change_picture: upside_down, ..Chain::committed() }.figures());
    eprintln!("upper case {:?}", Chain { change_prompt: str::to_uppercase, ..Chain::committed() }.figures());
    let folder = changed("tokenizer.json", |c| {
        c["normalizer"]["normalizers"].as_array_mut().unwrap().pop();
    });
    eprintln!("upper case, not lowered {:?}", Chain { change_prompt: str::to_uppercase, ..chain(&folder) }.figures());
    let backwards = |mut ids: Vec<u32>| {
        let last = ids.len() - 1;
        ids[1..last].reverse();
        ids
    };
    eprintln!("backwards {:?}", Chain { change_tokens: backwards, ..Chain::committed() }.figures());
    let no_start = |mut ids: Vec<u32>| {
        ids.remove(0);
        ids
    };
    eprintln!("no start {:?}", Chain { change_tokens: no_start, ..Chain::committed() }.figures());
    let no_end = |mut ids: Vec<u32>| {
        ids.pop();
        ids
    };
    eprintln!("no end {:?}", Chain { change_tokens: no_end, ..Chain::committed() }.figures());
    let ones_off = |ids: Vec<u32>| ids.iter().map(|id| id.saturating_sub(1)).collect();
    eprintln!("ids one off {:?}", Chain { change_tokens: ones_off, ..Chain::committed() }.figures());
}
