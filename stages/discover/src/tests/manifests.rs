use super::*;

#[test]
fn a_table_in_any_column_order_with_bom_and_crlf() {
    let folder = with_table(
        "\u{feff}label,id,audio,video,split,group\r\nbus,b,b.wav,\"b, 1.mp4\",train,g1\r\nbus,a,,a.mp4,test,g2\r\n",
    );
    let data = found(&folder.path().join("m.toml"));
    assert_eq!(
        lines(&data, folder.path()),
        ["b b, 1.mp4 b.wav bus g1 train", "a a.mp4 . bus g2 test"],
        "order is the table's"
    );
    assert_eq!((data.name.as_str(), &data.classes[..]), ("m", &["bus".to_owned()][..]));
    assert!(data.notes.is_empty(), "{:?}", data.notes);
}

#[test]
fn tabs_are_seen_in_the_header_and_quotes_mean_nothing_there() {
    let folder = with_table("id\tvideo\na\t5\" clip, one.mp4\n");
    let data = found(&folder.path().join("m.toml"));
    assert_eq!(lines(&data, folder.path()), ["a 5\" clip, one.mp4 . . . ."]);
}

#[test]
fn inline_items_about_and_class_order() {
    let folder = tempfile::tempdir().unwrap();
    let text = "name = 'n'\nlicence = 'CC0'\nroot = '.'\nclasses = ['z', 'a', 'q']\n\
                [[item]]\nid = 'one'\nvideo = '1.mp4'\nlabel = 'a'\ngroup = 'g'\nsplit = 'train'\n\
                [[item]]\nid = 'two'\naudio = '2.wav'\nlabel = 'z'\ngroup = 'g'\nsplit = 'test'\n\
                [[archive]]\nname = 'x.zip'\nbytes = 5\n";
    fs::write(folder.path().join("m.toml"), text).unwrap();
    let data = found(&folder.path().join("m.toml"));
    assert_eq!(lines(&data, folder.path()), ["one 1.mp4 . a g train", "two . 2.wav z g test"]);
    assert_eq!(data.classes, ["z", "a", "q"]);
    assert_eq!(data.about.licence.as_deref(), Some("CC0"));
    assert_eq!(
        data.notes,
        [
            "classes without an item: q",
            "1 of 1 groups are in the test split and outside of it, first `g`: the test figure will flatter"
        ]
    );
}

#[test]
fn variables_are_expanded_and_named_when_unset() {
    let folder = tree(&["media/a/x.mp4"]);
    let text = "name = 'n'\n\nroot = '${HERE}/$SUB'\nlayout = 'folder'\n";
    fs::write(folder.path().join("m.toml"), text).unwrap();
    let here = folder.path().display().to_string();
    let both = |name: &str| match name {
        "HERE" => Some(here.clone()),
        "SUB" => Some("media".to_owned()),
        _ => None,
    };
    let draft = manifest::read(&folder.path().join("m.toml"), &both).unwrap();
    assert_eq!(draft.items[0].video.as_deref(), Some(folder.path().join("media/a/x.mp4").as_path()));
    let one = |name: &str| (name == "HERE").then(|| here.clone());
    assert_eq!(
        manifest::read(&folder.path().join("m.toml"), &one).unwrap_err().to_string(),
        "m.toml:3: the environment variable SUB is not set; set it to the folder of the media, or write the path into the manifest"
    );
}

#[test]
fn errors_of_a_table_name_its_line() {
    let cases = [
        (
            "id,vidoe\na,b\n",
            "t.csv:1: unknown column `vidoe` (did you mean `video`?); known are id, video, audio, label, group, city, split",
        ),
        ("video\na.mp4\n", "t.csv:1: the column `id` is missing; the header has video"),
        ("id,label\na,b\n", "t.csv:1: the column `video` or `audio` is missing; the header has id, label"),
        ("id,video\na,a.mp4\nb,b.mp4\na,c.mp4\n", "t.csv:4: the id `a` is already that of line 2; ids must be unique"),
        ("id,video\na,a.mp4,x\n", "t.csv:2: 3 fields, but the header has 2"),
        ("id,video\n", "t.csv: there is no item in it"),
        ("", "t.csv:1: the column `id` is missing; the header has "),
        (
            "id,video\na,\n",
            "t.csv:2: `a` names neither a video nor an audio file; where features are imported and there are no media, the manifest says features_only = true",
        ),
        ("id,video\n,a.mp4\n", "t.csv:2: the id is empty"),
        (
            "id,video\n../a,a.mp4\n",
            "t.csv:2: the id `../a` holds a `/` or `\\`; ids name files and folders of the output",
        ),
        (
            "id,video,label\na,a.mp4,x\nb,b.mp4,\n",
            "t.csv:3: `b` has no label, but `a` has one; give all of them one, or none",
        ),
        (
            "id,video,label\na,a.mp4,\nb,b.mp4,x\n",
            "t.csv:3: `a` has no label, but `b` has one; give all of them one, or none",
        ),
        (
            "id,video,split\na,a.mp4,train\nb,b.mp4,\n",
            "t.csv:3: `b` has no split, but `a` has one; give all of them one, or none",
        ),
        ("id,video,split\na,a.mp4,evaluate\n", "t.csv:2: `evaluate` is no split; write train, val or test"),
    ];
    for (table, message) in cases {
        assert_eq!(table_error(table), message);
    }
}

#[test]
fn errors_of_a_manifest_name_its_line() {
    let head = "name = 'n'\nroot = '.'\n";
    let item = "[[item]]\nid = 'a'\nvideo = 'a.mp4'\n";
    let cases = [
        (format!("{head}tabel = 'x'\n"), "m.toml:3: unknown key `tabel` (did you mean `table`?)"),
        (format!("{head}{item}lable = 'x'\n"), "m.toml:6: unknown key of [[item]] `lable` (did you mean `label`?)"),
        (
            format!("{head}layout = 'folder'\n[[archive]]\nname = 'x'\nsha1 = 'y'\n"),
            "m.toml:6: unknown key of [[archive]] `sha1`",
        ),
        (head.to_owned(), "m.toml: the manifest names 0 of `table`, `layout` and `[[item]]`; it must name exactly one"),
        (format!("{head}layout = 'folder'\n{item}"), "m.toml: the manifest names 2 of"),
        ("name = 'n'\n".to_owned(), "m.toml:1: missing field `root`"),
        ("name = 'n\n".to_owned(), "m.toml:1: "),
        (
            format!("{head}table = 'none.csv'\nobtain = 'make demo'\n"),
            "m.toml:3: the table `none.csv` does not exist; to obtain it: make demo",
        ),
        (
            "name = 'n'\nroot = 'none'\nlayout = 'folder'\n".to_owned(),
            "m.toml:2: the root folder `none` does not exist",
        ),
        (
            format!("{head}layout = 'tau-2021'\n"),
            "m.toml:2: neither it nor a folder in it holds both meta.csv and evaluation_setup/",
        ),
        (format!("{head}classes = ['a', 'a']\n{item}"), "m.toml:3: the class `a` is listed twice"),
        (
            format!(
                "{head}item = [{{ id = 'b', video = 'b' }}, {{ id = 'a', video = 'a' }}, {{ id = 'a', video = 'a' }}]\n"
            ),
            "m.toml:3: the id `a` is already that of line 3",
        ),
        (
            format!("{head}classes = ['bus']\n{item}label = 'buss'\n"),
            "m.toml:4: the label `buss` is not among the classes of the manifest (did you mean `bus`?)",
        ),
    ];
    for (manifest, message) in cases {
        let error = manifest_error(&manifest);
        assert!(error.starts_with(message), "\n got {error}\nwant {message}");
    }
}

#[test]
fn features_alone_need_no_media_and_no_root() {
    let folder = tempfile::tempdir().unwrap();
    let write =
        |head: &str| fs::write(folder.path().join("m.toml"), format!("name = 'm'\ntable = 't.csv'\n{head}")).unwrap();
    fs::write(folder.path().join("t.csv"), "id,label,split\na,bus,train\nb,tram,test\n").unwrap();
    write("features_only = true\n");
    let data = found(&folder.path().join("m.toml"));
    assert_eq!(lines(&data, folder.path()), ["a . . bus . train", "b . . tram . test"]);
    // a root that is not here does not matter, and paths are kept
    fs::write(folder.path().join("t.csv"), "id,video,label,split\na,a.mp4,bus,train\nb,,tram,test\n").unwrap();
    write("features_only = true\nroot = 'gone'\n");
    let data = found(&folder.path().join("m.toml"));
    assert_eq!(lines(&data, &folder.path().join("gone")), ["a a.mp4 . bus . train", "b . . tram . test"]);
    write("");
    assert_eq!(
        error(&folder.path().join("m.toml")),
        "m.toml:1: missing field `root`: the folder of the media (a manifest without media says features_only = true)"
    );
}

#[test]
fn archives_are_listed_without_media() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.toml");
    let read = |text: &str, variable: &dyn Fn(&str) -> Option<String>| {
        fs::write(&file, format!("name = 'm'\nroot = '$MEDIA'\nlayout = 'tau-2021'\n{text}")).unwrap();
        manifest::archives(&file, variable)
    };
    let text =
        "[[archive]]\nname = 'a.zip'\nbytes = 5\nmd5 = '26960140f453d31bbd315ed7e35675f8'\nurl = 'https://x/a.zip'\n";
    let download = read(text, &|_| None).unwrap();
    assert_eq!(download.root, None);
    assert_eq!(download.archives.len(), 1);
    assert_eq!((download.archives[0].bytes, download.archives[0].url.as_deref()), (Some(5), Some("https://x/a.zip")));
    let set = read(text, &|name| (name == "MEDIA").then(|| "/media/x".to_owned())).unwrap();
    assert_eq!(set.root.unwrap(), Path::new("/media/x"));
    for (bad, message) in [
        ("[[archive]]\nname = \"../a.zip\"\n", "m.toml:5: the archive `../a.zip` must be a plain file name"),
        (
            "[[archive]]\nname = \"a\"\nmd5 = 'xyz'\n",
            "m.toml:5: the archive `a` has an md5 that is not 32 hexadecimal digits",
        ),
        ("[[archive]]\nname = \"a\"\n[[archive]]\nname = \"a\"\n", "m.toml:5: the archive `a` is listed twice"),
        (
            "[[archive]]\nname = 'a'\nurk = 'x'\n",
            "m.toml:6: unknown key of [[archive]] `urk` (did you mean `url`?); known are name, bytes, md5, url",
        ),
    ] {
        assert_eq!(read(bad, &|_| None).unwrap_err().to_string(), message);
    }
}

/// What a person runs `pipeline data fetch` with.
#[test]
fn the_manifest_of_tau_2021_says_where_everything_is() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data-manifests/tau-2021-development.toml");
    let download = manifest::archives(&file, &|_| None).unwrap();
    let bytes: u64 = download.archives.iter().map(|archive| archive.bytes.unwrap()).sum();
    let total = |kind: &str| -> u64 {
        let of_kind = download.archives.iter().filter(|a| a.name.contains(kind));
        of_kind.map(|archive| archive.bytes.unwrap()).sum()
    };
    assert_eq!((download.archives.len(), bytes / 10_000_000), (27, 10_773));
    assert_eq!((total(".audio.") / 10_000_000, total(".video.") / 10_000_000), (3_039, 7_721));
    for archive in &download.archives {
        assert!(archive.md5.is_some());
        let url = archive.url.as_ref().unwrap();
        assert_eq!(*url, format!("https://zenodo.org/records/4477542/files/{}?download=1", archive.name));
    }
}
