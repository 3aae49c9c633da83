//! This binary, to start it again as another process.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::system;

/// Starts this binary with a hidden subcommand, in a process group of its own: Ctrl-C must reach only the process that
/// a person has started, which ends the others properly.
pub fn command(subcommand: &str) -> io::Result<Command> {
    let mut command = Command::new(system::executable()?);
    command.arg(subcommand).process_group(0);
    Ok(command)
}
