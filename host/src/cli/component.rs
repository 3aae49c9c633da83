//! `gorgon component`: makes a component from a core module.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::Exit;
use crate::component::{self, Returns};
use crate::input;
use crate::task::MOST_OF_COMPONENT;

/// Make a component from a core module, for compilers that build no components
///
/// Compilers for C, Go, Zig and others need this. The module must be built for wasm32-wasip1 as a reactor, and export
/// `operation` according to the canonical ABI. Its imports from gorgon:task and WASI, and its hooks, are taken from the
/// module.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon component core.wasm -o task.wasm
  gorgon component core.wasm -o task.wasm --fallible")]
pub(super) struct ComponentCommand {
    /// The core module
    #[arg(value_name = "CORE.wasm")]
    module: PathBuf,

    /// The file to write the component to
    #[arg(short, long, value_name = "TASK.wasm")]
    output: PathBuf,

    /// The operation returns result<string, string>, not string
    #[arg(long)]
    fallible: bool,
}

impl ComponentCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Self { module, output, fallible } = self;
        let bytes = input::read(&module, MOST_OF_COMPONENT)
            .with_context(|| format!("cannot read the module `{}`", module.display()))?;
        let returns = if fallible { Returns::Fallible } else { Returns::Text };
        let component =
            component::make(&bytes, returns).map_err(|error| anyhow::anyhow!("`{}` {error}", module.display()))?;
        if let Some(oddity) = component::oddity(&bytes) {
            super::tell(&format!("`{}` {oddity}", module.display()));
        }
        if !fallible && component::seems_fallible(&bytes) {
            let shown = module.display();
            super::tell(&format!(
                "the operation of `{shown}` seems to return result<string, string>: if so, its results are read \
                 wrongly without --fallible"
            ));
        }
        std::fs::write(&output, component).with_context(|| format!("cannot write the task `{}`", output.display()))?;
        Ok(Exit::Done)
    }
}
