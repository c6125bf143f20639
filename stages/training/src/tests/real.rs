//! The promises of a run, with a network of the shelf: its kernels, its batch normalisation, its dropout.

use std::ops::ControlFlow;
use std::process::Command;
use std::time::Duration;

use networks::{Architecture, Config};

use super::toy::{Clips, N_MELS, params};
use crate::*;

fn job<'a>(network: &'a Classifier, clips: &'a Clips, spec: &'a Spec, train: &'a [usize]) -> Job<'a> {
    let checkpoint_every = Duration::from_hours(1);
    Job { network, source: clips, train, select: &[], spec, fingerprint: "real", checkpoint_every }
}

fn spec() -> Spec {
    Params { epochs: 2, batch_size: 4, select_by: SelectBy::Last, ..params() }.resolve().unwrap()
}

fn network(architecture: Architecture) -> Classifier {
    Classifier::new(&Config::audio(architecture, N_MELS, 3), 5).unwrap()
}

fn trained(architecture: Architecture) -> Trained {
    let (clips, spec, train) = (Clips::new(8, 3, None), spec(), [0, 1, 2, 3, 4, 5, 6, 7]);
    let network = network(architecture);
    let job = job(&network, &clips, &spec, &train);
    match super::super::train(&job, &InMemory::default(), &mut |_| ControlFlow::Continue(())).unwrap() {
        Outcome::Finished(trained) => *trained,
        Outcome::Stopped => panic!("stopped"),
    }
}

const SMALL: [Architecture; 2] = [Architecture::ResNet18, Architecture::Mn { tenths: 4 }];

#[test]
fn a_stop_after_each_step_changes_no_bit_of_a_real_network() {
    for architecture in SMALL {
        let whole = trained(architecture);
        let (clips, spec, train) = (Clips::new(8, 3, None), spec(), [0, 1, 2, 3, 4, 5, 6, 7]);
        let keeper = InMemory::default();
        let mut runs = 0;
        let resumed = loop {
            runs += 1;
            let network = network(architecture);
            let job = job(&network, &clips, &spec, &train);
            let mut once = |progress: &Progress| match progress.phase {
                Phase::Train => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
            match super::super::train(&job, &keeper, &mut once).unwrap() {
                Outcome::Finished(trained) => break *trained,
                Outcome::Stopped => assert!(runs < 10),
            }
        };
        assert_eq!(runs, 5, "four steps, and the end");
        assert!(resumed == whole, "{}: other weights", architecture.name());
    }
}

#[test]
fn a_real_network_judges_a_clip_alike_in_any_company() {
    for architecture in SMALL {
        let (clips, inputs) = (Clips::new(11, 3, None), spec().inputs);
        let network = network(architecture);
        let of = |indices: &[usize]| probabilities(&network, &clips, indices, &inputs, &mut |_| true).unwrap().unwrap();
        let all: Vec<usize> = (0..11).collect();
        let together = of(&all);
        for index in [0, 4, 10] {
            assert_eq!(of(&[index])[0], together[index], "{}", architecture.name());
        }
    }
}

/// The thread pool is made once per process, so the other number of threads is another process: this test, run again.
#[test]
fn a_real_network_trains_to_the_same_bytes_on_any_number_of_threads() {
    const ASKED: &str = "TRAINING_TEST_DIGEST";
    let digests = || SMALL.map(|architecture| blake3::hash(&trained(architecture).weights).to_string()).join(" ");
    if std::env::var_os(ASKED).is_some() {
        eprintln!("digests: {}", digests());
        return;
    }
    let name = std::thread::current().name().unwrap().to_owned();
    let of_threads = |threads: &str| {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", &name, "--nocapture"]).env(ASKED, "1").env("RAYON_NUM_THREADS", threads);
        let output = again.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        text.lines().find_map(|line| line.split("digests: ").nth(1)).expect(&text).to_owned()
    };
    let one = of_threads("1");
    assert_eq!(one, of_threads("2"));
    assert_eq!(one, of_threads("3"));
}
