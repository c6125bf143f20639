//! Another sample rate: rubato's synchronous FFT resampler in f64, its delay taken out exactly.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use crate::params::Resampling;

/// From one rate to another; planned once per pair of rates.
pub(crate) struct Resampler {
    from: u32,
    to: u32,
    fft: Fft<f64>,
    /// A block in f64, extended by zeros where the sound ends.
    block: Vec<f64>,
    /// All that came out, with the delay at its beginning.
    delayed: Vec<f64>,
}

impl Resampler {
    /// `from` and `to` in samples per second, both at least 1.
    ///
    /// The block is an *even* multiple of the shortest that is whole at both rates, so that half a block, which is the
    /// delay, is whole at both rates as well: with an odd multiple the delay would be off by half a sample.
    pub(crate) fn new(from: u32, to: u32, quality: Resampling) -> Resampler {
        let common = gcd(from, to);
        let narrow = (from.min(to) / common) as usize;
        let shortest: usize = match quality {
            Resampling::High => 1024,
            Resampling::Medium => 256,
        };
        let blocks = 2 * shortest.div_ceil(2 * narrow);
        let block_in = blocks * (from / common) as usize;
        let fft = Fft::new_custom(
            from as usize,
            to as usize,
            block_in,
            1,
            1,
            WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .expect("rates and block are not zero");
        Resampler { from, to, block: vec![0.0; fft.fft_size_in()], delayed: Vec::new(), fft }
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
        let (block_in, block_out) = (self.fft.fft_size_in(), self.fft.fft_size_out());
        let n = Self::output_len(self.from, self.to, input.len());
        let delay = block_out / 2;
        self.fft.reset();
        self.delayed.resize((n + delay).next_multiple_of(block_out), 0.0);
        for (i, out) in self.delayed.chunks_exact_mut(block_out).enumerate() {
            let rest = input.get(i * block_in..).unwrap_or_default();
            let samples = &rest[..block_in.min(rest.len())];
            for (value, sample) in self.block.iter_mut().zip(samples) {
                *value = f64::from(*sample);
            }
            self.block[samples.len()..].fill(0.0);
            let block = SequentialSlice::new(&self.block, 1, block_in).expect("one channel of one block");
            let mut out = SequentialSlice::new_mut(out, 1, block_out).expect("one channel of one block");
            self.fft.process_into_buffer(&block, &mut out, None).expect("blocks have the size that it asked for");
        }
        output.clear();
        output.extend(self.delayed[delay..][..n].iter().map(|value| *value as f32));
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
