//! What is to become of a file of which only a part is good.

use serde::{Deserialize, Serialize};

/// What is to become of a file whose beginning is good and whose end is missing or damaged. What counts as such is said in `media::damage`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Partial {
    /// The item fails with the cause `corrupt` and the place from which on the file is damaged.
    #[default]
    Reject,
    /// What is good is taken, exactly as the ffmpeg command takes it.
    Keep,
}

impl Partial {
    /// Whether this is what was done before there was a choice: left out of a key, so that values of then stay valid for who keeps them.
    pub fn is_keep(&self) -> bool {
        *self == Partial::Keep
    }
}
