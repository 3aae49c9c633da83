//! The stall test: does the report tell the truth about a target that freezes for four seconds?
//!
//! A server that answers at once is frozen in the middle of a run at 500 operations per second. Every operation that is
//! due in the freeze waits until its end. So the distribution of response times follows by arithmetic, from the
//! measured freeze and from how fast the queue drains. This requires that the kernel accepts connections while the
//! server is frozen. `gorgon demo` asks for a long enough queue; with a shorter one, further connections would be
//! retried every second, and their times would be whole seconds. Other tools run against the same server; those that
//! are not installed are left out, with a message.
//! against the same server; those that are not installed are left out, and said to be.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use base64::Engine;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde_json::Value;

use crate::{TARGET, guests, release, run, target};

const RATE: f64 = 500.0;
const SECONDS: u64 = 20;

/// When the server is frozen, and for how long.
const FREEZE_AFTER: Duration = Duration::from_secs(8);
const FREEZE_FOR: Duration = Duration::from_secs(4);

/// The shown percentiles. Four fifths of the operations are not due in the freeze, so it is only visible above p80.
const SHOWN: [(&str, f64); 4] = [("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99_9", 0.999)];

/// The load for Locust: 100 users, five requests per second each.
const LOCUSTFILE: &str = "\
from locust import FastHttpUser, constant_pacing, task


class User(FastHttpUser):
    wait_time = constant_pacing(0.2)

    @task
    def get(self):
        self.client.get(\"\")
";

/// The placeholder for the URL in the arguments of other tools.
const URL: &str = "{url}";

/// The programs, the tasks, and a separate folder.
struct Bench {
    gorgon: PathBuf,
    guests: PathBuf,
    folder: PathBuf,
}

/// Gorgon's demo server, in a separate process, so that it can be frozen.
pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
}

/// When the server was frozen, in seconds of the wall clock.
struct Freeze {
    from: f64,
    to: f64,
}

/// Runs everything with this gorgon, or with a release build.
pub(crate) fn run_all(gorgon: Option<PathBuf>) -> anyhow::Result<()> {
    guests()?;
    let target = target()?;
    let gorgon = match gorgon {
        Some(gorgon) => gorgon,
        None => release()?,
    };
    let folder = target.join("tmp/stall");
    fs::create_dir_all(&folder)?;
    let bench = Bench { gorgon, guests: target.join(TARGET).join("release"), folder };
    println!("{RATE} operations per second for {SECONDS} s; the target freezes for {FREEZE_FOR:?} in the middle\n");
    println!("{:<44} {:>9} {:>9} {:>9} {:>9} {:>9}   worst error", "", "p50", "p90", "p95", "p99", "p99.9");
    for in_flight in ["2000", "10", "1"] {
        bench.http(in_flight)?;
    }
    bench.guest()?;
    bench.closed()?;
    bench.others()?;
    println!("\nfrom when an operation was due to its start, for 5 s\n");
    println!("{:<44} {:>10} {:>10} {:>10}", "", "p50", "p99", "max");
    for task in ["hello", "sleeper"] {
        for rate in ["100/s", "1000/s", "20000/s"] {
            bench.lag(task, rate)?;
        }
    }
    Ok(())
}

impl Bench {
    /// Gorgon against a server that freezes.
    fn http(&self, in_flight: &str) -> anyhow::Result<()> {
        let server = Server::start(&self.gorgon)?;
        let shape = ["-c", in_flight, "--allow", "all", "--env", &format!("URL={}", server.url)].map(str::to_owned);
        let shape: Vec<&str> = shape.iter().map(String::as_str).collect();
        // How fast a queue can drain.
        let closed = self.gorgon("http", &[&shape[..], &["-d", "2s"]].concat(), || Ok(()))?.0;
        let closed = closed["throughput"].as_f64().context("no throughput")?;
        let open = [&shape[..], &["--rate", "500/s", "-d", "20s"]].concat();
        let (report, freeze) = self.gorgon("http", &open, || server.freeze())?;
        let drain = drained(&report, freeze.to)?.unwrap_or(closed);
        let expected = expected(&report, Some(&freeze), drain)?;
        print_ours(&format!("gorgon, HTTP, {in_flight} in flight"), &report, &expected);
        Ok(())
    }

    /// A task that stalls without a server: operation 4,000 of 7,000 sleeps for four seconds.
    fn guest(&self) -> anyhow::Result<()> {
        let sleep = ["--env", "GORGON_SLEEP_EVERY=4000", "--env", "GORGON_SLEEP_MS=4000"];
        let open = [&["--first", "1", "-n", "7000", "--rate", "500/s"], &sleep[..]].concat();
        let report = self.gorgon("sleeper", &open, || Ok(()))?.0;
        let begun = 3_999.0 / RATE + seconds(&report, "/schedule_lag_ns/min");
        let freeze = Freeze { from: begun, to: begun + seconds(&report, "/service_ns/max") };
        let started = Freeze { from: freeze.from + wall(&report)?, to: freeze.to + wall(&report)? };
        let drain = 1.0 / seconds(&report, "/service_ns/p50");
        print_ours("gorgon, a task that stalls", &report, &expected(&report, Some(&started), drain)?);
        Ok(())
    }

    /// The closed model: only the operations in flight are slow, and nothing is invented.
    fn closed(&self) -> anyhow::Result<()> {
        let server = Server::start(&self.gorgon)?;
        let url = format!("URL={}", server.url);
        let closed = ["-c", "10", "--pause", "20ms", "-d", "20s", "--allow", "all", "--env", &url];
        let report = self.gorgon("http", &closed, || server.freeze())?.0;
        print_row(
            "gorgon, closed model, 10 in flight",
            &figures(&report),
            &format!("{} operations took 1 s or more", longer_than(&report, 1_000_000_000)?),
        );
        Ok(())
    }

    /// The reports of other tools on the same freeze.
    fn others(&self) -> anyhow::Result<()> {
        let oha = ["--no-tui", "--output-format", "json", "-z", "20s", "-q", "500", "-c", "100"];
        let corrected = [&oha[..], &["--latency-correction", URL]].concat();
        let ab = ["-k", "-q", "-t", "20", "-n", "100000000", "-c", "10", URL];
        let file = self.folder.join("locustfile.py");
        fs::write(&file, LOCUSTFILE)?;
        let file = file.to_str().context("the target folder's name is not UTF-8")?;
        let locust = ["-f", file, "--headless", "--json", "--only-summary", "-u", "100", "-r", "100", "-t", "20s"];
        self.other("oha -q 500 -c 100", "oha", &[&oha[..], &[URL]].concat(), oha_figures)?;
        self.other("oha -q 500 -c 100 --latency-correction", "oha", &corrected, oha_figures)?;
        self.other("locust, 100 users, 5/s each", "locust", &[&locust[..], &["--host", URL]].concat(), locust_figures)?;
        self.other("hey -q 10 -c 50", "hey", &["-z", "20s", "-q", "10", "-c", "50", URL], hey_figures)?;
        self.other("wrk -c 10 (closed)", "wrk", &["-t1", "-c10", "-d20s", "--latency", URL], wrk_figures)?;
        self.other("ab -c 10 (closed)", "ab", &ab, ab_figures)
    }

    fn other(
        &self,
        name: &str,
        program: &str,
        args: &[&str],
        read: fn(&str) -> Vec<Option<f64>>,
    ) -> anyhow::Result<()> {
        let server = Server::start(&self.gorgon)?;
        let mut command = Command::new(program);
        let args = args.iter().map(|&arg| if arg == URL { server.url.as_str() } else { arg });
        let started = command.args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(child) = started else {
            println!("{program} is not installed, and left out");
            return Ok(());
        };
        let begun = now();
        let freeze = server.freeze()?;
        let output = child.wait_with_output()?;
        // What the tool would have measured at this rate if it had timed requests from when they were due.
        let expected =
            distribution(RATE * SECONDS as f64, Some((freeze.from - begun, freeze.to - begun)), 5_000.0, 0.0);
        let figures = read(&String::from_utf8_lossy(&output.stdout));
        print_row(name, &figures, &error_of(&figures, &expected));
        Ok(())
    }

    fn lag(&self, task: &str, rate: &str) -> anyhow::Result<()> {
        let args: &[&str] = if task == "sleeper" { &["-c", "10"] } else { &[] };
        let report = self.gorgon(task, &[args, &["--rate", rate, "-d", "5s"]].concat(), || Ok(()))?.0;
        let lane = report["task"]["lane"].as_str().unwrap_or_default().to_owned();
        let of = |figure: &str| format!("{:.1} us", seconds(&report, &format!("/schedule_lag_ns/{figure}")) * 1e6);
        println!("{:<44} {:>10} {:>10} {:>10}", format!("{rate}, {lane} lane"), of("p50"), of("p99"), of("max"));
        Ok(())
    }

    /// The report of a run, and the result of `meanwhile`.
    fn gorgon<T>(
        &self,
        task: &str,
        args: &[&str],
        meanwhile: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<(Value, T)> {
        let mut command = Command::new(&self.gorgon);
        command.arg("run").arg(self.guests.join(task).with_extension("wasm")).args(["--quiet", "--json", "-"]);
        let child = command.args(args).stdout(Stdio::piped()).spawn()?;
        let done = meanwhile()?;
        let Output { status, stdout, .. } = child.wait_with_output()?;
        ensure!(status.success(), "gorgon {args:?} ended with {status}");
        let mut report: Value = serde_json::from_slice(&stdout)?;
        Ok((report["runs"][0].take(), done))
    }
}

impl Server {
    pub(crate) fn start(gorgon: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(gorgon);
        let mut process = command.args(["demo", "--serve", "--port", "0"]).stderr(Stdio::piped()).spawn()?;
        let says = process.stderr.take().context("it has no stderr")?;
        let mut line = String::new();
        BufReader::new(says).read_line(&mut line)?;
        let url =
            line.split_whitespace().find(|word| word.starts_with("http://")).context("the server names no URL")?;
        Ok(Self { url: format!("{}/", url.trim_end_matches('/')), process })
    }

    /// Freezes the server for a while, in the middle of a run that begins now.
    fn freeze(&self) -> anyhow::Result<Freeze> {
        std::thread::sleep(FREEZE_AFTER);
        let from = self.signal("STOP")?;
        std::thread::sleep(FREEZE_FOR);
        Ok(Freeze { from, to: self.signal("CONT")? })
    }

    fn signal(&self, name: &str) -> anyhow::Result<f64> {
        run(Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]))?;
        Ok(now())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// When a run began, in seconds of the wall clock.
fn wall(report: &Value) -> anyhow::Result<f64> {
    let text = report["started_at"].as_str().context("no start")?;
    let began = humantime::parse_rfc3339(text)?;
    Ok(began.duration_since(UNIX_EPOCH)?.as_secs_f64())
}

fn seconds(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN) / 1e9
}

/// How many operations took this long or longer.
fn longer_than(report: &Value, ns: u64) -> anyhow::Result<u64> {
    let text = report.pointer("/latency_ns/hdr").and_then(Value::as_str).context("no histogram")?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text)?;
    let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice())?;
    Ok(histogram.count_between(ns, u64::MAX))
}

/// The operations per second that ended after `thaw` while others still waited, from the intervals of the report within
/// that time. `None` if the queue drained within the first interval.
fn drained(report: &Value, thaw: f64) -> anyhow::Result<Option<f64>> {
    let thaw = thaw - wall(report)?;
    let length = seconds(report, "/timeline/interval_ns");
    let (mut ended, mut drained, mut intervals) = (0.0, 0.0, 0.0);
    for bucket in report["timeline"]["buckets"].as_array().context("no timeline")? {
        let begin = seconds(bucket, "/start_ns");
        let completed = bucket["completed"].as_f64().context("no count")?;
        ended += completed;
        let waiting = RATE * (begin + length) - ended;
        if begin < thaw {
            continue;
        }
        if waiting < RATE * 0.05 {
            break;
        }
        drained += completed;
        intervals += 1.0;
    }
    Ok((intervals > 0.0).then(|| drained / (intervals * length)))
}

/// The response times that arithmetic predicts for a run.
fn expected(report: &Value, freeze: Option<&Freeze>, drain: f64) -> anyhow::Result<Vec<f64>> {
    let began = wall(report)?;
    let operations = report["operations"]["offered"].as_f64().context("no operations")?;
    let freeze = freeze.map(|freeze| (freeze.from - began, freeze.to - began));
    Ok(distribution(operations, freeze, drain, seconds(report, "/latency_ns/p50")))
}

/// The sorted response times of `operations` that are due at the rate. Those due in the freeze end after it, one after
/// the other at the rate `drain`, and so do later ones until nothing waits any more.
fn distribution(operations: f64, freeze: Option<(f64, f64)>, drain: f64, usual: f64) -> Vec<f64> {
    let times = (0..operations as u64).map(|i| {
        let due = i as f64 / RATE;
        let (from, to) = freeze.unwrap_or((f64::INFINITY, 0.0));
        let before_it = ((due - from) * RATE).max(0.0);
        if due < from { usual } else { usual.max(to + before_it / drain - due) }
    });
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    times
}

/// The smallest time that a share `q` of all times does not exceed.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (sorted.len() as f64 * q).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// p50 and the shown percentiles, in seconds.
fn figures(report: &Value) -> Vec<Option<f64>> {
    let names = std::iter::once("p50").chain(SHOWN.iter().map(|(name, _)| *name));
    names.map(|name| Some(seconds(report, &format!("/latency_ns/{name}"))).filter(|s| s.is_finite())).collect()
}

fn print_ours(name: &str, report: &Value, expected: &[f64]) {
    let figures = figures(report);
    print_row(name, &figures, &error_of(&figures, expected));
    let arithmetic: Vec<_> =
        std::iter::once(0.5).chain(SHOWN.iter().map(|(_, q)| *q)).map(|q| Some(quantile(expected, q))).collect();
    print_row("    by arithmetic", &arithmetic, "");
}

/// The largest relative error of the shown percentiles.
fn error_of(figures: &[Option<f64>], expected: &[f64]) -> String {
    let errors = figures.iter().skip(1).zip(SHOWN).filter_map(|(&figure, (_, q))| {
        let expected = quantile(expected, q);
        Some((figure? - expected) / expected)
    });
    let worst = errors.fold(0.0, |worst: f64, error| if error.abs() > worst.abs() { error } else { worst });
    format!("{:+.1} %", worst * 100.0)
}

fn print_row(name: &str, figures: &[Option<f64>], note: &str) {
    let cell = |figure: &Option<f64>| match figure {
        None => "-".to_owned(),
        Some(seconds) if *seconds < 0.01 => format!("{:.2} ms", seconds * 1e3),
        Some(seconds) => format!("{seconds:.3} s"),
    };
    let cells: Vec<_> = figures.iter().map(|figure| format!("{:>9}", cell(figure))).collect();
    println!("{name:<44} {}   {note}", cells.join(" "));
}

fn oha_figures(text: &str) -> Vec<Option<f64>> {
    let report: Value = serde_json::from_str(text).unwrap_or_default();
    ["p50", "p90", "p95", "p99", "p99.9"].map(|name| report["latencyPercentiles"][name].as_f64()).to_vec()
}

/// Lines with the number of requests for each time in milliseconds, rounded to two digits.
fn locust_figures(text: &str) -> Vec<Option<f64>> {
    let report: Value = serde_json::from_str(text).unwrap_or_default();
    let counts = report[0]["response_times"].as_object();
    let counts: BTreeMap<u64, u64> =
        counts.into_iter().flatten().filter_map(|(ms, count)| Some((ms.parse().ok()?, count.as_u64()?))).collect();
    let times: Vec<f64> = counts.iter().flat_map(|(&ms, &count)| (0..count).map(move |_| ms as f64 / 1e3)).collect();
    [0.5, 0.9, 0.95, 0.99, 0.999].map(|q| Some(quantile(&times, q)).filter(|time| time.is_finite())).to_vec()
}

/// `  99% in 0.0021 secs`, with one or two percent signs.
fn hey_figures(text: &str) -> Vec<Option<f64>> {
    let of = |percent: &str| {
        let line = text.lines().find(|line| line.trim().starts_with(percent) && line.contains(" in "))?;
        line.split_whitespace().find_map(|word| word.parse().ok())
    };
    vec![of("50%"), of("90%"), of("95%"), of("99%"), None]
}

/// `    99%    1.21ms`.
fn wrk_figures(text: &str) -> Vec<Option<f64>> {
    let of = |percent: &str| {
        let line = text.lines().find(|line| line.trim().starts_with(percent))?;
        let time = line.split_whitespace().nth(1)?;
        let (unit, scale) =
            [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)].into_iter().find(|(unit, _)| time.ends_with(unit))?;
        time.strip_suffix(unit)?.parse::<f64>().ok().map(|figure| figure * scale)
    };
    vec![of("50%"), of("90%"), None, of("99%"), None]
}

/// `  99%      3`, in milliseconds.
fn ab_figures(text: &str) -> Vec<Option<f64>> {
    let of = |percent: &str| {
        let line = text.lines().find(|line| line.trim().starts_with(percent))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|ms| ms / 1e3)
    };
    vec![of("50%"), of("90%"), of("95%"), of("99%"), None]
}
