//! One fuzzer for all targets: `PIPELINE_FUZZ=NAME` chooses, the rest of the command line is libFuzzer's. Started by `run.sh`.

#![no_main]

mod targets;

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::path::PathBuf;
use std::sync::Mutex;

use libfuzzer_sys::fuzz_target;
use targets::{Desk, TARGETS, Target};

/// What the last panic said, and where it came from if `RUST_BACKTRACE` asks for that.
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// The target and its desk, found once: thousands of calls a second follow.
struct Bench {
    target: Target,
    desk: Desk,
}

impl Bench {
    fn new() -> Bench {
        let name = std::env::var("PIPELINE_FUZZ").expect("PIPELINE_FUZZ names a target");
        let target = *TARGETS.iter().find(|(known, _)| *known == name).expect("a target of that name");
        let folder = PathBuf::from(std::env::var_os("PIPELINE_FUZZ_DESK").expect("PIPELINE_FUZZ_DESK names a folder"));
        // At the first input, so that it takes the place of the one of libfuzzer-sys.
        set_hook(Box::new(note));
        Bench { target, desk: Desk::new(&folder) }
    }

    /// Runs the target; a panic that comes out of it is a finding.
    fn judge(&mut self, bytes: &[u8]) {
        let (_, run) = self.target;
        if catch_unwind(AssertUnwindSafe(|| run(&mut self.desk, bytes))).is_err() {
            eprintln!("{}", LAST_PANIC.lock().expect("no holder panics"));
            // libFuzzer keeps the input.
            std::process::abort();
        }
    }
}

/// A panic is no finding yet: libraries' are caught and become errors, as they should. libfuzzer-sys would abort at each.
fn note(panic: &PanicHookInfo<'_>) {
    *LAST_PANIC.lock().expect("no holder panics") = format!("{panic}\n{}", Backtrace::capture());
}

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::new(Bench::new());
}

fuzz_target!(|bytes: &[u8]| {
    BENCH.with_borrow_mut(|bench| bench.judge(bytes));
});
