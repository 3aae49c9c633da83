//! `gorgon component`: makes a component from a core module.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::Exit;
use crate::component::{self, Returns};

/// Make a component of a core module, for compilers that stop there
///
/// That is so with C, Go, Zig and others. The module is built for wasm32-wasip1 as a reactor, and exports `operation`
/// as the canonical ABI has it. What it imports of gorgon:task and WASI, and which hooks it exports, is read off the
/// module.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon component core.wasm -o task.wasm
  gorgon component core.wasm -o task.wasm --fallible")]
pub(super) struct Component {
    /// The core module
    #[arg(value_name = "CORE.wasm")]
    module: PathBuf,

    /// Where the component is written
    #[arg(short, long, value_name = "TASK.wasm")]
    output: PathBuf,

    /// The operation returns result<string, string>, not string
    #[arg(long)]
    fallible: bool,
}

impl Component {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Self { module, output, fallible } = self;
        let bytes = std::fs::read(&module).with_context(|| format!("cannot read the module `{}`", module.display()))?;
        let returns = if fallible { Returns::Fallible } else { Returns::Text };
        let component =
            component::make(&bytes, returns).map_err(|error| anyhow::anyhow!("`{}` {error}", module.display()))?;
        std::fs::write(&output, component).with_context(|| format!("cannot write the task `{}`", output.display()))?;
        Ok(Exit::Done)
    }
}
