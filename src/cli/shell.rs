//! `pipeline completions` and `pipeline man`: the command line as a shell and a manual know it.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::{Cli, print};
use crate::error::{IoContext, Result};
use crate::exit;

/// Options of `completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell [default: the one of $SHELL]
    shell: Option<Shell>,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// A page for this command instead of the one about all
    command: Option<String>,
}

pub(super) fn completions(options: &Completions) -> Result<u8> {
    let shell = options.shell.or_else(Shell::from_env).unwrap_or(Shell::Bash);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "pipeline", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(exit::DONE)
}

pub(super) fn man(options: &Man) -> Result<u8> {
    let mut command = Cli::command();
    command.build();
    if let Some(name) = &options.command {
        let known: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_string()).collect();
        let found = command.get_subcommands().find(|c| c.get_name() == name).cloned();
        command =
            found.ok_or_else(|| crate::Error::Usage(format!("there is no command `{name}` ({})", known.join(", "))))?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).at("make", std::path::Path::new("a manual page"))?;
    print(&String::from_utf8_lossy(&page))?;
    Ok(exit::DONE)
}
