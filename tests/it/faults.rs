//! Kills and failing system calls at every step by which a work directory changes (`shim`). Whatever happens, what is left is taken
//! up by the next run and ends in the bytes of a run that nothing happened to.
//!
//! Each test takes a spread of the steps; all of them, and 300 kills by the clock:
//!
//! ```text
//! PIPELINE_LONG=1 cargo nextest run --locked --workspace --profile long --no-capture -E 'test(/^(faults|power|together)::/)'
//! ```

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Said};
use crate::scenes::{Scene, is_long, spread, two_at_a_time};
use crate::shim::{
    Action, CHANGES, EACCES, EDQUOT, EINTR, EIO, EMFILE, ENOSPC, EROFS, Fault, NEVER, read_trace, watch,
};

/// What is wrong with a case, or how many values were computed in vain.
type Verdict = Result<usize, String>;

/// Prints what became of the cases and fails if one went wrong.
fn judge(title: &str, cases: &[(String, Verdict)]) {
    let wrong: Vec<_> = cases.iter().filter_map(|(case, verdict)| Some((case, verdict.as_ref().err()?))).collect();
    let redone: Vec<usize> = cases.iter().filter_map(|(_, verdict)| verdict.clone().ok()).collect();
    let (sum, most) = (redone.iter().sum::<usize>(), redone.iter().max().copied().unwrap_or(0));
    eprintln!(
        "{title:<44} {:>5} cases {:>5} same bytes {:>3} wrong; computed in vain: {:.2} a case, {most} at most",
        cases.len(),
        redone.len(),
        wrong.len(),
        sum as f64 / redone.len().max(1) as f64,
    );
    for (case, why) in &wrong {
        eprintln!("  {case}: {why}");
    }
    assert!(!cases.is_empty() && wrong.is_empty(), "{title}: {} of {} cases went wrong", wrong.len(), cases.len());
}

/// A kill before every call that changes the work directory, and in the middle of it.
#[test]
fn a_kill_at_any_step_costs_what_was_in_flight_and_nothing_else() {
    let mut all = Vec::new();
    for scene in Scene::all() {
        let (count, share) = (scene.count(&CHANGES), if scene.name == "pictures" { 4 } else { 6 });
        let steps =
            |action| spread(count, share).into_iter().map(move |at| Fault { kinds: CHANGES.to_vec(), at, action });
        let faults: Vec<Fault> = steps(Action::Kill).chain(steps(Action::Torn)).collect();
        let verdicts = two_at_a_time(&faults, |at, fault| {
            let work = format!("kill-{at}");
            let disturbed = scene.disturbed(&work, false, Some(fault));
            if disturbed.code >= 0 && fault.at * 10 < count * 9 {
                return Err(format!("it was not killed: it ended {}", disturbed.code));
            }
            let verdict = scene.recover(&work)?;
            scene.end(&work);
            Ok(verdict)
        });
        let cases: Vec<_> = faults.iter().map(|fault| format!("{}, {fault}", scene.name)).zip(verdicts).collect();
        eprintln!("{}: {count} steps", scene.name);
        all.extend(cases);
    }
    judge("kill -9 at a step", &all);
}

/// Kills by the clock, at any instant between two calls.
#[test]
fn kills_by_the_clock_end_in_the_same_bytes() {
    let (rounds, kills) = if is_long() { (60, 5) } else { (4, 4) };
    let scene = Scene::pictures();
    let start = Instant::now();
    scene.disturbed("timed", false, None).ended(0);
    let whole = start.elapsed();
    let rounds: Vec<u64> = (0..rounds).collect();
    let verdicts = two_at_a_time(&rounds, |_, round| {
        let work = format!("clock-{round}");
        let mut seed = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995;
        for _ in 0..kills {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut child = scene.command(&work).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(whole.mul_f64((seed >> 40) as f64 / f64::from(1 << 24)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let redone = scene.recover(&work)?;
        scene.end(&work);
        Ok(redone)
    });
    let cases: Vec<_> = rounds.iter().map(|round| format!("round {round} of {kills} kills")).zip(verdicts).collect();
    judge(&format!("{} kills by the clock", kills * cases.len()), &cases);
}

/// What may go wrong with each kind of call.
fn errors_of(kind: &str) -> Vec<Action> {
    use Action::{Fail, FailsForEver, Full, Short};
    match kind {
        "open" => vec![Fail(EACCES), Fail(EMFILE), FailsForEver(EIO), Fail(EINTR)],
        "create" => vec![Fail(ENOSPC), Fail(EDQUOT), FailsForEver(EROFS), FailsForEver(EACCES)],
        "write" => vec![Fail(ENOSPC), Fail(EIO), FailsForEver(EDQUOT), Full, Short, Fail(EINTR)],
        "read" => vec![Fail(EIO), Fail(EINTR)],
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
    let mut all = Vec::new();
    let mut told = BTreeMap::new();
    for scene in Scene::all() {
        let mut faults = Vec::new();
        for kind in ["open", "create", "write", "read", "truncate", "sync", "rename", "unlink", "mkdir"] {
            for (turn, action) in errors_of(kind).into_iter().enumerate() {
                // A full disk is full for every kind of call that needs space.
                let kinds = if action == Action::Full { vec!["write", "create", "mkdir"] } else { vec![kind] };
                let steps = spread(scene.count(&kinds), 2);
                // The short form gives each error one step, another one for each scene.
                let steps = if is_long() { steps } else { steps.into_iter().skip(turn % 2).take(1).collect() };
                faults.extend(steps.into_iter().map(|at| Fault { kinds: kinds.clone(), at, action }));
            }
        }
        let verdicts = two_at_a_time(&faults, |at, fault| {
            let work = format!("fault-{at}");
            let said = scene.disturbed(&work, false, Some(fault));
            if said.code == 0 {
                // What could not be removed goes with the next run.
                scene.compare_visible(&work).map_err(|why| format!("it ended 0: {why}"))?;
            } else {
                judge_error(&said, &work)?;
            }
            let redone = scene.recover(&work)?;
            scene.end(&work);
            Ok((said.code, redone))
        });
        for (fault, verdict) in faults.iter().zip(verdicts) {
            if let Ok((code, _)) = &verdict {
                let entry = told.entry(fault.kinds[0]).or_insert((0, 0));
                if *code == 0 { entry.0 += 1 } else { entry.1 += 1 }
            }
            all.push((format!("{}, {fault}", scene.name), verdict.map(|(_, redone)| redone)));
        }
    }
    eprintln!("{:<10} {:>12} {:>12}", "call", "correct work", "clear error");
    for (kind, (work, error)) in told {
        eprintln!("{kind:<10} {work:>12} {error:>12}");
    }
    judge("a failing call", &all);
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
    judge_error(&said, "file").unwrap();
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
