//! The clock of the ffmpeg command: which times its decoder and filters see.
//!
//! The command shifts every file to start at zero, straightens jumps in MPEG streams, drops times that are hours off, and invents a
//! decoding time where a file has none. On an ordinary file only the shift remains. Restated from the behaviour of ffmpeg 5.1
//! (reading of packets and decoding of video in its main loop).

use ffmpeg_next::ffi;

use super::container::Facts;

/// Microseconds in a second: the command's own unit.
const SECOND: i64 = 1_000_000;
/// A jump of more than this in an MPEG stream moves everything that follows.
const JUMP: i64 = 10 * SECOND;
/// A time further off than this is dropped.
const ABSURD: i64 = 30 * 3600 * SECOND;

/// `value * from / to`, rounded half away from zero, clamped instead of wrapping.
pub(crate) fn rescale(value: i64, from: ffi::AVRational, to: ffi::AVRational) -> i64 {
    let num = i128::from(from.num) * i128::from(to.den);
    let den = (i128::from(from.den) * i128::from(to.num)).max(1);
    let magnitude = (i128::from(value.unsigned_abs()) * num + den / 2) / den;
    let magnitude = i64::try_from(magnitude).unwrap_or(i64::MAX);
    if value < 0 { -magnitude } else { magnitude }
}

/// One microsecond as a time base.
pub(crate) const MICRO: ffi::AVRational = ffi::AVRational { num: 1, den: SECOND as i32 };

/// The clock of one pass over a file.
pub(crate) struct Clock {
    facts: Facts,
    /// Microseconds added to every time.
    offset: i64,
    wrap_done: bool,
    /// The last decoding time of the file. The command begins with zero: a file whose first time is far from its start is moved.
    last_dts: i64,
    started: bool,
    /// Estimates of the current and the next decoding and presentation times, in microseconds.
    dts: Option<i64>,
    next_dts: Option<i64>,
    pts: i64,
    next_pts: Option<i64>,
}

impl Clock {
    pub(crate) fn new(facts: &Facts) -> Self {
        Clock {
            facts: facts.clone(),
            offset: -facts.start_time.unwrap_or(0),
            wrap_done: false,
            last_dts: 0,
            started: false,
            dts: None,
            next_dts: None,
            pts: 0,
            next_pts: None,
        }
    }

    pub(crate) fn micros(&self, ticks: i64) -> i64 {
        rescale(ticks, self.facts.time_base, MICRO)
    }

    pub(crate) fn ticks(&self, micros: i64) -> i64 {
        rescale(micros, MICRO, self.facts.time_base)
    }

    /// The presentation and decoding time of the next packet, in ticks, as the command corrects them.
    pub(crate) fn correct(&mut self, pts: Option<i64>, dts: Option<i64>) -> (Option<i64>, Option<i64>) {
        let (mut pts, mut dts) = self.unwrap(pts, dts);
        let shift = self.ticks(self.offset);
        pts = pts.map(|t| t.saturating_add(shift));
        dts = dts.map(|t| t.saturating_add(shift));

        let at = dts.map(|t| self.micros(t));
        if let (Some(at), true, None) = (at, self.facts.discontinuous, self.next_dts) {
            let delta = at.saturating_sub(self.last_dts);
            if delta.saturating_abs() > JUMP {
                (pts, dts) = self.move_by(delta, pts, dts);
            }
        }
        let at = dts.map(|t| self.micros(t));
        if let (Some(at), Some(expected)) = (at, self.next_dts) {
            let delta = at.saturating_sub(expected);
            if self.facts.discontinuous {
                let latest = self.pts.max(self.dts.unwrap_or(i64::MIN));
                if delta.saturating_abs() > JUMP || at.saturating_add(SECOND / 10) < latest {
                    (pts, dts) = self.move_by(delta, pts, dts);
                }
            } else {
                dts = dts.filter(|_| delta.saturating_abs() <= ABSURD);
                pts = pts.filter(|&t| self.micros(t).saturating_sub(expected).saturating_abs() <= ABSURD);
            }
        }
        if let Some(t) = dts {
            self.last_dts = self.micros(t);
        }
        (pts, dts)
    }

    /// Undoes the wrap of short timestamps and, in MPEG streams, starts from the chosen stream instead of the file's earliest.
    fn unwrap(&mut self, mut pts: Option<i64>, mut dts: Option<i64>) -> (Option<i64>, Option<i64>) {
        let (Some(start), false, 1..64) = (self.facts.start_time, self.wrap_done, self.facts.wrap_bits) else {
            return (pts, dts);
        };
        if self.next_dts.is_none()
            && self.offset == -start
            && self.facts.discontinuous
            && let Some(own) = self.facts.stream_start
            && self.micros(own) > start
        {
            self.offset = -self.micros(own);
        }
        self.wrap_done = true;
        let first = self.ticks(start);
        let (period, half) = (1_i128 << self.facts.wrap_bits, 1_i128 << (self.facts.wrap_bits - 1));
        for time in [&mut dts, &mut pts] {
            if let Some(t) = time
                && i128::from(*t) > i128::from(first) + half
            {
                *t = (i128::from(*t) - period) as i64;
                self.wrap_done = false;
            }
        }
        (pts, dts)
    }

    fn move_by(&mut self, delta: i64, pts: Option<i64>, dts: Option<i64>) -> (Option<i64>, Option<i64>) {
        self.offset = self.offset.saturating_sub(delta);
        let delta = self.ticks(delta);
        (pts.map(|t| t.saturating_sub(delta)), dts.map(|t| t.saturating_sub(delta)))
    }

    /// A packet (or, with `None`, the end) goes to the decoder.
    pub(crate) fn begin(&mut self, dts: Option<i64>, delay: i32) {
        if !self.started {
            self.started = true;
            let rate = self.facts.frame_rate;
            let ahead = if rate.num == 0 {
                0.0
            } else {
                f64::from(delay) * SECOND as f64 / (f64::from(rate.num) / f64::from(rate.den))
            };
            self.dts = Some(-ahead as i64);
            self.pts = 0;
        }
        self.next_dts = self.next_dts.or(self.dts);
        self.next_pts = self.next_pts.or(Some(self.pts));
        if let Some(t) = dts {
            self.dts = Some(self.micros(t));
            self.next_dts = self.dts;
        }
    }

    /// One call of the decoder is about to happen: the decoding time in ticks that it is told.
    pub(crate) fn attempt(&mut self) -> Option<i64> {
        self.pts = self.next_pts.unwrap_or(self.pts);
        self.dts = self.next_dts;
        self.dts.map(|t| self.ticks(t))
    }

    /// A frame came out with this time, in ticks.
    pub(crate) fn shown(&mut self, pts: Option<i64>) {
        if let Some(t) = pts {
            self.pts = self.micros(t);
            self.next_pts = Some(self.pts);
        }
    }

    /// That call of the decoder is over. `step`: the length of a frame in microseconds as far as known, 0 if not; `counts`: whether the
    /// call consumed a packet or gave a frame; `frame`: the length of the frame that came out, in ticks.
    pub(crate) fn finish(&mut self, step: i64, counts: bool, frame: Option<i64>) {
        if counts {
            self.next_dts = match self.dts {
                Some(_) if step != 0 => self.next_dts.map(|t| t.saturating_add(step)),
                _ => None,
            };
        }
        if let Some(duration) = frame {
            let length = if duration > 0 { self.micros(duration) } else { step };
            self.next_pts = self.next_pts.map(|t| t.saturating_add(length));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn facts(discontinuous: bool) -> Facts {
        Facts {
            streams: 1,
            start_time: Some(1_400_000),
            stream_start: Some(130_500),
            discontinuous,
            time_base: ffi::AVRational { num: 1, den: 90_000 },
            frame_rate: ffi::AVRational { num: 25, den: 1 },
            wrap_bits: 33,
            matrix: None,
            format: "test".to_owned(),
            codec: ffi::AVCodecID::AV_CODEC_ID_H264,
            extradata: Vec::new(),
            width: 16,
            height: 16,
        }
    }

    fn feed(clock: &mut Clock, pts: i64, dts: Option<i64>) -> (Option<i64>, Option<i64>) {
        let (pts, dts) = clock.correct(Some(pts), dts);
        clock.begin(dts, 2);
        clock.attempt();
        clock.shown(pts);
        clock.finish(40_000, true, Some(3600));
        (pts, dts)
    }

    #[test]
    fn the_file_starts_at_zero_or_its_own_stream_does() {
        let mut plain = Clock::new(&facts(false));
        assert_eq!(feed(&mut plain, 130_500, Some(123_300)), (Some(4500), Some(-2700)));
        let mut mpeg = Clock::new(&facts(true));
        assert_eq!(feed(&mut mpeg, 130_500, Some(123_300)), (Some(0), Some(-7200)));
    }

    #[test]
    fn a_jump_in_an_mpeg_stream_is_closed() {
        let mut clock = Clock::new(&facts(true));
        feed(&mut clock, 130_500, Some(130_500));
        let jumped = 130_500 + 20 * 90_000;
        assert_eq!(feed(&mut clock, jumped, Some(jumped)), (Some(3600), Some(3600)));
        assert_eq!(feed(&mut clock, jumped + 3600, Some(jumped + 3600)), (Some(7200), Some(7200)));
    }

    #[test]
    fn an_mpeg_stream_that_begins_far_from_its_start_is_moved() {
        let mut clock = Clock::new(&facts(true));
        let late = 130_500 + 11 * 90_000;
        assert_eq!(feed(&mut clock, 130_500, Some(late)), (Some(-11 * 90_000), Some(0)));
    }

    #[test]
    fn absurd_times_are_dropped_elsewhere() {
        let mut clock = Clock::new(&facts(false));
        feed(&mut clock, 130_500, Some(130_500));
        assert_eq!(feed(&mut clock, 1 << 60, Some(1 << 60)), (None, None));
    }

    #[test]
    fn a_missing_decoding_time_is_counted_on() {
        let mut clock = Clock::new(&facts(false));
        clock.begin(None, 2);
        assert_eq!(clock.attempt(), Some(-7200));
        clock.finish(40_000, true, None);
        clock.begin(None, 2);
        assert_eq!(clock.attempt(), Some(-3600));
    }

    #[test]
    fn rescaling_rounds_half_away_from_zero() {
        let (a, b) = (ffi::AVRational { num: 1, den: 10 }, ffi::AVRational { num: 1, den: 1 });
        let rounded: Vec<_> = [-15, -14, -5, -4, 4, 5, 14, 15].map(|t| rescale(t, a, b)).to_vec();
        assert_eq!(rounded, [-2, -1, -1, 0, 0, 1, 1, 2]);
    }
}
