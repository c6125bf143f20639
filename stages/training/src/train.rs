//! The loop: steps, selections, checkpoints.

use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use crate::adam::Adam;
use crate::batch::{Prepared, Recipe};
use crate::checkpoint::{Position, encode, position, restore};
use crate::inputs::{Form, Inputs};
use crate::loss::{cross_entropy, figures};
use crate::order::{epoch_order, steps_per_epoch};
use crate::predict::logits;
use crate::seed::{Purpose, derived};
use crate::survey::{Shape, check_parts, survey};
use crate::weights::{snapshot, snapshot_to_bytes};
use crate::{
    Epoch, Error, Keeper, Mode, Network, Origin, Outcome, Phase, Progress, Schedule, SelectBy, Source, Spec, Trained,
};

/// Bumped when the same job gives other weights.
const VERSION: u32 = 1;

/// What is to be trained, on what, and how.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The network, as it is at the start; afterwards it holds the last weights, or the selected ones once finished.
    pub network: &'a dyn Network,
    /// Where the clips come from.
    pub source: &'a dyn Source,
    /// Clips to train on, indices of the source.
    pub train: &'a [usize],
    /// Clips to select by, indices of the source.
    pub select: &'a [usize],
    /// How.
    pub spec: &'a Spec,
    /// Names everything else that the result depends on: the content of the clips, where the first weights come from.
    pub fingerprint: &'a str,
    /// Time between two checkpoints; the longest that a kill can cost. Changes no value.
    pub checkpoint_every: Duration,
}

/// Says how far a run is, after every step and every few clips of the other phases; `Break` stops it.
pub type Observer<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;

/// Trains. A run that was stopped, or killed, goes on from the keeper's checkpoint and ends in the same weights, to the bit;
/// a checkpoint of another job is not used ([`Progress::origin`] says so).
pub fn train(job: &Job<'_>, keeper: &dyn Keeper, observer: Observer<'_>) -> Result<Outcome, Error> {
    let select_needed = job.spec.select_by != SelectBy::Last;
    check_parts(job.network, job.source, job.train, job.select, select_needed)?;
    let mut run = Run::new(job, keeper, observer);
    if run.begin()?.is_break() {
        return Ok(Outcome::Stopped);
    }
    loop {
        if run.selection_is_due() && run.select()?.is_break() {
            return run.stopped();
        }
        if run.is_done() {
            return run.finished();
        }
        if run.steps()?.is_break() {
            return run.stopped();
        }
    }
}

struct Run<'a, 'o> {
    job: &'a Job<'a>,
    keeper: &'a dyn Keeper,
    observer: Observer<'o>,
    shape: Shape,
    adam: Adam,
    best: Option<Vec<Vec<f32>>>,
    position: Position,
    origin: Origin,
    steps_per_epoch: usize,
    schedule: Schedule,
    saved: Instant,
    pace: Pace,
}

/// What this process has done so far, for the estimates.
#[derive(Default)]
struct Pace {
    steps: u64,
    stepping: Duration,
    selections: u32,
    selecting: Duration,
}

impl<'a, 'o> Run<'a, 'o> {
    fn new(job: &'a Job<'a>, keeper: &'a dyn Keeper, observer: Observer<'o>) -> Run<'a, 'o> {
        let trainable = job.network.variables().into_iter().filter(|v| v.trainable).map(|v| v.var).collect();
        let steps_per_epoch = steps_per_epoch(job.train.len(), job.spec.batch_size);
        Run {
            job,
            keeper,
            observer,
            shape: Shape::of(job.network),
            adam: Adam::new(trainable),
            best: None,
            position: Position {
                fingerprint: fingerprint(job),
                epoch: 0,
                step: 0,
                total: 0,
                loss_sum: 0.0,
                loss_count: 0,
                learning_rate: 0.0,
                history: Vec::new(),
                best: None,
                band_means: Vec::new(),
                longest: 0,
            },
            origin: Origin::Fresh,
            steps_per_epoch,
            schedule: schedule(job.spec, steps_per_epoch),
            saved: Instant::now(),
            pace: Pace::default(),
        }
    }

    /// Takes up the checkpoint, or looks at every clip.
    fn begin(&mut self) -> Result<ControlFlow<()>, Error> {
        let kept = self.keeper.load().map_err(|source| Error::Keeper { action: "read", source })?;
        if let Some(bytes) = kept {
            if position(&bytes)?.fingerprint == self.position.fingerprint {
                let restored = restore(&bytes, self.job.network, &mut self.adam)?;
                self.position = restored.position;
                self.best = restored.best;
                self.origin = Origin::Resumed;
                return Ok(ControlFlow::Continue(()));
            }
            self.origin = Origin::OtherRun;
        }
        let all = self.job.train.len() + self.job.select.len();
        let (shape, job) = (self.shape, self.job);
        let mut go_on = |done| self.tell(Phase::Survey, done, all).is_continue();
        let Some(found) = survey(&shape, job.source, job.train, job.select, &mut go_on)? else {
            return Ok(ControlFlow::Break(()));
        };
        self.position.band_means = found.band_means;
        self.position.longest = found.longest;
        Ok(ControlFlow::Continue(()))
    }

    /// Trains up to the next selection, or to the end of the epoch.
    fn steps(&mut self) -> Result<ControlFlow<()>, Error> {
        let (epoch, first, every) = (self.position.epoch, self.position.step, self.job.spec.checkpoint_step);
        let left = if every == 0 { u64::MAX } else { every - self.position.total % every };
        let end = self.steps_per_epoch.min(first.saturating_add(usize::try_from(left).unwrap_or(usize::MAX)));
        let band_means = self.position.band_means.clone();
        let classes: Vec<usize> = self.job.train.iter().filter_map(|index| self.job.source.class(*index)).collect();
        let order = epoch_order(self.job.spec.seed, epoch as u64, &classes, self.job.spec.balanced_sampling);
        let recipe = Recipe {
            shape: self.shape,
            source: self.job.source,
            train: self.job.train,
            spec: self.job.spec,
            inputs: effective_inputs(self.job.spec, self.position.longest),
            band_means: &band_means,
        };
        let flow = std::thread::scope(|scope| {
            // One batch is made while the one before is computed, and one more may wait.
            let (sender, batches) = sync_channel(1);
            scope.spawn(move || {
                for step in first..end {
                    let batch = recipe.prepare(epoch, step, &order);
                    let failed = batch.is_err();
                    if sender.send(batch).is_err() || failed {
                        return;
                    }
                }
            });
            for batch in batches {
                self.step(batch?)?;
                self.save_if_due()?;
                if self.tell(Phase::Train, self.position.step, self.steps_per_epoch).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok::<_, Error>(ControlFlow::Continue(()))
        })?;
        Ok(flow)
    }

    fn step(&mut self, batch: Prepared) -> Result<(), Error> {
        let started = Instant::now();
        let place = [self.position.epoch as u64, self.position.step as u64];
        let rate = self.schedule.rate(self.position.total);
        let (batch, targets) = batch.tensors(self.shape)?;
        let mode = Mode::Train { seed: derived(self.job.spec.seed, Purpose::Dropout, &place) };
        let loss = cross_entropy(&self.job.network.forward(&batch, mode)?, &targets)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            let (epoch, step) = (self.position.epoch + 1, self.position.step + 1);
            return Err(Error::Diverged { epoch, step, loss: value });
        }
        self.adam.step(&loss.backward()?, rate)?;
        self.position.learning_rate = rate;
        self.position.loss_sum += value;
        self.position.loss_count += 1;
        self.position.total += 1;
        self.position.step += 1;
        self.pace.steps += 1;
        self.pace.stepping += started.elapsed();
        Ok(())
    }

    /// Steps of an epoch are all done, or so many that a selection is due, and it has not been done.
    fn selection_is_due(&self) -> bool {
        let (position, every) = (&self.position, self.job.spec.checkpoint_step);
        let epoch_ends = position.step == self.steps_per_epoch;
        let last = epoch_ends && position.epoch + 1 == self.job.spec.epochs;
        let due = last || if every == 0 { epoch_ends } else { position.total.is_multiple_of(every) };
        due && position.total > position.history.last().map_or(0, |epoch| epoch.step)
    }

    fn select(&mut self) -> Result<ControlFlow<()>, Error> {
        let (job, started) = (self.job, Instant::now());
        let mut val = None;
        if !job.select.is_empty() {
            let inputs = effective_inputs(job.spec, self.position.longest);
            let all = job.select.len();
            let mut go_on = |done| self.tell(Phase::Select, done, all).is_continue();
            let Some(logits) = logits(job.network, job.source, job.select, &inputs, &mut go_on)? else {
                return Ok(ControlFlow::Break(()));
            };
            let classes: Vec<usize> = job.select.iter().filter_map(|index| job.source.class(*index)).collect();
            val = Some(figures(&logits, &classes));
        }
        let position = &mut self.position;
        position.history.push(Epoch {
            epoch: position.epoch + 1,
            step: position.total,
            learning_rate: position.learning_rate,
            train_loss: position.loss_sum / position.loss_count as f64,
            val_loss: val.map(|figures| figures.log_loss),
            val_accuracy: val.map(|figures| figures.accuracy),
            val_macro_accuracy: val.map(|figures| figures.macro_accuracy),
        });
        (position.loss_sum, position.loss_count) = (0.0, 0);
        let newest = position.history.len() - 1;
        if position.best.is_none_or(|best| better(job.spec.select_by, &position.history, newest, best)) {
            position.best = Some(newest);
            self.best = Some(snapshot(job.network)?);
        }
        self.pace.selections += 1;
        self.pace.selecting += started.elapsed();
        self.save_if_due()?;
        Ok(ControlFlow::Continue(()))
    }

    /// Every epoch is done, or nothing has got better for too long. Turns the page where an epoch ends.
    fn is_done(&mut self) -> bool {
        if self.gave_up() {
            return true;
        }
        if self.position.step == self.steps_per_epoch {
            if self.position.epoch + 1 == self.job.spec.epochs {
                return true;
            }
            self.position.epoch += 1;
            self.position.step = 0;
        }
        false
    }

    fn gave_up(&self) -> bool {
        let (patience, selections) = (self.job.spec.patience, self.position.history.len());
        let since = self.position.best.map_or(0, |best| selections - 1 - best);
        patience > 0 && self.job.spec.select_by != SelectBy::Last && since >= patience
    }

    fn stopped(&mut self) -> Result<Outcome, Error> {
        self.save()?;
        Ok(Outcome::Stopped)
    }

    fn finished(self) -> Result<Outcome, Error> {
        let (Some(best), Some(weights)) = (self.position.best, self.best) else { return Err(Error::NoSelection) };
        let weights = snapshot_to_bytes(self.job.network, &weights)?;
        crate::load_weights(self.job.network, &weights)?;
        let all_epochs = self.position.epoch + 1 == self.job.spec.epochs && self.position.step == self.steps_per_epoch;
        Ok(Outcome::Finished(Box::new(Trained {
            weights,
            history: self.position.history,
            best,
            inputs: effective_inputs(self.job.spec, self.position.longest),
            band_means: self.position.band_means,
            stopped_early: !all_epochs,
        })))
    }

    fn save_if_due(&mut self) -> Result<(), Error> {
        if self.saved.elapsed() >= self.job.checkpoint_every { self.save() } else { Ok(()) }
    }

    fn save(&mut self) -> Result<(), Error> {
        let bytes = encode(self.job.network, &self.adam, self.best.as_deref(), &self.position)?;
        self.keeper.save(&bytes).map_err(|source| Error::Keeper { action: "saved", source })?;
        self.saved = Instant::now();
        Ok(())
    }

    fn tell(&mut self, phase: Phase, step: usize, steps: usize) -> ControlFlow<()> {
        let last = self.position.history.last();
        let stepping = self.pace.stepping.as_secs_f64();
        let clips = self.pace.steps as f64 * self.job.spec.batch_size.min(self.job.train.len()) as f64;
        let progress = Progress {
            phase,
            origin: self.origin,
            epoch: if phase == Phase::Survey { 0 } else { self.position.epoch + 1 },
            epochs: self.job.spec.epochs,
            step,
            steps,
            loss: self.position.loss_sum / self.position.loss_count as f64,
            learning_rate: self.position.learning_rate,
            clips_per_second: if stepping > 0.0 { clips / stepping } else { 0.0 },
            eta: self.eta(),
            val_loss: last.and_then(|epoch| epoch.val_loss),
            val_accuracy: last.and_then(|epoch| epoch.val_accuracy),
        };
        (self.observer)(&progress)
    }

    fn eta(&self) -> Option<f64> {
        if self.pace.steps == 0 {
            return None;
        }
        let all = (self.job.spec.epochs * self.steps_per_epoch) as u64;
        let left = all.saturating_sub(self.position.total) as f64;
        let every = match self.job.spec.checkpoint_step {
            0 => self.steps_per_epoch as f64,
            every => every as f64,
        };
        let selection = self.pace.selecting.as_secs_f64() / f64::from(self.pace.selections.max(1));
        Some(left * self.pace.stepping.as_secs_f64() / self.pace.steps as f64 + (left / every).ceil() * selection)
    }
}

/// Whether selection `a` is better than `b`.
fn better(by: SelectBy, history: &[Epoch], a: usize, b: usize) -> bool {
    let less = |a: Option<f64>, b: Option<f64>| a.zip(b).is_some_and(|(a, b)| a < b);
    let (a, b) = (&history[a], &history[b]);
    match by {
        SelectBy::LogLoss => less(a.val_loss, b.val_loss),
        SelectBy::Accuracy => less(b.val_accuracy, a.val_accuracy),
        SelectBy::Last => true,
    }
}

/// The schedule of a run of so many steps: in the corrected form the warm-up is at most a tenth of them.
fn schedule(spec: &Spec, steps_per_epoch: usize) -> Schedule {
    let steps = (spec.epochs * steps_per_epoch) as u64;
    match spec.inputs.form {
        Form::Reference => spec.schedule,
        Form::Corrected => Schedule { warm_steps: spec.schedule.warm_steps.min(steps / 10), ..spec.schedule },
    }
}

/// The inputs of a run: in the corrected form the crop is never longer than the longest training clip.
fn effective_inputs(spec: &Spec, longest: usize) -> Inputs {
    match spec.inputs.form {
        Form::Reference => spec.inputs,
        Form::Corrected => Inputs { crop: spec.inputs.crop.min(longest), ..spec.inputs },
    }
}

/// A digest of everything that the weights depend on.
fn fingerprint(job: &Job<'_>) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut part = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    part(&VERSION.to_string());
    part(job.fingerprint);
    part(&serde_json::to_string(job.spec).unwrap_or_default());
    part(job.network.name());
    for variable in job.network.variables() {
        part(&format!("{} {:?} {}", variable.name, variable.var.dims(), variable.trainable));
    }
    for class in job.source.classes() {
        part(class);
    }
    for (name, indices) in [("train", job.train), ("select", job.select)] {
        part(name);
        for index in indices {
            part(job.source.id(*index));
            part(&format!("{:?}", job.source.class(*index)));
        }
    }
    hasher.finalize().to_hex().to_string()
}
