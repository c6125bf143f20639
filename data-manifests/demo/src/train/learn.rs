//! Batches and the loop.

use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use candle_core::{D, Device, Tensor};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, ops::log_softmax};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use tokenizers::Tokenizer;

use super::captions::Caption;
use super::judge::{Figures, judge};
use super::model::Clip;
use super::pictures::{Album, Normalisation};
use crate::scene::Scene;

/// How to train.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// Updates of the weights.
    pub steps: usize,
    /// Pictures of each class in a batch.
    pub of_each: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// Decoupled weight decay of matrices.
    pub decay: f64,
}

/// Pictures, captions and what it takes to make them the input of a model.
pub struct Lessons<'a> {
    /// Pictures.
    pub album: &'a Album,
    /// Of their values.
    pub normalisation: &'a Normalisation,
    /// Of the captions.
    pub tokenizer: &'a Tokenizer,
}

/// Trains `model`; returns the mean loss of the last tenth of the steps.
pub fn train(model: &Clip, lessons: &Lessons, recipe: &Recipe, seed: u64, tell: &mut dyn FnMut(String)) -> Result<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let parameters = ParamsAdamW { beta2: 0.98, eps: 1e-6, ..ParamsAdamW::default() };
    let of_rank =
        |matrices: bool| model.variables.values().filter(move |v| (v.rank() > 1) == matrices).cloned().collect();
    let mut matrices = AdamW::new(of_rank(true), ParamsAdamW { weight_decay: recipe.decay, ..parameters.clone() })?;
    let mut others = AdamW::new(of_rank(false), ParamsAdamW { weight_decay: 0.0, ..parameters })?;
    let (start, mut recent, mut last) = (Instant::now(), Vec::new(), Vec::new());
    for step in 0..recipe.steps {
        let rate = recipe.rate * schedule(step, recipe.steps);
        matrices.set_learning_rate(rate);
        others.set_learning_rate(rate);
        let loss = loss(model, lessons, recipe.of_each, &mut rng)?;
        let gradients = loss.backward()?;
        matrices.step(&gradients)?;
        others.step(&gradients)?;
        let loss = f64::from(loss.to_scalar::<f32>()?);
        ensure!(loss.is_finite(), "the loss is {loss} in step {step}");
        recent.push(loss);
        if step >= recipe.steps - recipe.steps.div_ceil(10) {
            last.push(loss);
        }
        if (step + 1) % 50 == 0 {
            let mean = recent.drain(..).sum::<f64>() / 50.0;
            tell(format!(
                "step {:5}  loss {mean:.3}  rate {rate:.1e}  {:.0} s",
                step + 1,
                start.elapsed().as_secs_f64()
            ));
        }
    }
    Ok(last.iter().sum::<f64>() / last.len() as f64)
}

/// Linear warm-up over the first twentieth, then half a cosine down to zero.
fn schedule(step: usize, steps: usize) -> f64 {
    let (step, steps) = (step as f64 + 1.0, steps as f64);
    let warm_up = steps / 20.0;
    if step < warm_up {
        return step / warm_up;
    }
    0.5 * (1.0 + (std::f64::consts::PI * (step - warm_up) / (steps - warm_up)).cos())
}

fn loss(model: &Clip, lessons: &Lessons, of_each: usize, rng: &mut ChaCha8Rng) -> Result<Tensor> {
    let Lessons { album, normalisation, tokenizer } = lessons;
    let chosen: Vec<usize> = (0..Scene::ALL.len() * of_each)
        .map(|n| n / of_each * album.of_each() + rng.random_range(0..album.of_each()))
        .collect();
    let captions: Vec<Caption> = chosen.iter().map(|&n| Caption::write(&album.facts[n], rng)).collect();
    let values = model.shape.patches() * model.shape.patch_len();
    let mut pixels = vec![0.0; chosen.len() * values];
    // A generator per picture: the values do not depend on which thread makes them.
    let seeds: Vec<u64> = chosen.iter().map(|_| rng.random()).collect();
    pixels.par_chunks_exact_mut(values).zip(&chosen).zip(&seeds).for_each(|((out, &n), &seed)| {
        album.varied(n, &model.shape, normalisation, &mut ChaCha8Rng::seed_from_u64(seed), out);
    });
    let pixels =
        Tensor::from_vec(pixels, (chosen.len(), model.shape.patches(), model.shape.patch_len()), &Device::Cpu)?;
    let texts: Vec<Vec<u32>> =
        captions.iter().map(|caption| encode(tokenizer, &caption.text)).collect::<Result<_>>()?;
    let truth: Vec<f32> = chosen
        .iter()
        .flat_map(|&n| captions.iter().map(move |caption| f32::from(u8::from(caption.is_true_of(&album.facts[n])))))
        .collect();
    let truth = Tensor::from_vec(truth, (chosen.len(), captions.len()), &Device::Cpu)?;
    let (pictures, texts) = (model.embed_pictures(&pixels)?, model.embed_texts(&texts)?);
    let logits = pictures.matmul(&texts.t()?)?.broadcast_mul(&model.scale()?)?;
    let to_texts = cross_entropy(&logits, &truth)?;
    let to_pictures = cross_entropy(&logits.t()?.contiguous()?, &truth.t()?.contiguous()?)?;
    Ok(((to_texts + to_pictures)? * 0.5)?)
}

/// Mean over rows; `truth` is 0 or 1, and its row sums share out the probability.
fn cross_entropy(logits: &Tensor, truth: &Tensor) -> candle_core::Result<Tensor> {
    let target = truth.broadcast_div(&truth.sum_keepdim(D::Minus1)?)?;
    (log_softmax(logits, D::Minus1)? * target)?.sum(D::Minus1)?.neg()?.mean_all()
}

/// Token ids with both special tokens.
pub fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    Ok(tokenizer.encode(text, true).map_err(|e| anyhow!("{text:?}: {e}"))?.get_ids().to_vec())
}

/// The figures of `model` on pictures as they are.
pub fn examine(model: &Clip, lessons: &Lessons) -> Result<Figures> {
    const BLOCK: usize = 50;
    let Lessons { album, normalisation, tokenizer } = lessons;
    let (patches, length) = (model.shape.patches(), model.shape.patch_len());
    let mut pictures: Vec<Vec<f32>> = Vec::new();
    let all: Vec<usize> = (0..album.facts.len()).collect();
    for block in all.chunks(BLOCK) {
        let mut pixels = vec![0.0; block.len() * patches * length];
        for (out, &n) in pixels.chunks_exact_mut(patches * length).zip(block) {
            album.plain(n, &model.shape, normalisation, out);
        }
        let pixels = Tensor::from_vec(pixels, (block.len(), patches, length), &Device::Cpu)?;
        pictures.extend(model.embed_pictures(&pixels)?.to_vec2::<f32>()?);
    }
    let scale = f64::from(model.scale()?.to_scalar::<f32>()?);
    judge(&album.facts, &pictures, scale, |texts| {
        let texts: Vec<Vec<u32>> = texts.iter().map(|text| encode(tokenizer, text)).collect::<Result<_>>()?;
        Ok(model.embed_texts(&texts)?.to_vec2::<f32>()?)
    })
}
