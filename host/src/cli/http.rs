//! `gorgon http`: multiplies HTTP calls from a file, without a task to build.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::Exit;
use super::flags::TaskSource;
use super::run::RunFlags;
use crate::calls::{self, Call};
use crate::plan::{CallOrder, Calls};

/// The task that plays the calls: a built copy of `examples/calls`.
const CALLS: TaskSource =
    TaskSource::Embedded { name: "embedded calls.wasm", wasm: include_bytes!("../../embedded/calls.wasm") };

/// Multiply HTTP calls from a file, without building anything
///
/// The file is a list of URLs, JSON lines, a .http file of an editor's REST client, or a HAR from a browser. Operation
/// n plays call n modulo the number of calls. With --random it plays a random call. With --flow it plays all calls,
/// which can use values captured from earlier responses. The result is the status.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon http urls.txt -n 10000 -t 2 -c 10 --allow http://127.0.0.1:8080
  gorgon http session.har -d 30s -c 20 --random --seed 7 --allow 'https://*.example.com'
  gorgon http flow.http --flow -n 1000 -c 10 --allow http://127.0.0.1:8080

Captures, for --flow, in a .http file and in JSON lines:
  # @capture id = /id                 from JSON, by a pointer
  # @capture token = header X-Token   from a header
  # @capture name = regex <h1>(.*)</h1>
  {\"method\": \"POST\", \"url\": \"http://host/objects\", \"capture\": {\"id\": \"/id\"}}
Then {{id}} stands for the value in URLs, headers and bodies.")]
pub(super) struct HttpCommand {
    /// The file of calls
    #[arg(value_name = "CALLS")]
    calls: PathBuf,

    /// Each operation plays all calls, one after the other
    #[arg(long, conflicts_with = "random")]
    flow: bool,

    /// Each operation plays a random call
    #[arg(long)]
    random: bool,

    #[command(flatten)]
    flags: RunFlags,
}

impl HttpCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Self { calls: path, flow, random, mut flags } = self;
        if flags.plan.task.has_data() {
            return Ok(Exit::wrong_usage("`--data` cannot be used here: the calls are the task's data"));
        }
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read the calls `{}`", path.display()))?;
        let calls = calls::parse(&path, &text)?;
        // The workers read this file; it exists until the run has ended.
        let file = tempfile::Builder::new().prefix("gorgon-calls-").suffix(".csv").tempfile()?;
        write(&calls, &file)?;
        let order = match (flow, random) {
            (true, _) => CallOrder::Flow,
            (_, true) => CallOrder::Random,
            _ => CallOrder::InOrder,
        };
        let mode = match order {
            CallOrder::Flow => "flow",
            CallOrder::Random => "random",
            CallOrder::InOrder => "in order",
        };
        let seed = flags.seed().unwrap_or_else(|| fastrand::u64(..));
        flags.plan.task.give(vec![("CALLS".into(), mode.into()), ("SEED".into(), seed.to_string())], None);
        flags.plan.task.give_data(file.path().to_owned(), Calls { file: path.clone(), order });
        flags.run(&CALLS, Some(path))
    }
}

/// Writes calls as rows of data.
fn write(calls: &[Call], to: &tempfile::NamedTempFile) -> anyhow::Result<()> {
    let mut rows = csv::Writer::from_writer(to.as_file());
    rows.write_record(["name", "method", "url", "headers", "body", "capture"])?;
    for call in calls {
        let headers = serde_json::to_string(&call.headers)?;
        let capture = serde_json::to_string(&call.capture)?;
        rows.write_record([&call.name, &call.method, &call.url, &headers, &call.body, &capture])?;
    }
    Ok(rows.flush()?)
}
