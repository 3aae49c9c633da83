//! HTTP calls from the command line or a file, as they are given to the task that plays them.

mod dry_run;
mod environment;
mod source;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;

pub(super) use self::dry_run::is_secret;
use self::environment::Environment;
pub(super) use self::source::is_host;
use self::source::{Source, UrlFlags};
use super::flags::{TaskFlags, TaskSource};
use super::invocation::without_user;
use super::values;
use crate::calls::{self, Call, Context, Origin, Parsed, Template};
use crate::fault;
use crate::network::{Allow, Destination};
use crate::plan::{CallOrder, Calls};
use crate::rows::Rows;
use crate::scratch::Scratch;
use crate::terminal;

/// The task that plays the calls: a built copy of `examples/calls`.
pub(super) const CALLS: TaskSource =
    TaskSource::Embedded { name: "embedded calls.wasm", wasm: include_bytes!("../../../embedded/calls.wasm") };

/// Which calls there are, and the values in them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Calls")]
pub(super) struct CallFlags {
    #[command(flatten)]
    url: UrlFlags,

    /// Each operation plays all calls, one after the other
    #[arg(long)]
    flow: bool,

    /// A value for {{K}}
    #[arg(long, value_name = "K=V", value_parser = values::pair)]
    var: Vec<(String, String)>,

    /// Take values from an environment: of http-client.env.json and its private twin, or of Postman, beside the file
    #[arg(long, value_name = "NAME")]
    env_name: Option<String>,

    /// Play only calls to this host; *.example.com is every host under a domain
    #[arg(long, value_name = "HOST")]
    only: Vec<String>,

    /// Leave out calls to this host
    #[arg(long, value_name = "HOST")]
    skip: Vec<String>,
}

/// Why the command line is wrong.
pub(super) struct Refused(pub(super) String);

/// The calls of a command line, and the rows that fill them.
pub(super) struct GivenCalls {
    source: Source,
    calls: Vec<Call>,
    rows: Rows,
    /// Values that are not to be shown.
    secrets: Vec<String>,
}

impl CallFlags {
    /// Whether any of the flags was given.
    pub(super) fn is_given(&self) -> bool {
        let Self { url, flow, var, env_name, only, skip } = self;
        url.given().is_some() || *flow || !var.is_empty() || env_name.is_some() || !only.is_empty() || !skip.is_empty()
    }

    /// Which call an operation plays.
    pub(super) fn order(&self, is_random: bool) -> CallOrder {
        match (self.flow, is_random) {
            (true, _) => CallOrder::Flow,
            (_, true) => CallOrder::Random,
            _ => CallOrder::InOrder,
        }
    }

    /// Reads the calls of `sources`, whose rows are in the file `data`. Prints what is to be known about them, unless
    /// only errors are to be printed.
    pub(super) fn parse(
        &self,
        sources: &[String],
        data: Option<&Path>,
        is_quiet: bool,
    ) -> anyhow::Result<Result<GivenCalls, Refused>> {
        let source = match Source::new(sources, &self.url) {
            Ok(source) => source,
            Err(problem) => return Ok(Err(Refused(problem))),
        };
        let rows = data.map(Rows::read).transpose()?.unwrap_or_default();
        if let ([column], Some(path)) = (rows.columns(), data)
            && let Some(separator) = column.chars().find(|c| ";\t|".contains(*c))
        {
            let separator = separator.escape_default();
            let problem = format!("the columns of `{}` are separated by `{separator}`: write commas", path.display());
            return Ok(Err(Refused(problem)));
        }
        if let Some(problem) = wrong_rows(&rows)? {
            return Ok(Err(Refused(problem)));
        }
        let environment = match &self.env_name {
            Some(name) => environment::read(&source.folder(), name)?,
            None => environment::Environment::default(),
        };
        let mut parsed = match self.read(&source, &environment, &rows)? {
            Ok(parsed) => parsed,
            Err(refused) => return Ok(Err(refused)),
        };
        // The flags of a command line have said it already.
        if !matches!(source, Source::Urls(_)) {
            parsed.calls.iter_mut().for_each(Call::introduce);
        }
        let unused = self.unused(&parsed.calls, &rows);
        if !is_quiet {
            for note in parsed.notes.iter().chain(&unused) {
                super::say(&format!("{}: {note}", source.name()));
            }
        }
        Ok(Ok(GivenCalls { source, calls: parsed.calls, rows, secrets: environment.secrets }))
    }

    fn read(&self, source: &Source, environment: &Environment, rows: &Rows) -> anyhow::Result<Result<Parsed, Refused>> {
        let folder = source.folder();
        let context = Context {
            given: &self.var,
            environment: &environment.values,
            columns: rows.columns(),
            is_flow: self.flow,
            only: &self.only,
            skip: &self.skip,
            read: &|name: &str| source::named(&folder, name),
            ..Context::default()
        };
        if let Source::Urls(urls) = source {
            return Ok(self.of_urls(urls, &context).map_err(Refused));
        }
        let cannot_read = || {
            let name = source.name();
            // It may be a URL without its scheme.
            let has_user = name.split_once('@').is_some_and(|(user, _)| user.contains(':'));
            format!("cannot read the calls `{}`", if has_user { without_user(&name) } else { name })
        };
        let bytes = source.bytes().with_context(cannot_read)?;
        Ok(Ok(calls::parse(&source.path(), &bytes, &context)?))
    }

    fn of_urls(&self, urls: &[String], context: &Context<'_>) -> Result<Parsed, String> {
        calls::of_command_line(urls, &self.url.parts()?, context)
    }

    /// What was given and has no place in the calls.
    fn unused(&self, calls: &[Call], rows: &Rows) -> Vec<String> {
        let is_used = |name: &str, origin: Origin| {
            calls.iter().flat_map(|call| &call.values).any(|used| used.name == name && used.origin == origin)
        };
        let names = self.var.iter().map(|(name, _)| name).filter(|name| !is_used(name, Origin::Given));
        let mut unused: Vec<String> =
            names.map(|name| format!("no call has {{{{{name}}}}}, which --var gives")).collect();
        let columns = rows.columns();
        if !columns.is_empty() && !columns.iter().any(|column| is_used(column, Origin::Column)) {
            unused.push(format!("no call has a column of --data ({})", columns.join(", ")));
        }
        unused
    }
}

impl GivenCalls {
    /// How many calls there are.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Prints the calls and sends nothing.
    pub(super) fn show(&self) -> std::io::Result<()> {
        dry_run::print(&self.calls, &self.secrets, terminal::stdout())
    }

    /// What the calls came from, for a report. A query may have secrets.
    fn named(&self) -> PathBuf {
        match &self.source {
            Source::Urls(_) => {
                let without_query = |call: &Call| call.url.shown().split('?').next().unwrap_or_default().to_owned();
                self.calls.iter().map(without_query).collect::<Vec<_>>().join(" ").into()
            }
            source => source.path(),
        }
    }

    /// The file that the calls came from, if they came from one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        matches!(self.source, Source::File(_)).then(|| self.source.path())
    }

    /// Gives the calls to `task`, and grants what they may reach. The file has to live as long as the task.
    pub(super) fn give(
        &self,
        task: &mut TaskFlags,
        order: CallOrder,
        seed: u64,
    ) -> anyhow::Result<Result<Scratch, Refused>> {
        let named = destinations(&self.calls);
        let is_of_command_line = matches!(self.source, Source::Urls(_));
        task.grant_calls(is_of_command_line, named.iter().cloned().map(Allow::Only));
        let policy = task.policy();
        if let Some(refused) = named.iter().find(|destination| !policy.permits(destination)) {
            return Ok(Err(Refused(format!(
                "{} calls {refused}, which is not granted: --allow calls grants all that it calls, --allow {refused} \
                 only this; --skip HOST leaves calls out",
                self.source.name()
            ))));
        }
        let file = Scratch::new(|file| self.write(file)).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => anyhow!("cannot use the rows of --data: {error}"),
            _ => anyhow!("there is no place for the calls: {} (set TMPDIR)", fault::plain(&error)),
        })?;
        let mode = match order {
            CallOrder::Flow => "flow",
            CallOrder::Random => "random",
            CallOrder::InOrder => "in order",
        };
        let variables = [
            ("CALLS", mode.to_owned()),
            ("CALL_COUNT", self.calls.len().to_string()),
            ("ROW_COUNT", self.rows.count().to_string()),
            ("SEED", seed.to_string()),
        ];
        task.give(variables.map(|(name, value)| (name.to_owned(), value)).into(), None);
        task.give_data(file.path().to_owned(), Calls { file: self.named(), order });
        Ok(Ok(file))
    }

    /// Writes the calls and the rows as rows of data.
    fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut rows = csv::Writer::from_writer(to);
        rows.write_record(["call", "row"])?;
        let columns = self.rows.columns();
        let mut given = self.rows.iter();
        for i in 0..self.calls.len().max(usize::try_from(self.rows.count()).unwrap_or(usize::MAX)) {
            let call = self.calls.get(i).map(serde_json::to_string).transpose()?.unwrap_or_default();
            let row = given.next().transpose()?;
            let row = row.map(|row| serde_json::to_string(&columns.iter().zip(row).collect::<BTreeMap<_, _>>()));
            rows.write_record([call, row.transpose()?.unwrap_or_default()])?;
        }
        rows.flush()
    }
}

/// What is wrong with rows of values.
fn wrong_rows(rows: &Rows) -> io::Result<Option<String>> {
    let columns = rows.columns();
    let twice = columns.iter().enumerate().find(|(i, column)| columns[..*i].contains(column));
    if let Some((_, column)) = twice {
        return Ok(Some(format!("two columns of --data are called `{column}`")));
    }
    for (i, row) in rows.iter().enumerate() {
        if row?.iter().any(|value| value.contains("{{")) {
            let what = "has a value with `{{`: rows have values, and no places for others";
            return Ok(Some(format!("row {} of --data {what}", i + 1)));
        }
    }
    Ok(None)
}

/// Where the calls go, each once. Hosts that only the run knows are not among them.
fn destinations(calls: &[Call]) -> Vec<Destination> {
    let mut destinations: Vec<Destination> = Vec::new();
    for destination in calls.iter().filter_map(|call| destination(&call.url)) {
        if !destinations.contains(&destination) {
            destinations.push(destination);
        }
    }
    destinations
}

fn destination(url: &Template) -> Option<Destination> {
    let url = url::Url::parse(&url.shown()).ok()?;
    Destination::of_http(url.scheme(), url.host_str()?, url.port())
}
