//! The product from outside: the binary, real media made by the ffmpeg command, the files that it leaves.
//!
//! | module | what belongs there |
//! |---|---|
//! | `lab` | a small data set in a folder of its own, and the binary on it |
//! | `architecture` | who may depend on whom, and what every crate must have |
//! | `choosing` | taking up a part of the work, and what a plan says of it |
//! | `commands` | what a person types and reads: messages, exit codes, configuration |
//! | `events` | what `--json` says, against docs/events.md |
//! | `exchange` | features out of one work directory and into another |
//! | `failing` | failures as data: how often tried, what is tried again, when a run stops for them |
//! | `faults` | kills and failing system calls at every step by which a work directory changes |
//! | `power` | what a disk may hold after the power failed, as a model |
//! | `together` | several processes on one work directory |
//! | `scenes`, `shim`, `sweep` | the runs that those three disturb, how, and the table of what came out |
//! | `fetching` | downloads from a server that misbehaves (`server`), archives, verification |
//! | `fuzzing` | what reads files that others wrote, on bytes that are almost right |
//! | `guide` | every command in the guide's pages |
//! | `packaging` | the recipes in packaging/ |
//! | `keys` | one test for each row of the table in `src/key.rs` |
//! | `limits` | what a file may take, and how a run ends when it is asked to |
//! | `slurm` | jobs of a real Slurm: kills, requeues, lost nodes, preemption |
//! | `status` | what `status` takes from what it said before |
//! | `survival` | kills, torn files, deleted files: the defects R1-R14 that resumable tools are known for |
//! | `systems` | training, judging, and what is refused |
//! | `tau` | the ready configuration for TAU 2021 |
//! | `workers` | the processes that decode: who loads libav, what a dead one costs |
//! | `mutants` | spoilt media beside good ones, and what becomes of files of which only a part is good |
//! | `media` | the real media set, where `PIPELINE_TEST_MEDIA` names it |

#![expect(clippy::unwrap_used, reason = "tests")]

mod architecture;
mod bench;
mod choosing;
mod commands;
mod events;
mod exchange;
mod failing;
mod faults;
mod fetching;
mod fuzzing;
mod guide;
mod keys;
mod lab;
mod limits;
mod media;
mod mutants;
mod packaging;
mod power;
mod scenes;
mod server;
mod shim;
mod slurm;
mod status;
mod survival;
mod sweep;
mod systems;
mod tau;
mod together;
mod workers;
