//! A network of any family, and its state.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use crate::config::{Architecture, Config};
use crate::mobilenet::MobileNet;
use crate::parameters::Variable;
use crate::resnet::ResNet;
use crate::{Error, Mode};

/// A classifier of log-mel spectrograms, with or without an image vector beside them.
#[derive(Debug)]
pub struct Network {
    config: Config,
    body: Body,
    variables: Vec<Variable>,
}

#[derive(Debug)]
enum Body {
    ResNet(ResNet),
    Mn(MobileNet),
}

impl Network {
    /// A network with random weights: the same for the same seed.
    pub fn new(config: &Config, seed: u64, device: &Device) -> Result<Network, Error> {
        config.check()?;
        let (body, variables) = if let Architecture::Mn { tenths } = config.architecture {
            let (net, variables) = MobileNet::new(config, f64::from(tenths) / 10.0, seed, device)?;
            (Body::Mn(net), variables)
        } else {
            let (net, variables) = ResNet::new(config, seed, device)?;
            (Body::ResNet(net), variables)
        };
        Ok(Network { config: *config, body, variables })
    }

    /// What it is.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Logits `[B, K]` of log-mel `[B, T, M]` (f32) and, where the network sees, image vectors `[B, D]`.
    pub fn forward(&self, log_mel: &Tensor, image: Option<&Tensor>, mut mode: Mode) -> Result<Tensor, Error> {
        let feature = self.features(log_mel, &mut mode)?;
        self.last(&self.hidden(&feature, mode)?, image)
    }

    /// What the last layer hears, `[B, H]`, of pooled features `[B, E]` ([`Network::embed`]).
    pub fn hidden(&self, feature: &Tensor, mut mode: Mode) -> Result<Tensor, Error> {
        Ok(match &self.body {
            Body::ResNet(net) => net.hidden(feature, &mut mode)?,
            Body::Mn(net) => net.hidden(feature, &mut mode)?,
        })
    }

    /// Logits `[B, K]`: the last layer of what it hears ([`Network::hidden`]) and, where the network sees, of image vectors
    /// `[B, D]`.
    pub fn last(&self, hidden: &Tensor, image: Option<&Tensor>) -> Result<Tensor, Error> {
        let joined = match (self.config.image_width, image) {
            (None, None) => hidden.clone(),
            (Some(width), Some(image)) => {
                let expected = [hidden.dims()[0], width];
                if image.dims() != expected {
                    return Err(Error::BadInput(format!(
                        "image vectors of shape {:?}, the network takes {expected:?}: were they made by another CLIP model?",
                        image.dims()
                    )));
                }
                Tensor::cat(&[hidden, image], 1)?
            }
            (Some(width), None) => {
                return Err(Error::BadInput(format!(
                    "the network takes image vectors of {width} numbers, none were given"
                )));
            }
            (None, Some(_)) => return Err(Error::BadInput("image vectors for an audio-only network".into())),
        };
        Ok(match &self.body {
            Body::ResNet(net) => net.head(&joined)?,
            Body::Mn(net) => net.head(&joined)?,
        })
    }

    /// Name of the last layer: its tensors are `NAME.weight` `[K, H + D]` and `NAME.bias` `[K]`.
    pub fn last_layer(&self) -> &'static str {
        match &self.body {
            Body::ResNet(_) => "fc",
            Body::Mn(_) => "classifier.5",
        }
    }

    /// The pooled feature `[B, E]` of log-mel `[B, T, M]`, before any layer of the classifier.
    pub fn embed(&self, log_mel: &Tensor, mut mode: Mode) -> Result<Tensor, Error> {
        self.features(log_mel, &mut mode)
    }

    /// Length `E` of [`Network::embed`]'s vector.
    pub fn embedding_width(&self) -> usize {
        match &self.body {
            Body::ResNet(net) => net.width(),
            Body::Mn(net) => net.width(),
        }
    }

    fn features(&self, log_mel: &Tensor, mode: &mut Mode) -> Result<Tensor, Error> {
        let dims = log_mel.dims();
        if dims.len() != 3
            || dims[0] == 0
            || dims[1] == 0
            || dims[2] != self.config.n_mels
            || log_mel.dtype() != DType::F32
        {
            return Err(Error::BadInput(format!(
                "log-mel of shape {dims:?} ({:?}), the network takes [batch, frames, {}] (F32)",
                log_mel.dtype(),
                self.config.n_mels
            )));
        }
        Ok(match &self.body {
            Body::ResNet(net) => net.embed(log_mel, mode)?,
            Body::Mn(net) => net.embed(log_mel, mode)?,
        })
    }

    /// Every tensor of its state, parameters and running statistics, always in the same order.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// Numbers that training moves.
    pub fn parameter_count(&self) -> usize {
        self.variables.iter().filter(|v| v.trainable).map(|v| v.var.elem_count()).sum()
    }

    /// Numbers of running statistics.
    pub fn buffer_count(&self) -> usize {
        self.variables.iter().filter(|v| !v.trainable).map(|v| v.var.elem_count()).sum()
    }

    /// A copy of the state by name.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, Error> {
        self.variables.iter().map(|v| Ok((v.name.clone(), v.var.as_tensor().copy()?.detach()))).collect()
    }

    /// Sets the whole state, as [`Network::state`] gave it: a tensor that is missing, has another shape or is too many is an
    /// error, and then nothing has been set.
    pub fn set_state(&self, state: &BTreeMap<String, Tensor>) -> Result<(), Error> {
        let origin = "the state";
        for v in &self.variables {
            let (name, expected) = (v.name.clone(), v.var.dims().to_vec());
            match state.get(&name) {
                None => return Err(Error::MissingTensor { origin: origin.into(), name, shape: expected }),
                Some(found) if found.dims() != expected => {
                    let found = found.dims().to_vec();
                    return Err(Error::TensorShape { origin: origin.into(), name, expected, found });
                }
                Some(_) => {}
            }
        }
        if state.len() != self.variables.len() {
            let known: std::collections::BTreeSet<_> = self.variables.iter().map(|v| &v.name).collect();
            let extra: Vec<_> = state.keys().filter(|name| !known.contains(name)).cloned().collect();
            return Err(Error::BadInput(format!("the state has tensors that the network lacks: {}", extra.join(", "))));
        }
        for v in &self.variables {
            v.var.set(&state[&v.name].to_dtype(DType::F32)?.to_device(v.var.device())?)?;
        }
        Ok(())
    }
}
