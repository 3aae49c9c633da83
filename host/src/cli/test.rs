//! `gorgon test`: debugs a task or calls, in this process and on one thread, and shows every operation.

use std::fs::File;
use std::io::{Read, Write};
use std::num::{NonZeroU32, NonZeroU64};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use clap::Args;

use super::calls::{CALLS, CallFlags, Refused, is_host};
use super::flags::{ExpectFlag, LoadSpec, TaskFlags, TaskSource};
use super::output::ignore_closed;
use super::{Exit, values};
use crate::calls;
use crate::capability::guest::Surroundings;
use crate::capability::network::{Exchanges, Network};
use crate::capability::output::GuestOutput;
use crate::capability::run::Given;
use crate::clock::Clock;
use crate::guest_text::{cut, line};
use crate::halt::Halt;
use crate::hook::Hook;
use crate::lane::{Executor, Lane, Reactor};
use crate::memory_watch;
use crate::metrics::{Outcome, Sample};
use crate::network::suggestion;
use crate::plan::{CallOrder, Extent, LoadModel, PlanError, RunPlan, Shape};
use crate::progress::Show;
use crate::report::units::{count, counted, duration};
use crate::resolve;
use crate::rows::Rows;
use crate::task::{self, Compiler, Instance, Purpose, Task, TaskError, Ticket};
use crate::terminal;
use crate::timers::Timetable;

const BAD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const DIM: Style = Style::new().dimmed();

/// Debug a task, or HTTP calls: run them in this process, on one thread, and show every operation
///
/// Calls are played one by one, and each request and response is shown as it is sent and received. Output of the task
/// is shown as it comes. If an operation traps, its message comes first, then the functions that were running, with
/// source lines if the component was built with debug information.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon test task.wasm
  gorgon test task.wasm -n 10
  gorgon test task.wasm --number 1234     only the operation that failed in a run
  gorgon test flow.http --flow --allow calls
  gorgon test http://127.0.0.1:8080/x -H 'Accept: text/html'

Exit codes: 0 every operation was ok, 1 could not run, 2 wrong usage, 10 an operation was not ok, 11 the task took more
memory than --max-worker-memory")]
pub(super) struct TestCommand {
    /// The task, a WebAssembly component; or a URL, or a file of calls; - is calls from stdin
    #[arg(value_name = "TASK.wasm|URL|CALLS")]
    path: PathBuf,

    #[command(flatten)]
    calls: CallFlags,

    /// Operations, one after the other [default: 1, or each call once]
    #[arg(short = 'n', long, value_name = "N", value_parser = values::positive::<NonZeroU64>)]
    operations: Option<NonZeroU64>,

    /// The number of the first operation
    #[arg(long, value_name = "K", value_parser = values::number::<u64>, default_value_t = 0)]
    number: u64,

    #[command(flatten)]
    expect: ExpectFlag,

    #[command(flatten)]
    task: TaskFlags,
}

impl TestCommand {
    pub(super) fn run(mut self) -> anyhow::Result<Exit> {
        if is_task(&self.path) {
            if self.calls.is_given() {
                return Ok(Exit::wrong_usage(format!("`{}` is a task, which has no calls", self.path.display())));
            }
            let source = TaskSource::File(self.path.clone());
            return self.work_through(&source, Exchanges::Unseen);
        }
        let sources = [self.path.to_string_lossy().into_owned()];
        let parsed = match self.calls.parse(&sources, self.task.data(), false)? {
            Ok(parsed) => parsed,
            Err(Refused(problem)) => return Ok(Exit::wrong_usage(problem)),
        };
        let order = self.calls.order(false);
        if order == CallOrder::InOrder && self.operations.is_none() {
            self.operations = NonZeroU64::new(parsed.len() as u64);
        }
        // The task reads this file.
        let _file = match parsed.give(&mut self.task, order, 0)? {
            Ok(file) => file,
            Err(Refused(problem)) => return Ok(Exit::wrong_usage(problem)),
        };
        self.work_through(&CALLS, Exchanges::Shown)
    }

    fn work_through(&self, source: &TaskSource, exchanges: Exchanges) -> anyhow::Result<Exit> {
        let plan = match self.plan() {
            Ok(plan) => plan,
            Err(error) => return Ok(Exit::wrong_usage(error)),
        };
        self.task.check(false)?;
        let compiler = Compiler::new(Purpose::Debug)?;
        let compiled = source.compile(&compiler, Show::Messages)?;
        let task = Task::load(compiler.engine(), &compiled.machine_code, &plan)?;
        if let Some(most) = plan.limits().max_worker_memory {
            memory_watch::start(most, |_| {
                super::say("the task took more memory than --max-worker-memory allows");
                std::process::exit(i32::from(Exit::Incomplete.code()));
            })?;
        }
        task::start_ticking(compiler.engine(), task::tick(plan.limits().timeout))?;
        let session = TestSession { task: &task, plan: &plan, clock: Clock::new(), exchanges };
        Executor::new(task.lane())?.run(session.work_through())
    }

    pub(super) fn plan(&self) -> Result<RunPlan, PlanError> {
        let Self { path: _, calls: _, operations, number, expect, task } = self;
        let load = LoadSpec {
            shape: Shape::new(1, 1)?,
            concurrency: NonZeroU32::MIN,
            extent: Extent::new(Some(operations.map_or(1, NonZeroU64::get)), None)?,
            first: *number,
            load_model: LoadModel::default(),
            warmup: None,
            start_jitter: Duration::ZERO,
            seed: 0,
            recycle: None,
        };
        task.plan(expect, load)
    }
}

/// Runs a task and shows every step.
struct TestSession<'a> {
    task: &'a Task,
    plan: &'a RunPlan,
    clock: Clock,
    exchanges: Exchanges,
}

/// Whether `path` is a task and not calls, by its name or its first bytes.
fn is_task(path: &Path) -> bool {
    if path.extension().is_some_and(|end| ["wasm", "cwasm", "wat"].iter().any(|of| end.eq_ignore_ascii_case(of))) {
        return true;
    }
    let mut begin = Vec::new();
    // What comes through a pipe cannot be looked at before it is read.
    if path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        return false;
    }
    match File::open(path).and_then(|file| file.take(64).read_to_end(&mut begin)) {
        Ok(_) if path.is_dir() => true,
        Ok(_) => begin.starts_with(b"\0asm") || begin.trim_ascii_start().starts_with(b"("),
        Err(_) => {
            let name = path.to_string_lossy();
            let is_calls = calls::is_http(&name) || is_host(&name);
            let ends = [".http", ".rest", ".har", ".txt", ".json", ".jsonl", ".curl", ".sh"];
            !is_calls && name != "-" && !ends.iter().any(|end| name.ends_with(end))
        }
    }
}

impl TestSession<'_> {
    async fn work_through(self) -> anyhow::Result<Exit> {
        let mut prepared = String::new();
        if self.task.has(Hook::Prepare) {
            let surroundings = self.surroundings("")?;
            let mut instance = self.task.instantiate_bare(&surroundings).await?;
            let begin = Instant::now();
            let returned = instance.prepare().await;
            show_refused(&surroundings.network)?;
            prepared = self.show_hook(Hook::Prepare, begin, returned, &instance)?;
        }
        let surroundings = self.surroundings(&prepared)?;
        let tested = self.operate(&surroundings).await;
        if self.task.has(Hook::Cleanup) {
            let mut instance = self.task.instantiate_bare(&surroundings).await?;
            let begin = Instant::now();
            let returned = instance.cleanup(prepared).await;
            show_refused(&surroundings.network)?;
            self.show_hook(Hook::Cleanup, begin, returned, &instance)?;
        }
        tested
    }

    fn surroundings(&self, prepared: &str) -> anyhow::Result<Surroundings> {
        let data = self.plan.data().map(Rows::read).transpose()?.unwrap_or_default();
        let network = &self.plan.grants().network;
        let addresses = resolve::ask(network.names());
        Ok(Surroundings {
            network: Network::new(network.clone(), self.plan.http().clone(), addresses).with(self.exchanges),
            clock: self.clock.clone(),
            output: GuestOutput::live(),
            given: Arc::new(Given { prepared: prepared.to_owned(), data }),
            halt: Halt::default(),
            reactor: Reactor::new(self.clock.clone()),
            timetable: Timetable::new(self.clock.clone()),
        })
    }

    async fn operate(&self, surroundings: &Surroundings) -> anyhow::Result<Exit> {
        let mut instance = self.instance(surroundings).await?;
        let (mut ok, mut not_ok) = (0, 0);
        for number in self.plan.numbers() {
            if !instance.is_usable() {
                instance = self.instance(surroundings).await?;
            }
            let mut shown = Ok(());
            let mut show = |sample: Sample<'_>| {
                let reason = self.plan.expect().filter(|_| sample.outcome == Outcome::Ok);
                let reason = reason.and_then(|expect| expect.unmet(sample.result));
                let sample = match &reason {
                    Some(reason) => Sample { outcome: Outcome::Failed, reason: Some(reason), ..sample },
                    None => sample,
                };
                *(if sample.outcome == Outcome::Ok { &mut ok } else { &mut not_ok }) += 1;
                shown = show_operation(&sample);
            };
            let ticket = Ticket { number, due_ns: None };
            // Nothing cuts the call, because there is no other thread.
            let _ = match self.task.lane() {
                Lane::Compute => instance.call(ticket, &self.clock, &mut show),
                Lane::Io => instance.call_async(ticket, &self.clock, &mut show).await,
            };
            shown?;
            show_backtrace(&instance)?;
            show_refused(&surroundings.network)?;
        }
        if self.task.has(Hook::Teardown) && instance.is_usable() {
            let begin = Instant::now();
            let returned = instance.teardown().await;
            self.show_hook(Hook::Teardown, begin, returned, &instance)?;
        }
        if ok + not_ok > 1 {
            print(format_args!("{}: {} ok, {} not", counted(ok + not_ok, "operation"), count(ok), count(not_ok)))?;
        }
        Ok(if not_ok > 0 { Exit::Failed } else { Exit::Done })
    }

    async fn instance(&self, surroundings: &Surroundings) -> anyhow::Result<Instance> {
        let mut instance = self.task.instantiate_bare(surroundings).await?;
        if self.task.has(Hook::Setup) {
            let begin = Instant::now();
            let returned = instance.setup().await;
            self.show_hook(Hook::Setup, begin, returned, &instance)?;
        }
        Ok(instance)
    }

    /// Shows the call of a hook, and a backtrace if it failed.
    fn show_hook<T>(
        &self,
        hook: Hook,
        begin: Instant,
        returned: Result<T, TaskError>,
        instance: &Instance,
    ) -> anyhow::Result<T> {
        let took = duration(begin.elapsed().as_nanos() as u64);
        match &returned {
            Ok(_) => print(format_args!("{DIM}{hook}  {took}{DIM:#}"))?,
            Err(_) => show_backtrace(instance)?,
        }
        Ok(returned?)
    }
}

/// Shows the number, result, outcome and duration of an operation, followed by its spans.
fn show_operation(sample: &Sample<'_>) -> anyhow::Result<()> {
    let (style, mark) = match sample.outcome {
        Outcome::Ok => (Style::new(), ""),
        Outcome::Failed => (BAD, "  failed"),
        Outcome::Trapped => (BAD, "  trapped"),
        Outcome::TimedOut => (BAD, "  timed out"),
    };
    let result = if sample.result.is_empty() { "(empty)".into() } else { line(cut(sample.result)) };
    let reason = sample.reason.map(|reason| format!(": {}", line(cut(reason)))).unwrap_or_default();
    let took = duration(sample.end_ns - sample.start_ns);
    print(format_args!("{style}{}  {result}{mark}  {took}{reason}{style:#}", sample.number))?;
    for span in sample.spans.iter() {
        let times =
            if span.latency.count() > 1 { format!("  {} times", count(span.latency.count())) } else { String::new() };
        print(format_args!(
            "{DIM}  {}  {}{times}{DIM:#}",
            span.name.on_line(),
            duration(u64::try_from(span.latency.sum()).unwrap_or(u64::MAX))
        ))?;
    }
    Ok(())
}

/// Shows the destinations that were refused since the last call.
fn show_refused(network: &Network) -> anyhow::Result<()> {
    for destination in network.take_counts().refused.keys() {
        match suggestion(destination.raw()) {
            Some(flag) => print(format_args!("{BAD}  refused: {flag} would grant it{BAD:#}"))?,
            None => print(format_args!("{BAD}  refused: {}{BAD:#}", destination.on_line()))?,
        }
    }
    Ok(())
}

fn show_backtrace(instance: &Instance) -> anyhow::Result<()> {
    let frames = instance.backtrace();
    // The frames between a panic and its trap belong to Rust's runtime and do not help the reader.
    let panic = frames.iter().rposition(|frame| frame.function.starts_with("core::panicking::"));
    for (depth, frame) in frames.iter().skip(panic.map_or(0, |at| at + 1)).enumerate() {
        print(format_args!("{DIM}  {depth:>2}  {}{DIM:#}", line(cut(&frame.function))))?;
        if let Some(place) = &frame.place {
            print(format_args!("{DIM}      at {}{DIM:#}", line(cut(place))))?;
        }
    }
    Ok(())
}

fn print(line: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    Ok(ignore_closed(writeln!(terminal::stdout(), "{line}"))?)
}
