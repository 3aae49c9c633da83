//! Figures and traces, as a collector gets them that reads them by OpenTelemetry's own Python library.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::outputs::python;
use crate::support::nats::{Agent, NatsServer};
use crate::support::{gorgon, guest, signal, wait_until};

/// A collector, and the target beside it: it notes what comes, and prints all of it as JSON at `/all`.
const COLLECTOR: &str = r#"
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

seen = {"metrics": [], "traces": [], "requests": [], "tokens": []}
kinds = {"/v1/metrics": ("metrics", ExportMetricsServiceRequest), "/v1/traces": ("traces", ExportTraceServiceRequest)}

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        name, kind = kinds[self.path]
        message = kind()
        message.ParseFromString(self.rfile.read(int(self.headers["content-length"])))
        seen[name].append(MessageToDict(message))
        seen["tokens"].append(self.headers.get("authorization"))
        self.answer(b"")
    def do_GET(self):
        if self.path == "/all":
            return self.answer(json.dumps(seen).encode())
        seen["requests"].append(self.headers.get("traceparent"))
        self.answer(b"shown")
    def answer(self, body):
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

struct Collector {
    process: Child,
    url: String,
}

impl Collector {
    fn start() -> Option<Self> {
        let mut process = Command::new(python()?).args(["-c", COLLECTOR]).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Some(Self { process, url: format!("http://127.0.0.1:{}", port.trim()) })
    }

    /// Everything that has come.
    fn seen(&self) -> Value {
        let mut answer = ureq::get(format!("{}/all", self.url)).call().unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What `list` of each part of each message has.
fn all<'a>(messages: &'a Value, path: [&str; 3]) -> Vec<&'a Value> {
    let each = |value: &'a Value, key: &str| value[key].as_array().into_iter().flatten().collect::<Vec<_>>();
    let resources = messages.as_array().unwrap().iter().flat_map(|message| each(message, path[0]));
    resources.flat_map(|resource| each(resource, path[1])).flat_map(|scope| each(scope, path[2])).collect()
}

fn attribute<'a>(of: &'a Value, key: &str) -> &'a Value {
    let found = of["attributes"].as_array().into_iter().flatten().find(|attribute| attribute["key"] == key);
    found.map_or(&Value::Null, |attribute| attribute["value"].as_object().unwrap().values().next().unwrap())
}

/// An integer, which JSON of protobuf has as a string.
fn integer(value: &Value) -> u64 {
    value.as_str().map_or(0, |text| text.parse().unwrap())
}

#[test]
fn a_collector_gets_what_the_report_says_and_traces_that_the_target_knows() {
    let Some(collector) = Collector::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("r.json");
    let mut run = gorgon();
    run.arg("http").arg(format!("{}/shop?secret=1", collector.url)).args(["-d", "1s", "-t", "2", "-c", "2"]);
    run.args(["--traceparent", "--otlp", &collector.url, "--quiet", "--json"]).arg(&json);
    let output = run.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let seen = collector.seen();
    assert!(seen["tokens"].as_array().unwrap().iter().all(|token| token == "Bearer t"), "{}", seen["tokens"]);

    // The last message has the figures of the report.
    let metrics = all(&seen["metrics"], ["resourceMetrics", "scopeMetrics", "metrics"]);
    let last = |name: &str| *metrics.iter().rev().find(|metric| metric["name"] == name).unwrap();
    let run = &report["runs"][0];
    let operations = &last("gorgon.operations")["sum"];
    let counted = operations["dataPoints"].as_array().unwrap().iter().map(|point| integer(&point["asInt"]));
    assert_eq!(counted.sum::<u64>(), run["operations"]["completed"]);
    assert_eq!(
        (&operations["isMonotonic"], &operations["aggregationTemporality"]),
        (&true.into(), &"AGGREGATION_TEMPORALITY_CUMULATIVE".into())
    );
    let latency = &last("gorgon.latency")["histogram"]["dataPoints"][0];
    assert_eq!(integer(&latency["count"]), run["latency_ns"]["count"]);
    let buckets = latency["bucketCounts"].as_array().unwrap();
    assert_eq!(buckets.iter().map(integer).sum::<u64>(), integer(&latency["count"]));
    assert_eq!(buckets.len(), latency["explicitBounds"].as_array().unwrap().len() + 1);

    // Two threads trace ten operations a second each; each request is known to the target by its span.
    let spans = all(&seen["traces"], ["resourceSpans", "scopeSpans", "spans"]);
    let roots: BTreeMap<&str, &Value> = spans
        .iter()
        .filter(|span| span["parentSpanId"].is_null())
        .map(|span| (span["traceId"].as_str().unwrap(), *span))
        .collect();
    assert!((10..=22).contains(&roots.len()), "{}", roots.len());
    let told: Vec<&str> = seen["requests"].as_array().unwrap().iter().map(|of| of.as_str().unwrap()).collect();
    assert_eq!(told.len() as u64, run["network"]["requests"]);
    assert_eq!(told.iter().filter(|of| of.ends_with("-01")).count(), roots.len());
    let completed = run["operations"]["completed"].as_u64().unwrap();
    let requests = || spans.iter().filter(|span| span["kind"] == "SPAN_KIND_CLIENT");
    assert_eq!(requests().count(), roots.len());
    for request in requests() {
        let root = roots[request["traceId"].as_str().unwrap()];
        assert!(integer(attribute(root, "gorgon.number")) < completed);
        assert_eq!(attribute(root, "gorgon.outcome"), "ok");
        assert_eq!(attribute(request, "url.full"), &format!("{}/shop", collector.url));
        assert_eq!(integer(attribute(request, "http.response.status_code")), 200);
        let time = |of: &Value, key: &str| integer(&of[key]);
        assert!(time(root, "startTimeUnixNano") <= time(request, "startTimeUnixNano"), "{root} {request}");
        assert!(time(request, "startTimeUnixNano") < time(request, "endTimeUnixNano"));
        assert!(time(request, "endTimeUnixNano") <= time(root, "endTimeUnixNano"), "{root} {request}");
        let known = format!("00-{}-{}-01", hex(&request["traceId"]), hex(&request["spanId"]));
        assert!(told.contains(&known.as_str()), "{known}");
    }
}

#[test]
fn a_silent_collector_holds_nothing_back() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", collector.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("r.json");
    let mut run = gorgon();
    run.arg("run").arg(guest("noop.wasm")).args(["-n", "10", "--no-progress", "--otlp", &url, "--json"]).arg(&json);
    let mut process = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
    let waits = lines.find(|line| line.contains("waiting for the collector")).unwrap();
    assert_eq!(waits, format!("waiting for the collector at {url}, 5 s at most"));
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["runs"][0]["operations"]["completed"], 10);
    let mut first = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("noop.wasm: 10 operations"), "{first}");
    // Nobody has to wait for it, and what the run came to stays so.
    signal("INT", process.id());
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

#[test]
fn no_secret_is_in_what_is_said_about_a_collector() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().replace("\r\n", " ");
            let answer =
                format!("HTTP/1.1 401 no\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{head}", head.len());
            let _ = stream.write_all(answer.as_bytes());
            let _ = tell.send(head);
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let [json, html, xml] = ["r.json", "r.html", "r.xml"].map(|name| folder.path().join(name));
    let mut run = gorgon();
    run.arg("run").arg(guest("noop.wasm")).args(["-n", "10", "--no-progress"]);
    run.args(["--otlp", &format!("http://ann:pa55word@{address}/t0ken")]);
    run.arg("--json").arg(&json).arg("--html").arg(&html).arg("--junit").arg(&xml);
    let output = run.env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=Bearer%20s3cret").output().unwrap();
    assert!(output.status.success());
    // It was really told, and really said it again.
    let head = told.recv().unwrap();
    let basic = BASE64_STANDARD.encode("ann:pa55word");
    assert!(["s3cret", "t0ken", &basic].iter().all(|secret| head.contains(secret)), "{head}");
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(said[1].contains("failed: 401 Unauthorized"), "{}", said[1]);
    let files = [json, html, xml].map(|path| std::fs::read_to_string(path).unwrap());
    for text in said.iter().chain(&files) {
        assert!(!["s3cret", "t0ken", "pa55word", &basic].iter().any(|secret| text.contains(secret)), "{text}");
    }
}

#[test]
fn traces_of_boxes_reach_the_collector() {
    let Some(collector) = Collector::start() else { return };
    let server = NatsServer::start();
    let _boxes = ["b1", "b2"].map(|name| Agent::start(&server.url(), name, &["--allow", "all"]));
    let mut run = gorgon();
    run.arg("http").arg(format!("{}/shop", collector.url)).args(["-d", "1s", "--boxes", "2", "--on", &server.url()]);
    let output = run.args(["--traceparent", "--otlp", &collector.url, "--quiet"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen = collector.seen();
    let spans = all(&seen["traces"], ["resourceSpans", "scopeSpans", "spans"]);
    // One thread on each box traces ten operations a second, each with a span and its request.
    let roots = spans.iter().filter(|span| span["parentSpanId"].is_null()).count();
    assert!((10..=22).contains(&roots), "{roots}");
    assert_eq!(spans.len(), 3 * roots);
}

/// Holds the dashboard against Grafana's own schema, and its expressions against a parser of PromQL and the metrics
/// that a run serves.
const CHECK_DASHBOARD: &str = r#"
import json, re, sys
import promql_parser
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.openmetrics.parser import text_string_to_metric_families

register_default_plugins()
path, metrics = sys.argv[1], sys.stdin.read()
dashboard = Dashboard.from_json(json.load(open(path)))
served = {sample.name for family in text_string_to_metric_families(metrics) for sample in family.samples}
targets = [target for panel in dashboard.panels for target in panel.targets]
used = set()
for target in targets:
    expression = target.expr.replace("$__rate_interval", "1m")
    promql_parser.parse(expression)
    used |= set(re.findall(r"gorgon_\w+", expression))
assert targets and used <= served, used - served
print(len(dashboard.panels), len(targets))
"#;

#[test]
fn the_dashboard_is_one_of_grafana_and_asks_for_what_is_served() {
    let Some(python) = python() else { return };
    let mut run = gorgon();
    run.args(["demo", "-d", "20s", "--no-progress", "--metrics", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null());
    let mut run = run.spawn().unwrap();
    let said = BufReader::new(run.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = said.filter_map(|line| line.split_once("metrics are at ").map(|(_, url)| url.to_owned())).next();
    let address = address.unwrap();
    let mut metrics = String::new();
    wait_until("operations are served", || {
        metrics = ureq::get(&address).call().and_then(|mut of| of.body_mut().read_to_string()).unwrap_or_default();
        metrics.contains("gorgon_operations_total{")
    });
    run.kill().unwrap();
    run.wait().unwrap();
    let dashboard = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/grafana/gorgon.json");
    let mut check = Command::new(python);
    check
        .args(["-c", CHECK_DASHBOARD])
        .arg(dashboard)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut check = check.spawn().unwrap();
    std::io::Write::write_all(&mut check.stdin.take().unwrap(), metrics.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "4 9\n");
}

/// Bytes that JSON of protobuf has in base 64.
fn hex(bytes: &Value) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(bytes.as_str().unwrap()).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_collector_that_is_not_there_is_told_of_and_fails_nothing() {
    let run = |url: &str| gorgon().arg("run").arg(guest("hello")).args(["-n", "1", "--otlp", url]).output().unwrap();
    // Nobody listens at the port of `tcpmux`.
    let away = run("http://user:secret@127.0.0.1:1");
    let said = String::from_utf8_lossy(&away.stderr);
    assert!(away.status.success(), "{said}");
    assert!(said.contains(" messages to http://127.0.0.1:1 failed: "), "{said}");
    assert!(!said.contains("secret"), "{said}");
    assert_eq!(run("127.0.0.1:4318").status.code(), Some(2));
    // Nobody answers what is sent here, and the command does not wait for it forever.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let late = run(&format!("http://{}", silent.local_addr().unwrap()));
    let said = String::from_utf8_lossy(&late.stderr);
    assert!(late.status.success() && said.contains("does not keep up"), "{said}");
}
