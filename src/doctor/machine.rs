//! Processor, accelerator, data set.

use encode_clip::Backend;

use super::Check;
use crate::config::Config;
use crate::ui::plural;
use crate::usage::Driver;

/// Whether this build can use a GPU.
const CUDA: bool = cfg!(feature = "cuda");

/// Where the encoder would run.
pub(super) fn device(config: &Config) -> Vec<Check> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut checks = vec![Check::good("processor", plural(cores, "core"))];
    checks.push(driver());
    checks.push(match config.run.device.open() {
        Ok((_, backend)) if backend.is_cpu() => Check::good("device", Backend::expected_engine().to_string()),
        Ok((_, backend)) => Check::good("device", backend.to_string()),
        Err(error) => Check::bad("device", format!("run.device = \"{}\": {error}", config.run.device)),
    });
    checks
}

/// NVIDIA's driver: what this build makes of it, where it is, and what is missing where it is not.
fn driver() -> Check {
    const WHAT: &str = "NVIDIA driver";
    match Driver::ask() {
        Ok(Driver { version, gpus }) => {
            let names: Vec<&str> = gpus.iter().map(|gpu| gpu.name.as_str()).collect();
            let found = format!("{version}: {}", names.join(", "));
            if CUDA {
                Check::good(WHAT, found)
            } else {
                Check::note(WHAT, format!("{found}; this build is for the CPU, see docs/cuda.md"))
            }
        }
        Err(error) if CUDA => Check::note(
            WHAT,
            format!(
                "there is none ({error}): this is a build with CUDA, and without the driver it computes on the CPU; \
                 install the driver (580 or later), or start the container with its GPUs"
            ),
        ),
        Err(_) => Check::good(WHAT, "none, and this build for the CPU needs none"),
    }
}

/// The data set.
pub(super) fn data(config: &Config) -> Check {
    let Ok(data) = config.data() else {
        return Check::note("data set", "none is named: --data PATH, or `data` in pipeline.toml");
    };
    match discover::discover(data, &config.discover) {
        Ok(dataset) => {
            let classes = dataset.classes.len();
            let classes = match classes {
                0 => "no labels".to_string(),
                1 => "1 class".to_string(),
                n => format!("{n} classes"),
            };
            Check::good("data set", format!("{}: {}, {classes}", dataset.name, plural(dataset.items.len(), "item")))
        }
        Err(error) => Check::bad("data set", error.to_string()),
    }
}
