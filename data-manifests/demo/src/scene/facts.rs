//! What can be said of the pictures of a clip: the truth that captions are written from.

use super::canvas::Rgb;
use super::look::Look;
use super::{Clip, Scene};

pub use super::look::Sky;

/// How many people there are, against what is usual at such a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Crowd {
    Few,
    Many,
}

/// A colour with a name. Red and blue, yellow and turquoise change places when the channels of a picture do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Colour {
    Red,
    Green,
    Blue,
    Yellow,
    Turquoise,
    Purple,
}

impl Colour {
    /// All of them.
    pub const ALL: [Colour; 6] =
        [Colour::Red, Colour::Green, Colour::Blue, Colour::Yellow, Colour::Turquoise, Colour::Purple];

    /// In English.
    pub fn name(self) -> &'static str {
        match self {
            Colour::Red => "red",
            Colour::Green => "green",
            Colour::Blue => "blue",
            Colour::Yellow => "yellow",
            Colour::Turquoise => "turquoise",
            Colour::Purple => "purple",
        }
    }

    /// The name of a colour; `None` for a grey, or one between two names.
    fn of(rgb: Rgb) -> Option<Colour> {
        /// How far channels must lie apart to be called bright and dark, as a share of the brightest.
        const APART: f32 = 0.35;
        let most = rgb.iter().copied().fold(f32::MIN, f32::max);
        let [r, g, b] = rgb.map(|c| c / most);
        let bright = |c: f32| c > 1.0 - 0.5 * APART;
        let dark = |c: f32| c < 1.0 - APART;
        match [r, g, b] {
            [r, g, b] if bright(r) && dark(g) && dark(b) => Some(Colour::Red),
            [r, g, b] if dark(r) && bright(g) && dark(b) => Some(Colour::Green),
            [r, g, b] if dark(r) && dark(g) && bright(b) => Some(Colour::Blue),
            [r, g, b] if bright(r) && bright(g) && dark(b) => Some(Colour::Yellow),
            [r, g, b] if dark(r) && bright(g) && bright(b) => Some(Colour::Turquoise),
            [r, g, b] if bright(r) && dark(g) && bright(b) => Some(Colour::Purple),
            _ => None,
        }
    }
}

/// What is true of every picture of a clip. `None` where there is nothing to see, or it is neither one nor the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The class.
    pub scene: Scene,
    /// Where the place is said to lie; no picture shows it.
    pub city: &'static str,
    /// Night or day, where there is an outside.
    pub night: Option<bool>,
    /// The sky by day, where it is seen at large.
    pub sky: Option<Sky>,
    /// How full the place is, where people come and go.
    pub crowd: Option<Crowd>,
    /// Of the seats of a bus or a metro, and of the stripe along the wall of a metro station.
    pub colour: Option<Colour>,
}

impl Facts {
    /// The facts of a clip of this seed.
    pub fn of(seed: u64, clip: &Clip) -> Facts {
        let look = Look::new(clip.scene, &mut clip.of_place(seed, "picture"));
        let open =
            matches!(clip.scene, Scene::Park | Scene::PublicSquare | Scene::StreetPedestrian | Scene::StreetTraffic);
        let vehicle = matches!(clip.scene, Scene::Bus | Scene::Metro | Scene::Tram);
        let crowd = match look.crowd {
            crowd if crowd < 0.75 => Some(Crowd::Few),
            crowd if crowd > 1.3 => Some(Crowd::Many),
            _ => None,
        };
        let painted = matches!(clip.scene, Scene::Bus | Scene::Metro | Scene::MetroStation);
        Facts {
            scene: clip.scene,
            city: clip.city(),
            night: (open || matches!(clip.scene, Scene::Bus | Scene::Tram)).then_some(look.night),
            sky: (open && !look.night).then_some(look.day),
            crowd: crowd.filter(|_| !vehicle),
            colour: if painted { Colour::of(look.accent) } else { None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_the_names_that_people_give_them() {
        for (rgb, name) in [
            ([0.9, 0.2, 0.1], Some(Colour::Red)),
            ([0.1, 0.2, 0.6], Some(Colour::Blue)),
            ([0.9, 0.85, 0.2], Some(Colour::Yellow)),
            ([0.2, 0.7, 0.7], Some(Colour::Turquoise)),
            ([0.6, 0.2, 0.6], Some(Colour::Purple)),
            ([0.5, 0.45, 0.5], None),
            ([0.9, 0.6, 0.7], None),
        ] {
            assert_eq!(Colour::of(rgb), name, "{rgb:?}");
        }
    }

    #[test]
    fn facts_are_of_the_place_and_vary_between_places() {
        let facts = |scene, place, segment| Facts::of(1, &Clip { scene, place, segment });
        let at_night = |scene| (0..50).filter(|&place| facts(scene, place, 0).night == Some(true)).count();
        assert!((3..20).contains(&at_night(Scene::Park)));
        assert_eq!(at_night(Scene::Airport), 0, "no outside is seen at large");
        for scene in Scene::ALL {
            assert_eq!(facts(scene, 4, 0), facts(scene, 4, 1));
        }
        for colour in Colour::ALL {
            assert!((0..200).any(|place| facts(Scene::Bus, place, 0).colour == Some(colour)), "{}", colour.name());
        }
    }
}
