//! The command line: what a person types, and nothing else. Each command is a file.

mod bench;
mod choice;
mod data;
mod doctor;
mod explain;
mod export;
mod failures;
mod gc;
mod graph;
mod import;
mod predict;
mod retry;
mod run;
mod runs;
mod shell;
mod signals;
mod slurm;
mod status;
mod verify;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Overrides};
use crate::error::{Error, Result};
use crate::exit;

/// From a folder of MP4 and WAV files to features and evaluated audio-visual scene classifiers.
#[derive(Debug, Parser)]
#[command(name = "pipeline", version, arg_required_else_help = true, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{ENDS}"))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  pipeline run all                                   everything that ./pipeline.toml asks for
  pipeline run log-mel --data clips/ --work out/     one stage, on a folder of clips, without any file
  pipeline run all --dry-run                         what would be done, and why
  pipeline run all --set log-mel.preset=panns        one knob, for this run
  pipeline explain encode-clip airport-lisbon-1-2    why this item is or is not computed again";

const ENDS: &str = "\
Exit codes:
  0   done
  1   failed; the message says why
  2   the command line or the configuration is wrong
  3   run --dry-run: there is work to do
  4   done, but some items failed: `pipeline failures` lists them
  75  stopped by a signal: what was finished is kept, and the same command goes on from there";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run stages and what they need; finished work is never done twice
    Run(run::Options),
    /// Judge new clips by a system that was trained: one line of JSON each
    Predict(predict::Options),
    /// Try failed items again, all of them or those of some causes
    Retry(retry::Options),
    /// Show what is done and what is left
    Status(status::Options),
    /// Run as jobs of a Slurm cluster, and watch them
    Slurm(slurm::Options),
    /// Show the stages and what reads what, as text, Graphviz or Mermaid
    Graph(graph::Options),
    /// Say why an item, or a whole stage, is or is not up to date
    Explain(explain::Options),
    /// List what was run on the work directory, and how it ended
    Runs(runs::Runs),
    /// Show what a run said
    Logs(runs::Logs),
    /// List the items that failed, with their causes
    Failures(failures::Options),
    /// Check every shard and picture against its checksums; damaged ones are set aside and computed again by the next run
    Verify(verify::Options),
    /// Free the space of values that no current plan needs
    Gc(gc::Options),
    /// Say whether this machine is fit for the configuration, and what to do where it is not
    Doctor(doctor::Options),
    /// Measure each stage on this machine and this data: its rate, the limit it runs against, and the share reached
    Bench(bench::Options),
    /// Download and check the media that a manifest lists
    Data(data::Options),
    /// Write the features of a stage as one HDF5 dataset per clip, as npy, or as Parquet
    Export(export::Options),
    /// Take features that others extracted as the values of a stage
    Import(import::Options),
    /// Print the completions of a shell, e.g. `pipeline completions bash > /etc/bash_completion.d/pipeline`
    Completions(shell::Completions),
    /// Print a manual page, e.g. `pipeline man | man -l -`
    Man(shell::Man),
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
struct Common {
    /// Configuration file [default: ./pipeline.toml where there is one]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The data set: a manifest, a folder of clips, or one clip
    #[arg(long, value_name = "PATH", global = true)]
    data: Option<PathBuf>,
    /// The work directory [default: work]
    #[arg(long, value_name = "DIR", global = true)]
    work: Option<PathBuf>,
    /// Set one knob, e.g. log-mel.n_mels=64; may be repeated
    #[arg(long, value_name = "STAGE.KEY=VALUE", global = true)]
    set: Vec<String>,
}

impl Common {
    fn config(&self) -> Result<Config> {
        let config = Config::load(&Overrides {
            file: self.config.clone(),
            data: self.data.clone(),
            work: self.work.clone(),
            set: self.set.clone(),
        })?;
        let work = config.work_dir();
        match work.root().ancestors().find(|path| path.exists()) {
            Some(file) if !file.is_dir() => Err(Error::Usage(format!(
                "the work directory cannot be {}: {} is a file; name another folder with --work",
                work.root().display(),
                file.display()
            ))),
            _ => Ok(config),
        }
    }
}

/// Parses the command line, runs the command, prints an error for a person, and chooses the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::DONE });
        }
    };
    let outcome = match cli.command {
        Command::Run(options) => run::execute(&options),
        Command::Retry(options) => retry::execute(&options),
        Command::Predict(options) => predict::execute(&options),
        Command::Status(options) => status::execute(&options),
        Command::Slurm(options) => slurm::execute(&options),
        Command::Graph(options) => graph::execute(&options),
        Command::Explain(options) => explain::execute(&options),
        Command::Runs(options) => runs::list(&options),
        Command::Logs(options) => runs::show(&options),
        Command::Failures(options) => failures::execute(&options),
        Command::Verify(options) => verify::execute(&options),
        Command::Gc(options) => gc::execute(&options),
        Command::Bench(options) => bench::execute(&options),
        Command::Data(options) => data::execute(&options),
        Command::Export(options) => export::execute(&options),
        Command::Import(options) => import::execute(&options),
        Command::Doctor(options) => doctor::execute(&options),
        Command::Completions(options) => shell::completions(&options),
        Command::Man(options) => shell::man(&options),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(match error {
                Error::Usage(_) | Error::Config { .. } => exit::USAGE,
                _ => exit::FAILED,
            })
        }
    }
}

/// Prints to standard output; a reader that went away (`| head`) is no error.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => crate::error::IoContext::at(outcome, "write to", std::path::Path::new("standard output")),
    }
}

/// A value as indented JSON.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print(&(serde_json::to_string_pretty(value).expect("plain data") + "\n"))
}
