//! `gorgon http`: multiplies HTTP calls from the command line or a file, without a task to build.

use std::path::Path;

use clap::Args;

use super::Exit;
use super::calls::{CALLS, CallFlags, Refused};
use super::run::RunFlags;
use crate::input;

/// Multiply HTTP calls, from the command line or from a file, without building anything
///
/// A file is a .http file of an editor, a HAR of a browser, a Postman collection, command lines of curl, targets of
/// vegeta or siege, a list of URLs, or JSON. Operation n plays call n modulo the number of calls. With --random it
/// plays a random call. With --flow it plays all calls, which can use values captured from earlier responses. The
/// result is the status. Each {{name}} in a file gets its value from the file, from --var, --env-name, --data or an
/// earlier call, or the file is refused. `gorgon test CALLS` plays the calls one by one, and shows what is sent and
/// received.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon http http://127.0.0.1:8080/x -n 1000 -c 50
  gorgon http http://127.0.0.1:8080/objects --json-body '{\"name\": \"x\"}' -d 30s
  gorgon http urls.txt -n 10000 -t 2 -c 10 --allow calls
  gorgon http session.har -d 30s -c 20 --random --only shop.example --allow calls
  gorgon http flow.http --flow --var token=s3cret -n 1000 -c 10 --allow calls
  gorgon http flow.http --flow --dry-run

Captures, for --flow, in a .http file and in JSON:
  # @capture id = /id                 from JSON, by a pointer
  # @capture token = header X-Token   from a header
  # @capture name = regex <h1>(.*)</h1>
  {\"method\": \"POST\", \"url\": \"http://host/objects\", \"capture\": {\"id\": \"/id\"}}
Then {{id}} stands for the value in URLs, headers and bodies.")]
pub(super) struct HttpCommand {
    /// URLs, or a file of calls; - is stdin
    #[arg(value_name = "URL|CALLS", required = true)]
    sources: Vec<String>,

    #[command(flatten)]
    calls: CallFlags,

    /// Each operation plays a random call
    #[arg(long, help_heading = "Calls", conflicts_with = "flow")]
    random: bool,

    /// Print each request as it would be sent, and send nothing
    #[arg(long, help_heading = "Calls")]
    dry_run: bool,

    #[command(flatten)]
    flags: RunFlags,
}

impl HttpCommand {
    pub(super) fn run(mut self) -> anyhow::Result<Exit> {
        if let Some(problem) = self.meant_as_body() {
            return Ok(Exit::wrong_usage(problem));
        }
        let rows = self.flags.plan.task.data().map(Path::to_owned);
        let parsed = match self.calls.parse(&self.sources, self.flags.plan.task.data(), self.flags.is_quiet())? {
            Ok(parsed) => parsed,
            Err(Refused(problem)) => return Ok(Exit::wrong_usage(problem)),
        };
        if self.dry_run {
            parsed.show()?;
            return Ok(Exit::Done);
        }
        let seed = self.flags.seed().unwrap_or_else(|| fastrand::u64(..));
        // The workers read the file of the calls; it exists until the run has ended.
        let _file = match parsed.give(&mut self.flags.plan.task, self.calls.order(self.random), seed)? {
            Ok(file) => file,
            Err(Refused(problem)) => return Ok(Exit::wrong_usage(problem)),
        };
        self.flags.run(&CALLS, parsed.file().into_iter().chain(rows).collect())
    }

    /// What to do if flags that name files were meant as curl has them: as bodies.
    fn meant_as_body(&self) -> Option<String> {
        let is_text = |path: &Path| {
            let text = path.to_string_lossy();
            let begins =
                text.starts_with(['{', '[', '@']) || text.contains('&') || text.contains('=') && !text.contains('/');
            begins && !input::here(path).exists()
        };
        if let Some(path) = self.flags.json_path().filter(|path| is_text(path)) {
            return Some(format!("`{}` is not a file for the report: send JSON by --json-body", path.display()));
        }
        let data = self.flags.plan.task.data().filter(|path| is_text(path))?;
        Some(format!("`{}` is not a CSV file of values: send a body by --body", data.display()))
    }
}
