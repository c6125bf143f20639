//! Side by side with the ffmpeg command: number, choice and every RGB byte.
#![expect(clippy::unwrap_used, reason = "tests")]

mod against;
mod leaving_out;
mod shared_media;
mod synthetic;

use std::ops::ControlFlow;

use super::*;
use against::{Clips, Threads, compare, ours};

#[test]
fn what_is_no_video_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path| Video::open(path).err().unwrap();
    assert_eq!(open(&dir.path().join("none.mp4")), MediaError::Missing);
    assert!(matches!(open(dir.path()), MediaError::Unreadable { .. }));
    let empty = dir.path().join("empty.mp4");
    std::fs::write(&empty, b"").unwrap();
    assert!(matches!(open(&empty), MediaError::NotMedia { .. }));
    let text = dir.path().join("text.mp4");
    std::fs::write(&text, b"this is no video\n".repeat(100)).unwrap();
    assert!(matches!(open(&text), MediaError::NotMedia { .. }));
}

#[test]
fn sound_alone_has_no_pictures() {
    let clips = Clips::new();
    let path = clips.make("sound.m4a", "-f lavfi -i sine=d=1 -c:a aac");
    assert_eq!(Video::open(&path).err(), Some(MediaError::NoVideoStream));
}

#[cfg(unix)]
#[test]
fn names_may_be_any_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let clips = Clips::new();
    let plain = clips.make("plain.mp4", "-f lavfi -i testsrc2=s=64x48:d=1:r=10 -c:v libx264");
    for name in [&b"-i a:b 'c\".mp4"[..], b"\xff\xfe.mp4", b"http:x%02d.mp4"] {
        let odd = plain.with_file_name(std::ffi::OsStr::from_bytes(name));
        std::fs::copy(&plain, &odd).unwrap();
        assert_eq!(ours(&odd, "1").unwrap(), ours(&plain, "1").unwrap());
    }
}

#[test]
fn a_playlist_in_disguise_opens_nothing_else() {
    let clips = Clips::new();
    let secret = clips.make("secret.ts", "-f lavfi -i testsrc2=s=64x48:d=2:r=10 -c:v libx264");
    let list = secret.with_file_name("list.mp4");
    let text = format!("ffconcat version 1.0\nfile {}\n", secret.display());
    std::fs::write(&list, text).unwrap();
    assert!(Video::open(&list).is_err());
    let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n", secret.display());
    std::fs::write(&list, text).unwrap();
    assert!(Video::open(&list).is_err());
}

#[test]
fn only_what_is_asked_for_is_given_and_breaking_off_works() {
    let clips = Clips::new();
    let path = clips.make("a.mp4", "-f lavfi -i testsrc2=s=64x48:d=3:r=25 -c:v libx264 -g 20");
    let mut video = Video::open(&path).unwrap();
    assert_eq!(video.timeline().frames.len(), 75);
    assert_eq!(video.info().codec, "h264");
    assert_eq!((video.info().width, video.info().height, video.info().streams), (64, 48, 1));
    assert_eq!(video.info().frame_rate, Some(25.0));

    let mut all = Vec::new();
    let outcome = video.decode(&(0..75).collect::<Vec<_>>(), &mut |_, p| {
        all.push(p.clone());
        ControlFlow::Continue(())
    });
    assert_eq!(outcome, Ok(Outcome::Done));
    for wanted in [vec![0], vec![74], vec![3, 3, 40], vec![19, 20, 21, 60], vec![]] {
        let mut given = Vec::new();
        let outcome = video.decode(&wanted, &mut |i, p| {
            assert!(*p == all[i], "frame {i}");
            given.push(i);
            ControlFlow::Continue(())
        });
        assert_eq!(outcome, Ok(Outcome::Done));
        let mut once = wanted.clone();
        once.dedup();
        assert_eq!(given, once);
    }
    let mut count = 0;
    let outcome = video.decode(&[1, 2, 3], &mut |_, _| {
        count += 1;
        ControlFlow::Break(())
    });
    assert_eq!((outcome, count), (Ok(Outcome::Stopped), 1));
    assert!(video.decode(&[2, 1], &mut |_, _| ControlFlow::Continue(())).is_err());
    assert!(video.decode(&[75], &mut |_, _| ControlFlow::Continue(())).is_err());
}

#[test]
fn a_prediction_that_does_not_hold_is_revised_once() {
    let clips = Clips::new();
    let path = clips.make("a.mp4", "-f lavfi -i testsrc2=s=64x48:d=3:r=25 -c:v libx264 -g 20");
    let mut video = Video::open(&path).unwrap();
    let Source::Predicted(prediction) = &mut video.source else { panic!("an ordinary file") };
    // As if a packet had promised a frame that the decoder does not give.
    prediction.times[37] += 1;
    let mut given = Vec::new();
    let outcome = video.decode(&[12, 37, 62], &mut |i, _| {
        given.push(i);
        ControlFlow::Continue(())
    });
    assert_eq!((outcome, given), (Ok(Outcome::Revised), vec![12]));
    assert!(matches!(video.source, Source::Decoded { .. }));
    assert_eq!(ours(&path, "1").unwrap().len(), 3);
    compare(&path, "1", Threads::Auto).unwrap();
}

#[test]
fn a_file_too_long_to_keep_is_read_again() {
    let clips = Clips::new();
    let path = clips.make("a.mkv", "-f lavfi -i testsrc2=s=64x48:d=3:r=25 -c:v libx264 -g 20");
    let pictures = |forget: bool| {
        let mut video = Video::open(&path).unwrap();
        if forget {
            video.packets.kept = None;
        }
        let mut given = Vec::new();
        let outcome = video.decode(&[12, 37, 62], &mut |i, p| {
            given.push((i, p.clone()));
            ControlFlow::Continue(())
        });
        assert_eq!((outcome, given.len()), (Ok(Outcome::Done), 3));
        given
    };
    assert!(pictures(true) == pictures(false));
}

#[test]
fn hostile_bytes_give_pictures_or_an_error() {
    fn moves_between_threads<T: Send>() {}
    moves_between_threads::<Video>();
    let clips = Clips::new();
    let names = ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.webm"];
    clips.make_all("-f lavfi -i testsrc2=s=64x48:d=2:r=10", &names.map(|name| (name, "-g 5")));
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let (mut good, mut bad) = (0, 0);
    for name in names {
        let bytes = std::fs::read(clips.path(name)).unwrap();
        let damaged = clips.path(&format!("damaged-{name}"));
        for _ in 0..40 {
            let mut bytes = bytes.clone();
            for _ in 0..=random(30) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            if random(4) == 0 {
                bytes.truncate(random(bytes.len()));
            }
            std::fs::write(&damaged, bytes).unwrap();
            let spec = extract_frames::FrameSpec::at(1, 1);
            let pictures = Video::open(&damaged).and_then(|mut video| {
                let picks = extract_frames::select(video.timeline(), &spec).unwrap_or_default();
                let wanted: Vec<usize> = picks.iter().map(|p| p.frame).collect();
                video.decode(&wanted, &mut |_, _| ControlFlow::Continue(()))
            });
            if pictures.is_ok() { good += 1 } else { bad += 1 }
        }
    }
    // Both must occur, or the damage is of no use.
    assert!(good > 20 && bad > 20, "{good} and {bad}");
}

#[test]
fn sizes_beyond_the_limit_are_refused() {
    let limit = |what, value, limit| Err(MediaError::TooLarge { what, value, limit });
    assert_eq!(container::check_size(16_384, 16_384), Ok(()));
    assert_eq!(container::check_size(16_385, 1), limit("picture width in pixels", 16_385, 16_384));
    assert_eq!(container::check_size(1, 1 << 40), limit("picture height in pixels", 1 << 40, 16_384));
    let clips = Clips::new();
    let wide = clips.make("wide.mkv", "-f lavfi -i color=s=16400x2:d=1:r=1 -c:v ffv1");
    assert_eq!(Video::open(&wide).err(), Some(limit("picture width in pixels", 16_400, 16_384).unwrap_err()));
}

/// `(versions of the libraries, digest of the pictures)`: bytes that change while the versions stand still fail. Exact bytes, no rounding.
#[test]
fn version_tripwire() {
    let clips = Clips::new();
    // A codec without loss, so that the digest says nothing about an encoder.
    let path = clips.make("a.mkv", "-f lavfi -i testsrc2=s=66x50:d=2:r=10,format=yuv420p -c:v ffv1");
    let digest = ours(&path, "1").unwrap().into_iter().fold(0_u64, |a, s| a.rotate_left(5) ^ s.hash);
    let swscale = ffmpeg_next::software::scaling::version() >> 8;
    if swscale != 6 << 8 | 7 {
        eprintln!("skipped: version_tripwire is pinned for swscale 6.7, this is {}.{}", swscale >> 8, swscale & 0xff);
        return;
    }
    assert_eq!(format!("{digest:016x}"), "00037e9fd8f917bc");
}
