//! EfficientAT's `mn`: MobileNetV3-Large over log-mel spectrograms, with squeeze-and-excitation over the channels.
//!
//! Source: Howard et al., *Searching for MobileNetV3* (2019), table 1; Schmid et al., *Efficient Large-Scale Audio Tagging via
//! Transformer-to-CNN Knowledge Distillation* (2023), whose published weights have these names and shapes. Differences from
//! torchvision's MobileNetV3: one input channel; the gate of the squeeze-and-excitation is a sigmoid, its layers are linear
//! and stand in a list (`conc_se_layers`, of which the published networks have one, over the channels). Batch norms have eps
//! 1e-3 and PyTorch's momentum 0.01.

use candle_core::{Device, Result, Tensor};

use crate::config::Config;
use crate::layers::{Activation, BatchNorm, Conv, Linear, average_pool, conv_norm, scale_planes};
use crate::mode::Mode;
use crate::parameters::{Builder, LinearStart, Variable};

/// One row of the paper's table: kernel, expanded channels, output channels, squeeze-and-excitation, activation, stride.
type Row = (usize, usize, usize, bool, Activation, usize);

const RE: Activation = Activation::Relu;
const HS: Activation = Activation::HardSwish;

/// Bottlenecks of MobileNetV3-Large; its stem has 16 channels.
const ROWS: [Row; 15] = [
    (3, 16, 16, false, RE, 1),
    (3, 64, 24, false, RE, 2),
    (3, 72, 24, false, RE, 1),
    (5, 72, 40, true, RE, 2),
    (5, 120, 40, true, RE, 1),
    (5, 120, 40, true, RE, 1),
    (3, 240, 80, false, HS, 2),
    (3, 200, 80, false, HS, 1),
    (3, 184, 80, false, HS, 1),
    (3, 184, 80, false, HS, 1),
    (3, 480, 112, true, HS, 1),
    (3, 672, 112, true, HS, 1),
    (5, 672, 160, true, HS, 2),
    (5, 960, 160, true, HS, 1),
    (5, 960, 160, true, HS, 1),
];
const STEM: usize = 16;
/// The hidden layer of the classifier.
const HIDDEN: usize = 1280;

/// Channels are multiples of eight: the nearest one, never less than nine tenths of what was asked for.
fn channels(count: f64) -> usize {
    let nearest = ((count + 4.0) as usize / 8 * 8).max(8);
    if (nearest as f64) < 0.9 * count { nearest + 8 } else { nearest }
}

#[derive(Debug)]
struct Gate {
    squeeze: Linear,
    excite: Linear,
}

#[derive(Debug)]
struct Bottleneck {
    expand: Option<(Conv, BatchNorm)>,
    depthwise: (Conv, BatchNorm),
    gate: Option<Gate>,
    project: (Conv, BatchNorm),
    activation: Activation,
    shortcut: bool,
}

/// The network: see the module.
#[derive(Debug)]
pub(crate) struct MobileNet {
    stem: (Conv, BatchNorm),
    bottlenecks: Vec<Bottleneck>,
    last: (Conv, BatchNorm),
    hidden: Linear,
    head: Linear,
    dropout: f32,
    width: usize,
}

impl MobileNet {
    pub(crate) fn new(
        config: &Config,
        multiplier: f64,
        seed: u64,
        device: &Device,
    ) -> Result<(MobileNet, Vec<Variable>)> {
        let wide = |count: usize| channels(count as f64 * multiplier);
        let mut b = Builder::new(seed, device, LinearStart::Normal(0.01), 1e-3, 0.01);
        let mut inputs = wide(STEM);
        let stem = b.conv_norm("features.0", (1, inputs), 3, 2, 1)?;
        let mut bottlenecks = Vec::new();
        for (i, (kernel, expanded, outputs, gated, activation, stride)) in ROWS.into_iter().enumerate() {
            let (expanded, outputs) = (wide(expanded), wide(outputs));
            let mut part = 0;
            let mut name = || {
                part += 1;
                format!("features.{}.block.{}", i + 1, part - 1)
            };
            let expand =
                if expanded == inputs { None } else { Some(b.conv_norm(&name(), (inputs, expanded), 1, 1, 1)?) };
            let depthwise = b.conv_norm(&name(), (expanded, expanded), kernel, stride, expanded)?;
            let gate = if gated {
                let name = format!("{}.conc_se_layers.0", name());
                let squeezed = channels((expanded / 4) as f64);
                let squeeze = b.linear(&format!("{name}.fc1"), expanded, squeezed)?;
                Some(Gate { squeeze, excite: b.linear(&format!("{name}.fc2"), squeezed, expanded)? })
            } else {
                None
            };
            let project = b.conv_norm(&name(), (expanded, outputs), 1, 1, 1)?;
            let shortcut = stride == 1 && inputs == outputs;
            bottlenecks.push(Bottleneck { expand, depthwise, gate, project, activation, shortcut });
            inputs = outputs;
        }
        let width = 6 * inputs;
        let last = b.conv_norm(&format!("features.{}", ROWS.len() + 1), (inputs, width), 1, 1, 1)?;
        let hidden = b.linear("classifier.2", width, wide(HIDDEN))?;
        let head = b.linear("classifier.5", wide(HIDDEN) + config.image_width.unwrap_or(0), config.classes)?;
        let dropout = config.dropout.head;
        Ok((MobileNet { stem, bottlenecks, last, hidden, head, dropout, width }, b.finish()))
    }

    /// Length of the pooled feature.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The pooled feature of log-mel `[B, T, M]`. The network's picture is mel bands by time.
    pub(crate) fn embed(&self, log_mel: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let train = mode.is_train();
        let x = log_mel.transpose(1, 2)?.contiguous()?.unsqueeze(1)?;
        let mut x = conv_norm(Some(&self.stem.0), &self.stem.1, HS, &x, None, train)?;
        for bottleneck in &self.bottlenecks {
            x = bottleneck.forward(&x, train)?;
        }
        average_pool(&conv_norm(Some(&self.last.0), &self.last.1, HS, &x, None, train)?)
    }

    /// The last layer's input of a pooled feature.
    pub(crate) fn hidden(&self, feature: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        mode.dropout(&HS.apply(&self.hidden.forward(feature)?)?, self.dropout)
    }

    pub(crate) fn head(&self, x: &Tensor) -> Result<Tensor> {
        self.head.forward(x)
    }
}

impl Bottleneck {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let apply = |(conv, norm): &(Conv, BatchNorm), activation, x: &Tensor, residual: Option<&Tensor>| {
            conv_norm(Some(conv), norm, activation, x, residual, train)
        };
        let mut y = match &self.expand {
            Some(expand) => apply(expand, self.activation, x, None)?,
            None => x.clone(),
        };
        y = apply(&self.depthwise, self.activation, &y, None)?;
        if let Some(gate) = &self.gate {
            let squeezed = gate.squeeze.forward(&average_pool(&y)?)?.relu()?;
            y = scale_planes(&y, &sigmoid(&gate.excite.forward(&squeezed)?)?, true)?;
        }
        apply(&self.project, Activation::None, &y, self.shortcut.then_some(x))
    }
}

fn sigmoid(x: &Tensor) -> Result<Tensor> {
    (x.neg()?.exp()? + 1.0)?.recip()
}
