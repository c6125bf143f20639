//! The sound of anything that libav opens, as the ffmpeg command hears it.
//!
//! Like the command: the same audio stream, damaged packets skipped, a read error taken as the end, encoder delay and edit
//! lists applied by demuxer and decoder. Unlike it: a stream whose rate or number of channels changes on the way is refused
//! instead of resampled or mixed to its beginning.

use std::cmp::Reverse;

use contract::Sound;
use ffmpeg::codec::context::Context;
use ffmpeg::format::context::Input;
use ffmpeg::format::sample::Sample;
use ffmpeg::media::Type;
use ffmpeg_next::format::stream::StreamMut;
use ffmpeg_next::{self as ffmpeg, Packet, Stream, decoder, ffi, frame};

use super::{Heard, Samples};
use crate::libav::{NO_MEMORY, listed_beyond_end};
use crate::{Damage, MediaError, MediaFile, statement};

pub(super) fn sound(file: &MediaFile) -> Result<Heard, MediaError> {
    let (input, system) = crate::libav::open_input(file);
    system.check()?;
    let mut input = input.map_err(unopened)?;
    let index = best_stream(&input)?;
    for mut other in input.streams_mut().filter(|s| s.index() != index) {
        discard(&mut other);
    }
    let stream = input.stream(index).expect("the index is that of a stream");
    let encrypted = is_encrypted(&stream);
    let mut decoder = open_decoder(&stream)?;
    let mut heard = Decoded::new();
    let bare = matches!(input.format().name(), "mp3" | "aac");
    // Like the command, any error of reading but "try again" is the end of the file, unless the system failed.
    let ended = loop {
        // A new one each time: reading into one that holds something would lose that.
        let mut packet = Packet::empty();
        match packet.read(&mut input) {
            Ok(()) if packet.stream() == index => {}
            Ok(()) | Err(ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN }) => continue,
            Err(NO_MEMORY) => return Err(MediaError::OutOfMemory),
            Err(error) => {
                system.check()?;
                break error;
            }
        }
        match decoder.send_packet(&packet) {
            Ok(()) => heard.take(&mut decoder)?,
            Err(error) => heard.fail(error)?,
        }
        heard.judge(&packet, bare);
    };
    if decoder.send_eof().is_ok() {
        heard.take(&mut decoder)?;
    }
    match (heard.shape, heard.failure) {
        (Some((sample_rate, channels)), _) => {
            let damage = heard.damage(&mut input, index, file, ended);
            Ok(Heard { sound: Sound { sample_rate, channels, samples: heard.samples.values }, damage })
        }
        (None, Some(_)) if encrypted => Err(MediaError::Encrypted),
        (None, Some(error)) => Err(MediaError::Corrupt { detail: format!("not one packet of sound decodes: {error}") }),
        (None, None) => Err(MediaError::Empty { unit: "sample" }),
    }
}

/// What was decoded so far.
struct Decoded {
    samples: Samples,
    /// Sample rate and channels of all frames.
    shape: Option<(u32, usize)>,
    /// The last error of the decoder. It is passed over as long as there is any sound.
    failure: Option<ffmpeg::Error>,
    /// Whether there was one with the packet at hand.
    failed_here: bool,
    packets: usize,
    /// Packets that were incomplete or gave an error.
    lost: usize,
    /// How many of these at the end of a bare stream are no frames at all: a tag, a line feed.
    tail: usize,
    /// What had been decoded before the first of these, in microseconds, and its place in the file.
    first_lost: Option<(i64, Option<u64>)>,
}

impl Decoded {
    fn new() -> Decoded {
        let samples = Samples::new();
        Decoded {
            samples,
            shape: None,
            failure: None,
            failed_here: false,
            packets: 0,
            lost: 0,
            tail: 0,
            first_lost: None,
        }
    }

    fn fail(&mut self, error: ffmpeg::Error) -> Result<(), MediaError> {
        if error == NO_MEMORY {
            return Err(MediaError::OutOfMemory);
        }
        self.failure = Some(error);
        self.failed_here = true;
        Ok(())
    }

    /// Samples per channel so far.
    fn frames(&self) -> u64 {
        self.shape.map_or(0, |(_, channels)| (self.samples.values.len() / channels) as u64)
    }

    /// How long what was decoded lasts, in microseconds.
    fn micros(&self) -> i64 {
        self.shape.map_or(0, |(rate, _)| (u128::from(self.frames()) * 1_000_000 / u128::from(rate)) as i64)
    }

    /// Counts the packet that was just decoded, or was not. `bare`: the stream is its frames, one behind the other.
    fn judge(&mut self, packet: &Packet, bare: bool) {
        self.packets += 1;
        let synced = packet.data().is_some_and(|data| matches!(data, [0xff, 0xe0..=0xff, ..]));
        let lost = self.failed_here || packet.is_corrupt();
        self.tail = if lost && bare && !synced { self.tail + 1 } else { 0 };
        if std::mem::take(&mut self.failed_here) || packet.is_corrupt() {
            self.lost += 1;
            let byte = u64::try_from(packet.position()).ok().filter(|byte| *byte > 0);
            self.first_lost = self.first_lost.or(Some((self.micros(), byte)));
        }
    }

    /// What is missing or damaged, now that all is decoded and reading ended with this error.
    fn damage(&self, input: &mut Input, index: usize, file: &MediaFile, ended: ffmpeg::Error) -> Option<Damage> {
        let end = Some(self.micros());
        let missing = match listed_beyond_end(input, index, file.len()) {
            Some(listed) => Some(listed.damage("packets of sound", file.len())),
            None => statement::damage(file),
        };
        let missing = missing.or_else(|| {
            let stated = statement::flac_samples(file).filter(|stated| *stated > self.frames())?;
            let detail = format!("{} of {stated} samples are decoded", self.frames());
            Some(Damage { missing: true, micros: None, byte: None, detail })
        });
        let missing = missing.or_else(|| {
            let detail = format!("the container cannot be read any further: {ended}");
            let early = ended != ffmpeg::Error::Eof;
            early.then_some(Damage { missing: true, micros: None, byte: None, detail })
        });
        let lost = self.lost - self.tail;
        let broken = self.first_lost.filter(|_| lost > 0).map(|(micros, byte)| {
            let detail = format!("{lost} of {} packets of sound do not decode", self.packets);
            Damage { missing: false, micros: Some(micros), byte, detail }
        });
        Damage::earlier(missing.map(|missing| missing.behind(end)), broken)
    }

    /// Takes the frames that are ready.
    fn take(&mut self, decoder: &mut decoder::Audio) -> Result<(), MediaError> {
        let mut frame = frame::Audio::empty();
        loop {
            match decoder.receive_frame(&mut frame) {
                Ok(()) => self.append(&frame)?,
                Err(ffmpeg::Error::Eof | ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN }) => return Ok(()),
                Err(error) => return self.fail(error),
            }
        }
    }

    fn append(&mut self, frame: &frame::Audio) -> Result<(), MediaError> {
        let here = (frame.rate(), usize::from(frame.channels()));
        if frame.samples() == 0 || here.0 == 0 || here.1 == 0 {
            return Ok(());
        }
        let shape = *self.shape.get_or_insert(here);
        if shape != here {
            let (from, to) = (shape, here);
            let what = format!(
                "sound that changes on the way from {} Hz, {} channels to {} Hz, {} channels",
                from.0, from.1, to.0, to.1
            );
            return Err(MediaError::Unsupported { what });
        }
        let (n, channels) = (frame.samples(), here.1);
        let read = reader(frame.format())?;
        let planes: Vec<&[u8]> = (0..frame.planes()).map(|p| frame.data(p)).collect();
        let planar = frame.is_planar();
        self.samples.extend((0..n * channels).map(|i| {
            let (plane, at) = if planar { (planes[i % channels], i / channels) } else { (planes[0], i) };
            read(plane, at)
        }))
    }
}

/// Sample `i` of a plane.
type Read = fn(&[u8], usize) -> f32;

/// Reads a sample: integers scaled by 2^(bits-1) and rounded once, floats as they are.
fn reader(format: Sample) -> Result<Read, MediaError> {
    fn bytes<const N: usize>(plane: &[u8], i: usize) -> [u8; N] {
        *plane[i * N..].first_chunk().expect("the plane holds every sample of the frame")
    }
    Ok(match format {
        Sample::U8(_) => |p, i| (f32::from(p[i]) - 128.0) / 128.0,
        Sample::I16(_) => |p, i| f32::from(i16::from_ne_bytes(bytes(p, i))) / 32_768.0,
        Sample::I32(_) => |p, i| i32::from_ne_bytes(bytes(p, i)) as f32 / 2_147_483_648.0,
        Sample::I64(_) => |p, i| i64::from_ne_bytes(bytes(p, i)) as f32 / 9_223_372_036_854_775_808.0,
        Sample::F32(_) => |p, i| f32::from_ne_bytes(bytes(p, i)),
        Sample::F64(_) => |p, i| f64::from_ne_bytes(bytes(p, i)) as f32,
        Sample::None => return Err(MediaError::Unsupported { what: "sound without a sample format".into() }),
    })
}

/// What libav says of a file that it does not open.
fn unopened(error: ffmpeg::Error) -> MediaError {
    match error {
        ffmpeg::Error::PatchWelcome => MediaError::Unsupported { what: "a rare variant of its format".into() },
        ffmpeg::Error::InvalidData => MediaError::NotMedia { detail: "no demuxer recognises its bytes".into() },
        NO_MEMORY => MediaError::OutOfMemory,
        // What libav says of absurd headers: "invalid argument", "end of file".
        error => MediaError::NotMedia { detail: format!("its header makes no sense ({error})") },
    }
}

/// The stream that the ffmpeg command takes: one with packets before one without, the default before others, then the one
/// with most channels, then the first.
fn best_stream(input: &Input) -> Result<usize, MediaError> {
    let score = |stream: &Stream<'_>| {
        let parameters = raw_parameters(stream);
        #[expect(unsafe_code, reason = "ffmpeg-next does not show the flags of events")]
        // SAFETY: the stream lives as long as the input that it is borrowed from.
        let (events, disposition) = unsafe { ((*stream.as_ptr()).event_flags, (*stream.as_ptr()).disposition) };
        let has_packets = events & ffi::AVSTREAM_EVENT_FLAG_NEW_PACKETS != 0;
        (has_packets, disposition & ffi::AV_DISPOSITION_DEFAULT != 0, parameters.ch_layout.nb_channels)
    };
    let sounds = input.streams().filter(|s| s.parameters().medium() == Type::Audio);
    sounds.min_by_key(|s| Reverse(score(s))).map(|s| s.index()).ok_or(MediaError::NoAudioStream)
}

/// The fields of a stream that ffmpeg-next does not show.
fn raw_parameters<'a>(stream: &'a Stream<'_>) -> &'a ffi::AVCodecParameters {
    #[expect(unsafe_code, reason = "ffmpeg-next shows neither channels nor codec tag")]
    // SAFETY: every stream has parameters, which live as long as it.
    unsafe {
        &*(*stream.as_ptr()).codecpar
    }
}

/// MP4 marks encrypted sound by its four-character code.
fn is_encrypted(stream: &Stream<'_>) -> bool {
    raw_parameters(stream).codec_tag == u32::from_le_bytes(*b"enca")
}

/// Spares the demuxer what nobody asks for, as the command does.
fn discard(stream: &mut StreamMut<'_>) {
    #[expect(unsafe_code, reason = "ffmpeg-next cannot set it")]
    // SAFETY: the stream is borrowed mutably from its input.
    unsafe {
        (*stream.as_mut_ptr()).discard = ffi::AVDiscard::AVDISCARD_ALL;
    }
}

fn open_decoder(stream: &Stream<'_>) -> Result<decoder::Audio, MediaError> {
    let parameters = stream.parameters();
    let what = || MediaError::Unsupported { what: format!("{:?} sound", parameters.id()) };
    if decoder::find(parameters.id()).is_none() {
        return Err(what());
    }
    let context = Context::from_parameters(stream.parameters())
        .map_err(|e| MediaError::Internal { at: "avcodec_parameters_to_context", detail: e.to_string() })?;
    let mut decoder = context.decoder();
    // Without it the decoder could not convert the durations that it has to cut off.
    decoder.set_packet_time_base(stream.time_base());
    decoder.audio().map_err(|error| match error {
        NO_MEMORY => MediaError::OutOfMemory,
        ffmpeg::Error::PatchWelcome => what(),
        error => MediaError::Corrupt { detail: format!("the decoder of the sound does not start: {error}") },
    })
}
