//! Ten little procedural scenes, one for each class of DCASE 2021 task 1B, to look at and to listen to.
//!
//! They are drawn, not recorded: recognisable, and deliberately not easy. Places of one class differ in palette, light, camera and
//! crowd; classes share things (people, facades, windows, hums), as their models in the world do. Everything follows from a seed and
//! the name of the clip, so one clip can be rendered without the others, at any size and at any instant.
//!
//! - [`picture`]: `Painter::new(seed, clip, width, height).paint(seconds)` gives RGB bytes.
//! - [`sound`]: `sound::render(seed, clip)` gives stereo samples.

pub mod canvas;
pub mod picture;
pub mod sound;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Seconds that a clip lasts.
pub const SECONDS: f32 = 10.0;

/// The ten classes, in alphabetical order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Scene {
    Airport,
    Bus,
    Metro,
    MetroStation,
    Park,
    PublicSquare,
    ShoppingMall,
    StreetPedestrian,
    StreetTraffic,
    Tram,
}

impl Scene {
    /// All of them.
    pub const ALL: [Scene; 10] = [
        Scene::Airport,
        Scene::Bus,
        Scene::Metro,
        Scene::MetroStation,
        Scene::Park,
        Scene::PublicSquare,
        Scene::ShoppingMall,
        Scene::StreetPedestrian,
        Scene::StreetTraffic,
        Scene::Tram,
    ];

    /// The label, as DCASE writes it.
    pub fn name(self) -> &'static str {
        match self {
            Scene::Airport => "airport",
            Scene::Bus => "bus",
            Scene::Metro => "metro",
            Scene::MetroStation => "metro_station",
            Scene::Park => "park",
            Scene::PublicSquare => "public_square",
            Scene::ShoppingMall => "shopping_mall",
            Scene::StreetPedestrian => "street_pedestrian",
            Scene::StreetTraffic => "street_traffic",
            Scene::Tram => "tram",
        }
    }
}

const CITIES: [&str; 10] =
    ["lisbon", "barcelona", "helsinki", "london", "lyon", "milan", "paris", "prague", "stockholm", "vienna"];

/// One clip: the `segment`-th recording at the `place`-th place of a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Clip {
    /// Its class.
    pub scene: Scene,
    /// Counted from 0 within the scene.
    pub place: usize,
    /// Counted from 0 within the place.
    pub segment: usize,
}

impl Clip {
    /// City and location, `lisbon-1000`: what a split must not tear apart.
    pub fn group(&self) -> String {
        let scene = self.scene as usize;
        format!("{}-{}", CITIES[(scene * 3 + self.place) % CITIES.len()], 1000 + scene * 20 + self.place)
    }

    /// Scene, city, location and segment, `airport-lisbon-1000-40000`.
    pub fn id(&self) -> String {
        let number = 40_000 + (self.scene as usize * 20 + self.place) * 20 + self.segment;
        format!("{}-{}-{number}", self.scene.name(), self.group())
    }

    /// Randomness that all clips of a place share: its palette, its light, its noises.
    fn of_place(&self, seed: u64, purpose: &str) -> ChaCha8Rng {
        random(&format!("{seed} {purpose} {}-{}", self.scene.name(), self.group()))
    }

    /// Randomness of this clip alone: who passes, and when.
    fn of_clip(&self, seed: u64, purpose: &str) -> ChaCha8Rng {
        random(&format!("{seed} {purpose} {}", self.id()))
    }
}

fn random(name: &str) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(*blake3::hash(name.as_bytes()).as_bytes())
}
