//! What was published of the reference example and of the challenge's baseline.

use predictions::Protocol;
use serde::Serialize;

use crate::Page;

/// The data set that the published figures are of, by the name that `discover` gives it.
pub const PUBLISHED_OF: &str = "TAU Urban Audio-Visual Scenes 2021, development";

/// A published figure. It is of [`PUBLISHED_OF`] and of nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Published {
    /// The system of this program that does the same, or the name of another system.
    pub system: &'static str,
    /// Its protocol.
    pub protocol: Protocol,
    /// Accuracy.
    pub accuracy: f64,
    /// Log loss, where one was published.
    pub log_loss: Option<f64>,
    /// What must be known to read it.
    pub remark: &'static str,
}

/// The figures of the reference example's README, and of the baseline of DCASE 2021 task 1B.
pub const PUBLISHED: [Published; 6] = [
    clip("zero-shot", 0.697, "evaluation part; 0.729 on the whole set"),
    clip("linear-probe", 0.893, "C = 0.316, picture 05"),
    clip("audio", 0.771, "best checkpoint on the evaluation part"),
    clip("audio-visual", 0.925, "best checkpoint on the evaluation part"),
    clip("DCASE baseline", 0.848, "Wang et al. 2021, audio-visual"),
    Published {
        system: "DCASE baseline",
        protocol: Protocol::PerSecond,
        accuracy: 0.770,
        log_loss: Some(0.658),
        remark: "Wang et al. 2021, audio-visual",
    },
];

impl Page {
    /// The figures that were published for the data set of the page.
    pub(crate) fn published(&self) -> &'static [Published] {
        if self.dataset == PUBLISHED_OF { &PUBLISHED } else { &[] }
    }
}

const fn clip(system: &'static str, accuracy: f64, remark: &'static str) -> Published {
    Published { system, protocol: Protocol::PerClip, accuracy, log_loss: None, remark }
}
