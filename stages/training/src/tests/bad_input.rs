use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::toy::{Clips, Toy, params};
use crate::*;

/// The error of a run over these clips, 0..40 to train on and 40..60 to select by, and whether a step was done.
fn refused(clips: &Clips, network: &Toy, train: &[usize], select: &[usize]) -> String {
    let spec = params().resolve().unwrap();
    let job = Job {
        network,
        source: clips,
        train,
        select,
        spec: &spec,
        fingerprint: "",
        checkpoint_every: Duration::from_secs(9),
    };
    let mut no_step = |progress: &Progress| {
        assert_ne!(progress.phase, Phase::Train, "the work began before the error");
        ControlFlow::Continue(())
    };
    match super::super::train(&job, &InMemory::default(), &mut no_step) {
        Ok(outcome) => panic!("not refused: {outcome:?}"),
        Err(error) => error.to_string(),
    }
}

fn parts() -> (Vec<usize>, Vec<usize>) {
    ((0..40).collect(), (40..60).collect())
}

#[test]
fn values_that_are_no_numbers_are_named_with_their_place() {
    let (train, select) = parts();
    let mut clips = Clips::new(60, 3, Some(4));
    clips.examples[55].log_mel[6 * 3 + 2] = f32::NAN;
    let text = refused(&clips, &Toy::new(3, Some(4)), &train, &select);
    assert!(text.contains("clip-55") && text.contains("frame 3, band 2 is NaN"), "{text}");
    let mut clips = Clips::new(60, 3, Some(4));
    clips.examples[7].image.as_mut().unwrap()[3] = f32::INFINITY;
    let text = refused(&clips, &Toy::new(3, Some(4)), &train, &select);
    assert!(text.contains("clip-7") && text.contains("number 3 is inf"), "{text}");
}

#[test]
fn classes_without_clips_are_named_before_any_clip_is_read() {
    let (train, select) = parts();
    let clips = Clips::new(60, 3, None);
    let network = Toy::new(3, None);
    let without_2: Vec<usize> = train.iter().copied().filter(|i| i % 3 != 2).collect();
    let text = refused(&clips, &network, &without_2, &select);
    assert!(text.contains("`class-2` has no clips in the training part"), "{text}");
    let without_0: Vec<usize> = select.iter().copied().filter(|i| i % 3 != 0).collect();
    let text = refused(&clips, &network, &train, &without_0);
    assert!(text.contains("`class-0` has no clips in the selection part"), "{text}");
    assert!(refused(&clips, &network, &[], &select).contains("no training clips"));
    assert!(refused(&clips, &network, &train, &[]).contains("select_by = \"last\""));
    assert!(refused(&clips, &Toy::new(4, None), &train, &select).contains("tells 4 classes apart, the data set has 3"));
    let one = Clips::new(60, 1, None);
    assert!(refused(&one, &Toy::new(1, None), &train, &select).contains("at least two"));
    let mut unlabelled = Clips::new(60, 3, None);
    unlabelled.labels[41] = None;
    assert!(refused(&unlabelled, &network, &train, &select).contains("clip-41 of the selection part has no label"));
    assert_eq!(clips.reads.load(Ordering::Relaxed), 0);
}

#[test]
fn features_of_another_shape_are_refused() {
    let (train, select) = parts();
    let mut clips = Clips::new(60, 3, None);
    clips.examples[20].log_mel.pop();
    let text = refused(&clips, &Toy::new(3, None), &train, &select);
    assert!(text.contains("clip-20") && text.contains("6 bands"), "{text}");
    clips.examples[20].log_mel.clear();
    assert!(refused(&clips, &Toy::new(3, None), &train, &select).contains("clip-20"));
    clips.examples[20].log_mel = vec![0.0];
    let text = refused(&clips, &Toy::new(3, None), &train, &select);
    assert!(text.contains("clip-20 cannot be read: the shard is damaged"), "{text}");
    let text = refused(&Clips::new(60, 3, None), &Toy::new(3, Some(4)), &train, &select);
    assert!(text.contains("clip-0 has an image vector of 0 numbers, the network takes 4"), "{text}");
}

#[test]
fn a_damaged_checkpoint_and_foreign_weights_are_refused() {
    let keeper = InMemory::default();
    keeper.save(b"no checkpoint").unwrap();
    let (train, select) = parts();
    let (clips, network, spec) = (Clips::new(60, 3, None), Toy::new(3, None), params().resolve().unwrap());
    let job = Job {
        network: &network,
        source: &clips,
        train: &train,
        select: &select,
        spec: &spec,
        fingerprint: "",
        checkpoint_every: Duration::from_secs(9),
    };
    let error = super::super::train(&job, &keeper, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, Error::Damaged(_)), "{error}");

    let before = save_weights(&network).unwrap();
    let text = load_weights(&network, &save_weights(&Toy::new(4, None)).unwrap()).unwrap_err().to_string();
    assert!(text.contains("out.weight is [16, 4] in the file, [16, 3] in the network"), "{text}");
    assert!(load_weights(&network, b"nothing").is_err());
    assert_eq!(save_weights(&network).unwrap(), before, "untouched");
}

#[test]
fn a_loss_that_is_no_number_ends_the_run() {
    let (train, select) = parts();
    let (clips, network) = (Clips::new(60, 3, None), Toy::new(3, None));
    let spec = Params { learning_rate: 1e30, warm_steps: 0, ..params() }.resolve().unwrap();
    let job = Job {
        network: &network,
        source: &clips,
        train: &train,
        select: &select,
        spec: &spec,
        fingerprint: "",
        checkpoint_every: Duration::from_secs(9),
    };
    let error = super::super::train(&job, &InMemory::default(), &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("training diverged"), "{error}");
}
