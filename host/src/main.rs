//! The `gorgon` command: parses, dispatches, prints errors, exits.

use std::process::ExitCode;

use clap::Parser;
use gorgon::cli::{self, Cli, Exit};

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(cli::words()) {
        Ok(cli) => cli,
        Err(error) => return cli::answer(&error).into(),
    };
    match cli.run() {
        Ok(exit) => exit.into(),
        Err(error) => {
            cli::say_why(&error);
            Exit::CouldNotRun.into()
        }
    }
}
