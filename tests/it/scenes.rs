//! Runs that are to survive: each starts from a work directory in some state and must end in what one uninterrupted run makes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pipeline::key::Key;
use pipeline::store::WorkDir;
use pipeline::store::index::Index;

use crate::lab::{Lab, Said, copy_folder, files_below};
use crate::shim::{Action, Call, Fault, read_trace, watch};

/// Whether the tests are to take minutes: every instant instead of a spread of them.
pub(crate) fn is_long() -> bool {
    std::env::var_os("PIPELINE_LONG").is_some_and(|value| value == "1")
}

/// One clip at a time, and each value published as soon as it is there: every run takes the same steps.
const STEPS: [&str; 4] = ["--set", "run.jobs=1", "--set", "run.publish_every=0.000001"];

/// A run and the state that it starts from.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) lab: Lab,
    stages: &'static [&'static str],
    /// Everything that a reader of the work directory sees in the end, by digest.
    expected: BTreeMap<String, String>,
    /// Every value that an uninterrupted run leaves in the store.
    keys: BTreeSet<Key>,
    /// Values that an uninterrupted run computes.
    needed: usize,
    /// The calls of an uninterrupted run.
    pub(crate) calls: Vec<Call>,
}

impl Scene {
    /// Every scene.
    pub(crate) fn all() -> Vec<Scene> {
        vec![Scene::fresh(), Scene::resumed(), Scene::back(), Scene::pictures(), Scene::repainted()]
    }

    /// From nothing.
    pub(crate) fn fresh() -> Scene {
        Scene::new("fresh", &["log-mel"], |_| {})
    }

    /// Over shards of another size with other parameters, and the parts of a run that was killed.
    pub(crate) fn resumed() -> Scene {
        Scene::new("resumed", &["log-mel"], |lab| {
            let other = ["--set", "log-mel.n_mels=40", "--set", "store.shard_size=2"];
            lab.run(&[&["log-mel", "--work", "before"], &other[..]].concat());
            let fault = Fault { kinds: vec!["rename"], at: 4, action: Action::Kill };
            let mut command = lab.command(&[&["run", "log-mel", "--work", "before"], &STEPS[..]].concat());
            watch(&mut command, &lab.path("before"), &lab.path("before.trace"), false, Some(&fault));
            assert!(command.output().unwrap().status.code().is_none(), "it was to be killed");
            assert!(files_below(&lab.path("before/.pipeline/v1/parts")).len() > 1);
        })
    }

    /// Back to parameters whose values were put aside, while others have the names.
    pub(crate) fn back() -> Scene {
        Scene::new("back", &["log-mel"], |lab| {
            lab.run(&["log-mel", "--work", "before"]);
            lab.run(&["log-mel", "--work", "before", "--set", "log-mel.n_mels=40"]);
        })
    }

    /// Pictures as files, and embeddings.
    pub(crate) fn pictures() -> Scene {
        Scene::new("pictures", &["extract-frames", "encode-clip"], |_| {})
    }

    /// Pictures that take the place of others: of another rate, and of another content of one file.
    pub(crate) fn repainted() -> Scene {
        Scene::new("repainted", &["extract-frames"], |lab| {
            let (one, other) = (lab.clip("tram", 0, "mp4"), lab.clip("park", 0, "mp4"));
            let content = std::fs::read(&one).unwrap();
            lab.run(&["extract-frames", "--work", "before", "--set", "extract-frames.fps=2"]);
            std::fs::copy(&other, &one).unwrap();
            lab.run(&["extract-frames", "--work", "before"]);
            std::fs::write(&one, content).unwrap();
        })
    }

    /// Every item stage at once, for processes that take parts of it.
    pub(crate) fn every_item_stage() -> Scene {
        Scene::new("every item stage", &["extract-frames", "log-mel", "encode-clip"], |_| {})
    }

    /// `before` may leave a work directory of that name.
    fn new(name: &'static str, stages: &'static [&'static str], before: impl FnOnce(&Lab)) -> Scene {
        let lab = Lab::new();
        before(&lab);
        let mut scene =
            Scene { name, lab, stages, expected: BTreeMap::new(), keys: BTreeSet::new(), needed: 0, calls: Vec::new() };
        scene.disturbed("clean", true, None).ended(0);
        scene.expected = visible(&scene.lab.path("clean"));
        scene.keys = scene.keys_in("clean");
        scene.needed = scene.computed_in("clean") - scene.computed_in("before");
        scene.calls = read_trace(&scene.lab.path("clean.trace"));
        // What one uninterrupted run from nothing makes is the measure of all.
        scene.lab.run(&[scene.stages, &["--work", "nothing"]].concat());
        assert_eq!(scene.expected, visible(&scene.lab.path("nothing")), "{name}");
        scene
    }

    /// How many calls of these kinds an uninterrupted run makes.
    pub(crate) fn count(&self, kinds: &[&str]) -> usize {
        self.calls.iter().filter(|call| kinds.contains(&call.kind.as_str())).count()
    }

    /// The arguments of the scene's run in this work directory.
    fn args<'a>(&self, work: &'a str) -> Vec<&'a str> {
        [&["run"], self.stages, &["--json", "--work", work], &STEPS].concat()
    }

    /// Runs once in a work directory of its own, watched, with this to go wrong.
    pub(crate) fn disturbed(&self, work: &str, data: bool, fault: Option<&Fault>) -> Said {
        self.begin(work);
        let mut command = self.lab.command(&self.args(work));
        watch(&mut command, &self.lab.path(work), &self.lab.path(&format!("{work}.trace")), data, fault);
        Said::new(&command.stdin(Stdio::null()).output().unwrap())
    }

    /// The scene's run in a work directory, with nothing to watch or disturb it.
    pub(crate) fn command(&self, work: &str) -> Command {
        self.lab.command(&self.args(work))
    }

    /// Puts the state that the scene starts from into a work directory.
    pub(crate) fn begin(&self, work: &str) {
        if self.lab.path("before").exists() {
            copy_folder(&self.lab.path("before"), &self.lab.path(work));
        }
    }

    /// Runs again, undisturbed, and compares with what was to come out; returns how many values were computed in vain. An error says
    /// what is wrong.
    pub(crate) fn recover(&self, work: &str) -> Result<usize, String> {
        let said = Said::new(&self.command(work).output().unwrap());
        if said.code != 0 {
            return Err(format!("the next run ended {}: {}", said.code, said.stderr));
        }
        self.compare(work)?;
        Ok(self.computed_in(work).saturating_sub(self.computed_in("before") + self.needed))
    }

    /// Compares a work directory with what was to come out, and looks for what a run leaves nowhere.
    pub(crate) fn compare(&self, work: &str) -> Result<(), String> {
        self.compare_visible(work)?;
        let odd = |path: &PathBuf| [".tmp-", ".damaged"].iter().any(|mark| path.to_str().unwrap().contains(mark));
        let left: Vec<PathBuf> = files_below(&self.lab.path(work)).into_iter().filter(odd).collect();
        if !left.is_empty() {
            return Err(format!("left behind: {left:?}"));
        }
        let lost = self.keys.difference(&self.keys_in(work)).count();
        if lost > 0 {
            return Err(format!("{lost} values are nowhere in the store any more"));
        }
        Ok(())
    }

    /// Compares what a reader sees.
    pub(crate) fn compare_visible(&self, work: &str) -> Result<(), String> {
        let mut found = visible(&self.lab.path(work));
        // What died under a temporary name is no output.
        found.retain(|name, _| !name.contains(".tmp-"));
        if found != self.expected {
            let differs = |(name, digest): &(&String, &String)| self.expected.get(*name) != Some(*digest);
            let other: Vec<&String> = found.iter().filter(differs).map(|(name, _)| name).collect();
            let missing: Vec<&String> = self.expected.keys().filter(|name| !found.contains_key(*name)).collect();
            return Err(format!("other bytes in {other:?}, missing {missing:?}"));
        }
        Ok(())
    }

    /// Removes a work directory.
    pub(crate) fn end(&self, work: &str) {
        let _ = std::fs::remove_dir_all(self.lab.path(work));
        let _ = std::fs::remove_file(self.lab.path(&format!("{work}.trace")));
    }

    /// Every key that the store has a value for.
    fn keys_in(&self, work: &str) -> BTreeSet<Key> {
        let work = WorkDir::new(self.lab.path(work));
        let mut keys = BTreeSet::new();
        for stage in self.stages {
            let index = Index::open(&work, stage, false).unwrap();
            keys.extend(index.files.iter().flat_map(|file| &file.items).filter(|i| i.failed.is_none()).map(|i| i.key));
        }
        keys
    }

    fn computed_in(&self, work: &str) -> usize {
        computed_in_all_runs(&self.lab.path(work))
    }
}

/// Values computed over every run in a work directory, by their records; a killed run's record ends where it was killed.
pub(crate) fn computed_in_all_runs(work: &Path) -> usize {
    let records = files_below(&work.join(".pipeline/v1/runs"));
    let computed = |record: &PathBuf| {
        // A power cut may have torn it.
        let text = String::from_utf8_lossy(&std::fs::read(record).unwrap()).into_owned();
        let is_one = |line: &&str| line.contains("\"event\":\"item\"") && line.ends_with("\"copied\":false}");
        text.lines().filter(is_one).count()
    };
    records.iter().map(computed).sum()
}

/// Everything that a reader of a work directory sees, by digest: all but the program's own books.
fn visible(work: &Path) -> BTreeMap<String, String> {
    let books = work.join(".pipeline");
    let files = files_below(work).into_iter().filter(|path| !path.starts_with(&books));
    files
        .map(|path| {
            let digest = blake3::hash(&std::fs::read(&path).unwrap()).to_hex().to_string();
            (path.strip_prefix(work).unwrap().display().to_string(), digest)
        })
        .collect()
}

/// `wanted` numbers of `1..=count`, evenly spread with both ends; all of them if there are no more or the tests are long.
pub(crate) fn spread(count: usize, wanted: usize) -> Vec<usize> {
    if is_long() || count <= wanted {
        return (1..=count).collect();
    }
    (0..wanted).map(|n| 1 + n * (count - 1) / (wanted - 1).max(1)).collect()
}

/// Does `work` for each case, two at a time; the results are in order of the cases.
pub(crate) fn two_at_a_time<T: Sync, R: Send>(cases: &[T], work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(at) else { return };
                    let result = work(at, case);
                    results.lock().unwrap().push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
