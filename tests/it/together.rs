//! Several processes on one work directory at once, some of them killed: the end is that of one process, and no run fails.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::lab::Said;
use crate::scenes::Scene;
use crate::sweep::is_long;

/// What the processes are asked for: the same stages in part or whole.
const SAME: [&[&str]; 4] =
    [&["extract-frames", "log-mel", "encode-clip"], &["log-mel"], &["encode-clip"], &["extract-frames", "log-mel"]];

/// The same stage with shards of another size or other parameters: the processes replace each other's shards.
const RIVALS: [&[&str]; 3] =
    [&["log-mel"], &["log-mel", "--set", "store.shard_size=2"], &["log-mel", "--set", "log-mel.n_mels=40"]];

/// Everything at once: systems are trained and judged by several processes, on features that others are still making.
const EVERYTHING: [&[&str]; 4] =
    [&["all", "extract-frames"], &["all", "extract-frames"], &["linear-probe"], &["encode-clip", "log-mel"]];

/// Other pictures under the same names: the processes write over each other's.
const RATES: [&[&str]; 2] = [&["extract-frames", "encode-clip"], &["extract-frames", "--set", "extract-frames.fps=2"]];

/// One clip at a time, published as often as may be.
const OFTEN: [&str; 4] = ["--set", "run.jobs=1", "--set", "run.publish_every=0.02"];

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

/// What several processes are asked for, and how.
struct Menu {
    title: &'static str,
    dishes: &'static [&'static [&'static str]],
    knobs: &'static [&'static str],
    /// Whether what they leave is what is wanted, without one more run.
    done: bool,
    /// What one may say that gives up because of the others.
    gives_up: Option<&'static str>,
}

/// Runs `count` processes in `work` until each has ended by itself; returns how many were killed.
fn dine(scene: &Scene, work: &str, menu: &Menu, count: usize, chance: &mut Chance) -> u64 {
    let start = |arguments: &[&'static str], chance: &mut Chance, kills_left: u64| {
        let fixed = ["--json", "--work", work];
        let mut command = scene.lab.command(&[&["run"], arguments, &fixed, menu.knobs].concat());
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let kill = (kills_left > 0).then(|| Instant::now() + Duration::from_millis(30 + chance.below(900)));
        Seat { arguments: arguments.to_vec(), child, kill, kills_left }
    };
    let mut killed = 0;
    let mut seats: Vec<Seat> = (0..count)
        .map(|n| {
            let kills = chance.below(3);
            start(menu.dishes[n % menu.dishes.len()], chance, kills)
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
                let has_given_up = said.code == 1 && menu.gives_up.is_some_and(|words| said.stderr.contains(words));
                let Said { code, stderr, .. } = &said;
                assert!(*code == 0 || has_given_up, "{:?} among {count} ended {code}: {stderr}", seat.arguments);
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

fn rounds(scene: &Scene, menu: &Menu, counts: &[usize], share: Duration) {
    let (begun, title) = (Instant::now(), menu.title);
    let mut chance = Chance(20_261_128);
    for count in counts.iter().copied() {
        let (until, mut rounds, mut killed) = (Instant::now() + share / counts.len() as u32, 0, 0);
        while rounds == 0 || Instant::now() < until {
            let work = format!("table-{count}-{rounds}");
            scene.begin(&work);
            killed += dine(scene, &work, menu, count, &mut chance);
            if menu.done {
                scene.compare_visible(&work).unwrap_or_else(|why| panic!("{count} processes, round {rounds}: {why}"));
            }
            // What the killed ones left goes with the next run.
            let good = scene.recover(&work).unwrap_or_else(|why| panic!("{count} processes, round {rounds}: {why}"));
            if !good.seen {
                scene.lab.pipeline(&["verify", "--read-data", "--work", &work]).ended(0);
            }
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
    let menu = Menu { title: "overlapping selections", dishes: &SAME, knobs: &OFTEN, done: true, gives_up: None };
    rounds(&Scene::every_item_stage(), &menu, &[2, 4, 8], share(9, 120));
}

/// The last one wins the names; no value is lost, no run fails, and one more run of either has its bytes.
#[test]
fn processes_that_replace_each_others_shards_lose_nothing() {
    let menu = Menu { title: "rivals", dishes: &RIVALS, knobs: &OFTEN, done: false, gives_up: None };
    rounds(&Scene::back(), &menu, &[2, 4, 8], share(6, 120));
}

#[test]
fn processes_that_train_and_judge_at_once_end_in_the_bytes_of_one() {
    // The report shows the configuration, so all have the scene's.
    let menu = Menu { title: "everything", dishes: &EVERYTHING, knobs: &[], done: true, gives_up: None };
    let counts: &[usize] = if is_long() { &[2, 4, 8] } else { &[3] };
    rounds(&Scene::everything(), &menu, counts, share(3, 120));
}

/// Pictures of one rate lie beside rows of another at no time that a later run could take for good.
#[test]
fn processes_that_write_other_pictures_under_the_same_names_are_found_out() {
    let gives_up = Some("keeps writing other pictures");
    let menu = Menu { title: "other pictures", dishes: &RATES, knobs: &OFTEN, done: false, gives_up };
    let counts: &[usize] = if is_long() { &[2, 4, 8] } else { &[2] };
    rounds(&Scene::pictures(), &menu, counts, share(4, 120));
}
