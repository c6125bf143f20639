//! What is made of one file: pictures (as files, as windows for the encoder) and the log-mel, sent as they come.

use std::io::{self, Write};
use std::ops::ControlFlow;

use contract::{Cause, Failure, Partial, Picture, Values};
use encode_clip::Preprocess;
use extract_frames::{FileSpec, FrameSpec, Pick};
use log_mel::LogMel;
use media::{Damage, MediaFile, Outcome, Video};
use pipeline::worker::Settings;
use pipeline::worker::protocol::{ColumnHead, PIECE, Reply, Wanted, send};

use crate::limits::CpuTime;

/// The stages, planned once, with their scratch memory.
pub(crate) struct Maker {
    frames: FrameSpec,
    files: FileSpec,
    preprocess: Option<Preprocess>,
    log_mel: Option<LogMel>,
    partial_sound: Partial,
}

impl Maker {
    /// As the settings say.
    pub(crate) fn new(settings: &Settings) -> Result<Maker, Box<dyn std::error::Error + Send + Sync>> {
        let spec = settings.extract_frames.resolve()?;
        let sound = settings.log_mel.as_ref().map(log_mel::Params::resolve).transpose()?;
        let partial_sound = sound.as_ref().map_or(Partial::Reject, |spec| spec.partial);
        let log_mel = sound.as_ref().map(LogMel::new).transpose()?;
        let preprocess = settings.encode_clip.as_ref().map(Preprocess::of).transpose()?;
        Ok(Maker { frames: spec.frames, files: spec.files, preprocess, log_mel, partial_sound })
    }

    /// Which pictures are looked at.
    pub(crate) fn frames(&self) -> FrameSpec {
        self.frames
    }

    /// Sends every wanted picture, in order, each as it comes: memory does not grow with the length of the clip.
    pub(crate) fn pictures(
        &mut self,
        file: &MediaFile,
        wanted: Wanted,
        cpu: &mut CpuTime,
        output: &mut impl Write,
    ) -> io::Result<Result<(), Failure>> {
        let mut video = match Video::open_for(file, self.frames.period()) {
            Ok(video) => video,
            Err(error) => return Ok(Err(Failure::from_error(&error))),
        };
        let length = video.timeline().seconds();
        cpu.lasts(length);
        send(output, &Reply::Length(length), &[])?;
        loop {
            // Before anything is decoded for nothing, and again when more is known.
            if let Some(failure) = self.rejected(&video) {
                return Ok(Err(failure));
            }
            let picks = match extract_frames::select(video.timeline(), &self.frames) {
                Ok(picks) => picks,
                Err(error) => return Ok(Err(Failure::from_error(&error))),
            };
            if picks.is_empty() {
                let message = "too short for a single picture: a clip must last at least half of one period of `fps`";
                return Ok(Err(Failure::new(Cause::TooShort, message)));
            }
            let mut frames: Vec<usize> = picks.iter().map(|pick| pick.frame).collect();
            frames.dedup();
            let mut sent = Ok(Ok(()));
            let mut next = picks.iter().peekable();
            let outcome = video.decode(&frames, &mut |frame, picture| {
                // A frame that is held for several seconds is several pictures.
                while let Some(pick) = next.next_if(|pick| pick.frame == frame) {
                    sent = self.picture(pick, picture, wanted, output);
                    if !matches!(sent, Ok(Ok(()))) {
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            });
            match outcome {
                Err(error) => return Ok(Err(Failure::from_error(&error))),
                Ok(Outcome::Done | Outcome::Stopped) => return sent,
                Ok(Outcome::Revised) => send(output, &Reply::StartOver, &[])?,
            }
        }
    }

    /// Why the video is not taken, if only a part of it is good and that will not do.
    fn rejected(&self, video: &Video) -> Option<Failure> {
        let damage = video.damage().filter(|_| self.frames.partial == Partial::Reject)?;
        Some(partial(damage, extract_frames::DECL.id))
    }

    fn picture(
        &mut self,
        pick: &Pick,
        picture: &Picture,
        wanted: Wanted,
        output: &mut impl Write,
    ) -> io::Result<Result<(), Failure>> {
        let mut file = Vec::new();
        if wanted.files {
            file = match extract_frames::encode_picture(picture, &self.files) {
                Ok(bytes) => bytes,
                Err(error) => return Ok(Err(Failure::from_error(&error))),
            };
        }
        let mut window: &[u8] = &[];
        if wanted.windows {
            let preprocess = self.preprocess.as_mut().ok_or_else(|| io::Error::other("there is no encoder"))?;
            window = match preprocess.crop(picture) {
                Ok(window) => window,
                Err(error) => return Ok(Err(Failure::from_error(&error))),
            };
        }
        let head = Reply::Picture { pick: *pick, width: picture.width, height: picture.height, file: file.len() };
        send(output, &head, &[&file, window]).map(Ok)
    }

    /// Sends the log-mel, column by column; returns its rows.
    pub(crate) fn sound(&mut self, file: &MediaFile, output: &mut impl Write) -> io::Result<Result<usize, Failure>> {
        let log_mel = self.log_mel.as_mut().ok_or_else(|| io::Error::other("there is no log-mel"))?;
        let heard = match media::hear(file) {
            Ok(heard) => heard,
            Err(error) => return Ok(Err(Failure::from_error(&error))),
        };
        if let Some(damage) = heard.damage.filter(|_| self.partial_sound == Partial::Reject) {
            return Ok(Err(partial(&damage, log_mel::DECL.id)));
        }
        let rows = match log_mel.compute(&heard.sound) {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(Failure::from_error(&error))),
        };
        for column in rows.columns {
            let element = column.values.element().into();
            send(output, &Reply::Column(ColumnHead { name: column.name, width: column.width, element }), &[])?;
            for piece in little_endian(&column.values).chunks(PIECE) {
                send(output, &Reply::Piece, &[piece])?;
            }
        }
        Ok(Ok(rows.len))
    }
}

/// The failure of a file of which only a part is good. What else could be done is said with it.
fn partial(damage: &Damage, stage: &str) -> Failure {
    Failure::new(Cause::Corrupt, format!("{damage} (`{stage}.partial = \"keep\"` takes what is good)"))
}

fn little_endian(values: &Values) -> Vec<u8> {
    match values {
        Values::U8(v) => v.clone(),
        Values::I64(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Values::F16(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Values::F32(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Values::F64(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}
