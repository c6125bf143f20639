//! How busy a run keeps the machine: its processor cores, and its GPUs where the build can use them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::events::GpuUse;

/// Clock ticks a second in `/proc`: what Linux promises to programs on every processor that this one runs on.
const TICKS: f64 = 100.0;

/// Asking the GPUs starts a program, so it is not done more often.
const GPUS_EVERY: Duration = Duration::from_secs(2);

/// Asked again and again.
pub struct Usage {
    cores: f64,
    last: Option<(Instant, Duration)>,
    gpus: Option<(Instant, Vec<GpuUse>)>,
}

impl Usage {
    /// GPUs are looked at where this build can use them and there is a driver.
    pub fn new() -> Usage {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64;
        let last = processor_time().map(|spent| (Instant::now(), spent));
        let gpus = if cfg!(feature = "cuda") { Driver::ask().ok() } else { None };
        Usage { cores, last, gpus: gpus.map(|driver| (Instant::now(), driver.gpus)) }
    }

    /// Share of the cores that this process and its children kept busy since it was asked before; `None` where the system does not say.
    pub fn cpu(&mut self) -> Option<f64> {
        let (now, spent) = (Instant::now(), processor_time()?);
        let (then, before) = self.last.replace((now, spent))?;
        let busy = spent.saturating_sub(before).as_secs_f64() / (now - then).as_secs_f64().max(1e-3);
        // Clock ticks are coarse, so a short moment can seem to have more than all cores.
        Some((busy / self.cores).min(1.0))
    }

    /// Every GPU of the machine, as it was two seconds ago at most.
    pub fn gpus(&mut self) -> Vec<GpuUse> {
        let Some((asked, gpus)) = &mut self.gpus else { return Vec::new() };
        if asked.elapsed() >= GPUS_EVERY {
            *gpus = Driver::ask().map(|driver| driver.gpus).unwrap_or_default();
            *asked = Instant::now();
        }
        gpus.clone()
    }
}

impl Default for Usage {
    fn default() -> Self {
        Usage::new()
    }
}

/// NVIDIA's driver as its own program tells, which comes with it everywhere, in containers with GPUs, too.
#[derive(Debug, PartialEq)]
pub struct Driver {
    /// Its version.
    pub version: String,
    /// The GPUs.
    pub gpus: Vec<GpuUse>,
}

impl Driver {
    /// Asks it; an error is the reason in words.
    pub fn ask() -> Result<Driver, String> {
        let query = "--query-gpu=driver_version,index,utilization.gpu,memory.used,name";
        let output = Command::new("nvidia-smi")
            .args([query, "--format=csv,noheader,nounits"])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("nvidia-smi: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Driver::read(&text).filter(|_| output.status.success()).ok_or_else(|| {
            let said = text + &String::from_utf8_lossy(&output.stderr);
            format!("nvidia-smi: {}", said.lines().next().unwrap_or("it says nothing"))
        })
    }

    /// A line a GPU: `580.65.06, 0, 84, 3120, NVIDIA H200`, memory in MiB; `[N/A]` where a GPU does not tell.
    fn read(text: &str) -> Option<Driver> {
        let mut version = None;
        let mut gpus = Vec::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.splitn(5, ',').map(str::trim).collect();
            let [driver, number, busy, memory, name] = fields.as_slice() else { return None };
            version = Some((*driver).to_string());
            gpus.push(GpuUse {
                number: number.parse().ok()?,
                name: (*name).to_string(),
                busy: busy.parse::<f64>().ok().map(|percent| percent / 100.0),
                memory: memory.parse::<u64>().ok().map(|mebibytes| mebibytes << 20),
            });
        }
        Some(Driver { version: version?, gpus })
    }
}

/// What this process, its children, and those of them that ended have computed.
fn processor_time() -> Option<Duration> {
    let [user, system, ended_user, ended_system] = ticks(Path::new("/proc/self/stat"))?;
    let mut ticks_spent = user + system + ended_user + ended_system;
    // A child belongs to the thread that started it.
    for thread in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let Ok(children) = fs::read_to_string(thread.path().join("children")) else { continue };
        for child in children.split_whitespace() {
            // One that has ended by now is among those that ended, the next time.
            let child = ticks(Path::new(&format!("/proc/{child}/stat")));
            ticks_spent += child.map_or(0, |[user, system, ..]| user + system);
        }
    }
    Some(Duration::from_secs_f64(ticks_spent as f64 / TICKS))
}

/// `utime`, `stime`, `cutime` and `cstime` of proc(5).
fn ticks(stat: &Path) -> Option<[u64; 4]> {
    let text = fs::read_to_string(stat).ok()?;
    // The name of the program comes before, in brackets, and may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |at: usize| fields.get(at)?.parse().ok();
    Some([field(11)?, field(12)?, field(13)?, field(14)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compute(duration: Duration) {
        let start = Instant::now();
        while start.elapsed() < duration {
            std::hint::black_box(start.elapsed());
        }
    }

    #[test]
    fn what_this_process_and_its_children_compute_is_counted() {
        let before = processor_time().expect("Linux says it");
        let since = |past: Duration| processor_time().expect("said").saturating_sub(past);
        compute(Duration::from_millis(200));
        let own = since(before);
        assert!(own >= Duration::from_millis(50), "{own:?}");
        let spin = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; read line";
        let mut child = std::process::Command::new("sh")
            .args(["-c", spin])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("sh");
        let mut said = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut said).expect("it says done");
        let living = since(before + own);
        assert!(living >= Duration::from_millis(20), "{living:?}");
        drop(child.stdin.take());
        child.wait().expect("it ends");
        let ended = since(before + own);
        assert!(ended >= living, "{ended:?} after {living:?}");
    }

    #[test]
    fn a_share_lies_between_none_and_all() {
        let mut usage = Usage::new();
        compute(Duration::from_millis(100));
        let share = usage.cpu().expect("Linux says it");
        assert!(share > 0.0 && share <= 1.0, "{share}");
        assert!(cfg!(feature = "cuda") || usage.gpus().is_empty());
    }

    #[test]
    fn the_driver_is_understood() {
        let said = "580.65.06, 0, 84, 3120, NVIDIA H200\n580.65.06, 1, [N/A], 5, GRID, virtual\n";
        let driver = Driver::read(said).expect("understood");
        assert_eq!((driver.version.as_str(), driver.gpus.len()), ("580.65.06", 2));
        let first = GpuUse { number: 0, name: "NVIDIA H200".into(), busy: Some(0.84), memory: Some(3120 << 20) };
        assert_eq!(driver.gpus[0], first);
        assert_eq!((driver.gpus[1].busy, driver.gpus[1].name.as_str()), (None, "GRID, virtual"));
        for other in ["", "NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.\n"] {
            assert_eq!(Driver::read(other), None, "{other}");
        }
    }
}
