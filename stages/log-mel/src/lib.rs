//! From samples to a log-mel spectrogram, in dB unless asked otherwise.
//!
//! # Formula
//!
//! ```text
//! x          = mean of the channels, resampled to sample_rate, optionally divided by (max|x| + 1e-8)
//! x[n]       = x[n + 1] - preemphasis x[n], where that is not 0
//! X[t, k]    = sum over n < n_fft of w[n] x[t hop - n_fft/2 + n] e^(-2πi k n / n_fft)      k = 0 ..= n_fft/2
//! M[t, m]    = sum over k of W[m, k] |X[t, k]|^power
//! log_mel    = 20/power log10(max(M, amin^(power/2))) - ref_db, then raised to at least max(log_mel) - top_db   (log = "db")
//! log_mel    = ln(M + amin)                                                                                     (log = "ln")
//! log_mel    = (log_mel + offset) / divisor
//! ```
//!
//! For `power` = 2 the last line is `10 log10(max(M, amin))`, librosa's `power_to_db`; for 1 its `amplitude_to_db` with the
//! square root of `amin`. `w` is a window of `win_length` samples centred in `n_fft`; `W` are the triangles of
//! `librosa.filters.mel` (Slaney's scale and equal area by default), or Kaldi's. The numbers of the preset `reference` are those of the
//! DCASE 2021 task 1B example, those of `panns` of the PANNs networks (Kong et al. 2020) for 32 kHz,
//! those of `efficientat` of the networks `mn` (Schmid et al. 2023), in evaluation: `(ln(M + 1e-5) + 4.5) / 5`, which is no decibels.
//!
//! # Output
//!
//! One column, `log_mel` `[T, n_mels]` in dB, time first. `T = 1 + floor(n / hop)` when centred (for an even `n_fft`), else
//! `1 + floor((n - n_fft) / hop)`, with `n` the samples at `sample_rate`. Row `t` is centred on second `t hop / sample_rate`.
//! Values are finite and never below `10 log10(amin) - ref_db`, which is what silence reads: -100 dB with `reference` and `panns`
//! (`ln(amin)`, so -1.4026, with `efficientat`, whose 10 s have 1000 frames: pre-emphasis takes one sample).
//! The same sound gives the same bytes, whatever was computed before.
//!
//! # Error
//!
//! Samples, transform and filters are f32, the logarithm and everything that is planned f64. Against the definition in f64 a value `D` dB
//! below the loudest of its frame is off by at most `1e-5 + 2e-6 * 10^(D/20)` dB (tested): 3e-6 dB are measured for noise, 0.07 dB (with `n_fft` 400
//! and HTK's scale 0.7 dB) for what lies 100 dB under a pure tone. So the goldens of librosa, which transforms in f64, are met within their own rounding (6.5e-5 dB) and this
//! error (0.14 dB are measured beside such a tone). All in f64 the error would be 4e-6 dB everywhere.
//!
//! # Speed
//!
//! One thread, 10 s at 32 kHz; `cargo bench --workspace --bench log_mel` measures it beside torchaudio and librosa. A frame costs one
//! complex transform of half its length, planned once, a pass over its products, and one over the bins under the triangles; the window carries
//! the scaling of the clip, a single channel at the rate of the analysis is read where it lies, and nothing is allocated per frame. Loops
//! are compiled for AVX2 as well, and that is chosen where there is it.
//!
//! # Resampling
//!
//! Sound of another rate goes through rubato's synchronous FFT resampler in f64 with blocks of at least 1024 samples of the
//! narrower rate; its output is f32. Beyond its ends the sound is taken as 0. The output has exactly `floor(n * to / from)` samples and no delay:
//! at 48 kHz 479,999 / 480,000 / 480,001 samples become 319,999 / 320,000 / 320,000 and, with the preset `reference`, 500 /
//! 501 / 501 frames. Tones at 48 -> 32 kHz, amplitude after the passage (f = fraction of 16 kHz), error of position in
//! samples, largest alias of tones from 16 to 24 kHz, time for 10 s, all in f64, before the output is rounded:
//!
//! | resampler | ripple to f=0.85 | f=0.95 | f=0.97 | f=0.99 | position | alias | ms |
//! |---|---|---|---|---|---|---|---|
//! | **rubato FFT f64, block 1024** (`high`) | 5e-11 dB | 0.00 | 0.00 | -17.6 | 8e-12 | -153 dB | 9 |
//! | rubato FFT f64, block 512 | 7e-10 dB | 0.00 | -2.95 | -54 | 5e-11 | -150 dB | 7 |
//! | rubato FFT f64, block 2048 | 2e-11 dB | 0.00 | 0.00 | -0.11 | 8e-12 | -182 dB | 12 |
//! | rubato sinc f64, 256 taps, cubic | 3e-2 dB at 0.9 | -7.2 | -20 | -43 | 7e-1 | -60 dB | 74 |
//! | soxr HQ · VHQ | 1e-6 · 4e-9 dB | -2.9 · -3.0 | -17 · -22 | -59 · -78 | 6e-7 · 5e-12 | -128 · -175 dB | 3 · 4 |
//! | resampy kaiser_best · kaiser_fast | 2.2 · 13 dB at 0.9 | -23 · -34 | -42 · -48 | -76 · -65 | 2e-5 · 3e-4 | -91 · -70 dB | 177 · 58 |
//!
//! So the FFT resampler is the only candidate that leaves the top mel bands (15.5-16 kHz is the last of `reference`) as they
//! are; the sinc resampler cannot take out its delay to the fraction of a sample. The example that `reference` follows used
//! resampy's `kaiser_fast`, which fades from 80 % of the band on: expect its features of 48-kHz sound to be lower above 13 kHz.
//!
//! # Of the input
//!
//! Honoured: every sample of every channel, any sample rate from 1 Hz to 768 kHz. Half-honoured: channels, which are
//! averaged (or the first is taken) without regard to their layout. Ignored: nothing else is in a [`Sound`].
//! Refused: sound that is empty or too short for one frame (a reflected end needs `n_fft/2 + 1` samples, where numpy would
//! mirror again and again), NaN and infinities.
//!
//! # History of `version`
//!
//! 1. First. Since then `preemphasis`, `log`, `offset`, `divisor`, `hann-symmetric`, `kaldi` and the preset `efficientat`: other values change none.
//!    Nor does `partial`, which is no affair of this crate: whoever decodes obeys it.
//! 2. f32 instead of f64, with the error stated above.
//! 3. No affair of this crate, but of its keys: a WAV whose header counts other bytes a moment than its samples have gives what the ffmpeg command
//!    makes of it, and a file for which a decoder found no memory is no corrupt one. The values of all others are the same.

mod filterbank;
mod instructions;
mod level;
mod params;
mod resample;
mod signal;
mod spectrum;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

use contract::{Cause, Classify, Column, ColumnSpec, Decl, Kind, Rows, Sound, Values};
use half::f16;

use filterbank::{Filterbank, mel_edges};
use instructions::{Instructions, Kernel};
use level::Level;
pub use params::{Dtype, Log, MelNorm, MelScale, Mono, PadMode, Params, ParamsError, Preset, Resampling, Spec, Window};
use resample::Resampler;
use signal::{Mix, Peak};
use spectrum::Spectrum;

/// The declaration of the stage.
pub const DECL: Decl = Decl {
    id: "log-mel",
    version: 3,
    kind: Kind::Item,
    inputs: &[],
    summary: "Makes a log-mel spectrogram in dB of the sound of a clip",
};

/// The fastest sound that is resampled, that of the fastest converters. Between rates without a common factor a transform is two
/// seconds long, so the cost of planning grows with the rate: 44,101 Hz take 0.07 s, 767,999 Hz 1.4 s and 180 MB.
const MAX_RATE: u32 = 768_000;
/// The most samples or values held for one clip (8 GiB in f64): 9 h at 32 kHz.
const MAX_VALUES: usize = 1 << 30;

/// Why a sound has no log-mel spectrogram.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not enough samples for one frame.
    #[error("{samples} samples at {rate} Hz are too few for one frame: at least {needed} are needed")]
    TooShort {
        /// Samples per channel, after resampling.
        samples: usize,
        /// The rate of the analysis.
        rate: u32,
        /// The fewest that give a frame.
        needed: usize,
    },
    /// A sample is NaN or infinite.
    #[error("sample {frame} of channel {channel} is {value}: the sound is damaged")]
    NotFinite {
        /// Index in its channel.
        frame: usize,
        /// Channel, from 0.
        channel: usize,
        /// `NaN`, `inf` or `-inf`.
        value: String,
    },
    /// A sound that is none: rate or channels of 0, or a last frame that lacks channels.
    #[error("not a sound: {rate} Hz, {channels} channels, {samples} values")]
    Malformed {
        /// Samples per second.
        rate: u32,
        /// Channels.
        channels: usize,
        /// Values over all channels.
        samples: usize,
    },
    /// A sample rate beyond what is resampled.
    #[error("a sample rate of {rate} Hz is beyond the limit of {MAX_RATE} Hz: resample the file first")]
    RateTooHigh {
        /// Samples per second.
        rate: u32,
    },
    /// More values than are held in memory for one clip.
    #[error("the sound would become {values} values, beyond the limit of {MAX_VALUES}: cut the file into clips")]
    TooLarge {
        /// Samples after resampling, or frames times bands.
        values: u128,
    },
}

impl Classify for Error {
    fn class(&self) -> Cause {
        match self {
            Error::TooShort { .. } => Cause::TooShort,
            Error::NotFinite { .. } | Error::Malformed { .. } => Cause::Corrupt,
            Error::RateTooHigh { .. } => Cause::Unsupported,
            Error::TooLarge { .. } => Cause::TooLarge,
        }
    }
}

/// Makes log-mel spectrograms: plans once, then computes clip after clip.
pub struct LogMel {
    spec: Spec,
    instructions: Instructions,
    spectrum: Spectrum,
    filters: Filterbank,
    level: Level,
    resampler: Option<Resampler>,
    mono: Vec<f32>,
    resampled: Vec<f32>,
    bins: Vec<f32>,
}

impl LogMel {
    /// Plans transform and filters; fails on a `Spec` that [`Params::resolve`] would not have made.
    pub fn new(spec: &Spec) -> Result<LogMel, ParamsError> {
        LogMel::with(spec, Instructions::best())
    }

    fn with(spec: &Spec, instructions: Instructions) -> Result<LogMel, ParamsError> {
        spec.check()?;
        let edges = mel_edges(spec.n_mels, spec.fmin, spec.fmax, spec.mel_scale);
        Ok(LogMel {
            instructions,
            spectrum: Spectrum::new(spec, instructions),
            filters: Filterbank::new(spec.sample_rate, spec.n_fft, &edges, spec.mel_scale, spec.mel_norm),
            level: Level::new(spec),
            resampler: None,
            mono: Vec::new(),
            resampled: Vec::new(),
            bins: vec![0.0; Filterbank::padded(spec.n_fft / 2 + 1)],
            spec: spec.clone(),
        })
    }

    /// The columns of every item.
    pub fn columns(&self) -> Vec<ColumnSpec> {
        self.spec.columns()
    }

    /// Bands too narrow to hold a single bin of the transform: they read silence always. `efficientat` has some, as its networks expect;
    /// with the other presets there is none;
    /// fewer bands or a larger `n_fft` avoid them.
    pub fn empty_bands(&self) -> Vec<usize> {
        self.filters.empty_bands()
    }

    /// The transforms of `frames` frames and nothing else, which no log-mel can do without: what [`LogMel::compute`] is measured against.
    pub fn transform_only(&mut self, frames: usize) {
        self.spectrum.transform_only(frames);
    }

    /// The spectrogram of one clip.
    pub fn compute(&mut self, sound: &Sound) -> Result<Rows, Error> {
        self.instructions.run(Mix { sound, how: self.spec.mono, mono: &mut self.mono })?;
        let mono = if sound.channels == 1 { &sound.samples } else { &self.mono };
        let (rate, to) = (sound.sample_rate, self.spec.sample_rate);
        let signal = if rate == to {
            mono
        } else {
            limit(mono.len() as u128 * u128::from(to) / u128::from(rate))?;
            planned(&mut self.resampler, rate, &self.spec)?.run(mono, &mut self.resampled);
            &self.resampled
        };
        let (samples, needed) = (signal.len(), self.spectrum.shortest());
        if samples < needed {
            return Err(Error::TooShort { samples, rate: to, needed });
        }
        let (frames, n_mels) = (self.spectrum.frames(samples), self.spec.n_mels);
        limit(frames as u128 * n_mels as u128)?;
        let (scale, gain) = scaling(self.instructions.run(Peak(signal)), &self.spec);
        self.spectrum.scale(scale);
        let mut levels = vec![0.0; frames * n_mels];
        let top = self.instructions.run(Analyse {
            signal,
            spectrum: &mut self.spectrum,
            filters: &self.filters,
            level: self.level,
            gain,
            bins: &mut self.bins,
            levels: &mut levels,
        });
        if let Some(limit) = self.level.limit(top) {
            for v in &mut levels {
                *v = v.max(limit);
            }
        }
        let values = match self.spec.dtype {
            Dtype::F32 => Values::F32(levels),
            Dtype::F16 => Values::F16(levels.into_iter().map(f16::from_f32).collect()),
        };
        Ok(Rows { len: frames, columns: vec![Column { name: "log_mel".into(), width: Some(n_mels), values }] })
    }
}

/// The resampler for sound of `rate`: that of the clip before, or a new one.
fn planned<'a>(resampler: &'a mut Option<Resampler>, rate: u32, spec: &Spec) -> Result<&'a mut Resampler, Error> {
    if rate > MAX_RATE {
        return Err(Error::RateTooHigh { rate });
    }
    Ok(match resampler.take() {
        Some(planned) if planned.from() == rate => resampler.insert(planned),
        _ => resampler.insert(Resampler::new(rate, spec.sample_rate, spec.resampler)),
    })
}

/// What the samples are multiplied by, and what their energies (or amplitudes) are multiplied by in turn.
///
/// Peak normalisation is the reference loader's rule: the peak becomes (almost) 1, and silence stays silence. Without it a recording
/// that is far louder or quieter than full scale is brought near it by a power of two, which changes no bit, and taken back in f64: the square
/// of a sample may be beyond f32.
fn scaling(peak: f32, spec: &Spec) -> (f64, f64) {
    let peak = f64::from(peak);
    if spec.peak_normalize {
        (1.0 / (peak + 1e-8), 1.0)
    } else if peak == 0.0 || (2.0_f64.powi(-24)..=16.0).contains(&peak) {
        (1.0, 1.0)
    } else {
        let scale = (-peak.log2().floor()).exp2();
        (scale, scale.powf(-spec.power))
    }
}

/// Frame after frame: transform, filters, logarithms. Nothing is allocated on the way. Returns the largest level.
struct Analyse<'a> {
    signal: &'a [f32],
    spectrum: &'a mut Spectrum,
    filters: &'a Filterbank,
    level: Level,
    gain: f64,
    bins: &'a mut [f32],
    levels: &'a mut [f32],
}

impl Kernel for Analyse<'_> {
    type Output = f32;

    #[expect(clippy::inline_always, reason = "what is not inlined is not compiled for the vectors that were asked for")]
    #[inline(always)]
    fn run(self) -> f32 {
        let Analyse { signal, spectrum, filters, level, gain, bins, levels } = self;
        let mut top = f32::NEG_INFINITY;
        for (t, row) in levels.chunks_exact_mut(filters.len()).enumerate() {
            spectrum.frame(signal, t, bins);
            filters.apply(bins, row);
            top = top.max(level.apply(row, gain));
        }
        top
    }
}

fn limit(values: u128) -> Result<(), Error> {
    if values > MAX_VALUES as u128 { Err(Error::TooLarge { values }) } else { Ok(()) }
}
