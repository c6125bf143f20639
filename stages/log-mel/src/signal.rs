//! From the channels of a recording to one signal.

#![expect(clippy::inline_always, reason = "what is not inlined is not compiled for the vectors that were asked for")]

use contract::Sound;

use crate::instructions::Kernel;
use crate::params::Mono;
use crate::{Error, limit};

/// One channel of many, rounded to f32; checks the sound on the way. Of a single channel nothing is copied: `mono` is left empty.
pub(crate) struct Mix<'a> {
    pub(crate) sound: &'a Sound,
    pub(crate) how: Mono,
    pub(crate) mono: &'a mut Vec<f32>,
}

impl Kernel for Mix<'_> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run(self) -> Result<(), Error> {
        mix(self.sound, self.how, self.mono)
    }
}

#[inline(always)]
fn mix(sound: &Sound, how: Mono, mono: &mut Vec<f32>) -> Result<(), Error> {
    /// Samples that are looked at before they are read again to be mixed: they stay in the nearest cache.
    const CHUNK: usize = 2048;
    let Sound { sample_rate: rate, channels, samples } = sound;
    let channels = *channels;
    if *rate == 0 || channels == 0 || !samples.len().is_multiple_of(channels) {
        return Err(Error::Malformed { rate: *rate, channels, samples: samples.len() });
    }
    limit((samples.len() / channels) as u128)?;
    mono.clear();
    if channels > 1 {
        mono.reserve(samples.len() / channels);
    }
    let share = 1.0 / channels as f64;
    for (i, chunk) in samples.chunks(CHUNK.next_multiple_of(channels)).enumerate() {
        if chunk.iter().fold(false, |bad, v| bad | !v.is_finite()) {
            return Err(damage(sound, i * CHUNK.next_multiple_of(channels)));
        }
        match (how, channels) {
            // It is a signal already.
            (_, 1) => {}
            (Mono::First, _) => mono.extend(chunk.iter().step_by(channels)),
            (Mono::Mean, 2) => mono.extend(chunk.as_chunks().0.iter().map(|[l, r]| l * 0.5 + r * 0.5)),
            (Mono::Mean, _) => mono.extend(
                chunk.chunks_exact(channels).map(|f| (f.iter().map(|&v| f64::from(v)).sum::<f64>() * share) as f32),
            ),
        }
    }
    Ok(())
}

/// The first value from `start` on that is no number.
fn damage(sound: &Sound, start: usize) -> Error {
    let at = sound.samples[start..].iter().position(|v| !v.is_finite()).expect("one was seen") + start;
    let (frame, channel) = (at / sound.channels, at % sound.channels);
    Error::NotFinite { frame, channel, value: sound.samples[at].to_string() }
}

/// The largest magnitude.
pub(crate) struct Peak<'a>(pub(crate) &'a [f32]);

impl Kernel for Peak<'_> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        let mut peaks = [0.0_f32; 16];
        let (chunks, rest) = self.0.as_chunks::<16>();
        for chunk in chunks {
            for i in 0..16 {
                // `f64::max` heeds NaN, of which there is none here, and that costs.
                let x = chunk[i].abs();
                peaks[i] = if x > peaks[i] { x } else { peaks[i] };
            }
        }
        peaks.iter().chain(rest).fold(0.0_f32, |peak, x| peak.max(x.abs()))
    }
}
