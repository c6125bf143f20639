//! The power fails: what a disk may hold then, as a model, and a run on it.
//!
//! The calls of a run are played into a [`Layer`], which knows what was synced. After every prefix of them it makes the states that a
//! file system may have kept: bytes only as far as their file was synced, or torn, or zeros in their place; names as given, only as far
//! as their folder was synced, or any of those that were not. That is harsher than any file system in use. From each state a run must
//! end in the bytes of a run that nothing happened to.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::lab::files_below;
use crate::scenes::Scene;
use crate::shim::{Call, read_trace};
use crate::sweep::{Table, is_long, spread, sweep};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Folder,
    File(usize),
}

/// A file, whatever its names are.
#[derive(Debug, Clone, Default)]
struct Inode {
    /// As the program sees it.
    live: Arc<Vec<u8>>,
    /// As it was synced.
    durable: Arc<Vec<u8>>,
    /// Whether anything was done since.
    is_behind: bool,
}

enum Piece<'a> {
    Write(usize, &'a [u8]),
    Cut(usize),
}

/// A change of names.
#[derive(Debug, Clone)]
enum Naming {
    Set(PathBuf, Entry),
    Move(PathBuf, PathBuf, Entry),
    /// Two names, each with what it stands for now.
    Exchange((PathBuf, Entry), (PathBuf, Entry)),
    Remove(PathBuf),
}

/// The flag of a `rename` that exchanges two names.
const EXCHANGE: i64 = 2;

/// Files and names, with what was synced of them.
#[derive(Debug, Clone, Default)]
struct Layer {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, Entry>,
    /// The names in the beginning, and every change since with whether it was synced.
    begun: BTreeMap<PathBuf, Entry>,
    changes: Vec<(Naming, bool)>,
}

/// Which names are there.
#[derive(Debug, Clone, Copy)]
enum Names {
    All,
    Synced,
    /// The synced ones, and of the others every second by chance.
    Some(u64),
}

/// Which bytes are there.
#[derive(Debug, Clone, Copy)]
enum Bytes {
    All,
    Synced,
    /// The length is there, what was not synced is zeros.
    Zeros,
    /// Of each sector that was not synced the new bytes, the old ones or zeros, by chance.
    Torn(u64),
}

/// Chance that is the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

impl Layer {
    /// A folder as it stands, all of it synced.
    fn of(folder: &Path) -> Layer {
        let mut layer = Layer::default();
        for path in files_below(folder) {
            let bytes = Arc::new(std::fs::read(&path).unwrap());
            let path = path.strip_prefix(folder).unwrap();
            for parent in path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
                layer.names.insert(parent.to_path_buf(), Entry::Folder);
            }
            layer.names.insert(path.to_path_buf(), Entry::File(layer.inodes.len()));
            layer.inodes.push(Inode { live: Arc::clone(&bytes), durable: bytes, is_behind: false });
        }
        layer.begun = layer.names.clone();
        layer
    }

    /// Does what a call did.
    fn play(&mut self, call: &Call, root: &Path) {
        if call.result < 0 {
            return;
        }
        let below = |path: &Path| path.strip_prefix(root).unwrap().to_path_buf();
        let path = below(&call.path);
        let file = match self.names.get(&path) {
            Some(Entry::File(file)) => Some(*file),
            _ => None,
        };
        match (call.kind.as_str(), file) {
            ("create", Some(file)) if call.offset == 1 => self.inodes[file].change(&Piece::Cut(0)),
            ("create", None) => {
                self.inodes.push(Inode::default());
                self.set(path, Entry::File(self.inodes.len() - 1));
            }
            ("write", Some(file)) => self.inodes[file].change(&Piece::Write(call.offset as usize, &call.data)),
            ("truncate", Some(file)) => self.inodes[file].change(&Piece::Cut(call.offset as usize)),
            ("sync", _) if call.other == Path::new("all") => {
                self.inodes.iter_mut().for_each(Inode::sync);
                self.changes.iter_mut().for_each(|(_, synced)| *synced = true);
            }
            ("sync", Some(file)) => self.inodes[file].sync(),
            ("sync", None) => {
                let within = |other: &Path| other.parent() == Some(&path);
                for (change, synced) in &mut self.changes {
                    *synced |= match change {
                        Naming::Set(name, _) | Naming::Remove(name) => within(name),
                        Naming::Move(from, to, _) | Naming::Exchange((from, _), (to, _)) => within(from) || within(to),
                    };
                }
            }
            ("rename", Some(file)) if call.offset == EXCHANGE => {
                let to = below(&call.other);
                let there = self.names[&to];
                self.names.insert(path.clone(), there);
                self.names.insert(to.clone(), Entry::File(file));
                self.changes.push((Naming::Exchange((path, there), (to, Entry::File(file))), false));
            }
            ("rename", Some(file)) => {
                let to = below(&call.other);
                self.names.remove(&path);
                self.names.insert(to.clone(), Entry::File(file));
                self.changes.push((Naming::Move(path, to, Entry::File(file)), false));
            }
            ("unlink", Some(_)) => {
                self.names.remove(&path);
                self.changes.push((Naming::Remove(path), false));
            }
            // The work directory itself is there in every state.
            ("mkdir", None) if !path.as_os_str().is_empty() => self.set(path, Entry::Folder),
            ("mkdir" | "create" | "open" | "read", _) => {}
            (kind, _) => panic!("{kind} of {}: the model does not know it", path.display()),
        }
    }

    fn set(&mut self, path: PathBuf, entry: Entry) {
        self.names.insert(path.clone(), entry);
        self.changes.push((Naming::Set(path, entry), false));
    }

    /// The files that a disk may hold now.
    fn state(&self, names: Names, bytes: Bytes) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut chance = Chance(if let Names::Some(seed) = names { seed } else { 0 });
        let mut found = self.begun.clone();
        for (change, synced) in &self.changes {
            let kept = match names {
                Names::All => true,
                Names::Synced => *synced,
                Names::Some(_) => *synced || chance.below(2) == 0,
            };
            if !kept {
                continue;
            }
            let (gone, new) = match change {
                Naming::Set(name, entry) => (None, Some((name, *entry))),
                Naming::Move(from, to, entry) => (Some(from), Some((to, *entry))),
                Naming::Remove(name) => (Some(name), None),
                Naming::Exchange((one, first), other) => {
                    found.insert(one.clone(), *first);
                    (None, Some((&other.0, other.1)))
                }
            };
            if let Some(gone) = gone {
                found.remove(gone);
            }
            // What lies in a folder that was never there is nowhere.
            if let Some((name, entry)) = new
                && name.parent().is_none_or(|parent| parent.as_os_str().is_empty() || found.contains_key(parent))
            {
                found.insert(name.clone(), entry);
            }
        }
        let file = |(path, entry): (PathBuf, Entry)| match entry {
            Entry::Folder => None,
            Entry::File(at) => Some((path, self.inodes[at].kept(bytes, at as u64))),
        };
        found.into_iter().filter_map(file).collect()
    }
}

impl Inode {
    fn change(&mut self, piece: &Piece<'_>) {
        piece.apply(Arc::make_mut(&mut self.live));
        self.is_behind = true;
    }

    fn sync(&mut self) {
        self.durable = Arc::clone(&self.live);
        self.is_behind = false;
    }

    fn kept(&self, bytes: Bytes, salt: u64) -> Vec<u8> {
        match bytes {
            Bytes::All => self.live.to_vec(),
            Bytes::Synced => self.durable.to_vec(),
            Bytes::Zeros => {
                let mut found = self.durable.to_vec();
                found.resize(self.live.len(), 0);
                found
            }
            Bytes::Torn(_) if !self.is_behind => self.durable.to_vec(),
            Bytes::Torn(seed) => {
                let mut chance = Chance(seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let mut found = self.durable.to_vec();
                found.resize(self.durable.len().max(self.live.len()), 0);
                for (sector, old) in found.chunks_mut(SECTOR).enumerate() {
                    let new = self.live.get(sector * SECTOR..).unwrap_or_default();
                    match chance.below(3) {
                        0 => {}
                        1 => old.fill(0),
                        _ => old.iter_mut().zip(new).for_each(|(old, new)| *old = *new),
                    }
                }
                let lengths = [self.durable.len(), self.live.len(), chance.below(found.len() + 1)];
                found.truncate(lengths[chance.below(3)]);
                found
            }
        }
    }
}

impl Piece<'_> {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Piece::Cut(length) => bytes.resize(*length, 0),
            Piece::Write(at, data) => {
                bytes.resize(bytes.len().max(at + data.len()), 0);
                bytes[*at..at + data.len()].copy_from_slice(data);
            }
        }
    }
}

/// The files below a folder, as [`Layer::state`] gives them.
fn files_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| (path.strip_prefix(folder).unwrap().to_path_buf(), std::fs::read(&path).unwrap());
    files_below(folder).into_iter().map(read).collect()
}

/// A run of the scene with the bytes that it wrote, and the layer in the beginning.
fn recorded(scene: &Scene) -> (Vec<Call>, PathBuf, Layer) {
    scene.disturbed("recorded", true, None).ended(0);
    let root = scene.lab.path("recorded").canonicalize().unwrap();
    (read_trace(&scene.lab.path("recorded.trace")), root, Layer::of(&scene.lab.path("before")))
}

/// The model stands on the shim seeing everything: what was written down, played again, is what is there.
#[test]
fn nothing_reaches_the_work_directory_past_the_shim() {
    for scene in Scene::all() {
        let (calls, root, mut layer) = recorded(&scene);
        for call in &calls {
            layer.play(call, &root);
        }
        let (played, there) = (layer.state(Names::All, Bytes::All), files_of(&root));
        let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&played), names(&there), "{}", scene.name);
        assert!(played == there, "{}: other bytes", scene.name);
    }
}

/// A state that a disk may hold.
struct Cut {
    name: String,
    layer: Arc<Layer>,
    names: Names,
    bytes: Bytes,
}

/// The states after each call, or after a spread of `wanted` calls; each once.
fn cuts(scene: &Scene, wanted: usize) -> Vec<Cut> {
    let (calls, root, mut layer) = recorded(scene);
    let (mut cuts, mut seen) = (Vec::new(), HashSet::new());
    let changes: Vec<usize> = (0..calls.len()).filter(|at| matters(&calls[*at], &root)).collect();
    let ends: HashSet<usize> = spread(changes.len(), wanted).into_iter().map(|n| changes[n - 1]).collect();
    for (at, call) in calls.iter().enumerate() {
        layer.play(call, &root);
        if !ends.contains(&at) {
            continue;
        }
        let (layer, seed) = (Arc::new(layer.clone()), at as u64 + 1);
        let kinds = [
            (Names::All, Bytes::Synced),
            (Names::All, Bytes::Zeros),
            (Names::All, Bytes::Torn(seed)),
            (Names::Synced, Bytes::Synced),
            (Names::Synced, Bytes::All),
            (Names::Some(seed), Bytes::Torn(seed + 7)),
            (Names::Some(seed + 11), Bytes::Torn(seed + 13)),
        ];
        for (names, bytes) in kinds {
            if seen.insert(digest(&layer.state(names, bytes))) {
                let name = format!("{}, after call {seed} ({}): {names:?}, {bytes:?}", scene.name, call.kind);
                cuts.push(Cut { name, layer: Arc::clone(&layer), names, bytes });
            }
        }
    }
    cuts
}

/// Whether a call changes anything that a later run looks at: that is not so for what was only read, and for the record of the run itself.
fn matters(call: &Call, root: &Path) -> bool {
    !matches!(call.kind.as_str(), "open" | "read")
        && call.result >= 0
        && !is_record(call.path.strip_prefix(root).unwrap())
}

fn is_record(path: &Path) -> bool {
    path.starts_with(".pipeline/v1/runs")
}

#[test]
fn from_whatever_a_power_cut_leaves_a_run_ends_in_the_same_bytes() {
    let mut table = Table::new("power cuts");
    for scene in Scene::all() {
        let cuts = cuts(&scene, 40);
        let wanted = spread(cuts.len(), if scene.name == "pictures" { 10 } else { 14 });
        let cuts: Vec<&Cut> = wanted.into_iter().map(|at| &cuts[at - 1]).collect();
        let name = |cut: &&Cut| cut.name.clone();
        let verdicts = sweep(&format!("power cuts, {}", scene.name), &cuts, name, |at, cut| {
            let work = format!("cut-{at}");
            for (path, bytes) in cut.layer.state(cut.names, cut.bytes) {
                let path = scene.lab.path(&work).join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            let verdict = scene.recover(&work)?;
            scene.end(&work);
            Ok(verdict)
        });
        for (cut, verdict) in cuts.iter().zip(verdicts) {
            table.add(scene.name, &cut.name, verdict);
        }
    }
    eprintln!("{}", if is_long() { "every prefix" } else { "a spread of the prefixes" });
    table.judge();
}

fn digest(state: &BTreeMap<PathBuf, Vec<u8>>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for (path, bytes) in state.iter().filter(|(path, _)| !is_record(path)) {
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.update(blake3::hash(bytes).as_bytes());
    }
    *hasher.finalize().as_bytes()
}
