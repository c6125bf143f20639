//! Makes of the presentation times of a video stream the list of pictures that `ffmpeg -i X -vf fps=1 NAME-%02d.png` writes,
//! names them, and writes them.
//!
//! # Formula
//!
//! Output picture `k` shows **the last frame whose time, rounded to whole output ticks, is at most `k`** - neither the frame at `k` seconds nor the
//! nearest one. At 1 fps that is the last frame before `k + 0.5` s: frames 12, 37, 62 … at 25 fps, 14, 44, 74 … at 30 and 29.97.
//! With output ticks of `1 / fps` seconds and `R` = rounding half away from zero:
//!
//! ```text
//! q_i  = R(pts_i · fps)                      when frame i becomes due
//! S    = R((pts_last + duration_last) · fps) where the stream ends
//! next = q_0
//! frame i, not the last:  while q_{i+1} > next: emit (next, i), next += 1
//! the last frame:         while S       > next: emit (next, i), next += 1
//! ```
//!
//! So a clip of `d` seconds gives `round(d)` pictures (9.5 s ≤ d < 10.5 s: ten) and one shorter than half a second none; a gap
//! repeats the frame before it; a slow stream repeats frames. The end is computed in whole microseconds first, as the command does.
//!
//! Then the command's constant frame rate is applied: a file with several streams whose pictures begin late is *back-filled* with its first
//! picture, so that picture `n` stays second `n - 1`; in a file with one stream nothing is filled in.
//!
//! Source: behaviour of ffmpeg 5.1 (`vf_fps` with `round=near`, `eof_action=round`, and the command's `-fps_mode` for image files), restated and
//! compared picture by picture with the command in the tests of `media`.
//!
//! # Output
//!
//! [`select`] returns picks in order: `number` runs 1, 2, 3 … without gaps, `time` grows by `1 / fps`, `frame` never falls.
//!
//! # Input
//!
//! * Honoured: time base, presentation times, duration of the last frame, one stream or several, changes of size on the way (there the command
//!   loses the frame its filter holds).
//! * Half-honoured: durations of other frames than the last (the next frame's time counts).
//! * Ignored: what the container's header says about length and frame rate.
//!
//! # History of `version`
//!
//! 1: first. Since then `partial`: the bytes of pictures are the same.
//!
//! 2: pictures of damaged video, as the ffmpeg command writes them: of a stream that lost some, of an MPEG stream that begins late, of pixels of
//!    negative width (none). Those of a video that is whole are the same bytes.

mod params;
mod picture;
mod rows;
mod select;

pub use params::{FileSpec, Format, FrameSpec, Params, ParamsError, Rate, Spec};
pub use picture::{decode_picture, encode_picture, picture_name};
pub use rows::{PictureRows, columns};
pub use select::{MAX_PICKS, Pick, select};

/// The declaration of this stage.
pub const DECL: contract::Decl = contract::Decl {
    id: "extract-frames",
    version: 2,
    kind: contract::Kind::Item,
    inputs: &["discover"],
    summary: "the pictures that ffmpeg -vf fps=1 keeps of a video",
};

/// Why there are no pictures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The timestamps span more pictures than anybody can want.
    #[error("the timestamps of the video ask for more than {limit} pictures: they are damaged, or `fps` is too high")]
    TooMany {
        /// [`MAX_PICKS`].
        limit: usize,
    },
    /// A picture file is damaged or no PNG.
    #[error("the picture file cannot be read: {detail}")]
    Unreadable {
        /// What the decoder said.
        detail: String,
    },
    /// The picture cannot be written in this format.
    #[error("a picture of {width}x{height} cannot be written as {format}: {detail}")]
    Unwritable {
        /// Pixels per row.
        width: usize,
        /// Rows.
        height: usize,
        /// `png` or `jpeg`.
        format: &'static str,
        /// What the encoder said.
        detail: String,
    },
}

impl contract::Classify for Error {
    fn class(&self) -> contract::Cause {
        match self {
            Error::TooMany { .. } => contract::Cause::TooLarge,
            Error::Unreadable { .. } => contract::Cause::Corrupt,
            Error::Unwritable { .. } => contract::Cause::Internal,
        }
    }
}
