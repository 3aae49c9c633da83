//! The command line: flags go in, plans come out. No other module knows flags. Each command has a file.

mod agent;
mod boxes;
mod calls;
mod command;
mod compare;
mod component;
mod demo;
mod find;
mod flags;
mod http;
mod inspect;
mod intervals;
mod invocation;
mod judge;
mod load;
mod nats_config;
mod network;
mod new;
mod output;
mod render;
mod report;
mod run;
mod runner;
mod runs;
mod session;
mod shell;
mod snapshots;
mod stream;
mod suite;
mod test;
mod unknown;
mod values;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};
use regex::Regex;

use crate::fault;
use crate::guest_text::line;
use crate::signals;
use crate::task;
use crate::terminal;

/// Gorgon multiplies a task: it runs a WebAssembly component many times over processes and threads, times every
/// operation, and reports.
#[derive(Debug, Parser)]
#[command(name = "gorgon", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    Run(Box<run::RunCommand>),
    Test(Box<test::TestCommand>),
    Inspect(inspect::InspectCommand),
    New(new::NewCommand),
    Component(component::ComponentCommand),
    Http(Box<http::HttpCommand>),
    Find(Box<find::FindCommand>),
    Demo(Box<demo::DemoCommand>),
    Compare(compare::CompareCommand),
    Suite(suite::SuiteCommand),
    Report(render::RenderCommand),
    Agent(agent::AgentCommand),
    Boxes(boxes::BoxesCommand),
    Runs(runs::RunsCommand),
    Attach(runs::AttachCommand),
    Stop(runs::StopCommand),
    Completions(shell::CompletionsCommand),
    Man(shell::ManCommand),
    /// A worker process; started by gorgon itself.
    #[command(hide = true)]
    Worker,
    /// A compiler process; started by gorgon itself.
    #[command(hide = true)]
    Compile {
        /// What the machine code is for.
        purpose: task::Purpose,
    },
}

/// The exit codes of Gorgon. Scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Done,
    /// It could not run at all.
    CouldNotRun,
    /// The command line was wrong.
    Usage,
    /// A `--fail-if`, `--abort-if` or `--fail-if-slower` held or could not be judged, no operation was ok, or `test`
    /// saw one that was not.
    Failed,
    /// Operations were lost, or workers died.
    Incomplete,
    /// Ctrl-C or SIGTERM came.
    Stopped,
}

impl Exit {
    /// Prints what is wrong with the command line.
    fn wrong_usage(error: impl std::fmt::Display) -> Self {
        say(&error.to_string());
        Self::Usage
    }

    /// Asks for the server that a command needs.
    fn no_server() -> Self {
        Self::wrong_usage("which server? Name it: --on nats://HOST:4222")
    }

    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::CouldNotRun => 1,
            Self::Usage => 2,
            Self::Failed => 10,
            Self::Incomplete => 11,
            Self::Stopped => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A message may quote a file from somebody else. A longer one is cut to this many bytes.
const MOST_OF_MESSAGE: usize = 4_096;

/// The words of the command line. `gorgon help run` and `gorgon version` say what flags say.
pub fn words() -> Vec<OsString> {
    of_flags(std::env::args_os().collect())
}

fn of_flags(mut words: Vec<OsString>) -> Vec<OsString> {
    let flag = match words.get(1).and_then(|word| word.to_str()) {
        Some("help") => "--help",
        Some("version") => "--version",
        _ => return words,
    };
    words.remove(1);
    words.push(flag.into());
    words
}

/// Writes one line to stderr. If that fails, there is nobody to tell.
fn tell(message: &str) {
    let message = line(&without_credentials(message));
    let (message, more) = match message.len() {
        ..=MOST_OF_MESSAGE => (&*message, ""),
        _ => (&message[..message.floor_char_boundary(MOST_OF_MESSAGE)], " …"),
    };
    let _ = writeln!(terminal::stderr(), "{message}{more}");
}

/// The text without what a URL in it has in front of its host: a name, and a password.
fn without_credentials(text: &str) -> Cow<'_, str> {
    // It is short, and nearly always has none.
    if !text.contains("://") || !text.contains('@') {
        return Cow::Borrowed(text);
    }
    static CREDENTIALS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("://[^\\s`'\"\\[\\]]*@").ok());
    CREDENTIALS.as_ref().map_or(Cow::Borrowed(text), |credentials| credentials.replace_all(text, "://***@"))
}

/// Prints why a command failed, with a remedy if the cause is a limit on the user's resources.
pub fn say_why(error: &anyhow::Error) {
    let text = format!("{error:#}");
    let of_system = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    let remedy = of_system.map(fault::remedy).filter(|remedy| !text.ends_with(remedy)).unwrap_or_default();
    say(&format!("{text}{remedy}"));
}

/// Prints an error in one line. It may quote a guest, or a file from somebody else.
pub fn say(problem: &str) {
    tell(&format!("gorgon: {problem}"));
}

/// Responds to this command line, which clap did not accept: prints the requested help, or an error in one line.
pub fn answer(error: &clap::Error) -> Exit {
    // If stderr or stdout is closed, the message cannot be shown.
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            return Exit::Done;
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => drop(error.print()),
        _ => {
            let words: Vec<String> =
                std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
            let known = unknown::flag(error, &words).or_else(|| unknown::command(error, &words));
            let problem = known.unwrap_or_else(|| problem(error));
            say(&format!("{problem}; --help tells more"));
        }
    }
    Exit::Usage
}

/// The error in a command line, as one line.
fn problem(error: &clap::Error) -> String {
    let of = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let value = of(ContextKind::InvalidValue);
    let shown = invocation::of_error(of(ContextKind::InvalidArg), value).filter(|_| !value.is_empty());
    let text = shown.map_or_else(|| error.to_string(), |shown| error.to_string().replace(value, &shown));
    let problem: Vec<_> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let mut answer = problem.join(" ").trim_start_matches("error: ").to_owned();
    // A flag that is not known is hardly ever meant as a value.
    let is_remedy = |tip: &&str| !tip.starts_with("to pass '");
    for tip in text.lines().filter_map(|line| line.trim().strip_prefix("tip: ")).filter(is_remedy) {
        answer = format!("{answer}; {tip}");
    }
    answer
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<Exit> {
        signals::outlive_large_files();
        match self.command {
            Subcommands::Run(run) => run.run(),
            Subcommands::Test(test) => test.run(),
            Subcommands::Inspect(inspect) => inspect.run(),
            Subcommands::New(new) => new.run(),
            Subcommands::Component(component) => component.run(),
            Subcommands::Http(http) => http.run(),
            Subcommands::Find(find) => find.run(),
            Subcommands::Demo(demo) => demo.run(),
            Subcommands::Compare(compare) => compare.run(),
            Subcommands::Suite(suite) => suite.run(),
            Subcommands::Report(render) => render.run(),
            Subcommands::Agent(agent) => agent.run(),
            Subcommands::Boxes(boxes) => boxes.run(),
            Subcommands::Runs(runs) => runs.run(),
            Subcommands::Attach(attach) => attach.run(),
            Subcommands::Stop(stop) => stop.run(),
            Subcommands::Completions(completions) => completions.run(),
            Subcommands::Man(man) => man.run(),
            Subcommands::Compile { purpose } => Ok(match task::compile(purpose) {
                Ok(()) => Exit::Done,
                Err(problem) => {
                    tell(&problem);
                    Exit::CouldNotRun
                }
            }),
            Subcommands::Worker => match crate::worker::run() {
                // The controller has ended and no longer needs this worker.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::Done),
                ended => Ok(ended.map(|()| Exit::Done)?),
            },
        }
    }
}
