//! The demo data set and the demo checkpoint, made on the spot: no download, no licence, the same on every machine.
//!
//! | module | what it makes |
//! |---|---|
//! | [`scene`] | what ten little scenes look and sound like |
//! | [`data`] | a hundred clips of them: H.264 in MP4 by the `ffmpeg` command, 24-bit WAV, a table of items |
//! | [`checkpoint`] | a small CLIP image tower with random weights, in the layout of Hugging Face |

pub mod checkpoint;
pub mod data;
pub mod scene;
