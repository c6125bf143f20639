//! Captions of scenes: a small grammar with synonyms, and the truth of what each says.
//!
//! A caption names the class and may say what else is known of a picture ([`Facts`]): night or day, the sky, the crowd, the colour of seats.
//! Some say what a place is *not* ("a photo of a bus, not a tram"), so that the order of words matters: without it, these two
//! halves cannot be told apart.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::scene::Scene;
use crate::scene::facts::{Colour, Crowd, Facts, Sky};

/// The plain prompt for a class, as a person would ask for it.
pub fn prompt(scene: Scene) -> String {
    format!("a photo of a {}.", names(scene)[0])
}

/// A prompt that also names what the place is not.
pub fn contrast(scene: Scene, other: Scene) -> String {
    format!("a photo of a {}, not a {}.", names(scene)[0], names(other)[0])
}

/// What a place of a class is called; the first is the usual name.
pub fn names(scene: Scene) -> &'static [&'static str] {
    match scene {
        Scene::Airport => &["airport", "airport terminal", "departure hall", "airport hall"],
        Scene::Bus => &["bus", "city bus", "moving bus", "public bus"],
        Scene::Metro => &["metro", "metro train", "subway train", "underground train", "metro carriage"],
        Scene::MetroStation => &["metro station", "subway station", "underground station", "metro platform"],
        Scene::Park => &["park", "urban park", "city park", "park with trees", "public garden"],
        Scene::PublicSquare => &["public square", "city square", "town square", "plaza", "square"],
        Scene::ShoppingMall => &["shopping mall", "indoor shopping mall", "shopping centre", "mall"],
        Scene::StreetPedestrian => &[
            "pedestrian street",
            "street pedestrian",
            "pedestrian zone",
            "street for pedestrians",
            "street without cars",
        ],
        Scene::StreetTraffic => &[
            "street with traffic",
            "street traffic",
            "street with medium level of traffic",
            "road with cars",
            "street with cars",
        ],
        Scene::Tram => &["tram", "city tram", "streetcar", "moving tram"],
    }
}

/// A caption, and what must hold of a picture for it to be true.
#[derive(Debug, Clone, PartialEq)]
pub struct Caption {
    /// One line of English.
    pub text: String,
    scene: Scene,
    night: Option<bool>,
    sky: Option<Sky>,
    crowd: Option<Crowd>,
    colour: Option<Colour>,
}

impl Caption {
    /// Whether everything that it says is so.
    pub fn is_true_of(&self, facts: &Facts) -> bool {
        fn holds<T: PartialEq + Copy>(said: Option<T>, is: Option<T>) -> bool {
            said.is_none() || said == is
        }
        self.scene == facts.scene
            && holds(self.night, facts.night)
            && holds(self.sky, facts.sky)
            && holds(self.crowd, facts.crowd)
            && holds(self.colour, facts.colour)
    }

    /// Writes a true caption.
    pub fn write(facts: &Facts, rng: &mut ChaCha8Rng) -> Caption {
        let scene = facts.scene;
        let mut caption = Caption { text: String::new(), scene, night: None, sky: None, crowd: None, colour: None };
        // Half of the captions are plain, as prompts are.
        let says = |rng: &mut ChaCha8Rng| rng.random_bool(0.5);
        if rng.random_bool(0.5) {
            caption.crowd = facts.crowd.filter(|_| says(rng));
            caption.colour = facts.colour.filter(|_| says(rng));
            caption.night = facts.night.filter(|&night| if night { says(rng) } else { rng.random_bool(0.15) });
            caption.sky = facts.sky.filter(|_| caption.night.is_none() && says(rng));
        }
        let mut noun = String::new();
        if let Some(crowd) = caption.crowd {
            noun += pick(
                rng,
                match crowd {
                    Crowd::Few => &["quiet ", "almost empty "],
                    Crowd::Many => &["busy ", "crowded "],
                },
            );
        }
        noun += pick(rng, names(scene));
        if let Some(colour) = caption.colour {
            noun += &match scene {
                Scene::MetroStation => format!(" with a {} stripe along the wall", colour.name()),
                _ => format!(" with {} seats", colour.name()),
            };
        }
        noun += match caption.night {
            Some(true) => pick(rng, &[" at night", " in the dark"]),
            Some(false) => pick(rng, &[" by day", " in daylight"]),
            None => "",
        };
        noun += match caption.sky {
            Some(Sky::Blue) => pick(rng, &[" under a blue sky", " in the sun"]),
            Some(Sky::Grey) => pick(rng, &[" under a grey sky", " on a cloudy day"]),
            Some(Sky::Evening) => pick(rng, &[" under an evening sky", " in the evening"]),
            None => "",
        };
        if rng.random_bool(0.1) {
            noun += &format!(" in {}", facts.city);
        }
        if rng.random_bool(0.25) {
            let others: Vec<Scene> = Scene::ALL.into_iter().filter(|&other| other != scene).collect();
            let other = *others.choose(rng).expect("there are nine");
            let other = pick(rng, names(other));
            noun += &format!(", not {}{other}", article(other, rng));
        }
        caption.text = frame(scene, &noun, rng);
        caption
    }
}

fn pick<'a>(rng: &mut ChaCha8Rng, choices: &[&'a str]) -> &'a str {
    choices.choose(rng).expect("every list has an entry")
}

/// "a " or "an ": templates often say the wrong one, so captions do at times.
fn article(noun: &str, rng: &mut ChaCha8Rng) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) && rng.random_bool(0.5) { "an " } else { "a " }
}

/// A sentence, or less, around a noun.
fn frame(scene: Scene, noun: &str, rng: &mut ChaCha8Rng) -> String {
    let vehicle = matches!(scene, Scene::Bus | Scene::Metro | Scene::Tram);
    let a = article(noun, rng);
    match rng.random_range(0..14) {
        0..4 => format!("a photo of {a}{noun}."),
        4 => format!("a picture of {a}{noun}."),
        5 => format!("a photo of the {noun}."),
        6 => format!("this is {a}{noun}."),
        7 => format!("{a}{noun}"),
        8 => noun.to_owned(),
        9 => format!("an image of {a}{noun}."),
        10 => format!("a video frame of {a}{noun}."),
        11 if vehicle => format!("the inside of {a}{noun}."),
        12 if vehicle => format!("travelling by {noun}."),
        13 if vehicle => format!("passengers inside {a}{noun}."),
        11 => format!("a view of {a}{noun}."),
        12 => format!("people at {a}{noun}."),
        _ => format!("the scene is {a}{noun}."),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::scene::Clip;

    #[test]
    fn captions_are_true_of_their_picture_and_of_no_other_class() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for n in 0..500 {
            let clip = Clip { scene: Scene::ALL[n % 10], place: n / 10, segment: 0 };
            let facts = Facts::of(1, &clip);
            let caption = Caption::write(&facts, &mut rng);
            assert!(caption.is_true_of(&facts), "{caption:?} of {facts:?}");
            for scene in Scene::ALL.into_iter().filter(|&scene| scene != facts.scene) {
                assert!(!caption.is_true_of(&Facts { scene, ..facts }), "{caption:?} of {scene:?}");
            }
            let other = Facts { night: facts.night.map(|night| !night), ..facts };
            assert_eq!(caption.is_true_of(&other), caption.night.is_none() || other == facts);
        }
    }

    #[test]
    fn prompts_are_what_a_person_would_type() {
        assert_eq!(prompt(Scene::MetroStation), "a photo of a metro station.");
        assert_eq!(contrast(Scene::Bus, Scene::Tram), "a photo of a bus, not a tram.");
    }
}
