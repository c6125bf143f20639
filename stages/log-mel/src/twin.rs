//! The definition, slow: every sum written out, nothing shared with the fast path but [`Spec`](crate::Spec).

use std::f64::consts::TAU;

use crate::{Log, MelNorm, MelScale, PadMode, Spec, Window};

/// `log_mel[t][m]` of one channel at the rate of the analysis.
pub(crate) fn log_mel(signal: &[f32], spec: &Spec) -> Vec<Vec<f64>> {
    let mut x: Vec<f64> = signal.iter().map(|&v| f64::from(v)).collect();
    if spec.peak_normalize {
        let peak = x.iter().fold(0.0_f64, |p, v| p.max(v.abs()));
        for v in &mut x {
            *v /= peak + 1e-8;
        }
    }
    if spec.preemphasis > 0.0 {
        x = (1..x.len()).map(|n| x[n] - spec.preemphasis * x[n - 1]).collect();
    }
    let pad = if spec.center { spec.n_fft / 2 } else { 0 };
    let mut padded = vec![0.0; pad];
    padded.extend(&x);
    padded.extend(vec![0.0; pad]);
    if spec.pad_mode == PadMode::Reflect {
        for i in 0..pad {
            padded[pad - 1 - i] = x[i + 1];
            padded[pad + x.len() + i] = x[x.len() - 2 - i];
        }
    }
    let mut rows = Vec::new();
    let mut start = 0;
    while start + spec.n_fft <= padded.len() {
        rows.push(frame(&padded[start..start + spec.n_fft], spec));
        start += spec.hop_length;
    }
    if let Some(range) = spec.top_db {
        let top = rows.iter().flatten().fold(f64::MIN, |a, &b| a.max(b));
        rows.iter_mut().flatten().for_each(|v| *v = v.max(top - range / spec.divisor));
    }
    rows
}

fn frame(samples: &[f64], spec: &Spec) -> Vec<f64> {
    let n = spec.n_fft;
    let left = (n - spec.win_length) / 2;
    let windowed: Vec<f64> = (0..n)
        .map(|i| {
            if i < left || i >= left + spec.win_length {
                return 0.0;
            }
            let period = spec.win_length - usize::from(spec.window == Window::HannSymmetric);
            let c = (TAU * (i - left) as f64 / period as f64).cos();
            samples[i]
                * match spec.window {
                    Window::Hann | Window::HannSymmetric => 0.5 - 0.5 * c,
                    Window::Hamming => 0.54 - 0.46 * c,
                }
        })
        .collect();
    let powers: Vec<f64> = (0..=n / 2)
        .map(|k| {
            let (mut re, mut im) = (0.0, 0.0);
            for (i, v) in windowed.iter().enumerate() {
                // k * i mod n keeps the angle small, and with it the error of sin and cos.
                let angle = TAU * ((k * i) % n) as f64 / n as f64;
                re += v * angle.cos();
                im -= v * angle.sin();
            }
            re.hypot(im).powf(spec.power)
        })
        .collect();
    (0..spec.n_mels)
        .map(|m| {
            let mel: f64 = powers.iter().zip(triangle(m, spec)).map(|(p, w)| p * w).sum();
            if spec.log == Log::Ln {
                return ((mel + spec.amin).ln() + spec.offset) / spec.divisor;
            }
            let floor = spec.amin.powf(spec.power / 2.0);
            (20.0 / spec.power * mel.max(floor).log10() - spec.ref_db + spec.offset) / spec.divisor
        })
        .collect()
}

/// Triangle `m` at every bin.
fn triangle(m: usize, spec: &Spec) -> Vec<f64> {
    let edge = |i: usize| {
        let (lo, hi) = (to_mel(spec.fmin, spec.mel_scale), to_mel(spec.fmax, spec.mel_scale));
        from_mel(lo + (hi - lo) * i as f64 / (spec.n_mels + 1) as f64, spec.mel_scale)
    };
    let (lo, mid, hi) = (edge(m), edge(m + 1), edge(m + 2));
    let height = if spec.mel_norm == MelNorm::Slaney { 2.0 / (hi - lo) } else { 1.0 };
    if spec.mel_scale == MelScale::Kaldi {
        let (lo, mid, hi) = [lo, mid, hi].map(|hz| to_mel(hz, spec.mel_scale)).into();
        return (0..=spec.n_fft / 2)
            .map(|k| {
                let at = to_mel(k as f64 * f64::from(spec.sample_rate) / spec.n_fft as f64, spec.mel_scale);
                let inside = at > lo && at < hi && k < spec.n_fft / 2;
                let share = if at <= mid { (at - lo) / (mid - lo) } else { (hi - at) / (hi - mid) };
                if inside { share * height } else { 0.0 }
            })
            .collect();
    }
    let at = |k: usize| {
        let hz = k as f64 * f64::from(spec.sample_rate) / spec.n_fft as f64;
        if hz <= lo || hz >= hi {
            0.0
        } else if hz <= mid {
            (hz - lo) / (mid - lo) * height
        } else {
            (hi - hz) / (hi - mid) * height
        }
    };
    (0..=spec.n_fft / 2).map(at).collect()
}

fn to_mel(hz: f64, scale: MelScale) -> f64 {
    match scale {
        MelScale::Htk | MelScale::Kaldi => (2595.0 / 10_f64.ln()) * (1.0 + hz / 700.0).ln(),
        MelScale::Slaney if hz < 1000.0 => 3.0 * hz / 200.0,
        MelScale::Slaney => 15.0 + 27.0 * (hz / 1000.0).log(6.4),
    }
}

fn from_mel(mel: f64, scale: MelScale) -> f64 {
    match scale {
        MelScale::Htk | MelScale::Kaldi => 700.0 * ((mel / (2595.0 / 10_f64.ln())).exp() - 1.0),
        MelScale::Slaney if mel < 15.0 => mel * 200.0 / 3.0,
        MelScale::Slaney => 1000.0 * 6.4_f64.powf((mel - 15.0) / 27.0),
    }
}
