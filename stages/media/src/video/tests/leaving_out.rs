//! What is not decoded: groups of pictures of every kind, and that something is left out of them.

use super::against::{Clips, Threads, compare};
use crate::Video;
use crate::video::plan::{Action, plan};

const X264: &str = "-c:v libx264 -preset veryfast -pix_fmt yuv420p";
const X265: &str = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p";

/// Compares each clip at several rates: with one every two seconds whole groups of pictures hold nothing that is wanted.
fn check(clips: &Clips, names: &[&str]) {
    let mut failed = Vec::new();
    for name in names {
        for fps in ["1", "1/2", "5"] {
            failed
                .extend(compare(&clips.path(name), fps, Threads::Auto).err().map(|e| format!("{name} at {fps}: {e}")));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The share of packets that are not even handed to the decoder for one picture every two seconds.
fn left_out(clips: &Clips, name: &str) -> f64 {
    let video = Video::open(&clips.path(name)).unwrap();
    let spec = extract_frames::FrameSpec::at(1, 2);
    let picks = extract_frames::select(video.timeline(), &spec).unwrap();
    let super::Source::Predicted(prediction) = &video.source else { panic!("{name} is not predicted") };
    let times: Vec<i64> = picks.iter().map(|pick| prediction.times[pick.frame]).collect();
    let actions = plan(&video.entries, |entry| times.contains(&entry.pts.unwrap()));
    actions.iter().filter(|a| **a == Action::Drop).count() as f64 / actions.len() as f64
}

#[test]
fn groups_of_h264_pictures() {
    let clips = Clips::new();
    let outputs = [
        ("closed.mp4", "-bf 3 -x264-params keyint=15:min-keyint=15:scenecut=0"),
        ("long.mp4", "-bf 3 -x264-params keyint=40:b-pyramid=strict:ref=4"),
        ("short.ts", "-bf 2 -x264-params keyint=7:min-keyint=7:b-pyramid=normal"),
        ("open.mp4", "-bf 3 -x264-params open-gop=1:keyint=12:min-keyint=12:b-pyramid=normal"),
        ("open.ts", "-bf 3 -x264-params open-gop=1:keyint=12:min-keyint=12:b-pyramid=strict"),
        ("refresh.mp4", "-bf 2 -x264-params intra-refresh=1:keyint=20"),
        ("refresh.ts", "-bf 0 -x264-params intra-refresh=1:keyint=20"),
        ("slices.mkv", "-bf 3 -x264-params keyint=15:slices=4"),
        ("fields.mp4", "-flags +ildct+ilme -x264-params tff=1:keyint=15"),
        ("intra.mp4", "-g 1"),
        ("stitched.mkv", "-bf 3 -x264-params keyint=15:repeat-headers=1:aud=1"),
    ];
    let options = outputs.map(|(_, options)| format!("{X264} {options}"));
    let made: Vec<_> = outputs.iter().zip(&options).map(|((name, _), options)| (*name, options.as_str())).collect();
    clips.make_all("-f lavfi -i testsrc2=s=96x80:r=25:d=6.3,noise=alls=20:allf=t", &made);
    check(&clips, &outputs.map(|(name, _)| name));
    for name in ["closed.mp4", "short.ts", "slices.mkv", "stitched.mkv", "intra.mp4"] {
        let share = left_out(&clips, name);
        assert!(share > 0.5, "{name}: {share}");
    }
    // Their key frames are no places where decoding could begin anew.
    for name in ["open.mp4", "refresh.mp4"] {
        let share = left_out(&clips, name);
        assert!(share < 0.4, "{name}: {share}");
    }
}

#[test]
fn groups_of_hevc_pictures() {
    let clips = Clips::new();
    let outputs = [
        ("closed.mp4", "keyint=15:min-keyint=15:open-gop=0:bframes=3"),
        ("open.mp4", "keyint=15:min-keyint=15:open-gop=1:bframes=4:b-pyramid=1"),
        ("open.ts", "keyint=12:min-keyint=12:open-gop=1:bframes=3:b-pyramid=1"),
        ("plain.mkv", "keyint=60:bframes=8:rc-lookahead=20:b-pyramid=1:ref=4"),
        ("flat.mkv", "keyint=25:bframes=4:b-pyramid=0:repeat-headers=1"),
        ("layers.mp4", "keyint=25:bframes=4:b-pyramid=1:temporal-layers=3"),
        ("layers.ts", "keyint=25:bframes=7:rc-lookahead=20:b-pyramid=1:temporal-layers=1:open-gop=1"),
        ("radl.mp4", "keyint=20:min-keyint=20:open-gop=0:bframes=4:radl=2"),
        ("low.mp4", "keyint=25:bframes=0"),
    ];
    let options = outputs.map(|(_, options)| format!("{X265} -x265-params log-level=none:{options}"));
    let made: Vec<_> = outputs.iter().zip(&options).map(|((name, _), options)| (*name, options.as_str())).collect();
    clips.make_all("-f lavfi -i testsrc2=s=96x80:r=25:d=6.3,noise=alls=20:allf=t", &made);
    check(&clips, &outputs.map(|(name, _)| name));
    for name in ["closed.mp4", "open.mp4", "open.ts", "flat.mkv"] {
        let share = left_out(&clips, name);
        assert!(share > 0.5, "{name}: {share}");
    }
}

/// A change of size in a group of pictures of which nothing is wanted is seen all the same.
#[test]
fn a_change_of_size_where_nothing_is_wanted() {
    let clips = Clips::new();
    for (kind, codec) in
        [("ts", format!("{X264} -g 5")), ("h264", format!("{X264} -g 5")), ("hevc", format!("{X265} -g 5"))]
    {
        let sizes = ["64x48", "96x80", "64x48"];
        let mut bytes = Vec::new();
        for (i, (size, length)) in sizes.iter().zip(["1.9", "0.4", "1.9"]).enumerate() {
            let name = format!("part-{i}.{kind}");
            clips.make(&name, &format!("-f lavfi -i testsrc2=s={size}:r=25:d={length} {codec}"));
            bytes.extend(std::fs::read(clips.path(&name)).unwrap());
        }
        let name = format!("sizes.{kind}");
        std::fs::write(clips.path(&name), bytes).unwrap();
        check(&clips, &[&name]);
    }
}
