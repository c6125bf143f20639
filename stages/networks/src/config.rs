//! Which network: its family and size, what it hears and sees, how many classes it tells apart.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A family of networks and a size within it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Architecture {
    /// ResNet of basic blocks 2-2-2-2; feature of 512 numbers.
    ResNet18,
    /// ResNet of basic blocks 3-4-6-3; feature of 512 numbers.
    ResNet34,
    /// ResNet v1.5 of bottlenecks 3-4-6-3 (stride in the 3x3 convolution); feature of 2048 numbers.
    ResNet50,
    /// EfficientAT `mn`: MobileNetV3-Large with all widths times `tenths / 10`; `mn04` is 0.4, `mn10` the paper's network.
    Mn {
        /// Width multiplier in tenths, 1 to 99.
        tenths: u8,
    },
}

impl Architecture {
    /// The name as in `pipeline.toml`: `resnet50`, `mn04`.
    pub fn name(self) -> String {
        match self {
            Self::ResNet18 => "resnet18".into(),
            Self::ResNet34 => "resnet34".into(),
            Self::ResNet50 => "resnet50".into(),
            Self::Mn { tenths } => format!("mn{tenths:02}"),
        }
    }
}

impl std::str::FromStr for Architecture {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let unknown = || Error::UnknownArchitecture(name.to_owned());
        match name {
            "resnet18" => Ok(Self::ResNet18),
            "resnet34" => Ok(Self::ResNet34),
            "resnet50" => Ok(Self::ResNet50),
            _ => match name.strip_prefix("mn") {
                Some(digits) if digits.len() == 2 => match digits.parse() {
                    Ok(tenths) if tenths > 0 => Ok(Self::Mn { tenths }),
                    _ => Err(unknown()),
                },
                _ => Err(unknown()),
            },
        }
    }
}

impl TryFrom<String> for Architecture {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        name.parse()
    }
}

impl From<Architecture> for String {
    fn from(architecture: Architecture) -> String {
        architecture.name()
    }
}

/// Shares of values set to zero in training; the others are divided by one minus the share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// ResNet: whole channels after each of the four layers (`Dropout2D`). Unused by `mn`.
    pub layers: f32,
    /// ResNet: the pooled feature. Unused by `mn`.
    pub feature: f32,
    /// What the last layer is applied to (for `mn`, after its hidden layer).
    pub head: f32,
}

impl Dropout {
    /// Nothing is dropped.
    pub const NONE: Dropout = Dropout { layers: 0.0, feature: 0.0, head: 0.0 };

    /// What the reference example (ResNet) or EfficientAT's authors (`mn`) use.
    pub fn of(architecture: Architecture) -> Dropout {
        match architecture {
            Architecture::Mn { .. } => Dropout { layers: 0.0, feature: 0.0, head: 0.2 },
            _ => Dropout { layers: 0.2, feature: 0.2, head: 0.5 },
        }
    }
}

/// Everything that decides which tensors a network has, and its dropout.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Family and size.
    pub architecture: Architecture,
    /// Mel bands of the input, `M`.
    pub n_mels: usize,
    /// Classes, `K`.
    pub classes: usize,
    /// Length `D` of an image vector that is joined to the audio feature before the last layer; `None`: audio only.
    pub image_width: Option<usize>,
    /// Dropout in training.
    pub dropout: Dropout,
}

impl Config {
    /// An audio-only network with its usual dropout.
    pub fn audio(architecture: Architecture, n_mels: usize, classes: usize) -> Config {
        Config { architecture, n_mels, classes, image_width: None, dropout: Dropout::of(architecture) }
    }

    /// The same with an image vector of `width` numbers beside the sound.
    #[must_use]
    pub fn with_image(self, width: usize) -> Config {
        Config { image_width: Some(width), ..self }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let bad = |message: String| Err(Error::BadConfig(message));
        if self.n_mels == 0 {
            return bad("a network needs at least one mel band".into());
        }
        if self.classes < 2 {
            return bad(format!("{} class(es) to tell apart: a network needs at least two", self.classes));
        }
        if self.image_width == Some(0) {
            return bad("an image vector of length 0: name no image width for an audio-only network".into());
        }
        let Dropout { layers, feature, head } = self.dropout;
        for (name, share) in [("layers", layers), ("feature", feature), ("head", head)] {
            if !(0.0..1.0).contains(&share) {
                return bad(format!("dropout.{name} is {share}, it must be at least 0 and less than 1"));
            }
        }
        Ok(())
    }
}
