//! `pipeline data`: downloads from a server that misbehaves, archives that are not to be trusted, and what verify finds.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use discover::manifest::Archive;
use md5::{Digest, Md5};
use pipeline::data::download::Retry;
use pipeline::data::verify::{Found, verify};
use pipeline::data::{DataError, DataEvent, Places, Settings, Standing, Watch, fetch};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::lab::Lab;
use crate::server::{Manner, Server};

/// A folder to fetch to, a server to fetch from.
struct Site {
    folder: tempfile::TempDir,
    server: Server,
    places: Places,
    settings: Settings,
}

/// What was reported, in words.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Watch for Log {
    fn report(&self, event: &DataEvent<'_>) {
        let line = match event {
            DataEvent::Downloaded { .. } => return,
            DataEvent::Stumbled { reason, .. } => format!("stumbled: {reason}"),
            DataEvent::Complete { archive } => format!("complete: {archive}"),
            DataEvent::Unpacked { archive, files, bytes } => format!("unpacked: {archive}: {files}, {bytes}"),
            DataEvent::Failed { message, .. } => format!("failed: {message}"),
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let places = Places { archives: folder.path().join("archives"), root: folder.path().join("media") };
        let retry = Retry { tries: 4, first: Duration::from_millis(5), longest: Duration::from_millis(20) };
        let settings =
            Settings { jobs: 1, retry, patience: Duration::from_secs(5), unpack: true, remove_archives: false };
        Site { folder, server: Server::new(), places, settings }
    }

    /// Serves an archive; the manifest tells the truth about it.
    fn archive(&self, name: &str, bytes: &[u8], manners: &[Manner]) -> Archive {
        let url = Some(self.server.serve(name, bytes, manners));
        Archive { name: name.to_string(), bytes: Some(bytes.len() as u64), md5: Some(md5(bytes)), url }
    }

    /// Fetches these, and gives what was said and what failed.
    fn fetch(&self, archives: &[&Archive]) -> (Vec<String>, Vec<String>) {
        let log = Log::default();
        let failed = fetch(archives, &self.places, &self.settings, &log).unwrap();
        (log.0.into_inner().unwrap(), failed)
    }

    fn path(&self, archive: &Archive) -> PathBuf {
        self.places.archive(archive)
    }
}

fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Bytes that no compression and no accident makes equal.
fn noise(count: usize, seed: &str) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

const MIB: usize = 1 << 20;

#[test]
fn a_download_goes_on_where_it_was_whatever_happens() {
    let site = Site::new();
    let bytes = noise(MIB, "a");
    let manners = [
        Manner::Status(503, "retry-after: 0\r\n"),
        Manner::DropAfter(300_000),
        Manner::DropAfter(0),
        Manner::Status(429, ""),
        Manner::DropAfter(100_000),
    ];
    let archive = site.archive("a.bin", &bytes, &manners);
    let (said, failed) = site.fetch(&[&archive]);
    assert!(failed.is_empty(), "{said:?}");
    assert!(std::fs::read(site.path(&archive)).unwrap() == bytes);
    assert_eq!(said.iter().filter(|line| line.starts_with("stumbled")).count(), 5, "{said:?}");
    assert!(said[0].contains("503") && said[1].contains("after 300000"), "{said:?}");
    let ranges: Vec<Option<String>> = site.server.requests().into_iter().map(|(_, range)| range).collect();
    let wanted = [None, None, Some(300_000), Some(300_000), Some(300_000), Some(400_000)];
    assert_eq!(ranges, wanted.map(|start: Option<usize>| start.map(|start| format!("bytes={start}-"))));
    // Nothing is left beside it, and nothing is asked for again.
    assert_eq!(std::fs::read_dir(&site.places.archives).unwrap().count(), 1);
    assert_eq!(site.fetch(&[&archive]), (vec!["complete: a.bin".to_string()], vec![]));
    assert!(site.server.requests().is_empty());
}

#[test]
fn wrong_bytes_are_thrown_away_and_fetched_again() {
    let site = Site::new();
    let bytes = noise(MIB, "b");
    let archive = site.archive("b.bin", &bytes, &[Manner::Corrupt]);
    let (said, failed) = site.fetch(&[&archive]);
    assert!(failed.is_empty() && said[0].contains("its MD5 is"), "{said:?}");
    assert!(std::fs::read(site.path(&archive)).unwrap() == bytes);
    // A part that was damaged on the way is found out at the end, and then all of it is fetched again.
    let archive = site.archive("c.bin", &bytes, &[Manner::DropAfter(1000)]);
    std::fs::write(site.places.part(&archive), noise(500_000, "another file")).unwrap();
    let (said, failed) = site.fetch(&[&archive]);
    assert!(failed.is_empty(), "{said:?}");
    assert!(std::fs::read(site.path(&archive)).unwrap() == bytes);
    // A manifest that is wrong is not believed for ever.
    let wrong = Archive { md5: Some(md5(b"something else")), ..site.archive("d.bin", &bytes, &[]) };
    let (said, failed) = site.fetch(&[&wrong]);
    assert_eq!(failed, ["d.bin"]);
    assert!(said.last().unwrap().contains("3 downloads in a row"), "{said:?}");
    assert!(!site.path(&wrong).exists());
}

#[test]
fn a_server_without_ranges_is_asked_for_everything() {
    let site = Site::new();
    let bytes = noise(MIB, "e");
    let archive = site.archive("e.bin", &bytes, &[Manner::DropAfter(400_000), Manner::IgnoreRange]);
    let (said, failed) = site.fetch(&[&archive]);
    assert!(failed.is_empty() && said.len() == 2, "{said:?}");
    assert!(std::fs::read(site.path(&archive)).unwrap() == bytes);
    // One that answers with another range than was asked for is not believed.
    let archive = site.archive("f.bin", &bytes, &[Manner::DropAfter(400_000), Manner::WrongRange]);
    let (said, failed) = site.fetch(&[&archive]);
    assert!(failed.is_empty() && said[1].contains("another range"), "{said:?}");
    assert!(std::fs::read(site.path(&archive)).unwrap() == bytes);
}

#[test]
fn a_file_that_changed_on_the_server_is_not_glued_together() {
    let site = Site::new();
    let (old, new) = (noise(MIB, "old"), noise(MIB, "new"));
    let mut archive = site.archive(
        "g.bin",
        &old,
        &[Manner::DropAfter(500_000), Manner::Status(500, ""), Manner::Status(500, ""), Manner::Status(500, "")],
    );
    let (_, failed) = site.fetch(&[&archive]);
    assert_eq!(failed, ["g.bin"]);
    archive = Archive { md5: None, ..site.archive("g.bin", &new, &[]) };
    site.server.requests();
    let (said, failed) = site.fetch(&[&archive]);
    assert!(failed.is_empty(), "{said:?}");
    assert!(std::fs::read(site.path(&archive)).unwrap() == new, "by If-Range, since no MD5 would have told");
    assert_eq!(site.server.requests(), [("/g.bin".to_string(), Some("bytes=500000-".to_string()))]);
}

#[test]
fn a_connection_that_says_nothing_is_dead() {
    let mut site = Site::new();
    site.settings.patience = Duration::from_millis(300);
    let bytes = noise(MIB, "h");
    let archive = site.archive("h.bin", &bytes, &[Manner::StallAfter(200_000)]);
    let start = std::time::Instant::now();
    let (said, failed) = site.fetch(&[&archive]);
    assert!(failed.is_empty() && said[0].contains("broke after 200000 bytes"), "{said:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(std::fs::read(site.path(&archive)).unwrap() == bytes);
}

#[test]
fn what_will_never_work_ends_at_once_and_holds_nothing_up() {
    let site = Site::new();
    let bytes = noise(1000, "i");
    let good = site.archive("i.bin", &bytes, &[]);
    let gone = Archive {
        url: good.url.as_ref().map(|url| url.replace("i.bin", "gone.bin")),
        name: "gone.bin".into(),
        ..good.clone()
    };
    let other = Archive { bytes: Some(5), ..site.archive("j.bin", &bytes, &[]) };
    let nowhere = Archive { url: None, name: "k.bin".into(), ..good.clone() };
    let busy = site.archive(
        "l.bin",
        &bytes,
        &[Manner::Status(503, ""), Manner::Status(503, ""), Manner::Status(503, ""), Manner::Status(503, "")],
    );
    let (said, failed) = site.fetch(&[&gone, &other, &nowhere, &busy, &good]);
    assert_eq!(failed, ["gone.bin", "j.bin", "k.bin", "l.bin"]);
    let text = said.join("\n");
    for part in [
        "the server says 404",
        "the server has 1000 bytes of j.bin, the manifest says 5",
        "k.bin: the manifest names no url",
        "given up after 4 tries without progress: the server says 503",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(site.path(&good).exists());
    // The next run of the command goes on with what is left, over a redirection.
    let moved = site.archive("m.bin", &bytes, &[Manner::Redirect("/l.bin")]);
    let (said, failed) = site.fetch(&[&busy, &moved]);
    assert!(failed.is_empty(), "{said:?}");
    // A disk that is too small is told before anything is asked for.
    site.server.requests();
    let huge = Archive { name: "n.bin".into(), bytes: Some(1 << 60), ..good };
    let error = fetch(&[&huge], &site.places, &site.settings, &Log::default()).unwrap_err();
    assert!(matches!(error, DataError::NoSpace { .. }) && error.to_string().contains("--remove-archives"), "{error}");
    assert!(site.server.requests().is_empty());
}

#[test]
fn several_at_a_time_and_no_more() {
    let mut site = Site::new();
    site.settings.jobs = 2;
    let archives: Vec<Archive> =
        (0..6).map(|n| site.archive(&format!("{n}.bin"), &noise(MIB, &n.to_string()), &[])).collect();
    let (said, failed) = site.fetch(&archives.iter().collect::<Vec<_>>());
    assert!(failed.is_empty() && said.len() == 6, "{said:?}");
    assert_eq!(site.server.most_at_once(), 2);
}

#[test]
fn archives_are_unpacked_once_and_go_on_after_a_kill() {
    let mut site = Site::new();
    let (one, two) = (noise(MIB, "one"), b"two".repeat(1000));
    let packed = zip(&[("set/audio/one.wav", &one), ("set/audio/two.wav", &two), ("set/empty.txt", b"")]);
    let archive = site.archive("set.audio.zip", &packed, &[]);
    let (said, failed) = site.fetch(&[&archive]);
    assert!(failed.is_empty(), "{said:?}");
    assert_eq!(said[1], format!("unpacked: set.audio.zip: 3, {}", MIB + 3000));
    let file = |name: &str| site.places.root.join("set").join(name);
    assert!(
        std::fs::read(file("audio/one.wav")).unwrap() == one && std::fs::read(file("audio/two.wav")).unwrap() == two
    );
    assert_eq!(Standing::of(&archive, &site.places), Standing::Unpacked);
    assert_eq!(site.fetch(&[&archive]), (vec![], vec![]), "nothing to do");
    // Killed while unpacking: no record, one file missing, one half-written under its temporary name.
    std::fs::remove_file(site.places.contents(&archive)).unwrap();
    std::fs::rename(file("audio/two.wav"), file("audio/.two.wav.part")).unwrap();
    std::fs::write(file("audio/.two.wav.part"), b"tw").unwrap();
    site.server.requests();
    let (said, _) = site.fetch(&[&archive]);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(std::fs::read(file("audio/two.wav")).unwrap() == two && !file("audio/.two.wav.part").exists());
    assert!(site.server.requests().is_empty(), "the archive was here");
    // Without its archive it is still known to be unpacked.
    std::fs::remove_file(site.places.contents(&archive)).unwrap();
    site.settings.remove_archives = true;
    site.fetch(&[&archive]);
    assert!(!site.path(&archive).exists());
    assert_eq!(site.fetch(&[&archive]), (vec![], vec![]));
    let found = verify(&[&archive], &site.places, false).unwrap();
    assert_eq!(found, Found { archives: 0, files: 3, ..Found::default() });
}

#[test]
fn verify_finds_damage_and_the_next_fetch_makes_it_good() {
    let site = Site::new();
    let one = noise(5000, "one");
    let packed = zip(&[("a/one.mp4", &one), ("a/two.mp4", b"two"), ("a/three.mp4", b"three")]);
    let (video, audio) =
        (site.archive("x.video.zip", &packed, &[]), site.archive("x.audio.zip", &zip(&[("b/x.wav", b"x")]), &[]));
    let absent = site.archive("x.meta.zip", b"never fetched", &[]);
    site.fetch(&[&video, &audio]);
    let all = [&video, &audio, &absent];
    let good = Found { archives: 2, files: 4, wrong: vec![], absent: vec!["x.meta.zip".into()] };
    assert_eq!(verify(&all, &site.places, false).unwrap(), good);
    let file = |name: &str| site.places.root.join("a").join(name);
    let mut bytes = one.clone();
    bytes[17] ^= 1;
    std::fs::write(file("one.mp4"), &bytes).unwrap();
    std::fs::remove_file(file("two.mp4")).unwrap();
    std::fs::write(file("three.mp4"), b"thr").unwrap();
    let mut archive = std::fs::read(site.path(&audio)).unwrap();
    *archive.last_mut().unwrap() ^= 1;
    std::fs::write(site.path(&audio), archive).unwrap();
    let quick = verify(&[&audio], &site.places, true).unwrap();
    assert_eq!((quick.archives, quick.wrong.len()), (1, 0), "sizes are right");
    let found = verify(&all, &site.places, false).unwrap();
    assert_eq!((found.archives, found.files, found.wrong.len()), (1, 1, 4), "{found:?}");
    let text = found.wrong.join("\n");
    for part in [
        "one.mp4: its CRC is not that of the archive",
        "two.mp4: it is gone",
        "three.mp4: it has 3 bytes",
        "x.audio.zip: its MD5",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(file("one.mp4.damaged").exists() && !file("one.mp4").exists());
    site.fetch(&[&video, &audio]);
    assert!(std::fs::read(file("one.mp4")).unwrap() == one);
    // The damaged archive was not needed: what it held is unpacked, and right.
    assert_eq!(verify(&all, &site.places, false).unwrap().files, 4);
}

#[test]
fn an_archive_cannot_write_elsewhere() {
    let site = Site::new();
    let absolute = format!("{}/outside.txt", site.folder.path().display());
    let mut link = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    link.add_symlink("audio", "/tmp", SimpleFileOptions::default()).unwrap();
    let mut bomb = zip(&[("big.wav", &vec![0; MIB])]);
    // The sizes that the directory and the header state: 1 MiB becomes 16 bytes.
    for at in (0..bomb.len() - 4).rev() {
        if bomb[at..at + 4] == (MIB as u32).to_le_bytes() {
            bomb[at..at + 4].copy_from_slice(&16_u32.to_le_bytes());
        }
    }
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("up.zip", zip(&[("good.txt", b"good"), ("../outside.txt", b"bad")]), "would be written outside of the folder"),
        ("absolute.zip", zip(&[(absolute.as_str(), b"bad")]), ""),
        ("link.zip", link.finish().unwrap().into_inner(), "is a link"),
        ("text.zip", b"no zip at all".to_vec(), "it is no zip archive"),
        ("bomb.zip", bomb, "big.wav"),
    ];
    for (name, bytes, why) in cases {
        let archive = site.archive(name, &bytes, &[]);
        let (said, failed) = site.fetch(&[&archive]);
        if why.is_empty() {
            assert!(failed.is_empty() || said.last().unwrap().contains("outside of the folder"), "{name}: {said:?}");
        } else {
            assert_eq!(failed, [name], "{said:?}");
            assert!(said.last().unwrap().contains(why), "{name}: {said:?}");
        }
    }
    assert!(!site.folder.path().join("outside.txt").exists());
    let unpacked: Vec<_> = walk(&site.places.root);
    assert!(unpacked.iter().all(|path| !path.ends_with("good.txt") && !path.ends_with("big.wav")), "{unpacked:?}");
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn from_a_manifest_to_a_run() {
    let lab = Lab::new();
    let server = Server::new();
    let clip = |name: &str| std::fs::read(lab.path("clips/park").join(name)).unwrap();
    let (sound, pictures) = (clip("park-lisbon-0-1.wav"), clip("park-lisbon-0-1.mp4"));
    let packed = [
        ("x.meta.zip", zip(&[("README.md", b"read me")])),
        ("x.audio.1.zip", zip(&[("park/a.wav", &sound)])),
        ("x.video.1.zip", zip(&[("park/a.mp4", &pictures)])),
    ];
    let mut text = "name = \"x\"\nlicence = \"CC0\"\nroot = \"$PIPELINE_TEST_ROOT\"\nlayout = \"folder\"\n".to_string();
    for (name, bytes) in &packed {
        let url = server.serve(name, bytes, &[Manner::Status(503, "retry-after: 0\r\n")]);
        text +=
            &format!("[[archive]]\nname = {name:?}\nbytes = {}\nmd5 = {:?}\nurl = {url:?}\n", bytes.len(), md5(bytes));
    }
    std::fs::write(lab.path("x.toml"), text).unwrap();
    let there = ["--data", "x.toml", "--to", "media"];
    let data = |args: &[&'static str], code: i32| lab.pipeline(&[&["data"], args, &there].concat()).ended(code);
    let unset = lab.pipeline(&["data", "fetch", "--data", "x.toml"]).ended(2);
    assert!(unset.stderr.contains("environment variable") && unset.stderr.contains("--to DIR"), "{}", unset.stderr);
    let said = data(&["fetch", "--dry-run"], 3);
    assert!(said.stdout.matches("to be downloaded").count() == 3 && said.stdout.contains("free"), "{}", said.stdout);
    assert!(!lab.path("media").exists() && server.requests().is_empty());
    let said = data(&["fetch", "--only", "audio", "--only", "x.meta.zip"], 0);
    assert!(
        said.stdout.contains("2 of 2 archives in media") && said.stderr.contains("CC0"),
        "{} {}",
        said.stdout,
        said.stderr
    );
    let typo = data(&["fetch", "--only", "vidoe"], 2);
    assert!(typo.stderr.contains("no archive is meant by it"), "{}", typo.stderr);
    let said = data(&["verify"], 1);
    assert!(said.stdout.contains("not here: x.video.1.zip"), "{}", said.stdout);
    let said = data(&["fetch", "--json"], 0);
    assert!(
        said.stdout.contains("{\"event\":\"unpacked\",\"archive\":\"x.video.1.zip\",\"files\":1"),
        "{}",
        said.stdout
    );
    let said = data(&["verify"], 0);
    assert!(said.stdout.contains("3 archives, 3 files: all good"), "{}", said.stdout);
    data(&["fetch", "--dry-run"], 0);
    let folder = lab.path("media");
    let run = ["run", "log-mel", "--json", "--data", "x.toml", "--work", "w"];
    let output = lab.command(&run).env("PIPELINE_TEST_ROOT", &folder).output().unwrap();
    let said = crate::lab::Said::new(&output).ended(0);
    assert_eq!(said.stages()["log-mel"], (1, 0, 0));
}

#[test]
fn a_killed_fetch_goes_on_with_the_next_byte() {
    let lab = Lab::new();
    let server = Server::new();
    let bytes = noise(MIB, "killed");
    let url = server.serve("big.bin", &bytes, &[Manner::StallAfter(300_000)]);
    let text = format!(
        "name = \"x\"\nroot = \"media\"\nlayout = \"folder\"\n[[archive]]\nname = \"big.bin\"\nbytes = {MIB}\nmd5 = {:?}\nurl = {url:?}\n",
        md5(&bytes)
    );
    std::fs::write(lab.path("x.toml"), text).unwrap();
    let args = ["data", "fetch", "--data", "x.toml"];
    let mut child = lab.command(&args).stderr(std::process::Stdio::null()).spawn().unwrap();
    let part = lab.path("media/archives/big.bin.part");
    let start = std::time::Instant::now();
    while std::fs::metadata(&part).map_or(0, |m| m.len()) < 300_000 {
        assert!(start.elapsed() < Duration::from_mins(1), "nothing comes");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lab.pipeline(&args).ended(0);
    assert!(std::fs::read(lab.path("media/archives/big.bin")).unwrap() == bytes);
    let ranges: Vec<Option<String>> = server.requests().into_iter().map(|(_, range)| range).collect();
    assert_eq!(ranges, [None, Some("bytes=300000-".to_string())]);
}
