//! [`Simd`] in the instructions of x86-64: AVX2 with FMA, and AVX-512.

#[cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "sixty instructions"))]
use std::arch::x86_64::*;

use super::simd::{DotBf16, Simd};

/// AVX2 and FMA: vectors of eight.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// AVX-512 F: vectors of sixteen. [`DotBf16`] needs AVX512_BF16 as well.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

/// The high half of a word.
const HIGH: i32 = 0xffff_0000_u32 as i32;
/// What makes a not-a-number of bf16 a quiet one.
const QUIET: i32 = 0x0040_0000;

// SAFETY of every block below: the instructions are there, since the entry points check for them, and the caller of a load or store
// vouches for the whole vector.
impl Simd for Avx2 {
    const LANES: usize = 8;
    type V = __m256;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m256) {
        unsafe { _mm256_storeu_ps(p, v) }
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn div(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn min(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn power_of_two(mantissas: __m256) -> __m256 {
        unsafe {
            let exponents = _mm256_slli_epi32::<23>(_mm256_castps_si256(mantissas));
            _mm256_castsi256_ps(_mm256_add_epi32(exponents, _mm256_castps_si256(_mm256_set1_ps(1.0))))
        }
    }

    #[inline(always)]
    unsafe fn round_bf16(v: __m256) -> __m256 {
        unsafe {
            let bits = _mm256_castps_si256(v);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
            let not_a_number = _mm256_cmp_ps::<_CMP_UNORD_Q>(v, v);
            let quiet = _mm256_or_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(QUIET)));
            let chosen = _mm256_blendv_ps(_mm256_castsi256_ps(rounded), quiet, not_a_number);
            _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(chosen), _mm256_set1_epi32(HIGH)))
        }
    }

    #[inline(always)]
    unsafe fn low_bf16(p: *const u32) -> __m256 {
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_loadu_si256(p.cast()))) }
    }

    #[inline(always)]
    unsafe fn high_bf16(p: *const u32) -> __m256 {
        unsafe { _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256(p.cast()), _mm256_set1_epi32(HIGH))) }
    }

    #[inline(always)]
    unsafe fn prefetch(line: *const u32) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
    }

    #[inline(always)]
    unsafe fn sum(v: __m256) -> f32 {
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    unsafe fn largest(v: __m256) -> f32 {
        unsafe {
            let four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }
}

// SAFETY of every block below: as above.
impl Simd for Avx512 {
    const LANES: usize = 16;
    type V = __m512;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m512) {
        unsafe { _mm512_storeu_ps(p, v) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn power_of_two(mantissas: __m512) -> __m512 {
        unsafe {
            let exponents = _mm512_slli_epi32::<23>(_mm512_castps_si512(mantissas));
            _mm512_castsi512_ps(_mm512_add_epi32(exponents, _mm512_castps_si512(_mm512_set1_ps(1.0))))
        }
    }

    #[inline(always)]
    unsafe fn round_bf16(v: __m512) -> __m512 {
        unsafe {
            let bits = _mm512_castps_si512(v);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
            let not_a_number = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
            let chosen = _mm512_mask_or_epi32(rounded, not_a_number, bits, _mm512_set1_epi32(QUIET));
            _mm512_castsi512_ps(_mm512_and_si512(chosen, _mm512_set1_epi32(HIGH)))
        }
    }

    #[inline(always)]
    unsafe fn low_bf16(p: *const u32) -> __m512 {
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_loadu_si512(p.cast()))) }
    }

    #[inline(always)]
    unsafe fn high_bf16(p: *const u32) -> __m512 {
        unsafe { _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p.cast()), _mm512_set1_epi32(HIGH))) }
    }

    #[inline(always)]
    unsafe fn prefetch(line: *const u32) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
    }

    #[inline(always)]
    unsafe fn sum(v: __m512) -> f32 {
        unsafe { _mm512_reduce_add_ps(v) }
    }

    #[inline(always)]
    unsafe fn largest(v: __m512) -> f32 {
        unsafe { _mm512_reduce_max_ps(v) }
    }

    /// A transpose of 16 by 16: pairs of rows, fours of rows, then the quarters of the vectors.
    #[inline(always)]
    unsafe fn side_by_side(row: impl Fn(usize) -> __m512, rows: usize, out: *mut f32, to: usize) {
        unsafe {
            let read = |r: usize| if r < rows { row(r) } else { _mm512_setzero_ps() };
            let mut fours = [_mm512_setzero_ps(); 16];
            for four in 0..4 {
                let [a, b, c, d] = std::array::from_fn(|i| read(4 * four + i));
                let double = |v| _mm512_castps_pd(v);
                let low = [double(_mm512_unpacklo_ps(a, b)), double(_mm512_unpacklo_ps(c, d))];
                let high = [double(_mm512_unpackhi_ps(a, b)), double(_mm512_unpackhi_ps(c, d))];
                // Quarter q of vector j: column 4 q + j of the four rows.
                fours[4 * four] = _mm512_castpd_ps(_mm512_unpacklo_pd(low[0], low[1]));
                fours[4 * four + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low[0], low[1]));
                fours[4 * four + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high[0], high[1]));
                fours[4 * four + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high[0], high[1]));
            }
            let mask = (((1_u32 << rows) - 1) & 0xffff) as __mmask16;
            for j in 0..4 {
                const EVEN: i32 = 0b10_00_10_00;
                const ODD: i32 = 0b11_01_11_01;
                let [a, b, c, d] = std::array::from_fn(|four| fours[4 * four + j]);
                let even = [_mm512_shuffle_f32x4::<EVEN>(a, b), _mm512_shuffle_f32x4::<EVEN>(c, d)];
                let odd = [_mm512_shuffle_f32x4::<ODD>(a, b), _mm512_shuffle_f32x4::<ODD>(c, d)];
                let quarters = [
                    _mm512_shuffle_f32x4::<EVEN>(even[0], even[1]),
                    _mm512_shuffle_f32x4::<EVEN>(odd[0], odd[1]),
                    _mm512_shuffle_f32x4::<ODD>(even[0], even[1]),
                    _mm512_shuffle_f32x4::<ODD>(odd[0], odd[1]),
                ];
                for (q, column) in quarters.into_iter().enumerate() {
                    _mm512_mask_storeu_ps(out.add((4 * q + j) * to), mask, column);
                }
            }
        }
    }
}

// SAFETY of the block below: as above, in entry points that check for AVX512_BF16.
impl DotBf16 for Avx512 {
    #[inline(always)]
    unsafe fn pairs(p: *const f32) -> __m512 {
        unsafe {
            let words = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(p.add(16)), _mm512_loadu_ps(p));
            _mm512_castsi512_ps(std::mem::transmute::<__m512bh, __m512i>(words))
        }
    }

    #[inline(always)]
    unsafe fn dot_bf16(acc: __m512, a: __m512, b: *const u32) -> __m512 {
        unsafe {
            let pairs = |words: __m512i| std::mem::transmute::<__m512i, __m512bh>(words);
            _mm512_dpbf16_ps(acc, pairs(_mm512_castps_si512(a)), pairs(_mm512_loadu_si512(b.cast())))
        }
    }
}
