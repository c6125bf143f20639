//! One fuzzer for all targets: `PIPELINE_FUZZ=NAME` chooses, the rest of the command line is libFuzzer's. Started by `run.sh`.

#![no_main]

mod targets;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use targets::{Desk, TARGETS, Target};

/// The target and its desk, found once: thousands of calls a second follow.
struct Bench {
    target: Target,
    desk: Desk,
}

impl Bench {
    fn new() -> Bench {
        let name = std::env::var("PIPELINE_FUZZ").expect("PIPELINE_FUZZ names a target");
        let target = *TARGETS.iter().find(|(known, _)| *known == name).expect("a target of that name");
        // Files in memory: the disk is not what is tested.
        let folder = std::path::Path::new("/dev/shm").join(format!("pipeline-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("/dev/shm can be written");
        Bench { target, desk: Desk::new(&folder) }
    }
}

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::new(Bench::new());
}

fuzz_target!(|bytes: &[u8]| {
    BENCH.with_borrow_mut(|bench| (bench.target.1)(&mut bench.desk, bytes));
});
