//! Ten little procedural scenes, one for each class of DCASE 2021 task 1B, to look at and to listen to.
//!
//! They are drawn, not recorded: recognisable, and deliberately not easy. Places of one class differ in palette, light, camera and
//! crowd; classes share things (people, facades, windows, hums), as their models in the world do. Everything follows from a seed and
//! the name of the clip, so one clip can be rendered without the others, at any size and at any instant.
//!
//! - [`picture`]: `Painter::new(seed, clip, width, height).paint(seconds)` gives RGB bytes.
//! - [`facts`]: `Facts::of(seed, clip)` is what can be said of its pictures: scene, light, crowd, colours.
//! - [`sound`]: `sound::render(seed, clip)` gives stereo samples.

pub mod canvas;
mod cast;
pub mod facts;
mod look;
pub mod picture;
mod places;
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
    /// Where the place is said to lie.
    pub fn city(&self) -> &'static str {
        CITIES[(self.scene as usize * 3 + self.place) % CITIES.len()]
    }

    /// City and location, `lisbon-1000`: what a split must not tear apart.
    pub fn group(&self) -> String {
        format!("{}-{}", self.city(), 1000 + self.scene as usize * 20 + self.place)
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
    pub(crate) fn of_clip(&self, seed: u64, purpose: &str) -> ChaCha8Rng {
        random(&format!("{seed} {purpose} {}", self.id()))
    }
}

fn random(name: &str) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(*blake3::hash(name.as_bytes()).as_bytes())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Five places of each scene, one frame of each.
    fn frames(seed: u64) -> Vec<(Clip, Vec<u8>)> {
        let clip = |n: usize| Clip { scene: Scene::ALL[n / 5], place: n % 5, segment: 0 };
        let frame = |clip: Clip| (clip, picture::Painter::new(seed, &clip, 96, 54).paint(4.48).to_vec());
        (0..50).map(clip).map(frame).collect()
    }

    #[test]
    fn a_frame_depends_on_nothing_but_seed_clip_size_and_time() {
        let clip = Clip { scene: Scene::Tram, place: 3, segment: 1 };
        let mut painter = picture::Painter::new(1, &clip, 96, 54);
        let first = painter.paint(2.0).to_vec();
        assert_eq!(first.len(), 96 * 54 * 3);
        assert!(painter.paint(3.0) != first, "things move");
        assert!(painter.paint(2.0) == first);
        assert!(picture::Painter::new(2, &clip, 96, 54).paint(2.0) != first);
    }

    /// The scenes can be told apart, and not by a child's play: nearest neighbour over other places, on colour and layout.
    #[test]
    fn scenes_are_alike_across_places_but_not_trivially() {
        let frames = frames(0);
        let distance =
            |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum::<u64>();
        let right = frames.iter().filter(|(clip, frame)| {
            let others = frames.iter().filter(|(other, _)| other.group() != clip.group());
            others.min_by_key(|(_, other)| distance(frame, other)).unwrap().0.scene == clip.scene
        });
        let right = right.count();
        eprintln!("nearest neighbour on pixels: {right} of 50");
        assert!((20..50).contains(&right), "{right} of 50; chance is 5");
    }

    #[test]
    fn a_sound_depends_on_nothing_but_seed_and_clip() {
        for scene in Scene::ALL {
            let clip = Clip { scene, place: 1, segment: 0 };
            let sound = sound::render(3, &clip);
            assert!((479_999..=480_001).contains(&sound.len()));
            let peak = sound.iter().flatten().fold(0.0_f32, |peak, s| peak.max(s.abs()));
            assert!((0.05..=0.6).contains(&peak), "{} peaks at {peak}", scene.name());
            let other = sound::render(3, &Clip { segment: 1, ..clip });
            assert!(sound != other);
        }
        let clip = Clip { scene: Scene::Bus, place: 0, segment: 0 };
        assert!(sound::render(3, &clip) == sound::render(3, &clip));
    }
}
