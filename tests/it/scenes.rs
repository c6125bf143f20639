//! Runs that are to survive: each starts from a work directory in some state and must end in what one uninterrupted run makes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use pipeline::key::Key;
use pipeline::registry;
use pipeline::store::WorkDir;
use pipeline::store::digests::Digests;
use pipeline::store::index::Index;

use crate::lab::{CLASSES, Lab, Said, copy_folder, files_below};
use crate::shim::{Action, Call, Fault, Side, read_trace, watch, watch_hand_overs};
use crate::sweep::Good;
use crate::workers::wait_until;

/// One clip at a time, and each value published as soon as it is there: every run takes the same steps.
const STEPS: [&str; 4] = ["--set", "run.jobs=1", "--set", "run.publish_every=0.000001"];

/// A run and the state that it starts from.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) lab: Lab,
    stages: &'static [&'static str],
    knobs: &'static [&'static str],
    /// Everything that a reader of the work directory sees in the end, by digest.
    expected: BTreeMap<String, String>,
    /// Every value that an uninterrupted run leaves in the store.
    keys: BTreeSet<Key>,
    /// Values that an uninterrupted run computes.
    needed: usize,
    /// The calls of an uninterrupted run.
    pub(crate) calls: Vec<Call>,
    /// States of a work directory from which a run was seen to recover, and how many values it computed.
    recovered: Mutex<HashMap<[u8; 32], usize>>,
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
        Scene::of(Lab::in_memory(), "every item stage", &["extract-frames", "log-mel", "encode-clip"], &STEPS)
    }

    /// Everything: pictures, features, systems, figures and the report.
    pub(crate) fn everything() -> Scene {
        let lab = Lab::in_memory();
        // The report shows the configuration: here and not on the command line.
        configure(&lab, "[run]", "[run]\njobs = 1\npublish_every = 0.02");
        Scene::of(lab, "everything", &["all", "extract-frames"], &[])
    }

    /// `before` may leave a work directory of that name.
    fn new(name: &'static str, stages: &'static [&'static str], before: impl FnOnce(&Lab)) -> Scene {
        let lab = Lab::in_memory();
        few_clips(&lab);
        before(&lab);
        Scene::of(lab, name, stages, &STEPS)
    }

    fn of(lab: Lab, name: &'static str, stages: &'static [&'static str], knobs: &'static [&'static str]) -> Scene {
        let mut scene = Scene {
            name,
            lab,
            stages,
            knobs,
            expected: BTreeMap::new(),
            keys: BTreeSet::new(),
            needed: 0,
            calls: Vec::new(),
            recovered: Mutex::default(),
        };
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
        [&["run"], self.stages, &["--json", "--work", work], self.knobs].concat()
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

    /// Runs once in a work directory of its own, with this to go wrong between the runner and its workers. What the two said to each other is
    /// written down; whoever they are, none is left running.
    pub(crate) fn disturbed_between(&self, work: &str, side: Side, fault: Option<&Fault>) -> Said {
        self.begin(work);
        let mut command = self.lab.command(&self.args(work));
        let trace = self.lab.path(&format!("{work}.trace"));
        watch_hand_overs(&mut command, side, &trace, fault);
        let said = Said::new(&command.stdin(Stdio::null()).output().unwrap());
        wait_until("no process of the run is left", || !some_process_has(trace.as_os_str().as_encoded_bytes()));
        said
    }

    /// Runs again, undisturbed, and compares with what was to come out. An error says what is wrong. Where another case has left the very same
    /// bytes, what came of those is known.
    pub(crate) fn recover(&self, work: &str) -> Result<Good, String> {
        let (begun, state) = (self.computed_in(work), self.state(work));
        let known = self.recovered.lock().unwrap().get(&state).copied();
        let computed = if let Some(computed) = known {
            computed
        } else {
            let said = Said::new(&self.command(work).output().unwrap());
            if said.code != 0 {
                return Err(format!("the next run ended {}: {}", said.code, said.stderr));
            }
            self.compare(work)?;
            let computed = self.computed_in(work) - begun;
            self.recovered.lock().unwrap().insert(state, computed);
            computed
        };
        let redone = (begun + computed).saturating_sub(self.computed_in("before") + self.needed);
        Ok(Good { redone, seen: known.is_some(), correct: false })
    }

    /// What a run may find in a work directory, by digest: two of one digest differ in what no run looks at - names that hold a time and a
    /// process, the records of earlier runs, and the stamps in the caches, of which only matters what they still vouch for.
    fn state(&self, work: &str) -> [u8; 32] {
        let root = self.lab.path(work);
        let state = root.join(".pipeline/v1");
        let (records, caches) = (state.join("runs"), [state.join("index"), state.join("digests")]);
        let mut hasher = blake3::Hasher::new();
        for path in folders_below(&root) {
            hasher.update(path.strip_prefix(&root).unwrap().as_os_str().as_encoded_bytes());
        }
        for path in files_below(&root).into_iter().filter(|path| !path.starts_with(&records)) {
            let below = path.strip_prefix(&root).unwrap();
            hasher.update(below.parent().unwrap().as_os_str().as_encoded_bytes());
            hasher.update(lasting_name(below).as_bytes());
            if !caches.iter().any(|cache| path.starts_with(cache)) {
                hasher.update(blake3::hash(&std::fs::read(&path).unwrap()).as_bytes());
            }
        }
        let store = WorkDir::new(&root);
        for stage in registry::item_stages() {
            let index = Index::open(&store, stage.id, false).unwrap();
            hasher.update(format!("{}: {} opened, {}", stage.id, index.opened, index.is_changed()).as_bytes());
        }
        let digests = Digests::load(&store.digests());
        for path in files_below(&self.lab.path("clips")) {
            hasher.update(&[u8::from(digests.known(&path).unwrap().is_some())]);
        }
        *hasher.finalize().as_bytes()
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
        for stage in registry::item_stages() {
            let index = Index::open(&work, stage.id, false).unwrap();
            keys.extend(index.files.iter().flat_map(|file| &file.items).filter(|i| i.failed.is_none()).map(|i| i.key));
        }
        keys
    }

    fn computed_in(&self, work: &str) -> usize {
        computed_in_all_runs(&self.lab.path(work))
    }
}

/// Two classes of two clips in two shards, so that one shard swallows parts and another follows it: as many steps as there are kinds of them.
fn few_clips(lab: &Lab) {
    for class in CLASSES {
        for extension in ["mp4", "wav"] {
            std::fs::remove_file(lab.clip(class, 2, extension)).unwrap();
        }
    }
    configure(lab, "shard_size = 4", "shard_size = 3");
}

/// Replaces a line of the lab's configuration.
fn configure(lab: &Lab, line: &str, by: &str) {
    let config = lab.path("pipeline.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains(line), "{text}");
    std::fs::write(config, text.replace(line, by)).unwrap();
}

/// Every folder below a folder.
fn folders_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    found.extend(found.clone().iter().flat_map(|below| folders_below(below)));
    found.sort();
    found
}

/// A file's name without what is another one in each run: `part-TIME-HOST-PID-N.h5`, `digests-TIME-HOST-PID-N`, `.NAME.tmp-HOST-PID-N`, `painters/PARAMETERS-HOST-PID`.
fn lasting_name(path: &Path) -> &str {
    let name = path.file_name().unwrap().to_str().unwrap();
    match (name.split_once(".tmp-"), name.split_once('-')) {
        (Some((name, _)), _) => name,
        (None, Some((kind @ ("part" | "superseded" | "digests"), _))) => kind,
        (None, Some((parameters, _))) if path.parent().unwrap().ends_with("painters") => parameters,
        _ => name,
    }
}

/// Whether a process was started with these bytes in its environment.
fn some_process_has(bytes: &[u8]) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    // One that has ended by now, or has become a zombie, has none.
    let environments = processes.filter_map(|process| std::fs::read(process.path().join("environ")).ok());
    environments.into_iter().any(|environment| environment.windows(bytes.len()).any(|part| part == bytes))
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
