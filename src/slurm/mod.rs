//! One run as jobs of a Slurm cluster: an array over the shards, and a job behind it for the stages that see the whole data set.
//!
//! ```text
//! submit ── plan ──▶ array: pipeline run … --shards I/N --until the item stages   (one task a share of the shards)
//!                      └─ afterok ─▶ job: pipeline run …                           (set stages; nothing to do in the shards)
//! ```
//!
//! Nothing stays behind on the node where it was submitted: what a task does depends on the configuration, which is fixed as a file beside
//! the scripts, and on the store. A task that is told that its time is nearly over publishes what it has and asks to be run again; one that
//! is killed, preempted or lost with its node costs what it computed since its last publication. [`submission::Submission`] is all that
//! `status`, `retry` and `cancel` need to know.
//!
//! | module | what belongs there |
//! |---|---|
//! | [`params`] | `[slurm]`: the lines for the scheduler |
//! | [`script`] | the text of the two scripts, as pure functions |
//! | [`submission`] | what was submitted, on disk |
//! | [`queue`] | asking Slurm, by its own commands |
//! | [`progress`] | how far it is |

pub mod params;
pub mod progress;
pub mod queue;
pub mod script;
pub mod submission;
