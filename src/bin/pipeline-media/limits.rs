//! The limits that the system holds a worker to. The runner waits for it with a clock of its own; these hold even where nobody looks.

use pipeline::worker::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Processor time against time on the wall: while the runner encodes, a worker may go on unseen.
const CPU_SHARE: u32 = 2;

/// Limits the address space, and leaves no memory image behind: it would be as large as what the worker held.
pub(crate) fn limit_memory(bytes: u64) {
    lower(Resource::Core, 0);
    if bytes > 0 {
        lower(Resource::As, bytes);
    }
}

/// Never raises what somebody else has set. A system that refuses is one that does not limit.
fn lower(resource: Resource, to: u64) {
    let now = getrlimit(resource);
    let least = |limit: Option<u64>| Some(limit.map_or(to, |limit| limit.min(to)));
    let _ = setrlimit(resource, Rlimit { current: least(now.current), maximum: now.maximum });
}

/// Processor time for the file at hand: the system ends the worker (SIGXCPU) when it has used more.
pub(crate) struct CpuTime {
    limits: Limits,
    bytes: u64,
    /// What was there before.
    outer: Rlimit,
}

impl CpuTime {
    pub(crate) fn new(limits: Limits) -> Self {
        CpuTime { limits, bytes: 0, outer: getrlimit(Resource::Cpu) }
    }

    /// A file of this size comes.
    pub(crate) fn begin(&mut self, bytes: u64) {
        self.bytes = bytes;
        self.allow(self.limits.at_first(bytes));
    }

    /// It lasts this many seconds.
    pub(crate) fn lasts(&mut self, seconds: f64) {
        self.allow(self.limits.at_first(self.bytes).saturating_add(self.limits.for_length(self.bytes, seconds)));
    }

    fn allow(&self, time: std::time::Duration) {
        let used = u64::try_from(clock_gettime(ClockId::ProcessCPUTime).tv_sec).unwrap_or(0);
        let limit = used + time.saturating_mul(CPU_SHARE).as_secs() + 1;
        let current = Some(self.outer.current.map_or(limit, |outer| outer.min(limit)));
        let _ = setrlimit(Resource::Cpu, Rlimit { current, maximum: self.outer.maximum });
    }
}
