//! Jobs of a real Slurm: a private cluster of two nodes on this machine for each test (`tests/cluster.sh`). Where Slurm is not installed
//! (`./setup.sh --slurm` installs it), each says by its name that it was skipped.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{Lab, Said};
use crate::workers::FAULT;

const PIPELINE: &str = env!("CARGO_BIN_EXE_pipeline");

/// A cluster, and a data set of three shards beside it.
struct Cluster {
    lab: Lab,
    folder: PathBuf,
}

impl Cluster {
    /// `None` where there is no Slurm; each test has ports of its own.
    fn up(test: &str, port: u16) -> Option<Cluster> {
        let found = Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin command -v slurmctld"]).output().unwrap();
        if !found.status.success() {
            eprintln!("skipped: slurm::{test} (Slurm is not installed: ./setup.sh --slurm)");
            return None;
        }
        let lab = Lab::new();
        let folder = lab.path("cluster");
        let cluster = Cluster { lab, folder };
        cluster.script(&["up", &port.to_string()]);
        Some(cluster)
    }

    fn script(&self, arguments: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster.sh");
        let output = Command::new(script).arg(arguments[0]).arg(&self.folder).args(&arguments[1..]).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.lab.path("")).env("SLURM_CONF", self.folder.join("slurm.conf"));
        command.output().unwrap()
    }

    fn pipeline(&self, arguments: &[&str]) -> Said {
        // Shards of two clips: three tasks. Little to wait for when a task is told to end.
        let knobs = ["--set", "store.shard_size=2", "--set", "run.drain=1", "--set", "slurm.warning=60"];
        let environment = "slurm.environment=[\"PATH\", \"PIPELINE_MEDIA_WORKER\"]";
        Said::new(&self.command(PIPELINE, &[arguments, &knobs, &["--set", environment]].concat()))
    }

    fn slurm(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, arguments);
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.pipeline(&["slurm", "status", "--json"]).ended(0).stdout).unwrap()
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.wait_within(Duration::from_secs(90), what, holds)
    }

    fn wait_within(&self, limit: Duration, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let status = self.status();
            if holds(&status) {
                return status;
            }
            if start.elapsed() > limit {
                let queue = self.slurm("squeue", &["--states=all"]);
                let logs: String =
                    (1..=3).map(|task| self.pipeline(&["slurm", "logs", &task.to_string()]).stdout).collect();
                panic!("waited in vain until {what}: {status:#}\n{queue}\n{logs}");
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    fn wait_until_all_is_done(&self) {
        self.wait_until("all is done", |status| status["sets_state"] == "completed");
    }

    /// From here on the first worker that opens a clip of this name waits for ever; a flag tells that it does.
    fn first_one_hangs(&self, clip: &str) -> Command {
        let (flag, script) = (self.lab.path("hangs"), self.lab.path("worker.sh"));
        let body = format!(
            "#!/bin/sh\nif mkdir {flag} 2>/dev/null; then exec env {FAULT}=hang:{clip} {worker}; fi\nexec {worker}\n",
            flag = flag.display(),
            worker = env!("CARGO_BIN_EXE_pipeline-media")
        );
        std::fs::write(&script, body).unwrap();
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = Command::new(PIPELINE);
        command.env("PIPELINE_MEDIA_WORKER", script).env("SLURM_CONF", self.folder.join("slurm.conf"));
        command.current_dir(self.lab.path(""));
        command
    }

    /// Submits everything, of which one task hangs, and waits until only that is left.
    fn submit_with_one_that_hangs(&self, more: &[&str]) -> String {
        let mut command = self.first_one_hangs("lisbon");
        let knobs = ["store.shard_size=2", "run.drain=1", "run.jobs=1", "run.clip_timeout=600"];
        let environment = "slurm.environment=[\"PATH\", \"PIPELINE_MEDIA_WORKER\"]";
        command.args(["slurm", "submit", "all"]).args(more).args(["--set", environment]);
        command.args(knobs.iter().flat_map(|knob| ["--set", knob]));
        Said::new(&command.output().unwrap()).ended(0);
        let status = self.wait_until("one task is left", |status| {
            status["tasks"]["running"] == 1 && status["tasks"]["completed"] == 2
        });
        status["array"].as_str().unwrap().to_string()
    }

    /// The task of the array that runs: `ARRAY_TASK` and its node.
    fn running(&self) -> (String, String) {
        let text = self.slurm("squeue", &["--noheader", "--array", "--states=running", "--format=%i|%N"]);
        let (task, node) = text.lines().next().and_then(|line| line.split_once('|')).expect("one runs");
        (task.to_string(), node.to_string())
    }

    fn assert_same_as_on_one_machine(&self) {
        let alone = Lab::new();
        alone.run(&["all", "--set", "store.shard_size=2"]);
        assert_eq!(self.lab.shards(), alone.shards());
        let read = |lab: &Lab, name: &str| std::fs::read(lab.path("work").join(name)).unwrap();
        for product in ["zero-shot/predictions.csv", "linear-probe/predictions.csv", "evaluate/metrics.json"] {
            assert!(read(&self.lab, product) == read(&alone, product), "{product}");
        }
        self.lab.pipeline(&["verify", "--read-data", "--set", "store.shard_size=2"]).ended(0);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.command("sh", &["-c", "scancel --quiet --user \"$(id -un)\""]);
        self.script(&["down"]);
    }
}

#[test]
fn submit_runs_everything_and_ends_in_the_same_bytes() {
    let Some(cluster) = Cluster::up("submit_runs_everything_and_ends_in_the_same_bytes", 17_600) else { return };
    let dry = cluster.pipeline(&["slurm", "submit", "all", "--dry-run", "--sbatch", "time=00:05:00"]).ended(3);
    for line in [
        "#SBATCH --array=1-3",
        "#SBATCH --time=00:05:00",
        "#SBATCH --signal=B:USR1@60",
        "--shards \"$SLURM_ARRAY_TASK_ID/3\"",
    ] {
        assert!(dry.stdout.contains(line), "{line}: {}", dry.stdout);
    }
    assert!(dry.stdout.contains(" log-mel "), "{}", dry.stdout);
    let less = cluster.pipeline(&["slurm", "submit", "all", "--dry-run", "--skip", "log-mel,audio"]).ended(3).stdout;
    assert!(less.contains(" encode-clip ") && !less.contains(" log-mel "), "{less}");
    assert!(!cluster.lab.path("work").exists(), "a dry run writes nothing");
    let healthy = cluster.pipeline(&["doctor"]).ended(0).stdout;
    for line in ["good  Slurm           slurm", "main up, infinite at most, nodes 0/2/0/2", "up to 1000 tasks"] {
        assert!(healthy.contains(line), "{line}: {healthy}");
    }
    let said = cluster.pipeline(&["doctor", "--set", "slurm.sbatch={partition=\"mian\"}"]).ended(1).stdout;
    assert!(said.contains("[slurm] names `mian`, which the cluster does not have; did you mean `main`?"), "{said}");
    let start = Instant::now();
    let said = cluster.pipeline(&["slurm", "submit", "all"]).ended(0);
    assert!(said.stdout.contains("3 tasks for 6 items") && said.stdout.contains("slurm status"), "{}", said.stdout);
    cluster.wait_until("a task runs", |status| status["tasks"]["pending"] != 3);
    eprintln!("submit to first task begun: {:.1?}", start.elapsed());
    // What changes after the submission does not reach what waits.
    let config = cluster.lab.path("pipeline.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.clone() + "[log-mel]\nn_mels = 40\n").unwrap();
    std::thread::sleep(Duration::from_millis(500));
    std::fs::write(&config, text).unwrap();
    cluster.wait_until_all_is_done();
    eprintln!("submit to done: {:.1?}", start.elapsed());
    cluster.assert_same_as_on_one_machine();
    let text = cluster.pipeline(&["slurm", "status"]).ended(0).stdout;
    assert!(text.contains("3 completed") && text.contains("log-mel         6 of 6 done"), "{text}");
    assert!(cluster.pipeline(&["slurm", "logs", "2"]).ended(0).stdout.contains("finished after"));
    let said = cluster.pipeline(&["slurm", "submit", "all"]).ended(0);
    assert!(said.stdout.contains("nothing to submit"), "{}", said.stdout);
    let said = cluster.pipeline(&["slurm", "submit", "--profile", "gpu"]).ended(2);
    assert!(said.stderr.contains("[slurm.profiles.NAME]"), "{}", said.stderr);
}

#[test]
fn a_killed_task_costs_itself_and_retry_submits_it_alone() {
    let Some(cluster) = Cluster::up("a_killed_task_costs_itself_and_retry_submits_it_alone", 17_620) else { return };
    cluster.submit_with_one_that_hangs(&[]);
    let said = cluster.pipeline(&["slurm", "retry"]).ended(2);
    assert!(said.stderr.contains("have not ended"), "{}", said.stderr);
    let (task, _) = cluster.running();
    cluster.slurm("scancel", &["--batch", "--signal=KILL", &task]);
    let status = cluster.wait_until("the task has failed", |status| status["tasks"]["failed"] == 1);
    assert_eq!(status["tasks"]["completed"], 2, "{status:#}");
    cluster.wait_until("the job behind it is given up", |status| status["sets_state"] == "cancelled");
    assert!(cluster.pipeline(&["slurm", "status"]).ended(0).stdout.contains("slurm retry"));
    let said = cluster.pipeline(&["slurm", "retry"]).ended(0);
    assert!(said.stdout.contains("1 task for"), "{}", said.stdout);
    cluster.wait_until_all_is_done();
    cluster.assert_same_as_on_one_machine();
}

/// What Slurm sends a minute before the limit, without the minute.
#[test]
fn a_task_near_its_time_limit_asks_to_be_run_again() {
    let Some(cluster) = Cluster::up("a_task_near_its_time_limit_asks_to_be_run_again", 17_640) else { return };
    let array = cluster.submit_with_one_that_hangs(&[]);
    let (task, _) = cluster.running();
    cluster.slurm("scancel", &["--batch", "--signal=USR1", &task]);
    cluster.wait_until_all_is_done();
    let told = cluster.slurm("scontrol", &["show", "job", &task]);
    assert!(told.contains("Restarts=1"), "{told}");
    let log = cluster.pipeline(&["slurm", "logs", task.rsplit_once('_').unwrap().1]).ended(0).stdout;
    assert!(
        log.contains("stopping: what has begun is finished") && log.contains("goes on from here"),
        "{array}: {log}"
    );
    cluster.assert_same_as_on_one_machine();
}

/// The same with a real limit, which Slurm counts in minutes: `PIPELINE_LONG=1 cargo nextest run --workspace -E 'test(slurm)'`.
#[test]
fn a_task_at_its_time_limit_asks_to_be_run_again() {
    if std::env::var_os("PIPELINE_LONG").is_none() {
        eprintln!("skipped: slurm::a_task_at_its_time_limit_asks_to_be_run_again (takes minutes: PIPELINE_LONG=1)");
        return;
    }
    let Some(cluster) = Cluster::up("a_task_at_its_time_limit_asks_to_be_run_again", 17_700) else { return };
    cluster.submit_with_one_that_hangs(&["--sbatch", "time=2", "--set", "slurm.warning=60"]);
    let (task, _) = cluster.running();
    cluster.wait_within(Duration::from_mins(4), "all is done", |status| status["sets_state"] == "completed");
    let told = cluster.slurm("scontrol", &["show", "job", &task]);
    assert!(told.contains("Restarts=1"), "{told}");
    cluster.assert_same_as_on_one_machine();
}

/// What an array costs over one process, in tasks that have next to nothing to do: fifty of one short sound each. The figures of
/// docs/cluster.md: `PIPELINE_LONG=1 cargo nextest run --workspace --no-capture -E 'test(slurm::what_a_task_costs)'`.
#[test]
fn what_a_task_costs() {
    const TASKS: usize = 50;
    if std::env::var_os("PIPELINE_LONG").is_none() {
        eprintln!("skipped: slurm::what_a_task_costs (a measurement: PIPELINE_LONG=1)");
        return;
    }
    let Some(cluster) = Cluster::up("what_a_task_costs", 17_720) else { return };
    let clips = cluster.lab.path("clips");
    std::fs::remove_dir_all(&clips).unwrap();
    std::fs::create_dir(&clips).unwrap();
    crate::lab::ffmpeg(&["-f", "lavfi", "-i", "sine=f=300:r=32000:d=1"], &clips.join("00.wav"));
    for n in 1..TASKS {
        std::fs::copy(clips.join("00.wav"), clips.join(format!("{n:02}.wav"))).unwrap();
    }
    let knobs = ["--set", "store.shard_size=1"];
    let begin = Instant::now();
    let alone =
        Said::new(&cluster.command(PIPELINE, &[&["run", "log-mel", "--work", "alone", "--json"], &knobs[..]].concat()));
    let (alone, one) = (alone.ended(0), begin.elapsed());
    assert_eq!(alone.computed("log-mel"), TASKS as u64);
    let begin = Instant::now();
    Said::new(&cluster.command(PIPELINE, &[&["slurm", "submit", "log-mel"], &knobs[..]].concat())).ended(0);
    let submitted = begin.elapsed();
    let states = || cluster.slurm("squeue", &["--noheader", "--array", "--states=all", "--format=%T"]);
    let count = |state: &str| states().lines().filter(|line| line.trim() == state).count();
    while count("RUNNING") + count("COMPLETED") == 0 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let first = begin.elapsed();
    while count("COMPLETED") < TASKS {
        assert_eq!(count("FAILED"), 0, "{}", states());
        assert!(begin.elapsed() < Duration::from_mins(10), "{}", states());
        std::thread::sleep(Duration::from_millis(100));
    }
    let array = begin.elapsed();
    assert_eq!(cluster.lab.shards_in("work"), cluster.lab.shards_in("alone"));
    // How long the program itself took in each task, by its own record.
    let mut own: Vec<f64> = crate::lab::files_below(&cluster.lab.path("work/.pipeline/v1/runs"))
        .iter()
        .filter_map(|record| {
            let text = std::fs::read_to_string(record).unwrap();
            serde_json::from_str::<Value>(text.lines().next_back()?).unwrap()["seconds"].as_f64()
        })
        .collect();
    own.sort_by(f64::total_cmp);
    assert_eq!(own.len(), TASKS);
    eprintln!("one process, {TASKS} items in {TASKS} shards: {one:.2?}");
    eprintln!(
        "submitted after {submitted:.2?}, first task running after {first:.2?}, all {TASKS} done after {array:.2?}"
    );
    eprintln!(
        "a task: {:.0} ms of the array's time, four at a time; the program's own {:.0} ms (median)",
        array.as_secs_f64() * 1e3 / TASKS as f64,
        own[TASKS / 2] * 1e3
    );
}

/// The process on the lost node goes on until it ends by itself: two writers of one shard.
#[test]
fn a_lost_node_costs_nothing() {
    let Some(cluster) = Cluster::up("a_lost_node_costs_nothing", 17_660) else { return };
    cluster.submit_with_one_that_hangs(&[]);
    let (_, node) = cluster.running();
    cluster.script(&["lose", &node]);
    cluster.wait_until_all_is_done();
    cluster.assert_same_as_on_one_machine();
}

#[test]
fn a_preempted_task_is_run_again_and_a_cancelled_one_is_not() {
    let Some(cluster) = Cluster::up("a_preempted_task_is_run_again_and_a_cancelled_one_is_not", 17_680) else { return };
    cluster.submit_with_one_that_hangs(&["--sbatch", "partition=spot"]);
    let script = cluster.lab.path("urgent.sh");
    std::fs::write(&script, "#!/bin/sh\nsleep 2\n").unwrap();
    let output = cluster.lab.path("urgent.log");
    let output = format!("--output={}", output.display());
    cluster.slurm("sbatch", &["--partition=main", "--nodes=2", "--exclusive", &output, script.to_str().unwrap()]);
    cluster.wait_until_all_is_done();
    cluster.assert_same_as_on_one_machine();
    // Cancelled: nothing of it comes back.
    std::fs::remove_dir(cluster.lab.path("hangs")).unwrap();
    std::fs::remove_dir_all(cluster.lab.path("work")).unwrap();
    cluster.submit_with_one_that_hangs(&[]);
    cluster.pipeline(&["slurm", "cancel"]).ended(0);
    cluster.wait_until("it is cancelled", |status| {
        status["tasks"]["cancelled"] == 1 && status["sets_state"] == "cancelled"
    });
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(cluster.status()["tasks"]["cancelled"], 1);
}
