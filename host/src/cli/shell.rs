//! `gorgon completions` and `gorgon man`: the command line for shells and for man.

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::output::ignore_closed;
use super::{Cli, Exit};

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon completions bash > ~/.local/share/bash-completion/completions/gorgon
  gorgon completions zsh > ~/.zfunc/_gorgon
  gorgon completions fish > ~/.config/fish/completions/gorgon.fish")]
pub(super) struct CompletionsCommand {
    shell: Shell,
}

/// Print the manual page
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon man > ~/.local/share/man/man1/gorgon.1
  gorgon man | man -l -")]
pub(super) struct ManCommand {}

impl CompletionsCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "gorgon", &mut script);
        print(&script)
    }
}

impl ManCommand {
    /// One page: the command, followed by its subcommands.
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let mut pages = Vec::new();
        let mut command = Cli::command();
        command.build();
        clap_mangen::Man::new(command.clone()).render(&mut pages)?;
        for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
            let name = format!("gorgon {}", subcommand.get_name());
            clap_mangen::Man::new(subcommand.clone().display_name(name)).render(&mut pages)?;
        }
        print(&pages)
    }
}

pub(super) fn print(bytes: &[u8]) -> anyhow::Result<Exit> {
    ignore_closed(io::stdout().lock().write_all(bytes))?;
    Ok(Exit::Done)
}
