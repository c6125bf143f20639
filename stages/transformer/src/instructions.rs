//! The sets of instructions that the kernels are compiled for.

use std::fmt;

/// A set of instructions. Values agree between them to float tolerance, and to the byte within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instructions {
    /// What every processor has; the twin of the others, and slow.
    Portable,
    /// AVX2 and FMA: vectors of eight f32.
    Avx2,
    /// AVX-512 F: vectors of sixteen f32.
    Avx512,
    /// The same, and products of bf16 in pairs (AVX512_BF16).
    Avx512Bf16,
    /// The same, and products of bf16 in tiles (AMX_BF16), where the system lets a process use them; f32 is computed as without.
    Amx,
}

impl Instructions {
    /// All of them, the fastest last.
    pub const ALL: [Instructions; 5] =
        [Instructions::Portable, Instructions::Avx2, Instructions::Avx512, Instructions::Avx512Bf16, Instructions::Amx];

    /// Whether this processor has them.
    pub fn available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            match self {
                Instructions::Portable => true,
                Instructions::Avx2 => has!("avx2") && has!("fma"),
                Instructions::Avx512 => has!("avx512f"),
                Instructions::Avx512Bf16 => has!("avx512f") && has!("avx512bf16"),
                Instructions::Amx => Instructions::Avx512Bf16.available() && crate::kernel::has_amx(),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Instructions::Portable
        }
    }

    /// The fastest that this processor has.
    pub fn best() -> Instructions {
        *Self::ALL.iter().rfind(|i| i.available()).expect("every processor has the portable ones")
    }
}

impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Instructions::Portable => "portable",
            Instructions::Avx2 => "avx2+fma",
            Instructions::Avx512 => "avx512f",
            Instructions::Avx512Bf16 => "avx512f+avx512_bf16",
            Instructions::Amx => "avx512f+avx512_bf16+amx_bf16",
        })
    }
}
