//! What the kernels read and write: matrices of rows, and packed weights. Made of buffers with their bounds checked.

use std::marker::PhantomData;

use super::product::strassen::Halves;
use super::product::tiles;
use crate::Elements;
use crate::instructions::Instructions;

/// A matrix that is read: rows of `columns` values, `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(super) start: *const f32,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) stride: usize,
    pub(super) lifetime: PhantomData<&'a [f32]>,
}

/// A matrix that is written, by several threads at once, each its own part.
#[derive(Clone, Copy)]
pub(crate) struct MatrixMut<'a> {
    pub(super) start: *mut f32,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) stride: usize,
    pub(super) lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: they are references to f32; that the parts written at once are disjoint is the care of `Machine`.
unsafe impl Send for Matrix<'_> {}
unsafe impl Sync for Matrix<'_> {}
unsafe impl Send for MatrixMut<'_> {}
unsafe impl Sync for MatrixMut<'_> {}

fn check(len: usize, rows: usize, columns: usize, stride: usize) {
    // Whole rows: what lies between two may be read along.
    assert!(
        columns <= stride && rows.checked_mul(stride).is_some_and(|n| n <= len),
        "{rows} rows of {columns}, {stride} apart, in {len} values"
    );
}

impl<'a> Matrix<'a> {
    /// `rows` rows of `columns` values in `values`, `stride` apart.
    pub(crate) fn of(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        check(values.len(), rows, columns, stride);
        Matrix { start: values.as_ptr(), rows, columns, stride, lifetime: PhantomData }
    }

    pub(super) unsafe fn row(&self, r: usize) -> *const f32 {
        debug_assert!(r < self.rows.max(1));
        unsafe { self.start.add(r * self.stride) }
    }
}

impl<'a> MatrixMut<'a> {
    /// `rows` rows of `columns` values in `values`, `stride` apart.
    pub(crate) fn of(values: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        check(values.len(), rows, columns, stride);
        unsafe { Self::new(values.as_mut_ptr(), rows, columns, stride) }
    }

    pub(super) unsafe fn new(start: *mut f32, rows: usize, columns: usize, stride: usize) -> Self {
        MatrixMut { start, rows, columns, stride, lifetime: PhantomData }
    }

    /// Every `n`-th row.
    pub(crate) fn every(self, n: usize) -> Self {
        MatrixMut { rows: self.rows.div_ceil(n), stride: self.stride * n, ..self }
    }

    pub(super) unsafe fn row(&self, r: usize) -> *mut f32 {
        debug_assert!(r < self.rows.max(1));
        unsafe { self.start.add(r * self.stride) }
    }

    pub(super) unsafe fn part(&self, first: usize, rows: usize) -> Self {
        debug_assert!(first + rows <= self.rows);
        MatrixMut { start: unsafe { self.row(first) }, rows, ..*self }
    }

    pub(super) fn as_const(self) -> Matrix<'a> {
        Matrix { start: self.start, rows: self.rows, columns: self.columns, stride: self.stride, lifetime: PhantomData }
    }
}

/// Packed weights: `[panels][words of depth][width]`, or as [`super::strassen::pack`] lays them; and a bias as wide as the panels, or null.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    pub(super) words: *const u32,
    pub(super) bias: *const f32,
    pub(super) depth: usize,
    /// Words of depth, with what pads them.
    pub(super) words_deep: usize,
    pub(super) columns: usize,
    pub(super) width: usize,
    /// For pairs of rows, by fewer products.
    pub(super) halves: Option<Halves>,
    pub(super) lifetime: PhantomData<&'a [f32]>,
}

unsafe impl Send for Panels<'_> {}
unsafe impl Sync for Panels<'_> {}

impl<'a> Panels<'a> {
    /// `words` holds the panels of `depth` steps, laid out by `layout`; `bias` is empty or holds a value for every column of the panels.
    pub(crate) fn of(words: &'a [u32], bias: &'a [f32], depth: usize, columns: usize, layout: Layout) -> Self {
        let (padded, words_deep) = (columns.next_multiple_of(layout.width), layout.words_deep(depth));
        assert!(words.len() == padded * words_deep, "packed weights");
        assert!(bias.is_empty() || bias.len() == padded, "a bias as wide as the panels");
        let bias = if bias.is_empty() { std::ptr::null() } else { bias.as_ptr() };
        let width = layout.width;
        Panels { words: words.as_ptr(), bias, depth, words_deep, columns, width, halves: None, lifetime: PhantomData }
    }

    /// The same for pairs of rows: `words` are from [`super::strassen::pack`].
    pub(crate) fn in_halves(
        words: &'a [u32],
        bias: &'a [f32],
        depth: usize,
        columns: usize,
        width: usize,
        halves: Halves,
    ) -> Self {
        assert!(words.len() == columns / (2 * width) * halves.two_panels(width), "packed weights");
        assert!(bias.is_empty() || bias.len() == columns, "a bias as wide as the panels");
        assert!(Halves::of(depth, columns, width) == Some(halves), "cut as its shape is");
        let bias = if bias.is_empty() { std::ptr::null() } else { bias.as_ptr() };
        let halves = Some(halves);
        Panels { words: words.as_ptr(), bias, depth, words_deep: depth, columns, width, halves, lifetime: PhantomData }
    }
}

/// How packed weights lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Columns of a panel.
    pub(crate) width: usize,
    /// Steps in depth per word.
    pub(crate) steps: usize,
    /// Words by which the depth is padded to a multiple.
    pub(crate) words: usize,
}

impl Layout {
    pub(crate) fn of(instructions: Instructions, elements: Elements) -> Layout {
        let width = match instructions {
            Instructions::Portable | Instructions::Avx2 => 16,
            Instructions::Avx512 | Instructions::Avx512Bf16 | Instructions::Amx => 32,
        };
        let words = match (instructions, elements) {
            (Instructions::Amx, Elements::Bf16) => tiles::WORDS,
            _ => 1,
        };
        Layout { width, steps: elements.steps(), words }
    }

    /// Words of depth of a panel that is `depth` steps deep.
    pub(crate) fn words_deep(self, depth: usize) -> usize {
        depth.div_ceil(self.steps).next_multiple_of(self.words)
    }
}
