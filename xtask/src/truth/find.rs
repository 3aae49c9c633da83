//! The items of `gorgon find`.

use serde_json::Value;

use super::{Bench, Measured, queue};

/// Arguments of every search for the limit of four servers. It begins below the limit, to save time.
const FOUR_SERVERS: [&str; 4] = ["--slo", "p99<200ms", "--from", "50/s"];

/// Four servers of 20 ms do 200 per second, and arrivals at a constant rate never wait below that.
pub(super) fn constant(bench: &Bench) -> anyhow::Result<Measured> {
    let found = bench.alone(|| find(bench, "getter", Some(&["4", "constant", "20000"]), &FOUR_SERVERS))?;
    Ok(limit(200.0, &found, 0.05))
}

pub(super) fn exponential(bench: &Bench) -> anyhow::Result<Measured> {
    let poisson = [&FOUR_SERVERS[..], &["--arrivals", "poisson"]].concat();
    let found = bench.alone(|| find(bench, "getter", Some(&["4", "exponential", "20000"]), &poisson))?;
    Ok(limit(queue::exponential(50.0, 4, 0.2), &found, 0.1))
}

pub(super) fn lognormal(bench: &Bench) -> anyhow::Result<Measured> {
    let poisson = [&FOUR_SERVERS[..], &["--arrivals", "poisson"]].concat();
    let found = bench.alone(|| find(bench, "getter", Some(&["4", "lognormal", "20000", "0.5"]), &poisson))?;
    Ok(limit(queue::lognormal(0.02, 0.5, 4, 0.2), &found, 0.1))
}

pub(super) fn no_limit(bench: &Bench) -> anyhow::Result<Measured> {
    let args = ["--slo", "p99<500ms", "--from", "20/s", "--to", "300/s"];
    let found = bench.alone(|| find(bench, "getter", Some(&["0", "bimodal", "20000", "400000", "10"]), &args))?;
    Ok(Measured::words("none to 300/s", conclusion(&found)))
}

pub(super) fn stragglers(bench: &Bench) -> anyhow::Result<Measured> {
    let args = ["--slo", "p95<100ms", "--from", "20/s", "--to", "200/s"];
    let found = bench.alone(|| find(bench, "getter", Some(&["0", "hundredth", "20000", "2000000"]), &args))?;
    Ok(Measured::words("none to 200/s", conclusion(&found)))
}

pub(super) fn refused(bench: &Bench) -> anyhow::Result<Measured> {
    let args = ["--slo", "p99<10s", "--from", "1/s", "--probe-max", "5s"];
    let found = bench.alone(|| find(bench, "getter", None, &args))?;
    // A rate that is kept would be named as well.
    let kept = found["answer"]["rate"].as_f64().map_or(String::new(), |rate| format!(" above {rate:.0}/s"));
    Ok(Measured::words("target", format!("{}{kept}", conclusion(&found))))
}

/// The answer of `gorgon find`.
fn find(bench: &Bench, task: &str, server: Option<&[&str]>, args: &[&str]) -> anyhow::Result<Value> {
    Ok(bench.gorgon("find", task, server, args)?.report)
}

/// A kind of search, with what limits it.
struct Kind {
    limit: &'static str,
    task: &'static str,
    /// The arguments of the server.
    server: &'static [&'static str],
    args: &'static [&'static str],
}

const KINDS: [Kind; 4] = [
    // Two servers of 2 ms each.
    Kind {
        limit: "target",
        task: "getter",
        server: &["2", "constant", "2000"],
        args: &["--slo", "p95<20ms", "--from", "200/s"],
    },
    // One thread that computes 4 ms for each operation.
    Kind {
        limit: "generator",
        task: "mixer",
        server: &["0", "constant", "0"],
        args: &["--slo", "p95<100ms", "--from", "50/s", "--env", "CPU_US=4000", "--env", "WAIT_US=1000"],
    },
    // Two instances of 5 ms each.
    Kind {
        limit: "instances",
        task: "getter",
        server: &["0", "constant", "5000"],
        args: &["--slo", "p95<50ms", "--from", "100/s", "-c", "2"],
    },
    Kind {
        limit: "none to 400/s",
        task: "getter",
        server: &["0", "constant", "2000"],
        args: &["--slo", "p95<50ms", "--from", "100/s", "--to", "400/s"],
    },
];

/// Ten searches of each kind, in turn.
pub(super) fn culprits(bench: &Bench) -> anyhow::Result<Measured> {
    const ROUNDS: usize = 10;
    let mut right = 0;
    for round in 0..ROUNDS {
        for kind in &KINDS {
            let arrivals = if round % 2 == 0 { "constant" } else { "poisson" };
            let quick = ["--probe", "1s", "--probe-max", "2s", "--precision", "30%", "--arrivals", arrivals];
            let args = [kind.args, &quick].concat();
            let found = bench.alone(|| find(bench, kind.task, Some(kind.server), &args))?;
            let ours = conclusion(&found);
            right += usize::from(ours == kind.limit);
            if ours != kind.limit {
                eprintln!("limited by {}, and not by {ours}: {}", kind.limit, found["answer"]);
            }
        }
    }
    let all = ROUNDS * KINDS.len();
    Ok(Measured::counted(right, all, all))
}

/// The rate that was found, if the target was named as the limit.
fn limit(truth: f64, found: &Value, allowed: f64) -> Measured {
    match (found["answer"]["rate"].as_f64(), found["answer"]["limited_by"].as_str()) {
        (Some(rate), Some("target")) => Measured::figure(truth, rate, allowed, "/s"),
        _ => Measured::words(format!("{truth:.1}/s"), conclusion(found)),
    }
}

/// What was the limit, in a word or two.
fn conclusion(found: &Value) -> String {
    let answer = &found["answer"];
    match (answer["limited_by"].as_str(), answer["rate"].as_f64()) {
        (Some(limit), _) => limit.to_owned(),
        (None, Some(rate)) => format!("none to {rate:.0}/s"),
        (None, None) => "nothing".to_owned(),
    }
}
