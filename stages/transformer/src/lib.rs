//! The image tower of CLIP on a CPU, at the limit of its arithmetic.
//!
//! ```text
//! tokens_0   = norm_pre([class; patches · E] + positions)               T = (S / P)² + 1 tokens
//! tokens'    = tokens_l + (softmax(q kᵀ / √d) v) · W_o + b_o            q, k, v = norm_1(tokens_l) · W + b, in heads
//! tokens_l+1 = tokens' + act(norm_2(tokens') · W_1 + b_1) · W_2 + b_2   act: QuickGELU or GELU
//! embedding  = norm_post(class token of the last block) · projection
//! ```
//!
//! **Speed.** Weights are packed once, when the tower is made, into panels that the kernels read from front to back. Products run in register tiles on AVX2 or AVX-512, those of
//! bf16 in the tiles of AMX, whichever the processor has; bias, activation, residual and rounding happen before a tile leaves the cache. The patches are cut straight out of
//! the pictures; buffers are reused from call to call; the last block computes only the class token, since nothing else leaves the tower.
//!
//! **Precision.** [`Elements::F32`] computes in f32. [`Elements::Bf16`] rounds weights and the left side of every product to bf16 (halves to even) and
//! sums up in f32; residuals, norms and attention stay in f32. Processors with AVX512_BF16 multiply such pairs in one instruction, on AMD's at twice the rate of
//! f32 in registers (1.8 times the pictures a second in this tower), on Intel's at less than that of f32; those with AMX multiply whole tiles of them, for 4.5 times the
//! pictures a second of f32. Others widen them in registers, which halves the memory of the weights but is slower than f32: on AVX2 0.6 times its rate
//! (`cargo bench --bench tower`).
//!
//! **Invariants.** A picture's embedding is the same to the byte whatever its batch mates, its place among them and the number of threads: every
//! value is summed up in a fixed order that does not depend on its row. Across [`Instructions`] values agree to float tolerance (the tests
//! compare each set with the portable twin and with the definition in f64).
//!
//! ✅ any patch and picture size, any width, heads that divide it, any depth. ❌ masks (the text tower), training, anything but f32 tensors in.

mod instructions;
mod kernel;
mod packed;
mod tower;

pub use instructions::Instructions;
pub use kernel::activation::Activation;
pub use tower::{Block, Linear, Norm, Pixels, Shape, Tower, Weights};

/// What the products multiply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elements {
    /// Single precision.
    F32,
    /// bfloat16, summed up in single precision.
    Bf16,
}

impl Elements {
    /// Steps in depth per 32-bit word.
    fn steps(self) -> usize {
        match self {
            Elements::F32 => 1,
            Elements::Bf16 => 2,
        }
    }
}

/// Who computes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread alone: several may call at once, which wastes nothing on waiting for each other.
    One,
    /// All threads of the rayon pool that the call is made in.
    All,
}

/// How fast a processor computes.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Floating-point operations per second.
    pub flops: f64,
    /// Steps per second of a chain of dependent multiplications of integers right after: in proportion to the clock at that moment.
    pub clock: f64,
}

/// What `threads` threads reach with nothing but multiply-adds in registers: the limit of [`Tower::encode`] on this machine at this
/// moment. Takes a fraction of a second.
pub fn peak(instructions: Instructions, elements: Elements, threads: usize) -> Rate {
    kernel::peak(instructions, elements, threads)
}

/// The same of the innermost loop of the products, all that it reads being in the first-level cache: what a product on this machine could reach if nothing else took
/// time. Below [`peak`] even where no unit waits, as processors lower their clock for the power that loads take.
pub fn fed(instructions: Instructions, elements: Elements, threads: usize) -> Rate {
    kernel::fed(instructions, elements, threads)
}
