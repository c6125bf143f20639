//! The few operations on vectors of f32 that the kernels are written in, and their portable form.

/// A vector of [`Simd::LANES`] values. Every method is inlined into an entry point of [`super`], which has the instructions enabled; without that
/// an instruction could meet a processor that lacks it, so all of them are unsafe.
///
/// Pointers need not be aligned, but loads and stores go over the whole vector.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Values in a vector.
    const LANES: usize;
    /// The vector.
    type V: Copy;

    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// `b` where either is not a number; so does [`Simd::min`].
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once where the processor can.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `2^n`, where `n` stands in the low bits of the mantissas (see [`super::activation::exp`]).
    unsafe fn power_of_two(mantissas: Self::V) -> Self::V;
    /// Rounds to the nearest bf16, halves to even; still held as f32. Not-a-number stays one.
    unsafe fn round_bf16(v: Self::V) -> Self::V;
    /// The low halves of [`Simd::LANES`] words, as bf16 widened to f32.
    unsafe fn low_bf16(p: *const u32) -> Self::V;
    /// The high halves.
    unsafe fn high_bf16(p: *const u32) -> Self::V;
    /// The sum of the values.
    unsafe fn sum(v: Self::V) -> f32;
    /// The largest value.
    unsafe fn largest(v: Self::V) -> f32;

    /// Asks for the cache line at `line`, which need not be memory of ours, where the processor can be asked.
    #[inline(always)]
    unsafe fn prefetch(_line: *const u32) {}

    /// Lays `rows` vectors side by side, at most [`Simd::LANES`]: lane `k` of `row(r)` goes to `out[k * to + r]`.
    #[inline(always)]
    unsafe fn side_by_side(row: impl Fn(usize) -> Self::V, rows: usize, out: *mut f32, to: usize) {
        let mut lanes = [0.0_f32; MOST_LANES];
        for r in 0..rows {
            // SAFETY: the array is as long as the longest vector, and the caller vouches for `out`.
            unsafe {
                Self::store(lanes.as_mut_ptr(), row(r));
                for (k, lane) in lanes.iter().take(Self::LANES).enumerate() {
                    *out.add(k * to + r) = *lane;
                }
            }
        }
    }
}

/// Values in the longest vectors.
const MOST_LANES: usize = 16;

/// Vectors that multiply pairs of bf16.
pub(crate) trait DotBf16: Simd {
    /// [`Simd::LANES`] pairs of values, as words of two bf16 each, the first in the low half. The values are bf16 already.
    unsafe fn pairs(p: *const f32) -> Self::V;
    /// `acc[i] + low(a[i]) · low(b[i]) + high(a[i]) · high(b[i])`, with the halves of the words as bf16. `a` is a vector of words as f32 bits.
    unsafe fn dot_bf16(acc: Self::V, a: Self::V, b: *const u32) -> Self::V;
}

/// Plain arithmetic on arrays of `N`, for any processor; with the `N` of another, its twin in tests.
#[derive(Clone, Copy)]
pub(crate) struct Portable<const N: usize>;

#[inline(always)]
fn each<const N: usize>(f: impl Fn(usize) -> f32) -> [f32; N] {
    std::array::from_fn(f)
}

/// The nearest bf16 as the high half of a word, halves to even.
#[inline(always)]
pub(crate) fn nearest_bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    if x.is_nan() {
        // Rounding could carry the mantissa into infinity.
        return bits & 0xffff_0000 | 0x0040_0000;
    }
    bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000
}

impl<const N: usize> Simd for Portable<N> {
    const LANES: usize = N;
    type V = [f32; N];

    #[inline(always)]
    unsafe fn splat(x: f32) -> [f32; N] {
        [x; N]
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> [f32; N] {
        // SAFETY: the caller vouches for the whole vector.
        unsafe { p.cast::<[f32; N]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, v: [f32; N]) {
        // SAFETY: the caller vouches for the whole vector.
        unsafe { p.cast::<[f32; N]>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn add(a: [f32; N], b: [f32; N]) -> [f32; N] {
        each(|i| a[i] + b[i])
    }

    #[inline(always)]
    unsafe fn sub(a: [f32; N], b: [f32; N]) -> [f32; N] {
        each(|i| a[i] - b[i])
    }

    #[inline(always)]
    unsafe fn mul(a: [f32; N], b: [f32; N]) -> [f32; N] {
        each(|i| a[i] * b[i])
    }

    #[inline(always)]
    unsafe fn div(a: [f32; N], b: [f32; N]) -> [f32; N] {
        each(|i| a[i] / b[i])
    }

    #[inline(always)]
    unsafe fn max(a: [f32; N], b: [f32; N]) -> [f32; N] {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    unsafe fn min(a: [f32; N], b: [f32; N]) -> [f32; N] {
        each(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    unsafe fn fma(a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        // Not `mul_add`: without the instruction that is a call of a slow function.
        each(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    unsafe fn power_of_two(mantissas: [f32; N]) -> [f32; N] {
        each(|i| f32::from_bits((mantissas[i].to_bits() << 23).wrapping_add(1.0_f32.to_bits())))
    }

    #[inline(always)]
    unsafe fn round_bf16(v: [f32; N]) -> [f32; N] {
        each(|i| f32::from_bits(nearest_bf16(v[i])))
    }

    #[inline(always)]
    unsafe fn low_bf16(p: *const u32) -> [f32; N] {
        // SAFETY: the caller vouches for the whole vector.
        let words = unsafe { p.cast::<[u32; N]>().read_unaligned() };
        each(|i| f32::from_bits(words[i] << 16))
    }

    #[inline(always)]
    unsafe fn high_bf16(p: *const u32) -> [f32; N] {
        // SAFETY: the caller vouches for the whole vector.
        let words = unsafe { p.cast::<[u32; N]>().read_unaligned() };
        each(|i| f32::from_bits(words[i] & 0xffff_0000))
    }

    #[inline(always)]
    unsafe fn sum(v: [f32; N]) -> f32 {
        v.into_iter().sum()
    }

    #[inline(always)]
    unsafe fn largest(v: [f32; N]) -> f32 {
        v.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}

impl<const N: usize> DotBf16 for Portable<N> {
    #[inline(always)]
    unsafe fn pairs(p: *const f32) -> [f32; N] {
        // SAFETY: the caller vouches for the pairs of a whole vector.
        let pair = |i: usize| unsafe { [p.add(2 * i).read().to_bits(), p.add(2 * i + 1).read().to_bits()] };
        each(|i| f32::from_bits(pair(i)[0] >> 16 | pair(i)[1] & 0xffff_0000))
    }

    #[inline(always)]
    unsafe fn dot_bf16(acc: [f32; N], a: [f32; N], b: *const u32) -> [f32; N] {
        // SAFETY: the caller vouches for the whole vector.
        let (low, high) = unsafe { (Self::low_bf16(b), Self::high_bf16(b)) };
        each(|i| {
            let a = a[i].to_bits();
            acc[i] + f32::from_bits(a << 16) * low[i] + f32::from_bits(a & 0xffff_0000) * high[i]
        })
    }
}
