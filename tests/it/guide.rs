//! Every command in the guide: what stands behind `$ ` in a `console` block of a page is typed here, in a folder prepared as the page
//! says, and must print what the page shows. Numbers that differ from machine to machine (times, rates, figures with a point, digests)
//! are compared as such only; a line `...` stands for lines that are left out. A `python` block is run as a script, and the `text` block
//! behind it is what it prints. A block `toml FILE` is written to that file.
//!
//! A block that cannot be run here says so and why in its first line: ```` ```console not-run: REASON ````. Each of these is printed by the test.

use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

use crate::lab::{copy_folder, ffmpeg};

/// The pages, in the order in which a newcomer reads them.
const PAGES: [&str; 6] = ["install", "first-data-set", "python", "cluster", "cuda", "troubleshooting"];

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// How a step is run.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Shell,
    Python,
    /// It is what a file holds, and the file is written.
    Writing,
}

/// Something to run.
#[derive(Debug, PartialEq)]
struct Step {
    /// A shell command, a Python script, or the text of a file.
    what: String,
    by: By,
    /// The file, where one is written.
    file: String,
    /// The lines that the page shows.
    shown: Vec<String>,
    /// Why it is not run here.
    not_run: Option<String>,
}

/// The steps of a page, in order.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(fence) = line.strip_prefix("```") else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let (language, not_run) = match fence.split_once(" not-run: ") {
            Some((language, reason)) => (language, Some(reason.to_string())),
            None => (fence, None),
        };
        let (language, file) = language.split_once(' ').unwrap_or((language, ""));
        let step = |what: &str, by| {
            let (what, file, not_run) = (what.to_string(), file.to_string(), not_run.clone());
            Step { what, by, file, shown: Vec::new(), not_run }
        };
        match language {
            "console" => {
                assert!(body.first().is_some_and(|line| line.starts_with("$ ")), "a command first: {body:?}");
                for line in body {
                    if let Some(command) = line.strip_prefix("$ ") {
                        steps.push(step(command, By::Shell));
                    } else {
                        steps.last_mut().expect("a command came first").shown.push(line.to_string());
                    }
                }
            }
            "python" => steps.push(step(&body.join("\n"), By::Python)),
            "text" if steps.last().is_some_and(|step| step.by == By::Python && step.shown.is_empty()) => {
                steps.last_mut().expect("there is one").shown = body.iter().map(ToString::to_string).collect();
            }
            "toml" if !file.is_empty() => steps.push(step(&body.join("\n"), By::Writing)),
            // Shown to be read.
            "toml" | "text" => assert_eq!(not_run, None, "nothing that is run"),
            other => panic!("what is a block of `{other}`?"),
        }
    }
    steps
}

/// What does not depend on the machine and the moment.
struct Words(Vec<(Regex, &'static str)>);

impl Words {
    fn new() -> Words {
        let rules = [
            (r"\x1b\[[0-9;]*m", ""),
            (r"(\d+ h )?(\d+ min )?\d+(\.\d+)? (s|ms)\b", "TIME"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE"),
            (r"\b\d{14}-\d+\b", "RUN"),
            (r"\b[0-9a-f]{16,}\b", "DIGEST"),
            (r"\(x86_64[^)]*\)", "(PROCESSOR)"),
            (r"\b\d+ cores?\b", "CORES"),
            (r"(libav: ).*|(HDF5 ).*|(NVIDIA driver ).*|(Slurm ).*|(room ).*|(inodes ).*", "$1$2$3$4$5$6MACHINE"),
            (r"-?\d+\.\d+([eE][-+]?\d+)?", "FIGURE"),
            (r"\b\d+ iterations\b", "N iterations"),
            (r"[ \t]+", " "),
        ];
        Words(rules.into_iter().map(|(rule, word)| (Regex::new(rule).unwrap(), word)).collect())
    }

    fn of(&self, line: &str) -> String {
        let line = line.trim_end().to_string();
        self.0.iter().fold(line, |line, (rule, word)| rule.replace_all(&line, *word).into_owned()).trim().to_string()
    }

    /// What is wrong with what was said, if anything is: every line shown must be there, and without `...` no other.
    fn compare(&self, shown: &[String], said: &str) -> Result<(), String> {
        let is_progress = |line: &&str| line.contains(" left") && line.contains("/s, ");
        let mut said: Vec<String> = said.lines().filter(|line| !is_progress(line)).map(|line| self.of(line)).collect();
        let mut is_part = false;
        for line in shown {
            if line.trim() == "..." {
                is_part = true;
                continue;
            }
            let wanted = self.of(line);
            match said.iter().position(|line| *line == wanted) {
                Some(at) => drop(said.remove(at)),
                None => return Err(format!("it does not say: {line}")),
            }
        }
        said.retain(|line| !line.is_empty());
        if is_part || said.is_empty() { Ok(()) } else { Err(format!("the page does not show: {}", said.join("\n"))) }
    }
}

/// A newcomer's folder: twenty files of their own, and the sources of the program beside it.
fn scratch() -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    copy_folder(&media(), &scratch.path().join("clips"));
    std::os::unix::fs::symlink(env!("CARGO_MANIFEST_DIR"), scratch.path().join("pipeline")).unwrap();
    // Files this young are hashed again by the next command; these are to count as settled.
    std::thread::sleep(std::time::Duration::from_millis(150));
    scratch
}

/// Twenty files of two classes: videos in two containers, sound beside them and alone, one file that is cut off, one that is no medium.
fn media() -> PathBuf {
    let done = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide-media-1");
    if done.exists() {
        return done;
    }
    let made = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (c, class) in ["park", "tram"].into_iter().enumerate() {
        let folder = made.path().join(class);
        std::fs::create_dir_all(&folder).unwrap();
        let sound = |name: &str, pitch: usize| {
            let tone = format!("sine=f={pitch}:r=44100:d=6");
            ffmpeg(&["-f", "lavfi", "-i", &tone], &folder.join(name));
        };
        let pitch = 200 + 500 * c;
        for (v, name) in
            ["bridge.mkv", "evening.mp4", "gate.mkv", "morning.mp4", "noon.mp4", "rain.mp4"].iter().enumerate()
        {
            let picture = format!("testsrc2=s=96x64:r=10:d=6,hue=h={}", c * 120 + v * 10);
            let tone = format!("sine=f={}:r=44100:d=6", pitch + 20 * v);
            let coded = ["-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-c:a", "aac"];
            ffmpeg(
                &[&["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &tone], &coded[..]].concat(),
                &folder.join(name),
            );
        }
        sound("rain.wav", pitch);
        sound("birds.mp3", pitch + 30);
        sound("steps.flac", pitch + 60);
    }
    let whole = std::fs::read(made.path().join("tram/noon.mp4")).unwrap();
    std::fs::write(made.path().join("tram/broken.mp4"), &whole[..whole.len() / 3]).unwrap();
    std::fs::write(made.path().join("park/notes.txt"), "gate and bridge: new camera\n").unwrap();
    let _ = std::fs::rename(made.path(), &done);
    assert!(done.exists(), "the media are made");
    done
}

/// Types every command of a page; panics with all that is not as it shows.
fn follow(name: &str) {
    let page = std::fs::read_to_string(docs().join(name).with_extension("md")).unwrap();
    let (scratch, words) = (scratch(), Words::new());
    let programs = Path::new(env!("CARGO_BIN_EXE_pipeline")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let python = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("setup.sh")).arg("--python").output().unwrap();
    let python = String::from_utf8_lossy(&python.stdout).trim().to_string();
    let mut wrong = Vec::new();
    for step in steps(&page) {
        if let Some(reason) = &step.not_run {
            eprintln!("not run: docs/{name}.md: {} ({reason})", step.what.lines().next().unwrap_or_default());
            continue;
        }
        let (mut command, text) = match step.by {
            // As in a terminal: both streams are one.
            By::Shell => (Command::new("bash"), format!("exec 2>&1; {}", step.what)),
            By::Python => (Command::new(&python), step.what.clone()),
            By::Writing => {
                std::fs::write(scratch.path().join(&step.file), &step.what).unwrap();
                continue;
            }
        };
        command.arg("-c").arg(text).current_dir(scratch.path()).env("PATH", &path).env("HF_HUB_OFFLINE", "1");
        command.env("PYTHONPATH", "pipeline/stages/shard/python").env("PYTHONDONTWRITEBYTECODE", "1");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if let Err(problem) = words.compare(&step.shown, &said) {
            wrong.push(format!("{}\n{problem}\n--- it says (code {:?}):\n{said}", step.what, output.status.code()));
        }
    }
    assert!(wrong.is_empty(), "docs/{name}.md:\n{}", wrong.join("\n=====\n"));
}

#[test]
fn install() {
    follow("install");
}

#[test]
fn first_data_set() {
    follow("first-data-set");
}

#[test]
fn python() {
    follow("python");
}

#[test]
fn cluster() {
    follow("cluster");
}

#[test]
fn cuda() {
    follow("cuda");
}

#[test]
fn troubleshooting() {
    follow("troubleshooting");
}

#[test]
fn the_readme_leads_to_every_page() {
    let readme = std::fs::read_to_string(docs().join("../README.md")).unwrap();
    for page in PAGES {
        assert!(readme.contains(&format!("(docs/{page}.md)")), "{page}");
    }
}

/// Links between the pages, and from the README, lead somewhere.
#[test]
fn links_lead_to_files() {
    let link = Regex::new(r"\]\(([^)#:]+)(#[^)]*)?\)").unwrap();
    let mut pages = vec![docs().join("../README.md")];
    pages.extend(std::fs::read_dir(docs()).unwrap().map(|entry| entry.unwrap().path()));
    for page in pages.iter().filter(|page| page.extension().is_some_and(|e| e == "md")) {
        let text = std::fs::read_to_string(page).unwrap();
        for target in link.captures_iter(&text).map(|found| found[1].to_string()) {
            assert!(page.parent().unwrap().join(&target).exists(), "{}: {target}", page.display());
        }
    }
}

/// A comparison that lets everything pass would be none.
#[test]
fn what_differs_is_found() {
    let words = Words::new();
    let shown = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
    let said = "finished after 3 min 05 s\n  log-mel   20 processed, 0 reused; in out/log-mel\n";
    let line = "  log-mel 20 processed, 0 reused; in out/log-mel";
    assert_eq!(words.compare(&shown(&["finished after 1.2 s", line]), said), Ok(()));
    assert_eq!(words.compare(&shown(&["...", line]), said), Ok(()));
    assert!(words.compare(&shown(&[line]), said).unwrap_err().contains("does not show: finished after"));
    let other = "  log-mel 19 processed, 0 reused; in out/log-mel";
    assert!(words.compare(&shown(&["...", other]), said).unwrap_err().contains("does not say"));
    let page = "```console\n$ a\nb\n$ c\n```\n```console not-run: no network\n$ d\n```\n```python\ne\n```\n\n```text\nf\n```\n";
    let found: Vec<(String, Vec<String>, bool)> =
        steps(page).into_iter().map(|step| (step.what, step.shown, step.not_run.is_some())).collect();
    let step =
        |what: &str, shown: &[&str], not_run| (what.into(), shown.iter().map(ToString::to_string).collect(), not_run);
    assert_eq!(
        found,
        [step("a", &["b"], false), step("c", &[], false), step("d", &[], true), step("e", &["f"], false)]
    );
}
