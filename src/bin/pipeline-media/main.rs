//! The media worker: reads, hashes and decodes files for `pipeline`, which starts it and talks to it over its standard input and output
//! (`pipeline::worker`). It is a program of its own because it may die of what it reads, and because loading libav takes time.

mod bench;
mod fault;
mod files;
mod limits;
mod sample;
mod serve;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};

fn main() -> ExitCode {
    // A runner that is killed leaves nobody behind, even where the worker does not look at its input for a while.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    // Whoever asks a run to end may ask all of its processes; the runner then finishes what it has begun, and needs its workers for it.
    let unused = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        let _ = signal_hook::flag::register(signal, Arc::clone(&unused));
    }
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if arguments == [pipeline::bench::measured::ARGUMENT] {
        return ended(bench::bench(&mut std::io::stdin().lock(), &mut std::io::stdout().lock()));
    }
    if !arguments.is_empty() {
        let _ = writeln!(
            std::io::stderr(),
            "pipeline-media is started by `pipeline`, which tells it what to do; it takes no arguments"
        );
        return ExitCode::from(pipeline::exit::USAGE);
    }
    ended(serve::serve(&mut std::io::stdin().lock(), &mut std::io::stdout().lock()))
}

fn ended(outcome: std::io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "pipeline-media: {error}");
            ExitCode::FAILURE
        }
    }
}
