//! Sends the figures of runs and the traces of operations to an OpenTelemetry collector, by OTLP over HTTP.
//!
//! The crates that measure for OpenTelemetry count by themselves, operation by operation. Here everything is counted
//! already, so only OTLP's messages are used, from `opentelemetry-proto`. A separate thread sends them: a run never
//! waits for a collector, and what it cannot take in time is left out and told.

mod metrics;
mod traces;

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use url::Url;

use crate::guest_text;
use crate::report::{Report, words};
use crate::trace::TracedOperation;

/// How often figures are sent while a run goes on.
const EVERY: Duration = Duration::from_secs(5);

/// How long a collector may take to answer, and how long after the last run anything is still sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much may wait to be sent.
const WAITING: usize = 64;

/// The port of OTLP over gRPC, which is not spoken here.
const GRPC: u16 = 4317;

/// Where a collector is, such as `http://127.0.0.1:4318`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("{error}: write http://HOST:4318"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("write http://HOST:4318, or https://".into());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it ends with a path at most: /v1/metrics and /v1/traces are added".into());
        }
        Ok(Self(url))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What may be a password is not shown.
        let mut url = self.0.clone();
        let _ = url.set_password(None);
        f.write_str(url.as_str().trim_end_matches('/'))
    }
}

impl Endpoint {
    /// The address of one kind of messages.
    fn of(&self, signal: &str) -> String {
        format!("{}/v1/{signal}", self.0.as_str().trim_end_matches('/'))
    }
}

/// Parses what `OTEL_EXPORTER_OTLP_HEADERS` has: `name=value,name=value`, with values as in URLs.
pub fn headers(text: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let parse = |pair: &str| {
        let (name, value) = pair.split_once('=').ok_or("write NAME=VALUE, with commas between several")?;
        let value =
            percent_encoding::percent_decode_str(value.trim()).decode_utf8().map_err(|error| error.to_string())?;
        Ok((name.trim().to_owned(), value.into_owned()))
    };
    pairs.map(parse).collect()
}

/// Sends in the background.
#[derive(Clone)]
pub struct Exporter(Arc<Shared>);

struct Shared {
    endpoint: Endpoint,
    jobs: Sender<Job>,
    sender: Mutex<Option<JoinHandle<Tally>>>,
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
    pub fn start(endpoint: Endpoint, headers: Vec<(String, String)>) -> io::Result<Self> {
        let (jobs, taken) = bounded(WAITING);
        let (to, until) = (endpoint.clone(), Arc::new(OnceLock::new()));
        let given_up = until.clone();
        let sender = std::thread::Builder::new()
            .name("otlp".into())
            .spawn(move || work(&taken, &Collector::new(to, headers), &given_up))?;
        let (sender, left_out, sent) = (Mutex::new(Some(sender)), AtomicU64::new(0), Mutex::new(None));
        Ok(Self(Arc::new(Shared { endpoint, jobs, sender, left_out, sent, until })))
    }

    /// Sends the figures of runs that go on, if that is due.
    pub fn follow(&self, report: &Report) {
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

    /// Sends the last figures, and waits until everything is sent or too late. Returns what could not be sent, and why.
    pub fn end(&self, report: &Report) -> Option<String> {
        let _ = self.0.until.set(Instant::now() + PATIENCE);
        let last = [Job::Metrics(Box::new(report.clone())), Job::End];
        let is_gone = last.into_iter().any(|job| self.0.jobs.send_timeout(job, PATIENCE * 2).is_err());
        let sender = self.0.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        let tally = if is_gone { None } else { sender.and_then(|sender| sender.join().ok()) };
        let endpoint = &self.0.endpoint;
        let left_out = self.0.left_out.load(Ordering::Relaxed);
        match tally {
            None => Some(format!("the collector at {endpoint} does not keep up")),
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

struct Collector {
    endpoint: Endpoint,
    headers: Vec<(String, String)>,
    agent: ureq::Agent,
}

impl Collector {
    fn new(endpoint: Endpoint, headers: Vec<(String, String)>) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        Self { endpoint, headers, agent: config.build().into() }
    }

    fn post(&self, signal: &str, message: &impl Message) -> Result<(), String> {
        let mut request = self.agent.post(self.endpoint.of(signal)).content_type("application/x-protobuf");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut answer = request.send(message.encode_to_vec()).map_err(|error| self.explained(&error.to_string()))?;
        if answer.status().is_success() {
            // It says how much of the message it did not take.
            let body = answer.body_mut().read_to_vec().unwrap_or_default();
            return refused(signal, &body).map_or(Ok(()), Err);
        }
        let status = answer.status();
        let body = answer.body_mut().read_to_string().unwrap_or_default();
        let said = guest_text::line(body.lines().next().unwrap_or_default().trim());
        Err(self.explained(&if said.is_empty() { status.to_string() } else { format!("{status}: {said}") }))
    }

    fn explained(&self, problem: &str) -> String {
        if self.endpoint.0.port() == Some(GRPC) {
            format!("{problem}; {GRPC} is the port of gRPC: OTLP over HTTP is usually at 4318")
        } else {
            problem.to_owned()
        }
    }
}

/// What a collector says that it did not take, if it says so.
fn refused(signal: &str, answer: &[u8]) -> Option<String> {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse as Metrics;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse as Traces;
    let (count, why) = match signal {
        "metrics" => {
            Metrics::decode(answer).ok()?.partial_success.map(|of| (of.rejected_data_points, of.error_message))
        }
        _ => Traces::decode(answer).ok()?.partial_success.map(|of| (of.rejected_spans, of.error_message)),
    }?;
    (count > 0).then(|| format!("it refused {count} of {signal}: {}", guest_text::line(&why)))
}

/// Who sends.
fn resource(task: Option<&str>, report: Option<&Report>) -> Resource {
    let mut attributes = vec![text("service.name", "gorgon"), text("service.version", env!("CARGO_PKG_VERSION"))];
    attributes.extend(task.map(|task| text("gorgon.task", words::file_name(task))));
    if let Some(report) = report {
        attributes.extend(report.command.as_deref().map(|command| text("gorgon.command", command)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_place_of_http() {
        let endpoint: Endpoint = "http://user:secret@collector:4318/".parse().unwrap();
        assert_eq!(endpoint.to_string(), "http://user@collector:4318");
        assert_eq!(endpoint.of("traces"), "http://user:secret@collector:4318/v1/traces");
        for wrong in ["collector:4318", "grpc://collector:4317", "http://collector/?x=1", "", "http://"] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers_are_pairs() {
        let pairs = headers("authorization=Bearer%20t, x-scope = a=b ,").unwrap();
        assert_eq!(pairs, [("authorization".into(), "Bearer t".into()), ("x-scope".into(), "a=b".into())]);
        assert!(headers("nothing").is_err() && headers("").unwrap().is_empty());
    }
}
