//! The operations of a network on matrices: shapes are checked here, and disjoint parts handed to the threads.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::attention::Head;
use super::product::{Finish, Product, strassen};
use super::rows::Norm;
use super::{Layout, Matrix, MatrixMut, Panels, attention, compiled, product};
use crate::instructions::Instructions;
use crate::{Elements, Threads};

/// Scratch memory of a thread.
#[derive(Default)]
struct Scratch {
    product: product::Scratch,
    head: attention::Scratch,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
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

    /// `out = finish(a · weights + bias)`. By weights for pairs ([`super::strassen`]), rows are taken in pairs, the first and the second and so on, whose values depend on each other
    /// within the precision of f32; else each row is for itself.
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
        let (unit, group) = match weights.halves {
            Some(_) => (2, 2 * strassen::PAIRS),
            None => (1, compiled::group(self.instructions, self.elements, weights.words_deep)),
        };
        assert!(out.rows.is_multiple_of(unit), "whole pairs of rows");
        let groups = if self.parts() == 1 { 1 } else { out.rows.div_ceil(group) };
        let across =
            if self.parts() == 1 { 1 } else { (4 * self.parts()).div_ceil(groups * unit).min(panels / unit).max(1) };
        each_task(self.threads, groups * across, |task| {
            // SAFETY: shapes were checked above, and the parts of the tasks are disjoint.
            let (rows, panels) =
                (share(out.rows, group, groups, task / across), share(panels, unit, across, task % across));
            SCRATCH.with_borrow_mut(|scratch| unsafe {
                let scratch = &mut scratch.product;
                match weights.halves {
                    Some(halves) => compiled::product_of_pairs(self.instructions, &p, halves, rows, panels, scratch),
                    None => compiled::product(self.instructions, self.elements, &p, rows, panels, scratch),
                }
            });
        });
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
            unsafe { compiled::layer_norm(self.instructions, x, norm, out, round, rows) };
        });
    }

    /// Attention of `heads` heads over each of `pictures` pictures. `queries` `[pictures · R][W]` become the mixed values; `keys_values` is
    /// `[pictures · T][2 W]`, keys to the left, of which the first `tokens` of each picture are looked at; of the queries at most so many.
    pub(crate) fn attend(
        self,
        queries: MatrixMut,
        keys_values: Matrix,
        pictures: usize,
        tokens: usize,
        heads: usize,
        round: bool,
    ) {
        self.check();
        let (width, d) = (queries.columns, queries.columns / heads);
        assert!(keys_values.columns == 2 * width && d * heads == width, "shapes that fit");
        assert!(queries.rows.is_multiple_of(pictures) && keys_values.rows.is_multiple_of(pictures), "shapes that fit");
        let (rows, each) = (queries.rows / pictures, keys_values.rows / pictures);
        assert!(tokens <= each, "shapes that fit");
        each_task(self.threads, pictures * heads, |task| {
            let (picture, head) = (task / heads, task % heads);
            // SAFETY: shapes were checked above, and each task has its own part of the queries.
            unsafe {
                let of = |column: usize| Matrix {
                    start: keys_values.row(picture * each).add(column + head * d),
                    rows: tokens,
                    columns: d,
                    ..keys_values
                };
                let start = queries.row(picture * rows).add(head * d);
                let queries = MatrixMut { start, rows: rows.min(tokens), columns: d, ..queries };
                let head = Head { queries, keys: of(0), values: of(width), round };
                SCRATCH.with_borrow_mut(|scratch| compiled::head(self.instructions, &head, &mut scratch.head));
            }
        });
    }
}
