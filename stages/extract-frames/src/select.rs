//! Which frames, when.

use contract::Timeline;
use serde::{Deserialize, Serialize};

use crate::{Error, FrameSpec};

/// More pictures of one file than this are refused: eleven days at 1 fps. Damaged timestamps jump further than that.
pub const MAX_PICKS: usize = 1_000_000;

/// One output picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pick {
    /// Index of the frame it shows, in [`Timeline::frames`].
    pub frame: usize,
    /// Time of the output picture in seconds: a whole multiple of `1 / fps`.
    pub time: f64,
    /// Presentation time of the frame it shows, in seconds from the file's start.
    pub pts_seconds: f64,
    /// Number of the picture file, from 1.
    pub number: u32,
}

const MICROSECONDS: i128 = 1_000_000;

/// `value * num / den`, rounded half away from zero. `i64::MIN` (no time known) stays what it is.
fn rescale(value: i64, num: i128, den: i128) -> i64 {
    if value == i64::MIN {
        return value;
    }
    let magnitude = (i128::from(value.unsigned_abs()) * num + den / 2) / den;
    let clamped = i64::try_from(magnitude).unwrap_or(i64::MAX);
    if value < 0 { -clamped } else { clamped }
}

/// The pictures that the ffmpeg command makes of this timeline.
pub fn select(timeline: &Timeline, spec: &FrameSpec) -> Result<Vec<Pick>, Error> {
    let (tb_num, tb_den) = (i128::from(timeline.time_base.num), i128::from(timeline.time_base.den));
    let (fps_num, fps_den) = (i128::from(spec.fps_num), i128::from(spec.fps_den));
    let ticks = |pts: i64| rescale(pts, tb_num * fps_num, tb_den * fps_den);
    let frames = &timeline.frames;

    let mut output = ConstantRate::new(timeline.multiple_streams);
    let mut next = None;
    // The command's clock for the end of the stream, in microseconds: it survives frames without a time.
    let mut clock = 0_i64;
    for (i, frame) in frames.iter().enumerate() {
        if timeline.restarts.binary_search(&i).is_ok() {
            next = None;
        }
        if frame.pts != i64::MIN {
            clock = rescale(frame.pts, tb_num * MICROSECONDS, tb_den);
        }
        clock = clock.saturating_add(rescale(frame.duration, tb_num * MICROSECONDS, tb_den));
        // The filter is thrown away together with the frame it holds.
        if timeline.restarts.binary_search(&(i + 1)).is_ok() {
            if next.is_none() {
                next = Some(ticks(frame.pts));
            }
            continue;
        }
        // The filter begins with the first frame that has a time.
        if next.is_none() && frame.pts == i64::MIN {
            continue;
        }
        let due = match frames.get(i + 1) {
            Some(following) => ticks(following.pts),
            None => ticks(rescale(clock, tb_den, tb_num * MICROSECONDS)),
        };
        let next = next.get_or_insert_with(|| ticks(frame.pts));
        while due > *next {
            output.frame(*next, i)?;
            *next += 1;
        }
    }
    output.end()?;

    Ok(output
        .pictures
        .into_iter()
        .zip(1..)
        .map(|((tick, frame), number)| Pick {
            frame,
            time: tick as f64 * f64::from(spec.fps_den) / f64::from(spec.fps_num),
            pts_seconds: timeline.time_base.seconds(frames[frame].pts),
            number,
        })
        .collect())
}

/// The command's constant frame rate behind the filter: fills gaps, drops what comes much too late.
struct ConstantRate {
    /// Fill in before the first picture.
    back_fill: bool,
    /// The tick that the next picture will get.
    next: i64,
    last: Option<usize>,
    /// How often the *previous* frame was repeated, for the last three frames; the command guesses from it at the end.
    repeats: [i64; 3],
    pictures: Vec<(i64, usize)>,
}

impl ConstantRate {
    fn new(back_fill: bool) -> Self {
        ConstantRate { back_fill, next: 0, last: None, repeats: [0; 3], pictures: Vec::new() }
    }

    fn frame(&mut self, tick: i64, frame: usize) -> Result<(), Error> {
        if self.pictures.is_empty() && !self.back_fill && tick > self.next {
            self.next = tick;
        }
        let early = tick.saturating_sub(self.next);
        let (count, of_previous) = match early {
            ..=-3 => (0, 0),
            -2..=0 => (1, 0),
            1 => (2, 0),
            _ => (early.saturating_add(1), early - 1),
        };
        self.emit(count, of_previous, Some(frame))?;
        self.last = Some(frame);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        let mut sorted = self.repeats;
        sorted.sort_unstable();
        self.emit(sorted[1], sorted[1], None)
    }

    fn emit(&mut self, count: i64, of_previous: i64, frame: Option<usize>) -> Result<(), Error> {
        if count > (MAX_PICKS - self.pictures.len()) as i64 {
            return Err(Error::TooMany { limit: MAX_PICKS });
        }
        self.repeats = [of_previous, self.repeats[0], self.repeats[1]];
        for i in 0..count {
            let shown = if i < of_previous { self.last.or(frame) } else { frame };
            let Some(shown) = shown else { break };
            self.pictures.push((self.next, shown));
            self.next += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "select/tests.rs"]
mod tests;
