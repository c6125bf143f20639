//! What a run with nothing to do costs: `cargo bench --bench no_op [-- ITEMS]` (default 12,291, the size of TAU 2021 development).
//!
//! Makes a synthetic data set (tiny files of distinct content), a store that holds every value of it, and then times the
//! binary: `run all` with nothing to do, `run all --dry-run`, `status`, and `--version`, which does nothing at all. Says whether a shard was opened.

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use contract::{Column, ColumnSpec, Element, Rows, Values};
use pipeline::config::{Config, Overrides};
use pipeline::events::{Event, Reporter};
use pipeline::registry;
use pipeline::resolve::Source;
use pipeline::run::writer::{Finished, Outcome, StageWriter};
use pipeline::session::Session;

struct Silent;

impl Reporter for Silent {
    fn report(&self, _: &Event) {}
}

/// Rows of every item: enough for the linear probe's frame 5.
const ROWS: usize = 6;

fn main() {
    let items = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(12_291);
    let folder = tempfile::tempdir().expect("a temporary folder");
    println!("{items} items");
    step("files and manifest", || make_data(folder.path(), items));
    // Younger files would be hashed again, as they should be.
    std::thread::sleep(Duration::from_millis(2_500));
    step("store", || fill_store(folder.path()));
    step("first `run all` (set stages)", || run(folder.path(), &["run", "all"]));
    for args in [&["run", "all"][..], &["run", "all", "--dry-run"], &["status"], &["--version"]] {
        let mut seconds: Vec<f64> = (0..7)
            .map(|_| {
                let start = Instant::now();
                run(folder.path(), args);
                start.elapsed().as_secs_f64()
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        println!(
            "pipeline {:<22} median {:.3} s (min {:.3}, max {:.3})",
            args.join(" "),
            seconds[3],
            seconds[0],
            seconds[6]
        );
    }
    let session = open(folder.path());
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
    Session::open(config, selected, false).expect("a session")
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
                let outcome = Outcome::Computed(Ok(rows(item, &stage.columns)));
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
fn rows(item: usize, columns: &[ColumnSpec]) -> Rows {
    let columns = columns
        .iter()
        .map(|spec| {
            let n = ROWS * spec.width.unwrap_or(1);
            let value = |i: usize| ((item * 31 + i * 7) % 97) as f32 / 97.0 + if i % 4 == item % 4 { 0.5 } else { 0.0 };
            let values = match spec.element {
                Element::F32 => Values::F32((0..n).map(value).collect()),
                Element::F64 => Values::F64((0..n).map(|i| f64::from(value(i))).collect()),
                other => unreachable!("no stage of `all` stores {other:?}"),
            };
            Column { name: spec.name.clone(), width: spec.width, values }
        })
        .collect();
    Rows { len: ROWS, columns }
}

fn run(folder: &Path, args: &[&str]) {
    let status =
        Command::new(env!("CARGO_BIN_EXE_pipeline")).current_dir(folder).args(args).output().expect("the binary runs");
    assert!(status.status.success(), "{args:?}: {}", String::from_utf8_lossy(&status.stderr));
}
