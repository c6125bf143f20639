//! Training or evaluation, and the dropout that only training has.

use candle_core::{Device, Result, Tensor};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::layers::scale_planes;

/// How a network runs.
#[derive(Debug)]
pub enum Mode<'a> {
    /// Statistics of the batch, which also move the running ones, and dropout drawn from this generator. The draws depend on
    /// the shapes and the generator alone: the same generator state gives the same masks.
    Train(&'a mut ChaCha8Rng),
    /// Running statistics, no dropout: a row of the output depends on nothing but its row of the input.
    Eval,
}

impl Mode<'_> {
    /// Whether this is training.
    pub fn is_train(&self) -> bool {
        matches!(self, Mode::Train(_))
    }

    /// `count` factors for dropout of share `p`: 0 with probability `p`, else `1 / (1 - p)`. `None` where nothing is dropped,
    /// and then nothing is drawn.
    pub(crate) fn factors(&mut self, p: f32, count: usize) -> Option<Vec<f32>> {
        match self {
            Mode::Train(rng) if p > 0.0 => {
                let kept = 1.0 / (1.0 - p);
                Some((0..count).map(|_| if rng.random::<f32>() < p { 0.0 } else { kept }).collect())
            }
            _ => None,
        }
    }

    /// Dropout of the single values of `x`.
    pub(crate) fn dropout(&mut self, x: &Tensor, p: f32) -> Result<Tensor> {
        match self.factors(p, x.elem_count()) {
            None => Ok(x.clone()),
            Some(factors) => x.mul(&Tensor::from_vec(factors, x.dims(), &Device::Cpu)?.to_device(x.device())?),
        }
    }

    /// Dropout of whole channels of `x` `[B, C, H, W]` (Dropout2D).
    pub(crate) fn dropout_channels(&mut self, x: &Tensor, p: f32) -> Result<Tensor> {
        let (b, c, _, _) = x.dims4()?;
        match self.factors(p, b * c) {
            None => Ok(x.clone()),
            Some(factors) => {
                scale_planes(x, &Tensor::from_vec(factors, (b, c), &Device::Cpu)?.to_device(x.device())?, false)
            }
        }
    }
}
