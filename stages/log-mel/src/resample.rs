//! Another sample rate: a windowed sinc, applied by Fourier transforms that are cut to the narrower band on the way.
//!
//! The sound is cut into blocks. A block, followed by zeros, is transformed; its spectrum is multiplied by that of the filter and cut (or
//! extended by zeros) to as many values as the same time has at the other rate; what comes back is the filtered block at the other rate, and
//! overlaps its neighbours by half a filter on each side, where they are added. Filtering is linear and its impulse response real, so two
//! blocks go through one complex transform, as real and as imaginary part, and come out as such. The filter is centred on 0: there is no delay.

#![expect(clippy::inline_always, reason = "what is not inlined is not compiled for the vectors that were asked for")]

use std::f64::consts::{PI, TAU};
use std::sync::Arc;

use rustfft::Fft;
use rustfft::num_complex::Complex64;

use crate::instructions::{Instructions, Kernel};
use crate::params::Resampling;

/// From one rate to another; planned once per pair of rates.
pub(crate) struct Resampler {
    from: u32,
    to: u32,
    instructions: Instructions,
    /// Samples of a block, before and after.
    block: (usize, usize),
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
    /// The filter's spectrum, real since it is centred, from 0 up to the narrower band; divided by the length of `forward`.
    filter: Vec<f64>,
    before: Vec<Complex64>,
    after: Vec<Complex64>,
    scratch: Vec<Complex64>,
}

/// Transforms are planned up to about this many values, unless the rates ask for more.
const LARGEST: usize = 1 << 16;

impl Resampler {
    /// `from` and `to` in samples per second, both at least 1.
    ///
    /// Blocks and transforms are whole at both rates: multiples of the rates without their common factor.
    pub(crate) fn new(from: u32, to: u32, quality: Resampling, instructions: Instructions) -> Resampler {
        let common = gcd(from, to);
        let (a, b) = ((from / common) as usize, (to / common) as usize);
        let taps: usize = match quality {
            Resampling::High => 1024,
            Resampling::Medium => 256,
        };
        // The filter's length at the rate it is applied at, an even number.
        let length = (taps * a).div_ceil(a.min(b)).next_multiple_of(2);
        let overlap = length.div_ceil(a);
        let wanted = (3 * overlap).next_power_of_two() - overlap;
        let units = wanted.min(LARGEST / a.max(b)).max(1);
        let sizes = ((overlap + units) * a, (overlap + units) * b);
        let forward = instructions.transform(sizes.0, false);
        let inverse = instructions.transform(sizes.1, true);
        let scratch = forward.get_inplace_scratch_len().max(inverse.get_inplace_scratch_len());
        let mut resampler = Resampler {
            from,
            to,
            instructions,
            block: (units * a, units * b),
            filter: Vec::new(),
            before: vec![Complex64::ZERO; sizes.0],
            after: vec![Complex64::ZERO; sizes.1],
            scratch: vec![Complex64::ZERO; scratch],
            forward,
            inverse,
        };
        resampler.plan_filter(length, a.min(b) as f64 / a as f64, taps);
        resampler
    }

    /// A sinc of `length` samples under the square of a Blackman-Harris window, which ends where the narrower band does: the window's
    /// spectrum reaches 8 / `taps` of the narrower rate beyond the cutoff, most of it much less far; 13.7 / `taps` of the band are measured
    /// to leave -150 dB of what is beyond it.
    fn plan_filter(&mut self, length: usize, band: f64, taps: usize) {
        let cutoff = band * (1.0 - 13.7 / taps as f64);
        let half = length / 2;
        let tap = |j: usize| {
            let sinc = if j == 0 { cutoff } else { (PI * cutoff * j as f64).sin() / (PI * j as f64) };
            let at = |k: f64| (k * TAU * (0.5 + j as f64 / length as f64)).cos();
            let window = 0.35875 - 0.48829 * at(1.0) + 0.14128 * at(2.0) - 0.01168 * at(3.0);
            sinc * window * window
        };
        let taps: Vec<f64> = (0..half).map(tap).collect();
        let gain = taps[0] + 2.0 * taps[1..].iter().sum::<f64>();
        let n = self.before.len();
        self.before.fill(Complex64::ZERO);
        for (j, tap) in taps.into_iter().enumerate() {
            self.before[j].re = tap / gain;
            self.before[(n - j) % n].re = tap / gain;
        }
        self.forward.process_with_scratch(&mut self.before, &mut self.scratch);
        let kept = n.min(self.after.len()).div_ceil(2);
        self.filter = self.before[..kept].iter().map(|z| z.re / n as f64).collect();
    }

    /// The rate that it accepts.
    pub(crate) fn from(&self) -> u32 {
        self.from
    }

    /// Samples that come out of `n`: `floor(n * to / from)`, resampy's rule.
    pub(crate) fn output_len(from: u32, to: u32, n: usize) -> usize {
        (n as u128 * u128::from(to) / u128::from(from)) as usize
    }

    /// Output sample `i` is the band-limited signal at input time `i * from / to`; beyond its ends the signal is 0.
    pub(crate) fn run(&mut self, input: &[f32], output: &mut Vec<f32>) {
        output.clear();
        output.resize(Self::output_len(self.from, self.to, input.len()), 0.0);
        self.instructions.run(Run { resampler: self, input, output });
    }

    /// Two blocks and the zeros behind them; the second may be shorter than the first.
    #[inline(always)]
    fn load(&mut self, first: &[f32], second: &[f32]) {
        let (both, rest) = self.before.split_at_mut(second.len());
        let (one, none) = rest.split_at_mut(first.len() - second.len());
        for ((z, re), im) in both.iter_mut().zip(first).zip(second) {
            *z = Complex64::new((*re).into(), (*im).into());
        }
        for (z, re) in one.iter_mut().zip(&first[second.len()..]) {
            *z = Complex64::new((*re).into(), 0.0);
        }
        none.fill(Complex64::ZERO);
    }

    #[inline(always)]
    fn filter(&mut self) {
        self.forward.process_with_scratch(&mut self.before, &mut self.scratch);
        let kept = self.filter.len();
        let (n, m) = (self.before.len(), self.after.len());
        for ((out, z), weight) in self.after.iter_mut().zip(&self.before).zip(&self.filter) {
            *out = z * weight;
        }
        self.after[kept..=m - kept].fill(Complex64::ZERO);
        // The negative frequencies, from -(kept - 1) to -1.
        let negative = self.before[n - kept + 1..].iter().zip(self.filter[1..].iter().rev());
        for (out, (z, weight)) in self.after[m - kept + 1..].iter_mut().zip(negative) {
            *out = z * weight;
        }
        self.inverse.process_with_scratch(&mut self.after, &mut self.scratch);
    }

    /// Adds the filtered blocks `index` and `index + 1` at their places; what the filter spread to before a block stands at the end.
    #[inline(always)]
    fn add(&self, index: usize, output: &mut [f32]) {
        let (block, total) = (self.block.1, self.after.len());
        let split = block + (total - block) / 2;
        let (behind, ahead) = self.after.split_at(split);
        for (at, part) in [(0, behind), (split as isize - total as isize, ahead)] {
            let start = (index * block) as isize + at;
            place(output, start, part, |z| z.re);
            place(output, start + block as isize, part, |z| z.im);
        }
    }
}

struct Run<'a> {
    resampler: &'a mut Resampler,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Kernel for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Run { resampler, input, output } = self;
        let block = resampler.block.0;
        for (i, pair) in input.chunks(2 * block).enumerate() {
            let (first, second) = pair.split_at(pair.len().min(block));
            resampler.load(first, second);
            resampler.filter();
            resampler.add(2 * i, output);
        }
    }
}

/// Adds values to `output[start..]`, as far as there is such a place.
#[inline(always)]
fn place(output: &mut [f32], start: isize, values: &[Complex64], part: impl Fn(&Complex64) -> f64) {
    let values = &values[(start.min(0).unsigned_abs()).min(values.len())..];
    let output = output.get_mut(start.max(0) as usize..).unwrap_or_default();
    for (out, value) in output.iter_mut().zip(values) {
        *out += part(value) as f32;
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
