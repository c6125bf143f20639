//! The kernels compiled for each set of instructions, and the choice among them. The caller makes sure that the processor has the instructions
//! ([`Instructions::available`]) and vouches for what each kernel asks.

#[cfg(target_arch = "x86_64")]
use std::hint::black_box;
#[cfg(target_arch = "x86_64")]
use std::mem::MaybeUninit;
use std::ops::Range;

use super::attention::{self, Head};
use super::product::strassen::{self, Halves};
use super::product::vectors::{self, Bf16, Bf16Dot, F32};
use super::product::{self, Product, tiles};
use super::rows::{self, Norm};
use super::simd::{Portable, Simd};
use super::{Matrix, MatrixMut};
#[cfg(target_arch = "x86_64")]
use super::{
    aligned::Line,
    amx::Amx,
    product::tiles::Tiled,
    x86::{Avx2, Avx512},
};
use crate::Elements;
use crate::instructions::Instructions;

/// Compiles `$generic` for a set of instructions.
///
/// A vector for which there is no register goes to the stack, where the compiler takes any multiple of 16 bytes for it: in one thread of two it then lies across two cache
/// lines, and reading back what was just written there waits until it has reached the cache. (Seen on Zen 3: a kernel that keeps one vector of a step so was 2.3 times slower
/// in such threads.) What must lie on a cache line itself makes the whole frame begin on one.
macro_rules! compiled {
    ($features:literal: $($name:ident = $generic:path, ($($argument:ident: $type:ty),*);)*) => {$(
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $features)]
        unsafe fn $name($($argument: $type),*) {
            let line = MaybeUninit::<Line>::uninit();
            black_box(line.as_ptr());
            unsafe { $generic($($argument),*) }
        }
    )*};
}

type Part = Range<usize>;

compiled! { "avx2,fma":
    product_f32_avx2 = product::product::<F32<Avx2>>, (p: &Product, rows: Part, panels: Part, scratch: &mut product::Scratch);
    product_bf16_avx2 = product::product::<Bf16<Avx2>>, (p: &Product, rows: Part, panels: Part, scratch: &mut product::Scratch);
    pairs_f32_avx2 = strassen::product::<F32<Avx2>>, (p: &Product, cut: Halves, rows: Part, panels: Part, scratch: &mut product::Scratch);
    feed_f32_avx2 = product::feed::<F32<Avx2>>, (depth: usize, words: usize, calls: usize);
    feed_bf16_avx2 = product::feed::<Bf16<Avx2>>, (depth: usize, words: usize, calls: usize);
    layer_norm_avx2 = rows::layer_norm::<Avx2>, (x: Matrix, norm: &Norm, out: MatrixMut, round: bool, rows: Part);
    head_avx2 = attention::head::<Avx2>, (head: &Head, scratch: &mut attention::Scratch);
}
compiled! { "avx512f":
    product_f32_avx512 = product::product::<F32<Avx512>>, (p: &Product, rows: Part, panels: Part, scratch: &mut product::Scratch);
    product_bf16_avx512 = product::product::<Bf16<Avx512>>, (p: &Product, rows: Part, panels: Part, scratch: &mut product::Scratch);
    pairs_f32_avx512 = strassen::product::<F32<Avx512>>, (p: &Product, cut: Halves, rows: Part, panels: Part, scratch: &mut product::Scratch);
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

/// Rows that go over a panel before the next panel is taken.
pub(super) fn group(instructions: Instructions, elements: Elements, words: usize) -> usize {
    match (instructions, elements) {
        (Instructions::Amx, Elements::Bf16) => tiles::group(words),
        _ => vectors::GROUP,
    }
}

/// [`product::product`].
pub(super) unsafe fn product(
    instructions: Instructions,
    elements: Elements,
    p: &Product,
    rows: Part,
    panels: Part,
    scratch: &mut product::Scratch,
) {
    unsafe {
        match (instructions, elements) {
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

/// [`strassen::product`].
pub(super) unsafe fn product_of_pairs(
    instructions: Instructions,
    p: &Product,
    halves: Halves,
    rows: Part,
    panels: Part,
    scratch: &mut product::Scratch,
) {
    unsafe {
        match instructions {
            Instructions::Portable => strassen::product::<F32<Portable<8>>>(p, halves, rows, panels, scratch),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => pairs_f32_avx2(p, halves, rows, panels, scratch),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 | Instructions::Avx512Bf16 | Instructions::Amx => {
                pairs_f32_avx512(p, halves, rows, panels, scratch);
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("checked to be available"),
        }
    }
}

/// [`rows::layer_norm`].
pub(super) unsafe fn layer_norm(
    instructions: Instructions,
    x: Matrix,
    norm: &Norm,
    out: MatrixMut,
    round: bool,
    rows: Part,
) {
    unsafe {
        match instructions {
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
}

/// [`attention::head`].
pub(super) unsafe fn head(instructions: Instructions, head: &Head, scratch: &mut attention::Scratch) {
    unsafe {
        match instructions {
            Instructions::Portable => attention::head::<Portable<8>>(head, scratch),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => head_avx2(head, scratch),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 | Instructions::Avx512Bf16 | Instructions::Amx => head_avx512(head, scratch),
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("checked to be available"),
        }
    }
}

/// [`product::feed`].
pub(super) type Feed = unsafe fn(depth: usize, words: usize, calls: usize);

/// Rows and columns of a tile, and what multiplies it again and again.
pub(super) fn feed(instructions: Instructions, elements: Elements) -> ((usize, usize), Feed) {
    fn tile<K: product::Kernel>(feed: Feed) -> ((usize, usize), Feed) {
        ((K::TILE_ROWS, 2 * K::S::LANES), feed)
    }
    match (instructions, elements) {
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
    }
}
