//! This binary, to start it again as another process.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Starts this binary with a hidden subcommand, in a process group of its own: Ctrl-C must reach only the process that
/// a person has started, which ends the others properly.
pub fn command(subcommand: &str) -> io::Result<Command> {
    let mut command = Command::new(executable()?);
    command.arg(subcommand).process_group(0);
    Ok(command)
}

/// By the kernel's link, which stays valid if the file is replaced meanwhile.
fn executable() -> io::Result<PathBuf> {
    let link = PathBuf::from("/proc/self/exe");
    if link.exists() { Ok(link) } else { std::env::current_exe() }
}
