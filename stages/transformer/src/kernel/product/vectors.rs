//! Sums by multiply-adds on vectors. A tile of some rows by one panel stays in registers over a stretch of the depth: for each step two loads of weights, one
//! broadcast per row, two multiply-adds per row.

use super::super::simd::{DotBf16, Simd};
use super::{Ahead, Kernel, Rows};

/// Depth of a stretch: a panel's stretch of [`crate::Instructions`] with vectors of eight is then 24 KB, which leaves room in a first-level cache of 32 KB for the rows.
pub(crate) const STRETCH: usize = 256;

/// Rows that go over a panel before the next panel is taken: with 768 columns 258 KB, half of a second-level cache.
pub(crate) const GROUP: usize = 84;

/// How a tile multiplies.
pub(crate) trait Vectors: Copy + 'static {
    /// The vectors.
    type S: Simd;
    /// Rows of a full tile.
    const ROWS: usize;
    /// Steps in depth per word of the weights.
    const STEPS: usize;
    /// Whether rows are first laid side by side, `[depth][rows]`: with many rows per tile their strides would fight for the places of the cache.
    const PACKS: bool;
    /// Values of a word of packed rows.
    const PACKED: usize = Self::STEPS;

    /// Words of the left side, as many as a vector holds, from `a`.
    #[inline(always)]
    unsafe fn words(a: *const f32) -> <Self::S as Simd>::V {
        // SAFETY: the caller vouches for the whole vector.
        unsafe { Self::S::load(a) }
    }

    /// One word of the left side.
    #[inline(always)]
    unsafe fn word(a: *const f32) -> f32 {
        // SAFETY: the caller vouches for it.
        unsafe { *a }
    }

    /// Lays rows `0..rows` of `a`, `words` words deep, side by side: word `w` of row `r` goes to `out[w * rows + r]`, of [`Vectors::PACKED`] values.
    #[inline(always)]
    unsafe fn pack(a: *const f32, stride: usize, rows: usize, words: usize, out: *mut f32) {
        let (lanes, steps) = (Self::S::LANES, Self::STEPS / Self::PACKED);
        let words = words * Self::PACKED;
        // SAFETY: the caller vouches for both sides.
        unsafe {
            for from in (0..words / lanes * lanes).step_by(lanes) {
                let row = |r: usize| Self::words(a.add(r * stride + from * steps));
                Self::S::side_by_side(row, rows, out.add(from * rows), rows);
            }
            for w in words / lanes * lanes..words {
                for r in 0..rows {
                    *out.add(w * rows + r) = Self::word(a.add(r * stride + w * steps));
                }
            }
        }
    }

    /// Adds `words` words of depth to the tile. Rows of `a` lie `row` apart, or side by side once packed. At each word one line is asked for.
    unsafe fn multiply<const R: usize>(
        acc: &mut [[<Self::S as Simd>::V; 2]; R],
        words: usize,
        a: *const f32,
        row: usize,
        weights: *const u32,
        ahead: Ahead,
    );
}

/// Weights in f32.
#[derive(Clone, Copy)]
pub(crate) struct F32<S>(S);

/// Weights in bf16, widened in registers; the left side holds bf16 values as f32.
#[derive(Clone, Copy)]
pub(crate) struct Bf16<S>(S);

/// Weights in bf16, multiplied in pairs; the left side holds bf16 values as f32, and pairs of them once packed.
#[derive(Clone, Copy)]
pub(crate) struct Bf16Dot<S>(S);

/// Rows of a full tile by the number of vector registers: two accumulators a row, two panels and a broadcast.
const fn rows(lanes: usize) -> usize {
    if lanes == 16 { 14 } else { 6 }
}

/// Words that are multiplied between two looks at the loop's counter.
const UNROLL: usize = 4;

/// Calls `$body` for words `0..$words` with `$w` the word counted from `$a` and `$weights`, which advance by `$row` and `$panel` values a word.
macro_rules! over_words {
    ($words:ident, $a:ident + $step:expr, $weights:ident + $panel:expr, $w:ident => $body:block) => {
        for _ in 0..$words / UNROLL {
            for $w in 0..UNROLL $body
            $a = $a.add(UNROLL * $step);
            $weights = $weights.add(UNROLL * $panel);
        }
        for $w in 0..$words % UNROLL $body
    };
}

impl<S: Simd> Vectors for F32<S> {
    type S = S;
    const ROWS: usize = rows(S::LANES);
    const STEPS: usize = 1;
    const PACKS: bool = S::LANES == 16;

    #[inline(always)]
    unsafe fn multiply<const R: usize>(
        acc: &mut [[S::V; 2]; R],
        words: usize,
        mut a: *const f32,
        row: usize,
        weights: *const u32,
        mut ahead: Ahead,
    ) {
        let mut weights = weights.cast::<f32>();
        let (row, step) = if Self::PACKS { (1, R) } else { (row, 1) };
        // SAFETY: the caller vouches for `words` words of the panel and of `R` rows.
        unsafe {
            over_words!(words, a + step, weights + 2 * S::LANES, w => {
                ahead.ask::<S>();
                let panel = weights.add(w * 2 * S::LANES);
                let panel = [S::load(panel), S::load(panel.add(S::LANES))];
                for (r, acc) in acc.iter_mut().enumerate() {
                    let x = S::splat(*a.add(r * row + w * step));
                    acc[0] = S::fma(x, panel[0], acc[0]);
                    acc[1] = S::fma(x, panel[1], acc[1]);
                }
            });
        }
    }
}

impl<S: Simd> Vectors for Bf16<S> {
    type S = S;
    // The words widened and a zero to mask them take registers: one accumulator more, and the loop waits for it to come back from memory.
    const ROWS: usize = if S::LANES == 16 { 12 } else { 5 };
    const STEPS: usize = 2;
    const PACKS: bool = S::LANES == 16;

    #[inline(always)]
    unsafe fn multiply<const R: usize>(
        acc: &mut [[S::V; 2]; R],
        words: usize,
        mut a: *const f32,
        row: usize,
        mut weights: *const u32,
        mut ahead: Ahead,
    ) {
        let (row, step) = if Self::PACKS { (1, R) } else { (row, 1) };
        // SAFETY: the caller vouches for `words` words of the panel and of `R` rows, two steps each.
        unsafe {
            over_words!(words, a + 2 * step, weights + 2 * S::LANES, w => {
                ahead.ask::<S>();
                let panel = weights.add(w * 2 * S::LANES);
                let low = [S::low_bf16(panel), S::low_bf16(panel.add(S::LANES))];
                for (r, acc) in acc.iter_mut().enumerate() {
                    let x = S::splat(*a.add(r * row + 2 * w * step));
                    acc[0] = S::fma(x, low[0], acc[0]);
                    acc[1] = S::fma(x, low[1], acc[1]);
                }
                let high = [S::high_bf16(panel), S::high_bf16(panel.add(S::LANES))];
                for (r, acc) in acc.iter_mut().enumerate() {
                    let x = S::splat(*a.add(r * row + (2 * w + 1) * step));
                    acc[0] = S::fma(x, high[0], acc[0]);
                    acc[1] = S::fma(x, high[1], acc[1]);
                }
            });
        }
    }
}

impl<S: DotBf16> Vectors for Bf16Dot<S> {
    type S = S;
    const ROWS: usize = rows(S::LANES);
    const STEPS: usize = 2;
    const PACKS: bool = true;
    const PACKED: usize = 1;

    #[inline(always)]
    unsafe fn words(a: *const f32) -> S::V {
        // SAFETY: the caller vouches for the pairs of a whole vector.
        unsafe { S::pairs(a) }
    }

    #[inline(always)]
    unsafe fn word(a: *const f32) -> f32 {
        // SAFETY: the caller vouches for the pair.
        let (low, high) = unsafe { ((*a).to_bits() >> 16, (*a.add(1)).to_bits() & 0xffff_0000) };
        f32::from_bits(low | high)
    }

    #[inline(always)]
    unsafe fn multiply<const R: usize>(
        acc: &mut [[S::V; 2]; R],
        words: usize,
        mut a: *const f32,
        _row: usize,
        mut weights: *const u32,
        mut ahead: Ahead,
    ) {
        // SAFETY: the caller vouches for `words` words of the panel and of `R` rows.
        unsafe {
            over_words!(words, a + R, weights + 2 * S::LANES, w => {
                ahead.ask::<S>();
                let panel = weights.add(w * 2 * S::LANES);
                for (r, acc) in acc.iter_mut().enumerate() {
                    let pair = S::splat(*a.add(w * R + r));
                    acc[0] = S::dot_bf16(acc[0], pair, panel);
                    acc[1] = S::dot_bf16(acc[1], pair, panel.add(S::LANES));
                }
            });
        }
    }
}

impl<K: Vectors> Kernel for K {
    type S = K::S;
    const TILE_ROWS: usize = K::ROWS;
    const AHEAD: usize = STRETCH / K::STEPS;

    fn requests(count: usize, words: usize) -> usize {
        count.div_ceil(K::ROWS) * words
    }

    fn group(_words: usize) -> usize {
        GROUP
    }

    fn laid_out(count: usize, words: usize) -> usize {
        if K::PACKS { count * words * K::PACKED } else { 0 }
    }

    #[inline(always)]
    unsafe fn lay_out(rows: &Rows, out: *mut f32) {
        if !K::PACKS {
            return;
        }
        for (first, n) in tiles::<K>(rows.count) {
            // SAFETY: the caller vouches for the rows and for room for as many values as they take.
            unsafe {
                let out = out.add(first * rows.words * K::PACKED);
                K::pack(rows.start.add(first * rows.stride), rows.stride, n, rows.words, out);
            }
        }
    }

    #[inline(always)]
    unsafe fn sum(rows: &Rows, laid_out: *const f32, panel: *const u32, onto: bool, ahead: &mut Ahead, sums: *mut f32) {
        let Rows { start, stride, count, words, .. } = *rows;
        let (width, stretch) = (2 * K::S::LANES, STRETCH / K::STEPS);
        for from in (0..words).step_by(stretch) {
            let deep = stretch.min(words - from);
            let fresh = from == 0 && !onto;
            for (first, n) in tiles::<K>(count) {
                // SAFETY: the caller vouches for the rows, the panel and room for the sums.
                unsafe {
                    let weights = panel.add(from * width);
                    let (a, row) = if K::PACKS {
                        (laid_out.add((first * words + from * n) * K::PACKED), 1)
                    } else {
                        (start.add(first * stride + from * K::STEPS), stride)
                    };
                    let sums = sums.add(first * width);
                    match n {
                        14 if K::ROWS >= 14 => tile::<K, 14>(fresh, deep, a, row, weights, *ahead, sums),
                        13 if K::ROWS >= 13 => tile::<K, 13>(fresh, deep, a, row, weights, *ahead, sums),
                        12 if K::ROWS >= 12 => tile::<K, 12>(fresh, deep, a, row, weights, *ahead, sums),
                        11 if K::ROWS >= 11 => tile::<K, 11>(fresh, deep, a, row, weights, *ahead, sums),
                        10 if K::ROWS >= 10 => tile::<K, 10>(fresh, deep, a, row, weights, *ahead, sums),
                        9 if K::ROWS >= 9 => tile::<K, 9>(fresh, deep, a, row, weights, *ahead, sums),
                        8 if K::ROWS >= 8 => tile::<K, 8>(fresh, deep, a, row, weights, *ahead, sums),
                        7 if K::ROWS >= 7 => tile::<K, 7>(fresh, deep, a, row, weights, *ahead, sums),
                        6 if K::ROWS >= 6 => tile::<K, 6>(fresh, deep, a, row, weights, *ahead, sums),
                        5 => tile::<K, 5>(fresh, deep, a, row, weights, *ahead, sums),
                        4 => tile::<K, 4>(fresh, deep, a, row, weights, *ahead, sums),
                        3 => tile::<K, 3>(fresh, deep, a, row, weights, *ahead, sums),
                        2 => tile::<K, 2>(fresh, deep, a, row, weights, *ahead, sums),
                        1 => tile::<K, 1>(fresh, deep, a, row, weights, *ahead, sums),
                        _ => unreachable!("a tile of at most {} rows", K::ROWS),
                    }
                }
                ahead.weights = ahead.weights.wrapping_add(deep * ahead.stride);
            }
        }
    }
}

/// Cuts `count` rows into tiles, full ones and the rest: the first row and the number of rows of each.
#[inline(always)]
fn tiles<K: Vectors>(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).step_by(K::ROWS).map(move |first| (first, K::ROWS.min(count - first)))
}

/// Adds a stretch of depth to the sums `[R][width]` of a tile, or makes them of it (`fresh`).
#[inline(always)]
unsafe fn tile<K: Vectors, const R: usize>(
    fresh: bool,
    words: usize,
    a: *const f32,
    row: usize,
    weights: *const u32,
    ahead: Ahead,
    sums: *mut f32,
) {
    let lanes = K::S::LANES;
    // SAFETY: as in `product`.
    unsafe {
        let mut acc = [[K::S::splat(0.0); 2]; R];
        if !fresh {
            for (r, acc) in acc.iter_mut().enumerate() {
                *acc = [K::S::load(sums.add(2 * r * lanes)), K::S::load(sums.add((2 * r + 1) * lanes))];
            }
        }
        K::multiply::<R>(&mut acc, words, a, row, weights, ahead);
        for (r, acc) in acc.iter().enumerate() {
            K::S::store(sums.add(2 * r * lanes), acc[0]);
            K::S::store(sums.add((2 * r + 1) * lanes), acc[1]);
        }
    }
}
