//! Faults on request, so that it can be tested what each costs: `PIPELINE_MEDIA_FAULT=KIND:PART` for files whose path has `PART` in it.

use std::path::Path;
use std::time::Duration;

/// Names kind and part.
const VARIABLE: &str = "PIPELINE_MEDIA_FAULT";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The process dies.
    Die,
    /// It waits for ever.
    Hang,
    /// It computes for ever.
    Spin,
    /// It takes all memory that it can get.
    Eat,
}

/// A fault that was asked for.
pub(crate) struct Fault {
    kind: Kind,
    part: String,
}

impl Fault {
    /// As the environment says.
    pub(crate) fn asked_for() -> Option<Fault> {
        let text = std::env::var(VARIABLE).ok()?;
        let (kind, part) = text.split_once(':')?;
        let kind = match kind {
            "die" => Kind::Die,
            "hang" => Kind::Hang,
            "spin" => Kind::Spin,
            "eat" => Kind::Eat,
            _ => return None,
        };
        (!part.is_empty()).then(|| Fault { kind, part: part.to_string() })
    }

    /// Whether this file is meant.
    pub(crate) fn is_for(&self, path: &Path) -> bool {
        path.to_string_lossy().contains(&self.part)
    }

    /// Goes wrong.
    pub(crate) fn strike(&self) {
        match self.kind {
            Kind::Die => std::process::abort(),
            Kind::Hang => loop {
                std::thread::sleep(Duration::from_hours(1));
            },
            Kind::Spin => loop {
                std::hint::spin_loop();
            },
            Kind::Eat => {
                let mut eaten: Vec<Vec<u8>> = Vec::new();
                loop {
                    eaten.push(vec![1; 64 << 20]);
                }
            }
        }
    }
}
