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
//! Everything is computed in f64 and rounded once, to `dtype`. With f32 the output is therefore the definition's to half a
//! unit in the last place (4e-6 dB at -100 dB), and within 1.5e-5 dB of librosa, which rounds to f32 in between. (A transform
//! in f32 would be off by 8e-4 dB for noise and by whole decibels in the quiet bands beside a loud tone.)
//!
//! # Resampling
//!
//! Sound of another rate goes through rubato's synchronous FFT resampler in f64 with blocks of at least 1024 samples of the
//! narrower rate. Beyond its ends the sound is taken as 0. The output has exactly `floor(n * to / from)` samples and no delay:
//! at 48 kHz 479,999 / 480,000 / 480,001 samples become 319,999 / 320,000 / 320,000 and, with the preset `reference`, 500 /
//! 501 / 501 frames. Tones at 48 -> 32 kHz, amplitude after the passage (f = fraction of 16 kHz), error of position in
//! samples, largest alias of tones from 16 to 24 kHz, time for 10 s:
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

mod filterbank;
mod params;
mod resample;
mod spectrum;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

use contract::{Cause, Classify, Column, ColumnSpec, Decl, Kind, Rows, Sound, Values};
use half::f16;

use filterbank::{Filterbank, mel_edges};
pub use params::{Dtype, Log, MelNorm, MelScale, Mono, PadMode, Params, ParamsError, Preset, Resampling, Spec, Window};
use resample::Resampler;
use spectrum::Spectrum;

/// The declaration of the stage.
pub const DECL: Decl = Decl {
    id: "log-mel",
    version: 1,
    kind: Kind::Item,
    inputs: &[],
    summary: "Makes a log-mel spectrogram in dB of the sound of a clip",
};

/// The fastest sound that is resampled, that of the fastest converters. Between rates without a common factor a block is two
/// seconds long, so the cost of planning grows with the rate: 44,101 Hz take 0.04 s, 767,999 Hz 0.8 s and 280 MB.
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
    spectrum: Spectrum,
    filters: Filterbank,
    resampler: Option<Resampler>,
    mono: Vec<f64>,
    resampled: Vec<f64>,
    bins: Vec<f64>,
}

impl LogMel {
    /// Plans transform and filters; fails on a `Spec` that [`Params::resolve`] would not have made.
    pub fn new(spec: &Spec) -> Result<LogMel, ParamsError> {
        spec.check()?;
        let edges = mel_edges(spec.n_mels, spec.fmin, spec.fmax, spec.mel_scale);
        Ok(LogMel {
            spectrum: Spectrum::new(spec),
            filters: Filterbank::new(spec.sample_rate, spec.n_fft, &edges, spec.mel_scale, spec.mel_norm),
            resampler: None,
            mono: Vec::new(),
            resampled: Vec::new(),
            bins: vec![0.0; spec.n_fft / 2 + 1],
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

    /// The spectrogram of one clip.
    pub fn compute(&mut self, sound: &Sound) -> Result<Rows, Error> {
        mix(sound, self.spec.mono, &mut self.mono)?;
        self.resample(sound.sample_rate)?;
        let emphasised = self.spec.preemphasis > 0.0;
        let needed = self.spectrum.shortest() + usize::from(emphasised);
        if self.mono.len() < needed {
            return Err(Error::TooShort { samples: self.mono.len(), rate: self.spec.sample_rate, needed });
        }
        if self.spec.peak_normalize {
            peak_normalize(&mut self.mono);
        }
        if emphasised {
            emphasise(&mut self.mono, self.spec.preemphasis);
        }
        let n_mels = self.spec.n_mels;
        let frames = self.spectrum.frames(self.mono.len());
        limit(frames as u128 * n_mels as u128)?;
        let mut mel = vec![0.0; frames * n_mels];
        for (t, row) in mel.chunks_exact_mut(n_mels).enumerate() {
            self.spectrum.frame(&self.mono, t, &mut self.bins);
            self.filters.apply(&self.bins, row);
        }
        logarithms(&mut mel, &self.spec);
        let values = match self.spec.dtype {
            Dtype::F32 => Values::F32(mel.iter().map(|&v| v as f32).collect()),
            Dtype::F16 => Values::F16(mel.iter().map(|&v| f16::from_f64(v)).collect()),
        };
        Ok(Rows { len: frames, columns: vec![Column { name: "log_mel".into(), width: Some(n_mels), values }] })
    }

    /// Brings `self.mono` from `rate` to the rate of the analysis.
    fn resample(&mut self, rate: u32) -> Result<(), Error> {
        let to = self.spec.sample_rate;
        if rate == to {
            return Ok(());
        }
        if rate > MAX_RATE {
            return Err(Error::RateTooHigh { rate });
        }
        limit(self.mono.len() as u128 * u128::from(to) / u128::from(rate))?;
        let resampler = match self.resampler.take() {
            Some(planned) if planned.from() == rate => self.resampler.insert(planned),
            _ => self.resampler.insert(Resampler::new(rate, to, self.spec.resampler)),
        };
        resampler.run(&self.mono, &mut self.resampled);
        std::mem::swap(&mut self.mono, &mut self.resampled);
        Ok(())
    }
}

fn limit(values: u128) -> Result<(), Error> {
    if values > MAX_VALUES as u128 { Err(Error::TooLarge { values }) } else { Ok(()) }
}

/// One channel of many; checks the sound on the way.
fn mix(sound: &Sound, how: Mono, mono: &mut Vec<f64>) -> Result<(), Error> {
    let Sound { sample_rate: rate, channels, samples } = sound;
    if *rate == 0 || *channels == 0 || !samples.len().is_multiple_of(*channels) {
        return Err(Error::Malformed { rate: *rate, channels: *channels, samples: samples.len() });
    }
    limit((samples.len() / channels) as u128)?;
    if let Some(i) = samples.iter().position(|v| !v.is_finite()) {
        let (frame, channel) = (i / channels, i % channels);
        return Err(Error::NotFinite { frame, channel, value: samples[i].to_string() });
    }
    mono.clear();
    match how {
        Mono::Mean => mono.extend(
            samples.chunks_exact(*channels).map(|f| f.iter().map(|&v| f64::from(v)).sum::<f64>() / *channels as f64),
        ),
        Mono::First => mono.extend(samples.iter().step_by(*channels).map(|&v| f64::from(v))),
    }
    Ok(())
}

/// The reference loader's rule: the peak becomes (almost) 1, and silence stays silence.
fn peak_normalize(signal: &mut [f64]) {
    let peak = signal.iter().fold(0.0_f64, |peak, x| peak.max(x.abs()));
    let scale = 1.0 / (peak + 1e-8);
    for x in signal {
        *x *= scale;
    }
}

/// From each sample its predecessor's share; the first has none and goes.
fn emphasise(signal: &mut Vec<f64>, share: f64) {
    for i in 1..signal.len() {
        signal[i - 1] = signal[i] - share * signal[i - 1];
    }
    signal.pop();
}

/// Mel energies (or amplitudes) to what is asked for, in place.
fn logarithms(mel: &mut [f64], spec: &Spec) {
    match spec.log {
        Log::Db => decibels(mel, spec),
        Log::Ln => {
            for v in mel.iter_mut() {
                *v = (*v + spec.amin).ln();
            }
        }
    }
    // With the usual 0 and 1 this changes no bit.
    for v in mel {
        *v = (*v + spec.offset) / spec.divisor;
    }
}

/// Mel energies (or amplitudes) to dB, in place.
fn decibels(mel: &mut [f64], spec: &Spec) {
    let (factor, floor) = (20.0 / spec.power, spec.amin.powf(spec.power / 2.0));
    for v in mel.iter_mut() {
        *v = factor * v.max(floor).log10() - spec.ref_db;
    }
    if let Some(range) = spec.top_db {
        let limit = mel.iter().copied().fold(f64::NEG_INFINITY, f64::max) - range;
        for v in mel {
            *v = v.max(limit);
        }
    }
}
