//! The binary: glue.

use std::process::ExitCode;

fn main() -> ExitCode {
    pipeline::cli::main()
}
