//! Matrix products on packed weights: `out = finish(a · weights + bias)`.
//!
//! The weights lie in panels of two vectors' width, `[columns / width][depth][width]`, so that the innermost loop reads them from front to back. Rows go
//! over one panel group after group, and what follows the sum happens before it leaves the cache. How the sums are made is the affair of a
//! [`Kernel`]: [`vectors`] by multiply-adds on vectors, [`tiles`] by a unit that multiplies small matrices.
//!
//! A value is summed up in the order of its depth, stretch by stretch, whatever tile its row falls into: rows do not see each other.

pub(crate) mod strassen;
pub(crate) mod tiles;
pub(crate) mod vectors;

use std::ops::Range;

use super::activation::{Activation, activate};
use super::aligned::Aligned;
use super::simd::{Simd, nearest_bf16};
use super::{Matrix, MatrixMut, Panels};

/// Rows of the left side of a product: `count` rows, `stride` values apart, each `depth` values long and `words` words deep in the weights.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    start: *const f32,
    stride: usize,
    count: usize,
    depth: usize,
    words: usize,
}

/// How sums are made. One *word* is one step in depth of f32 weights, or a pair of steps of bf16 weights.
pub(crate) trait Kernel: Copy + 'static {
    /// The vectors that finish a panel, which is two of them wide.
    type S: Simd;

    /// Rows of a full tile: those of one turn of the innermost loop.
    const TILE_ROWS: usize;

    /// Rows that go over a panel before the next panel is taken, by the words of a row.
    fn group(words: usize) -> usize;

    /// Values that `count` rows take once they are laid out; none: they are read where they lie.
    fn laid_out(count: usize, words: usize) -> usize;

    /// Lays rows out as [`Kernel::sum`] reads them.
    unsafe fn lay_out(rows: &Rows, out: *mut f32);

    /// Rows of [`Kernel::sum`]'s result that `count` rows take, at least as many.
    fn sums(count: usize) -> usize {
        count
    }

    /// Words of the weights that lie between those at work and those that are asked for.
    const AHEAD: usize;

    /// Requests for lines of weights that [`Kernel::sum`] makes.
    fn requests(count: usize, words: usize) -> usize;

    /// Readies the processor for [`Kernel::sum`], until [`Kernel::end`].
    #[inline(always)]
    unsafe fn begin() {}

    /// The products of rows with a panel, `[sums][width]`: added to what is there (`onto`), or put there.
    unsafe fn sum(rows: &Rows, laid_out: *const f32, panel: *const u32, onto: bool, ahead: &mut Ahead, sums: *mut f32);

    /// See [`Kernel::begin`].
    #[inline(always)]
    unsafe fn end() {}
}

/// Weights that are needed after the present ones, which they follow in memory: they are asked for while these are at work, a line at a time. Asked for at once they take every place that a core has for lines on their way, and the rows, which come from the second-level
/// cache, wait for memory: on an Intel Xeon a third of the time.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    pub(super) weights: *const u32,
    /// Words between two requests.
    pub(super) stride: usize,
}

impl Ahead {
    /// What lies `distance` words behind `weights`; while `words` words of these are at work, there are so many `requests`.
    #[inline(always)]
    fn new(weights: *const u32, distance: usize, words: usize, requests: usize) -> Ahead {
        Ahead { weights: weights.wrapping_add(distance), stride: words.div_ceil(requests.max(1)) }
    }

    /// Asks for a line.
    #[inline(always)]
    unsafe fn ask<S: Simd>(&mut self) {
        // SAFETY: asking for what is no memory of ours does nothing.
        unsafe { S::prefetch(self.weights) };
        self.weights = self.weights.wrapping_add(self.stride);
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

/// Buffers of a thread.
#[derive(Default)]
pub(crate) struct Scratch {
    rows: Aligned<f32>,
    sums: Aligned<f32>,
    row_sums: Aligned<f32>,
}

/// The part of a product in `rows` and `panels`.
#[inline(always)]
pub(crate) unsafe fn product<K: Kernel>(p: &Product, rows: Range<usize>, panels: Range<usize>, scratch: &mut Scratch) {
    let width = 2 * K::S::LANES;
    let (depth, words) = (p.weights.depth, p.weights.words_deep);
    debug_assert_eq!(p.weights.width, width, "packed for these vectors");
    let group = K::group(words).min(rows.len());
    let laid_out = scratch.rows.room(K::laid_out(group, words));
    let sums = scratch.sums.room(K::sums(group) * width);
    // SAFETY: matrices and panels know their bounds; `rows` and `panels` lie within them (checked where the product was made).
    unsafe {
        K::begin();
        for start in rows.clone().step_by(group.max(1)) {
            let count = group.min(rows.end - start);
            let rows = Rows { start: p.a.row(start), stride: p.a.stride, count, depth, words };
            K::lay_out(&rows, laid_out);
            for panel in panels.clone() {
                let panel_words = p.weights.words.add(panel * words * width);
                let mut ahead = Ahead::new(panel_words, K::AHEAD * width, words * width, K::requests(count, words));
                K::sum(&rows, laid_out, panel_words, false, &mut ahead, sums);
                finish::<K::S>(p, start, count, panel, sums);
            }
        }
        K::end();
    }
}

/// The sums of one full tile over `depth` steps, `words` words of the weights, again and again: the innermost loop of `K` alone.
#[inline(always)]
pub(crate) unsafe fn feed<K: Kernel>(depth: usize, words: usize, calls: usize) {
    // Finite values as f32 and as pairs of bf16; that their bits differ costs power, as it does in life.
    let word = |i: usize| 0x3c00_3c00 | (i as u32).wrapping_mul(0x9e37_79b1) & 0x00ff_00ff;
    let (count, width) = (K::TILE_ROWS, 2 * K::S::LANES);
    let (mut values, mut panel) = (Aligned::<f32>::zeros(count * depth), Aligned::<u32>::zeros(words * width));
    values.iter_mut().enumerate().for_each(|(i, value)| *value = f32::from_bits(word(i) & 0xffff_0000));
    panel.iter_mut().enumerate().for_each(|(i, weights)| *weights = word(i));
    let mut laid_out = Aligned::<f32>::zeros(K::laid_out(count, words));
    let mut sums = Aligned::<f32>::zeros(K::sums(count) * width);
    let rows = Rows { start: values.as_ptr(), stride: depth, count, depth, words };
    // SAFETY: the buffers were just made to fit; the caller has the instructions.
    unsafe {
        K::begin();
        K::lay_out(&rows, laid_out.as_mut_ptr());
        for _ in 0..calls {
            let panel = std::hint::black_box(panel.as_ptr());
            let mut ahead = Ahead::new(panel, 0, words * width, K::requests(count, words));
            K::sum(&rows, laid_out.as_ptr(), panel, false, &mut ahead, sums.as_mut_ptr());
        }
        K::end();
    }
    std::hint::black_box(&sums[..]);
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
