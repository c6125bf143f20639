//! Small pictures of some clips, for the report: what the systems saw beside what they said.

use crate::error::Result;
use crate::session::Session;
use crate::worker::child::path_bytes;
use crate::worker::protocol::{Reply, Request};
use crate::worker::{Drain, MediaWorker};

/// Pixels per row of a small picture: five of them stand beside each other on a page.
const WIDTH: u32 = 240;

/// Makes small pictures; its worker is started for the first.
pub struct Samples<'a> {
    session: &'a Session,
    drain: &'a Drain<'a>,
    worker: Option<MediaWorker<'a>>,
}

impl<'a> Samples<'a> {
    /// For the clips of this session.
    pub fn new(session: &'a Session, drain: &'a Drain<'a>) -> Self {
        Samples { session, drain, worker: None }
    }

    /// The picture that stands for a clip in the reference example, as a small JPEG; `None` where the clip gives none.
    pub fn picture(&mut self, item: usize) -> Result<Option<Vec<u8>>> {
        let Some(path) = self.session.dataset.items[item].video.as_deref() else { return Ok(None) };
        let settings = self.session.worker_settings();
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => MediaWorker::start(&settings, self.drain)?,
        };
        worker.allow(settings.limits.at_first(std::fs::metadata(path).map_or(0, |file| file.len())));
        let mut bulk = Vec::new();
        let request = Request::Sample { path: path_bytes(path), width: WIDTH };
        // A worker that dies of a clip, or takes too long, costs its picture.
        if worker.send(&request).is_ok() && matches!(worker.receive(&mut bulk), Ok(Reply::Sample)) {
            self.worker = Some(worker);
            return Ok(Some(bulk).filter(|jpeg| !jpeg.is_empty()));
        }
        Ok(None)
    }
}
