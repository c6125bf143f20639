//! A small CLIP for the demo, trained from nothing on rendered pictures and captions: `demo train-clip`.
//!
//! ```text
//! out/config.json, preprocessor_config.json, tokenizer.json, model.safetensors (f16)    the layout of Hugging Face
//! out/README.md                                                                         the card: what it is, how it was made, its figures
//! ```
//!
//! A batch holds as many pictures of each class, and for each a caption that is true of it. A caption may be true of several
//! pictures; with t_ij = 1 where caption j is true of picture i, u_i, v_j the unit embeddings and s = exp(logit_scale):
//!
//! ```text
//! loss = (H(t / row sums, softmax_j(s u_i v_j)) + H(t / column sums, softmax_i(s u_i v_j))) / 2        H: mean cross-entropy
//! ```
//!
//! which is CLIP's loss where every caption belongs to one picture. AdamW, linear warm-up, cosine decay. All randomness is ChaCha from the seed; sums run
//! in a fixed order for a fixed number of threads, so one machine makes the same file again.
//!
//! The pictures are those of the seed given and of `seed + 1` for the figures; the demo's clips are of seed 0, which is refused here.

pub mod captions;
pub mod card;
pub mod judge;
mod kernels;
pub mod learn;
pub mod model;
pub mod pictures;
pub mod vocabulary;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use candle_core::DType;
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

use crate::publish;
use crate::scene::facts::Facts;
use crate::scene::{Clip as Recording, Scene};
use captions::Caption;
use learn::{Lessons, Recipe};
use model::{Clip, Shape, Tower};
use pictures::{Album, preprocessor_config};

/// What to train.
#[derive(Debug, Clone)]
pub struct Request {
    /// Folder to write to.
    pub out: PathBuf,
    /// Of the pictures, the captions, the weights and the batches; not 0, which is the demo's.
    pub seed: u64,
    /// Updates of the weights.
    pub steps: usize,
    /// Places of each class, one picture of each.
    pub places: usize,
}

/// Merges of the tokenizer at most.
const MERGES: usize = 600;
/// Places of each class for the figures, one picture of each.
const HELD_OUT: usize = 50;

/// A quarter of an hour on one core makes a good model of this size.
fn shape(vocabulary: usize) -> Shape {
    Shape {
        image: 96,
        patch: 16,
        vision: Tower { width: 96, layers: 4, heads: 3 },
        text: Tower { width: 96, layers: 2, heads: 3 },
        positions: 32,
        vocabulary,
        projection: 64,
    }
}

/// Trains, judges, writes.
pub fn run(request: &Request, tell: &mut dyn FnMut(String)) -> Result<()> {
    let Request { out, seed, steps, places } = request;
    ensure!(
        *seed != 0 && seed.checked_add(1).is_some(),
        "--seed 0 renders the demo's own clips: a model that has seen them proves nothing"
    );
    ensure!(*steps > 0 && *places > 0, "--steps and --places must be at least 1");
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let start = Instant::now();
    let tokenizer_file = vocabulary::learn(&texts(*seed, 4000), MERGES)?;
    let tokenizer = vocabulary::load(&tokenizer_file)?;
    let shape = shape(tokenizer.get_vocab_size(true));
    let album = Album::render(&shape, *seed, *places, 1)?;
    let held_out = Album::render(&shape, seed + 1, HELD_OUT, 1)?;
    let normalisation = album.normalisation();
    tell(format!(
        "{} pictures, {} words and parts, {:.0} s",
        album.facts.len(),
        shape.vocabulary,
        start.elapsed().as_secs_f64()
    ));
    let lessons = Lessons { album: &album, normalisation: &normalisation, tokenizer: &tokenizer };
    let model = Clip::new(shape, *seed)?;
    let recipe = Recipe { steps: *steps, of_each: 5, rate: 1e-3, decay: 0.1 };
    let loss = learn::train(&model, &lessons, &recipe, *seed, tell)?;
    model.round_to_half()?;
    let figures = learn::examine(&model, &Lessons { album: &held_out, ..lessons })?;
    let seen = learn::examine(&model, &lessons)?;
    tell(format!("held out: {figures:?}\ntrained on: {seen:?}"));
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    let card = card::Card { request, shape: &shape, recipe: &recipe, album: &album, minutes, loss, figures, seen };
    publish(&out.join("config.json"), &pretty(&shape.config())?)?;
    publish(&out.join("preprocessor_config.json"), &pretty(&preprocessor_config(shape.image, &normalisation))?)?;
    publish(&out.join("tokenizer.json"), tokenizer_file.as_bytes())?;
    publish(&out.join("model.safetensors"), &serialise(&model)?)?;
    publish(&out.join("README.md"), card.text(&model).as_bytes())
}

/// Captions for the tokenizer to learn from.
fn texts(seed: u64, count: usize) -> Vec<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let caption = |n: usize| {
        let clip = Recording { scene: Scene::ALL[n % Scene::ALL.len()], place: rng.random_range(0..500), segment: 0 };
        Caption::write(&Facts::of(seed, &clip), &mut rng).text
    };
    (0..count).map(caption).collect()
}

fn pretty(value: &Value) -> Result<Vec<u8>> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?).into_bytes())
}

/// The weights in half precision, under Hugging Face's names.
fn serialise(model: &Clip) -> Result<Vec<u8>> {
    let mut tensors = Vec::new();
    for (name, variable) in &model.variables {
        let values = variable.as_tensor().to_dtype(DType::F16)?.flatten_all()?.to_vec1::<half::f16>()?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensors.push((name, variable.dims().to_vec(), bytes));
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F16, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    let origin = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(safetensors::serialize(views, Some(origin))?)
}

/// The checkpoint that is committed beside this crate.
pub fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clip")
}

#[cfg(test)]
mod tests;
