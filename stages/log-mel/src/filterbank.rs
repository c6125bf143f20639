//! Triangular mel filters, as `librosa.filters.mel` or Kaldi define them, stored sparse.

#![expect(clippy::inline_always, reason = "what is not inlined is not compiled for the vectors that were asked for")]

use crate::params::{MelNorm, MelScale};

/// Triangles over the bins of a Fourier transform: band `m` rises from `f[m]` to `f[m+1]` and falls to `f[m+2]`, where `f`
/// are `n_mels + 2` points equally spaced in mel between `fmin` and `fmax`.
#[derive(Debug, Clone)]
pub(crate) struct Filterbank {
    bands: Vec<Band>,
    /// Of band after band, each followed by zeros up to a whole number of chunks.
    weights: Vec<[f32; CHUNK]>,
}

/// The bins under one triangle, `first..first + len`.
#[derive(Debug, Clone, Copy)]
struct Band {
    first: usize,
    len: usize,
    /// Of its first chunk of weights.
    #[cfg(test)]
    offset: usize,
}

/// Bins that are weighted at once; many bands have no more.
const CHUNK: usize = 4;

/// Slaney's scale: 3 mels per 200 Hz up to 1 kHz, 27 mels per factor 6.4 above.
const LINEAR_HZ_PER_MEL: f64 = 200.0 / 3.0;
const BREAK_HZ: f64 = 1000.0;
const BREAK_MEL: f64 = BREAK_HZ / LINEAR_HZ_PER_MEL;

fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

pub(crate) fn hz_to_mel(hz: f64, scale: MelScale) -> f64 {
    match scale {
        MelScale::Htk | MelScale::Kaldi => 2595.0 * (1.0 + hz / 700.0).log10(),
        MelScale::Slaney if hz >= BREAK_HZ => BREAK_MEL + (hz / BREAK_HZ).ln() / log_step(),
        MelScale::Slaney => hz / LINEAR_HZ_PER_MEL,
    }
}

pub(crate) fn mel_to_hz(mel: f64, scale: MelScale) -> f64 {
    match scale {
        MelScale::Htk | MelScale::Kaldi => 700.0 * (10_f64.powf(mel / 2595.0) - 1.0),
        MelScale::Slaney if mel >= BREAK_MEL => BREAK_HZ * (log_step() * (mel - BREAK_MEL)).exp(),
        MelScale::Slaney => mel * LINEAR_HZ_PER_MEL,
    }
}

/// The `n_mels + 2` edges in Hz.
pub(crate) fn mel_edges(n_mels: usize, fmin: f64, fmax: f64, scale: MelScale) -> Vec<f64> {
    let (lo, hi) = (hz_to_mel(fmin, scale), hz_to_mel(fmax, scale));
    let step = (hi - lo) / (n_mels + 1) as f64;
    (0..n_mels + 2).map(|i| mel_to_hz(lo + step * i as f64, scale)).collect()
}

impl Filterbank {
    pub(crate) fn new(sample_rate: u32, n_fft: usize, edges: &[f64], scale: MelScale, norm: MelNorm) -> Filterbank {
        // Kaldi's triangles are straight in mel, and its transform has no bin at half the sample rate.
        let kaldi = scale == MelScale::Kaldi;
        let along = |hz: f64| if kaldi { hz_to_mel(hz, scale) } else { hz };
        let bins = if kaldi { n_fft / 2 - 1 } else { n_fft / 2 };
        let bin_hz = f64::from(sample_rate) / n_fft as f64;
        let mut bank = Filterbank { bands: Vec::new(), weights: Vec::new() };
        for edge in edges.windows(3) {
            let (lo, mid, hi) = (edge[0], edge[1], edge[2]);
            let height = match norm {
                MelNorm::Slaney => 2.0 / (hi - lo),
                MelNorm::None => 1.0,
            };
            let (lo, mid, hi) = (along(lo), along(mid), along(hi));
            let weight = |bin: usize| {
                let at = along(bin as f64 * bin_hz);
                ((at - lo) / (mid - lo)).min((hi - at) / (hi - mid)).max(0.0) * height
            };
            let first = (0..=bins).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
            let len = (first..=bins).take_while(|&bin| weight(bin) > 0.0).count();
            bank.bands.push(Band {
                first,
                len,
                #[cfg(test)]
                offset: bank.weights.len(),
            });
            let weights: Vec<f64> = (first..first + len).map(weight).collect();
            bank.weights.extend(weights.chunks(CHUNK).map(|chunk| {
                let mut whole = [0.0; CHUNK];
                whole.iter_mut().zip(chunk).for_each(|(whole, w)| *whole = *w as f32);
                whole
            }));
        }
        bank
    }

    /// The number of bands.
    pub(crate) fn len(&self) -> usize {
        self.bands.len()
    }

    /// Bands under whose triangle no bin lies: their energy is always 0.
    pub(crate) fn empty_bands(&self) -> Vec<usize> {
        (0..self.bands.len()).filter(|&m| self.bands[m].len == 0).collect()
    }

    /// Values that [`Filterbank::apply`] reads of a spectrum of `bins` bins: the last chunk of the last band reaches beyond.
    pub(crate) fn padded(bins: usize) -> usize {
        bins + CHUNK - 1
    }

    /// `mel[m] = sum over bins of weight[m][bin] * spectrum[bin]`. What is beyond the bins must be finite.
    #[inline(always)]
    pub(crate) fn apply(&self, spectrum: &[f32], mel: &mut [f32]) {
        let mut rest = &self.weights[..];
        for (band, out) in self.bands.iter().zip(mel) {
            let weights;
            (weights, rest) = rest.split_at(band.len.div_ceil(CHUNK));
            let (bins, _) = spectrum[band.first..].as_chunks::<CHUNK>();
            let mut sums = [0.0; CHUNK];
            for (weights, bins) in weights.iter().zip(bins) {
                for i in 0..CHUNK {
                    sums[i] += weights[i] * bins[i];
                }
            }
            *out = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        }
    }

    /// First bin and weights of one band.
    #[cfg(test)]
    pub(crate) fn band(&self, m: usize) -> (usize, &[f32]) {
        let band = self.bands[m];
        (band.first, &self.weights[band.offset..].as_flattened()[..band.len])
    }
}
