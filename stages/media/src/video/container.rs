//! The container: which stream, its packets, and what the header says.

use std::{ptr, slice};

use ffmpeg_next::format::context::Input;
use ffmpeg_next::{self as ffmpeg, Packet, ffi};

use crate::damage::Damage;
use crate::file::Failure;
use crate::libav::{NO_MEMORY, container_error, listed_beyond_end, open_input};
use crate::{MediaError, MediaFile, statement};

use super::clock::{MICRO, rescale};
use super::predict::Entry;

/// Longest side of a picture that is decoded.
pub(crate) const MAX_SIDE: u64 = 16_384;
/// Most pixels of a picture that is decoded.
pub(crate) const MAX_PIXELS: u64 = 268_435_456;

/// An opened file with one chosen video stream; packets of the others are not read.
pub(crate) struct Container {
    input: Input,
    index: usize,
    pub(crate) facts: Facts,
    failure: Failure,
    /// Why reading ended, unless it was the end of the file.
    ended: Option<ffmpeg::Error>,
}

/// What the header says of the file and the chosen stream.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Number of streams of any kind.
    pub(crate) streams: usize,
    /// The file's earliest start over all streams, in microseconds.
    pub(crate) start_time: Option<i64>,
    /// The chosen stream's start in ticks.
    pub(crate) stream_start: Option<i64>,
    /// Timestamps may jump in this kind of container (MPEG streams).
    pub(crate) discontinuous: bool,
    /// Seconds per tick.
    pub(crate) time_base: ffi::AVRational,
    /// Average frame rate; 0/x where unknown.
    pub(crate) frame_rate: ffi::AVRational,
    /// Bits after which timestamps wrap.
    pub(crate) wrap_bits: i32,
    /// The stream's display matrix.
    pub(crate) matrix: Option<[i32; 9]>,
    /// Short name of the container format.
    pub(crate) format: String,
    /// The codec.
    pub(crate) codec: ffi::AVCodecID,
    /// The codec's header.
    pub(crate) extradata: Vec<u8>,
    /// Coded pixels per row, before rotation.
    pub(crate) width: u32,
    /// Coded rows.
    pub(crate) height: u32,
}

impl Container {
    /// Opens `file` and chooses the stream that the ffmpeg command would choose.
    pub(crate) fn open(file: &MediaFile) -> Result<Self, MediaError> {
        let (input, failure) = open_input(file);
        failure.check()?;
        let input = input.map_err(container_error)?;
        let index = choose(&input)?;
        let facts = facts(&input, index)?;
        let mut container = Container { input, index, facts, failure, ended: None };
        container.read_only_the_chosen_stream();
        Ok(container)
    }

    #[expect(unsafe_code, reason = "the binding has no setter for AVStream.discard")]
    fn read_only_the_chosen_stream(&mut self) {
        for i in 0..self.facts.streams {
            let discard = if i == self.index { ffi::AVDiscard::AVDISCARD_NONE } else { ffi::AVDiscard::AVDISCARD_ALL };
            // SAFETY: `i` is below nb_streams, the array and its streams live as long as `input`, and nobody else holds them.
            unsafe { (**(*self.input.as_mut_ptr()).streams.add(i)).discard = discard };
        }
    }

    /// The next packet of the chosen stream; `None` at the end, which is also where a truncated file ends.
    pub(crate) fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        loop {
            let mut packet = Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.index => return Ok(Some(packet)),
                Ok(()) | Err(ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN }) => {}
                // Like the command: what the demuxer cannot read any more is the end, unless the system failed.
                Err(error) => {
                    self.failure.check()?;
                    if error == NO_MEMORY {
                        return Err(MediaError::OutOfMemory);
                    }
                    self.ended = Some(error).filter(|error| *error != ffmpeg::Error::Eof);
                    return Ok(None);
                }
            }
        }
    }

    /// What is missing of the chosen stream or damaged, as far as the container tells. `entries` are all its packets, which have been read, and
    /// `corrupt` the first of them that is marked as damaged, with its place in the file.
    pub(super) fn damage(
        &mut self,
        file: &MediaFile,
        entries: &[Entry],
        corrupt: Option<(Entry, u64)>,
    ) -> Option<Damage> {
        let facts = &self.facts;
        let seconds = |ticks: i64| facts.micros_from_start(ticks);
        if let Some(listed) = listed_beyond_end(&mut self.input, self.index, file.len()) {
            return Some(listed.damage("pictures", file.len()).behind(Some(seconds(listed.first))));
        }
        if let Some((entry, byte)) = corrupt {
            let detail = "the container marks a picture as incomplete or lost".to_owned();
            let micros = entry.pts.or(entry.dts).map(seconds);
            return Some(Damage { missing: false, micros, byte: Some(byte).filter(|byte| *byte > 0), detail });
        }
        let end = entries.iter().filter_map(|e| Some(e.pts.or(e.dts)?.saturating_add(e.duration))).max().map(seconds);
        if let Some(stated) = statement::damage(file) {
            return Some(stated.behind(end));
        }
        self.ended.map(|error| {
            let detail = format!("the container cannot be read any further: {error}");
            Damage { missing: true, micros: end, byte: None, detail }
        })
    }

    /// How many fields longer than one the picture of the last packet is shown, as the parser of the stream says, if it has one.
    #[expect(unsafe_code, reason = "the binding does not show the parser")]
    fn repeated(&self) -> Option<i32> {
        // SAFETY: the stream lives as long as `input`; its parser, where there is one, as well.
        unsafe {
            let stream = *(*self.input.as_ptr()).streams.add(self.index);
            ffi::av_stream_get_parser(stream).as_ref().map(|parser| parser.repeat_pict)
        }
    }

    /// Codec parameters of the chosen stream.
    pub(crate) fn parameters(&self) -> ffmpeg::codec::Parameters {
        self.input.stream(self.index).expect("the chosen stream exists").parameters()
    }
}

impl Facts {
    /// A time of the stream in microseconds from the start of the file.
    pub(super) fn micros_from_start(&self, ticks: i64) -> i64 {
        rescale(ticks, self.time_base, MICRO).saturating_sub(self.start_time.unwrap_or(0))
    }
}

/// The command's "best" video stream: one with packets before one without, the default before others, then the largest; cover art last.
#[expect(unsafe_code, reason = "the binding does not show AVStream.event_flags")]
fn choose(input: &Input) -> Result<usize, MediaError> {
    let mut best = None;
    for stream in input.streams() {
        // SAFETY: the stream and its parameters live as long as `input`, which is borrowed here.
        let (kind, width, height, disposition, events) = unsafe {
            let raw = &*stream.as_ptr();
            let par = &*raw.codecpar;
            (par.codec_type, i64::from(par.width), i64::from(par.height), raw.disposition, raw.event_flags)
        };
        if kind != ffi::AVMediaType::AVMEDIA_TYPE_VIDEO {
            continue;
        }
        let flag = |set: bool, score: i64| if set { score } else { 0 };
        let mut score = width.saturating_mul(height)
            + flag(events & ffi::AVSTREAM_EVENT_FLAG_NEW_PACKETS != 0, 100_000_000)
            + flag(disposition & ffi::AV_DISPOSITION_DEFAULT != 0, 5_000_000);
        if disposition & ffi::AV_DISPOSITION_ATTACHED_PIC != 0 {
            score = 1;
        }
        if best.is_none_or(|(top, _)| score > top) && score > 0 {
            best = Some((score, stream.index()));
        }
    }
    best.map(|(_, index)| index).ok_or(MediaError::NoVideoStream)
}

#[expect(unsafe_code, reason = "the binding does not show these fields")]
fn facts(input: &Input, index: usize) -> Result<Facts, MediaError> {
    let known = |t: i64| (t != ffi::AV_NOPTS_VALUE).then_some(t);
    let stream = input.stream(index).expect("the chosen stream exists");
    // SAFETY: context, stream and parameters live as long as `input`; side data (36 bytes where present) and extradata
    // are copied at once.
    let facts = unsafe {
        let context = &*input.as_ptr();
        let raw = &*stream.as_ptr();
        let par = &*raw.codecpar;
        let mut size = 0;
        let side = |kind, size: *mut usize| ffi::av_stream_get_side_data(raw, kind, size).cast_const();
        let encrypted = !side(ffi::AVPacketSideDataType::AV_PKT_DATA_ENCRYPTION_INIT_INFO, ptr::null_mut()).is_null();
        if encrypted || par.codec_tag == u32::from_le_bytes(*b"encv") {
            return Err(MediaError::Encrypted);
        }
        let pixel = raw.sample_aspect_ratio;
        if pixel.den != 0 && (i64::from(pixel.num) * i64::from(pixel.den)) < 0 {
            // The command's filters take no such picture, so it gives none.
            let detail = format!("its pixels are {} wide where they are {} high", pixel.num, pixel.den);
            return Err(MediaError::Corrupt { detail });
        }
        let matrix = side(ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX, &raw mut size);
        Facts {
            streams: context.nb_streams as usize,
            start_time: known(context.start_time),
            stream_start: known(raw.start_time),
            discontinuous: (*context.iformat).flags & ffi::AVFMT_TS_DISCONT != 0,
            time_base: raw.time_base,
            frame_rate: raw.avg_frame_rate,
            wrap_bits: raw.pts_wrap_bits,
            matrix: (!matrix.is_null() && size >= 36).then(|| matrix.cast::<[i32; 9]>().read_unaligned()),
            format: input.format().name().to_owned(),
            codec: par.codec_id,
            extradata: match par.extradata_size {
                size @ 1.. if !par.extradata.is_null() => slice::from_raw_parts(par.extradata, size as usize).to_vec(),
                _ => Vec::new(),
            },
            width: par.width.max(0) as u32,
            height: par.height.max(0) as u32,
        }
    };
    check_size(facts.width.into(), facts.height.into())?;
    Ok(facts)
}

/// Refuses pictures that would not fit.
pub(crate) fn check_size(width: u64, height: u64) -> Result<(), MediaError> {
    for (what, value) in [("picture width in pixels", width), ("picture height in pixels", height)] {
        if value > MAX_SIDE {
            return Err(MediaError::TooLarge { what, value, limit: MAX_SIDE });
        }
    }
    if width * height > MAX_PIXELS {
        return Err(MediaError::TooLarge { what: "picture size in pixels", value: width * height, limit: MAX_PIXELS });
    }
    Ok(())
}

/// The packets of the chosen stream, as often as needed: from memory while they are few, else by reading the file again.
pub(crate) struct Packets {
    file: MediaFile,
    pub(super) kept: Option<Vec<Packet>>,
    /// Of each packet: how many fields longer than one its picture is shown, as the container's parser says, if it has one.
    repeated: Vec<Option<i32>>,
}

/// Compressed bytes that are kept between the passes, so that an ordinary clip is read from disk once.
const KEEP: usize = 64 << 20;

impl Packets {
    /// Reads every packet once, shows it to `look`, and keeps them all if they are few.
    pub(crate) fn scan(
        file: &MediaFile,
        container: &mut Container,
        mut look: impl FnMut(&Packet) -> Result<(), MediaError>,
    ) -> Result<Self, MediaError> {
        let (mut kept, mut repeated) = (Some(Vec::new()), Vec::new());
        let mut bytes = 0;
        while let Some(packet) = container.next_packet()? {
            look(&packet)?;
            repeated.push(container.repeated());
            bytes += packet.size();
            if bytes > KEEP {
                kept = None;
            }
            if let Some(kept) = &mut kept {
                kept.push(packet);
            }
        }
        Ok(Packets { file: file.clone(), kept, repeated })
    }

    /// As [`Container::repeated`], of the `i`-th packet or the last one before it.
    pub(crate) fn repeated(&self, i: usize) -> Option<i32> {
        self.repeated.get(i).or(self.repeated.last()).copied().flatten()
    }

    /// Calls `each` with the packets in file order until it says that it has had enough.
    pub(crate) fn replay(&self, mut each: impl FnMut(&Packet) -> Result<bool, MediaError>) -> Result<(), MediaError> {
        if let Some(kept) = &self.kept {
            for packet in kept {
                if !each(packet)? {
                    return Ok(());
                }
            }
            return Ok(());
        }
        let mut container = Container::open(&self.file)?;
        while let Some(packet) = container.next_packet()? {
            if !each(&packet)? {
                return Ok(());
            }
        }
        Ok(())
    }
}
