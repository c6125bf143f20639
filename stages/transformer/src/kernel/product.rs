//! Matrix products on packed weights: `out = finish(a · weights + bias)`.
//!
//! The weights lie in panels of two vectors' width, `[columns / width][depth][width]`, so that the innermost loop reads them from front to back. A tile of
//! some rows by one panel stays in registers over a stretch of the depth: for each step two loads of weights, one broadcast per row, two
//! multiply-adds per row. What follows the product happens in those registers, too.
//!
//! A value is summed up in the order of its depth, stretch by stretch, whatever tile its row falls into: rows do not see each other.

use std::ops::Range;

use super::activation::{Activation, activate};
use super::simd::{DotBf16, Simd, nearest_bf16};
use super::{Matrix, MatrixMut, Panels};

/// Depth of a stretch: a panel's stretch of [`super::Instructions`] with vectors of eight is then 24 KB, which leaves room in a first-level cache of 32 KB for the rows.
pub(crate) const STRETCH: usize = 256;

/// Rows that go over a panel before the next panel is taken: with 768 columns 258 KB, half of a second-level cache.
pub(crate) const GROUP: usize = 84;

/// How a tile multiplies. One *word* is one step in depth of f32 weights, or a pair of steps of bf16 weights.
pub(crate) trait Kernel: Copy + 'static {
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

    /// Lays rows `0..rows` of `a`, `words` words deep, side by side: word `w` of row `r` goes to `out[w * rows + r]`, of [`Kernel::PACKED`] values.
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

    /// Adds `words` words of depth to the tile. Rows of `a` lie `row` apart, or side by side once packed.
    unsafe fn multiply<const R: usize>(
        acc: &mut [[<Self::S as Simd>::V; 2]; R],
        words: usize,
        a: *const f32,
        row: usize,
        weights: *const u32,
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

impl<S: Simd> Kernel for F32<S> {
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
    ) {
        let mut weights = weights.cast::<f32>();
        let (row, step) = if Self::PACKS { (1, R) } else { (row, 1) };
        // SAFETY: the caller vouches for `words` words of the panel and of `R` rows.
        unsafe {
            over_words!(words, a + step, weights + 2 * S::LANES, w => {
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

impl<S: Simd> Kernel for Bf16<S> {
    type S = S;
    const ROWS: usize = rows(S::LANES);
    const STEPS: usize = 2;
    const PACKS: bool = S::LANES == 16;

    #[inline(always)]
    unsafe fn multiply<const R: usize>(
        acc: &mut [[S::V; 2]; R],
        words: usize,
        mut a: *const f32,
        row: usize,
        mut weights: *const u32,
    ) {
        let (row, step) = if Self::PACKS { (1, R) } else { (row, 1) };
        // SAFETY: the caller vouches for `words` words of the panel and of `R` rows, two steps each.
        unsafe {
            over_words!(words, a + 2 * step, weights + 2 * S::LANES, w => {
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

impl<S: DotBf16> Kernel for Bf16Dot<S> {
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
    ) {
        // SAFETY: the caller vouches for `words` words of the panel and of `R` rows.
        unsafe {
            over_words!(words, a + R, weights + 2 * S::LANES, w => {
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

/// What becomes of a product and its bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// It is the result.
    Store,
    /// The result is its activation.
    Activate(Activation),
    /// It is added to what is there: the residual connection.
    Add,
}

/// A product: `out[r][c] = finish(sum over k of a[r][k] · weights[k][c] + bias[c])`.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(crate) a: Matrix<'a>,
    pub(crate) weights: Panels<'a>,
    pub(crate) out: MatrixMut<'a>,
    pub(crate) finish: Finish,
    /// Round the result to bf16.
    pub(crate) round: bool,
}

/// The part of a product in `rows` and `panels`. `packing` is scratch.
#[inline(always)]
pub(crate) unsafe fn product<K: Kernel>(p: &Product, rows: Range<usize>, panels: Range<usize>, packing: &mut Vec<f32>) {
    let width = 2 * K::S::LANES;
    let words = p.weights.depth.div_ceil(K::STEPS);
    let stretch = STRETCH / K::STEPS;
    debug_assert_eq!(p.weights.width, width, "packed for these vectors");
    if K::PACKS {
        packing.resize(GROUP * words * K::PACKED, 0.0);
    }
    let mut sums = [0.0_f32; GROUP * 32];
    let sums = sums.as_mut_ptr();
    // SAFETY: matrices and panels know their bounds; `rows` and `panels` lie within them (checked where the product was made).
    unsafe {
        for start in rows.clone().step_by(GROUP) {
            let count = GROUP.min(rows.end - start);
            let a = p.a.row(start);
            let mut tiles = Tiles::<K>::new(count);
            if K::PACKS {
                while let Some((first, n)) = tiles.next() {
                    let out = packing.as_mut_ptr().add(first * words * K::PACKED);
                    K::pack(a.add(first * p.a.stride), p.a.stride, n, words, out);
                }
            }
            for panel in panels.clone() {
                for from in (0..words).step_by(stretch) {
                    let deep = stretch.min(words - from);
                    let weights = p.weights.words.add((panel * words + from) * width);
                    let mut tiles = Tiles::<K>::new(count);
                    while let Some((first, n)) = tiles.next() {
                        let (a, row) = if K::PACKS {
                            (packing.as_ptr().add((first * words + from * n) * K::PACKED), 1)
                        } else {
                            (a.add(first * p.a.stride + from * K::STEPS), p.a.stride)
                        };
                        let sums = sums.add(first * width);
                        match n {
                            14 if K::ROWS == 14 => tile::<K, 14>(from == 0, deep, a, row, weights, sums),
                            12 if K::ROWS == 14 => tile::<K, 12>(from == 0, deep, a, row, weights, sums),
                            10 if K::ROWS == 14 => tile::<K, 10>(from == 0, deep, a, row, weights, sums),
                            8 if K::ROWS == 14 => tile::<K, 8>(from == 0, deep, a, row, weights, sums),
                            6 => tile::<K, 6>(from == 0, deep, a, row, weights, sums),
                            4 => tile::<K, 4>(from == 0, deep, a, row, weights, sums),
                            2 => tile::<K, 2>(from == 0, deep, a, row, weights, sums),
                            _ => tile::<K, 1>(from == 0, deep, a, row, weights, sums),
                        }
                    }
                }
                finish::<K::S>(p, start, count, panel, sums);
            }
        }
    }
}

/// Cuts rows into tiles: full ones, then the largest even number, then one.
struct Tiles<K> {
    at: usize,
    count: usize,
    kernel: std::marker::PhantomData<K>,
}

impl<K: Kernel> Tiles<K> {
    #[inline(always)]
    fn new(count: usize) -> Self {
        Tiles { at: 0, count, kernel: std::marker::PhantomData }
    }

    /// First row and number of rows.
    #[inline(always)]
    fn next(&mut self) -> Option<(usize, usize)> {
        let left = self.count - self.at;
        let n = match left {
            0 => return None,
            n if n >= K::ROWS => K::ROWS,
            1 => 1,
            n => n & !1,
        };
        self.at += n;
        Some((self.at - n, n))
    }
}

/// Adds a stretch of depth to the sums `[R][width]` of a tile.
#[inline(always)]
unsafe fn tile<K: Kernel, const R: usize>(
    first: bool,
    words: usize,
    a: *const f32,
    row: usize,
    weights: *const u32,
    sums: *mut f32,
) {
    let lanes = K::S::LANES;
    // SAFETY: as in `product`.
    unsafe {
        let mut acc = [[K::S::splat(0.0); 2]; R];
        if !first {
            for (r, acc) in acc.iter_mut().enumerate() {
                *acc = [K::S::load(sums.add(2 * r * lanes)), K::S::load(sums.add((2 * r + 1) * lanes))];
            }
        }
        K::multiply::<R>(&mut acc, words, a, row, weights);
        for (r, acc) in acc.iter().enumerate() {
            K::S::store(sums.add(2 * r * lanes), acc[0]);
            K::S::store(sums.add((2 * r + 1) * lanes), acc[1]);
        }
    }
}

/// Takes the finished sums of a panel to the result.
#[inline(always)]
unsafe fn finish<S: Simd>(p: &Product, start: usize, count: usize, panel: usize, sums: *mut f32) {
    // Each case with constants, so that a loop over values asks nothing.
    // SAFETY: as in `product`.
    unsafe {
        match (p.finish, p.round) {
            (Finish::Store, false) => finish_as::<S>(Finish::Store, false, p, start, count, panel, sums),
            (Finish::Add, false) => finish_as::<S>(Finish::Add, false, p, start, count, panel, sums),
            (finish, round) => finish_as::<S>(finish, round, p, start, count, panel, sums),
        }
    }
}

#[inline(always)]
unsafe fn finish_as<S: Simd>(
    finish: Finish,
    round: bool,
    p: &Product,
    start: usize,
    count: usize,
    panel: usize,
    sums: *mut f32,
) {
    let width = 2 * S::LANES;
    let first = panel * width;
    let columns = width.min(p.out.columns - first);
    // SAFETY: as in `product`; the bias is as wide as the panels.
    unsafe {
        let mut bias = [S::splat(0.0); 2];
        if !p.weights.bias.is_null() {
            bias = [S::load(p.weights.bias.add(first)), S::load(p.weights.bias.add(first + S::LANES))];
        }
        for r in 0..count {
            let (sums, out) = (sums.add(r * width), p.out.row(start + r).add(first));
            for (j, bias) in [0, S::LANES].into_iter().zip(bias) {
                let sum = S::add(S::load(sums.add(j)), bias);
                let value = match finish {
                    Finish::Store | Finish::Add => sum,
                    Finish::Activate(activation) => activate::<S>(activation, sum),
                };
                if columns == width {
                    let value = if finish == Finish::Add { S::add(S::load(out.add(j)), value) } else { value };
                    S::store(out.add(j), if round { S::round_bf16(value) } else { value });
                } else {
                    S::store(sums.add(j), value);
                }
            }
            // The last panel of a matrix whose width is no multiple of the panels'.
            if columns < width {
                for j in 0..columns {
                    let value = *sums.add(j);
                    let value = if finish == Finish::Add { *out.add(j) + value } else { value };
                    *out.add(j) = if round { f32::from_bits(nearest_bf16(value)) } else { value };
                }
            }
        }
    }
}
