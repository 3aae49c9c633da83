//! `gorgon inspect`: shows what a task exports, imports, and needs to be granted.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::Exit;
use super::flags::TaskSource;
use super::output::ignore_closed;
use crate::guest_text::line;
use crate::lane::Lane;
use crate::plan::DEFAULT_OPERATION;
use crate::progress::Show;
use crate::rendering::json;
use crate::task::{self, Compiler, Inspection, Purpose};
use crate::terminal;

/// Show what a task exports, imports, and needs to be granted, without running it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon inspect task.wasm
  gorgon inspect task.wasm --json

Exit codes: 0 gorgon can run it, 1 it cannot, and why")]
pub(super) struct InspectCommand {
    /// The task: a WebAssembly component
    #[arg(value_name = "TASK.wasm")]
    task: PathBuf,

    /// The export to call
    #[arg(long, value_name = "NAME", default_value = DEFAULT_OPERATION)]
    operation_name: String,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl InspectCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let compiler = Compiler::new(Purpose::Multiply)?;
        let compiled =
            TaskSource::File(self.task).compile(&compiler, if self.json { Show::Nothing } else { Show::Messages })?;
        let inspection = task::inspect(compiler.engine(), &compiled, &self.operation_name)?;
        let mut out = terminal::stdout();
        let written = if self.json {
            json::write(&inspection, &mut out)
        } else {
            out.write_all(text(&inspection).as_bytes()).and_then(|()| out.flush())
        };
        ignore_closed(written)?;
        drop(out);
        Ok(match inspection.problem {
            None => Exit::Done,
            Some(problem) => {
                super::say(&problem);
                Exit::CouldNotRun
            }
        })
    }
}

fn text(task: &Inspection) -> String {
    let lane = match task.lane {
        Lane::Compute => "compute",
        Lane::Io => "io",
    };
    let size = bytesize::ByteSize(task.bytes).display().si();
    let mut lines = vec![
        format!("{}  {size}, sha256 {}", task.path, task.sha256),
        format!("operation   {}", task.operation.as_deref().unwrap_or("none that gorgon can call")),
        format!("lane        {lane}: {}", task.lane_reason),
    ];
    if !task.hooks.is_empty() {
        lines.push(format!("hooks       {}", task.hooks.join(", ")));
    }
    lines.push("exports".into());
    lines.extend(task.exports.iter().map(|export| format!("  {export}")));
    lines.push(if task.imports.is_empty() { "imports     nothing" } else { "imports" }.into());
    for import in &task.imports {
        lines.push(format!("  {}", import.name));
        lines.extend(import.functions.iter().map(|function| format!("    {function}")));
    }
    lines.push(if task.grants.is_empty() { "to grant    nothing" } else { "to grant, if it uses them" }.into());
    lines.extend(task.grants.iter().map(|need| format!("  {:<26}  for {}", need.flag, need.import)));
    lines.iter().map(|text| line(text) + "\n").collect()
}
