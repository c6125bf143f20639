//! Spoilt media: thousands of files that are almost good, in one run, beside good ones.
//!
//! Of small files of every kind and of real ones, mutants are made in a way that is the same in every run: flipped bits, files cut at every box and
//! anywhere, spliced and zeroed ranges, exchanged tracks, absurd numbers in headers. They lie in one folder with the good files, the
//! binary takes `extract-frames` and `log-mel` of all of them (`partial = "keep"`), and then
//!
//! * it has ended with 0 or 4, in time;
//! * the good files have the bytes that they have alone;
//! * each mutant equals what the ffmpeg command makes of it, picture by picture and row by row, or failed with a class, never `internal`.
//!
//! About 150 mutants; with `PIPELINE_LONG=1` more than 2,000, and with `PIPELINE_MUTANTS_SEED=N` other ones:
//!
//! ```text
//! PIPELINE_LONG=1 cargo nextest run --locked --workspace --no-capture -E 'package(pipeline) & test(mutants::)'
//! ```

mod boxes;
pub(crate) mod chance;
mod judge;
mod mutate;
mod partial;
mod score;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::lab::Lab;
use chance::Chance;
use judge::{Made, Verdict};
use mutate::Kind;
use score::Score;
use sources::Source;

/// Whether the long form is asked for.
fn is_long() -> bool {
    std::env::var_os("PIPELINE_LONG").is_some_and(|value| value != "0" && !value.is_empty())
}

/// How much is done in each form.
struct Extent {
    /// Mutants of each kind that are drawn.
    each: usize,
    /// Of the files that end at a box, every how many-th is taken.
    every_box: usize,
    /// Bytes of a real file at most.
    real: u64,
    /// Mutants in one run.
    batch: usize,
    /// What one run may take.
    patience: Duration,
}

fn extent() -> Extent {
    if is_long() {
        Extent { each: 260, every_box: 1, real: 700_000, batch: 600, patience: Duration::from_mins(30) }
    } else {
        Extent { each: 14, every_box: 12, real: 60_000, batch: 600, patience: Duration::from_mins(4) }
    }
}

/// A file of a data set.
struct Sample {
    kind: Kind,
    id: String,
    file: String,
}

#[test]
fn every_mutant_is_what_the_command_makes_of_it_or_fails_with_a_class() {
    let extent = extent();
    let mut sources = sources::generated();
    let made = sources.len();
    sources.extend(sources::real(extent.real));
    let mutants = mutants(&sources, made, &extent);
    let mut score = Score::default();
    for (batch, mutants) in mutants.chunks(extent.batch).enumerate() {
        let lab = Lab::new();
        let folder = lab.path("mutants");
        std::fs::create_dir(&folder).unwrap();
        let mut samples = Vec::new();
        let write = |kind: Kind, id: String, source: &Source, bytes: &[u8]| {
            let file = format!("{id}.{}", source.extension);
            std::fs::write(folder.join(&file), bytes).unwrap();
            Sample { kind, id, file }
        };
        for source in &sources {
            samples.push(write(Kind::Whole, format!("whole_{}", source.name), source, &source.bytes));
        }
        let alone = finish(&lab, "alone", extent.patience).expect("good files end in time");
        for (i, (kind, source, bytes)) in mutants.iter().enumerate() {
            let id = format!("b{batch}m{i:04}_{}", sources[*source].name);
            samples.push(write(*kind, id, &sources[*source], bytes));
        }
        let Some(made) = finish(&lab, "work", extent.patience) else {
            panic!("HANG: batch {batch} did not end in {:?}; its files: {}", extent.patience, folder.display());
        };
        let good: Vec<&Sample> = samples.iter().filter(|s| s.kind == Kind::Whole).collect();
        for sample in &good {
            assert_eq!(alone.get(&sample.id), made.get(&sample.id), "LOST: {}", sample.id);
        }
        // In the short form the good files are left to the tests of `media`, which compare more of them.
        judge_all(&folder, &samples, &made, &mut score, batch == 0 && is_long());
    }
    score.print();
    let few = score.equal(Kind::DRAWN.as_slice());
    assert!(few * 5 > score.judged(), "hardly a mutant gives anything: {few} of {}", score.judged());
    assert!(score.faults.is_empty(), "{}", score.faults.join("\n"));
}

/// What the mutants are drawn from.
fn seed() -> u64 {
    match std::env::var("PIPELINE_MUTANTS_SEED") {
        Ok(text) => text.parse().expect("PIPELINE_MUTANTS_SEED is a number"),
        Err(_) => 20_260_801,
    }
}

/// Every mutant with its kind and its source, in an order that mixes them.
fn mutants(sources: &[Source], made: usize, extent: &Extent) -> Vec<(Kind, usize, Vec<u8>)> {
    let mut chance = Chance::new(seed());
    let mut mutants = Vec::new();
    for (i, source) in sources.iter().enumerate().take(made) {
        let cut = mutate::cut_at_every_box(source);
        mutants.extend(cut.into_iter().step_by(extent.every_box).map(|bytes| (Kind::CutAtBox, i, bytes)));
    }
    for kind in Kind::DRAWN {
        let mut found = 0;
        while found < extent.each {
            // Two of three are small files of known content, which are quick and full of structure.
            let i = if chance.below(3) > 0 { chance.below(made) } else { chance.below(sources.len()) };
            let other = &sources[chance.below(sources.len())];
            if let Some(bytes) = kind.apply(&sources[i], other, &mut chance).filter(|bytes| *bytes != sources[i].bytes)
            {
                mutants.push((kind, i, bytes));
                found += 1;
            }
        }
    }
    mutants
}

/// What one run made of the folder `mutants`; `None` if it did not end in time.
fn finish(lab: &Lab, work: &str, patience: Duration) -> Option<BTreeMap<String, Made>> {
    let args = ["run", "extract-frames", "log-mel", "--json", "--data", "mutants", "--work", work];
    let keep =
        ["--set", "extract-frames.partial=keep", "--set", "log-mel.partial=keep", "--set", "store.shard_size=64"];
    let said = |name: &str| lab.path(&format!("{work}-{name}"));
    let open = |name: &str| std::fs::File::create(said(name)).unwrap();
    let mut command = lab.command(&[&args[..], &keep].concat());
    let mut run = command.stdout(Stdio::from(open("stdout"))).stderr(Stdio::from(open("stderr"))).spawn().unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = run.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > patience {
            run.kill().unwrap();
            run.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let code = status.code();
    assert!(matches!(code, Some(0 | 4)), "CRASH: {status}\n{}", std::fs::read_to_string(said("stderr")).unwrap());
    eprintln!("{work}: {status} after {:.1} s", start.elapsed().as_secs_f64());
    let failures = lab.pipeline(&["failures", "--json", "--work", work]).ended(0).stdout;
    let made = judge::read(&lab.path(work), &failures);
    // 4 says that there are failures, and 0 that there are none.
    let failed = made.values().any(|made| made.pictures.is_err() || made.sound.is_err());
    assert_eq!(code == Some(4), failed);
    Some(made)
}

/// Compares everything with the command, on two threads.
fn judge_all(folder: &Path, samples: &[Sample], made: &BTreeMap<String, Made>, score: &mut Score, whole: bool) {
    let ids: BTreeSet<&str> = samples.iter().map(|sample| sample.id.as_str()).collect();
    assert!(made.keys().all(|id| ids.contains(id.as_str())) && made.len() == ids.len(), "every file is an item");
    let queue = Mutex::new(samples.iter().filter(|sample| whole || sample.kind != Kind::Whole));
    let score = Mutex::new(score);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(sample) = queue.lock().unwrap().next() else { break };
                    let path: PathBuf = folder.join(&sample.file);
                    let made = &made[&sample.id];
                    let pictures = judge::pictures(&path, &made.pictures);
                    let sound = judge::sound(&path, &made.sound);
                    let keep = |verdict: &Verdict| matches!(verdict, Verdict::Different(_));
                    if keep(&pictures) || keep(&sound) {
                        // To be looked at by hand.
                        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&sample.file);
                        std::fs::copy(&path, kept).unwrap();
                    }
                    let mut score = score.lock().unwrap();
                    score.add(sample.kind, "pictures", &sample.file, pictures);
                    score.add(sample.kind, "sound", &sample.file, sound);
                }
            });
        }
    });
}
