//! Exit codes: one documented constant for each way to end. Scripts may rely on them.

/// Everything asked for is done.
pub const DONE: u8 = 0;
/// The command failed; the message says why.
pub const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
pub const USAGE: u8 = 2;
/// `--dry-run`: there is work to do.
pub const WORK_IS_DUE: u8 = 3;
/// Done, but some items failed; they are recorded and listed by `pipeline failures`.
pub const DONE_WITH_FAILURES: u8 = 4;
/// Stopped by a signal; finished work is published and the same command goes on from there.
pub const STOPPED: u8 = 75;
