//! Random numbers that depend on what they are for, and on nothing else.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// What a random number is for. Each purpose has a stream of its own, so that one more draw here moves nothing there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The order of the clips of an epoch.
    Order,
    /// Crop, permutation and masks of one clip.
    Augment,
    /// Lambda and partners of one batch.
    Mixup,
    /// Dropout of one step.
    Dropout,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Purpose::Order => "order",
            Purpose::Augment => "augment",
            Purpose::Mixup => "mixup",
            Purpose::Dropout => "dropout",
        }
    }
}

/// The generator of `(seed, purpose, place)`; `place` is for example the epoch and the slot within it.
///
/// Because it is a function of the place alone, neither the number of threads nor an interruption changes what is drawn.
pub(crate) fn rng(seed: u64, purpose: Purpose, place: &[u64]) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(digest(seed, purpose, place))
}

/// A seed for code that brings its own generator, as a network's dropout does.
pub(crate) fn derived(seed: u64, purpose: Purpose, place: &[u64]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = digest(seed, purpose, place);
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

fn digest(seed: u64, purpose: Purpose, place: &[u64]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("training 2026 random numbers");
    hasher.update(&seed.to_le_bytes());
    hasher.update(purpose.name().as_bytes());
    for number in place {
        hasher.update(&number.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}
