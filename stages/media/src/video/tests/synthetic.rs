//! Clips made on the spot, one for each trap.

use super::against::{Clips, Threads, compare};

/// Compares each clip, and fails with all that differ.
fn check(clips: &Clips, names: &[&str], fps: &str) {
    check_with(clips, names, fps, Threads::Auto);
}

fn check_with(clips: &Clips, names: &[&str], fps: &str, threads: Threads) {
    let one = |name| compare(&clips.path(name), fps, threads).err().map(|e| format!("{name}: {e}"));
    let failed: Vec<_> = names.iter().filter_map(|name| one(name)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// A moving picture: `make(clips, name, source, options)`.
fn source(clips: &Clips, name: &str, source: &str, options: &str) {
    clips.make(name, &format!("-f lavfi -i testsrc2={source} {options}"));
}

const X264: &str = "-c:v libx264 -preset veryfast -bf 3 -g 24 -pix_fmt yuv420p";

#[test]
fn frame_rates_and_lengths_around_half_a_second() {
    let clips = Clips::new();
    for (rate, lengths) in [
        ("24", ["1.45", "1.5", "1.55"]),
        ("24000/1001", ["0.45", "0.52", "1.51"]),
        ("25", ["1.48", "1.49", "1.52"]),
        ("30000/1001", ["1.46", "1.5", "1.54"]),
        ("30", ["0.49", "0.5", "0.54"]),
        ("60", ["1.48", "1.5", "1.52"]),
        ("10", ["1.4", "1.5", "1.6"]),
        ("1", ["1", "2", "3"]),
        ("1/2", ["2", "4", "5"]),
    ] {
        let names = lengths.map(|length| format!("{}-{length}.mp4", rate.replace('/', "_")));
        let options = lengths.map(|length| format!("-t {length} {X264}"));
        let outputs: Vec<_> = names.iter().map(String::as_str).zip(options.iter().map(String::as_str)).collect();
        clips.make_all(&format!("-f lavfi -i testsrc2=s=64x48:r={rate}:d=5"), &outputs);
        check(&clips, &names.each_ref().map(String::as_str), "1");
    }
}

#[test]
fn other_output_rates() {
    let clips = Clips::new();
    source(&clips, "a.mp4", "s=64x48:r=25:d=3.3", X264);
    for fps in ["2", "1/2", "30000/1001", "0.3", "60"] {
        check(&clips, &["a.mp4"], fps);
    }
}

#[test]
fn containers_and_codecs() {
    let clips = Clips::new();
    let outputs = [
        ("h264.mkv", X264),
        ("h264.ts", X264),
        ("h264.flv", X264),
        ("h264.h264", X264),
        ("h264.avi", "-c:v libx264 -bf 0"),
        ("open.mkv", "-c:v libx264 -bf 3 -x264-params open-gop=1:keyint=15:b-pyramid=2"),
        ("fields.ts", "-c:v libx264 -flags +ildct+ilme -x264-params tff=1"),
        ("hevc.mp4", "-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=3"),
        ("hevc.ts", "-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=3"),
        ("vp8.webm", "-c:v libvpx -b:v 200k -auto-alt-ref 1 -lag-in-frames 16 -deadline realtime -cpu-used 5"),
        ("vp9.webm", "-c:v libvpx-vp9 -b:v 200k -lag-in-frames 16 -deadline realtime -cpu-used 8"),
        ("mpeg4.avi", "-c:v mpeg4 -bf 2"),
        ("mpeg4.mp4", "-c:v mpeg4 -bf 2"),
        ("mpeg2.mpg", "-c:v mpeg2video -bf 2"),
        ("mpeg2.ts", "-c:v mpeg2video -bf 2"),
        ("mjpeg.avi", "-c:v mjpeg -pix_fmt yuvj420p"),
        ("mjpeg422.mov", "-c:v mjpeg -pix_fmt yuvj422p"),
        ("prores.mov", "-c:v prores_ks"),
        ("animated.gif", ""),
    ];
    clips.make_all("-f lavfi -i testsrc2=s=64x48:r=25:d=2.7", &outputs);
    check(&clips, &outputs.map(|(name, _)| name), "1");
}

#[test]
fn pixel_formats() {
    let clips = Clips::new();
    let formats = [
        ("64x48", "yuv422p"),
        ("64x48", "yuv444p"),
        ("64x48", "yuv420p10le"),
        ("64x48", "yuv444p12le"),
        ("64x48", "yuv411p"),
        ("64x48", "yuva420p"),
        ("64x48", "gray"),
        ("64x48", "gray10le"),
        ("64x48", "bgr0"),
        ("64x48", "gbrp10le"),
        ("63x47", "yuv420p"),
        ("64x47", "yuv420p"),
        ("63x48", "yuv422p"),
        ("1x1", "yuv444p"),
        ("130x2", "yuv420p"),
    ];
    let names = formats.map(|(size, format)| format!("{format}-{size}.mkv"));
    let options = formats.map(|(size, format)| format!("-s {size} -pix_fmt {format} -c:v ffv1"));
    let outputs: Vec<_> = names.iter().map(String::as_str).zip(options.iter().map(String::as_str)).collect();
    clips.make_all("-f lavfi -i testsrc2=s=64x48:r=5:d=1", &outputs);
    check(&clips, &names.each_ref().map(String::as_str), "1");
    clips.make(
        "pal8.mkv",
        "-f lavfi -i testsrc2=s=64x48:r=5:d=1,split[a][b];[a]palettegen[p];[b][p]paletteuse -c:v png",
    );
    check(&clips, &["pal8.mkv"], "1");
}

#[test]
fn matrices_and_ranges() {
    let clips = Clips::new();
    let tags = [
        "-colorspace bt709",
        "-colorspace smpte170m",
        "-colorspace bt2020nc",
        "-colorspace fcc",
        "-colorspace ycgco",
        "-color_range pc",
        "-color_range tv",
        "-colorspace bt709 -color_range pc",
    ];
    for (kind, codec) in [("mp4", X264), ("mkv", "-c:v ffv1 -pix_fmt yuv420p10le")] {
        let outputs: Vec<_> =
            tags.iter().enumerate().map(|(i, tag)| (format!("{i}.{kind}"), format!("{codec} {tag}"))).collect();
        let outputs: Vec<_> = outputs.iter().map(|(n, o)| (n.as_str(), o.as_str())).collect();
        clips.make_all("-f lavfi -i testsrc2=s=64x48:r=5:d=1", &outputs);
        check(&clips, &outputs.iter().map(|(n, _)| *n).collect::<Vec<_>>(), "1");
    }
    source(&clips, "yuvj.mp4", "s=64x48:r=5:d=1", "-c:v libx264 -pix_fmt yuvj420p");
    check(&clips, &["yuvj.mp4"], "1");
}

#[test]
fn irregular_times() {
    let clips = Clips::new();
    let gap = "s=64x48:r=10:d=7,select='not(between(n\\,12\\,47))'";
    source(&clips, "gap.mp4", gap, &format!("-fps_mode vfr {X264}"));
    source(&clips, "gap.mkv", gap, &format!("-fps_mode vfr {X264}"));
    source(&clips, "gap.ts", gap, &format!("-fps_mode vfr {X264}"));
    source(&clips, "jitter.mkv", "s=64x48:r=25:d=4,setpts=PTS+0.4/TB*random(1)", &format!("-fps_mode vfr {X264}"));
    for late in ["0.02", "0.49", "0.51", "1.7", "2.6"] {
        let names = ["mp4", "mkv", "ts"].map(|kind| format!("late-{late}.{kind}"));
        let options = format!("-c:a aac -shortest {X264}");
        clips.make_all(
            &format!("-itsoffset {late} -f lavfi -i testsrc2=s=64x48:r=10:d=3 -f lavfi -i sine=d=4"),
            &names.each_ref().map(|name| (name.as_str(), options.as_str())),
        );
        check(&clips, &names.each_ref().map(String::as_str), "1");
    }
    source(&clips, "starts-late.mp4", "s=64x48:r=10:d=3,setpts=PTS+1.7/TB", X264);
    source(&clips, "starts-late.mkv", "s=64x48:r=10:d=3,setpts=PTS+1.7/TB", X264);
    check(&clips, &["gap.mp4", "gap.mkv", "gap.ts", "jitter.mkv", "starts-late.mp4", "starts-late.mkv"], "1");
}

#[test]
fn cuts() {
    let clips = Clips::new();
    clips.make("whole.mp4", &format!("-f lavfi -i testsrc2=s=64x48:r=25:d=6 -f lavfi -i sine=d=6 -c:a aac {X264}"));
    for (from, to) in [("0.6", "4.1"), ("1.13", "5.2"), ("2.5", "3.3")] {
        let names = ["mp4", "mkv", "ts"].map(|kind| [format!("cut-{from}.{kind}"), format!("silent-{from}.{kind}")]);
        let outputs: Vec<_> =
            names.iter().flat_map(|[both, silent]| [(both.as_str(), "-c copy"), (silent, "-an -c copy")]).collect();
        clips.make_all(&format!("-ss {from} -to {to} -i whole.mp4"), &outputs);
        check(&clips, &outputs.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "1");
    }
}

/// Overwrites the display matrix in an MP4 file's only track header.
fn set_matrix(clips: &Clips, name: &str, matrix: [i32; 4]) {
    let mut bytes = std::fs::read(clips.path(name)).unwrap();
    let at = bytes.windows(4).position(|w| w == b"tkhd").unwrap() + 4 + 40;
    let [a, b, c, d] = matrix.map(|v| v << 16);
    let whole = [a, b, 0, c, d, 0, 0, 0, 1 << 30];
    for (i, value) in whole.into_iter().enumerate() {
        bytes[at + i * 4..at + i * 4 + 4].copy_from_slice(&value.to_be_bytes());
    }
    std::fs::write(clips.path(name), bytes).unwrap();
}

#[test]
fn turns_and_mirrors() {
    let clips = Clips::new();
    let eight = [
        [1, 0, 0, 1],
        [0, 1, -1, 0],
        [-1, 0, 0, -1],
        [0, -1, 1, 0],
        [1, 0, 0, -1],
        [-1, 0, 0, 1],
        [0, 1, 1, 0],
        [0, -1, -1, 0],
    ];
    let formats = [
        ("yuv420p", "-pix_fmt yuv420p -c:v libx264"),
        ("yuv420p10le", "-pix_fmt yuv420p10le -c:v libx264"),
        ("yuv422p", "-pix_fmt yuv422p -c:v libx264"),
        ("yuv422p10le", "-c:v prores_ks"),
        ("yuv444p", "-pix_fmt yuv444p -c:v libx264"),
        ("rgb24", "-pix_fmt rgb24 -c:v png"),
    ];
    let names = formats.map(|(format, _)| format!("{format}.mov"));
    let outputs: Vec<_> = names.iter().zip(formats).map(|(name, (_, options))| (name.as_str(), options)).collect();
    clips.make_all("-f lavfi -i testsrc2=s=64x48:r=5:d=1", &outputs);
    for (name, _) in outputs {
        // All eight for the common format; for the others those that move chroma in another way.
        for matrix in eight.into_iter().skip(1).step_by(if name == "yuv420p.mov" { 1 } else { 2 }) {
            set_matrix(&clips, name, matrix);
            check(&clips, &[name], "1");
        }
    }
    for matrix in [[0, 1, -1, 0], [-1, 0, 0, -1]] {
        source(&clips, "odd.mov", "s=63x47:r=5:d=1,format=yuv420p", "-c:v mpeg4");
        set_matrix(&clips, "odd.mov", matrix);
        check(&clips, &["odd.mov"], "1");
    }
    source(&clips, "tilted.mov", "s=64x48:r=5:d=1", "-c:v libx264");
    set_matrix(&clips, "tilted.mov", [1, 1, -1, 1]);
    let refused = super::ours(&clips.path("tilted.mov"), "1").unwrap_err();
    assert!(refused.to_string().contains("45 degrees"), "{refused}");
}

#[test]
fn a_change_of_size_and_a_jump_in_time() {
    let clips = Clips::new();
    for kind in ["ts", "mpg", "h264"] {
        let codec = if kind == "mpg" { "-c:v mpeg2video -bf 2" } else { X264 };
        source(&clips, &format!("small.{kind}"), "s=64x48:r=25:d=1.7", codec);
        source(&clips, &format!("large.{kind}"), "s=96x80:r=25:d=2.3", codec);
        source(&clips, &format!("again.{kind}"), "s=64x48:r=25:d=1.3,hue=h=90", codec);
        for (name, parts) in [("resized", ["small", "large"]), ("joined", ["small", "again"])] {
            let mut bytes = Vec::new();
            for part in parts {
                bytes.extend(std::fs::read(clips.path(&format!("{part}.{kind}"))).unwrap());
            }
            let name = format!("{name}.{kind}");
            std::fs::write(clips.path(&name), bytes).unwrap();
            check(&clips, &[&name], "1");
        }
    }
}

#[test]
fn damage() {
    let clips = Clips::new();
    source(&clips, "good.mp4", "s=160x128:r=25:d=4", &format!("{X264} -movflags +faststart"));
    source(&clips, "good.ts", "s=160x128:r=25:d=4", X264);
    source(&clips, "good.mkv", "s=160x128:r=25:d=4", X264);
    for kind in ["mp4", "ts", "mkv"] {
        let bytes = std::fs::read(clips.path(&format!("good.{kind}"))).unwrap();
        for (i, share) in [0.3, 0.62, 0.95].into_iter().enumerate() {
            let name = format!("short-{i}.{kind}");
            std::fs::write(clips.path(&name), &bytes[..(bytes.len() as f64 * share) as usize]).unwrap();
            check(&clips, &[&name], "1");
        }
        let mut zeroed = bytes.clone();
        let middle = bytes.len() / 2;
        zeroed[middle..middle + bytes.len() / 20].fill(0);
        let name = format!("zeroed.{kind}");
        std::fs::write(clips.path(&name), zeroed).unwrap();
        check_with(&clips, &[&name], "1", Threads::One);
    }
}
