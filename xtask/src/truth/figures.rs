//! Items of single figures and sentences of a report.

use anyhow::Context;
use serde_json::Value;

use super::server::{Served, Server};
use super::{Bench, Measured, Ran};

/// A server of 200 ms for one instance and ten slots per second: the operation with the number n starts after 200 n ms,
/// and was due after 100 n ms. The sentence about it must speak of the operation that waited for the longest time.
pub(super) fn longest_wait(bench: &Bench) -> anyhow::Result<Measured> {
    let ran = bench.alone(|| run(bench, Some(&["0", "constant", "200000"]), &["--rate", "10/s", "-d", "3s"]))?;
    let sentence = ran.reasons().into_iter().find(|reason| reason.contains("waited for an instance"));
    let sentence = sentence.context("nothing is said about the wait")?;
    let longest = ran.figure("/operations/completed")? - 1.0;
    let ours = between(sentence, "at worst for ", " s").context("it does not say how long")?;
    Ok(Measured::figure(0.1 * longest, ours, 0.02, " s"))
}

/// Of slots that find too many operations in flight, the server sees nothing.
pub(super) fn dropped(bench: &Bench) -> anyhow::Result<Measured> {
    let args = ["--rate", "10/s", "-d", "2s", "-c", "2", "--max-in-flight", "2"];
    let ran = bench.alone(|| run(bench, Some(&["0", "constant", "1000000"]), &args))?;
    let dropped = ran.figure("/operations/offered")? - ran.log.len() as f64;
    Ok(Measured::figure(dropped, ran.figure("/operations/dropped")?, 0.0, ""))
}

pub(super) fn sleep(bench: &Bench) -> anyhow::Result<Measured> {
    let ran = bench.alone(|| bench.gorgon("run", "mixer", None, &["-d", "2s", "--env", "WAIT_US=1000"]))?;
    Ok(Measured::figure(1.0, ran.figure("/service_ns/p50")? / 1e6, 0.2, " ms"))
}

/// One instance of 20 ms does 50 per second, though 150 are due.
pub(super) fn rate_behind(bench: &Bench) -> anyhow::Result<Measured> {
    let server: &[&str] = &["0", "constant", "20000"];
    let ran = bench.alone(|| run(bench, Some(server), &["--rate", "150/s", "-d", "2s"]))?;
    let (first, last) = ran.log.first().zip(ran.log.last()).context("the server got no request")?;
    let truth = (ran.log.len() - 1) as f64 * 1e9 / (last.parsed_ns - first.parsed_ns) as f64;
    Ok(Measured::figure(truth, ran.figure("/throughput")?, 0.02, "/s"))
}

pub(super) fn waiting_1(bench: &Bench) -> anyhow::Result<Measured> {
    waiting(bench, "1")
}

pub(super) fn waiting_10(bench: &Bench) -> anyhow::Result<Measured> {
    waiting(bench, "10")
}

pub(super) fn waiting_40(bench: &Bench) -> anyhow::Result<Measured> {
    waiting(bench, "40")
}

/// A guest that computes 5 ms and sleeps 20 ms.
fn waiting(bench: &Bench, instances: &str) -> anyhow::Result<Measured> {
    let task = ["-t", "1", "-d", "3s", "--env", "CPU_US=5000", "--env", "WAIT_US=20000", "-c", instances];
    let ran = bench.alone(|| bench.gorgon("run", "mixer", None, &task))?;
    let [_, most_ms] = waited(&ran)?;
    Ok(Measured::figure(20.0, most_ms, 0.02, " ms"))
}

pub(super) fn response_1(bench: &Bench) -> anyhow::Result<Measured> {
    response(bench, "1")
}

pub(super) fn response_10(bench: &Bench) -> anyhow::Result<Measured> {
    response(bench, "10")
}

pub(super) fn response_40(bench: &Bench) -> anyhow::Result<Measured> {
    response(bench, "40")
}

/// A guest that computes 5 ms and sends a request of 20 ms.
fn response(bench: &Bench, instances: &str) -> anyhow::Result<Measured> {
    let task = ["-t", "1", "-d", "3s", "--env", "CPU_US=5000", "-c", instances];
    let server: &[&str] = &["0", "constant", "20000"];
    let ran = bench.alone(|| bench.gorgon("run", "getter", Some(server), &task))?;
    let [least, most] = waited(&ran)?;
    // The server does not see the time that the network takes.
    Ok(Measured::range(mean_ms(&ran.log), [0.98 * least, 1.02 * most], " ms"))
}

/// The least and the most that an operation waited on average, in milliseconds.
fn waited(ran: &Ran) -> anyhow::Result<[f64; 2]> {
    let operations = ran.figure("/operations/completed")?;
    let most = ran.figure("/time/waiting_ns")? / operations / 1e6;
    Ok([most - ran.figure("/time/uncertain_ns")? / operations / 1e6, most])
}

pub(super) fn rate_of_few(bench: &Bench) -> anyhow::Result<Measured> {
    let ran = bench.alone(|| run(bench, Some(&["0", "constant", "1000"]), &["--rate", "0.5/s", "-d", "8s"]))?;
    Ok(Measured::figure(0.5, ran.figure("/throughput")?, 0.0, "/s"))
}

pub(super) fn rate_of_one(bench: &Bench) -> anyhow::Result<Measured> {
    let ran = bench.alone(|| run(bench, Some(&["0", "constant", "1000"]), &["--rate", "0.5/s", "-d", "2s"]))?;
    Ok(Measured::figure(0.5, ran.figure("/throughput")?, 0.0, "/s"))
}

fn run(bench: &Bench, server: Option<&[&str]>, args: &[&str]) -> anyhow::Result<Ran> {
    bench.gorgon("run", "getter", server, args)
}

/// A request that takes 20 ms, or 100 ms in one of ten cases.
const BIMODAL: [&str; 5] = ["0", "bimodal", "20000", "100000", "10"];

pub(super) fn requests(bench: &Bench) -> anyhow::Result<Measured> {
    let ran = bench.alone(|| two_requests(bench))?;
    let took = ran.log.iter().map(took_ms).collect();
    Ok(Measured::figure(p95(took), ran.figure("/network/duration_ns/p95")? / 1e6, 0.05, " ms"))
}

pub(super) fn operations(bench: &Bench) -> anyhow::Result<Measured> {
    let ran = bench.alone(|| two_requests(bench))?;
    let took = ran.log.chunks(2).map(|pair| pair.iter().map(took_ms).sum()).collect();
    Ok(Measured::figure(p95(took), ran.figure("/latency_ns/p95")? / 1e6, 0.05, " ms"))
}

/// Plays a file with two requests in one instance, so that the server's log has them in pairs.
fn two_requests(bench: &Bench) -> anyhow::Result<Ran> {
    let server = Server::start(&bench.server, &bench.folder, &BIMODAL)?;
    let calls = bench.folder.join("two.http");
    std::fs::write(&calls, format!("GET {0}/1\n\n###\nGET {0}/2\n", server.url))?;
    let mut gorgon = std::process::Command::new(&bench.gorgon);
    gorgon.arg("http").arg(calls).args(["--quiet", "--json", "-", "--allow", &server.url, "--flow", "-n", "200"]);
    Ran::new(&gorgon.output()?, Some(server))
}

/// Two runs on each side.
pub(super) fn compared(bench: &Bench) -> anyhow::Result<Measured> {
    let mut command = std::process::Command::new(&bench.gorgon);
    command.arg("compare").args(["--json", "-"]);
    let mut means_ms = Vec::new();
    for took_us in ["20000", "21000"] {
        let (mut files, mut log) = (Vec::new(), Vec::new());
        for at in 0..2 {
            let file = bench.folder.join(format!("{took_us}-{at}.json")).display().to_string();
            let server = ["0", "lognormal", took_us, "0.2"];
            let ran = bench.alone(|| run(bench, Some(&server), &["-n", "400", "-c", "4"]))?;
            std::fs::write(&file, ran.report.to_string())?;
            log.extend(ran.log);
            files.push(file);
        }
        means_ms.push(mean_ms(&log));
        command.arg(files.join(","));
    }
    let output = command.output()?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("no comparison: {}", String::from_utf8_lossy(&output.stderr)))?;
    let figures = report["pairs"][0]["figures"].as_array().context("no figures")?;
    let mean = figures.iter().find(|figure| figure["figure"] == "mean").context("no means")?;
    let end = |end: &str| mean["change"][end].as_f64().map(|share| 100.0 * share).context("no interval");
    Ok(Measured::range(100.0 * (means_ms[1] / means_ms[0] - 1.0), [end("low")?, end("high")?], " %"))
}

fn took_ms(served: &Served) -> f64 {
    (served.sent_ns - served.parsed_ns) as f64 / 1e6
}

fn mean_ms(log: &[Served]) -> f64 {
    log.iter().map(took_ms).sum::<f64>() / log.len() as f64
}

/// The smallest of the values that at least 95 % of them do not exceed.
fn p95(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() * 95).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// The number between two words of a sentence.
fn between(sentence: &str, before: &str, after: &str) -> Option<f64> {
    let (_, rest) = sentence.split_once(before)?;
    rest.split_once(after)?.0.parse().ok()
}
