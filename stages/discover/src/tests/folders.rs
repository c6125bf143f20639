use super::*;

#[test]
fn classes_by_folder_and_pairs_by_stem() {
    let root = tree(&["bus/x.mp4", "bus/x.wav", "bus/y.MP4", "tram/z.flac", "tram/.hidden.mp4", "tram/notes.txt"]);
    let data = found(root.path());
    assert_eq!(
        lines(&data, root.path()).iter().map(|l| l.rsplit_once(' ').unwrap().0).collect::<Vec<_>>(),
        ["bus-x bus/x.mp4 bus/x.wav bus .", "bus-y bus/y.MP4 . bus .", "tram-z . tram/z.flac tram ."]
    );
    assert_eq!(data.classes, ["bus", "tram"]);
    assert_eq!(data.notes[..2], ["1 hidden file or folder was ignored", "1 file is no medium and was ignored"]);
    assert_eq!(data.notes[2], "1 of 3 items are sound files without a video: what needs pictures leaves them out");
    assert!(data.notes[3].starts_with("the data set names no split; "), "{:?}", data.notes);
}

#[test]
fn parallel_folders_are_pairs_and_name_no_class() {
    let root = tree(&["video/a-1.mp4", "audio/a-1.wav", "audio/b-2.wav"]);
    let data = found(root.path());
    assert_eq!(lines(&data, root.path()), ["a-1 video/a-1.mp4 audio/a-1.wav . . .", "b-2 . audio/b-2.wav . . ."]);
    assert!(data.classes.is_empty());
    let root = tree(&["bus/video/a.mp4", "bus/audio/a.wav", "tram/video/a.mp4"]);
    let data = found(root.path());
    assert_eq!(data.items.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), ["bus-a", "tram-a"]);
    assert_eq!(data.classes, ["bus", "tram"]);
}

#[test]
fn train_and_test_folders_are_a_split() {
    let root = tree(&["train/bus/a.mp4", "train/tram/b.mp4", "test/bus/c.mp4", "validation/tram/d.mp4"]);
    let data = found(root.path());
    assert_eq!(
        lines(&data, root.path()),
        [
            "test-bus-c test/bus/c.mp4 . bus . test",
            "train-bus-a train/bus/a.mp4 . bus . train",
            "train-tram-b train/tram/b.mp4 . tram . train",
            "validation-tram-d validation/tram/d.mp4 . tram . val"
        ]
    );
}

#[test]
fn one_folder_is_no_class() {
    let root = tree(&["clips/a.mp4", "clips/b.mp4"]);
    let data = found(root.path());
    assert!(data.classes.is_empty() && data.items.iter().all(|i| i.label.is_none() && i.split.is_none()));
    assert_eq!(data.notes, ["all files lie in one folder, `clips`, which is not taken for a class"]);
}

#[test]
fn collisions_name_both_files() {
    for (files, message) in [
        (["b/x.mkv", "b/x.mp4"], "`b/x.mkv` and `b/x.mp4` would both be the item `b-x`"),
        (["b/x-y.mp4", "b/x/y.mp4"], "`b/x-y.mp4` and `b/x/y.mp4` would both be the item `b-x-y`"),
    ] {
        let root = tree(&files);
        assert!(error(root.path()).contains(message), "{}", error(root.path()));
    }
}

#[test]
fn a_file_outside_of_the_class_folders_is_an_error() {
    let root = tree(&["bus/a.mp4", "tram/b.mp4", "intro.mp4"]);
    assert!(error(root.path()).contains("`intro.mp4` lies outside of the class folders, but `bus/a.mp4` lies in one"));
}

#[test]
fn a_folder_without_media_is_an_error() {
    let root = tree(&["a.txt"]);
    let message = error(root.path());
    assert!(message.contains("no media file in it: 1 file is no medium and was ignored (pictures: mp4 "), "{message}");
    let message = error(tree(&[]).path());
    assert!(message.contains("no media file in it (pictures: mp4 "), "{message}");
}

#[test]
fn a_mistyped_source_gets_a_suggestion_and_what_lies_beside_it() {
    let root = tree(&[
        "clips/bus/a.mp4",
        "sets/demo.toml",
        "sets/demo/d.wav",
        "own.toml",
        "b.wav",
        "notes.txt",
        ".hidden/c.wav",
    ]);
    let of = |name: &str| error(&root.path().join(name));
    let beside = "beside it: b.wav, clips, own.toml, sets";
    let path = |name: &str| root.path().join(name).display().to_string();
    for (name, meant) in
        [("clps", "clips"), ("own", "own.toml"), ("demo", "sets/demo.toml"), ("demo.toml", "sets/demo.toml")]
    {
        let meant = path(meant);
        assert_eq!(of(name), format!("{name}: no such file or folder (did you mean `{meant}`?); {beside}"));
    }
    assert_eq!(of("zzz"), format!("zzz: no such file or folder; {beside}"));
    let nowhere = path("nowhere");
    assert_eq!(
        of("nowhere/a.mp4"),
        format!("a.mp4: no such file or folder: the folder `{nowhere}` is not there or cannot be read")
    );
    let many: Vec<String> = (10..30).map(|n| format!("set-{n}/a.wav")).collect();
    let root = tree(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let message = error(&root.path().join("zzz"));
    assert!(message.ends_with("set-20, set-21, 8 more"), "{message}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_loops_cut_and_dead_links_kept_as_missing_media() {
    use std::os::unix::fs::symlink;
    let root = tree(&["bus/a.mp4", "tram/b.mp4"]);
    symlink("..", root.path().join("bus/up")).unwrap();
    symlink("../bus/a.mp4", root.path().join("tram/linked.mp4")).unwrap();
    symlink("nowhere.mp4", root.path().join("tram/dead.mp4")).unwrap();
    symlink("nowhere", root.path().join("tram/dead")).unwrap();
    let data = found(root.path());
    let ids: Vec<&str> = data.items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(ids, ["bus-a", "tram-b", "tram-dead", "tram-linked"]);
    assert_eq!(
        data.notes[..2],
        [
            "1 symbolic link leads back to a folder above it and was not followed",
            "1 symbolic link leads nowhere and was ignored"
        ]
    );
}

#[cfg(unix)]
#[test]
fn names_that_cannot_be_ids_are_errors() {
    use std::os::unix::ffi::OsStrExt;
    let root = tree(&["bell\u{7}.mp4"]);
    assert!(error(root.path()).contains("holds a control character"));
    let root = tree(&[]);
    fs::write(root.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.mp4")), "").unwrap();
    assert!(error(root.path()).contains("is not Unicode"));
}

#[test]
fn a_single_file_is_a_data_set_of_one() {
    let root = tree(&["my clip.mp4", "s.wav", "x.txt"]);
    assert_eq!(lines(&found(&root.path().join("my clip.mp4")), root.path()), ["my clip my clip.mp4 . . . ."]);
    assert_eq!(lines(&found(&root.path().join("s.wav")), root.path()), ["s . s.wav . . ."]);
    assert!(error(&root.path().join("x.txt")).starts_with("x.txt: neither a manifest"));
    let missing = discover(&root.path().join("none"), &Params::default()).unwrap_err();
    assert_eq!(
        (missing.to_string().as_str(), missing.class()),
        ("none: no such file or folder; beside it: my clip.mp4, s.wav", Cause::Missing)
    );
}
