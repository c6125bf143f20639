//! libav's decoder for one stream, on the calling thread.

use ffmpeg_next::{self as ffmpeg, Packet, ffi, frame};

use super::container::Container;
use crate::MediaError;
use crate::libav::{NO_MEMORY, message};

/// An opened decoder.
pub(crate) struct Decoder {
    inner: ffmpeg::decoder::Opened,
}

/// What a call of the decoder gave.
pub(crate) enum Step {
    /// A frame.
    Frame,
    /// Nothing yet: it wants the next packet.
    Hungry,
    /// Nothing any more.
    End,
    /// The bytes were not understood.
    Error(i32),
}

impl Decoder {
    /// One thread: clips in parallel cost less than threads in a clip, and frames come in the order of the packets.
    ///
    /// `strict`: damage that libav would pass over is an error. Its HEVC decoder marks no picture that it could not complete, and what stands
    /// in the rest is left from whatever was decoded before: those are only the command's bytes if nothing is left out.
    #[expect(unsafe_code, reason = "the binding has no setters for these fields")]
    pub(crate) fn open(container: &Container, strict: bool) -> Result<Self, MediaError> {
        let facts = &container.facts;
        let Some(codec) = ffmpeg::decoder::find(facts.codec.into()) else {
            return Err(MediaError::Unsupported { what: codec_name(facts.codec) });
        };
        let internal = |at, e: ffmpeg::Error| MediaError::Internal { at, detail: e.to_string() };
        let mut context = ffmpeg::codec::Context::from_parameters(container.parameters())
            .map_err(|e| internal("avcodec_parameters_to_context", e))?;
        // SAFETY: the context is ours and not yet opened.
        unsafe {
            let raw = &mut *context.as_mut_ptr();
            raw.thread_count = 1;
            raw.pkt_timebase = facts.time_base;
            raw.framerate = facts.frame_rate;
            if strict && facts.codec == ffi::AVCodecID::AV_CODEC_ID_HEVC {
                raw.err_recognition |= ffi::AV_EF_EXPLODE;
            }
        }
        let inner = context.decoder().open_as(codec).map_err(|e| match e {
            NO_MEMORY => MediaError::OutOfMemory,
            ffmpeg::Error::PatchWelcome | ffmpeg::Error::DecoderNotFound => {
                MediaError::Unsupported { what: codec_name(facts.codec) }
            }
            e => MediaError::Corrupt {
                detail: format!("the {} decoder refuses the stream's header: {e}", codec_name(facts.codec)),
            },
        })?;
        Ok(Decoder { inner })
    }

    /// Hands over a packet; a negative code if it was not understood.
    #[expect(unsafe_code, reason = "the binding turns the code into an error that cannot be turned back")]
    pub(crate) fn send(&mut self, packet: &Packet) -> Result<(), i32> {
        use ffmpeg::codec::packet::Ref;
        // SAFETY: both pointers are valid and the decoder takes its own reference to the data.
        let code = unsafe { ffi::avcodec_send_packet(self.inner.as_mut_ptr(), packet.as_ptr()) };
        if code < 0 { Err(code) } else { Ok(()) }
    }

    /// Says that there are no more packets.
    #[expect(unsafe_code, reason = "as for `send`")]
    pub(crate) fn send_end(&mut self) {
        // SAFETY: a null packet is how the end is said. Saying it again is answered with an error that means nothing.
        unsafe { ffi::avcodec_send_packet(self.inner.as_mut_ptr(), std::ptr::null()) };
    }

    /// Asks for a frame.
    #[expect(unsafe_code, reason = "as for `send`")]
    pub(crate) fn receive(&mut self, frame: &mut frame::Video) -> Step {
        // SAFETY: both pointers are valid; the frame is emptied by the call first.
        let code = unsafe { ffi::avcodec_receive_frame(self.inner.as_mut_ptr(), frame.as_mut_ptr()) };
        match code {
            0.. => Step::Frame,
            ffi::AVERROR_EOF => Step::End,
            code if code == ffi::AVERROR(ffmpeg::error::EAGAIN) => Step::Hungry,
            code => Step::Error(code),
        }
    }

    /// Whether frames that no other frame refers to may be left out from now on.
    pub(crate) fn skip_unreferenced(&mut self, skip: bool) {
        let discard = if skip { ffmpeg::Discard::NonReference } else { ffmpeg::Discard::Default };
        self.inner.skip_frame(discard);
    }

    /// Forgets all pictures, as a player does that jumps: the next packet is a place where decoding can begin anew.
    pub(crate) fn begin_anew(&mut self) {
        self.inner.flush();
    }

    /// Frames held back for reordering.
    #[expect(unsafe_code, reason = "the binding shows it as a truth value")]
    pub(crate) fn has_b_frames(&self) -> i32 {
        // SAFETY: the context lives as long as `self`.
        unsafe { (*self.inner.as_ptr()).has_b_frames }
    }

    /// The length of a picture in microseconds by the stream's own rate; 0 if it has none. `repeated`: how many fields longer than one the
    /// container's parser says it is shown, where there is a parser.
    #[expect(unsafe_code, reason = "the binding hides an unset rate")]
    pub(crate) fn frame_micros(&self, repeated: Option<i32>) -> i64 {
        // SAFETY: the context lives as long as `self`.
        let (rate, fields) = unsafe {
            let raw = &*self.inner.as_ptr();
            (raw.framerate, raw.ticks_per_frame.max(1))
        };
        if rate.num <= 0 || rate.den <= 0 {
            return 0;
        }
        let shown = i64::from(repeated.map_or(fields, |more| more.saturating_add(1)));
        1_000_000 * i64::from(rate.den) * shown / i64::from(rate.num) / i64::from(fields)
    }
}

/// Short name of a codec, e.g. `h264`.
#[expect(unsafe_code, reason = "the binding panics on names that are not UTF-8")]
pub(crate) fn codec_name(codec: ffi::AVCodecID) -> String {
    // SAFETY: libav returns a static string for every value.
    unsafe { std::ffi::CStr::from_ptr(ffi::avcodec_get_name(codec)) }.to_string_lossy().into_owned()
}

/// The error of a stream of which nothing could be decoded.
pub(crate) fn undecodable(code: i32) -> MediaError {
    MediaError::Corrupt { detail: format!("no picture of the stream can be decoded: {}", message(code)) }
}
