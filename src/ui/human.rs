//! Progress for a person: a bar per active stage on a terminal, one line every few seconds elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use training::{Phase, Progress};

use crate::events::{Event, GpuUse, Reporter, StageProgress};
use crate::ui::{duration, plural};

/// How many failures are told one by one before only their number is.
const FAILURES_SHOWN: usize = 10;

/// Reports to standard error.
pub struct Human {
    state: Mutex<State>,
    every: Duration,
}

struct State {
    bars: Option<MultiProgress>,
    stages: BTreeMap<&'static str, Stage>,
    last_line: Instant,
    failures_told: usize,
    /// Of the set stage that takes long.
    long: Option<ProgressBar>,
    /// Under the bars: how busy the machine is.
    machine: Option<ProgressBar>,
}

struct Stage {
    bar: ProgressBar,
    done: usize,
    failed: usize,
}

impl Human {
    /// `every`: between two lines where standard error is no terminal.
    pub fn new(every: Duration) -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Human {
            state: Mutex::new(State {
                bars,
                stages: BTreeMap::new(),
                last_line: Instant::now(),
                failures_told: 0,
                long: None,
                machine: None,
            }),
            every,
        }
    }

    /// How often it wants to hear of the progress.
    pub fn period(&self) -> Duration {
        let is_terminal = self.state.lock().expect("no holder panics").bars.is_some();
        if is_terminal { self.every.min(Duration::from_secs(1)) } else { self.every }
    }
}

impl State {
    fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(text);
            }
            None => {
                let _ = writeln!(std::io::stderr(), "{text}");
            }
        }
    }

    fn clear_bars(&mut self) {
        for stage in self.stages.values() {
            stage.bar.finish_and_clear();
        }
        for bar in self.long.take().into_iter().chain(self.machine.take()) {
            bar.finish_and_clear();
        }
    }

    /// Of a long stage: on a terminal a bar with a text beside it, elsewhere a line every few seconds.
    fn show(&mut self, stage: &str, (done, of): (usize, usize), text: &str, every: Duration) {
        match &self.bars {
            Some(bars) => {
                let bar = self.long.get_or_insert_with(|| bars.add(ProgressBar::new(0).with_style(long_style(stage))));
                bar.set_length(of as u64);
                bar.set_position(done as u64);
                bar.set_message(text.to_string());
            }
            None if self.last_line.elapsed() >= every => {
                self.last_line = Instant::now();
                self.say(&format!("  {stage:<15} {text}"));
            }
            None => {}
        }
    }

    /// Of all that goes on: on a terminal a line under the bars, elsewhere one every few seconds, unless a long stage has its own.
    fn tell(&mut self, stages: &[StageProgress], cpu: Option<f64>, gpus: &[GpuUse]) {
        let machine = machine_words(cpu, gpus);
        if let Some(bars) = &self.bars {
            let is_at_work = self.long.is_some() || !self.stages.is_empty();
            if is_at_work && !machine.is_empty() {
                let bar = self.machine.get_or_insert_with(|| {
                    let style = ProgressStyle::with_template("  {msg}").expect("a fixed template");
                    bars.add(ProgressBar::new(0).with_style(style))
                });
                bar.set_message(machine);
            }
        } else if stages.iter().any(|stage| stage.done < stage.due) {
            let words = stages.iter().map(stage_words).chain([machine]).filter(|words| !words.is_empty());
            self.say(&format!("  {}", words.collect::<Vec<_>>().join(" · ")));
        }
    }
}

impl Reporter for Human {
    fn report(&self, event: &Event) {
        let mut state = self.state.lock().expect("no holder panics");
        match event {
            Event::Discovered { name, items, notes } => {
                state.say(&format!("{name}: {}", plural(*items, "item")));
                for note in notes {
                    state.say(&format!("  note: {note}"));
                }
            }
            Event::Planned { stage, counts } => {
                if counts.is_current() {
                    state.say(&format!("  {stage:<15} up to date ({})", plural(counts.items, "item")));
                    return;
                }
                let stored = counts.items - counts.due - counts.left_out;
                let left_out = match counts.left_out {
                    0 => String::new(),
                    n => format!(", {n} left out"),
                };
                let due = plural(counts.due, "item");
                state.say(&format!("  {stage:<15} {due} to do, {stored} in the store{left_out}"));
                if counts.due == 0 {
                    return;
                }
                let bar = match &state.bars {
                    Some(bars) => bars.add(ProgressBar::new(counts.due as u64).with_style(style(stage))),
                    None => ProgressBar::hidden(),
                };
                bar.enable_steady_tick(Duration::from_millis(250));
                state.stages.insert(stage, Stage { bar, done: 0, failed: 0 });
            }
            Event::KeptPictures { items } => {
                state.say(&format!("  encode-clip     uses the kept pictures of {}", plural(*items, "item")));
            }
            Event::ModelLoaded { stage, model } => state.say(&format!("  {stage:<15} {model}")),
            Event::Item { stage, id, failure, .. } => {
                if let Some(entry) = state.stages.get_mut(stage) {
                    entry.done += 1;
                    entry.failed += usize::from(failure.is_some());
                    entry.bar.set_position(entry.done as u64);
                    if entry.failed > 0 {
                        entry.bar.set_message(format!("{} failed", entry.failed));
                    }
                }
                if let Some(failure) = failure {
                    state.failures_told += 1;
                    if state.failures_told <= FAILURES_SHOWN {
                        state.say(&format!("  failed: {stage} {id}: {failure}"));
                    } else if state.failures_told == FAILURES_SHOWN + 1 {
                        state.say("  failed: more items; `pipeline failures` lists them all");
                    }
                }
            }
            Event::Progress { stages, cpu, gpus, .. } => state.tell(stages, *cpu, gpus),
            // The command prints the error itself.
            Event::Failed { .. } => state.clear_bars(),
            Event::Started { .. } | Event::Shard { .. } | Event::Part { .. } => {}
            Event::Draining { seconds } => state.say(&format!(
                "stopping: what has begun is finished, for {} at most (Ctrl-C once more ends at once)",
                duration(*seconds)
            )),
            Event::Warning { message } => state.say(&format!("warning: {message}")),
            Event::Training { stage, progress } => {
                state.show(stage, training_position(progress), &training_words(progress), self.every);
            }
            Event::Judging { stage, done, of } => {
                state.show(stage, (*done, *of), &format!("judges clips, {done}/{of}"), self.every);
            }
            Event::Note { stage, message } => state.say(&format!("  {stage:<15} {message}")),
            Event::SetStage { stage, reused, summary } => {
                state.clear_bars();
                let how = if *reused { "up to date: " } else { "" };
                state.say(&format!("  {stage:<15} {how}{summary}"));
            }
            Event::Finished { stages, seconds, stopped, .. } => {
                state.clear_bars();
                let mut lines = Vec::new();
                for end in stages {
                    let failed = if end.failed > 0 { format!(", {} failed", end.failed) } else { String::new() };
                    lines.push(format!(
                        "  {:<15} {} processed, {} reused{failed}; in {}",
                        end.stage,
                        end.computed,
                        end.copied + end.reused,
                        end.folder.display()
                    ));
                }
                let verb = if *stopped { "stopped" } else { "finished" };
                state.say(&format!("{verb} after {}", duration(*seconds)));
                for line in lines {
                    state.say(&line);
                }
                if *stopped {
                    state.say("what was finished is kept; the same command goes on from here");
                }
            }
        }
    }
}

/// `log-mel 40/100 (8.0/s, 7.5 s left, 1 failed)`
fn stage_words(stage: &StageProgress) -> String {
    let left = stage.seconds_left.map_or_else(|| "?".to_string(), duration);
    let failed = if stage.failed > 0 { format!(", {} failed", stage.failed) } else { String::new() };
    format!("{} {}/{} ({:.1}/s, {left} left{failed})", stage.stage, stage.done, stage.due, stage.rate)
}

/// `cores 97% busy · GPU 0 84% busy, 3.1 GB`
fn machine_words(cpu: Option<f64>, gpus: &[GpuUse]) -> String {
    let cores = cpu.map(|share| format!("cores {:.0}% busy", share * 100.0));
    let gpu = |gpu: &GpuUse| {
        let busy = gpu.busy.map(|share| format!("{:.0}% busy", share * 100.0));
        let memory = gpu.memory.map(|bytes| format!("{:.1} GB", bytes as f64 / 1e9));
        let told: Vec<String> = busy.into_iter().chain(memory).collect();
        format!("GPU {} {}", gpu.number, told.join(", "))
    };
    cores.into_iter().chain(gpus.iter().map(gpu)).collect::<Vec<_>>().join(" · ")
}

/// `epoch 3/20 · loss 1.234 · lr 2.4e-4 · 12.3 clips/s · val loss 1.100, accuracy 61.0% · 45 s left`
fn training_words(p: &Progress) -> String {
    let left = p.eta.map_or(String::new(), |seconds| format!(" · {} left", duration(seconds)));
    let val = match (p.val_loss, p.val_accuracy) {
        (Some(loss), Some(accuracy)) => format!(" · val loss {loss:.3}, accuracy {:.1}%", accuracy * 100.0),
        _ => String::new(),
    };
    match p.phase {
        Phase::Survey => format!("looks at the clips, {}/{}", p.step, p.steps),
        Phase::Select => format!("epoch {}/{} · judges the validation clips{val}{left}", p.epoch, p.epochs),
        Phase::Train => format!(
            "epoch {}/{} · loss {:.3} · lr {:.1e} · {:.1} clips/s{val}{left}",
            p.epoch, p.epochs, p.loss, p.learning_rate, p.clips_per_second
        ),
    }
}

/// Done and in all, over the whole run.
fn training_position(p: &Progress) -> (usize, usize) {
    match p.phase {
        Phase::Survey => (0, 1),
        Phase::Select => (p.epoch, p.epochs),
        Phase::Train => (p.epoch.saturating_sub(1) * p.steps + p.step, p.epochs * p.steps),
    }
}

fn long_style(stage: &str) -> ProgressStyle {
    let template = format!("  {stage:<15} [{{bar:20}}] {{msg}}");
    ProgressStyle::with_template(&template).expect("a fixed template").progress_chars("=> ")
}

fn style(stage: &str) -> ProgressStyle {
    let template = format!("  {stage:<15} [{{bar:30}}] {{pos}}/{{len}} {{rate:>9}} eta {{eta:<5}} {{msg}}");
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{:.1}/s", state.per_sec());
    };
    ProgressStyle::with_template(&template).expect("a fixed template").with_key("rate", rate).progress_chars("=> ")
}
