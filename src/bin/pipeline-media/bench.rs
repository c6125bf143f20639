//! The worker's part of `pipeline bench`: each step of a clip by itself, one after the other on one thread.

use std::ffi::OsStr;
use std::hint::black_box;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use contract::{Failure, Picture};
use encode_clip::Preprocess;
use extract_frames::FrameSpec;
use log_mel::LogMel;
use pipeline::bench::measured::{Clip, Measured, Request};
use pipeline::worker::Settings;

use media::{MediaFile, Video, sound_of};

/// Reads the request, measures, writes what was measured.
pub(crate) fn bench(input: &mut impl Read, output: &mut impl Write) -> std::io::Result<()> {
    let request: Request = serde_json::from_reader(input)?;
    let settings = Settings::from_text(&request.settings).map_err(std::io::Error::other)?;
    let mut bench = Bench::new(&settings).map_err(std::io::Error::other)?;
    let start = Instant::now();
    for clip in &request.clips {
        if bench.sum.clips + bench.sum.failed.len() > 0 && start.elapsed().as_secs_f64() >= request.seconds {
            break;
        }
        // A clip that fails half-way must not leave half of its costs.
        let before = bench.sum.clone();
        match bench.clip(clip) {
            Ok(()) => bench.sum.clips += 1,
            Err(failure) => {
                bench.sum = before;
                bench.sum.failed.push(format!("{}: {}", clip.id, failure.message));
            }
        }
    }
    serde_json::to_writer(output, &bench.sum)?;
    Ok(())
}

struct Bench {
    frames: FrameSpec,
    preprocess: Option<Preprocess>,
    log_mel: Option<LogMel>,
    sum: Measured,
}

/// Runs `work` and adds its seconds to `sum`.
fn timed<T>(sum: &mut f64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = black_box(work());
    *sum += start.elapsed().as_secs_f64();
    done
}

impl Bench {
    fn new(settings: &Settings) -> Result<Bench, Box<dyn std::error::Error + Send + Sync>> {
        let log_mel = match &settings.log_mel {
            Some(params) => Some(LogMel::new(&params.resolve()?)?),
            None => None,
        };
        Ok(Bench {
            frames: settings.extract_frames.resolve()?.frames,
            preprocess: settings.encode_clip.as_ref().map(Preprocess::of).transpose()?,
            log_mel,
            sum: Measured::default(),
        })
    }

    fn clip(&mut self, clip: &Clip) -> Result<(), Failure> {
        let mut paths: Vec<&Path> =
            [&clip.video, &clip.sound].into_iter().flatten().map(|bytes| Path::new(OsStr::from_bytes(bytes))).collect();
        paths.dedup();
        for path in paths {
            self.read(path)?;
        }
        if let Some(path) = &clip.video {
            self.pictures(Path::new(OsStr::from_bytes(path)))?;
        }
        if let Some(path) = &clip.sound {
            self.sound(Path::new(OsStr::from_bytes(path)))?;
        }
        Ok(())
    }

    fn read(&mut self, path: &Path) -> Result<(), Failure> {
        let unreadable = |e: std::io::Error| Failure::new(contract::Cause::Unreadable, e.to_string());
        let bytes = timed(&mut self.sum.read_first, || std::fs::read(path)).map_err(unreadable)?;
        drop(bytes);
        let bytes = timed(&mut self.sum.read_again, || std::fs::read(path)).map_err(unreadable)?;
        timed(&mut self.sum.hash, || blake3::hash(&bytes));
        self.sum.files += 1;
        self.sum.bytes += bytes.len() as u64;
        Ok(())
    }

    fn pictures(&mut self, path: &Path) -> Result<(), Failure> {
        let fail = |e: &media::MediaError| Failure::from_error(e);
        let file = MediaFile::read(path).map_err(|e| fail(&e))?;
        let mut pictures: Vec<Picture> = Vec::new();
        let period = self.frames.period();
        // A file whose times were mistaken is decoded again, once: the first time shows it, and is not counted.
        let mut video = Video::open_for(&file, period).map_err(|e| fail(&e))?;
        let mut wanted = self.wanted(&video)?;
        if video.decode(&wanted, &mut |_, _| ControlFlow::Continue(())).map_err(|e| fail(&e))?
            == media::Outcome::Revised
        {
            wanted = self.wanted(&video)?;
        }
        let last = video.timeline().frames.last().map_or(0.0, |frame| {
            let base = video.timeline().time_base;
            (frame.pts + frame.duration) as f64 * f64::from(base.num) / f64::from(base.den)
        });
        self.sum.video_seconds += last.max(0.0);
        timed(&mut self.sum.decode_only, || {
            Video::open_for(&file, period).and_then(|video| video.decode_unconverted(&wanted))
        })
        .map_err(|e| fail(&e))?;
        timed(&mut self.sum.extract, || {
            let mut video = Video::open_for(&file, period)?;
            loop {
                pictures.clear();
                let outcome = video.decode(&wanted, &mut |_, picture| {
                    pictures.push(picture.clone());
                    ControlFlow::Continue(())
                })?;
                // Found out again in the middle, at the cost of decoding twice.
                if outcome != media::Outcome::Revised {
                    return Ok(());
                }
            }
        })
        .map_err(|e: media::MediaError| fail(&e))?;
        self.sum.pictures += pictures.len();
        if let Some(preprocess) = &mut self.preprocess {
            for picture in &pictures {
                timed(&mut self.sum.pass, || picture.rgb.iter().fold(0_u64, |sum, byte| sum + u64::from(*byte)));
                timed(&mut self.sum.resize, || preprocess.crop(picture).map(<[u8]>::len))
                    .map_err(|e| Failure::from_error(&e))?;
                self.sum.resized += 1;
            }
        }
        Ok(())
    }

    fn wanted(&self, video: &media::Video) -> Result<Vec<usize>, Failure> {
        let picks = extract_frames::select(video.timeline(), &self.frames).map_err(|e| Failure::from_error(&e))?;
        let mut frames: Vec<usize> = picks.iter().map(|pick| pick.frame).collect();
        frames.dedup();
        Ok(frames)
    }

    fn sound(&mut self, path: &Path) -> Result<(), Failure> {
        let Some(log_mel) = &mut self.log_mel else { return Ok(()) };
        let file = MediaFile::read(path).map_err(|e| Failure::from_error(&e))?;
        let sound = timed(&mut self.sum.sound, || sound_of(&file)).map_err(|e| Failure::from_error(&e))?;
        // The first time plans the resampler, which a run does once.
        log_mel.compute(&sound).map_err(|e| Failure::from_error(&e))?;
        let rows = timed(&mut self.sum.log_mel, || log_mel.compute(&sound)).map_err(|e| Failure::from_error(&e))?;
        timed(&mut self.sum.transforms, || log_mel.transform_only(rows.len));
        self.sum.log_mel_rows += rows.len;
        self.sum.sound_seconds += (sound.samples.len() / sound.channels) as f64 / f64::from(sound.sample_rate);
        Ok(())
    }
}
