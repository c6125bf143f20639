//! [`TileUnit`] in the instructions of AMX. The compiler knows them only as text, so each step between two memories is one block of it; nothing stays in
//! the tiles from one block to the next but their shape.

use std::arch::asm;
use std::sync::LazyLock;

use super::product::Ahead;
use super::product::tiles::TileUnit;

/// AMX_TILE and AMX_BF16.
#[derive(Clone, Copy)]
pub(crate) struct Amx;

/// The shapes of the tiles as the processor reads them.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_per_row: [u16; 16],
    rows: [u8; 16],
}

/// Eight tiles of 16 rows of 64 bytes.
static SHAPES: Shapes = Shapes {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes_per_row: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Whether the processor has AMX for bf16, and the system lets this process use it.
pub(crate) fn available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| has_tiles() && system_allows());
    *AVAILABLE
}

/// Leaf 7 of `cpuid`: AMX_BF16 and AMX_TILE. (The standard library's question is not stable yet.)
fn has_tiles() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    let wanted = AMX_BF16 | AMX_TILE;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & wanted == wanted
}

/// Asks Linux for the tiles, once for all threads of the process: without that their first use ends it.
#[cfg(target_os = "linux")]
fn system_allows() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: the call touches no memory; a kernel that does not know it answers with an error.
    unsafe {
        asm!("syscall", inout("rax") result, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") XFEATURE_XTILEDATA,
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn system_allows() -> bool {
    false
}

// SAFETY of every block below: the instructions are there, since the entry points check for them, and the caller vouches for the memory.
impl TileUnit for Amx {
    #[inline(always)]
    unsafe fn begin() {
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, readonly)) }
    }

    #[inline(always)]
    unsafe fn multiply<const TILES: usize>(
        first: bool,
        steps: usize,
        rows: *const f32,
        weights: *const u32,
        ahead: Ahead,
        sums: *mut f32,
    ) {
        if TILES == 1 {
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "test {first:e}, {first:e}",
                    "jnz 2f",
                    "tileloadd tmm0, [{sums} + {wide}]",
                    "tileloadd tmm1, [{sums} + {wide} + 64]",
                    "2:",
                    "tileloadd tmm4, [{rows} + {narrow}]",
                    "tileloadd tmm6, [{weights} + {wide}]",
                    "tileloadd tmm7, [{weights} + {wide} + 64]",
                    "prefetcht1 [{ahead}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "prefetcht1 [{ahead} + {stride}]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "lea {ahead}, [{ahead} + 2 * {stride}]",
                    "add {rows}, 1024",
                    "add {weights}, 2048",
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{sums} + {wide}], tmm0",
                    "tilestored [{sums} + {wide} + 64], tmm1",
                    first = in(reg) u32::from(first),
                    steps = inout(reg) steps => _,
                    rows = inout(reg) rows => _,
                    weights = inout(reg) weights => _,
                    sums = in(reg) sums,
                    ahead = inout(reg) ahead.weights => _,
                    stride = in(reg) size_of::<u32>() * ahead.stride,
                    narrow = in(reg) 64_usize,
                    wide = in(reg) 128_usize,
                    out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        } else {
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "test {first:e}, {first:e}",
                    "jnz 2f",
                    "tileloadd tmm0, [{sums} + {wide}]",
                    "tileloadd tmm1, [{sums} + {wide} + 64]",
                    "tileloadd tmm2, [{sums} + {wide} + 2048]",
                    "tileloadd tmm3, [{sums} + {wide} + 2112]",
                    "2:",
                    "tileloadd tmm4, [{rows} + {narrow}]",
                    "tileloadd tmm6, [{weights} + {wide}]",
                    "tileloadd tmm7, [{weights} + {wide} + 64]",
                    "prefetcht1 [{ahead}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{rows} + {narrow} + 1024]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "prefetcht1 [{ahead} + {stride}]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "lea {ahead}, [{ahead} + 2 * {stride}]",
                    "add {rows}, 2048",
                    "add {weights}, 2048",
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{sums} + {wide}], tmm0",
                    "tilestored [{sums} + {wide} + 64], tmm1",
                    "tilestored [{sums} + {wide} + 2048], tmm2",
                    "tilestored [{sums} + {wide} + 2112], tmm3",
                    first = in(reg) u32::from(first),
                    steps = inout(reg) steps => _,
                    rows = inout(reg) rows => _,
                    weights = inout(reg) weights => _,
                    sums = in(reg) sums,
                    ahead = inout(reg) ahead.weights => _,
                    stride = in(reg) size_of::<u32>() * ahead.stride,
                    narrow = in(reg) 64_usize,
                    wide = in(reg) 128_usize,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    }

    #[inline(always)]
    unsafe fn end() {
        unsafe { asm!("tilerelease", options(nostack, nomem)) }
    }
}

/// Operations of a step of [`products_in_tiles`].
pub(super) const OPERATIONS: usize = 4 * 2 * 16 * 16 * 32;

/// `steps` times four products of tiles, with no memory in between.
pub(super) unsafe fn products_in_tiles(steps: usize) {
    // SAFETY: no memory is touched but the shapes; the caller has the instructions.
    unsafe {
        Amx::begin();
        asm!(
            "2:",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "dec {steps}",
            "jnz 2b",
            steps = inout(reg) steps => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            options(nostack, nomem),
        );
        Amx::end();
    }
}
