//! The runner of `pipeline`: configuration, plan, keys, store, execution and command line. No codecs, no tensors: the science
//! is on the shelf in `stages/`, and data flows one way.
//!
//! ```text
//! cli ──▶ config ──▶ resolve ──▶ plan ──▶ run ──▶ store
//!                     (stages)    (a value)  │
//!                                            └──▶ events ──▶ ui
//! ```
//!
//! | module | the one thing it knows |
//! |---|---|
//! | [`registry`] | which stages there are, and what reads what |
//! | [`config`] | every knob, as written |
//! | [`resolve`] | stages ready to run: presets expanded, models found, key templates made |
//! | [`key`] | when an item is up to date |
//! | [`store`] | what outlives a run, and how it gets there |
//! | [`plan`] | what is to be done, and why |
//! | [`selection`] | which items a run takes up |
//! | [`session`] | data set, store and plans of one command |
//! | [`run`] | doing it |
//! | [`slurm`] | one run as jobs of a cluster |
//! | [`worker`] | the processes that decode media |
//! | [`bench`] | what this machine does with this data |
//! | [`doctor`] | whether this machine is fit for it |
//! | [`data`] | the media of a data set, downloaded and checked |
//! | [`exchange`] | features in other hands' formats, out and in |
//! | [`history`] | what earlier runs did, and how long the next one will take |
//! | [`events`], [`ui`], [`usage`], [`trace`] | telling it |
//! | [`beside`] | what goes on beside the work |
//! | [`cli`] | the commands |
//! | [`exit`] | what the exit code means |

pub mod bench;
pub mod beside;
pub mod cli;
pub mod config;
pub mod data;
pub mod doctor;
pub mod error;
pub mod events;
pub mod exchange;
pub mod exit;
pub mod history;
pub mod key;
pub mod plan;
pub mod registry;
pub mod remembered;
pub mod resolve;
pub mod run;
pub mod selection;
pub mod session;
pub mod slurm;
pub mod store;
pub mod trace;
pub mod ui;
pub mod usage;
pub mod worker;

pub use error::{Error, Result};
