//! Frames of a signal and their magnitude spectra.
//!
//! A frame of even length `n` goes through a complex transform of `n / 2` values, the even samples as real and the odd ones as imaginary
//! parts: with `Z` its result, `E[k] = (Z[k] + conj Z[n/2 - k]) / 2` and `O[k] = (Z[k] - conj Z[n/2 - k]) / 2i` are the transforms of the even
//! and the odd samples, `X[k] = E[k] + e^(-2πik/n) O[k]` and `X[n/2 - k] = conj(E[k] - e^(-2πik/n) O[k])`. Only the squares are kept.
//! Everything is in f32, from tables that were computed in f64.

#![expect(clippy::inline_always, reason = "what is not inlined is not compiled for the vectors that were asked for")]

use std::sync::Arc;

use pulp::bytemuck;
use rustfft::Fft;
use rustfft::num_complex::{Complex32, Complex64};

use crate::instructions::Instructions;
use crate::params::{PadMode, Spec, Window};

/// Plans once; [`Spectrum::frame`] allocates nothing.
pub(crate) struct Spectrum {
    n_fft: usize,
    hop: usize,
    center: bool,
    pad_mode: PadMode,
    power: f64,
    preemphasis: f32,
    /// Halved where `n_fft` is even: the halves of `E` and `O`.
    window: Vec<f64>,
    /// The window, times what the samples of this clip are multiplied by.
    scaled: Vec<f32>,
    fft: Arc<dyn Fft<f32>>,
    /// `e^(-2πik/n_fft)` of `k = 1 ..`, as many as pairs of `k` and `n_fft/2 - k`.
    twiddles: Vec<Complex32>,
    /// A frame that reaches beyond the signal.
    edge: Vec<f32>,
    bins: Vec<Complex32>,
    halves: Halves,
    scratch: Vec<Complex32>,
}

impl Spectrum {
    pub(crate) fn new(spec: &Spec, instructions: Instructions) -> Spectrum {
        let n = spec.n_fft;
        let even = n.is_multiple_of(2);
        let fft = instructions.transform(if even { n / 2 } else { n });
        let mut window = window(spec.window, spec.win_length, n);
        if even {
            for w in &mut window {
                *w *= 0.5;
            }
        }
        let pairs = if even { (n / 2 - 1) / 2 } else { 0 };
        let angle = |k: usize| -std::f64::consts::TAU * k as f64 / n as f64;
        Spectrum {
            n_fft: n,
            hop: spec.hop_length,
            center: spec.center,
            pad_mode: spec.pad_mode,
            power: spec.power,
            preemphasis: spec.preemphasis as f32,
            scaled: vec![0.0; n],
            window,
            twiddles: (1..=pairs)
                .map(|k| Complex64::cis(angle(k)))
                .map(|w| Complex32::new(w.re as f32, w.im as f32))
                .collect(),
            edge: vec![0.0; n],
            halves: Halves::new(pairs),
            bins: vec![Complex32::ZERO; fft.len()],
            scratch: vec![Complex32::ZERO; fft.get_inplace_scratch_len()],
            fft,
        }
    }

    /// Samples that each end is extended by.
    fn padding(&self) -> usize {
        if self.center { self.n_fft / 2 } else { 0 }
    }

    /// The sample that pre-emphasis takes.
    fn taken(&self) -> usize {
        usize::from(self.preemphasis > 0.0)
    }

    /// The smallest number of samples that gives a frame. Reflection needs one sample more than it mirrors.
    pub(crate) fn shortest(&self) -> usize {
        self.taken()
            + match (self.center, self.pad_mode) {
                (false, _) => self.n_fft,
                (true, PadMode::Reflect) => self.n_fft / 2 + 1,
                (true, PadMode::Constant) => 1,
            }
    }

    /// Frames of a signal of `n >= shortest()` samples: `1 + floor((n + 2 * padding - n_fft) / hop)`.
    pub(crate) fn frames(&self, n: usize) -> usize {
        1 + (n - self.taken() + 2 * self.padding() - self.n_fft) / self.hop
    }

    /// Samples are multiplied by `scale` from now on; no pass over them, since the window takes it along.
    pub(crate) fn scale(&mut self, scale: f64) {
        self.scaled.iter_mut().zip(&self.window).for_each(|(scaled, w)| *scaled = (w * scale) as f32);
    }

    /// As many transforms as frames and nothing else.
    pub(crate) fn transform_only(&mut self, frames: usize) {
        for _ in 0..frames {
            self.fft.process_with_scratch(&mut self.bins, &mut self.scratch);
            // A transform multiplies by up to its length: kept from becoming infinite, at less than it costs to load a frame.
            let share = 1.0 / (self.bins.len() as f32).sqrt();
            for z in &mut self.bins {
                *z *= share;
            }
        }
    }

    /// Writes `|X[k]|^power`, `k = 0..=n_fft/2`, of frame `t`. What `out` has beyond is left as it is.
    #[inline(always)]
    pub(crate) fn frame(&mut self, signal: &[f32], t: usize, out: &mut [f32]) {
        let start = (t * self.hop) as isize - self.padding() as isize;
        let inside = usize::try_from(start).ok().and_then(|s| signal.get(s..s + self.n_fft + self.taken()));
        match inside {
            Some(samples) if self.taken() == 0 => load(samples, &self.scaled, &mut self.bins),
            Some(samples) => {
                for ((out, before), x) in self.edge.iter_mut().zip(samples).zip(&samples[1..]) {
                    *out = x - self.preemphasis * before;
                }
                load(&self.edge, &self.scaled, &mut self.bins);
            }
            None => {
                for (i, out) in self.edge.iter_mut().enumerate() {
                    *out = extended(signal, self.preemphasis, start + i as isize, self.pad_mode);
                }
                load(&self.edge, &self.scaled, &mut self.bins);
            }
        }
        self.fft.process_with_scratch(&mut self.bins, &mut self.scratch);
        let out = &mut out[..=self.n_fft / 2];
        if self.n_fft.is_multiple_of(2) {
            self.halves.energies(&self.bins, &self.twiddles, out);
        } else {
            out.iter_mut().zip(&self.bins).for_each(|(o, z)| *o = z.norm_sqr());
        }
        raise(out, self.power);
    }
}

/// The windowed samples as the complex values that are transformed: two a value, or one where their number is odd.
#[inline(always)]
fn load(samples: &[f32], window: &[f32], bins: &mut [Complex32]) {
    if bins.len() == window.len() {
        for ((z, s), w) in bins.iter_mut().zip(samples).zip(window) {
            *z = Complex32::new(s * w, 0.0);
        }
        return;
    }
    let parts: &mut [f32] = bytemuck::cast_slice_mut(bins);
    for ((z, s), w) in parts.iter_mut().zip(samples).zip(window) {
        *z = s * w;
    }
}

/// The values `Z[k]`, `k = 1 ..`, and their counterparts `Z[n/2 - k]`, each part by itself: loops over them become vectors.
struct Halves {
    front_re: Vec<f32>,
    front_im: Vec<f32>,
    back_re: Vec<f32>,
    back_im: Vec<f32>,
}

impl Halves {
    fn new(pairs: usize) -> Halves {
        let part = || vec![0.0; pairs];
        Halves { front_re: part(), front_im: part(), back_re: part(), back_im: part() }
    }

    /// `|X[k]|^2`, `k = 0..=bins.len()`, of `2 * bins.len()` halved samples.
    #[inline(always)]
    fn energies(&mut self, bins: &[Complex32], twiddles: &[Complex32], out: &mut [f32]) {
        let (m, pairs) = (bins.len(), twiddles.len());
        out[0] = (2.0 * (bins[0].re + bins[0].im)).powi(2);
        out[m] = (2.0 * (bins[0].re - bins[0].im)).powi(2);
        if m.is_multiple_of(2) {
            out[m / 2] = 4.0 * bins[m / 2].norm_sqr();
        }
        let Halves { front_re, front_im, back_re, back_im } = self;
        for ((re, im), z) in front_re.iter_mut().zip(front_im.iter_mut()).zip(&bins[1..]) {
            (*re, *im) = (z.re, z.im);
        }
        for ((re, im), z) in back_re.iter_mut().rev().zip(back_im.iter_mut().rev()).zip(&bins[m - pairs..]) {
            (*re, *im) = (z.re, z.im);
        }
        let (low, high) = out.split_at_mut(m - pairs);
        let (low, high) = (&mut low[1..=pairs], &mut high[..pairs]);
        let front = front_re.iter_mut().zip(front_im.iter());
        let back = back_re.iter().zip(back_im.iter());
        for (((low, (re, im)), (back_re, back_im)), w) in low.iter_mut().zip(front).zip(back).zip(twiddles) {
            let (even_re, even_im) = (*re + back_re, im - back_im);
            let (odd_re, odd_im) = (im + back_im, back_re - *re);
            let (turned_re, turned_im) = (w.re * odd_re - w.im * odd_im, w.re * odd_im + w.im * odd_re);
            *low = (even_re + turned_re).powi(2) + (even_im + turned_im).powi(2);
            *re = (even_re - turned_re).powi(2) + (even_im - turned_im).powi(2);
        }
        for (high, energy) in high.iter_mut().zip(front_re.iter().rev()) {
            *high = *energy;
        }
    }
}

/// Energies to the power that is asked for.
#[inline(always)]
#[expect(clippy::float_cmp, reason = "shortcuts for these very values; any other takes the general way")]
fn raise(energies: &mut [f32], power: f64) {
    if power == 1.0 {
        for e in energies {
            *e = e.sqrt();
        }
    } else if power != 2.0 {
        for e in energies {
            *e = e.powf(power as f32 / 2.0);
        }
    }
}

/// Sample `i` of the emphasised signal, extended at both ends.
fn extended(signal: &[f32], preemphasis: f32, i: isize, mode: PadMode) -> f32 {
    let taken = usize::from(preemphasis > 0.0);
    let n = (signal.len() - taken) as isize;
    let inside = match mode {
        PadMode::Constant if i < 0 || i >= n => return 0.0,
        PadMode::Reflect if i < 0 => -i,
        PadMode::Reflect if i >= n => 2 * (n - 1) - i,
        PadMode::Constant | PadMode::Reflect => i,
    } as usize;
    if taken == 0 { signal[inside] } else { signal[inside + 1] - preemphasis * signal[inside] }
}

/// A window of `win_length` samples, centred among `n_fft` (the odd sample of padding goes to the end).
pub(crate) fn window(kind: Window, win_length: usize, n_fft: usize) -> Vec<f64> {
    let (a, b, period) = match kind {
        Window::Hann => (0.5, 0.5, win_length),
        Window::Hamming => (0.54, 0.46, win_length),
        Window::HannSymmetric => (0.5, 0.5, win_length - 1),
    };
    let left = (n_fft - win_length) / 2;
    let mut values = vec![0.0; n_fft];
    for (i, value) in values[left..left + win_length].iter_mut().enumerate() {
        *value = a - b * (std::f64::consts::TAU * i as f64 / period as f64).cos();
    }
    values
}
