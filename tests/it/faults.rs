//! Kills and failing system calls at every step by which a work directory changes, and kills at every message between a runner and its
//! workers (`shim`). Whatever happens, what is left is taken up by the next run and ends in the bytes of a run that nothing happened to.
//!
//! Each test takes a spread of the steps; all of them, and 300 kills by the clock:
//!
//! ```text
//! PIPELINE_LONG=1 cargo nextest run --locked --workspace --profile long --no-capture -E 'test(/^(faults|power|together)::/)'
//! ```

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Said};
use crate::scenes::Scene;
use crate::shim::{
    Action, CHANGES, EACCES, EDQUOT, EINTR, EIO, EMFILE, ENOSPC, EROFS, Fault, HAND_OVERS, NEVER, Side, read_trace,
    watch,
};
use crate::sweep::{Good, Table, Verdict, is_long, spread, sweep};

/// A kill before every call that changes the work directory - which is one after the call before - and in the middle of every write.
#[test]
fn a_kill_at_any_step_costs_what_was_in_flight_and_nothing_else() {
    let mut table = Table::new("kill -9 at a step");
    for scene in Scene::all() {
        let share = if scene.name == "pictures" { 4 } else { 6 };
        let faults = |kinds: &[&'static str], action| {
            let (count, kinds) = (scene.count(kinds), kinds.to_vec());
            let fault = move |at| (count, Fault { kinds: kinds.clone(), at, action });
            spread(count, share).into_iter().map(fault).collect::<Vec<_>>()
        };
        let faults = [faults(&CHANGES, Action::Kill), faults(&["write"], Action::Torn)].concat();
        let name = |(_, fault): &(usize, Fault)| format!("{}, {fault}", scene.name);
        let verdicts = sweep(&format!("kills, {}", scene.name), &faults, name, |at, (count, fault)| {
            let work = format!("kill-{at}");
            let disturbed = scene.disturbed(&work, false, Some(fault));
            if disturbed.code >= 0 && fault.at * 10 < count * 9 {
                return Err(format!("it was not killed: it ended {}", disturbed.code));
            }
            let verdict = scene.recover(&work)?;
            scene.end(&work);
            Ok(verdict)
        });
        for (case, verdict) in faults.iter().zip(verdicts) {
            table.add(scene.name, &name(case), verdict);
        }
    }
    table.judge();
}

/// The runner is killed before it sends anything to a worker, half-way through, and when it has received something: what is done is kept,
/// and no worker outlives it. A worker that is killed at such a step costs nothing: the run goes on with another and ends as it would have.
#[test]
fn a_kill_at_any_hand_over_between_processes_costs_no_value() {
    let mut table = Table::new("kill -9 at a hand-over");
    for scene in [Scene::fresh(), Scene::pictures()] {
        for side in [Side::Runner, Side::Worker] {
            let work = format!("heard-{side:?}");
            scene.disturbed_between(&work, side, None).ended(0);
            let calls = read_trace(&scene.lab.path(&format!("{work}.trace")));
            let faults = |kinds: &[&'static str], action| {
                let (count, kinds) = (calls.iter().filter(|call| kinds.contains(&&*call.kind)).count(), kinds.to_vec());
                assert!(count > 4, "{side:?}: the shim sees {count} of {kinds:?}");
                let fault = move |at| Fault { kinds: kinds.clone(), at, action };
                spread(count, 4).into_iter().map(fault).collect::<Vec<_>>()
            };
            let faults = [faults(&HAND_OVERS, Action::Kill), faults(&["send"], Action::Torn)].concat();
            let title = format!("{}, {side:?}", scene.name);
            let name = |fault: &Fault| format!("{title}, {fault}");
            let verdicts = sweep(&title, &faults, name, |at, fault| {
                let work = format!("between-{side:?}-{at}");
                let said = scene.disturbed_between(&work, side, Some(fault));
                let verdict = match (side, said.code) {
                    (Side::Runner, -1) => scene.recover(&work)?,
                    // In how many pieces a long message arrives is chance: the runner may be done before the last that were counted.
                    (_, 0) => scene.compare(&work).map(|()| Good { correct: true, ..Good::default() })?,
                    (_, code) => return Err(format!("it ended {code}: {}", said.stderr)),
                };
                scene.end(&work);
                Ok(verdict)
            });
            let killed = verdicts.iter().flatten().filter(|good| !good.correct).count();
            assert!(side == Side::Worker || killed * 2 > faults.len(), "{title}: only {killed} were killed");
            for (fault, verdict) in faults.iter().zip(verdicts) {
                table.add(&title, &name(fault), verdict);
            }
        }
    }
    table.judge();
}

/// Kills by the clock, at any instant between two calls.
#[test]
fn kills_by_the_clock_end_in_the_same_bytes() {
    let (rounds, kills) = if is_long() { (60, 5) } else { (4, 4) };
    let mut table = Table::new(&format!("{} kills by the clock", rounds * kills));
    let scene = Scene::pictures();
    let start = Instant::now();
    scene.disturbed("timed", false, None).ended(0);
    let whole = start.elapsed();
    let rounds: Vec<usize> = (0..rounds).collect();
    let name = |round: &usize| format!("round {round}");
    let verdicts = sweep("kills by the clock", &rounds, name, |_, round| {
        let work = format!("clock-{round}");
        let mut seed = (*round as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995;
        for _ in 0..kills {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut child = scene.command(&work).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(whole.mul_f64((seed >> 40) as f64 / f64::from(1 << 24)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let verdict = scene.recover(&work)?;
        scene.end(&work);
        Ok(verdict)
    });
    for (round, verdict) in rounds.iter().zip(verdicts) {
        table.add(&format!("rounds of {kills}"), &name(round), verdict);
    }
    table.judge();
}

/// What may go wrong with each kind of call. A call that is interrupted is made again by the libraries that read, whatever they read: one scene
/// shows it.
fn errors_of(kind: &str, scene: &Scene) -> Vec<Action> {
    use Action::{Fail, FailsForEver, Full, Short};
    match kind {
        "open" => vec![Fail(EACCES), Fail(EMFILE), FailsForEver(EIO), Fail(EINTR)],
        "create" => vec![Fail(ENOSPC), Fail(EDQUOT), FailsForEver(EROFS), FailsForEver(EACCES)],
        "write" => vec![Fail(ENOSPC), Fail(EIO), FailsForEver(EDQUOT), Full, Short, Fail(EINTR)],
        "read" if scene.name == "fresh" => vec![Fail(EIO), Fail(EINTR)],
        "read" => vec![Fail(EIO)],
        "truncate" | "sync" => vec![Fail(EIO), FailsForEver(ENOSPC)],
        "rename" => vec![Fail(EACCES), FailsForEver(ENOSPC), Fail(EIO)],
        "unlink" => vec![Fail(EACCES), FailsForEver(EROFS)],
        "mkdir" => vec![Fail(ENOSPC), FailsForEver(EROFS), Fail(EACCES)],
        _ => unreachable!(),
    }
}

/// Calls that are answered with an error or do half of what they should: the run does its work all the same, or says what it cannot do
/// with which file.
#[test]
fn a_call_that_fails_ends_in_a_clear_error_or_in_correct_work() {
    let mut table = Table::new("a failing call");
    for scene in Scene::all() {
        let mut faults = Vec::new();
        for kind in ["open", "create", "write", "read", "truncate", "sync", "rename", "unlink", "mkdir"] {
            for (turn, action) in errors_of(kind, &scene).into_iter().enumerate() {
                // A full disk is full for every kind of call that needs space.
                let kinds = if action == Action::Full { vec!["write", "create", "mkdir"] } else { vec![kind] };
                let steps = spread(scene.count(&kinds), 2);
                // The short form gives each error one step, another one for each scene.
                let steps = if is_long() { steps } else { steps.into_iter().skip(turn % 2).take(1).collect() };
                faults.extend(steps.into_iter().map(|at| Fault { kinds: kinds.clone(), at, action }));
            }
        }
        let name = |fault: &Fault| format!("{}, {fault}", scene.name);
        let verdicts = sweep(&format!("failing calls, {}", scene.name), &faults, name, |at, fault| {
            let work = format!("fault-{at}");
            let verdict = fail(&scene, &work, fault)?;
            scene.end(&work);
            Ok(verdict)
        });
        for (fault, verdict) in faults.iter().zip(verdicts) {
            table.add(fault.kinds[0], &name(fault), verdict);
        }
    }
    table.judge();
}

fn fail(scene: &Scene, work: &str, fault: &Fault) -> Verdict {
    let said = scene.disturbed(work, false, Some(fault));
    let correct = said.code == 0;
    if correct {
        // What could not be removed goes with the next run.
        scene.compare_visible(work).map_err(|why| format!("it ended 0: {why}"))?;
    } else {
        judge_error(&said, work)?;
    }
    scene.recover(work).map(|good| Good { correct, ..good })
}

/// A clear error: exit code 1, one that names what it is about, and no confession of a defect.
fn judge_error(said: &Said, named: &str) -> Result<(), String> {
    let text = said.stderr.trim();
    if said.code != 1 {
        return Err(format!("it ended {}: {text}", said.code));
    }
    if !text.contains(named) || text.contains("internal error") || text.contains("panicked") {
        return Err(format!("not a clear error: {text}"));
    }
    Ok(())
}

/// File systems without hard links or locks are no obstacle: neither is asked for.
#[test]
fn no_hard_link_and_no_lock_is_ever_asked_for() {
    for scene in Scene::all() {
        assert!(scene.count(&CHANGES) > 50, "{}: the shim sees the run", scene.name);
        assert_eq!(scene.count(&NEVER), 0, "{}", scene.name);
    }
}

/// A network file system may refuse to sync a folder; what it can do is done.
#[test]
fn a_file_system_that_cannot_sync_a_folder_is_good_enough() {
    const EINVAL: i32 = 22;
    let scene = Scene::fresh();
    let mut folders = 0;
    for at in spread(scene.count(&["sync"]), 8) {
        let fault = Fault { kinds: vec!["sync"], at, action: Action::Fail(EINVAL) };
        let work = format!("sync-{at}");
        let said = scene.disturbed(&work, false, Some(&fault));
        let calls = read_trace(&scene.lab.path(&format!("{work}.trace")));
        let Some(refused) = calls.iter().find(|call| call.result == -i64::from(EINVAL)) else { continue };
        // A file that cannot be synced is another matter.
        if refused.path.is_dir() {
            folders += 1;
            said.ended(0);
            scene.compare(&work).unwrap_or_else(|why| panic!("{}: {why}", refused.path.display()));
        }
    }
    assert!(folders > 0);
}

#[test]
fn a_work_path_that_is_a_file_or_may_not_be_written_is_named() {
    let lab = Lab::new();
    std::fs::write(lab.path("file"), b"mine").unwrap();
    let said = lab.pipeline(&["run", "log-mel", "--work", "file"]);
    let said = said.ended(2);
    assert!(said.stderr.contains("file is a file"), "{}", said.stderr);
    assert_eq!(std::fs::read(lab.path("file")).unwrap(), b"mine");
    // A stage's folder that is a file.
    std::fs::create_dir_all(lab.path("work")).unwrap();
    std::fs::write(lab.path("work/log-mel"), b"mine").unwrap();
    judge_error(&lab.pipeline(&["run", "log-mel"]), "work/log-mel").unwrap();
    // Who may write anywhere (root) is refused nothing by a folder's mode, so the system call refuses.
    let folder = lab.path("locked");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555)).unwrap();
    for error in [EACCES, EROFS] {
        let fault = Fault { kinds: vec!["create", "mkdir"], at: 1, action: Action::FailsForEver(error) };
        let mut command = lab.command(&["run", "log-mel", "--work", "locked"]);
        watch(&mut command, &folder, &lab.path("locked.trace"), false, Some(&fault));
        judge_error(&Said::new(&command.output().unwrap()), "locked").unwrap();
        assert!(read_trace(&lab.path("locked.trace")).iter().any(|call| call.result == -i64::from(error)));
    }
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The work directory is removed under a run: it says so or makes it again, and the next run has everything.
#[test]
fn a_work_directory_that_vanishes_is_made_again_by_the_next_run() {
    let scene = Scene::pictures();
    for turn in 0..if is_long() { 40 } else { 4 } {
        let work = format!("gone-{turn}");
        let child = scene.command(&work).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(40 + 37 * (turn % 20)));
        // It may be filled again while it is emptied.
        let _ = std::fs::remove_dir_all(scene.lab.path(&work));
        let said = Said::new(&child.wait_with_output().unwrap());
        if said.code != 0 {
            judge_error(&said, &work).unwrap();
        }
        scene.recover(&work).unwrap();
        scene.end(&work);
    }
}
