use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Duration;

use super::toy::{Clips, Toy, params};
use crate::*;

const TRAIN: std::ops::Range<usize> = 0..42;
const SELECT: std::ops::Range<usize> = 42..60;

struct Fixture {
    clips: Clips,
    spec: Spec,
    train: Vec<usize>,
    select: Vec<usize>,
    image: Option<usize>,
}

fn fixture(change: impl Fn(&mut Params), image: Option<usize>) -> Fixture {
    let mut params = params();
    change(&mut params);
    Fixture {
        clips: Clips::new(60, 3, image),
        spec: params.resolve().unwrap(),
        train: TRAIN.collect(),
        select: SELECT.collect(),
        image,
    }
}

impl Fixture {
    fn run(&self, keeper: &dyn Keeper, every: Duration, observer: Observer<'_>) -> Result<Outcome, Error> {
        let network = Toy::new(3, self.image);
        let job = Job {
            network: &network,
            source: &self.clips,
            train: &self.train,
            select: &self.select,
            spec: &self.spec,
            fingerprint: "toy",
            checkpoint_every: every,
        };
        train(&job, keeper, observer)
    }

    fn whole(&self) -> Trained {
        let rare = Duration::from_hours(1);
        let outcome = self.run(&InMemory::default(), rare, &mut |_| ControlFlow::Continue(())).unwrap();
        finished(outcome)
    }
}

fn finished(outcome: Outcome) -> Trained {
    match outcome {
        Outcome::Finished(trained) => *trained,
        Outcome::Stopped => panic!("stopped"),
    }
}

/// Keeps every checkpoint, so that a run can be taken up where a kill would have left it.
#[derive(Default)]
struct All(Mutex<Vec<Vec<u8>>>);

impl Keeper for All {
    fn load(&self) -> std::io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().last().cloned())
    }

    fn save(&self, checkpoint: &[u8]) -> std::io::Result<()> {
        self.0.lock().unwrap().push(checkpoint.to_vec());
        Ok(())
    }
}

#[test]
fn the_toy_learns_and_the_best_weights_are_kept() {
    let fixture = fixture(|_| {}, None);
    let trained = fixture.whole();
    assert_eq!(trained.history.len(), 6);
    let best = &trained.history[trained.best];
    assert!(trained.history.iter().all(|epoch| epoch.val_loss >= best.val_loss));
    assert!(best.val_accuracy.unwrap() > 0.8, "{:?}", trained.history);
    assert_eq!(trained.history.last().unwrap().step, 30, "42 / 8 = 5 full batches an epoch");

    // the weights are those of the best epoch: they classify as well as it did
    let network = Toy::new(3, None);
    load_weights(&network, &trained.weights).unwrap();
    let p = probabilities(&network, &fixture.clips, &fixture.select, &trained.inputs, &mut |_| true).unwrap().unwrap();
    let loss: f64 =
        p.iter().zip(&fixture.select).map(|(p, i)| -p[fixture.clips.labels[*i].unwrap()].ln()).sum::<f64>() / 18.0;
    assert!((loss - best.val_loss.unwrap()).abs() < 1e-12, "{loss} {best:?}");
    assert_eq!(save_weights(&network).unwrap(), trained.weights);
}

#[test]
fn a_run_that_is_stopped_again_and_again_ends_in_the_same_bytes() {
    for (image, change) in [
        (None, (|_| {}) as fn(&mut Params)),
        (Some(4), |p| p.checkpoint_step = 3),
        (None, |p| {
            p.balanced_sampling = true;
            p.form = Form::Reference;
            p.select_by = SelectBy::Accuracy;
        }),
    ] {
        let fixture = fixture(change, image);
        let whole = fixture.whole();
        for stop_after in [1, 2, 3, 7] {
            let keeper = InMemory::default();
            let (mut runs, mut selections) = (0, std::collections::BTreeSet::new());
            let trained = loop {
                // stops after every few steps, and once within each selection
                let mut steps = 0;
                let mut observer = |progress: &Progress| {
                    assert_eq!(progress.origin, if runs == 0 { Origin::Fresh } else { Origin::Resumed });
                    steps += usize::from(progress.phase == Phase::Train);
                    let place = (progress.epoch, progress.learning_rate.to_bits(), progress.val_loss.map(f64::to_bits));
                    let stop = steps == stop_after || (progress.phase == Phase::Select && selections.insert(place));
                    if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                };
                let outcome = fixture.run(&keeper, Duration::from_hours(1), &mut observer).unwrap();
                runs += 1;
                assert!(runs < 1000, "makes no headway");
                if let Outcome::Finished(trained) = outcome {
                    break *trained;
                }
            };
            assert!(runs > 3, "{runs}");
            assert_eq!(trained, whole, "stopped after every {stop_after} steps");
        }
    }
}

#[test]
fn a_run_that_is_killed_goes_on_from_any_checkpoint_to_the_same_bytes() {
    let fixture = fixture(|p| p.patience = 4, Some(4));
    let whole = fixture.whole();
    let all = All::default();
    let trained = finished(fixture.run(&all, Duration::ZERO, &mut |_| ControlFlow::Continue(())).unwrap());
    assert_eq!(trained, whole);
    let checkpoints = all.0.into_inner().unwrap();
    assert!(checkpoints.len() > 30, "after every step and every selection: {}", checkpoints.len());
    for (number, checkpoint) in checkpoints.iter().enumerate() {
        let keeper = InMemory::default();
        keeper.save(checkpoint).unwrap();
        let trained =
            finished(fixture.run(&keeper, Duration::from_secs(9), &mut |_| ControlFlow::Continue(())).unwrap());
        assert_eq!(trained, whole, "from checkpoint {number}");
    }
}

#[test]
fn a_stop_within_the_survey_or_a_selection_is_a_stop() {
    let fixture = fixture(|_| {}, None);
    for phase in [Phase::Survey, Phase::Train, Phase::Select] {
        let mut observer = |progress: &Progress| {
            if progress.phase == phase { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let outcome = fixture.run(&InMemory::default(), Duration::from_secs(9), &mut observer).unwrap();
        assert_eq!(outcome, Outcome::Stopped);
    }
}

#[test]
fn the_checkpoint_of_another_run_is_not_used_and_it_says_so() {
    let (one, other) = (fixture(|_| {}, None), fixture(|p| p.seed = 1, None));
    let keeper = InMemory::default();
    let mut steps = 0;
    let mut stop = |progress: &Progress| {
        steps += usize::from(progress.phase == Phase::Train);
        if steps == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    one.run(&keeper, Duration::from_secs(9), &mut stop).unwrap();
    let mut origins = Vec::new();
    let mut watch = |progress: &Progress| {
        origins.push(progress.origin);
        ControlFlow::Continue(())
    };
    let trained = finished(other.run(&keeper, Duration::from_secs(9), &mut watch).unwrap());
    assert!(origins.iter().all(|origin| *origin == Origin::OtherRun));
    assert_eq!(trained, other.whole());
    assert_ne!(trained.weights, one.whole().weights, "the seed counts");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let fixture = fixture(|_| {}, Some(4));
    let with = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| fixture.whole())
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(5));
}

#[test]
fn patience_ends_a_run_and_last_takes_the_last_weights() {
    let patient = fixture(|p| (p.patience, p.epochs, p.learning_rate) = (2, 60, 0.5), None).whole();
    assert!(patient.stopped_early);
    assert_eq!(patient.history.len(), patient.best + 3);
    let last = fixture(|p| p.select_by = SelectBy::Last, None).whole();
    assert_eq!(last.best, 5);
    assert!(!last.stopped_early && last.history[5].val_loss.is_some(), "measured all the same");
    let mut blind = fixture(|p| p.select_by = SelectBy::Last, None);
    blind.select.clear();
    let blind = blind.whole();
    assert!(blind.history.iter().all(|epoch| epoch.val_loss.is_none()));
    assert_eq!(blind.weights, last.weights, "selection does not disturb training");
}

#[test]
fn selections_fall_where_they_should() {
    let steps = |every: u64| -> Vec<u64> {
        fixture(|p| p.checkpoint_step = every, None).whole().history.iter().map(|epoch| epoch.step).collect()
    };
    assert_eq!(steps(0), [5, 10, 15, 20, 25, 30]);
    assert_eq!(steps(7), [7, 14, 21, 28, 30]);
    assert_eq!(steps(5), [5, 10, 15, 20, 25, 30]);
    assert_eq!(steps(100), [30]);
}

#[test]
fn progress_adds_up() {
    let fixture = fixture(|_| {}, None);
    let mut seen = Vec::new();
    let mut watch = |progress: &Progress| {
        seen.push(progress.clone());
        ControlFlow::Continue(())
    };
    fixture.run(&InMemory::default(), Duration::from_secs(9), &mut watch).unwrap();
    let steps: Vec<&Progress> = seen.iter().filter(|p| p.phase == Phase::Train).collect();
    assert_eq!(steps.len(), 30);
    assert_eq!((steps[0].epoch, steps[0].step, steps[0].steps), (1, 1, 5));
    assert_eq!((steps[29].epoch, steps[29].step, steps[29].epochs), (6, 5, 6));
    assert!(steps.iter().all(|p| p.clips_per_second > 0.0 && p.eta.is_some() && p.loss.is_finite()));
    assert_eq!(steps[29].eta, Some(0.0));
    // warm-up of min(5, 30 / 10) = 3 steps, then a decay at 10 and 20
    let rate = |step: usize| steps[step].learning_rate;
    assert!(
        (rate(0) - 1e-10).abs() < 1e-20 && (rate(2) - 0.02).abs() < 1e-12 && (rate(29) - 0.02 * 0.64).abs() < 1e-12
    );
    assert!(steps[4].val_loss.is_none() && steps[5].val_loss.is_some());
    let survey: Vec<&Progress> = seen.iter().filter(|p| p.phase == Phase::Survey).collect();
    assert_eq!((survey.last().unwrap().step, survey.last().unwrap().steps), (60, 60));
}

#[test]
fn a_clip_is_classified_alike_in_any_company() {
    let fixture = fixture(|_| {}, Some(4));
    let network = Toy::new(3, Some(4));
    let inputs = fixture.spec.inputs;
    let of =
        |indices: &[usize]| probabilities(&network, &fixture.clips, indices, &inputs, &mut |_| true).unwrap().unwrap();
    let all: Vec<usize> = (0..60).collect();
    let together = of(&all);
    for (index, row) in together.iter().enumerate() {
        assert_eq!(&of(&[index])[0], row);
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
    let backwards: Vec<usize> = all.iter().rev().copied().collect();
    assert_eq!(of(&backwards).into_iter().rev().collect::<Vec<_>>(), together);
    let embedded = embeddings(&network, &fixture.clips, &all, &inputs, &mut |_| true).unwrap().unwrap();
    assert!(embedded.iter().all(|row| row.len() == super::toy::HIDDEN + 4));
    let stopped = embeddings(&network, &fixture.clips, &all, &inputs, &mut |done| done < 8).unwrap();
    assert!(stopped.is_none());
}

#[test]
fn many_lengths_do_not_pile_up() {
    // 150 clips of 150 lengths: more than may wait
    let mut clips = Clips::new(150, 3, None);
    for (i, example) in clips.examples.iter_mut().enumerate() {
        example.log_mel = vec![-(i as f32); super::toy::N_MELS * (i + 1)];
    }
    let network = Toy::new(3, None);
    let inputs = Inputs { frames: 200, ..fixture(|_| {}, None).spec.inputs };
    let indices: Vec<usize> = (0..150).collect();
    let all = probabilities(&network, &clips, &indices, &inputs, &mut |_| true).unwrap().unwrap();
    for index in [0, 77, 149] {
        assert_eq!(probabilities(&network, &clips, &[index], &inputs, &mut |_| true).unwrap().unwrap()[0], all[index]);
    }
}

#[test]
fn fewer_clips_than_a_batch_are_one_step() {
    let mut fixture = fixture(|p| p.batch_size = 64, None);
    fixture.train.truncate(9);
    let trained = fixture.whole();
    assert_eq!(trained.history.iter().map(|epoch| epoch.step).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}
