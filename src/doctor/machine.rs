//! Processor, accelerator, model, data set, scheduler.

use std::process::Command;

use encode_clip::{Backend, Checkpoint};

use super::Check;
use crate::config::Config;
use crate::ui::plural;

/// Where the encoder would run.
pub(super) fn device(config: &Config) -> Vec<Check> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut checks = vec![Check::good("processor", plural(cores, "core"))];
    checks.push(match config.run.device.open() {
        Ok((_, backend)) if backend.is_cpu() => {
            let cuda =
                if cfg!(feature = "cuda") { "no CUDA device was asked for or found" } else { "this build has no CUDA" };
            Check::good("device", format!("{}; {cuda}", Backend::expected_engine()))
        }
        Ok((_, backend)) => Check::good("device", backend.to_string()),
        Err(error) => Check::bad("device", format!("run.device = \"{}\": {error}", config.run.device)),
    });
    checks
}

/// The checkpoint of the encoder.
pub(super) fn model(config: &Config) -> Check {
    let named = &config.encode_clip.model;
    match Checkpoint::locate(named) {
        Ok(checkpoint) => {
            let info = checkpoint.describe();
            let found = format!(
                "{}: {} blocks of {}, patches of {}, {} values per picture, {:.0} M parameters",
                info.name,
                info.layers,
                info.hidden_size,
                info.patch_size,
                info.projection_dim,
                info.parameters as f64 / 1e6
            );
            if info.random_weights {
                Check::note("model", format!("{found}; its weights are RANDOM: embeddings mean nothing"))
            } else {
                Check::good("model", found)
            }
        }
        Err(error) => {
            Check::bad("model", format!("{error}; without it, name the stages to run, e.g. `pipeline run log-mel`"))
        }
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

/// The scheduler, where there is one.
pub(super) fn slurm() -> Check {
    match Command::new("sinfo").arg("--version").output() {
        Ok(output) if output.status.success() => {
            Check::good("Slurm", String::from_utf8_lossy(&output.stdout).trim().to_string())
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Check::note("Slurm", format!("`sinfo` fails: {}", said.lines().next().unwrap_or_default()))
        }
        Err(_) => Check::note("Slurm", "not on this machine; any scheduler can run `pipeline run all --shards I/N`"),
    }
}
