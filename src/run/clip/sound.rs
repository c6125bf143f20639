//! The sound of a clip: its log-mel, gathered from the worker.

use contract::{Failure, Rows};

use crate::key::NO_CONTENT;
use crate::run::clip::ended::{Ended, Interrupted};
use crate::run::clip::job::Job;
use crate::run::clip::{Lane, confused};
use crate::run::writer::Outcome;
use crate::worker::MediaWorker;
use crate::worker::incoming::IncomingRows;
use crate::worker::protocol::Reply;

impl Lane<'_> {
    /// Gathers the log-mel.
    pub(super) fn hear_sound(&mut self, job: &mut Job<'_>, worker: &mut MediaWorker<'_>) -> Result<(), Interrupted> {
        let mut rows = IncomingRows::default();
        loop {
            match self.hear(worker)? {
                Reply::Column(head) => rows.begin(head),
                Reply::Piece if rows.take(&self.bulk) => {}
                Reply::Sound(Err(failure)) => return Ok(self.end_sound(job, Err(failure))?),
                Reply::Sound(Ok(len)) => match rows.finish(len) {
                    Some(rows) => return Ok(self.end_sound(job, Ok(rows))?),
                    None => return Err(confused(worker)),
                },
                _ => return Err(confused(worker)),
            }
        }
    }

    pub(super) fn end_sound(&mut self, job: &mut Job<'_>, outcome: Result<Rows, Failure>) -> Result<(), Ended> {
        let rows = outcome.and_then(|rows| job.unchanged().map(|()| rows));
        let Some(sound) = self.no_longer_due(job, log_mel::DECL.id) else { return Ok(()) };
        self.send(job.item, &sound, job.content.unwrap_or(NO_CONTENT), Outcome::Computed(rows))
    }
}
