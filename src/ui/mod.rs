//! What a person or a program sees of a run. Progress goes to standard error, results to standard output.

mod human;
mod json;
mod pulse;

use std::sync::Mutex;

use crate::events::{Event, Reporter};

pub use human::Human;
pub use json::JsonLines;
pub use pulse::Pulse;

/// Hands every event of a run to several reporters, in one order. The end of the run is the last one, whatever other threads still had to say.
pub struct Tee<'a> {
    reporters: Vec<&'a dyn Reporter>,
    is_over: Mutex<bool>,
}

impl<'a> Tee<'a> {
    /// Events go to these.
    pub fn new(reporters: Vec<&'a dyn Reporter>) -> Self {
        Tee { reporters, is_over: Mutex::new(false) }
    }
}

impl Reporter for Tee<'_> {
    fn report(&self, event: &Event) {
        let mut is_over = self.is_over.lock().expect("no holder panics");
        if *is_over {
            return;
        }
        *is_over = matches!(event, Event::Finished { .. } | Event::Failed { .. });
        for reporter in &self.reporters {
            reporter.report(event);
        }
    }
}

/// `1 item`, `2 items`.
pub fn plural(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// A duration as a person says it.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min {:02.0} s", (s / 60.0).floor(), s % 60.0),
        s => format!("{:.0} h {:02.0} min", (s / 3600.0).floor(), (s % 3600.0) / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counted(std::sync::atomic::AtomicUsize);

    impl Reporter for Counted {
        fn report(&self, _: &Event) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    #[test]
    fn nothing_is_told_of_a_run_that_is_over() {
        let counted = Counted(std::sync::atomic::AtomicUsize::new(0));
        let tee = Tee::new(vec![&counted, &counted]);
        tee.report(&Event::Draining { seconds: 1.0 });
        tee.report(&Event::Failed { message: "the disk is full".into() });
        tee.report(&Event::Draining { seconds: 1.0 });
        assert_eq!(counted.0.into_inner(), 4);
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(1.23), "1.2 s");
        assert_eq!(duration(75.0), "75 s");
        assert_eq!(duration(185.0), "3 min 05 s");
        assert_eq!(duration(7380.0), "2 h 03 min");
        assert_eq!(plural(1, "item"), "1 item");
    }
}
