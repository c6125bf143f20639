//! Sums by a unit that multiplies tiles: 16 rows of 32 values of bf16 by 16 pairs of steps of 16 columns.
//!
//! Four tiles of sums, 32 rows by a panel of 32 columns, stay in the unit over a stretch of the depth; each step loads two tiles of rows and two of weights
//! for four products. Rows are laid out as the unit loads them, tile after tile; the panels lie as it loads them already.

use super::super::simd::DotBf16;
use super::{Ahead, Kernel, Rows};

/// Rows of a tile.
pub(crate) const ROWS: usize = 16;
/// Words of depth of a tile: pairs of values.
pub(crate) const WORDS: usize = 16;
/// Columns of a panel: two tiles.
pub(crate) const COLUMNS: usize = 32;
/// 32-bit words of a tile.
const TILE: usize = ROWS * WORDS;

/// Words of depth of a stretch: its part of a panel is 16 KB and stays in a first-level cache while the rows go over it.
const STRETCH: usize = 128;

/// Lines of the weights ahead that each step in depth asks for.
const ASKED: usize = 2;

/// Bytes of rows that go over a panel before the next one is taken: half of a second-level cache. The unit is so fast that the weights, which come from
/// farther away, must serve many rows.
const GROUP_BYTES: usize = 1 << 20;
/// Most rows of a group.
const GROUP_ROWS: usize = 512;

/// A unit that multiplies tiles.
pub(crate) trait TileUnit: Copy + 'static {
    /// Gives the unit its tiles, on this thread.
    unsafe fn begin();

    /// Adds `steps` steps in depth to `sums`, `[16 · TILES][32]`, or puts them there (`first`). A step of `rows` is `TILES` tiles, one after the other, `TILES` 1 or 2; a
    /// step of `weights` is `[16][32]` words. Each step asks for [`ASKED`] lines.
    unsafe fn multiply<const TILES: usize>(
        first: bool,
        steps: usize,
        rows: *const f32,
        weights: *const u32,
        ahead: Ahead,
        sums: *mut f32,
    );

    /// Takes the tiles away, so that the system need not save them.
    unsafe fn end();
}

/// Weights in bf16, multiplied by the tiles of `U`; `S` lays out and finishes. The left side holds bf16 values as f32.
#[derive(Clone, Copy)]
pub(crate) struct Tiled<U, S>(U, S);

/// Rows of a group whose rows are `words` words deep.
pub(crate) fn group(words: usize) -> usize {
    (GROUP_BYTES / (4 * words.max(1)) / (2 * ROWS) * (2 * ROWS)).clamp(2 * ROWS, GROUP_ROWS)
}

impl<U: TileUnit, S: DotBf16> Kernel for Tiled<U, S> {
    type S = S;
    const TILE_ROWS: usize = 2 * ROWS;
    const AHEAD: usize = STRETCH;

    fn requests(count: usize, words: usize) -> usize {
        count.div_ceil(2 * ROWS) * ASKED * words.div_ceil(WORDS)
    }

    fn group(words: usize) -> usize {
        group(words)
    }

    fn laid_out(count: usize, words: usize) -> usize {
        Self::sums(count) * words
    }

    fn sums(count: usize) -> usize {
        count.next_multiple_of(ROWS)
    }

    #[inline(always)]
    unsafe fn lay_out(rows: &Rows, out: *mut f32) {
        let steps = rows.words / WORDS;
        let whole = rows.depth / (2 * WORDS);
        for first in (0..rows.count).step_by(ROWS) {
            // Where the tile lies in each step, and how far the steps are apart.
            let start = first / (2 * ROWS) * (2 * ROWS);
            let step = if start + ROWS < rows.count { 2 * TILE } else { TILE };
            for r in first..first + ROWS {
                // SAFETY: the caller vouches for the rows and for room for as many values as they take.
                unsafe {
                    let out = out.add(start * rows.words + (r - start) * WORDS);
                    if r >= rows.count {
                        (0..steps).for_each(|s| out.add(s * step).write_bytes(0, WORDS));
                        continue;
                    }
                    let row = rows.start.add(r * rows.stride);
                    for s in 0..whole {
                        for w in (0..WORDS).step_by(S::LANES) {
                            S::store(out.add(s * step + w), S::pairs(row.add(2 * (s * WORDS + w))));
                        }
                    }
                    if whole < steps {
                        let mut rest = [0.0_f32; 2 * WORDS];
                        let from = whole * 2 * WORDS;
                        rest.as_mut_ptr().copy_from_nonoverlapping(row.add(from), rows.depth - from);
                        for w in (0..WORDS).step_by(S::LANES) {
                            S::store(out.add(whole * step + w), S::pairs(rest.as_ptr().add(2 * w)));
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn begin() {
        // SAFETY: the caller has the instructions.
        unsafe { U::begin() }
    }

    #[inline(always)]
    unsafe fn sum(rows: &Rows, laid_out: *const f32, panel: *const u32, onto: bool, ahead: &mut Ahead, sums: *mut f32) {
        let (words, count) = (rows.words, rows.count);
        for from in (0..words).step_by(STRETCH) {
            let steps = STRETCH.min(words - from) / WORDS;
            let fresh = from == 0 && !onto;
            for first in (0..count).step_by(2 * ROWS) {
                // SAFETY: the caller vouches for the rows, the panel and room for the sums; both are whole tiles.
                unsafe {
                    let (weights, sums) = (panel.add(from * COLUMNS), sums.add(first * COLUMNS));
                    let rows = laid_out.add(first * words);
                    if first + ROWS < count {
                        U::multiply::<2>(fresh, steps, rows.add(2 * ROWS * from), weights, *ahead, sums);
                    } else {
                        U::multiply::<1>(fresh, steps, rows.add(ROWS * from), weights, *ahead, sums);
                    }
                }
                ahead.weights = ahead.weights.wrapping_add(steps * ASKED * ahead.stride);
            }
        }
    }

    #[inline(always)]
    unsafe fn end() {
        // SAFETY: the caller has the instructions.
        unsafe { U::end() }
    }
}
