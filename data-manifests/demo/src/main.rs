//! `demo data` renders the demo clips, `demo train-clip` trains the small CLIP that is committed for them.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Parser, Subcommand};

/// Makes what the demo needs: clips through real encoders, and the small CLIP that was trained for them.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Render clips of ten scenes: MP4, WAV and a table of items. Goes on where it was stopped.
    Data {
        /// Folder to write to.
        #[arg(long)]
        out: PathBuf,
        /// Number of clips.
        #[arg(long, default_value_t = 100)]
        clips: usize,
        /// Another seed gives other clips.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Also an item with a truncated video, and one without any.
        #[arg(long)]
        broken: bool,
    },
    /// Train a small CLIP on rendered pictures and captions, and write it with its card. Takes a quarter of an hour.
    TrainClip {
        /// Folder to write to.
        #[arg(long)]
        out: PathBuf,
        /// Another seed gives other pictures, captions and weights; 0 is the demo's own and refused.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Updates of the weights.
        #[arg(long, default_value_t = 1000)]
        steps: usize,
        /// Places of each class to render.
        #[arg(long, default_value_t = 400)]
        places: usize,
    },
}

fn main() -> anyhow::Result<()> {
    let start = Instant::now();
    match Arguments::parse().command {
        Command::Data { out, clips, seed, broken } => {
            let shown = out.display().to_string();
            let outcome = demo::data::render(&demo::data::Request { out, clips, seed, broken })?;
            let seconds = start.elapsed().as_secs_f64();
            eprintln!("{shown}: {} clips rendered, {} kept, {seconds:.1} s", outcome.rendered, outcome.kept);
        }
        Command::TrainClip { out, seed, steps, places } => {
            demo::train::run(&demo::train::Request { out, seed, steps, places }, &mut |line| eprintln!("{line}"))?;
        }
    }
    Ok(())
}
