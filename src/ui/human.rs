//! Progress for a person: a bar per active stage on a terminal, one line every few seconds elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use training::{Phase, Progress};

use crate::events::{Event, Reporter};
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
    order: Vec<&'static str>,
    last_line: Instant,
    start: Instant,
    failures_told: usize,
    /// Of the set stage that takes long.
    long: Option<ProgressBar>,
}

struct Stage {
    bar: ProgressBar,
    due: usize,
    done: usize,
    failed: usize,
}

impl Human {
    /// `every`: seconds between two lines where standard error is no terminal.
    pub fn new(every: f64) -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        let now = Instant::now();
        Human {
            state: Mutex::new(State {
                bars,
                stages: BTreeMap::new(),
                order: Vec::new(),
                last_line: now,
                start: now,
                failures_told: 0,
                long: None,
            }),
            every: Duration::from_secs_f64(every),
        }
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
        if let Some(bar) = self.long.take() {
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

    /// `log-mel 40/100 (8.0/s, 7.5 s left) · encode-clip 12/100 …`
    fn progress_line(&self) -> String {
        let seconds = self.start.elapsed().as_secs_f64();
        let parts: Vec<String> = self
            .order
            .iter()
            .filter_map(|id| self.stages.get(id).map(|stage| (id, stage)))
            .map(|(id, stage)| {
                let rate = stage.done as f64 / seconds;
                let left = if stage.done == 0 {
                    "?".to_string()
                } else {
                    duration((stage.due - stage.done.min(stage.due)) as f64 / rate)
                };
                let failed = if stage.failed > 0 { format!(", {} failed", stage.failed) } else { String::new() };
                format!("{id} {}/{} ({rate:.1}/s, {left} left{failed})", stage.done, stage.due)
            })
            .collect();
        parts.join(" · ")
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
                let copied = counts.items - counts.due;
                state.say(&format!("  {stage:<15} {} to do, {copied} in the store", plural(counts.due, "item")));
                if counts.due == 0 {
                    return;
                }
                let bar = match &state.bars {
                    Some(bars) => bars.add(ProgressBar::new(counts.due as u64).with_style(style(stage))),
                    None => ProgressBar::hidden(),
                };
                bar.enable_steady_tick(Duration::from_millis(250));
                state.order.push(stage);
                state.stages.insert(stage, Stage { bar, due: counts.due, done: 0, failed: 0 });
                state.start = Instant::now();
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
                if state.bars.is_none() && state.last_line.elapsed() >= self.every {
                    state.last_line = Instant::now();
                    state.say(&format!("  {}", state.progress_line()));
                }
            }
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
