//! ResNet over log-mel spectrograms: the reference example's network (facts: torchvision's ResNet, one input channel).

use candle_core::{Device, Result, Tensor};

use crate::config::{Architecture, Config, Dropout};
use crate::layers::{Activation, BatchNorm, Conv, Linear, average_pool, conv_norm, max_pool};
use crate::mode::Mode;
use crate::parameters::{Builder, LinearStart, Variable};

/// Convolutions of one residual block, each with its norm, and the projection of the shortcut.
#[derive(Debug)]
struct Block {
    convs: Vec<(Conv, BatchNorm)>,
    shortcut: Option<(Conv, BatchNorm)>,
}

/// The network: see [`crate`].
#[derive(Debug)]
pub(crate) struct ResNet {
    bn0: BatchNorm,
    stem: (Conv, BatchNorm),
    layers: Vec<Vec<Block>>,
    extra: Linear,
    head: Linear,
    dropout: Dropout,
    width: usize,
}

impl ResNet {
    pub(crate) fn new(config: &Config, seed: u64, device: &Device) -> Result<(ResNet, Vec<Variable>)> {
        let (blocks, bottleneck) = match config.architecture {
            Architecture::ResNet18 => ([2, 2, 2, 2], false),
            Architecture::ResNet34 => ([3, 4, 6, 3], false),
            _ => ([3, 4, 6, 3], true),
        };
        // PyTorch's momentum 0.1 is Paddle's 0.9: the one weighs the new statistic, the other the old one.
        let mut b = Builder::new(seed, device, LinearStart::Uniform, 1e-5, 0.1);
        let bn0 = b.norm("bn0", config.n_mels)?;
        let stem = (b.conv("conv1", (1, 64), 7, 2, 1)?, b.norm("bn1", 64)?);
        let mut layers = Vec::new();
        let mut inputs = 64;
        for (i, count) in blocks.into_iter().enumerate() {
            let width = 64 << i;
            let outputs = if bottleneck { 4 * width } else { width };
            let mut layer = Vec::new();
            for j in 0..count {
                let stride = if i > 0 && j == 0 { 2 } else { 1 };
                let name = format!("layer{}.{j}", i + 1);
                let plan: &[(usize, usize, usize, usize)] = if bottleneck {
                    &[(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
                } else {
                    &[(inputs, width, 3, stride), (width, width, 3, 1)]
                };
                let mut convs = Vec::new();
                for (k, &(from, to, kernel, stride)) in plan.iter().enumerate() {
                    let conv = b.conv(&format!("{name}.conv{}", k + 1), (from, to), kernel, stride, 1)?;
                    convs.push((conv, b.norm(&format!("{name}.bn{}", k + 1), to)?));
                }
                let shortcut = if stride > 1 || inputs != outputs {
                    let conv = b.conv(&format!("{name}.downsample.0"), (inputs, outputs), 1, stride, 1)?;
                    Some((conv, b.norm(&format!("{name}.downsample.1"), outputs)?))
                } else {
                    None
                };
                layer.push(Block { convs, shortcut });
                inputs = outputs;
            }
            layers.push(layer);
        }
        let extra = b.linear("extra_fc", inputs, inputs)?;
        let head = b.linear("fc", inputs + config.image_width.unwrap_or(0), config.classes)?;
        let dropout = config.dropout;
        Ok((ResNet { bn0, stem, layers, extra, head, dropout, width: inputs }, b.finish()))
    }

    /// The pooled feature of log-mel `[B, T, M]`: `[B, 512]` or `[B, 2048]`.
    pub(crate) fn embed(&self, log_mel: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let train = mode.is_train();
        // bn0 sees the mel bands as channels.
        let (b, t, m) = log_mel.dims3()?;
        let bands = log_mel.transpose(1, 2)?.contiguous()?.reshape((b, m, t, 1))?;
        let x = conv_norm(None, &self.bn0, Activation::None, &bands, None, train)?;
        let x = x.reshape((b, m, t))?.transpose(1, 2)?.contiguous()?.unsqueeze(1)?;
        let mut x = max_pool(&conv_norm(Some(&self.stem.0), &self.stem.1, Activation::Relu, &x, None, train)?)?;
        for layer in &self.layers {
            for block in layer {
                x = block.forward(&x, train)?;
            }
            x = mode.dropout_channels(&x, self.dropout.layers)?;
        }
        average_pool(&x)
    }

    /// Length of the pooled feature.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The last layer's input, `[B, E]`, of a pooled feature.
    pub(crate) fn hidden(&self, feature: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let x = mode.dropout(feature, self.dropout.feature)?;
        let x = self.extra.forward(&x)?.relu()?;
        mode.dropout(&x, self.dropout.head)
    }

    pub(crate) fn head(&self, x: &Tensor) -> Result<Tensor> {
        self.head.forward(x)
    }
}

impl Block {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let shortcut = match &self.shortcut {
            Some((conv, norm)) => conv_norm(Some(conv), norm, Activation::None, x, None, train)?,
            None => x.clone(),
        };
        let mut y = x.clone();
        for (i, (conv, norm)) in self.convs.iter().enumerate() {
            let residual = (i + 1 == self.convs.len()).then_some(&shortcut);
            y = conv_norm(Some(conv), norm, Activation::Relu, &y, residual, train)?;
        }
        Ok(y)
    }
}
