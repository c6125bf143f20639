//! The presentation times of a file's pictures, and those pictures that are wanted, with the bytes of the ffmpeg command.
//!
//! ```text
//! open ── one pass over the packets ──> timeline ──> (which frames are wanted) ──> decode ──> RGB pictures
//! ```
//!
//! # Exactness
//!
//! Times, number and RGB bytes are those of `ffmpeg -i X -vf … -pix_fmt rgb24`: the stream that the command chooses, its clock, its
//! turning by the display matrix (before any conversion), its colour conversion (libswscale, bicubic, the stream's matrix and range, BT.601
//! where untagged), its habit of scaling everything to the first picture's size.
//!
//! Without `-pix_fmt rgb24` the command would write other *kinds* of PNG for some sources: 16-bit RGB for more than 8 bits per sample, grey for
//! grey, RGBA where there is transparency. Here every picture is 8-bit RGB.
//!
//! Damaged streams give what the command gives on one thread (`ffmpeg -threads 1`). With several threads the command patches broken H.264 pictures
//! with whatever another thread left, and its bytes differ from run to run.
//!
//! Known differences, on purpose: a playlist opens no other file; a display matrix that turns by an odd angle is refused instead of resampled.
//! Known limit of the sparing pass: when the bytes behind the last wanted picture (less than half an output tick) are damaged so badly that
//! not one frame comes out of them, the command may write one picture less.
//!
//! # Speed
//!
//! The packets alone say which frames there are ([`Timeline`]), so only the wanted frames and what they refer to are decoded and only the wanted ones
//! converted. In H.264 and HEVC, pictures to which no other refers are left out, and so is all between the last wanted frame and the next place
//! where decoding can begin anew. Where packets cannot be trusted (damage, missing times, changes of size) the whole stream is decoded to see what there
//! is, and the frames that [`Video::open_for`] was told of are kept on the way; [`Outcome::Revised`] tells when that was found out only while decoding.
//!
//! # Limits
//!
//! Pictures of more than 16,384 pixels a side or 268 megapixels are refused; so are encrypted streams. Compressed bytes are kept in memory up to
//! 64 MiB, so that an ordinary clip is read from disk once; frames up to 96 MiB.

mod clock;
mod container;
mod convert;
mod decoder;
mod kept;
mod orient;
mod passes;
mod plan;
mod predict;
mod role;
mod unconverted;

use std::ops::ControlFlow;
use std::path::Path;

use container::{Container, Packets};
use contract::{FrameTime, Picture, TimeBase, Timeline};
use convert::{Converter, Shape};
use kept::Kept;
use passes::Verdict;
use predict::{Entry, Prediction};
use role::Roles;

use crate::{Damage, MediaError, MediaFile};

/// What is known of the chosen video stream without decoding it.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoInfo {
    /// Container format, e.g. `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// Codec, e.g. `h264`.
    pub codec: String,
    /// Pixels per row before rotation.
    pub width: u32,
    /// Rows before rotation.
    pub height: u32,
    /// Average frames per second as the container says; `None` where it does not.
    pub frame_rate: Option<f64>,
    /// Number of streams of any kind in the file.
    pub streams: usize,
}

/// How [`Video::decode`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Every wanted picture was given.
    Done,
    /// The callback broke off.
    Stopped,
    /// The stream is not what its packets said: [`Video::timeline`] has changed. Forget the pictures that were given, choose again, decode
    /// again. Happens at most once per file.
    Revised,
}

/// An opened video file.
pub struct Video {
    container: Container,
    packets: Packets,
    entries: Vec<Entry>,
    info: VideoInfo,
    source: Source,
    damage: Option<Damage>,
    period: Option<TimeBase>,
}

/// Where the timeline comes from.
enum Source {
    /// The packets.
    Predicted(Prediction),
    /// The frames themselves; `first` is the shape of the first, `kept` those that are likely to be wanted.
    Decoded { timeline: Timeline, first: Shape, kept: Kept },
}

impl Video {
    /// [`Video::open_file`] of the file at this path.
    pub fn open(path: &Path) -> Result<Self, MediaError> {
        Self::open_file(&MediaFile::read(path)?)
    }

    /// Reads the file's packets once; decodes only where the packets do not tell.
    pub fn open_file(file: &MediaFile) -> Result<Self, MediaError> {
        Self::open_with(file, None)
    }

    /// The same; a picture will be wanted every `period`. Where everything has to be decoded to see what there is, those are kept, and not decoded again.
    pub fn open_for(file: &MediaFile, period: TimeBase) -> Result<Self, MediaError> {
        Self::open_with(file, Some(period))
    }

    fn open_with(file: &MediaFile, period: Option<TimeBase>) -> Result<Self, MediaError> {
        let mut container = Container::open(file)?;
        let mut roles = Roles::new(container.facts.codec, &container.facts.extradata);
        let mut entries = Vec::new();
        let mut corrupt = None;
        let packets = Packets::scan(file, &mut container, |packet| {
            if passes::encrypted(packet) {
                return Err(MediaError::Encrypted);
            }
            let entry = Entry::of(packet, &mut roles);
            if entry.corrupt {
                corrupt.get_or_insert((entry, packet.position().max(0) as u64));
            }
            entries.push(entry);
            Ok(())
        })?;
        let damage = container.damage(file, &entries, corrupt);
        let facts = &container.facts;
        let rate = facts.frame_rate;
        let info = VideoInfo {
            container: facts.format.clone(),
            codec: decoder::codec_name(facts.codec),
            width: facts.width,
            height: facts.height,
            frame_rate: (rate.num > 0 && rate.den > 0).then(|| f64::from(rate.num) / f64::from(rate.den)),
            streams: facts.streams,
        };
        let (source, damage) = if let Some(prediction) = predict::predict(facts, &entries) {
            (Source::Predicted(prediction), damage)
        } else {
            let (source, broken) = look(&container, &packets, period)?;
            (source, Damage::earlier(damage, broken))
        };
        Ok(Video { container, packets, entries, info, source, damage, period })
    }

    /// Whether only a part of the stream is good, as far as is known by now: from the container when it is opened, from the decoder when
    /// it was decoded or had to be.
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// What is known of the chosen stream.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// When each frame is shown, the file's start being 0.
    pub fn timeline(&self) -> &Timeline {
        match &self.source {
            Source::Predicted(prediction) => &prediction.timeline,
            Source::Decoded { timeline, .. } => timeline,
        }
    }

    /// Decodes the frames with these indices into the timeline (ascending; repeats count once) and gives each to `each` as a picture, whose
    /// memory the next one takes.
    pub fn decode(
        &mut self,
        frames: &[usize],
        each: &mut dyn FnMut(usize, &Picture) -> ControlFlow<()>,
    ) -> Result<Outcome, MediaError> {
        let mut wanted = frames.to_vec();
        wanted.dedup();
        if !wanted.is_sorted() || wanted.last().is_some_and(|&i| i >= self.timeline().frames.len()) {
            let detail = "the wanted frames must ascend and lie in the timeline".to_owned();
            return Err(MediaError::Internal { at: "decode", detail });
        }
        if wanted.is_empty() {
            return Ok(Outcome::Done);
        }
        let mut stopped = false;
        let mut give = |index, picture: &Picture| {
            stopped = each(index, picture).is_break();
            !stopped
        };
        let matrix = self.container.facts.matrix;
        match &self.source {
            Source::Predicted(prediction) => {
                let mut converter = None;
                let verdict = passes::sparing(
                    &self.container,
                    &self.packets,
                    &self.entries,
                    prediction,
                    &wanted,
                    &mut |index, frame| {
                        // The sparing pass sees to it that all frames have the shape of the first.
                        let converter = match &mut converter {
                            Some(converter) => converter,
                            None => converter.insert(Converter::new(Shape::of(frame), matrix)?),
                        };
                        Ok(give(index, converter.picture(frame)?))
                    },
                )?;
                if verdict == Verdict::Mistaken {
                    let (source, broken) = look(&self.container, &self.packets, self.period)?;
                    self.source = source;
                    self.damage = Damage::earlier(self.damage.take(), broken);
                    return Ok(Outcome::Revised);
                }
            }
            Source::Decoded { first, kept, .. } => {
                let mut converter = Converter::new(*first, matrix)?;
                if let Some(frames) = kept.all(&wanted) {
                    for (index, frame) in wanted.into_iter().zip(frames) {
                        if !give(index, converter.picture(frame)?) {
                            return Ok(Outcome::Stopped);
                        }
                    }
                    return Ok(Outcome::Done);
                }
                let mut left = wanted.as_slice();
                passes::exact(&self.container, &self.packets, &mut |seen| {
                    if left.first() == Some(&seen.index) {
                        left = &left[1..];
                        if !give(seen.index, converter.picture(seen.frame)?) {
                            return Ok(false);
                        }
                    }
                    Ok(!left.is_empty())
                })?;
                if !left.is_empty() && !stopped {
                    let detail = "the stream gave fewer pictures when it was decoded again".to_owned();
                    return Err(MediaError::Corrupt { detail });
                }
            }
        }
        Ok(if stopped { Outcome::Stopped } else { Outcome::Done })
    }
}

/// Decodes the stream once to see which frames there are, and which of them are damaged; keeps one every `period`.
fn look(
    container: &Container,
    packets: &Packets,
    period: Option<TimeBase>,
) -> Result<(Source, Option<Damage>), MediaError> {
    let facts = &container.facts;
    let time_base = TimeBase { num: facts.time_base.num, den: facts.time_base.den };
    let mut kept = Kept::every(period, time_base);
    let (mut frames, mut restarts) = (Vec::new(), Vec::new());
    let (mut first, mut last) = (None, None);
    let broken = passes::exact(container, packets, &mut |seen| {
        let shape = Shape::of(seen.frame);
        first.get_or_insert(shape);
        if last.replace(shape).is_some_and(|before| before != shape) {
            restarts.push(seen.index);
        }
        frames.push(FrameTime { pts: seen.pts, duration: seen.duration });
        kept.see(&seen)?;
        Ok(true)
    })?;
    let Some(first) = first else {
        return Err(broken.error.map_or(MediaError::Empty { unit: "picture" }, decoder::undecodable));
    };
    let timeline = Timeline { time_base, frames, multiple_streams: facts.streams > 1, restarts };
    Ok((Source::Decoded { timeline, first, kept: kept.end() }, broken.damage()))
}

#[cfg(test)]
mod tests;
