//! `pipeline bench`: what each stage does on this machine with this data.

use clap::Args;
use contract::Item;

use crate::bench::measured::{self, Clip, Request};
use crate::bench::table::{self, Machine, Table};
use crate::bench::{encoder, writing};
use crate::cli::{Common, print, print_json};
use crate::config::Config;
use crate::error::Result;
use crate::exit;
use crate::resolve::{Source, refuse};
use crate::worker::child::path_bytes;
use crate::worker::{Limits, Settings};

/// Options of `bench`.
#[derive(Debug, Args)]
#[command(after_long_help = LINES)]
pub(super) struct Options {
    /// Clips to measure, taken evenly from the data set
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    clips: u32,
    /// Begin no further clip after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    seconds: f64,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

const LINES: &str = "\
The lines of the table. Every rate is that of one thread, but the encoder's, which has all cores; `share` is the rate divided by that of the
limit that is named, measured in the same run; `ms per clip` are milliseconds of one core. Nothing that is measured enters the store.

  read             reading the files for the first time, from disk or wherever the system has them; against reading them again
  hash             BLAKE3 of the bytes that were read, in memory
  extract-frames   opening, decoding and converting the wanted pictures; against opening and decoding alone
  resize and crop  pictures as the encoder wants them; against going once over their pixels
  encode-clip      the network, in calls of as many pictures as a clip has; against the multiplications and additions that a picture
                   takes, in registers on all cores, with the same instructions and precision
  sound            decoding the sound
  log-mel          the spectrogram, resampling included; against its Fourier transforms alone
  write shards     a shard (of 64 items, if shards are that large), forced to the disk; against a plain file of as many bytes

The last line names the step that bounds a run with these settings and how long the whole data set would take: lanes decode and, on a CPU,
encode, a GPU works beside them, and one thread writes beside all; the slowest of them counts.";

pub(super) fn execute(options: &Options) -> Result<u8> {
    let config = options.common.config()?;
    let dataset = discover::discover(config.data()?, &config.discover)?;
    let items = &dataset.items;
    let machine = Machine::here(config.run.jobs);
    let mut notes = Vec::new();

    let checkpoint =
        if items.iter().any(|item| item.video.is_some()) { checkpoint(&config, &mut notes)? } else { None };
    let recipe = checkpoint.as_ref().map(|(checkpoint, spec)| encode_clip::Recipe::new(checkpoint, spec.preprocessing));
    let recipe = recipe.transpose().map_err(|e| refuse(encode_clip::DECL.id, &e))?;
    let log_mel = config.log_mel.resolve().map_err(|e| refuse(log_mel::DECL.id, &e))?;
    let settings = Settings {
        extract_frames: config.extract_frames.clone(),
        log_mel: Some(config.log_mel.clone()),
        encode_clip: recipe,
        limits: Limits::of(&config.run),
    };
    let clips = evenly(items, options.clips as usize).map(request).collect();
    let request = Request { clips, settings: settings.to_text(), seconds: options.seconds };
    let measured = measured::measure(&request)?;

    let pictures_per_clip = measured.pictures as f64 / measured.clips.max(1) as f64;
    let encoder = match &checkpoint {
        Some((checkpoint, spec)) if measured.pictures > 0 => {
            Some(encoder::measure(checkpoint, spec, &config, pictures_per_clip.ceil() as usize, options.seconds)?)
        }
        _ => None,
    };
    let writing = if measured.log_mel_rows > 0 {
        let (work, rows) = (config.work_dir(), measured.log_mel_rows / measured.clips);
        // The work directory may not be there yet, and is not made by this.
        let folder = work.root().ancestors().find(|folder| folder.is_dir()).unwrap_or(std::path::Path::new("."));
        Some(writing::measure(folder, config.store.shard_size.min(64), rows, log_mel.n_mels)?)
    } else {
        None
    };

    let steps = table::steps(&measured, encoder.as_ref(), writing.as_ref(), machine.cores);
    let (bound, expected_seconds) = table::expect(&steps, encoder.as_ref(), pictures_per_clip, items.len(), &machine);
    notes.extend(dataset.notes.clone());
    let table = Table {
        machine,
        encoder,
        clips: measured.clips,
        items: items.len(),
        failed: measured.failed,
        notes,
        steps,
        bound,
        expected_seconds,
    };
    if options.json {
        print_json(&table)?;
    } else {
        print(&table.to_string())?;
    }
    Ok(if table.clips > 0 { exit::DONE } else { exit::FAILED })
}

/// The model, unless it is not to be had: the rest can be measured without it.
fn checkpoint(
    config: &Config,
    notes: &mut Vec<String>,
) -> Result<Option<(encode_clip::Checkpoint, encode_clip::Spec)>> {
    let spec = config.encode_clip.resolve().map_err(|e| refuse(encode_clip::DECL.id, &e))?;
    match encode_clip::Checkpoint::locate(&config.encode_clip.model) {
        Ok(checkpoint) => Ok(Some((checkpoint, spec))),
        Err(error) => {
            notes.push(format!("encode-clip is left out: {error}"));
            Ok(None)
        }
    }
}

/// At most `n` of the items, evenly from all of them.
fn evenly(items: &[Item], n: usize) -> impl Iterator<Item = &Item> {
    let n = n.min(items.len());
    (0..n).map(move |i| &items[i * items.len() / n])
}

fn request(item: &Item) -> Clip {
    let bytes = |source: Source| source.path(item).map(path_bytes);
    Clip { id: item.id.clone(), video: bytes(Source::Pictures), sound: bytes(Source::Sound) }
}
