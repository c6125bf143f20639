//! Seven products for eight: Winograd's form of Strassen's algorithm, one level deep.
//!
//! Rows are taken in pairs, a row and the next one, panels of the weights likewise, and the depth in chunks of two halves. With the quarters of a chunk
//! (`A11`: first rows of the pairs, first half of the depth), seven products and some sums stand for eight products (Winograd 1971; Knuth, The Art of
//! Computer Programming 2, 4.6.4):
//!
//! ```text
//! S1 = A21 + A22   S2 = S1 - A11   S3 = A11 - A21   S4 = A12 - S2
//! T1 = B12 - B11   T2 = B22 - T1   T3 = B22 - B12   T4 = T2 - B21
//!
//! U  = A11·B11 + S2·T2             C11 = A11·B11 + A12·B21
//! V  = S1·T1                       C12 = U + V + S4·B22
//! W  = U + S3·T3                   C21 = W - A22·T4
//!                                  C22 = W + V
//! ```
//!
//! The sums of weights are made once, when they are packed, which takes 7/4 of their memory; those of rows when the rows are laid out. A row sees its partner
//! and no other, so that what must not depend on each other has to be an even number of rows.
//!
//! An error is bounded by the largest values of the two rows and columns, not by those that a value is the sum of; it is a few times that of eight products,
//! some 10⁻⁷. With sums rounded to bf16 it would be another matter: this is for f32.

use std::ops::Range;

use super::super::aligned::Aligned;
use super::super::simd::Simd;
use super::{Ahead, Kernel, Product, Rows, Scratch, finish};

/// Depth of a chunk, at most.
const CHUNK: usize = 768;

/// Pairs of rows that go over two panels before the next two are taken.
pub(crate) const PAIRS: usize = 42;

/// Products of a chunk.
const PRODUCTS: usize = 7;

/// The quarters of the rows and their sums: the left sides of the products.
#[derive(Clone, Copy)]
enum Left {
    A11,
    A12,
    A22,
    S1,
    S2,
    S3,
    S4,
}

const LEFTS: [Left; PRODUCTS] = [Left::A11, Left::A12, Left::A22, Left::S1, Left::S2, Left::S3, Left::S4];
/// Those that are sums.
const SUMS: usize = 4;

/// How the depth of weights is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Halves {
    /// Depth of half a chunk.
    half: usize,
    chunks: usize,
}

impl Halves {
    /// For weights of this shape in panels of `width`; none where it cannot be cut into whole vectors and pairs of panels.
    pub(crate) fn of(depth: usize, columns: usize, width: usize) -> Option<Halves> {
        let chunks = depth.div_ceil(CHUNK).max(1);
        let fits = columns.is_multiple_of(2 * width) && depth.is_multiple_of(width * chunks);
        fits.then_some(Halves { half: depth / (2 * chunks), chunks })
    }

    /// Values of two panels of `width` with their sums.
    pub(crate) fn two_panels(self, width: usize) -> usize {
        self.chunks * PRODUCTS * self.half * width
    }
}

/// The right sides of the products in their order, `[pairs of panels][chunks][B11, B21, T2, T1, B22, T3, -T4][half][width]`, of panels `[panels][depth][width]`.
pub(crate) fn pack(panels: &[u32], width: usize, halves: Halves) -> Aligned<u32> {
    let Halves { half, chunks } = halves;
    let (quarter, depth) = (half * width, 2 * half * chunks);
    let mut packed = Aligned::zeros(panels.len() / (2 * depth * width) * halves.two_panels(width));
    for (panels, packed) in
        panels.chunks_exact(2 * depth * width).zip(packed.chunks_exact_mut(halves.two_panels(width)))
    {
        let (first, second) = panels.split_at(depth * width);
        let chunks = first.chunks_exact(2 * quarter).zip(second.chunks_exact(2 * quarter));
        for ((first, second), packed) in chunks.zip(packed.chunks_exact_mut(PRODUCTS * quarter)) {
            for i in 0..quarter {
                let [b11, b21, b12, b22] =
                    [first[i], first[quarter + i], second[i], second[quarter + i]].map(f32::from_bits);
                let t1 = b12 - b11;
                let t2 = b22 - t1;
                for (to, value) in [b11, b21, t2, t1, b22, b22 - b12, b21 - t2].into_iter().enumerate() {
                    packed[to * quarter + i] = value.to_bits();
                }
            }
        }
    }
    packed
}

/// A group of pairs of rows, laid out.
struct Group {
    start: *const f32,
    /// Values between two rows.
    stride: usize,
    /// Pairs.
    count: usize,
    half: usize,
    /// The sums of all chunks, `[chunks][4][count][half]`.
    sums: *mut f32,
    /// Left sides of all chunks as [`Kernel::sum`] reads them.
    laid_out: *mut f32,
}

impl Group {
    fn rows(&self, chunk: usize, left: Left) -> Rows {
        let quarter = |second: usize, half: usize| {
            (self.start.wrapping_add(second * self.stride + (2 * chunk + half) * self.half), 2 * self.stride)
        };
        let sum =
            |i: usize| (self.sums.wrapping_add((chunk * SUMS + i) * self.count * self.half).cast_const(), self.half);
        let (start, stride) = match left {
            Left::A11 => quarter(0, 0),
            Left::A12 => quarter(0, 1),
            Left::A22 => quarter(1, 1),
            Left::S1 => sum(0),
            Left::S2 => sum(1),
            Left::S3 => sum(2),
            Left::S4 => sum(3),
        };
        Rows { start, stride, count: self.count, depth: self.half, words: self.half }
    }

    fn laid_out<K: Kernel>(&self, chunk: usize, left: Left) -> *mut f32 {
        self.laid_out.wrapping_add((chunk * PRODUCTS + left as usize) * K::laid_out(self.count, self.half))
    }

    /// Makes the sums of a chunk and lays out all of it.
    #[inline(always)]
    unsafe fn lay_out<K: Kernel>(&self, chunk: usize) {
        let (half, apart) = (self.half, self.count * self.half);
        // SAFETY: the caller vouches for the rows, and for room for the sums and for what is laid out.
        unsafe {
            for pair in 0..self.count {
                let first = self.start.add(2 * pair * self.stride + 2 * chunk * half);
                let second = first.add(self.stride);
                let to = self.sums.add((chunk * SUMS * self.count + pair) * half);
                for k in (0..half).step_by(K::S::LANES) {
                    let (a11, a12) = (K::S::load(first.add(k)), K::S::load(first.add(half + k)));
                    let (a21, a22) = (K::S::load(second.add(k)), K::S::load(second.add(half + k)));
                    let s1 = K::S::add(a21, a22);
                    let s2 = K::S::sub(s1, a11);
                    for (i, s) in [s1, s2, K::S::sub(a11, a21), K::S::sub(a12, s2)].into_iter().enumerate() {
                        K::S::store(to.add(i * apart + k), s);
                    }
                }
            }
            for left in LEFTS {
                K::lay_out(&self.rows(chunk, left), self.laid_out::<K>(chunk, left));
            }
        }
    }
}

/// What a product is added to.
#[derive(Clone, Copy)]
enum Onto {
    Nothing,
    /// What is there already.
    Itself,
    /// Terms of the same chunk, and what is there of chunks before.
    U,
    UV,
}

/// The part of a product in `rows` and `panels`, both of them whole pairs, by weights from [`pack`].
#[inline(always)]
pub(crate) unsafe fn product<K: Kernel>(
    p: &Product,
    cut: Halves,
    rows: Range<usize>,
    panels: Range<usize>,
    scratch: &mut Scratch,
) {
    let width = 2 * K::S::LANES;
    let Halves { half, chunks } = cut;
    debug_assert!(p.weights.width == width && p.weights.depth == 2 * half * chunks, "packed for these vectors");
    let most = PAIRS.min(rows.len() / 2);
    let laid_out = scratch.rows.room(chunks * PRODUCTS * K::laid_out(most, half));
    let sums = scratch.row_sums.room(chunks * SUMS * most * half);
    let tile = K::sums(most) * width;
    let results = scratch.sums.room(6 * tile);
    let [u, v, c11, c12, c21, c22] = [0, 1, 2, 3, 4, 5].map(|i| results.wrapping_add(i * tile));
    // In the order of the weights.
    let products = [
        (Onto::Nothing, Left::A11, u),
        (Onto::U, Left::A12, c11),
        (Onto::Itself, Left::S2, u),
        (Onto::Nothing, Left::S1, v),
        (Onto::UV, Left::S4, c12),
        (Onto::Itself, Left::S3, u),
        (Onto::U, Left::A22, c21),
    ];
    // SAFETY: matrices and panels know their bounds; `rows` and `panels` lie within them (checked where the product was made).
    unsafe {
        let first_rows = Product { out: p.out.every(2), ..*p };
        let second_rows = Product { out: p.out.part(1, p.out.rows - 1).every(2), ..*p };
        K::begin();
        for start in rows.clone().step_by(2 * PAIRS) {
            let count = PAIRS.min((rows.end - start) / 2);
            let group = Group { start: p.a.row(start), stride: p.a.stride, count, half, sums, laid_out };
            (0..chunks).for_each(|chunk| group.lay_out::<K>(chunk));
            for panel in panels.clone().step_by(2) {
                let mut weights = p.weights.words.add(panel / 2 * cut.two_panels(width));
                let mut ahead = Ahead::new(weights, K::AHEAD * width, half * width, K::requests(count, half));
                for chunk in 0..chunks {
                    let before = chunk > 0;
                    for (onto, left, result) in products {
                        match onto {
                            Onto::U => add::<K::S, _>(before, [u], count * width, result),
                            Onto::UV => add::<K::S, _>(before, [u, v], count * width, result),
                            Onto::Nothing | Onto::Itself => {}
                        }
                        let (rows, onto) = (group.rows(chunk, left), !matches!(onto, Onto::Nothing));
                        K::sum(&rows, group.laid_out::<K>(chunk, left), weights, onto, &mut ahead, result);
                        weights = weights.add(half * width);
                    }
                    add::<K::S, _>(before, [u, v], count * width, c22);
                }
                for (half, left, right) in [(&first_rows, c11, c12), (&second_rows, c21, c22)] {
                    finish::<K::S>(half, start / 2, count, panel, left);
                    finish::<K::S>(half, start / 2, count, panel + 1, right);
                }
            }
        }
        K::end();
    }
}

/// Puts the sum of `terms` to `to`, or adds it to what is there (`before`).
#[inline(always)]
unsafe fn add<S: Simd, const N: usize>(before: bool, terms: [*mut f32; N], values: usize, to: *mut f32) {
    // SAFETY: the caller vouches for all of them.
    unsafe {
        for i in (0..values).step_by(S::LANES) {
            let mut sum = S::load(terms[0].add(i));
            for term in &terms[1..] {
                sum = S::add(sum, S::load(term.add(i)));
            }
            S::store(to.add(i), if before { S::add(S::load(to.add(i)), sum) } else { sum });
        }
    }
}
