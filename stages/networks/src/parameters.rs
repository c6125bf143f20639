//! The tensors of a network while it is built: named as PyTorch names them, initialised as torchvision does.
//!
//! | tensor | start |
//! |---|---|
//! | convolution | normal, mean 0, variance `2 / (out * kh * kw)` (`kaiming_normal_`, `fan_out`; torch counts `out` for depthwise ones, too) |
//! | batch norm | weight 1, bias 0, running mean 0, running variance 1 |
//! | linear of ResNet | weight and bias uniform in `±1/sqrt(in)` (torch's default) |
//! | linear of `mn` | weight normal, standard deviation 0.01, bias 0; inside squeeze-and-excitation likewise |
//!
//! All numbers come from one ChaCha8 stream of the seed, in the order in which the layers are built: the same seed gives
//! the same network on any machine. (They are not PyTorch's numbers: its generator is another one.)

use candle_core::{Device, Result, Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, Uniform};

use crate::layers::{BatchNorm, Conv, Linear};

/// One tensor of a network's state.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name, unique in the network, as PyTorch would name it.
    pub name: String,
    /// The tensor, f32 and contiguous; setting it changes the network.
    pub var: Var,
    /// Whether it is a parameter. Running statistics of batch norms are not.
    pub trainable: bool,
}

/// How the weights of linear layers start.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LinearStart {
    /// Uniform in `±1/sqrt(in)`, bias too.
    Uniform,
    /// Normal with this standard deviation, bias 0.
    Normal(f32),
}

/// Makes layers and collects their tensors, in order.
pub(crate) struct Builder {
    rng: ChaCha8Rng,
    device: Device,
    linear: LinearStart,
    eps: f32,
    momentum: f32,
    variables: Vec<Variable>,
}

impl Builder {
    /// `eps` and `momentum` of the batch norms; the momentum is PyTorch's, the weight of the *new* statistic.
    pub(crate) fn new(seed: u64, device: &Device, linear: LinearStart, eps: f32, momentum: f32) -> Builder {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Builder { rng, device: device.clone(), linear, eps, momentum, variables: Vec::new() }
    }

    pub(crate) fn finish(self) -> Vec<Variable> {
        self.variables
    }

    fn add(&mut self, name: String, values: Vec<f32>, shape: &[usize], trainable: bool) -> Result<Var> {
        let var = Var::from_tensor(&Tensor::from_vec(values, shape, &self.device)?)?;
        self.variables.push(Variable { name, var: var.clone(), trainable });
        Ok(var)
    }

    fn draw(&mut self, distribution: &impl Distribution<f32>, count: usize) -> Vec<f32> {
        (0..count).map(|_| distribution.sample(&mut self.rng)).collect()
    }

    /// A convolution without bias; `groups` is 1 or, for a depthwise one, the number of channels.
    pub(crate) fn conv(
        &mut self,
        name: &str,
        (inputs, outputs): (usize, usize),
        kernel: usize,
        stride: usize,
        groups: usize,
    ) -> Result<Conv> {
        let shape = [outputs, inputs / groups, kernel, kernel];
        let deviation = (2.0 / (outputs * kernel * kernel) as f32).sqrt();
        let normal = Normal::new(0.0, deviation).expect("the deviation is finite");
        let values = self.draw(&normal, shape.iter().product());
        let weight = self.add(format!("{name}.weight"), values, &shape, true)?;
        Ok(Conv { weight, stride, padding: (kernel - 1) / 2, groups })
    }

    /// A convolution and its batch norm, as `name.0` and `name.1`.
    pub(crate) fn conv_norm(
        &mut self,
        name: &str,
        channels: (usize, usize),
        kernel: usize,
        stride: usize,
        groups: usize,
    ) -> Result<(Conv, BatchNorm)> {
        let conv = self.conv(&format!("{name}.0"), channels, kernel, stride, groups)?;
        Ok((conv, self.norm(&format!("{name}.1"), channels.1)?))
    }

    pub(crate) fn norm(&mut self, name: &str, channels: usize) -> Result<BatchNorm> {
        let shape = [channels];
        Ok(BatchNorm {
            weight: self.add(format!("{name}.weight"), vec![1.0; channels], &shape, true)?,
            bias: self.add(format!("{name}.bias"), vec![0.0; channels], &shape, true)?,
            mean: self.add(format!("{name}.running_mean"), vec![0.0; channels], &shape, false)?,
            variance: self.add(format!("{name}.running_var"), vec![1.0; channels], &shape, false)?,
            eps: self.eps,
            momentum: self.momentum,
        })
    }

    pub(crate) fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        let (weight, bias) = match self.linear {
            LinearStart::Uniform => {
                let bound = 1.0 / (inputs as f32).sqrt();
                let uniform = Uniform::new(-bound, bound).expect("the bound is finite");
                (self.draw(&uniform, inputs * outputs), self.draw(&uniform, outputs))
            }
            LinearStart::Normal(deviation) => {
                let normal = Normal::new(0.0, deviation).expect("the deviation is finite");
                (self.draw(&normal, inputs * outputs), vec![0.0; outputs])
            }
        };
        Ok(Linear {
            weight: self.add(format!("{name}.weight"), weight, &[outputs, inputs], true)?,
            bias: self.add(format!("{name}.bias"), bias, &[outputs], true)?,
        })
    }
}
