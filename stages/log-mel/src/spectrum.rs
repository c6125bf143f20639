//! Frames of a signal and their magnitude spectra.

use std::sync::Arc;

use realfft::num_complex::Complex64;
use realfft::{RealFftPlanner, RealToComplex};

use crate::params::{PadMode, Spec, Window};

/// Plans once; [`Spectrum::frame`] allocates nothing.
pub(crate) struct Spectrum {
    n_fft: usize,
    hop: usize,
    center: bool,
    pad_mode: PadMode,
    power: f64,
    window: Vec<f64>,
    fft: Arc<dyn RealToComplex<f64>>,
    windowed: Vec<f64>,
    bins: Vec<Complex64>,
    scratch: Vec<Complex64>,
}

impl Spectrum {
    pub(crate) fn new(spec: &Spec) -> Spectrum {
        let fft = RealFftPlanner::new().plan_fft_forward(spec.n_fft);
        Spectrum {
            n_fft: spec.n_fft,
            hop: spec.hop_length,
            center: spec.center,
            pad_mode: spec.pad_mode,
            power: spec.power,
            window: window(spec.window, spec.win_length, spec.n_fft),
            windowed: fft.make_input_vec(),
            bins: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            fft,
        }
    }

    /// Samples that each end is extended by.
    fn padding(&self) -> usize {
        if self.center { self.n_fft / 2 } else { 0 }
    }

    /// The smallest number of samples that gives a frame. Reflection needs one sample more than it mirrors.
    pub(crate) fn shortest(&self) -> usize {
        match (self.center, self.pad_mode) {
            (false, _) => self.n_fft,
            (true, PadMode::Reflect) => self.n_fft / 2 + 1,
            (true, PadMode::Constant) => 1,
        }
    }

    /// Frames of a signal of `n >= shortest()` samples: `1 + floor((n + 2 * padding - n_fft) / hop)`.
    pub(crate) fn frames(&self, n: usize) -> usize {
        1 + (n + 2 * self.padding() - self.n_fft) / self.hop
    }

    /// Writes `|X[k]|^power`, `k = 0..=n_fft/2`, of frame `t`.
    pub(crate) fn frame(&mut self, signal: &[f64], t: usize, out: &mut [f64]) {
        let start = (t * self.hop) as isize - self.padding() as isize;
        let inside = usize::try_from(start).ok().and_then(|s| signal.get(s..s + self.n_fft));
        if let Some(samples) = inside {
            for ((x, s), w) in self.windowed.iter_mut().zip(samples).zip(&self.window) {
                *x = s * w;
            }
        } else {
            for (i, (x, w)) in self.windowed.iter_mut().zip(&self.window).enumerate() {
                *x = extended(signal, start + i as isize, self.pad_mode) * w;
            }
        }
        self.fft
            .process_with_scratch(&mut self.windowed, &mut self.bins, &mut self.scratch)
            .expect("the buffers were made by this plan");
        let energies = self.bins.iter().map(Complex64::norm_sqr);
        #[expect(clippy::float_cmp, reason = "a shortcut for this very value; any other takes the general way")]
        let energy = self.power == 2.0;
        if energy {
            out.iter_mut().zip(energies).for_each(|(o, e)| *o = e);
        } else {
            out.iter_mut().zip(energies).for_each(|(o, e)| *o = e.powf(self.power / 2.0));
        }
    }
}

/// Sample `i` of the signal extended at both ends.
fn extended(signal: &[f64], i: isize, mode: PadMode) -> f64 {
    let n = signal.len() as isize;
    let inside = match mode {
        PadMode::Constant if i < 0 || i >= n => return 0.0,
        PadMode::Reflect if i < 0 => -i,
        PadMode::Reflect if i >= n => 2 * (n - 1) - i,
        PadMode::Constant | PadMode::Reflect => i,
    };
    signal[inside as usize]
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
