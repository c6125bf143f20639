//! Adam (Kingma and Ba, 2015), with a state that can be saved.
//!
//! ```text
//! m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g²
//! p = p - rate / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)          b1 = 0.9, b2 = 0.999, eps = 1e-8
//! ```
//!
//! which is PyTorch's, and Paddle's, default; no weight decay. `candle_nn` has the same formula, but keeps its moments to
//! itself, so that a run could not be resumed. In place, one pass over each parameter.

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Var, bail};
use rayon::prelude::*;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;
/// Values per task: enough that a task is worth its dispatch.
const CHUNK: usize = 1 << 15;

/// The optimiser: moments of every trainable parameter.
#[derive(Debug)]
pub struct Adam {
    parameters: Vec<Var>,
    moments: Vec<Moments>,
    steps: u64,
}

/// Running means of a parameter's gradient and of its square, in the parameter's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moments {
    /// Of the gradient.
    pub first: Vec<f32>,
    /// Of its square.
    pub second: Vec<f32>,
}

impl Adam {
    /// A fresh optimiser of `parameters`, which are f32, contiguous and on the CPU.
    pub fn new(parameters: Vec<Var>) -> Adam {
        let moments = parameters
            .iter()
            .map(|p| Moments { first: vec![0.0; p.elem_count()], second: vec![0.0; p.elem_count()] })
            .collect();
        Adam { parameters, moments, steps: 0 }
    }

    /// Goes on where another optimiser of the same parameters stopped; `false` where the shapes are not theirs.
    #[must_use]
    pub fn restore(&mut self, moments: Vec<Moments>, steps: u64) -> bool {
        let fits = moments.len() == self.moments.len()
            && moments
                .iter()
                .zip(&self.moments)
                .all(|(a, b)| a.first.len() == b.first.len() && a.second.len() == b.second.len());
        if fits {
            self.moments = moments;
            self.steps = steps;
        }
        fits
    }

    /// The moments, in the order of the parameters.
    pub fn moments(&self) -> &[Moments] {
        &self.moments
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Moves every parameter that has a gradient.
    pub fn step(&mut self, gradients: &GradStore, rate: f64) -> Result<()> {
        self.steps += 1;
        let t = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let step_size = (rate / (1.0 - BETA1.powi(t))) as f32;
        let correction = (1.0 - BETA2.powi(t)).sqrt() as f32;
        for (parameter, moments) in self.parameters.iter().zip(&mut self.moments) {
            let Some(gradient) = gradients.get(parameter) else { continue };
            let gradient = gradient.contiguous()?;
            let (storage, layout) = gradient.storage_and_layout();
            let Storage::Cpu(CpuStorage::F32(values)) = &*storage else {
                bail!("Adam: the gradient is not f32 on CPU")
            };
            let start = layout.start_offset();
            let gradient = &values[start..start + layout.shape().elem_count()];
            parameter.inplace_op1(&Update { gradient, moments: RefCell::new(moments), step_size, correction })?;
        }
        Ok(())
    }
}

/// The update of one parameter. Element by element, so the number of threads changes nothing.
struct Update<'a> {
    gradient: &'a [f32],
    moments: RefCell<&'a mut Moments>,
    step_size: f32,
    correction: f32,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(values) = storage else { bail!("Adam: the parameter is not f32") };
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("Adam: the parameter is not contiguous") };
        let mut moments = self.moments.borrow_mut();
        let Moments { first, second } = &mut **moments;
        let (b1, b2, eps) = (BETA1 as f32, BETA2 as f32, EPSILON as f32);
        let (one_b1, one_b2) = ((1.0 - BETA1) as f32, (1.0 - BETA2) as f32);
        let (step_size, correction) = (self.step_size, self.correction);
        values[start..end]
            .par_chunks_mut(CHUNK)
            .zip(self.gradient.par_chunks(CHUNK))
            .zip(first.par_chunks_mut(CHUNK))
            .zip(second.par_chunks_mut(CHUNK))
            .for_each(|(((p, g), m), v)| {
                for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                    *m = b1 * *m + one_b1 * g;
                    *v = b2 * *v + one_b2 * g * g;
                    *p -= step_size * *m / (v.sqrt() / correction + eps);
                }
            });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use candle_core::{DType, Device, Tensor};

    /// The definition in f64, one parameter of one number: its slow twin.
    fn twin(mut p: f64, gradients: &[f64], rate: f64) -> f64 {
        let (mut m, mut v) = (0.0, 0.0);
        for (t, g) in gradients.iter().enumerate() {
            m = BETA1 * m + (1.0 - BETA1) * g;
            v = BETA2 * v + (1.0 - BETA2) * g * g;
            let (c1, c2) = (1.0 - BETA1.powi(t as i32 + 1), 1.0 - BETA2.powi(t as i32 + 1));
            p -= rate * (m / c1) / ((v / c2).sqrt() + EPSILON);
        }
        p
    }

    #[test]
    fn it_is_the_definition() {
        let n = 40_000; // more than one task
        let var = Var::zeros(n, DType::F32, &Device::Cpu).unwrap();
        let mut adam = Adam::new(vec![var.clone()]);
        let gradient = |step: usize, i: usize| ((i * 7 + step * 13) % 11) as f64 / 5.0 - 1.0;
        for step in 0..5 {
            let g: Vec<f32> = (0..n).map(|i| gradient(step, i) as f32).collect();
            let loss = (var.as_tensor() * Tensor::new(g, &Device::Cpu).unwrap()).unwrap().sum_all().unwrap();
            adam.step(&loss.backward().unwrap(), 0.01).unwrap();
        }
        let got = var.to_vec1::<f32>().unwrap();
        let worst = (0..n)
            .map(|i| {
                let gradients: Vec<f64> = (0..5).map(|step| gradient(step, i)).collect();
                (twin(0.0, &gradients, 0.01) - f64::from(got[i])).abs()
            })
            .fold(0.0, f64::max);
        assert!(worst < 2e-7, "{worst}");
    }

    #[test]
    fn a_parameter_without_a_gradient_stays_and_foreign_moments_are_refused() {
        let (used, idle) =
            (Var::ones(3, DType::F32, &Device::Cpu).unwrap(), Var::ones(2, DType::F32, &Device::Cpu).unwrap());
        let mut adam = Adam::new(vec![used.clone(), idle.clone()]);
        let loss = used.as_tensor().sum_all().unwrap();
        adam.step(&loss.backward().unwrap(), 0.5).unwrap();
        assert_eq!(idle.to_vec1::<f32>().unwrap(), [1.0, 1.0]);
        assert!((used.to_vec1::<f32>().unwrap()[0] - 0.5).abs() < 1e-6);
        assert!(!adam.restore(vec![Moments::default(); 2], 9));
        assert_eq!(adam.steps(), 1);
    }
}
