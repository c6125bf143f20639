//! The kernels, and the only place with `unsafe`.
//!
//! Why it is here: vector instructions and the loads and stores around them have no safe form, and the tiles of one result are written by
//! several threads, which slices cannot express. What keeps it sound: [`Matrix`], [`MatrixMut`] and [`Panels`] are made from buffers with their bounds
//! checked; the functions of this module check that shapes fit and that the processor has the instructions, and hand disjoint parts to the threads;
//! everything below them works within those bounds.
//!
//! Each kernel is written once, over vectors of any width ([`simd::Simd`]), and compiled for each set of instructions here.

#![expect(
    unsafe_code,
    reason = "vector instructions, and tiles of one matrix written by several threads; see the module's documentation"
)]
#![expect(
    clippy::inline_always,
    reason = "a kernel must become part of the entry point that has the instructions enabled"
)]

pub(crate) mod activation;
pub(crate) mod aligned;
#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod peak;
mod product;
mod rows;
mod simd;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use attention::Head;
use product::vectors::{Bf16, Bf16Dot, F32};
use product::{Product, tiles, vectors};
use simd::Portable;
#[cfg(target_arch = "x86_64")]
use {
    amx::Amx,
    product::tiles::Tiled,
    x86::{Avx2, Avx512},
};

pub(crate) use product::Finish;
pub(crate) use rows::Norm;
pub(crate) use simd::nearest_bf16;

use crate::instructions::Instructions;
use crate::{Elements, Rate, Threads};

/// A matrix that is read: rows of `columns` values, `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    start: *const f32,
    rows: usize,
    columns: usize,
    stride: usize,
    lifetime: PhantomData<&'a [f32]>,
}

/// A matrix that is written, by several threads at once, each its own part.
#[derive(Clone, Copy)]
pub(crate) struct MatrixMut<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    stride: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: they are references to f32; that the parts written at once are disjoint is the care of `multiply`, `normalise` and `attend`.
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

    unsafe fn row(&self, r: usize) -> *const f32 {
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

    unsafe fn new(start: *mut f32, rows: usize, columns: usize, stride: usize) -> Self {
        MatrixMut { start, rows, columns, stride, lifetime: PhantomData }
    }

    /// Every `n`-th row.
    pub(crate) fn every(self, n: usize) -> Self {
        MatrixMut { rows: self.rows.div_ceil(n), stride: self.stride * n, ..self }
    }

    unsafe fn row(&self, r: usize) -> *mut f32 {
        debug_assert!(r < self.rows.max(1));
        unsafe { self.start.add(r * self.stride) }
    }

    unsafe fn part(&self, first: usize, rows: usize) -> Self {
        debug_assert!(first + rows <= self.rows);
        MatrixMut { start: unsafe { self.row(first) }, rows, ..*self }
    }

    fn as_const(self) -> Matrix<'a> {
        Matrix { start: self.start, rows: self.rows, columns: self.columns, stride: self.stride, lifetime: PhantomData }
    }
}

/// Packed weights: `[panels][words of depth][width]`, and a bias as wide as the panels, or null.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    words: *const u32,
    bias: *const f32,
    depth: usize,
    /// Words of depth, with what pads them.
    words_deep: usize,
    columns: usize,
    width: usize,
    lifetime: PhantomData<&'a [f32]>,
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
        Panels { words: words.as_ptr(), bias, depth, words_deep, columns, width: layout.width, lifetime: PhantomData }
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

/// Whether there is [`Instructions::Amx`], beside the vectors that it needs.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_amx() -> bool {
    amx::available()
}

/// Scratch memory of a thread.
#[derive(Default)]
struct Scratch {
    product: product::Scratch,
    head: attention::Scratch,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Compiles `$generic::<$kernel>` for a set of instructions.
macro_rules! compiled {
    ($features:literal: $($name:ident = $generic:path, ($($argument:ident: $type:ty),*);)*) => {$(
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $features)]
        unsafe fn $name($($argument: $type),*) {
            unsafe { $generic($($argument),*) }
        }
    )*};
}

type Part = Range<usize>;

compiled! { "avx2,fma":
    product_f32_avx2 = product::product::<F32<Avx2>>, (p: &Product, rows: Part, panels: Part, scratch: &mut product::Scratch);
    product_bf16_avx2 = product::product::<Bf16<Avx2>>, (p: &Product, rows: Part, panels: Part, scratch: &mut product::Scratch);
    feed_f32_avx2 = product::feed::<F32<Avx2>>, (depth: usize, words: usize, calls: usize);
    feed_bf16_avx2 = product::feed::<Bf16<Avx2>>, (depth: usize, words: usize, calls: usize);
    layer_norm_avx2 = rows::layer_norm::<Avx2>, (x: Matrix, norm: &Norm, out: MatrixMut, round: bool, rows: Part);
    head_avx2 = attention::head::<Avx2>, (head: &Head, scratch: &mut attention::Scratch);
}
compiled! { "avx512f":
    product_f32_avx512 = product::product::<F32<Avx512>>, (p: &Product, rows: Part, panels: Part, scratch: &mut product::Scratch);
    product_bf16_avx512 = product::product::<Bf16<Avx512>>, (p: &Product, rows: Part, panels: Part, scratch: &mut product::Scratch);
    feed_f32_avx512 = product::feed::<F32<Avx512>>, (depth: usize, words: usize, calls: usize);
    feed_bf16_avx512 = product::feed::<Bf16<Avx512>>, (depth: usize, words: usize, calls: usize);
    layer_norm_avx512 = rows::layer_norm::<Avx512>, (x: Matrix, norm: &Norm, out: MatrixMut, round: bool, rows: Part);
    head_avx512 = attention::head::<Avx512>, (head: &Head, scratch: &mut attention::Scratch);
}
compiled! { "avx512f,avx512bf16":
    product_bf16_dot = product::product::<Bf16Dot<Avx512>>, (p: &Product, rows: Part, panels: Part, scratch: &mut product::Scratch);
    product_bf16_amx = product::product::<Tiled<Amx, Avx512>>, (p: &Product, rows: Part, panels: Part, scratch: &mut product::Scratch);
    feed_bf16_dot = product::feed::<Bf16Dot<Avx512>>, (depth: usize, words: usize, calls: usize);
    feed_bf16_amx = product::feed::<Tiled<Amx, Avx512>>, (depth: usize, words: usize, calls: usize);
}

/// Calls `work(0..tasks)`, on this thread or on all.
fn each_task(threads: Threads, tasks: usize, work: impl Fn(usize) + Sync) {
    match threads {
        Threads::One => (0..tasks).for_each(work),
        Threads::All => (0..tasks).into_par_iter().with_max_len(1).for_each(&work),
    }
}

/// `i`-th of `parts` parts of `0..n`, in units of `unit`.
fn share(n: usize, unit: usize, parts: usize, i: usize) -> Range<usize> {
    let units = n.div_ceil(unit);
    let at = |i: usize| (units * i / parts * unit).min(n);
    at(i)..at(i + 1)
}

/// Where a network computes, and how.
#[derive(Clone, Copy)]
pub(crate) struct Machine {
    pub(crate) instructions: Instructions,
    pub(crate) elements: Elements,
    pub(crate) threads: Threads,
}

impl Machine {
    fn check(self) {
        assert!(self.instructions.available(), "{} on this processor", self.instructions);
    }

    fn parts(self) -> usize {
        match self.threads {
            Threads::One => 1,
            Threads::All => rayon::current_num_threads(),
        }
    }

    /// `out = finish(a · weights + bias)`
    pub(crate) fn multiply(self, a: Matrix, weights: Panels, out: MatrixMut, finish: Finish, round: bool) {
        self.check();
        let layout = Layout::of(self.instructions, self.elements);
        assert!(a.rows == out.rows && a.columns == weights.depth && out.columns == weights.columns, "shapes that fit");
        assert!(
            weights.width == layout.width && weights.words_deep == layout.words_deep(weights.depth),
            "weights packed for these instructions"
        );
        assert!(weights.depth.is_multiple_of(layout.steps) || a.stride > a.columns, "room for the last pair");
        let p = Product { a, weights, out, finish, round };
        let panels = out.columns.div_ceil(weights.width);
        // Groups of rows first: each part of the columns packs the same rows once more. Four tasks a thread even out what other programs take.
        let group = self.group(weights.words_deep);
        let groups = if self.parts() == 1 { 1 } else { out.rows.div_ceil(group) };
        let across = if self.parts() == 1 { 1 } else { (4 * self.parts()).div_ceil(groups).min(panels) };
        each_task(self.threads, groups * across, |task| {
            // SAFETY: shapes were checked above, and the parts of the tasks are disjoint.
            let (rows, panels) =
                (share(out.rows, group, groups, task / across), share(panels, 1, across, task % across));
            SCRATCH.with_borrow_mut(|scratch| unsafe { self.product(&p, rows, panels, &mut scratch.product) });
        });
    }

    /// Rows that go over a panel before the next panel is taken.
    fn group(self, words: usize) -> usize {
        match (self.instructions, self.elements) {
            (Instructions::Amx, Elements::Bf16) => tiles::group(words),
            _ => vectors::GROUP,
        }
    }

    unsafe fn product(self, p: &Product, rows: Part, panels: Part, scratch: &mut product::Scratch) {
        unsafe {
            match (self.instructions, self.elements) {
                (Instructions::Portable, Elements::F32) => {
                    product::product::<F32<Portable<8>>>(p, rows, panels, scratch);
                }
                (Instructions::Portable, Elements::Bf16) => {
                    product::product::<Bf16<Portable<8>>>(p, rows, panels, scratch);
                }
                #[cfg(target_arch = "x86_64")]
                (Instructions::Avx2, Elements::F32) => product_f32_avx2(p, rows, panels, scratch),
                #[cfg(target_arch = "x86_64")]
                (Instructions::Avx2, Elements::Bf16) => product_bf16_avx2(p, rows, panels, scratch),
                #[cfg(target_arch = "x86_64")]
                (Instructions::Avx512 | Instructions::Avx512Bf16 | Instructions::Amx, Elements::F32) => {
                    product_f32_avx512(p, rows, panels, scratch);
                }
                #[cfg(target_arch = "x86_64")]
                (Instructions::Avx512, Elements::Bf16) => product_bf16_avx512(p, rows, panels, scratch),
                #[cfg(target_arch = "x86_64")]
                (Instructions::Avx512Bf16, Elements::Bf16) => product_bf16_dot(p, rows, panels, scratch),
                #[cfg(target_arch = "x86_64")]
                (Instructions::Amx, Elements::Bf16) => product_bf16_amx(p, rows, panels, scratch),
                #[cfg(not(target_arch = "x86_64"))]
                _ => unreachable!("checked to be available"),
            }
        }
    }

    /// Layer norm of every row; `out` may be what `x` is of.
    pub(crate) fn normalise(self, x: Matrix, norm: &Norm, out: MatrixMut, round: bool) {
        self.check();
        assert!(x.rows == out.rows && x.columns == norm.weight.len() && out.columns == x.columns, "shapes that fit");
        assert!(norm.bias.len() == norm.weight.len(), "shapes that fit");
        let tasks = if self.parts() == 1 { 1 } else { (4 * self.parts()).min(x.rows.max(1)) };
        each_task(self.threads, tasks, |task| {
            let rows = share(x.rows, 1, tasks, task);
            // SAFETY: shapes were checked above, and the rows of the tasks are disjoint.
            unsafe {
                match self.instructions {
                    Instructions::Portable => rows::layer_norm::<Portable<8>>(x, norm, out, round, rows),
                    #[cfg(target_arch = "x86_64")]
                    Instructions::Avx2 => layer_norm_avx2(x, norm, out, round, rows),
                    #[cfg(target_arch = "x86_64")]
                    Instructions::Avx512 | Instructions::Avx512Bf16 | Instructions::Amx => {
                        layer_norm_avx512(x, norm, out, round, rows);
                    }
                    #[cfg(not(target_arch = "x86_64"))]
                    _ => unreachable!("checked to be available"),
                }
            }
        });
    }

    /// Attention of `heads` heads over each of `pictures` pictures. `queries` `[pictures · R][W]` become the mixed values; `keys_values` is
    /// `[pictures · T][2 W]`, keys to the left.
    pub(crate) fn attend(self, queries: MatrixMut, keys_values: Matrix, pictures: usize, heads: usize, round: bool) {
        self.check();
        let (width, d) = (queries.columns, queries.columns / heads);
        assert!(keys_values.columns == 2 * width && d * heads == width, "shapes that fit");
        assert!(queries.rows.is_multiple_of(pictures) && keys_values.rows.is_multiple_of(pictures), "shapes that fit");
        let (rows, tokens) = (queries.rows / pictures, keys_values.rows / pictures);
        each_task(self.threads, pictures * heads, |task| {
            let (picture, head) = (task / heads, task % heads);
            // SAFETY: shapes were checked above, and each task has its own part of the queries.
            unsafe {
                let of = |column: usize| Matrix {
                    start: keys_values.row(picture * tokens).add(column + head * d),
                    rows: tokens,
                    columns: d,
                    ..keys_values
                };
                let start = queries.row(picture * rows).add(head * d);
                let queries = MatrixMut { start, rows, columns: d, ..queries };
                let head = Head { queries, keys: of(0), values: of(width), round };
                SCRATCH.with_borrow_mut(|scratch| match self.instructions {
                    Instructions::Portable => attention::head::<Portable<8>>(&head, &mut scratch.head),
                    #[cfg(target_arch = "x86_64")]
                    Instructions::Avx2 => head_avx2(&head, &mut scratch.head),
                    #[cfg(target_arch = "x86_64")]
                    Instructions::Avx512 | Instructions::Avx512Bf16 | Instructions::Amx => {
                        head_avx512(&head, &mut scratch.head);
                    }
                    #[cfg(not(target_arch = "x86_64"))]
                    _ => unreachable!("checked to be available"),
                });
            }
        });
    }
}

/// Floating-point operations per second that this many threads reach with nothing but multiply-adds in registers.
pub(crate) fn peak(instructions: Instructions, elements: Elements, threads: usize) -> Rate {
    assert!(instructions.available(), "{instructions} on this processor");
    peak::peak(instructions, elements, threads)
}

/// The same of the innermost loop of the products, with all that it reads in the first-level cache.
pub(crate) fn fed(instructions: Instructions, elements: Elements, threads: usize) -> Rate {
    type Feed = unsafe fn(usize, usize, usize);
    fn tile<K: product::Kernel>(feed: Feed) -> ((usize, usize), Feed) {
        ((K::TILE_ROWS, 2 * <K::S as simd::Simd>::LANES), feed)
    }
    assert!(instructions.available(), "{instructions} on this processor");
    let (tile, feed) = match (instructions, elements) {
        (Instructions::Portable, Elements::F32) => tile::<F32<Portable<8>>>(product::feed::<F32<Portable<8>>>),
        (Instructions::Portable, Elements::Bf16) => tile::<Bf16<Portable<8>>>(product::feed::<Bf16<Portable<8>>>),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx2, Elements::F32) => tile::<F32<Avx2>>(feed_f32_avx2),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx2, Elements::Bf16) => tile::<Bf16<Avx2>>(feed_bf16_avx2),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512 | Instructions::Avx512Bf16 | Instructions::Amx, Elements::F32) => {
            tile::<F32<Avx512>>(feed_f32_avx512)
        }
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512, Elements::Bf16) => tile::<Bf16<Avx512>>(feed_bf16_avx512),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512Bf16, Elements::Bf16) => tile::<Bf16Dot<Avx512>>(feed_bf16_dot),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Amx, Elements::Bf16) => tile::<Tiled<Amx, Avx512>>(feed_bf16_amx),
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("checked to be available"),
    };
    // SAFETY: the processor has the instructions, which was checked above.
    peak::fed(tile, elements.steps(), threads, |depth, words, calls| unsafe { feed(depth, words, calls) })
}

#[cfg(test)]
pub(crate) mod tests;
