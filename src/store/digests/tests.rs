use super::*;

fn aged_file(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("a.wav");
    fs::write(&path, bytes).expect("write");
    path
}

#[test]
fn a_young_file_is_hashed_again_and_an_old_one_is_not() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = aged_file(folder.path(), b"one");
    let digests = Digests::load(&folder.path().join("digests"));
    let digest = digests.digest(&path).expect("hash");
    assert_eq!(digest, *blake3::hash(b"one").as_bytes());
    assert_eq!(digests.known(&path).expect("stat"), None, "just written: its times cannot be trusted");
    // The same record made three seconds later would be trusted.
    let mut fresh = digests.fresh.write().expect("lock");
    fresh.records.get_mut(&name_of(&path, Path::new("/"))).expect("record").hashed_at_ns += 3_000_000_000;
    drop(fresh);
    assert_eq!(digests.known(&path).expect("stat"), Some(digest));
}

#[test]
fn a_file_has_one_name_however_it_is_written() {
    let here = Path::new("/data/set");
    let name = name_of(Path::new("/data/set/clips/a.wav"), here);
    for written in ["clips/a.wav", "./clips/a.wav", "clips//a.wav", "clips/./a.wav", "/data//set/clips/a.wav"] {
        assert_eq!(name_of(Path::new(written), here), name, "{written}");
    }
    assert_eq!(name_of(Path::new("data"), Path::new("/")), name_of(Path::new("/data"), here), "in the root folder");
    assert_ne!(name_of(Path::new("clips/b.wav"), here), name);
}

fn recorded(digests: &Digests, path: &Path) -> Option<Content> {
    digests.all_known(&[path], true).pop().expect("one of one").expect("it is there")
}

/// Files that hold different bytes.
fn files(folder: &Path, count: usize) -> Vec<PathBuf> {
    let paths: Vec<PathBuf> = (0..count).map(|n| folder.join(format!("{n}.wav"))).collect();
    for path in &paths {
        fs::write(path, path.as_os_str().as_encoded_bytes()).expect("write");
    }
    paths
}

/// The segments in the folder.
fn published(cache: &Path) -> Vec<PathBuf> {
    fs::read_dir(cache).into_iter().flatten().map(|entry| entry.expect("entry").path()).collect()
}

fn assert_all_recorded(cache: &Path, paths: &[PathBuf]) {
    let digests = Digests::load(cache);
    let is_right =
        |path: &&PathBuf| recorded(&digests, path) == Some(*blake3::hash(&fs::read(path).expect("read")).as_bytes());
    assert_eq!(paths.iter().filter(is_right).count(), paths.len());
}

#[test]
fn the_cache_survives_a_round_trip_and_a_torn_file_is_empty() {
    let folder = tempfile::tempdir().expect("tempdir");
    let paths = files(folder.path(), 2);
    let cache = folder.path().join("digests");
    let hash = |path: &Path| {
        let digests = Digests::load(&cache);
        digests.digest(path).expect("hash");
        digests.save().expect("save");
    };
    hash(&paths[0]);
    assert_all_recorded(&cache, &paths[..1]);
    let [segment] = &published(&cache)[..] else { panic!("one segment") };
    let bytes = fs::read(segment).expect("read");
    fs::write(segment, &bytes[..bytes.len() - 1]).expect("write");
    assert_eq!(recorded(&Digests::load(&cache), &paths[0]), None);
    hash(&paths[1]);
    assert_all_recorded(&cache, &paths[1..]);
    assert_eq!(published(&cache).len(), 1, "the torn one is gone");
}

#[test]
fn the_file_that_the_cache_was_before_makes_room() {
    let folder = tempfile::tempdir().expect("tempdir");
    let paths = files(folder.path(), 1);
    let cache = folder.path().join("digests");
    fs::write(&cache, b"digests\x03").expect("write");
    let digests = Digests::load(&cache);
    digests.digest(&paths[0]).expect("hash");
    digests.save().expect("save");
    assert_all_recorded(&cache, &paths);
}

#[test]
fn what_two_processes_hash_is_kept_and_what_was_hashed_last_stands() {
    let folder = tempfile::tempdir().expect("tempdir");
    let cache = folder.path().join("digests");
    let paths = files(folder.path(), 100);
    // Both have read the first segment, and each takes it up.
    let first = Digests::load(&cache);
    assert!(paths[..10].iter().all(|path| first.digest(path).is_ok()));
    first.save().expect("save");
    let (one, other) = (Digests::load(&cache), Digests::load(&cache));
    assert!(paths[10..60].iter().all(|path| one.digest(path).is_ok()));
    fs::write(&paths[50], b"changed").expect("write");
    assert!(paths[40..].iter().all(|path| other.digest(path).is_ok()));
    other.save().expect("save");
    one.save().expect("save");
    assert_all_recorded(&cache, &paths);
    assert_eq!(published(&cache).len(), 2);
    Digests::load(&cache).save().expect("too many segments");
    assert_all_recorded(&cache, &paths);
    let [segment] = &published(&cache)[..] else { panic!("one segment") };
    Digests::load(&cache).save().expect("nothing to save");
    assert_eq!(published(&cache), std::slice::from_ref(segment), "a process that hashed nothing writes nothing");
}

#[test]
fn segments_stay_few_and_large_ones_are_left_where_they_are() {
    let folder = tempfile::tempdir().expect("tempdir");
    let cache = folder.path().join("digests");
    let paths = files(folder.path(), 100);
    let digests = Digests::load(&cache);
    assert!(paths[..60].iter().all(|path| digests.digest(path).is_ok()));
    digests.save().expect("save");
    let [large] = &published(&cache)[..] else { panic!("one segment") };
    for (n, path) in paths[60..].iter().enumerate() {
        let digests = Digests::load(&cache);
        digests.digest(path).expect("hash");
        digests.save().expect("save");
        // A process replaces its own.
        let before = published(&cache);
        for digest in [[1; 32], hash_file(path).expect("there")] {
            digests.remember(path, Hashing::begin(path).expect("there"), digest).expect("there");
            digests.save().expect("save");
        }
        assert_eq!(published(&cache).len(), before.len());
        assert!(before.len() <= 7, "{} after {n}", before.len());
        assert!(n > 20 || before.contains(large), "written again for {n} files");
    }
    assert_all_recorded(&cache, &paths);
}

/// Each of them loads and saves while the other does, as two processes do.
#[test]
fn two_that_save_at_the_same_time_lose_nothing() {
    let folder = tempfile::tempdir().expect("tempdir");
    let cache = folder.path().join("digests");
    let paths = files(folder.path(), 120);
    std::thread::scope(|scope| {
        for half in paths.chunks(60) {
            scope.spawn(|| {
                for few in half.chunks(6) {
                    let digests = Digests::load(&cache);
                    for path in few {
                        digests.digest(path).expect("hash");
                        digests.save().expect("save");
                    }
                }
            });
        }
    });
    assert_all_recorded(&cache, &paths);
}
