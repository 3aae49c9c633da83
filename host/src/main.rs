//! The `gorgon` command: parse, dispatch, say what went wrong, exit.

use std::process::ExitCode;

use clap::Parser;
use gorgon::cli::{Cli, Exit};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Where stderr or stdout is closed there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    match cli.run() {
        Ok(exit) => exit.into(),
        Err(error) => {
            anstream::eprintln!("gorgon: {error:#}");
            Exit::CouldNotRun.into()
        }
    }
}
