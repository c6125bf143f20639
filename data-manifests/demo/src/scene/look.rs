//! What is constant at a place: palette, light, camera.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::Scene;
use super::canvas::{Rgb, mix};

pub(super) const WHITE: Rgb = [0.95, 0.95, 0.93];
pub(super) const BLACK: Rgb = [0.06, 0.06, 0.08];
pub(super) const STEEL: Rgb = [0.62, 0.65, 0.68];
pub(super) const YELLOW: Rgb = [0.95, 0.78, 0.12];
pub(super) const STONE: Rgb = [0.62, 0.59, 0.55];
pub(super) const ASPHALT: Rgb = [0.30, 0.30, 0.32];

/// The sky by day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Sky {
    Blue,
    Grey,
    Evening,
}

/// What is constant at a place.
pub(super) struct Look {
    pub(super) light: Rgb,
    pub(super) night: bool,
    pub(super) day: Sky,
    pub(super) sky: (Rgb, Rgb),
    pub(super) wall: Rgb,
    pub(super) accent: Rgb,
    pub(super) floor: Rgb,
    pub(super) grain: f32,
    pub(super) sway: f32,
    pub(super) crowd: f32,
    pub(super) size: f32,
}

impl Look {
    /// Draws lots.
    pub(super) fn new(scene: Scene, rng: &mut ChaCha8Rng) -> Look {
        let indoors = matches!(scene, Scene::Airport | Scene::ShoppingMall | Scene::MetroStation | Scene::Metro);
        let night = !indoors && rng.random_bool(0.2);
        let (warm, bright) = (rng.random_range(-0.12..0.12_f32), rng.random_range(0.72..1.08));
        let dim = if night { 0.55 } else { 1.0 };
        let day = [Sky::Blue, Sky::Grey, Sky::Evening][rng.random_range(0..3)];
        let sky = match (night, day) {
            (true, _) => ([0.05, 0.06, 0.16], [0.28, 0.22, 0.30]),
            (false, Sky::Blue) => ([0.35, 0.58, 0.92], [0.75, 0.86, 0.96]),
            (false, Sky::Grey) => ([0.72, 0.76, 0.80], [0.86, 0.87, 0.88]),
            (false, Sky::Evening) => ([0.48, 0.62, 0.86], [0.95, 0.82, 0.66]),
        };
        let hue = |rng: &mut ChaCha8Rng, from: f32, to: f32| [(); 3].map(|()| rng.random_range(from..to));
        let grey = rng.random_range(0.45..0.85_f32);
        let tone = hue(rng, -0.12, 0.12);
        Look {
            light: [bright * dim * (1.0 + warm), bright * dim, bright * dim * (1.0 - warm)],
            night,
            day,
            sky,
            wall: tone.map(|c| grey + c),
            accent: hue(rng, 0.1, 0.95),
            floor: mix([rng.random_range(0.42..0.75); 3], hue(rng, 0.42, 0.75), 0.35),
            grain: rng.random_range(1.0..4.0),
            sway: rng.random_range(0.03..0.22),
            crowd: rng.random_range(0.5..1.6),
            size: rng.random_range(0.8..1.3),
        }
    }
}

/// Red, green and blue, each between `from` and `to`.
pub(super) fn colour(rng: &mut ChaCha8Rng, from: f32, to: f32) -> Rgb {
    std::array::from_fn(|_| rng.random_range(from..to))
}
