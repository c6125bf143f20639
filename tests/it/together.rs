//! Several processes on one work directory at once, some of them killed: the end is that of one process, and no run fails.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::lab::Said;
use crate::scenes::{Scene, is_long};

/// What the processes are asked for: the same stages in part or whole.
const SAME: [&[&str]; 4] =
    [&["extract-frames", "log-mel", "encode-clip"], &["log-mel"], &["encode-clip"], &["extract-frames", "log-mel"]];

/// The same stage with shards of another size or other parameters: the processes replace each other's shards.
const RIVALS: [&[&str]; 3] =
    [&["log-mel"], &["log-mel", "--set", "store.shard_size=2"], &["log-mel", "--set", "log-mel.n_mels=40"]];

struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// One place at the table: a process that is killed some times and then allowed to end.
struct Seat {
    arguments: Vec<&'static str>,
    child: Child,
    /// When it is killed next.
    kill: Option<Instant>,
    kills_left: u64,
}

/// Runs `count` processes in `work` until each has ended by itself; returns how many were killed.
fn dine(scene: &Scene, work: &str, menu: &[&[&'static str]], count: usize, chance: &mut Chance) -> u64 {
    let start = |arguments: &[&'static str], chance: &mut Chance, kills_left: u64| {
        let fixed = ["--json", "--work", work, "--set", "run.jobs=1", "--set", "run.publish_every=0.02"];
        let mut command = scene.lab.command(&[&["run"], arguments, &fixed].concat());
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let kill = (kills_left > 0).then(|| Instant::now() + Duration::from_millis(30 + chance.below(900)));
        Seat { arguments: arguments.to_vec(), child, kill, kills_left }
    };
    let mut killed = 0;
    let mut seats: Vec<Seat> = (0..count)
        .map(|n| {
            let kills = chance.below(3);
            start(menu[n % menu.len()], chance, kills)
        })
        .collect();
    while !seats.is_empty() {
        std::thread::sleep(Duration::from_millis(5));
        let mut at = 0;
        while at < seats.len() {
            let seat = &mut seats[at];
            if seat.child.try_wait().unwrap().is_some() {
                let seat = seats.swap_remove(at);
                let said = Said::new(&seat.child.wait_with_output().unwrap());
                assert_eq!(said.code, 0, "{:?} among {count} ended {}: {}", seat.arguments, said.code, said.stderr);
                assert!(!said.stdout.contains("was damaged"), "{:?}: {}", seat.arguments, said.stdout);
                continue;
            }
            if seat.kill.is_some_and(|when| Instant::now() >= when) {
                seat.child.kill().unwrap();
                seat.child.wait().unwrap();
                killed += 1;
                let (arguments, left) = (std::mem::take(&mut seat.arguments), seat.kills_left - 1);
                seats[at] = start(&arguments, chance, left);
            }
            at += 1;
        }
    }
    killed
}

fn rounds(title: &str, scene: &Scene, menu: &[&[&'static str]], share: Duration, same_without_a_last_run: bool) {
    let begun = Instant::now();
    let mut chance = Chance(20_261_128);
    for count in [2, 4, 8] {
        let (until, mut rounds, mut killed) = (Instant::now() + share / 3, 0, 0);
        while rounds == 0 || Instant::now() < until {
            let work = format!("table-{count}-{rounds}");
            scene.begin(&work);
            killed += dine(scene, &work, menu, count, &mut chance);
            if same_without_a_last_run {
                scene.compare_visible(&work).unwrap_or_else(|why| panic!("{count} processes, round {rounds}: {why}"));
            }
            // What the killed ones left goes with the next run.
            scene.recover(&work).unwrap_or_else(|why| panic!("{count} processes, round {rounds}: {why}"));
            scene.end(&work);
            rounds += 1;
        }
        eprintln!("{title}: {count} processes at once, {rounds} rounds, {killed} kills: the same bytes every time");
    }
    eprintln!("{title}: {:.0?}", begun.elapsed());
}

fn share(short: u64, long: u64) -> Duration {
    Duration::from_secs(if is_long() { long } else { short })
}

#[test]
fn processes_with_overlapping_selections_end_in_the_bytes_of_one() {
    let scene = Scene::every_item_stage();
    rounds("overlapping selections", &scene, &SAME, share(9, 240), true);
}

/// The last one wins the names; no value is lost, no run fails, and one more run of either has its bytes.
#[test]
fn processes_that_replace_each_others_shards_lose_nothing() {
    let scene = Scene::back();
    rounds("rivals", &scene, &RIVALS, share(6, 180), false);
}
