//! The store: everything that outlives a run, and the one way things get into it.
//!
//! ```text
//! work/
//!   encode-clip/00003-of-00048.h5      a shard: immutable, published whole            (layout, publish)
//!   log-mel/00003-of-00048.h5
//!   extract-frames/NAME-01.png …       pictures, only when asked for                    (pictures)
//!   linear-probe/ evaluate/            model, predictions, metrics, key.json          (products)
//!   .pipeline/v1/
//!     parts/STAGE/*.h5                 shards in the making, and superseded shards    (index)
//!     index/STAGE                      a cache of what shards and parts say           (index)
//!     digests/                         a cache of the media files' BLAKE3             (digests)
//!     attempts                         how often what failed was tried                (attempts)
//!     status                           what `status` said last, and what that rests on
//!     painters/                        who writes pictures with which parameters      (painters)
//!     runs/*.jsonl                     what each run did
//! ```
//!
//! Invariants, each held by a test:
//! - A file under its final name is complete: it was written under a temporary name in the same folder, closed, reopened
//!   and checked, synced, and renamed ([`publish`]). Nothing is written in place.
//! - Deleting `.pipeline/v1/index` or `digests` costs time, never results. Deleting a shard costs that shard.
//! - A row leaves the store only by `gc`, or when a published shard holds the same key, or when its pictures are about to go.
//! - What a process has hashed no other takes away: a file of `digests` goes once another holds all of it.
//! - There is no lock: two writers of one shard produce the same bytes, so a duplicate is harmless. What a process is about to replace it looks
//!   at just before, and puts aside what it would lose; what it is about to remove for being held elsewhere, it removes only while that is there.
//! - A row of `extract-frames` leaves the store before other pictures take the names of those that it lists, or, where two runs wrote pictures
//!   at the same time, before a run believes it.

pub mod attempts;
pub mod digests;
pub mod index;
pub mod layout;
pub mod painters;
pub mod pictures;
pub mod products;
pub mod publish;
pub mod sealed;

pub use layout::WorkDir;
