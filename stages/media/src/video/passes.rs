//! The two ways through a stream.
//!
//! * [`exact`] sends every packet and looks at every frame, with the clock of the command: always right.
//! * [`sparing`] trusts a [`Prediction`]: it leaves out frames that are neither wanted nor needed (see [`super::plan`]). It checks
//!   what comes out against the prediction and gives up at the first sign that the prediction is wrong.

use ffmpeg_next::codec::packet::Ref;
use ffmpeg_next::{Packet, ffi, frame};

use super::clock::Clock;
use super::container::{Container, Packets};
use super::convert::Shape;
use super::decoder::{Decoder, Step};
use super::plan::{Action, plan};
use super::predict::{Entry, Prediction};
use super::role::Roles;
use crate::libav::NO_MEMORY;
use crate::{Damage, MediaError};

/// A frame of the exact pass.
pub(crate) struct Seen<'a> {
    /// Its place in presentation order.
    pub(crate) index: usize,
    /// Its time in ticks from the file's start; `i64::MIN` if unknown.
    pub(crate) pts: i64,
    /// Its length in ticks, 0 if unknown.
    pub(crate) duration: i64,
    pub(crate) frame: &'a frame::Video,
}

/// What did not decode in an exact pass.
#[derive(Debug, Default)]
pub(crate) struct Broken {
    /// The last code of packets that were not understood, if any.
    pub(crate) error: Option<i32>,
    /// Pictures that came out.
    shown: usize,
    /// Packets that gave no picture, and pictures that were patched up, behind the place where decoding could begin.
    lost: usize,
    patched: usize,
    /// When the first of these should have been shown, in microseconds from the start of the file.
    first: Option<i64>,
}

impl Broken {
    fn note(&mut self, micros: Option<i64>) {
        self.first = self.first.min(micros).or(self.first).or(micros);
    }

    /// As damage of the stream, if there is any.
    pub(crate) fn damage(&self) -> Option<Damage> {
        let detail = match (self.lost, self.patched) {
            (0, 0) => return None,
            (0, patched) => format!("{patched} of {} pictures are decoded with errors", self.shown),
            (lost, 0) => format!("{lost} of {} pictures do not decode", self.shown + lost),
            (lost, patched) => {
                format!("{lost} of {} pictures do not decode and {patched} are decoded with errors", self.shown + lost)
            }
        };
        Some(Damage { missing: false, micros: self.first, byte: None, detail })
    }
}

/// Decodes everything, until `each` says that it has had enough.
pub(crate) fn exact(
    container: &Container,
    packets: &Packets,
    each: &mut dyn FnMut(Seen<'_>) -> Result<bool, MediaError>,
) -> Result<Broken, MediaError> {
    let mut pass = Exact {
        clock: Clock::new(&container.facts),
        decoder: Decoder::open(container, false)?,
        frame: frame::Video::empty(),
        begun: None,
        broken: Broken::default(),
        pending: Vec::new(),
        repeated: None,
        each,
    };
    let (mut more, mut number) = (true, 0);
    packets.replay(|packet| {
        let mut packet = packet.clone();
        pass.repeated = packets.repeated(number);
        number += 1;
        let (pts, dts) = pass.clock.correct(packet.pts(), packet.dts());
        packet.set_pts(pts);
        packet.set_dts(dts);
        more = pass.packet(packet)?;
        Ok(more)
    })?;
    if more {
        pass.drain()?;
    }
    Ok(pass.broken)
}

struct Exact<'a> {
    clock: Clock,
    decoder: Decoder,
    frame: frame::Video,
    /// The time of the first key frame, in ticks: what is shown before it may lack what it refers to.
    begun: Option<i64>,
    broken: Broken,
    /// Decoding times of the calls since the end, for frames that come out without a time.
    pending: Vec<Option<i64>>,
    /// How much longer than one field the container's parser says that the picture of the last packet is shown.
    repeated: Option<i32>,
    each: &'a mut dyn FnMut(Seen<'_>) -> Result<bool, MediaError>,
}

impl Exact<'_> {
    fn packet(&mut self, mut packet: Packet) -> Result<bool, MediaError> {
        let time = packet.pts().or(packet.dts());
        if packet.is_key() {
            self.begun = self.begun.or(Some(time.unwrap_or(i64::MIN)));
        }
        self.clock.begin(packet.dts(), self.decoder.has_b_frames());
        let mut first = true;
        loop {
            let dts = self.clock.attempt();
            let mut got = None;
            if packet.size() > 0 {
                if first {
                    packet.set_dts(dts);
                    if let Err(code) = self.decoder.send(&packet) {
                        self.fail(code, time)?;
                        self.clock.finish(self.step(packet.duration()), true, None);
                        return Ok(true);
                    }
                }
                match self.decoder.receive(&mut self.frame) {
                    Step::Frame => got = Some(duration(&self.frame)),
                    Step::Hungry | Step::End => {}
                    Step::Error(code) => self.fail(code, time)?,
                }
            }
            let step = self.step(packet.duration());
            if got.is_some() && !self.show(None, step)? {
                return Ok(false);
            }
            self.clock.finish(step, first || got.is_some(), got);
            if got.is_none() {
                return Ok(true);
            }
            first = false;
        }
    }

    fn drain(&mut self) -> Result<(), MediaError> {
        self.decoder.send_end();
        loop {
            self.clock.begin(None, self.decoder.has_b_frames());
            let dts = self.clock.attempt();
            self.pending.push(dts);
            let got = match self.decoder.receive(&mut self.frame) {
                Step::Frame => duration(&self.frame),
                Step::Hungry | Step::End => return Ok(()),
                Step::Error(code) => {
                    self.fail(code, None)?;
                    self.clock.finish(self.step(0), true, None);
                    continue;
                }
            };
            let (fallback, step) = (self.pending[0], self.step(0));
            if !self.show(fallback, step)? {
                return Ok(());
            }
            self.clock.finish(step, true, Some(got));
        }
    }

    /// The length of a frame in microseconds, by its packet or else by the stream's rate.
    fn step(&self, packet_duration: i64) -> i64 {
        if packet_duration == 0 { self.decoder.frame_micros(self.repeated) } else { self.clock.micros(packet_duration) }
    }

    /// A packet was not understood.
    fn fail(&mut self, code: i32, time: Option<i64>) -> Result<(), MediaError> {
        if ffmpeg_next::Error::from(code) == NO_MEMORY {
            return Err(MediaError::OutOfMemory);
        }
        self.broken.error = Some(code);
        if self.begun.is_some() {
            self.broken.lost += 1;
            self.broken.note(time.map(|t| self.clock.micros(t)));
        }
        Ok(())
    }

    /// `step`: how long the frame is shown in microseconds where it does not say so itself.
    fn show(&mut self, fallback: Option<i64>, step: i64) -> Result<bool, MediaError> {
        let mut time = self.frame.timestamp();
        if time.is_none() && fallback.is_some() {
            time = fallback;
            self.pending.remove(0);
        }
        self.clock.shown(time);
        let own = duration(&self.frame);
        let length = if own > 0 { own } else { self.clock.ticks(step) };
        let damaged = self.frame.is_corrupt() || self.frame.has_decode_errors();
        if damaged && self.begun.is_some_and(|begun| time.is_none_or(|t| t >= begun)) {
            self.broken.patched += 1;
            self.broken.note(time.map(|t| self.clock.micros(t)));
        }
        let index = self.broken.shown;
        self.broken.shown += 1;
        (self.each)(Seen { index, pts: time.unwrap_or(i64::MIN), duration: length, frame: &self.frame })
    }
}

/// The length that the packet gave to its frame.
#[expect(unsafe_code, reason = "the binding copies the whole packet to show it")]
fn duration(frame: &frame::Video) -> i64 {
    // SAFETY: the frame lives as long as the borrow.
    unsafe { (*frame.as_ptr()).pkt_duration.max(0) }
}

/// How the sparing pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything wanted came out as predicted, or the caller had enough.
    Done,
    /// The prediction does not hold.
    Mistaken,
}

/// Decodes the wanted frames (ascending indices into the prediction) and what they need. `entries` are the packets in file order.
pub(crate) fn sparing(
    container: &Container,
    packets: &Packets,
    entries: &[Entry],
    prediction: &Prediction,
    wanted: &[usize],
    each: &mut dyn FnMut(usize, &frame::Video) -> Result<bool, MediaError>,
) -> Result<Verdict, MediaError> {
    let wanted_times: Vec<i64> = wanted.iter().map(|&i| prediction.times[i]).collect();
    let actions = plan(entries, |entry| entry.pts.is_some_and(|t| wanted_times.binary_search(&t).is_ok()));
    let Some(last) = actions.iter().rposition(|a| *a != Action::Drop) else { return Ok(Verdict::Done) };
    let may_skip = container.facts.codec == ffi::AVCodecID::AV_CODEC_ID_H264;

    let mut pass = Sparing {
        decoder: Decoder::open(container, true)?,
        frame: frame::Video::empty(),
        times: &prediction.times,
        wanted,
        next_wanted: 0,
        last_index: None,
        shape: None,
        each,
    };
    let mut end = None;
    let mut actions = actions[..=last].iter();
    packets.replay(|packet| {
        let Some(&action) = actions.next() else { return Ok(false) };
        if action == Action::Drop {
            return Ok(true);
        }
        if action == Action::Anew {
            end = pass.finish()?;
            pass.decoder.begin_anew();
        }
        if end.is_none() {
            pass.decoder.skip_unreferenced(may_skip && action != Action::Decode);
            end = if pass.decoder.send(packet).is_err() { Some(Verdict::Mistaken) } else { pass.receive()? };
        }
        Ok(end.is_none())
    })?;
    if end.is_none() {
        end = pass.finish()?;
    }
    Ok(end.unwrap_or(if pass.next_wanted == wanted.len() { Verdict::Done } else { Verdict::Mistaken }))
}

struct Sparing<'a> {
    decoder: Decoder,
    frame: frame::Video,
    times: &'a [i64],
    wanted: &'a [usize],
    next_wanted: usize,
    last_index: Option<usize>,
    shape: Option<Shape>,
    each: &'a mut dyn FnMut(usize, &frame::Video) -> Result<bool, MediaError>,
}

impl Sparing<'_> {
    /// Takes all that is left in the decoder; a verdict if the pass is over.
    fn finish(&mut self) -> Result<Option<Verdict>, MediaError> {
        self.decoder.send_end();
        self.receive()
    }

    /// Takes what the decoder has; a verdict if the pass is over.
    fn receive(&mut self) -> Result<Option<Verdict>, MediaError> {
        loop {
            match self.decoder.receive(&mut self.frame) {
                Step::Frame => {}
                Step::Hungry | Step::End => return Ok(None),
                Step::Error(_) => return Ok(Some(Verdict::Mistaken)),
            }
            let shape = Shape::of(&self.frame);
            let index = self.frame.pts().and_then(|t| self.times.binary_search(&t).ok());
            let Some(index) = index.filter(|&i| self.last_index.is_none_or(|last| i > last)) else {
                return Ok(Some(Verdict::Mistaken));
            };
            self.last_index = Some(index);
            let damaged = self.frame.is_corrupt() || self.frame.has_decode_errors();
            if damaged || *self.shape.get_or_insert(shape) != shape {
                return Ok(Some(Verdict::Mistaken));
            }
            match self.wanted.get(self.next_wanted) {
                Some(&wanted) if wanted < index => return Ok(Some(Verdict::Mistaken)),
                Some(&wanted) if wanted == index => {
                    self.next_wanted += 1;
                    if !(self.each)(index, &self.frame)? {
                        return Ok(Some(Verdict::Done));
                    }
                }
                _ => {}
            }
        }
    }
}

impl Entry {
    /// What the container and its own bytes say of this packet.
    #[expect(unsafe_code, reason = "the binding hides the discard flag and the duration's sign")]
    pub(crate) fn of(packet: &Packet, roles: &mut Roles) -> Self {
        // SAFETY: the packet lives as long as the borrow.
        let raw = unsafe { &*packet.as_ptr() };
        let flag = |bit: i32| raw.flags & bit != 0;
        let key = flag(ffi::AV_PKT_FLAG_KEY);
        let renewed = has_side_data(packet, ffi::AVPacketSideDataType::AV_PKT_DATA_NEW_EXTRADATA);
        Entry {
            pts: packet.pts(),
            dts: packet.dts(),
            duration: raw.duration.max(0),
            size: packet.size(),
            key,
            discard: flag(ffi::AV_PKT_FLAG_DISCARD),
            corrupt: flag(ffi::AV_PKT_FLAG_CORRUPT),
            role: roles.next(packet.data().unwrap_or_default(), key, renewed),
        }
    }
}

/// Whether the container marks the packet's payload as encrypted.
pub(crate) fn encrypted(packet: &Packet) -> bool {
    has_side_data(packet, ffi::AVPacketSideDataType::AV_PKT_DATA_ENCRYPTION_INFO)
}

#[expect(unsafe_code, reason = "the binding's iterator panics on side data newer than itself")]
fn has_side_data(packet: &Packet, kind: ffi::AVPacketSideDataType) -> bool {
    // SAFETY: the packet lives as long as the borrow; only the presence of the side data is looked at.
    unsafe { !ffi::av_packet_get_side_data(packet.as_ptr(), kind, std::ptr::null_mut()).is_null() }
}
