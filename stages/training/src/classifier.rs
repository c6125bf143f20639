//! The networks of the shelf, as training takes them.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use networks::LoadReport;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::{Batch, Error, Mode, Network, Variable};

/// A network of the crate `networks`, wholly trained or only in its last layer.
#[derive(Debug)]
pub struct Classifier {
    network: networks::Network,
    name: String,
    frozen: bool,
    image_dropout: f32,
    loaded: Option<LoadReport>,
}

impl Classifier {
    /// A network with random weights, the same for the same seed; every parameter is trained.
    pub fn new(config: &networks::Config, seed: u64) -> Result<Classifier, Error> {
        let network = networks::Network::new(config, seed, &Device::Cpu)?;
        Ok(Classifier { network, name: config.architecture.name(), frozen: false, image_dropout: 0.0, loaded: None })
    }

    /// Starts from a file of weights, safetensors or a PyTorch zip; [`Classifier::loaded`] then says what it had. A last layer of other
    /// classes stays at random; anything else that is missing or of another shape is an error.
    pub fn load(self, path: &Path) -> Result<Classifier, Error> {
        let loaded = Some(self.network.load(path)?);
        Ok(Classifier { loaded, ..self })
    }

    /// What the file that it was loaded from had. For a person to read: show it.
    pub fn loaded(&self) -> Option<&LoadReport> {
        self.loaded.as_ref()
    }

    /// Trains the last layer alone. What comes before it stays as it is, running statistics too, and runs as in evaluation:
    /// without dropout.
    #[must_use]
    pub fn frozen(self) -> Classifier {
        Classifier { frozen: true, ..self }
    }

    /// Drops this share of the image vector's numbers in training.
    #[must_use]
    pub fn with_image_dropout(self, share: f32) -> Classifier {
        Classifier { image_dropout: share, ..self }
    }

    /// Takes the weights and running statistics of another network of the same architecture: one that only hears gives a network
    /// that also sees its whole half, and of the last layer the columns of that half (the others stay).
    pub fn start_from(&self, other: &Classifier) -> Result<(), Error> {
        let refuse = |problem: String| Error::Weights { network: self.name.clone(), problem };
        let last = format!("{}.weight", self.network.head_name());
        let theirs: BTreeMap<String, Tensor> =
            other.variables().into_iter().map(|v| (v.name, v.var.as_detached_tensor())).collect();
        let mut set = Vec::new();
        for variable in self.variables() {
            let Some(found) = theirs.get(&variable.name) else {
                return Err(refuse(format!("{} is not there", variable.name)));
            };
            let own = variable.var.as_detached_tensor();
            let value = if variable.name == last && found.dims2()?.1 < own.dims2()?.1 {
                let (heard, all) = (found.dims2()?.1, own.dims2()?.1);
                Tensor::cat(&[found, &own.narrow(1, heard, all - heard)?], 1)?
            } else {
                found.copy()?
            };
            if value.dims() != own.dims() {
                return Err(refuse(format!("{} is {:?}, not {:?}", variable.name, value.dims(), own.dims())));
            }
            set.push((variable.var, value));
        }
        for (var, value) in set {
            var.set(&value)?;
        }
        Ok(())
    }

    /// The network itself.
    pub fn network(&self) -> &networks::Network {
        &self.network
    }

    fn train(&self, batch: &Batch, seed: u64) -> Result<Tensor, Error> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let image = match &batch.image {
            Some(image) if self.image_dropout > 0.0 => Some(self.drop_image(image, &mut rng)?),
            image => image.clone(),
        };
        if self.frozen {
            let feature = self.network.embed(&batch.log_mel, networks::Mode::Eval)?.detach();
            let hidden = self.network.hidden(&feature, networks::Mode::Eval)?.detach();
            return Ok(self.network.last(&hidden, image.as_ref())?);
        }
        Ok(self.network.forward(&batch.log_mel, image.as_ref(), networks::Mode::Train(&mut rng))?)
    }

    fn drop_image(&self, image: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor, Error> {
        let kept = 1.0 / (1.0 - self.image_dropout);
        let factors: Vec<f32> = (0..image.elem_count())
            .map(|_| if rng.random::<f32>() < self.image_dropout { 0.0 } else { kept })
            .collect();
        Ok((image * Tensor::from_vec(factors, image.dims(), image.device())?)?)
    }
}

impl Network for Classifier {
    fn name(&self) -> &str {
        &self.name
    }

    fn n_mels(&self) -> usize {
        self.network.config().n_mels
    }

    fn image_width(&self) -> Option<usize> {
        self.network.config().image_width
    }

    fn classes(&self) -> usize {
        self.network.config().classes
    }

    fn forward(&self, batch: &Batch, mode: Mode) -> Result<Tensor, Error> {
        match mode {
            Mode::Evaluate => Ok(self.network.forward(&batch.log_mel, batch.image.as_ref(), networks::Mode::Eval)?),
            Mode::Train { seed } => self.train(batch, seed),
        }
    }

    fn embed(&self, batch: &Batch) -> Result<Tensor, Error> {
        Ok(self.network.embed(&batch.log_mel, networks::Mode::Eval)?)
    }

    fn variables(&self) -> Vec<Variable> {
        let last = format!("{}.", self.network.head_name());
        let variables = self.network.variables().iter();
        variables
            .map(|v| Variable {
                name: v.name.clone(),
                var: v.var.clone(),
                trainable: v.trainable && (!self.frozen || v.name.starts_with(&last)),
            })
            .collect()
    }
}
