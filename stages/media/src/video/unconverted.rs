//! Decoding without converting: what the pictures of a clip cost at least.

use super::{Source, Video, passes};
use crate::MediaError;

impl Video {
    /// Decodes the frames with these indices (ascending) as [`Video::decode`] does and drops them; returns how many there were. For
    /// measuring: what decoding costs by itself.
    pub fn decode_unconverted(&self, frames: &[usize]) -> Result<usize, MediaError> {
        let mut wanted = frames.to_vec();
        wanted.dedup();
        let mut count = 0;
        match &self.source {
            Source::Predicted(prediction) => {
                let mut seen = |_, _: &_| {
                    count += 1;
                    Ok(true)
                };
                // A mistaken prediction is found out by whoever wants the pictures.
                passes::sparing(&self.container, &self.packets, &self.entries, prediction, &wanted, &mut seen)?;
            }
            Source::Decoded { kept, .. } => {
                if kept.all(&wanted).is_some() {
                    return Ok(wanted.len());
                }
                passes::exact(&self.container, &self.packets, &mut |seen| {
                    count += usize::from(wanted.binary_search(&seen.index).is_ok());
                    Ok(wanted.last().is_some_and(|last| seen.index < *last))
                })?;
            }
        }
        Ok(count)
    }
}
