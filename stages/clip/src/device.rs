//! Where a tower computes, and what that was.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first CUDA device if this build has CUDA and there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device with this number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "cuda" => Ok(DeviceChoice::Cuda(0)),
            _ => match text.strip_prefix("cuda:").map(str::parse) {
                Some(Ok(ordinal)) => Ok(DeviceChoice::Cuda(ordinal)),
                _ => Err(Error::Device {
                    device: text.into(),
                    message: "expected \"auto\", \"cpu\" or \"cuda:N\"".into(),
                }),
            },
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> String {
        choice.to_string()
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl DeviceChoice {
    /// Opens the device, and says what it is. Each call gives a queue of work of its own.
    pub fn open(self) -> Result<(Device, Backend), Error> {
        match self {
            DeviceChoice::Cuda(ordinal) => cuda(ordinal),
            DeviceChoice::Auto if candle_core::utils::cuda_is_available() => match cuda(0) {
                // A CUDA build on a machine without a device. Any other failure is one, not a reason to be slow.
                Err(Error::Device { message, .. }) if message.contains(NO_DEVICE) => Ok((Device::Cpu, Backend::cpu())),
                opened => opened,
            },
            DeviceChoice::Cpu | DeviceChoice::Auto => Ok((Device::Cpu, Backend::cpu())),
        }
    }
}

/// What the driver says where it finds no device.
const NO_DEVICE: &str = "CUDA_ERROR_NO_DEVICE";

#[cfg(feature = "cuda")]
fn cuda(ordinal: usize) -> Result<(Device, Backend), Error> {
    let failed = |error: String| {
        let message = if error.contains(NO_DEVICE) {
            format!(
                "there is no GPU, or no driver for it ({NO_DEVICE}); `nvidia-smi` shows both, and `device = \"auto\"` takes the CPU then"
            )
        } else {
            format!("cannot be opened: {error}")
        };
        Error::Device { device: format!("cuda:{ordinal}"), message }
    };
    // A stream of its own: work on the default one waits for that of all others.
    let device = Device::new_cuda_with_stream(ordinal).map_err(|e| failed(contract::without_backtrace(&e)))?;
    let stream = device.as_cuda_device()?.cuda_stream();
    let name = stream.context().name().map_err(|e| failed(contract::without_backtrace(&e)))?;
    let (major, minor) = stream.context().compute_capability().map_err(|e| failed(contract::without_backtrace(&e)))?;
    let backend = Backend {
        device: format!("cuda: {name}"),
        instructions: format!("sm_{major}{minor}"),
        library: LIBRARY.into(),
    };
    Ok((device, backend))
}

#[cfg(not(feature = "cuda"))]
fn cuda(ordinal: usize) -> Result<(Device, Backend), Error> {
    Err(Error::Device {
        device: format!("cuda:{ordinal}"),
        message: "this is a CPU build; use a build with CUDA, which packaging/cuda-build.sh makes (docs/cuda.md), or \
                  `device = \"cpu\"`"
            .into(),
    })
}

const CPU: &str = "cpu";

const LIBRARY: &str = "candle 0.11";

/// What the values were computed on: provenance, no part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backend {
    /// `cpu`, or the name of the CUDA device.
    pub device: String,
    /// Architecture and the extensions that matter to the matrix kernel.
    pub instructions: String,
    /// The tensor library.
    pub library: String,
}

impl Backend {
    /// The CPU engine.
    pub fn engine(tower: &transformer::Tower) -> Backend {
        let elements = match tower.elements() {
            transformer::Elements::F32 => "f32",
            transformer::Elements::Bf16 => "bf16",
        };
        Backend {
            device: CPU.into(),
            instructions: format!("{}+{}", std::env::consts::ARCH, tower.instructions()),
            library: format!("own kernels in {elements}"),
        }
    }

    /// The CPU engine as it would be on this processor, before a model is loaded.
    pub fn expected_engine() -> Backend {
        let instructions = format!("{}+{}", std::env::consts::ARCH, transformer::Instructions::best());
        Backend { device: CPU.into(), instructions, library: "own kernels".into() }
    }

    /// Whether it is the CPU.
    pub fn is_cpu(&self) -> bool {
        self.device == CPU
    }

    fn cpu() -> Backend {
        #[cfg(target_arch = "x86_64")]
        let extensions: Vec<&str> = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ]
        .into_iter()
        .filter_map(|(name, there)| there.then_some(name))
        .collect();
        #[cfg(not(target_arch = "x86_64"))]
        let extensions: Vec<&str> = Vec::new();
        let instructions = std::iter::once(std::env::consts::ARCH).chain(extensions).collect::<Vec<_>>().join("+");
        Backend { device: CPU.into(), instructions, library: LIBRARY.into() }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}), {}", self.device, self.instructions, self.library)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn choices_as_written() {
        for (text, choice) in
            [("auto", DeviceChoice::Auto), ("cpu", DeviceChoice::Cpu), ("cuda:1", DeviceChoice::Cuda(1))]
        {
            assert_eq!(text.parse::<DeviceChoice>().unwrap(), choice);
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
        for text in ["gpu", "cuda:", "cuda:x", "CPU", ""] {
            let error = text.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(error.contains("expected \"auto\", \"cpu\" or \"cuda:N\""), "{error}");
        }
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_cpu_build_says_that_it_is_one() {
        let error = DeviceChoice::Cuda(0).open().unwrap_err().to_string();
        assert!(error.starts_with("device \"cuda:0\": this is a CPU build; use a build with CUDA"), "{error}");
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for file in ["packaging/cuda-build.sh", "docs/cuda.md"] {
            assert!(error.contains(file) && root.join(file).exists(), "{error}");
        }
        assert!(DeviceChoice::Auto.open().unwrap().1.to_string().starts_with("cpu ("));
    }
}
