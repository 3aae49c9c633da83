//! The part of a page that is about one run.

use maud::{Markup, html};

use super::palette::Palette;
use super::{boxes, charts, health, prose, tables};
use crate::metrics::TimeSplit;
use crate::report::units::{bytes, count, counted, duration, or_dash, percent, rate};
use crate::report::words::{self, Word};
use crate::report::{NetworkReport, Report, RunReport, Summary, curves};

/// A run at a glance, with its sentences.
pub(super) fn summary(run: &RunReport, words: Vec<Word>) -> Markup {
    html! {
        p .headline { (words::headline(run)) "." }
        (tiles(run))
        (prose::list(words))
    }
}

/// Its charts and tables; their identifiers begin with `id`.
pub(super) fn details(run: &RunReport, report: &Report, palette: &Palette<'_>, id: &str) -> Markup {
    html! {
        (charts::all(run, palette, id))
        h3 { "Results" }
        (tables::results(run.throughput, &run.latency_ns, run.ok.as_ref(), &run.results, palette))
        (tables::spans(&run.spans))
        div .columns {
            section { h3 { "Where the time went" } (time(run)) }
            @if !run.boxes.is_empty() { section { h3 { "Boxes" } (tables::boxes(run)) } }
            section { h3 { "Workers" } (tables::workers(run)) }
            (health::schedule(run))
            @if let Some(of) = &run.network { section { h3 { "Network" } (network(of)) } }
        }
        (boxes::charts(run, id))
        (health::charts(run, report, id))
        (tables::timeline(run, id))
        details #(format!("{id}-plan")) { summary { "What was run" } (tables::plan(run)) }
    }
}

fn tiles(run: &RunReport) -> Markup {
    let (operations, latency) = (&run.operations, &run.latency_ns);
    let time = |ns: Option<u64>| or_dash(ns, duration);
    let not_ok = or_dash(operations.share_not_ok(), percent);
    let planned = match (operations.planned, run.plan.duration_ns) {
        (Some(n), _) => format!("of {} planned", count(n)),
        (None, Some(ns)) => format!("within {}", duration(ns)),
        (None, None) => String::new(),
    };
    let all = latency.count;
    let offered = curves::offered(run).map(|offered| format!("of {}/s offered", rate(offered)));
    let offered = offered.unwrap_or_else(|| "operations per second".into());
    html! {
        div .tiles {
            (tile("Throughput", &or_dash(run.throughput, rate), &offered, ""))
            (tile("Operations", &count(operations.completed), &planned, ""))
            (tile("Not ok", &not_ok, &counted(operations.not_ok(), "operation"),
                  if operations.not_ok() > 0 { "bad" } else { "" }))
            (tile("Median", &time(latency.p50), "p50: half were faster", ""))
            (tile("p99", &time(latency.p99), "1 in 100 was slower", ""))
            (tile("Slowest", &time(latency.max), &format!("of {}", count(all)), ""))
            @if operations.lost > 0 { (tile("Lost", &count(operations.lost), "never confirmed", "bad")) }
            @if operations.dropped > 0 { (tile("Dropped", &count(operations.dropped), "due, never started", "bad")) }
            @if operations.in_flight > 0 { (tile("In flight", &count(operations.in_flight), "cut at the end", "bad")) }
        }
    }
}

pub(super) fn tile(label: &str, figure: &str, below: &str, tone: &str) -> Markup {
    html! { div class=(format!("tile {tone}")) {
        span .label { (label) } strong { (figure) } span .below { (below) }
    } }
}

/// Durations as bars: the start-up, the run, and how the operations spent their time.
fn time(run: &RunReport) -> Markup {
    let startup = &run.startup_ns;
    let steps = [
        (if startup.cached { "compiled before" } else { "compile" }, Some(startup.compile)),
        ("spawn", Some(startup.spawn)),
        ("load", Some(startup.load)),
        ("instantiate", Some(startup.instantiate)),
        ("setup", startup.setup),
        ("warm-up", run.warmup.map(|warmup| warmup.elapsed_ns)),
    ];
    let steps: Vec<_> = steps.into_iter().filter_map(|(step, ns)| Some((step, ns?))).collect();
    let most = steps.iter().map(|&(_, ns)| ns).max().unwrap_or(0);
    html! {
        @if let Some(split) = &run.time { (split_bar(split)) }
        table .bars {
            caption { "Before the first operation" }
            @for (step, ns) in &steps { tr {
                th scope="row" { (step) } td { (duration(*ns)) }
                td .share { (tables::bar(*ns, most)) }
            } }
        }
        p .note {
            "The run itself took " (duration(run.elapsed_ns))
            @if let Some(drain) = run.drain_ns.filter(|&ns| ns > 0) { ", of which " (duration(drain)) " draining" } "."
        }
    }
}

/// Where the time of the operations went, as one bar.
fn split_bar(split: &TimeSplit) -> Markup {
    let all = split.running_ns + split.waiting_ns + split.queued_ns;
    let parts = words::time(split);
    html! {
        div .split aria-hidden="true" { @for (class, _, ns) in &parts {
            span class=(class) style=(format!("--share:{:.4}", curves::share(*ns, all).unwrap_or(0.0))) {}
        } }
        ul .split-key { @for (class, share, _) in &parts { li {
            span class=(format!("swatch {class}")) aria-hidden="true" {}
            (share) " " (class) @if *class == "queued" { ": ready, but their thread was busy" }
        } } }
    }
}

fn network(network: &NetworkReport) -> Markup {
    let took = |of: fn(&Summary) -> Option<u64>| network.duration_ns.as_ref().map(|took| or_dash(of(took), duration));
    tables::facts(&[
        ("Requests", Some(count(network.requests))),
        ("Failed", network.share_failed().map(percent)),
        ("Per second", network.throughput.map(rate)),
        ("Request, p50", took(|took| took.p50)),
        ("Request, p95", took(|took| took.p95)),
        ("Request, p99", took(|took| took.p99)),
        ("Request, slowest", took(|took| took.max)),
        ("Per operation", network.requests_per_operation.map(|per| format!("{per:.2}"))),
        ("Sent", network.sent.filter(|&sent| sent != network.requests).map(count)),
        ("Sent again", network.repeated.filter(|&repeated| repeated > 0).map(count)),
        ("Wait for a stream, median", network.stream_wait_ns.as_ref().and_then(|wait| wait.p50).map(duration)),
        ("Connections opened", Some(count(network.opened))),
        ("Connections reused", Some(count(network.reused))),
        ("In", Some(bytes(network.bytes_in))),
        ("Out", Some(bytes(network.bytes_out))),
        ("Connect, median", network.connect_ns.p50.map(duration)),
        ("First byte, median", network.first_byte_ns.p50.map(duration)),
    ])
}
