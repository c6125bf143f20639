//! The measurements together: a line for each step, which of them bounds a run, and how long the whole data set would take.

use std::fmt;

use serde::Serialize;

use crate::bench::encoder::EncoderRate;
use crate::bench::measured::Measured;
use crate::bench::writing::WritingRate;
use crate::ui::{duration, plural};

/// Everything that `pipeline bench` says.
#[derive(Debug, Serialize)]
pub struct Table {
    /// The machine and the program.
    pub machine: Machine,
    /// Model and precision, where there is an encoder.
    pub encoder: Option<EncoderRate>,
    /// Clips that were measured, of how many in the data set.
    pub clips: usize,
    /// Clips of the data set.
    pub items: usize,
    /// Clips that could not be measured, and why.
    pub failed: Vec<String>,
    /// What cannot be read from the numbers.
    pub notes: Vec<String>,
    /// The steps.
    pub steps: Vec<Step>,
    /// The step that bounds a run with these settings.
    pub bound: Option<&'static str>,
    /// Seconds that the whole data set would take; `None` where no clip was measured.
    pub expected_seconds: Option<f64>,
}

/// The machine and the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Name of the processor.
    pub processor: String,
    /// Cores that this program may use.
    pub cores: usize,
    /// The widest vectors that the processor has.
    pub instructions: String,
    /// Clips at the same time.
    pub jobs: usize,
    /// `release` or `dev`.
    pub build: &'static str,
    /// Version of the program.
    pub version: &'static str,
}

impl Machine {
    /// This one.
    pub fn here(jobs: usize) -> Machine {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let named = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Machine {
            processor: named.map_or_else(|| std::env::consts::ARCH.to_string(), |(_, name)| name.trim().to_string()),
            cores,
            instructions: clip::Backend::expected_engine().instructions,
            jobs: if jobs == 0 { cores } else { jobs },
            build: if cfg!(debug_assertions) { "dev" } else { "release" },
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// One step of a clip.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Its name.
    pub step: &'static str,
    /// How much it does in a second: on one thread, but the encoder on all cores.
    pub rate: f64,
    /// Of what.
    pub unit: &'static str,
    /// Seconds of media per second, where that says something.
    pub real_time: Option<f64>,
    /// What it runs against.
    pub limit: &'static str,
    /// That, in the same unit.
    pub limit_rate: Option<f64>,
    /// The share of it that is reached.
    pub share: Option<f64>,
    /// Core-seconds of a clip.
    pub core_seconds_per_clip: f64,
}

impl Step {
    fn new(step: &'static str, unit: &'static str, amount: f64, seconds: f64, clips: f64) -> Step {
        let (rate, core_seconds_per_clip) = (amount / seconds, seconds / clips);
        Step { step, rate, unit, real_time: None, limit: "", limit_rate: None, share: None, core_seconds_per_clip }
    }

    fn real_time(self, media: f64, seconds: f64) -> Step {
        Step { real_time: Some(media / seconds), ..self }
    }

    fn against(self, limit: &'static str, limit_rate: f64) -> Step {
        Step { limit, limit_rate: Some(limit_rate), share: Some(self.rate / limit_rate), ..self }
    }
}

const MB: f64 = 1e6;

/// Of what was measured.
pub fn steps(
    media: &Measured,
    encoder: Option<&EncoderRate>,
    writing: Option<&WritingRate>,
    cores: usize,
) -> Vec<Step> {
    let clips = media.clips as f64;
    let mut steps = Vec::new();
    if media.clips == 0 {
        return steps;
    }
    if media.read_first > 0.0 {
        let megabytes = media.bytes as f64 / MB;
        let again = megabytes / media.read_again;
        steps.push(Step::new("read", "MB/s", megabytes, media.read_first, clips).against("page cache", again));
        steps.push(Step::new("hash", "MB/s", megabytes, media.hash, clips));
    }
    if media.pictures > 0 {
        let (pictures, seconds) = (media.pictures as f64, media.video_seconds);
        let extract = Step::new("extract-frames", "pictures/s", pictures, media.extract, clips);
        steps.push(extract.real_time(seconds, media.extract).against("decoding alone", pictures / media.decode_only));
    }
    if media.resized > 0 {
        let pictures = media.resized as f64;
        let resize = Step::new("resize and crop", "pictures/s", pictures, media.resize, clips);
        steps.push(resize.against("one pass over the pixels", pictures / media.pass));
    }
    if let Some(encoder) = encoder {
        let pictures = media.pictures as f64;
        let seconds = pictures / encoder.pictures_per_second;
        let mut step = Step::new("encode-clip", "pictures/s", pictures, seconds, clips);
        step = step.real_time(media.video_seconds, seconds);
        if let Some(limit) = encoder.limit {
            step = step.against("multiply-adds alone", limit);
        }
        step.core_seconds_per_clip = if encoder.on_cpu { seconds * cores as f64 / clips } else { 0.0 };
        steps.push(step);
    }
    if media.sound_seconds > 0.0 {
        let seconds = media.sound_seconds;
        steps.push(Step::new("sound", "clips/s", clips, media.sound, clips).real_time(seconds, media.sound));
        let log_mel = Step::new("log-mel", "clips/s", clips, media.log_mel, clips);
        steps.push(log_mel.real_time(seconds, media.log_mel).against("its transforms alone", clips / media.transforms));
    }
    if let Some(writing) = writing {
        let megabytes = writing.bytes as f64 / MB;
        let step = Step::new("write shards", "MB/s", megabytes, writing.shard, writing.items as f64);
        steps.push(step.against("a plain file", megabytes / writing.plain));
    }
    steps
}

/// Which step bounds a run, and how long this many items take.
///
/// A lane reads, decodes and (on a CPU) encodes one clip after the other, and there are `jobs` of them; a GPU works beside them; one thread
/// writes beside all. The slowest of the three is what a run takes, and within the lanes it is the step with the most core-seconds.
pub fn expect(
    steps: &[Step],
    encoder: Option<&EncoderRate>,
    pictures_per_clip: f64,
    items: usize,
    machine: &Machine,
) -> (Option<&'static str>, Option<f64>) {
    let lanes = || steps.iter().filter(|step| step.step != "write shards");
    let Some(heaviest) = lanes().max_by(|a, b| a.core_seconds_per_clip.total_cmp(&b.core_seconds_per_clip)) else {
        return (None, None);
    };
    let together = machine.jobs.min(machine.cores).max(1) as f64;
    let lane = lanes().map(|step| step.core_seconds_per_clip).sum::<f64>() / together;
    let mut bounds = vec![(heaviest.step, lane)];
    if let Some(encoder) = encoder.filter(|encoder| !encoder.on_cpu) {
        bounds.push(("encode-clip", pictures_per_clip / encoder.pictures_per_second));
    }
    if let Some(writing) = steps.iter().find(|step| step.step == "write shards") {
        bounds.push((writing.step, writing.core_seconds_per_clip));
    }
    let (bound, seconds) = bounds.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).expect("there are the lanes");
    (Some(bound), Some(seconds * items as f64))
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, instructions, jobs, build, version } = &self.machine;
        writeln!(f, "{processor}, {}, {instructions}; {} at a time", plural(*cores, "core"), plural(*jobs, "clip"))?;
        let slow = if *build == "dev" { " (a development build: slower than the release)" } else { "" };
        writeln!(f, "pipeline {version}, {build} build{slow}")?;
        if let Some(encoder) = &self.encoder {
            writeln!(f, "{}, {}, {} a call", encoder.model, encoder.precision, plural(encoder.batch, "picture"))?;
        }
        writeln!(f, "{} of {} measured", plural(self.clips, "clip"), self.items)?;
        for note in self.notes.iter().chain(&self.failed) {
            writeln!(f, "  note: {note}")?;
        }
        if self.steps.is_empty() {
            return Ok(());
        }
        writeln!(f)?;
        writeln!(
            f,
            "{:<16} {:>20} {:>11}  {:>6}  {:<36} {:>12}",
            "", "rate", "real time", "share", "of", "ms per clip"
        )?;
        for step in &self.steps {
            let rate = format!("{} {}", short(step.rate), step.unit);
            let real_time = step.real_time.map_or(String::new(), |times| format!("{} x", short(times)));
            let share = step.share.map_or(String::new(), |share| format!("{:.0} %", 100.0 * share));
            let limit = step.limit_rate.map_or(String::new(), |limit| format!("{} ({})", step.limit, short(limit)));
            let cost = 1e3 * step.core_seconds_per_clip;
            writeln!(f, "{:<16} {rate:>20} {real_time:>11}  {share:>6}  {limit:<36} {:>12}", step.step, short(cost))?;
        }
        if let (Some(bound), Some(seconds)) = (self.bound, self.expected_seconds) {
            writeln!(f)?;
            writeln!(f, "bound by {bound}; {} would take about {}", plural(self.items, "clip"), duration(seconds))?;
        }
        Ok(())
    }
}

/// Three digits.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine { processor: "p".into(), cores: 2, instructions: "i".into(), jobs: 2, build: "release", version: "0" }
    }

    fn measured() -> Measured {
        Measured {
            clips: 2,
            files: 4,
            bytes: 20_000_000,
            read_first: 0.2,
            read_again: 0.1,
            hash: 0.1,
            pictures: 20,
            video_seconds: 20.0,
            decode_only: 0.8,
            extract: 1.0,
            sound_seconds: 20.0,
            sound: 0.1,
            log_mel: 0.02,
            transforms: 0.01,
            ..Measured::default()
        }
    }

    #[test]
    fn rates_shares_and_the_expected_time_follow_from_the_sums() {
        let steps = steps(&measured(), None, None, 2);
        let step = |name: &str| steps.iter().find(|s| s.step == name).expect("a step").clone();
        assert_eq!((step("read").rate, step("read").share), (100.0, Some(0.5)));
        assert_eq!((step("extract-frames").rate, step("extract-frames").real_time), (20.0, Some(20.0)));
        assert!((step("extract-frames").share.expect("a limit") - 0.8).abs() < 1e-12);
        assert!((step("log-mel").share.expect("a limit") - 0.5).abs() < 1e-12);
        let (bound, seconds) = expect(&steps, None, 10.0, 100, &machine());
        // 1.42 core-seconds for two clips, on two cores.
        assert_eq!(bound, Some("extract-frames"));
        assert!((seconds.expect("measured") - 35.5).abs() < 1e-9);
    }

    #[test]
    fn a_gpu_or_the_disk_may_be_what_a_run_waits_for() {
        let gpu = EncoderRate {
            model: "m".into(),
            precision: "f16".into(),
            pictures_per_second: 5.0,
            batch: 10,
            limit: None,
            on_cpu: false,
        };
        let writing = WritingRate { items: 10, bytes: 1_000_000, shard: 50.0, plain: 1.0 };
        let with_gpu = steps(&measured(), Some(&gpu), None, 2);
        assert_eq!(expect(&with_gpu, Some(&gpu), 10.0, 1, &machine()), (Some("encode-clip"), Some(2.0)));
        let with_disk = steps(&measured(), None, Some(&writing), 2);
        assert_eq!(expect(&with_disk, None, 10.0, 1, &machine()), (Some("write shards"), Some(5.0)));
    }

    #[test]
    fn without_a_measured_clip_nothing_is_promised() {
        let none = steps(&Measured::default(), None, None, 2);
        assert!(none.is_empty());
        assert_eq!(expect(&none, None, 0.0, 5, &machine()), (None, None));
    }
}
