//! How well the machine that made the load did: what it was over time, and, in an open run, how it kept to its schedule.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::figure::{Figure, number};
use super::plot::{Axis, Plot};
use super::tables;
use crate::report::units::{counted, duration};
use crate::report::{HealthReport, RunReport, Summary};

/// Workers that are drawn; the table has all.
const MOST_DRAWN: usize = 4;

/// Their looks, which are not those of results.
const LOOKS: [&str; MOST_DRAWN] = ["p50", "p90", "p99", "max"];

/// What of a worker's health is drawn.
type Of = fn(&HealthReport) -> Option<f64>;

/// The charts of the workers' health; nothing where it was not looked at.
pub(super) fn charts(run: &RunReport, id: &str) -> Markup {
    let seconds = |worker: &crate::report::WorkerReport| worker.timeline.len();
    if run.workers.iter().map(seconds).max().unwrap_or(0) < 2 {
        return html! {};
    }
    html! {
        div .charts {
            (chart(run, format!("{id}-cores"), "Processors busy",
                   "Processors that each worker kept busy; as many as the machine has is its limit.", "", |look| look.cpu))
            @if run.schedule_lag_ns.is_some() {
                (chart(run, format!("{id}-lag"), "Schedule lag",
                       "How late operations started, at worst: what is not far below the latencies is the generator's fault.",
                       "ns", |look| Some(look.lag_ns.max(1) as f64)))
            } @else {
                (chart(run, format!("{id}-memory"), "Memory", "Memory that each worker had resident, in MB.", "",
                       |look| Some(look.rss_bytes as f64 / 1e6)))
            }
        }
    }
}

fn chart(run: &RunReport, id: String, title: &str, how: &str, unit: &str, of: Of) -> Markup {
    let workers: Vec<_> = run.workers.iter().filter(|worker| !worker.timeline.is_empty()).take(MOST_DRAWN).collect();
    let mut moments: Vec<u64> =
        workers.iter().flat_map(|worker| worker.timeline.iter().map(|look| look.at_ns)).collect();
    moments.sort_unstable();
    moments.dedup();
    let values = || workers.iter().flat_map(|worker| worker.timeline.iter().filter_map(of));
    let y = match unit {
        "ns" => Axis::durations(values().map(|ns| ns as u64)),
        _ => Axis::amounts(values().fold(0.0, f64::max)),
    };
    let mut plot = Plot::new(Axis::seconds(moments.last().map_or(1.0, |&ns| ns as f64 / 1e9)), y, 200.0);
    for (worker, look) in workers.iter().zip(LOOKS) {
        plot.line(look, worker.timeline.iter().filter_map(|at| Some((at.at_ns as f64 / 1e9, of(at)?))));
    }
    let line = |(worker, look): (&&crate::report::WorkerReport, &str)| {
        let at =
            |ns: &u64| worker.timeline.iter().find(|look| look.at_ns == *ns).and_then(of).map_or(Value::Null, number);
        json!({ "name": format!("worker {}", worker.process), "colour": look, "y": moments.iter().map(at).collect::<Value>() })
    };
    let figure = Figure {
        id,
        chart: "lines",
        title,
        how,
        says: format!("{title} of {}.", counted(run.workers.len() as u64, "worker")),
        data: json!({ "unit": unit, "by": "time", "x": moments.iter().map(|&ns| (ns as f64 / 1e6).round() / 1e3).collect::<Vec<_>>(),
                      "lines": workers.iter().zip(LOOKS).map(line).collect::<Vec<_>>() }),
        svg: plot.svg(),
    };
    figure.markup()
}

/// Response time, service time and lag beside each other; nothing in a closed run, where they are one.
pub(super) fn schedule(run: &RunReport) -> Markup {
    let Some(lag) = &run.schedule_lag_ns else { return html! {} };
    let rows: [(&str, &Summary); 3] = [
        ("response: from when it was due", &run.latency_ns),
        ("service: from when it started", &run.service_ns),
        ("lag: from due to start", lag),
    ];
    html! {
        section {
            h3 { "Schedule" }
            table {
                thead { tr { @for head in ["Time", "p50", "p90", "p99", "max"] { th scope="col" { (head) } } } }
                tbody { @for (name, s) in rows { tr {
                    th scope="row" { (name) }
                    @for ns in [s.p50, s.p90, s.p99, s.max] { td { (ns.map_or_else(|| "–".into(), duration)) } }
                } } }
            }
            (tables::facts(&[
                ("Due", Some(counted(run.operations.offered, "operation"))),
                ("Never started", Some(counted(run.operations.dropped, "operation"))),
                ("In flight at most", run.plan.max_in_flight.map(crate::report::units::count)),
            ]))
        }
    }
}
