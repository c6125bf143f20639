//! The kernels, and the only place with `unsafe`.
//!
//! Why it is here: vector instructions and the loads and stores around them have no safe form, and the tiles of one result are written by
//! several threads, which slices cannot express. What keeps it sound: [`Matrix`], [`MatrixMut`] and [`Panels`] are made from buffers with their bounds
//! checked; the methods of [`Machine`] check that shapes fit and that the processor has the instructions, and hand disjoint parts to the threads;
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
mod compiled;
mod machine;
mod matrix;
mod peak;
mod product;
mod rows;
mod simd;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use machine::Machine;
pub(crate) use matrix::{Layout, Matrix, MatrixMut, Panels};
pub(crate) use product::Finish;
pub(crate) use product::strassen::{self, Halves};
pub(crate) use rows::Norm;
pub(crate) use simd::nearest_bf16;

use crate::instructions::Instructions;
use crate::{Elements, Rate};

/// Whether there is [`Instructions::Amx`], beside the vectors that it needs.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_amx() -> bool {
    amx::available()
}

/// Floating-point operations per second that this many threads reach with nothing but multiply-adds in registers.
pub(crate) fn peak(instructions: Instructions, elements: Elements, threads: usize) -> Rate {
    assert!(instructions.available(), "{instructions} on this processor");
    peak::peak(instructions, elements, threads)
}

/// The same of the innermost loop of the products, with all that it reads in the first-level cache.
pub(crate) fn fed(instructions: Instructions, elements: Elements, threads: usize) -> Rate {
    assert!(instructions.available(), "{instructions} on this processor");
    let (tile, feed) = compiled::feed(instructions, elements);
    // SAFETY: the processor has the instructions, which was checked above.
    peak::fed(tile, elements.steps(), threads, |depth, words, calls| unsafe { feed(depth, words, calls) })
}

#[cfg(test)]
pub(crate) mod tests;
