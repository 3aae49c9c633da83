//! Sends the figures of runs and the traces of operations to an OpenTelemetry collector, by OTLP over HTTP.
//!
//! The crates that measure for OpenTelemetry count by themselves, operation by operation. Here everything is counted
//! already, so only OTLP's messages are used, from `opentelemetry-proto`. A separate thread sends them: a run never
//! waits for a collector, and what it cannot take in time is left out and told.

mod collector;
mod metrics;
mod traces;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded, select};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::guest_text;
use crate::report::{Report, words};
use crate::trace::TracedOperation;
use collector::Collector;
pub use collector::{Endpoint, Header, headers};

/// How often figures are sent while a run goes on.
const EVERY: Duration = Duration::from_secs(5);

/// How long a collector may take to answer, and how long the end of a run waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A wait that is longer than this is said.
const SHORT: Duration = Duration::from_secs(1);

/// How soon to look again whether there is room for the last messages.
const FULL: Duration = Duration::from_millis(10);

/// How much may wait to be sent.
const WAITING: usize = 64;

/// Sends in the background.
#[derive(Clone)]
pub struct Exporter(Arc<Shared>);

struct Shared {
    endpoint: Endpoint,
    jobs: Sender<Job>,
    /// What came of it, at the end.
    tallies: Receiver<Tally>,
    /// Traced operations that nobody could take in time.
    left_out: AtomicU64,
    /// When figures were sent last.
    sent: Mutex<Option<Instant>>,
    /// When what has not been sent is given up.
    until: Arc<OnceLock<Instant>>,
}

enum Job {
    Metrics(Box<Report>),
    /// Traces of the operations of a task.
    Traces(Arc<str>, Vec<TracedOperation>),
    /// Nothing more comes.
    End,
}

/// What came of sending.
#[derive(Default)]
struct Tally {
    tried: u64,
    failed: u64,
    /// Why the first one failed.
    problem: Option<String>,
}

impl Exporter {
    /// Starts to send to `endpoint`, with these headers.
    pub fn start(endpoint: Endpoint, headers: Vec<Header>) -> io::Result<Self> {
        let (jobs, taken) = bounded(WAITING);
        let (tell, tallies) = bounded(1);
        let (to, until) = (endpoint.clone(), Arc::new(OnceLock::new()));
        let given_up = until.clone();
        std::thread::Builder::new().name("otlp".into()).spawn(move || {
            let _ = tell.send(work(&taken, &Collector::new(to, headers), &given_up));
        })?;
        let (left_out, sent) = (AtomicU64::new(0), Mutex::new(None));
        Ok(Self(Arc::new(Shared { endpoint, jobs, tallies, left_out, sent, until })))
    }

    /// Sends the figures of runs that go on, if that is due.
    pub fn follow(&self, report: &Report) {
        // Before its first operation it is not known when the run began.
        if report.runs.last().is_none_or(|run| run.operations.offered == 0) {
            return;
        }
        let mut sent = self.0.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.is_none_or(|at| at.elapsed() >= EVERY) {
            *sent = Some(Instant::now());
            // The next figures contain these.
            let _ = self.0.jobs.try_send(Job::Metrics(Box::new(report.clone())));
        }
    }

    /// Sends traces of operations of `task`.
    pub fn traced(&self, task: &Arc<str>, traced: &[TracedOperation]) {
        if self.0.jobs.try_send(Job::Traces(task.clone(), traced.to_vec())).is_err() {
            self.0.left_out.fetch_add(traced.len() as u64, Ordering::Relaxed);
        }
    }

    /// Sends the last figures, and waits until everything is sent, or too late, or `stop` comes. Returns what could not
    /// be sent, and why. Calls `say` before it waits for long.
    pub fn end(&self, report: &Report, say: impl FnOnce(&str), stop: &Receiver<()>) -> Option<String> {
        let endpoint = &self.0.endpoint;
        let now = Instant::now();
        let until = now + PATIENCE;
        let _ = self.0.until.set(until);
        let mut last = [Job::Metrics(Box::new(report.clone())), Job::End].into_iter().peekable();
        let mut say = Some(say);
        let tally = loop {
            if last.next_if(|_| !self.0.jobs.is_full()).is_some_and(|job| self.0.jobs.try_send(job).is_err()) {
                break None;
            }
            let wait = if last.peek().is_some() { FULL } else { until.saturating_duration_since(Instant::now()) };
            let wait = if say.is_some() { wait.min(SHORT) } else { wait };
            select! {
                recv(self.0.tallies) -> tally => break tally.ok(),
                recv(stop) -> _ => break None,
                default(wait) => {}
            }
            if Instant::now() >= until {
                break None;
            }
            if let Some(say) = say.take_if(|_| now.elapsed() >= SHORT) {
                say(&format!("waiting for the collector at {endpoint}, {} s at most", PATIENCE.as_secs()));
            }
        };
        let left_out = self.0.left_out.load(Ordering::Relaxed);
        match tally {
            None => Some(format!("the collector at {endpoint} does not keep up: what it had not taken is left out")),
            Some(Tally { tried, failed, problem: Some(problem) }) => {
                Some(format!("{failed} of {tried} messages to {endpoint} failed: {problem}"))
            }
            Some(_) if left_out > 0 => Some(format!("{left_out} traces were left out: {endpoint} did not keep up")),
            Some(_) => None,
        }
    }
}

/// Sends what is to be sent, until the end.
fn work(jobs: &Receiver<Job>, collector: &Collector, until: &OnceLock<Instant>) -> Tally {
    let mut tally = Tally::default();
    for job in jobs {
        let is_late = until.get().is_some_and(|until| Instant::now() > *until);
        let sent = match job {
            Job::End => break,
            _ if is_late => Err("it did not keep up".into()),
            Job::Metrics(report) => collector.post("metrics", &metrics::request(&report)),
            Job::Traces(task, traced) => collector.post("traces", &traces::request(&task, &traced)),
        };
        tally.tried += 1;
        if let Err(problem) = sent {
            tally.failed += 1;
            // Those after it may have failed because of it.
            tally.problem.get_or_insert(problem);
        }
    }
    tally
}

/// Who sends.
fn resource(task: Option<&str>, report: Option<&Report>) -> Resource {
    let mut attributes = vec![text("service.name", "gorgon"), text("service.version", env!("CARGO_PKG_VERSION"))];
    attributes.extend(task.map(|task| text("gorgon.task", words::file_name(task))));
    if let Some(report) = report {
        attributes.push(text("gorgon.machine", &words::machine(report)));
    }
    Resource { attributes, ..Resource::default() }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "gorgon".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..InstrumentationScope::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(guest_text::line(value)))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
