#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;

use contract::{FrameTime, TimeBase, Timeline};
use proptest::prelude::*;

use super::*;
use crate::{DECL, Params};

const ONE: FrameSpec = FrameSpec::at(1, 1);

fn timeline(num: i32, den: i32, frames: &[(i64, i64)]) -> Timeline {
    Timeline {
        time_base: TimeBase { num, den },
        frames: frames.iter().map(|&(pts, duration)| FrameTime { pts, duration }).collect(),
        multiple_streams: false,
        restarts: Vec::new(),
    }
}

/// `n` frames at `num/den` frames per second.
fn constant(num: i32, den: i32, n: i64) -> Timeline {
    timeline(den, num, &(0..n).map(|i| (i, 1)).collect::<Vec<_>>())
}

fn shown(timeline: &Timeline) -> Vec<usize> {
    select(timeline, &ONE).unwrap().into_iter().map(|p| p.frame).collect()
}

#[test]
fn constant_rates_of_the_facts() {
    assert_eq!(shown(&constant(25, 1, 250)), [12, 37, 62, 87, 112, 137, 162, 187, 212, 237]);
    let thirty = [14, 44, 74, 104, 134, 164, 194, 224, 254, 284];
    assert_eq!(shown(&constant(30, 1, 300)), thirty);
    assert_eq!(shown(&constant(30000, 1001, 300)), thirty);
    assert_eq!(shown(&constant(24, 1, 72)), [11, 35, 59]);
    assert_eq!(shown(&constant(24000, 1001, 72)), [11, 35, 59]);
    assert_eq!(shown(&constant(60, 1, 120)), [29, 89]);
    assert_eq!(shown(&constant(1, 2, 3)), [0, 0, 1, 1, 2, 2]);
}

#[test]
fn the_fifth_picture_is_the_last_frame_before_four_and_a_half_seconds() {
    assert_eq!(shown(&constant(30, 1, 300))[4], 134);
    assert_eq!(shown(&constant(30000, 1001, 300))[4], 134);
    assert_eq!(shown(&constant(25, 1, 250))[4], 112);
}

#[test]
fn the_count_is_the_rounded_duration() {
    assert_eq!(shown(&constant(25, 1, 237)).len(), 9);
    assert_eq!(shown(&constant(25, 1, 238)).len(), 10);
    assert_eq!(shown(&constant(25, 1, 262)).len(), 10);
    assert_eq!(shown(&constant(25, 1, 12)).len(), 0);
    assert_eq!(shown(&constant(25, 1, 13)).len(), 1);
    assert_eq!(shown(&timeline(1, 25, &[])).len(), 0);
}

#[test]
fn a_frame_on_the_half_second_belongs_to_the_next_picture() {
    assert_eq!(shown(&constant(10, 1, 20)), [4, 14]);
}

#[test]
fn late_pictures_are_back_filled_only_beside_other_streams() {
    // First frame at 1.7 s: due at 2.
    let frames: Vec<_> = (17..40).map(|i| (i, 1)).collect();
    let alone = timeline(1, 10, &frames);
    let beside = Timeline { multiple_streams: true, ..alone.clone() };
    let alone = select(&alone, &ONE).unwrap();
    let beside = select(&beside, &ONE).unwrap();
    assert_eq!(alone.iter().map(|p| (p.number, p.time as i64, p.frame)).collect::<Vec<_>>(), [(1, 2, 7), (2, 3, 17)]);
    assert_eq!(
        beside.iter().map(|p| (p.number, p.time as i64, p.frame)).collect::<Vec<_>>(),
        [(1, 0, 7), (2, 1, 7), (3, 2, 7), (4, 3, 17)]
    );
}

#[test]
fn a_gap_repeats_the_frame_before_it() {
    let t = timeline(1, 1000, &[(0, 40), (40, 40), (3100, 40), (3900, 40)]);
    assert_eq!(shown(&t), [1, 1, 1, 2]);
}

#[test]
fn a_change_of_size_loses_the_frame_that_the_filter_holds() {
    let mut t = constant(10, 1, 30);
    assert_eq!(shown(&t), [4, 14, 24]);
    // Frames 0 to 9 go; the new filter starts at tick 1 (frame 10 at 1.0 s) while 0 has been shown.
    t.restarts = vec![10];
    assert_eq!(shown(&t), [4, 14, 24]);
    // Everything before 0.4 s is lost, the new filter starts at 0.
    t.restarts = vec![4];
    assert_eq!(shown(&t), [4, 14, 24]);
    // Frame 14 would have been next; the new filter starts at tick 2, so the hole is filled with the new frame.
    t.restarts = vec![15];
    assert_eq!(shown(&t), [4, 24, 24]);
    // A change with every frame never lets the filter see two, and the last one ends on the tick that it begins on.
    t.restarts = (1..30).collect();
    assert_eq!(shown(&t), [0_usize; 0]);
}

#[test]
fn other_rates() {
    let t = constant(30, 1, 90);
    let at = |num, den| select(&t, &FrameSpec::at(num, den)).unwrap();
    assert_eq!(at(30, 1).iter().map(|p| p.frame).collect::<Vec<_>>(), (0..90).collect::<Vec<_>>());
    assert_eq!(at(1, 2).iter().map(|p| (p.frame, p.time)).collect::<Vec<_>>(), [(29, 0.0), (89, 2.0)]);
    assert_eq!(at(2, 1).len(), 6);
    assert!((at(2, 1)[1].time - 0.5).abs() < 1e-12);
}

#[test]
fn damaged_times_do_not_fill_the_memory() {
    let t = timeline(1, 1, &[(0, 1), (1 << 40, 1)]);
    assert_eq!(select(&t, &ONE), Err(Error::TooMany { limit: MAX_PICKS }));
    let t = timeline(i32::MAX, 1, &[(0, 1), (i64::MAX, 1)]);
    assert_eq!(select(&t, &ONE), Err(Error::TooMany { limit: MAX_PICKS }));
}

#[test]
fn version_tripwire() {
    // Exact integers: the version and everything that `select` says about four timelines.
    let mut text = format!("{}", DECL.version);
    for t in [constant(25, 1, 250), constant(30000, 1001, 299), constant(1, 2, 5), constant(24, 1, 13)] {
        text += "|";
        for pick in select(&t, &Params::default().resolve().unwrap().frames).unwrap() {
            write!(text, "{}@{},", pick.frame, pick.time).unwrap();
        }
    }
    assert_eq!(
        text,
        "2|12@0,37@1,62@2,87@3,112@4,137@5,162@6,187@7,212@8,237@9,|14@0,44@1,74@2,104@3,134@4,164@5,194@6,224@7,254@8,284@9,|\
         0@0,0@1,1@2,1@3,2@4,2@5,3@6,3@7,4@8,4@9,|11@0,"
    );
}

/// Straight from the definition: output tick `k` shows the last frame whose rounded time is at most `k`, for every `k` from
/// the first frame's rounded time up to the end.
fn by_definition(timeline: &Timeline, spec: FrameSpec) -> Vec<(i64, usize)> {
    let exact = |pts: i64| {
        // Half a tick is exact in thirds of nothing: compare 2 * pts * tb * fps with odd integers instead of rounding a float.
        let num = 2 * i128::from(pts) * i128::from(timeline.time_base.num) * i128::from(spec.fps_num);
        let den = i128::from(timeline.time_base.den) * i128::from(spec.fps_den);
        let mut k = (num / den) / 2 - 2;
        while (2 * k + 1) * den <= num {
            k += 1;
        }
        k as i64
    };
    let Some(last) = timeline.frames.last() else { return Vec::new() };
    let rounded: Vec<i64> = timeline.frames.iter().map(|f| exact(f.pts)).collect();
    let end = exact(last.pts + last.duration).max(rounded[rounded.len() - 1]);
    (rounded[0]..end).map(|k| (k, rounded.iter().rposition(|&q| q <= k).unwrap())).collect()
}

prop_compose! {
    /// Times from 0 upwards on a millisecond grid, where the way over microseconds is exact.
    fn any_timeline()(steps in prop::collection::vec(0_i64..2500, 0..40), last in 0_i64..3000) -> Timeline {
        let mut now = 0;
        let mut frames: Vec<(i64, i64)> = steps.iter().enumerate().map(|(i, &s)| {
            now += if i == 0 { 0 } else { s };
            (now, s)
        }).collect();
        if let Some(f) = frames.last_mut() {
            f.1 = last;
        }
        timeline(1, 1000, &frames)
    }
}

proptest! {
    #[test]
    fn agrees_with_the_definition(t in any_timeline(), fps_num in 1_u32..40, fps_den in 1_u32..5) {
        let spec = FrameSpec::at(fps_num, fps_den);
        let fast: Vec<usize> = select(&t, &spec).unwrap().into_iter().map(|p| p.frame).collect();
        let slow: Vec<usize> = by_definition(&t, spec).into_iter().map(|(_, i)| i).collect();
        prop_assert_eq!(fast, slow);
    }

    #[test]
    fn numbers_count_up_and_frames_never_fall(t in any_timeline(), several in any::<bool>()) {
        let t = Timeline { multiple_streams: several, ..t };
        let picks = select(&t, &ONE).unwrap();
        for (i, p) in picks.iter().enumerate() {
            prop_assert_eq!(p.number as usize, i + 1);
            prop_assert!(p.frame < t.frames.len());
        }
        prop_assert!(picks.is_sorted_by_key(|p| p.frame));
        prop_assert!(picks.windows(2).all(|w| (w[1].time - w[0].time - 1.0).abs() < 1e-9));
    }

    #[test]
    fn frames_that_are_not_shown_may_vanish(t in any_timeline(), keep in prop::collection::vec(any::<bool>(), 40)) {
        // What lets a decoder skip frames: leaving out any frame but the first, the last and the shown ones changes nothing.
        let before = select(&t, &ONE).unwrap();
        let last = t.frames.len().saturating_sub(1);
        let kept: Vec<usize> = (0..t.frames.len())
            .filter(|&i| i == 0 || i == last || keep[i] || before.iter().any(|p| p.frame == i))
            .collect();
        let thinned = Timeline { frames: kept.iter().map(|&i| t.frames[i]).collect(), ..t.clone() };
        let after: Vec<usize> = select(&thinned, &ONE).unwrap().into_iter().map(|p| kept[p.frame]).collect();
        prop_assert_eq!(after, before.into_iter().map(|p| p.frame).collect::<Vec<_>>());
    }
}
