//! From classes to prompts: templates, words, and the defaults of both.

use serde::{Deserialize, Serialize};

use crate::{Error, Spec};

/// The default templates: OpenAI's general ones, and some for a frame of a video of a place.
pub const TEMPLATES: [&str; 8] = [
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of people in a {}.",
    "a video frame of a {}.",
    "a blurry photo of a {}.",
    "a wide angle photo of a {}.",
    "a view of a {}.",
    "a scene in a {}.",
];

/// The default words for the ten classes of TAU Urban Audio-Visual Scenes 2021. Vehicles are recorded from inside.
pub const SCENES: [(&str, &[&str]); 10] = [
    ("airport", &["airport", "airport terminal"]),
    ("bus", &["bus", "bus interior"]),
    ("metro", &["metro", "subway train", "metro train interior"]),
    ("metro_station", &["metro station", "subway station"]),
    ("park", &["park", "city park"]),
    ("public_square", &["public square", "city square"]),
    ("shopping_mall", &["shopping mall", "shopping center"]),
    ("street_pedestrian", &["pedestrian street", "pedestrian zone"]),
    ("street_traffic", &["street with traffic", "busy road with cars"]),
    ("tram", &["tram", "tram interior"]),
];

/// The prompts of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassPrompts {
    /// The class.
    pub class: String,
    /// `[templates][phrases]`
    pub prompts: Vec<Vec<String>>,
}

/// The prompts of each class, in the order of `classes`. An error where [`Spec::prompts`] names a class that there is not.
pub fn prompts(classes: &[String], spec: &Spec) -> Result<Vec<ClassPrompts>, Error> {
    if classes.len() < 2 {
        return Err(Error::TooFewClasses(classes.len()));
    }
    if let Some(unknown) = spec.prompts.keys().find(|class| !classes.contains(class)) {
        return Err(Error::UnknownClass { class: unknown.clone(), classes: classes.to_vec() });
    }
    let of = |class: &String| {
        let phrases = phrases(class, spec);
        let fill = |template: &String| phrases.iter().map(|phrase| template.replace("{}", phrase)).collect();
        ClassPrompts { class: class.clone(), prompts: spec.templates.iter().map(fill).collect() }
    };
    Ok(classes.iter().map(of).collect())
}

fn phrases(class: &str, spec: &Spec) -> Vec<String> {
    if let Some(written) = spec.prompts.get(class) {
        return written.clone();
    }
    match SCENES.iter().find(|(scene, _)| *scene == class) {
        Some((_, words)) => words.iter().map(|word| (*word).to_owned()).collect(),
        None => vec![class.replace('_', " ").trim().to_owned()],
    }
}
