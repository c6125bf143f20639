//! The two passes with AVX2: the same integer sums as the portable code, sixteen products per instruction.
//!
//! `pmaddwd` multiplies 16-bit integers and adds neighbouring products as 32-bit integers. Pixels fit; weights have 23 bits and a sign, so
//! each is split in two, `weight = 2048 * high + low` with `0 <= low < 2048`, and the halves are summed on their own. Addition modulo 2^32 is
//! exact, so `2048 * highs + lows` is the sum that the portable code computes, and every byte is the same.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_packs_epi32, _mm_packus_epi16,
    _mm_set1_epi32, _mm_srai_epi32, _mm256_add_epi32, _mm256_broadcastsi128_si256, _mm256_castsi256_si128,
    _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_packs_epi32, _mm256_packus_epi16,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srai_epi32,
    _mm256_storeu_si256, _mm256_unpackhi_epi8, _mm256_unpacklo_epi8,
};

use super::{PRECISION_BITS, Taps};

/// Fractional bits of the upper half of a weight.
const SPLIT: i32 = 11;
/// Pixels of one row that are taken at a time.
const GROUP: usize = 4;
/// Bytes that are loaded for them: with three channels the last four count for nothing.
const LOAD: usize = 16;
/// The index of a shuffle that gives zero.
const ZERO: u8 = 0x80;
/// Rows that are resized at a time, so that weights are loaded once for all of them.
const ROWS: usize = 4;
/// Columns that are mixed at a time.
const COLUMNS: usize = 32;

/// Proof that the processor has AVX2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// `Some` if the processor has AVX2.
    pub fn detect() -> Option<Avx2> {
        is_x86_feature_detected!("avx2").then_some(Avx2(()))
    }
}

/// The weights of four pixels as the multiplications take them: `[a a a a, b b b b]` in pairs, with `a` the first two pixels and `b` the others.
#[repr(C, align(32))]
#[derive(Clone, Copy)]
struct Weights {
    high: [i16; 16],
    low: [i16; 16],
}

/// Both passes of one geometry.
pub(super) struct Passes {
    _proof: Avx2,
    across: Across,
    down: Down,
    /// The last rows of a picture, with room behind them.
    padded: Vec<u8>,
}

impl Passes {
    /// For pixels of `C` bytes in rows that begin at input pixel `origin`. `None` if a weight is too large to be split, which no known filter has.
    pub(super) fn new<const C: usize>(proof: Avx2, across: &Taps, origin: usize, down: &Taps) -> Option<Passes> {
        let (across, down) = (Across::new::<C>(across, origin)?, Down::new(down)?);
        Some(Passes { _proof: proof, across, down, padded: Vec::new() })
    }

    /// Resizes the first `count` rows of `source`, one every `stride` bytes. False if they are too few.
    pub(super) fn across<const C: usize>(
        &mut self,
        source: &[u8],
        stride: usize,
        count: usize,
        out: &mut [u8],
    ) -> bool {
        if count < ROWS {
            return false;
        }
        let (reach, length) = (self.across.reach::<C>(), out.len() / count);
        for y in (0..count).step_by(ROWS) {
            // The last rows are resized once more rather than one by one.
            let y = y.min(count - ROWS);
            let (mut rows, mut pitch) = (&source[y * stride..], stride);
            if rows.len() < (ROWS - 1) * stride + reach {
                pitch = stride.max(reach);
                self.padded.resize(ROWS * pitch, 0);
                for (padded, row) in self.padded.chunks_exact_mut(pitch).zip(rows.chunks_exact(stride)) {
                    padded[..stride].copy_from_slice(row);
                }
                rows = &self.padded;
            }
            let rows = std::array::from_fn(|r| &rows[r * pitch..]);
            let out = &mut out[y * length..][..ROWS * length];
            #[expect(unsafe_code, reason = "code for a processor that has AVX2")]
            // SAFETY: `_proof` exists only where the processor has it.
            unsafe {
                self.across.rows::<C>(rows, out);
            }
        }
        true
    }

    /// Output `y` of the vertical pass: the weighted sum of `count` pieces as long as `out`, one every `stride` bytes. False if they are too short.
    pub(super) fn down(&self, y: usize, rows: &[u8], stride: usize, count: usize, out: &mut [u8]) -> bool {
        if out.len() < COLUMNS {
            return false;
        }
        let weights = &self.down.weights[y * self.down.pairs..][..count.div_ceil(2)];
        #[expect(unsafe_code, reason = "code for a processor that has AVX2")]
        // SAFETY: `_proof` exists only where the processor has it.
        unsafe {
            mix(weights, rows, stride, count, out);
        }
        true
    }
}

/// The weights of the horizontal pass.
struct Across {
    /// For each output, its first byte in the row.
    starts: Vec<usize>,
    /// `groups` for each output.
    weights: Vec<Weights>,
    groups: usize,
}

fn halves(weight: i32) -> Option<(i16, i16)> {
    Some((i16::try_from(weight >> SPLIT).ok()?, (weight & ((1 << SPLIT) - 1)) as i16))
}

impl Across {
    fn new<const C: usize>(taps: &Taps, origin: usize) -> Option<Self> {
        const { assert!(C == 3 || C == 4, "whole pixels in sixteen bytes") };
        let groups = taps.spans.iter().map(|s| s.1.div_ceil(GROUP)).max()?.max(1);
        let (mut starts, mut weights) = (Vec::new(), Vec::new());
        for x in 0..taps.spans.len() {
            let (first, taps) = taps.of(x);
            starts.push((first - origin) * C);
            for group in 0..groups {
                let mut split = Weights { high: [0; 16], low: [0; 16] };
                for pixel in 0..GROUP {
                    let (high, low) = halves(taps.get(group * GROUP + pixel).copied().unwrap_or(0))?;
                    for channel in 0..4 {
                        let at = (pixel / 2) * 8 + channel * 2 + pixel % 2;
                        (split.high[at], split.low[at]) = (high, low);
                    }
                }
                weights.push(split);
            }
        }
        Some(Across { starts, weights, groups })
    }

    /// Bytes that are read of each row; those beyond its end count for nothing but must be there.
    fn reach<const C: usize>(&self) -> usize {
        self.starts.iter().max().unwrap_or(&0) + self.span::<C>()
    }

    /// Bytes that are read for one output.
    fn span<const C: usize>(&self) -> usize {
        (self.groups - 1) * GROUP * C + LOAD
    }

    /// Resizes rows of at least [`Across::reach`] bytes into as many rows of `out`, one after the other.
    #[target_feature(enable = "avx2")]
    fn rows<const C: usize>(&self, rows: [&[u8]; ROWS], out: &mut [u8]) {
        let length = out.len() / ROWS;
        let (one, rest) = out.split_at_mut(length);
        let (two, rest) = rest.split_at_mut(length);
        let (three, four) = rest.split_at_mut(length);
        let mut out = [one, two, three, four].map(|row| row.as_chunks_mut::<C>().0.iter_mut());
        // Bytes of four pixels to 16-bit numbers, each channel of two pixels side by side.
        let pair = |pixel: usize, channel: usize| {
            let at = |pixel: usize| if channel < C { (pixel * C + channel) as u8 } else { ZERO };
            [at(pixel), ZERO, at(pixel + 1), ZERO]
        };
        let spread = [0, 2].map(|pixel| [0, 1, 2, 3].map(|channel| pair(pixel, channel)));
        let spread = load(spread.as_flattened().as_flattened());
        let half = _mm_set1_epi32(1 << (PRECISION_BITS - 1));
        let span = self.span::<C>();
        for (&start, weights) in self.starts.iter().zip(self.weights.chunks_exact(self.groups)) {
            let pixels = rows.map(|row| &row[start..start + span]);
            let (mut high, mut low) = ([_mm256_setzero_si256(); ROWS], [_mm256_setzero_si256(); ROWS]);
            for (group, weights) in weights.iter().enumerate() {
                let (by_high, by_low) = (load_numbers(&weights.high), load_numbers(&weights.low));
                for r in 0..ROWS {
                    let four = load_half(&pixels[r][group * GROUP * C..]);
                    let four = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(four), spread);
                    high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(four, by_high));
                    low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(four, by_low));
                }
            }
            for r in 0..ROWS {
                let sums = _mm256_add_epi32(_mm256_slli_epi32::<SPLIT>(high[r]), low[r]);
                let sums = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
                let levels = _mm_srai_epi32::<{ PRECISION_BITS as i32 }>(_mm_add_epi32(sums, half));
                let levels = _mm_packus_epi16(_mm_packs_epi32(levels, levels), levels);
                let bytes = _mm_cvtsi128_si32(levels).to_le_bytes();
                if let Some(pixel) = out[r].next() {
                    pixel.copy_from_slice(&bytes[..C]);
                }
            }
        }
    }
}

/// Pairs of weights of the vertical pass: of the rows 2k and 2k + 1, side by side in 32 bits.
struct Down {
    /// `pairs` for each output.
    weights: Vec<(i32, i32)>,
    pairs: usize,
}

impl Down {
    fn new(taps: &Taps) -> Option<Self> {
        let pairs = taps.stride.div_ceil(2);
        let beside = |a: i16, b: i16| i32::from(a) & 0xffff | i32::from(b) << 16;
        let mut weights = Vec::with_capacity(taps.spans.len() * pairs);
        for y in 0..taps.spans.len() {
            let (_, taps) = taps.of(y);
            for pair in 0..pairs {
                let weight = |i: usize| halves(taps.get(2 * pair + i).copied().unwrap_or(0));
                let ((high_a, low_a), (high_b, low_b)) = (weight(0)?, weight(1)?);
                weights.push((beside(high_a, high_b), beside(low_a, low_b)));
            }
        }
        Some(Down { weights, pairs })
    }
}

#[target_feature(enable = "avx2")]
fn mix(weights: &[(i32, i32)], rows: &[u8], stride: usize, count: usize, out: &mut [u8]) {
    let (zero, half) = (_mm256_setzero_si256(), _mm256_set1_epi32(1 << (PRECISION_BITS - 1)));
    let columns = out.len();
    let mut column = 0;
    while column < columns {
        // The last columns are mixed once more rather than one by one.
        column = column.min(columns - COLUMNS);
        let (mut high, mut low) = ([zero; 4], [zero; 4]);
        for (pair, &(by_high, by_low)) in weights.iter().enumerate() {
            let (by_high, by_low) = (_mm256_set1_epi32(by_high), _mm256_set1_epi32(by_low));
            // The row behind the last has no weight; any other will do.
            let row = |i: usize| load(&rows[i.min(count - 1) * stride + column..]);
            let (a, b) = (row(2 * pair), row(2 * pair + 1));
            let (left, right) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
            let pairs = [
                _mm256_unpacklo_epi8(left, zero),
                _mm256_unpackhi_epi8(left, zero),
                _mm256_unpacklo_epi8(right, zero),
                _mm256_unpackhi_epi8(right, zero),
            ];
            for i in 0..4 {
                high[i] = _mm256_add_epi32(high[i], _mm256_madd_epi16(pairs[i], by_high));
                low[i] = _mm256_add_epi32(low[i], _mm256_madd_epi16(pairs[i], by_low));
            }
        }
        let level = |i: usize| {
            let sum = _mm256_add_epi32(_mm256_slli_epi32::<SPLIT>(high[i]), low[i]);
            _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(_mm256_add_epi32(sum, half))
        };
        let (left, right) = (_mm256_packs_epi32(level(0), level(1)), _mm256_packs_epi32(level(2), level(3)));
        store(_mm256_packus_epi16(left, right), &mut out[column..]);
        column += COLUMNS;
    }
}

/// 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8]) -> __m256i {
    let bytes: &[u8; 32] = bytes.first_chunk().expect("the rows hold every column");
    #[expect(unsafe_code, reason = "a SIMD load")]
    // SAFETY: an array of 32 bytes; the load needs no alignment.
    unsafe {
        _mm256_loadu_si256(bytes.as_ptr().cast())
    }
}

/// 16 numbers.
#[inline]
#[target_feature(enable = "avx2")]
fn load_numbers(numbers: &[i16; 16]) -> __m256i {
    #[expect(unsafe_code, reason = "a SIMD load")]
    // SAFETY: an array of 32 bytes; the load needs no alignment.
    unsafe {
        _mm256_loadu_si256(numbers.as_ptr().cast())
    }
}

/// 16 bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn load_half(bytes: &[u8]) -> __m128i {
    let bytes: &[u8; LOAD] = bytes.first_chunk().expect("the row holds `reach` bytes");
    #[expect(unsafe_code, reason = "a SIMD load")]
    // SAFETY: an array of 16 bytes; the load needs no alignment.
    unsafe {
        _mm_loadu_si128(bytes.as_ptr().cast())
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(value: __m256i, bytes: &mut [u8]) {
    let bytes: &mut [u8; COLUMNS] = bytes.first_chunk_mut().expect("the row holds every column");
    #[expect(unsafe_code, reason = "a SIMD store")]
    // SAFETY: an array of 32 bytes; the store needs no alignment.
    unsafe {
        _mm256_storeu_si256(bytes.as_mut_ptr().cast(), value);
    }
}
