//! Decoded sound.

/// Decoded sound: interleaved samples, full scale = 1.0.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// Channels, at least 1.
    pub channels: usize,
    /// `[frames][channels]` samples; `samples.len() % channels == 0`.
    pub samples: Vec<f32>,
}

impl Sound {
    /// Samples per channel.
    pub fn frames(&self) -> usize {
        self.samples.len() / self.channels.max(1)
    }
}
