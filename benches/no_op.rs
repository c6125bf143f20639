//! What a run with nothing to do costs: `cargo bench --bench no_op [-- ITEMS [FOLDER]]` (default 12,291, the size of TAU 2021 development).
//!
//! Makes a synthetic data set (two tiny files of distinct content an item), a store that holds every value of it, and then times the
//! binary: `run all` with nothing to do, `run all --dry-run`, `status` when it has to be worked out and when it was before, and `--version`, which does nothing at all: wall time, CPU time and peak memory, which should grow with the
//! items and nothing else. Says whether a shard was opened. 1,000,000 items take 2,000,000 inodes and about 12 GB; with FOLDER they are made there and kept, and a
//! second bench of as many items begins where they are.

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use contract::{Column, ColumnSpec, Element, Rows, Values};
use pipeline::config::{Config, Overrides};
use pipeline::events::{Event, Reporter};
use pipeline::plan::Depth;
use pipeline::registry;
use pipeline::resolve::Source;
use pipeline::run::writer::{Finished, Outcome, StageWriter};
use pipeline::session::Session;

struct Silent;

impl Reporter for Silent {
    fn report(&self, _: &Event) {}
}

/// Pictures of every item: enough for the linear probe's frame 5.
const PICTURES: usize = 6;

fn main() {
    // Cargo itself adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let items = arguments.next().map_or(12_291, |arg| arg.parse().expect("a number of items"));
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = arguments.next().map_or_else(|| temporary.path().to_path_buf(), PathBuf::from);
    let folder = folder.as_path();
    println!("{items} items");
    let made = folder.join(format!("made-{items}"));
    if !made.exists() {
        step("files and manifest", || make_data(folder, items));
        // Younger files would be hashed again, as they should be.
        std::thread::sleep(Duration::from_millis(2_500));
        step("store", || fill_store(folder));
        step("first `run all` (set stages)", || {
            run(folder, &["run", "all"]);
        });
        File::create(made).expect("a file");
    }
    let forget = || {
        let _ = std::fs::remove_file(folder.join("work/.pipeline/v1/status"));
    };
    let remember = || {};
    let commands: [(&[&str], &dyn Fn()); 5] = [
        (&["run", "all"], &remember),
        (&["run", "all", "--dry-run"], &remember),
        (&["status"], &forget),
        (&["status"], &remember),
        (&["--version"], &remember),
    ];
    for (args, prepare) in commands {
        let cost = |_| {
            prepare();
            run(folder, args)
        };
        let costs: Vec<Cost> = (0..5).map(cost).collect();
        let wall = sorted(&costs, |cost| cost.wall);
        println!(
            "pipeline {:<18} median {:.3} s (min {:.3}, max {:.3}); CPU {:.3} s; peak {:.0} MB, {:.0} bytes an item",
            args.join(" "),
            wall[2],
            wall[0],
            wall[4],
            sorted(&costs, |cost| cost.cpu)[2],
            sorted(&costs, |cost| cost.peak)[2] / 1e6,
            sorted(&costs, |cost| cost.peak)[2] / items as f64,
        );
    }
    let session = open(folder);
    for plan in &session.plans {
        println!("{}: {} shards, {} opened", plan.decl.id, plan.shards.len(), plan.index.opened);
        assert!(plan.counts().is_current() && plan.index.opened == 0);
    }
}

fn step(what: &str, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    println!("made: {what} in {:.1} s", start.elapsed().as_secs_f64());
}

fn make_data(folder: &Path, items: usize) {
    let clips = folder.join("clips");
    std::fs::create_dir_all(&clips).expect("a folder");
    let classes = ["airport", "bus", "metro", "park"];
    let mut table = "id,video,audio,label,group,split\n".to_string();
    for i in 0..items {
        for extension in ["mp4", "wav"] {
            std::fs::write(clips.join(format!("{i}.{extension}")), format!("{extension} {i}")).expect("a file");
        }
        let split = if i % 3 == 0 { "test" } else { "train" };
        table += &format!("clip-{i},{i}.mp4,{i}.wav,{},place-{},{split}\n", classes[i % 4], i / 30);
    }
    std::fs::write(folder.join("items.csv"), table).expect("a table");
    std::fs::write(folder.join("data.toml"), "name = \"synthetic\"\nroot = \"clips\"\ntable = \"items.csv\"\n")
        .expect("a manifest");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/clip/fixtures/pair-quick-gelu");
    let config = format!(
        "data = \"data.toml\"\n[run]\nskip = [\"audio\", \"audio-visual\"]\n[zero-shot]\ntemplates = [\"a {{}}\"]\n\
         [linear-probe]\nmax_iter = 20\n[evaluate]\nbootstrap = 0\n\
         [encode-clip]\nmodel = {:?}\n",
        model.display().to_string()
    );
    std::fs::write(folder.join("pipeline.toml"), config).expect("a configuration");
}

fn open(folder: &Path) -> Session {
    let overrides =
        Overrides { file: Some(folder.join("pipeline.toml")), work: Some(folder.join("work")), ..Overrides::default() };
    let config = Config::load(&overrides).expect("a good configuration");
    let selected = registry::select(&["all".to_string()], false, &config.run.skip).expect("known");
    Session::open(config, selected, Depth::Look).expect("a session")
}

fn fill_store(folder: &Path) {
    let session = open(folder);
    for (plan, stage) in session.plans.iter().zip(&session.science.stages) {
        let mut writer = StageWriter::new(
            &session.work,
            &session.dataset.items,
            plan,
            stage.columns.clone(),
            Duration::from_hours(1),
            &Silent,
        );
        for (k, shard) in plan.shards.iter().enumerate() {
            writer.begin(k).expect("begun");
            for item in shard.items.clone() {
                let path = plan.source.path(&session.dataset.items[item]).expect("a file");
                let content = session.digests.digest(path).expect("hashed");
                // A spectrogram of one frame: the store is to be looked at, not to be read.
                let len = if plan.source == Source::Pictures { PICTURES } else { 1 };
                let outcome = Outcome::Computed(Ok(rows(item, len, &stage.columns)));
                let key = plan.template.key(&content);
                writer.take(Finished { item, key, content, outcome }).expect("taken");
            }
        }
        writer.finish().expect("finished");
        assert!(matches!(plan.source, Source::Pictures | Source::Sound));
    }
    session.digests.save().expect("saved");
}

/// Values that differ by item and lean towards the item's class.
fn rows(item: usize, len: usize, columns: &[ColumnSpec]) -> Rows {
    let columns = columns
        .iter()
        .map(|spec| {
            let n = len * spec.width.unwrap_or(1);
            let value = |i: usize| ((item * 31 + i * 7) % 97) as f32 / 97.0 + if i % 4 == item % 4 { 0.5 } else { 0.0 };
            let values = match spec.element {
                Element::F32 => Values::F32((0..n).map(value).collect()),
                Element::F64 => Values::F64((0..n).map(|i| f64::from(value(i))).collect()),
                other => unreachable!("no stage of `all` stores {other:?}"),
            };
            Column { name: spec.name.clone(), width: spec.width, values }
        })
        .collect();
    Rows { len, columns }
}

/// What one run of the binary cost.
struct Cost {
    /// Seconds.
    wall: f64,
    /// Seconds of all threads, in ticks of 10 ms.
    cpu: f64,
    /// Bytes.
    peak: f64,
}

fn sorted(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = costs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values
}

fn run(folder: &Path, args: &[&str]) -> Cost {
    let start = Instant::now();
    let complaints = folder.join("stderr");
    let mut child = Command::new(env!("CARGO_BIN_EXE_pipeline"))
        .current_dir(folder)
        .args(args)
        .stdout(Stdio::null())
        .stderr(File::create(&complaints).expect("a file"))
        .spawn()
        .expect("the binary runs");
    let (mut cpu, mut peak) = (0.0, 0.0);
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        // Linux says it of a process that lives; elsewhere both stay 0.
        (cpu, peak) = look_at(child.id()).unwrap_or((cpu, peak));
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(status.success(), "{args:?}: {}", std::fs::read_to_string(complaints).expect("a file"));
    Cost { wall: start.elapsed().as_secs_f64(), cpu, peak }
}

/// CPU seconds and peak bytes of a process so far.
fn look_at(pid: u32) -> Option<(f64, f64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything: fields 14 and 15 are ticks in user and system mode.
    let ticks = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.map(|field| field.parse::<f64>().unwrap_or(0.0)).sum();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak: f64 = status.split_once("VmHWM:")?.1.split_ascii_whitespace().next()?.parse().ok()?;
    Some((ticks / 100.0, peak * 1024.0))
}
