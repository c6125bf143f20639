//! The scheduler, where there is one: does it answer, what does it take, and can jobs share this work directory?

use std::process::Command;

use super::Check;
use crate::config::{Config, nearest};
use crate::slurm::queue;
use crate::ui::plural;

const WHAT: &str = "Slurm";

/// Every check of Slurm.
pub(super) fn checks(config: &Config) -> Vec<Check> {
    let version = match Command::new("sinfo").arg("--version").output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_string(),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            return vec![Check::note(WHAT, format!("`sinfo` fails: {}", said.lines().next().unwrap_or_default()))];
        }
        Err(_) => {
            let message = "not on this machine; any scheduler can run `pipeline run all --shards I/N`";
            return vec![Check::note(WHAT, message)];
        }
    };
    let partitions = match queue::partitions() {
        Ok(partitions) => partitions,
        Err(error) => {
            let message = format!("{version}, but its controller does not answer ({error}): ask on a login node");
            return vec![Check::note(WHAT, message)];
        }
    };
    let mut checks = vec![Check::good(WHAT, version)];
    let words: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    let words = words.join("; ");
    checks.push(if partitions.iter().any(queue::Partition::is_open) {
        Check::good("partitions", words)
    } else {
        Check::note("partitions", format!("{words}: none takes jobs that can start now"))
    });
    checks.extend(unknown_partitions(config, &partitions));
    checks.push(match queue::max_array_size() {
        Some(most) => Check::good("job arrays", format!("up to {} (MaxArraySize)", plural(most, "task"))),
        None => Check::note("job arrays", "`scontrol show config` names no MaxArraySize: an array has a task a shard"),
    });
    checks.push(shared(config));
    checks
}

/// Partitions that `[slurm]` names and the cluster does not have.
fn unknown_partitions(config: &Config, partitions: &[queue::Partition]) -> Vec<Check> {
    let slurm = &config.slurm;
    let tables = [&slurm.sbatch, &slurm.sets].into_iter().chain(slurm.profiles.values());
    let named = tables.filter_map(|lines| lines.get("partition")).map(ToString::to_string);
    let mut unknown: Vec<String> = named
        .flat_map(|list| list.split(',').map(str::to_string).collect::<Vec<_>>())
        .filter(|name| partitions.iter().all(|partition| partition.name != *name))
        .collect();
    unknown.sort();
    unknown.dedup();
    let check = |name: &String| {
        let hint = nearest(name, partitions.iter().map(|partition| partition.name.as_str()))
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Check::bad("partitions", format!("[slurm] names `{name}`, which the cluster does not have{hint}"))
    };
    unknown.iter().map(check).collect()
}

/// Jobs run elsewhere, so what they read and write must be there, too.
fn shared(config: &Config) -> Check {
    let work = config.work_dir();
    let root = std::path::absolute(work.root()).unwrap_or_else(|_| work.root().to_path_buf());
    // What these hold is this machine's own on every cluster.
    let local = ["/tmp", "/var/tmp", "/dev/shm"].into_iter().find(|folder| root.starts_with(folder));
    match local {
        Some(folder) => Check::note(
            "shared folders",
            format!(
                "{} lies in {folder}, which each node usually has for itself: name another with --work",
                root.display()
            ),
        ),
        None => {
            Check::good("shared folders", format!("{} must be on every node, and so must the media", root.display()))
        }
    }
}
