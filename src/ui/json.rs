//! Events as JSON Lines: one object a line, `event` first; used for `--json` and for the record of each run.

use std::io::Write;
use std::sync::Mutex;

use crate::events::{Event, Reporter};

/// Writes each event as one line.
pub struct JsonLines<W: Write + Send>(Mutex<W>);

impl<W: Write + Send> JsonLines<W> {
    /// Events go to `out`.
    pub fn new(out: W) -> Self {
        JsonLines(Mutex::new(out))
    }
}

impl<W: Write + Send> Reporter for JsonLines<W> {
    fn report(&self, event: &Event) {
        let mut line = serde_json::to_vec(event).expect("events are plain data");
        line.push(b'\n');
        // A reader that went away is no reason to stop the run.
        let _ = self.0.lock().expect("no holder panics").write_all(&line);
    }
}
