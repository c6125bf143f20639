//! What a stage is: its declaration, the values that pass between stages, and the causes of failure.
//!
//! Everything on the shelf depends on this crate and on nothing else of ours, so it stays small, dull and stable:
//! plain data, no input or output, no heavy library.
//!
//! | module | what it holds |
//! |---|---|
//! | [`decl`] | [`Decl`]: a stage's id, version, kind and inputs |
//! | [`item`] | [`Item`]: one clip of a data set |
//! | [`cause`] | [`Cause`], [`Failure`]: why an item has no value |
//! | [`partial`] | [`Partial`]: whether a file of which only a part is good counts |
//! | [`rows`] | [`Rows`]: what an item stage makes of one item |
//! | [`picture`] | [`Picture`]: RGB8 pixels |
//! | [`sound`] | [`Sound`]: interleaved f32 samples |
//! | [`timeline`] | [`Timeline`]: the presentation times of a video stream, in integer ticks |

pub mod cause;
pub mod decl;
pub mod item;
pub mod partial;
pub mod picture;
pub mod rows;
pub mod sound;
pub mod timeline;

pub use cause::{Cause, Classify, Failure, without_backtrace};
pub use decl::{Decl, Kind};
pub use item::Item;
pub use partial::Partial;
pub use picture::Picture;
pub use rows::{Column, ColumnSpec, Element, Rows, Values};
pub use sound::Sound;
pub use timeline::{FrameTime, TimeBase, Timeline};
