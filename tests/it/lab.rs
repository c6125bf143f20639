//! A small data set in a folder of its own, and the binary on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Classes of the lab's data set; each has three recording locations with one clip each.
pub(crate) const CLASSES: [&str; 2] = ["park", "tram"];
const LOCATIONS: usize = 3;

/// Clips in the lab.
pub(crate) const CLIPS: usize = CLASSES.len() * LOCATIONS;

/// Pictures of a clip at one a second.
pub(crate) const PICTURES: usize = 3;

/// Knobs with which the networks are trained on the lab's six clips in seconds.
pub(crate) const NETWORKS: [&str; 15] = [
    "run.skip=[]",
    "log-mel.n_mels=32",
    "log-mel.hop_length=1280",
    "audio.network=resnet18",
    "audio.epochs=2",
    "audio.batch_size=2",
    "audio.select_by=last",
    "audio.checkpoint_every=0",
    "audio-visual.network=resnet18",
    "audio-visual.epochs=1",
    "audio-visual.batch_size=2",
    "audio-visual.select_by=last",
    "audio-visual.frame=2",
    "audio-visual.checkpoint_every=0",
    "late-fusion.method=mean",
];

/// `arguments` with `--set` before each of [`NETWORKS`].
pub(crate) fn with_networks<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    arguments.iter().copied().chain(NETWORKS.iter().flat_map(|knob| ["--set", knob])).collect()
}

/// A folder with media, a configuration and a work directory.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
}

/// What a run said and did.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn new(output: &Output) -> Self {
        Said {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts the exit code, showing everything when it is another.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The `finished` event of `run --json`: stage → (computed, copied + reused, failed).
    pub(crate) fn stages(&self) -> BTreeMap<String, (u64, u64, u64)> {
        let finished: Value = self
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .find(|event| event["event"] == "finished")
            .unwrap_or_else(|| panic!("no finished event in\n{}\n{}", self.stdout, self.stderr));
        let n = |stage: &Value, field: &str| stage[field].as_u64().unwrap();
        finished["stages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| {
                let kept = n(s, "copied") + n(s, "reused");
                (s["stage"].as_str().unwrap().to_string(), (n(s, "computed"), kept, n(s, "failed")))
            })
            .collect()
    }

    /// How many items of a stage were computed.
    #[track_caller]
    pub(crate) fn computed(&self, stage: &str) -> u64 {
        self.stages().get(stage).unwrap_or_else(|| panic!("{stage} did not run")).0
    }
}

impl Lab {
    /// A fresh lab. The media are encoded once and copied.
    pub(crate) fn new() -> Self {
        Lab::of(tempfile::tempdir().unwrap())
    }

    /// One in memory, where the system keeps a folder there: for thousands of runs, each of which would wait for the disk a hundred times.
    pub(crate) fn in_memory() -> Self {
        Lab::of(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
    }

    fn of(folder: tempfile::TempDir) -> Self {
        copy_folder(&media(), &folder.path().join("clips"));
        let lab = Lab { folder };
        // Files this young are hashed again by the next command; the lab's are to count as settled.
        std::thread::sleep(std::time::Duration::from_millis(150));
        lab.write_config();
        lab
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Writes the configuration. Networks are trained where a test asks for it: [`NETWORKS`].
    fn write_config(&self) {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/clip/fixtures/pair-quick-gelu");
        let text = format!(
            "data = \"clips\"\nwork = \"work\"\n[encode-clip]\nmodel = {:?}\n[linear-probe]\nframe = 2\n\
             [zero-shot]\nframe = 2\ntemplates = [\"a {{}}\"]\n[store]\nshard_size = 4\n[run]\nskip = [\"audio\", \"audio-visual\"]\n",
            model.display().to_string()
        );
        std::fs::write(self.path("pipeline.toml"), text).unwrap();
    }

    /// The binary with these arguments, in the lab's folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        command.current_dir(self.folder.path()).args(args).env("NO_COLOR", "1");
        command
    }

    pub(crate) fn pipeline(&self, args: &[&str]) -> Said {
        Said::new(&self.command(args).output().unwrap())
    }

    /// `run … --json`, which must succeed.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        let mut all = vec!["run"];
        all.extend(args);
        all.push("--json");
        self.pipeline(&all).ended(0)
    }

    /// Digest of every published shard of the lab's work directory, by path below it.
    pub(crate) fn shards(&self) -> BTreeMap<String, String> {
        self.shards_in("work")
    }

    /// The same for another work directory.
    pub(crate) fn shards_in(&self, work: &str) -> BTreeMap<String, String> {
        let root = self.path(work);
        let mut found = BTreeMap::new();
        for stage in ["extract-frames", "log-mel", "encode-clip"] {
            for entry in std::fs::read_dir(root.join(stage)).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|e| e == "h5") {
                    let digest = blake3::hash(&std::fs::read(&path).unwrap()).to_hex().to_string();
                    found.insert(path.strip_prefix(&root).unwrap().display().to_string(), digest);
                }
            }
        }
        found
    }

    /// A media file of the lab, e.g. `("park", 0, "wav")`.
    pub(crate) fn clip(&self, class: &str, location: usize, extension: &str) -> PathBuf {
        self.path("clips").join(class).join(format!("{}.{extension}", stem(class, location)))
    }
}

fn stem(class: &str, location: usize) -> String {
    format!("{class}-lisbon-{location}-1")
}

/// The id that a folder scan gives the clip.
pub(crate) fn id(class: &str, location: usize) -> String {
    format!("{class}-{}", stem(class, location))
}

/// Encodes the lab's media once per build folder: H.264 with B-frames in MP4, 48 kHz 24-bit stereo WAV.
fn media() -> PathBuf {
    let done = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab-media-2");
    if done.exists() {
        return done;
    }
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (c, class) in CLASSES.iter().enumerate() {
        let folder = scratch.path().join(class);
        std::fs::create_dir_all(&folder).unwrap();
        for location in 0..LOCATIONS {
            let hue = c * 120 + location * 25;
            let picture = format!("testsrc2=s=96x64:r=10:d={PICTURES},hue=h={hue}");
            ffmpeg(
                &["-f", "lavfi", "-i", &picture, "-c:v", "libx264", "-bf", "2", "-threads", "1"],
                &folder.join(stem(class, location) + ".mp4"),
            );
            let tone = format!("sine=f={}:r=48000:d={PICTURES}", 200 + 300 * c + 40 * location);
            ffmpeg(
                &["-f", "lavfi", "-i", &tone, "-ac", "2", "-c:a", "pcm_s24le"],
                &folder.join(stem(class, location) + ".wav"),
            );
        }
    }
    // Another test process may have been faster; then its folder serves.
    let _ = std::fs::rename(scratch.path(), &done);
    assert!(done.exists(), "the lab's media are made");
    done
}

/// Every file below a folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub(crate) fn ffmpeg(args: &[&str], out: &Path) {
    let status = Command::new("ffmpeg").args(["-v", "error", "-nostdin", "-y"]).args(args).arg(out).status();
    let status = status.expect("the tests need the ffmpeg command (./setup.sh installs it)");
    assert!(status.success(), "ffmpeg {args:?}");
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}
