//! Frames that are kept while a stream is decoded to see what there is, so that it need not be decoded again for them.

use contract::TimeBase;
use ffmpeg_next::{ffi, frame};

use super::passes::Seen;
use crate::MediaError;

/// Bytes of frames that are kept at most: half a minute of 1920x1080 at one a second. What does not fit is decoded again.
const ROOM: usize = 96 << 20;

/// Frames that are likely to be wanted: of each period the last one that the command's filter for a constant rate would show in it.
pub(crate) struct Kept {
    frames: Vec<(usize, frame::Video)>,
    /// The latest frame; the next one tells whether it is kept.
    held: Option<(usize, frame::Video)>,
    /// How a time becomes periods; `None`: nothing is kept.
    periods: Option<Periods>,
    /// The latest period so far.
    latest: i64,
    bytes: usize,
}

#[derive(Clone, Copy)]
struct Periods {
    num: i128,
    den: i128,
}

impl Periods {
    /// The nearest, halves away from zero, as the filter rounds.
    fn at(self, pts: i64) -> i64 {
        let magnitude = (i128::from(pts.unsigned_abs()) * self.num + self.den / 2) / self.den;
        let clamped = i64::try_from(magnitude).unwrap_or(i64::MAX);
        if pts < 0 { -clamped } else { clamped }
    }
}

impl Kept {
    /// For a stream with times in `ticks` of which a picture is wanted every `period`.
    pub(crate) fn every(period: Option<TimeBase>, ticks: TimeBase) -> Self {
        let periods = period.map(|period| Periods {
            num: i128::from(ticks.num) * i128::from(period.den),
            den: (i128::from(ticks.den) * i128::from(period.num)).max(1),
        });
        Kept { frames: Vec::new(), held: None, periods, latest: i64::MIN, bytes: 0 }
    }

    /// Another frame came out.
    pub(crate) fn see(&mut self, seen: &Seen<'_>) -> Result<(), MediaError> {
        let Some(periods) = self.periods else { return Ok(()) };
        let period = periods.at(seen.pts);
        if period > self.latest {
            self.latest = period;
            self.keep();
        }
        self.held = Some((seen.index, share(seen.frame)?));
        Ok(())
    }

    fn keep(&mut self) {
        let Some((index, frame)) = self.held.take() else { return };
        self.bytes = self.bytes.saturating_add(size(&frame));
        if self.bytes > ROOM {
            *self = Kept { frames: Vec::new(), held: None, periods: None, ..*self };
            return;
        }
        self.frames.push((index, frame));
    }

    /// No frame follows.
    pub(crate) fn end(mut self) -> Self {
        self.keep();
        self
    }

    /// The frames with these indices, if all of them were kept.
    pub(crate) fn all(&self, wanted: &[usize]) -> Option<Vec<&frame::Video>> {
        let find = |index: &usize| self.frames.binary_search_by_key(index, |(i, _)| *i).ok();
        wanted.iter().map(|index| find(index).map(|at| &self.frames[at].1)).collect()
    }
}

/// Bytes of the frame's planes.
#[expect(unsafe_code, reason = "the binding does not tell")]
fn size(frame: &frame::Video) -> usize {
    // SAFETY: the frame lives as long as the borrow, and its buffers as long as the frame.
    let buffers = unsafe { (*frame.as_ptr()).buf };
    buffers.iter().filter(|buffer| !buffer.is_null()).map(|buffer| unsafe { (**buffer).size }).sum()
}

/// The same frame once more, with the same memory: a decoder that goes on takes other memory.
#[expect(unsafe_code, reason = "the binding copies the pixels")]
fn share(frame: &frame::Video) -> Result<frame::Video, MediaError> {
    let mut shared = frame::Video::empty();
    // SAFETY: both are frames; the empty one has nothing to lose.
    let code = unsafe { ffi::av_frame_ref(shared.as_mut_ptr(), frame.as_ptr()) };
    if code < 0 { Err(MediaError::OutOfMemory) } else { Ok(shared) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn kept_of(times: &[i64]) -> Vec<usize> {
        let (second, tick) = (TimeBase { num: 1, den: 1 }, TimeBase { num: 1, den: 10 });
        let mut kept = Kept::every(Some(second), tick);
        let frame = frame::Video::new(ffmpeg_next::format::Pixel::GRAY8, 16, 16);
        for (index, &pts) in times.iter().enumerate() {
            kept.see(&Seen { index, pts, duration: 1, frame: &frame }).unwrap();
        }
        kept.end().frames.iter().map(|(index, _)| *index).collect()
    }

    #[test]
    fn the_last_of_each_period_is_kept() {
        assert_eq!(kept_of(&[0, 2, 4, 6, 8, 14, 15, 16]), [2, 5, 7]);
        // A time that goes back, and one that is not known.
        assert_eq!(kept_of(&[0, 20, 3, i64::MIN, 25]), [0, 3, 4]);
        assert!(kept_of(&[]).is_empty());
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let (second, tick) = (TimeBase { num: 1, den: 1 }, TimeBase { num: 1, den: 1 });
        let mut kept = Kept::every(Some(second), tick);
        let frame = frame::Video::new(ffmpeg_next::format::Pixel::GRAY8, 4096, 4096);
        for index in 0..20 {
            kept.see(&Seen { index, pts: index as i64, duration: 1, frame: &frame }).unwrap();
        }
        let kept = kept.end();
        assert!(kept.all(&[0]).is_none() && kept.frames.is_empty());
        let nothing = Kept::every(None, tick).end();
        assert!(nothing.all(&[0]).is_none());
    }
}
