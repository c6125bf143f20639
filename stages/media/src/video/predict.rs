//! From packets to the frames that will come out, without decoding one.
//!
//! Predicting is possible for an ordinary file: every packet becomes one frame, shown at the packet's time. It is refused
//! ([`predict`] gives `None`) where that may not hold: damage, missing or repeated times, jumps and gaps, a stream that does not begin
//! with a key frame. Then the stream is decoded once to see.

use contract::{FrameTime, TimeBase, Timeline};
use ffmpeg_next::ffi::AVCodecID;

use super::clock::{Clock, MICRO, rescale};
use super::container::Facts;
use super::role::Role;

/// What the container says of one packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) pts: Option<i64>,
    pub(crate) dts: Option<i64>,
    pub(crate) duration: i64,
    pub(crate) size: usize,
    pub(crate) key: bool,
    /// Decoded but not shown: cut away by an edit list.
    pub(crate) discard: bool,
    pub(crate) corrupt: bool,
    /// What it is to the other packets.
    pub(crate) role: Role,
}

/// The frames that will come out of the decoder.
#[derive(Debug, Clone)]
pub(crate) struct Prediction {
    /// In presentation order.
    pub(crate) timeline: Timeline,
    /// The packets' own times in presentation order: how a frame is recognised when it comes out.
    pub(crate) times: Vec<i64>,
}

/// No time is further from the first than this, in seconds.
const LONGEST: i64 = 24 * 3600;
/// No step between packets of an MPEG stream is longer than this, in microseconds.
const LONGEST_STEP: i64 = 1_000_000;

/// The frames that will come out, if the packets are plain enough to say.
pub(crate) fn predict(facts: &Facts, entries: &[Entry]) -> Option<Prediction> {
    let first = entries.first()?;
    let start = first.pts?;
    let micros = |ticks: i64| rescale(ticks, facts.time_base, MICRO);
    if facts.time_base.num <= 0 || facts.time_base.den <= 0 || !first.key {
        return None;
    }
    let mut shown = Vec::with_capacity(entries.len());
    for entry in entries {
        let pts = entry.pts?;
        let plain = entry.size > 0
            && !entry.corrupt
            && !entry.role.strange
            && micros(pts.checked_sub(start)?).abs() <= LONGEST * 1_000_000;
        if !plain {
            return None;
        }
        if !entry.discard {
            shown.push((pts, entry.duration));
        }
    }
    if facts.discontinuous && !steady(facts, entries) {
        return None;
    }
    // Pictures before the first key frame in time were cut off from what they refer to.
    if !first.discard && shown.iter().any(|&(pts, _)| pts < start) {
        return None;
    }
    shown.sort_unstable_by_key(|&(pts, _)| pts);
    if shown.windows(2).any(|w| w[0].0 == w[1].0) {
        return None;
    }
    if reorders(facts.codec) && !facts.format.split(',').any(|name| name == "mp4") && lacks_some(facts, &shown) {
        return None;
    }
    // The clock tells the shift; on plain packets it is the same for all.
    let mut clock = Clock::new(facts);
    let shift = clock.correct(Some(start), first.dts).0? - start;
    let frames = shown.iter().map(|&(pts, duration)| FrameTime { pts: pts + shift, duration: length(facts, duration) });
    Some(Prediction {
        timeline: Timeline {
            time_base: TimeBase { num: facts.time_base.num, den: facts.time_base.den },
            frames: frames.collect(),
            multiple_streams: facts.streams > 1,
            restarts: Vec::new(),
        },
        times: shown.iter().map(|&(pts, _)| pts).collect(),
    })
}

/// Whether pictures may be stored in another order than they are shown in. VP8, VP9 and AV1 show each as it comes.
fn reorders(codec: AVCodecID) -> bool {
    !matches!(codec, AVCodecID::AV_CODEC_ID_VP8 | AVCodecID::AV_CODEC_ID_VP9 | AVCodecID::AV_CODEC_ID_AV1)
}

/// Whether a picture is followed by none for longer than it is shown. Some may be lost, and then decoders show what is left in an order of their
/// own: by the kind of a picture, or by numbers in it, never by its time. An MP4 has a table of all its pictures, where a gap is meant.
fn lacks_some(facts: &Facts, shown: &[(i64, i64)]) -> bool {
    // Containers with milliseconds round each time.
    let slack = rescale(2_000, MICRO, facts.time_base);
    shown.windows(2).any(|w| {
        let (length, step) = (w[0].1, w[1].0.saturating_sub(w[0].0));
        length > 0 && step > length.saturating_add(length / 2).saturating_add(slack)
    })
}

/// A packet's duration in ticks, or else one frame at the stream's rate, as the command reckons.
fn length(facts: &Facts, duration: i64) -> i64 {
    let rate = facts.frame_rate;
    if duration > 0 {
        duration
    } else if rate.num > 0 && rate.den > 0 {
        rescale(1_000_000 * i64::from(rate.den) / i64::from(rate.num), MICRO, facts.time_base)
    } else {
        0
    }
}

/// Whether the times of an MPEG stream run on without a jump that the command would straighten, and without a wrap.
fn steady(facts: &Facts, entries: &[Entry]) -> bool {
    let micros = |ticks: i64| rescale(ticks, facts.time_base, MICRO);
    let near_start =
        |t: i64| facts.start_time.is_some_and(|start| micros(t).saturating_sub(start).abs() <= LONGEST * 1_000_000);
    entries.iter().all(|e| e.dts.is_some_and(near_start))
        && entries.windows(2).all(|w| {
            let (Some(a), Some(b)) = (w[0].dts, w[1].dts) else { return false };
            (0..=LONGEST_STEP).contains(&micros(b.saturating_sub(a)))
        })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::super::clock::tests::facts;
    use super::*;

    fn entry(pts: i64, dts: i64) -> Entry {
        let role = Role::default();
        Entry {
            pts: Some(pts),
            dts: Some(dts),
            duration: 3600,
            size: 9,
            key: false,
            discard: false,
            corrupt: false,
            role,
        }
    }

    fn plain() -> Vec<Entry> {
        // I P B B in decoding order.
        let mut entries: Vec<_> =
            [(2, 0), (5, 1), (3, 2), (4, 3)].map(|(p, d)| entry(130_500 + p * 3600, 130_500 + d * 3600)).to_vec();
        entries[0].key = true;
        entries
    }

    #[test]
    fn frames_come_in_order_of_their_times() {
        let p = predict(&facts(false), &plain()).unwrap();
        // The file starts at 1.4 s = 126,000 ticks.
        assert_eq!(p.timeline.frames.iter().map(|f| f.pts).collect::<Vec<_>>(), [11_700, 15_300, 18_900, 22_500]);
        assert_eq!(p.times[0], 137_700);
        assert!(!p.timeline.multiple_streams);
    }

    #[test]
    fn what_an_edit_list_discards_is_not_shown() {
        let mut entries = plain();
        entries[0].discard = true;
        assert_eq!(predict(&facts(false), &entries).unwrap().times.len(), 3);
    }

    #[test]
    fn an_unknown_duration_is_one_frame() {
        let mut entries = plain();
        entries[1].duration = 0;
        assert_eq!(predict(&facts(false), &entries).unwrap().timeline.frames[3].duration, 3600);
    }

    #[test]
    fn anything_odd_is_left_to_the_decoder() {
        let refused = |discontinuous, change: fn(&mut Vec<Entry>)| {
            let mut entries = plain();
            change(&mut entries);
            predict(&facts(discontinuous), &entries).is_none()
        };
        assert!(!refused(true, |_| ()));
        assert!(refused(false, Vec::clear));
        assert!(refused(false, |e| e[0].key = false));
        assert!(refused(false, |e| e[2].corrupt = true));
        assert!(refused(false, |e| e[2].size = 0));
        assert!(refused(false, |e| e[2].pts = None));
        assert!(refused(false, |e| e[2].pts = e[1].pts));
        assert!(refused(false, |e| e[2].pts = Some(0)));
        assert!(refused(false, |e| e[2].pts = Some(i64::MAX)));
        assert!(refused(false, |e| e[2].role.strange = true));
        // A picture is missing between the last two.
        assert!(refused(false, |e| e[1].pts = Some(130_500 + 6 * 3600)));
        assert!(!refused(false, |e| e[2].dts = None));
        assert!(refused(true, |e| e[2].dts = None));
        assert!(refused(true, |e| e[3].dts = Some(130_500 + 900_000)));
        assert!(refused(true, |e| e[3].dts = Some(0)));
    }
}
