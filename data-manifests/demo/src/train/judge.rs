//! Figures of a model on pictures that it was not trained on. Each breaks with another link of the chain.
//!
//! | figure | choice between | breaks with |
//! |---|---|---|
//! | `accuracy`, `log_loss` | the ten prompts "a photo of a …." | everything |
//! | `order` | "a photo of a X, not a Y." and "…Y, not a X." | order of tokens, positions, causal mask, pooling |
//! | `night` | "… at night." and "… by day." | brightness: mean, standard deviation, scale |
//! | `colour` | "… with red seats." and five other colours | order of channels |

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::captions::{contrast, names, prompt};
use crate::scene::Scene;
use crate::scene::facts::{Colour, Facts};

/// What a model achieves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Pictures.
    pub pictures: usize,
    /// Share of pictures whose own class has the most probable prompt; chance is 0.1.
    pub accuracy: f64,
    /// Mean of -ln of the probability of the own class; chance is 2.303.
    pub log_loss: f64,
    /// Share of pairs of opposed prompts that are told apart; chance is 0.5.
    pub order: f64,
    /// Mean of the shares of nights and of days that are told apart; chance is 0.5.
    pub night: f64,
    /// Share of pictures whose colour is named right; chance is 0.167.
    pub colour: f64,
}

/// Judges unit embeddings of pictures against unit embeddings of texts; `scale` is the factor of their cosines.
pub fn judge(
    facts: &[Facts],
    pictures: &[Vec<f32>],
    scale: f64,
    mut embed: impl FnMut(&[String]) -> Result<Vec<Vec<f32>>>,
) -> Result<Figures> {
    let prompts: Vec<String> = Scene::ALL.into_iter().map(prompt).collect();
    let classes = embed(&prompts)?;
    let (mut right, mut loss) = (0, 0.0);
    for (facts, picture) in facts.iter().zip(pictures) {
        let probabilities = softmax(picture, &classes, scale);
        right += usize::from(most(&probabilities) == facts.scene as usize);
        loss -= probabilities[facts.scene as usize].max(1e-15).ln();
    }
    let count = facts.len() as f64;
    let mut order = Share::default();
    for scene in Scene::ALL {
        for other in Scene::ALL.into_iter().filter(|&other| other != scene) {
            let pair = embed(&[contrast(scene, other), contrast(other, scene)])?;
            for (_, picture) in facts.iter().zip(pictures).filter(|(facts, _)| facts.scene == scene) {
                order.count(cosine(picture, &pair[0]) > cosine(picture, &pair[1]));
            }
        }
    }
    let (mut nights, mut colour) = ([Share::default(); 2], Share::default());
    for scene in Scene::ALL {
        let name = names(scene)[0];
        let light = embed(&[format!("a photo of a {name} by day."), format!("a photo of a {name} at night.")])?;
        let painted = |colour: Colour| match scene {
            Scene::MetroStation => format!("a photo of a {name} with a {} stripe along the wall.", colour.name()),
            _ => format!("a photo of a {name} with {} seats.", colour.name()),
        };
        let colours = embed(&Colour::ALL.map(painted))?;
        for (facts, picture) in facts.iter().zip(pictures).filter(|(facts, _)| facts.scene == scene) {
            if let Some(night) = facts.night {
                let says_night = cosine(picture, &light[1]) > cosine(picture, &light[0]);
                nights[usize::from(night)].count(says_night == night);
            }
            if let Some(there) = facts.colour {
                colour.count(Colour::ALL[most(&softmax(picture, &colours, scale))] == there);
            }
        }
    }
    Ok(Figures {
        pictures: facts.len(),
        accuracy: right as f64 / count,
        log_loss: loss / count,
        order: order.value(),
        night: f64::midpoint(nights[0].value(), nights[1].value()),
        colour: colour.value(),
    })
}

#[derive(Default, Clone, Copy)]
struct Share {
    right: usize,
    all: usize,
}

impl Share {
    fn count(&mut self, right: bool) {
        self.right += usize::from(right);
        self.all += 1;
    }

    fn value(self) -> f64 {
        self.right as f64 / self.all as f64
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn softmax(picture: &[f32], texts: &[Vec<f32>], scale: f64) -> Vec<f64> {
    let logits: Vec<f64> = texts.iter().map(|text| scale * cosine(picture, text)).collect();
    let most = logits.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
    logits.iter().map(|logit| (logit - most).exp() / sum).collect()
}

fn most(values: &[f64]) -> usize {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).expect("there is a value")
}
