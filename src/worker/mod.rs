//! Media are decoded in processes of their own: `pipeline-media`, installed beside `pipeline`.
//!
//! ```text
//! pipeline ── requests ──▶ pipeline-media (reads, hashes, decodes, resizes, log-mel)
//!          ◀── replies ───
//! ```
//!
//! Two reasons. Media are hostile: what libav does not survive costs the item at hand and not the run. And loading libav and the
//! hundred libraries under it takes longer than `pipeline status` does, so the main program is not linked with it.
//!
//! A worker lives as long as the lane that it works for ([`crate::run::clip`]), takes one file after the other, writes no file, and holds
//! nothing that would be missed: it can be killed and replaced at any instant.
//!
//! | module | what belongs there |
//! |---|---|
//! | [`protocol`] | what the two say to each other, and how it is framed |
//! | [`child`] | the runner's end: start, ask, hear, and find out how it died |
//! | [`limits`] | how much time and memory it may take |
//! | [`incoming`] | rows that arrive in pieces |
//! | `src/bin/pipeline-media` | the worker's end, outside of this library, which therefore names no function of libav |

pub mod child;
pub mod incoming;
pub mod limits;
pub mod protocol;

pub use child::{Death, DeathOf, MediaWorker};
pub use limits::{Drain, Limits};
pub use protocol::Settings;
