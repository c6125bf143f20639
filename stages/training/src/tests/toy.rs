//! A network and a data set that are small enough to train in a test: features with running statistics, a hidden layer with
//! dropout, classes that are told apart by where the energy is.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Result, Tensor, Var};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::{Batch, Error, Example, Mode, Network, Params, Source, Variable};

pub(crate) const N_MELS: usize = 6;
pub(crate) const HIDDEN: usize = 16;

pub(crate) struct Toy {
    classes: usize,
    image_width: Option<usize>,
    mean: Var,
    hidden: Var,
    out: Var,
}

impl Toy {
    pub(crate) fn new(classes: usize, image_width: Option<usize>) -> Toy {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let mut random = |rows: usize, columns: usize| {
            let values: Vec<f32> = (0..rows * columns).map(|_| rng.random_range(-0.3..0.3)).collect();
            Var::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
        };
        Toy {
            classes,
            image_width,
            mean: Var::zeros(N_MELS, DType::F32, &Device::Cpu).unwrap(),
            hidden: random(N_MELS, HIDDEN),
            out: random(HIDDEN + image_width.unwrap_or(0), classes),
        }
    }

    fn features(&self, batch: &Batch, mode: Mode) -> Result<Tensor> {
        let pooled = batch.log_mel.mean(1)?;
        let centred = match mode {
            Mode::Evaluate => pooled.broadcast_sub(self.mean.as_tensor())?,
            Mode::Train { .. } => {
                let mean = pooled.mean(0)?;
                self.mean.set(&((self.mean.as_tensor() * 0.9)? + (mean.detach() * 0.1)?)?)?;
                pooled.broadcast_sub(&mean)?
            }
        };
        let hidden = centred.matmul(self.hidden.as_tensor())?.relu()?;
        let hidden = match mode {
            Mode::Evaluate => hidden,
            Mode::Train { seed } => {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let kept: Vec<f32> =
                    (0..hidden.elem_count()).map(|_| if rng.random::<f32>() < 0.2 { 0.0 } else { 1.25 }).collect();
                (&hidden * Tensor::from_vec(kept, hidden.dims(), &Device::Cpu)?)?
            }
        };
        match &batch.image {
            Some(image) => Tensor::cat(&[&hidden, image], 1),
            None => Ok(hidden),
        }
    }
}

impl Network for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn n_mels(&self) -> usize {
        N_MELS
    }

    fn image_width(&self) -> Option<usize> {
        self.image_width
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn forward(&self, batch: &Batch, mode: Mode) -> std::result::Result<Tensor, Error> {
        Ok(self.features(batch, mode)?.matmul(self.out.as_tensor())?)
    }

    fn embed(&self, batch: &Batch) -> std::result::Result<Tensor, Error> {
        Ok(self.features(batch, Mode::Evaluate)?)
    }

    fn variables(&self) -> Vec<Variable> {
        let variable =
            |name: &str, var: &Var, trainable| Variable { name: name.to_owned(), var: var.clone(), trainable };
        vec![
            variable("hidden.weight", &self.hidden, true),
            variable("mean", &self.mean, false),
            variable("out.weight", &self.out, true),
        ]
    }
}

/// `n` clips of 20 to 24 frames (or of other lengths), class `index % classes`, whose energy lies in band `class`.
pub(crate) struct Clips {
    pub(crate) classes: Vec<String>,
    ids: Vec<String>,
    pub(crate) examples: Vec<Example>,
    pub(crate) labels: Vec<Option<usize>>,
    pub(crate) reads: AtomicUsize,
}

impl Clips {
    pub(crate) fn new(n: usize, classes: usize, image_width: Option<usize>) -> Clips {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let examples = (0..n)
            .map(|i| {
                let frames = 20 + i % 5;
                let log_mel = (0..frames * N_MELS)
                    .map(|at| if at % N_MELS == i % classes { -20.0 } else { -24.0 } + rng.random_range(-3.0..3.0))
                    .collect();
                let image = image_width.map(|width| {
                    (0..width).map(|d| f32::from(u8::from(d == i % classes)) + rng.random_range(-0.2..0.2)).collect()
                });
                Example { log_mel, image }
            })
            .collect();
        Clips {
            classes: (0..classes).map(|class| format!("class-{class}")).collect(),
            ids: (0..n).map(|i| format!("clip-{i}")).collect(),
            examples,
            labels: (0..n).map(|i| Some(i % classes)).collect(),
            reads: AtomicUsize::new(0),
        }
    }
}

impl Source for Clips {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn id(&self, index: usize) -> &str {
        &self.ids[index]
    }

    fn class(&self, index: usize) -> Option<usize> {
        self.labels[index]
    }

    fn example(&self, index: usize) -> std::result::Result<Example, Box<dyn StdError + Send + Sync>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let example = &self.examples[index];
        if example.log_mel.len() == 1 {
            return Err("the shard is damaged".into());
        }
        Ok(example.clone())
    }
}

pub(crate) fn params() -> Params {
    Params {
        epochs: 6,
        batch_size: 8,
        learning_rate: 0.02,
        warm_steps: 5,
        decay_steps: 10,
        frames: 30,
        crop: 16,
        ..Params::default()
    }
}
