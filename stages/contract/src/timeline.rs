//! The presentation times of a video stream, in integer ticks; no float anywhere.

/// Seconds per tick as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBase {
    /// Numerator, > 0.
    pub num: i32,
    /// Denominator, > 0.
    pub den: i32,
}

impl TimeBase {
    /// `ticks` in seconds.
    pub fn seconds(self, ticks: i64) -> f64 {
        ticks as f64 * f64::from(self.num) / f64::from(self.den)
    }
}

/// When one decoded frame is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameTime {
    /// Presentation time in ticks of the timeline's time base, the file's earliest start already subtracted.
    pub pts: i64,
    /// Duration in ticks; 0 when the container does not say.
    pub duration: i64,
}

/// The frames that a decoder would hand out, in presentation order, frames that an edit list discards left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// Unit of the times.
    pub time_base: TimeBase,
    /// Presentation order.
    pub frames: Vec<FrameTime>,
    /// Whether the file has more than one stream (the ffmpeg command then back-fills missing first pictures; facts in `extract-frames`).
    pub multiple_streams: bool,
    /// Indices of the frames at which the size or pixel format changes, ascending, never 0; almost always empty. The ffmpeg
    /// command builds its filters anew there and loses the picture they held (facts in `extract-frames`).
    pub restarts: Vec<usize>,
}

impl Timeline {
    /// When the last frame ends, in seconds; 0 where there is none.
    pub fn seconds(&self) -> f64 {
        let end = self.frames.iter().map(|frame| frame.pts.saturating_add(frame.duration)).max();
        end.map_or(0.0, |end| self.time_base.seconds(end)).max(0.0)
    }
}
