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
use crate::task::{self, Compiler, Import, Inspection, Purpose};
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

    /// The function to call; in an interface my:pkg/task#operation
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
    lines.extend(bounded(task.exports.iter().map(|export| format!("  {export}")).collect()));
    lines.push(if task.imports.is_empty() { "imports     nothing" } else { "imports" }.into());
    let of_import = |import: &Import| {
        let functions = import.functions.iter().map(|function| format!("    {function}"));
        std::iter::once(format!("  {}", import.name)).chain(functions).collect::<Vec<_>>()
    };
    lines.extend(bounded(task.imports.iter().flat_map(of_import).collect()));
    lines.push(if task.grants.is_empty() { "to grant    nothing" } else { "to grant, if it uses them" }.into());
    lines.extend(task.grants.iter().map(|need| format!("  {:<26}  for {}", need.flag, need.import)));
    lines.iter().map(|text| cut(text) + "\n").collect()
}

/// The most lines that list exports, or imports.
const MOST_LINES: usize = 200;

/// The longest line, in bytes.
const LONGEST: usize = 1_000;

/// The first of many lines.
fn bounded(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(MOST_LINES);
    if more > 0 {
        lines.truncate(MOST_LINES);
        lines.push(format!("  and {more} more; --json has them all"));
    }
    lines
}

/// A line as a terminal may get it.
fn cut(text: &str) -> String {
    let shown = &text[..text.floor_char_boundary(LONGEST)];
    let more = if shown.len() < text.len() { " …" } else { "" };
    line(shown) + more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_component_lists_is_bounded() {
        let lines = bounded((0..5_000).map(|i| format!("  {i}")).collect());
        assert_eq!((lines.len(), lines[200].as_str()), (201, "  and 4800 more; --json has them all"));
        assert_eq!(cut(&"é".repeat(1_000)).chars().count(), 502);
        assert_eq!(cut("a\u{1b}[31mb"), "a\u{fffd}[31mb");
    }
}
