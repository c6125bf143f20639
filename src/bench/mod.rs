//! What this machine does with this data: the rate of each stage, the limit that it runs against, and the share of it that is reached.
//! Nothing here enters the store.
//!
//! ```text
//! pipeline bench ──┬── pipeline-media bench   reading, hashing, decoding, resizing, log-mel   (one thread)
//!                  ├── encoder                images per second against the peak of its instructions   (all cores)
//!                  └── writing                shards against a plain file, both forced to the disk
//! ```
//!
//! | module | what it measures or tells |
//! |---|---|
//! | [`media`] | what is asked of the media worker, and what it answers |
//! | [`encoder`] | the encoder |
//! | [`writing`] | shards |
//! | [`table`] | the whole, for a person and as JSON |

pub mod encoder;
pub mod measured;
pub mod table;
pub mod writing;
