//! The state of the generator: its workers over time, and how well an open run kept to its schedule.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::figure::{Chart, ChartFigure, Over, number};
use super::plot::{Axis, Plot, Scale};
use super::{charts, tables};
use crate::metrics::Measure;
use crate::report::units::{counted, duration, or_dash};
use crate::report::{HealthReport, ModelName, Report, RunReport, WorkerReport, curves, words};

/// The most workers that are drawn; the table has all.
const MOST_DRAWN: usize = 4;

/// The classes of their lines, which differ from those of results.
const LOOKS: [&str; MOST_DRAWN] = ["p50", "p90", "p99", "max"];

/// The figure of a worker's health that is drawn.
type HealthFigure = fn(&HealthReport) -> Option<f64>;

/// The charts of the workers' health; without health samples nothing.
pub(super) fn charts(run: &RunReport, report: &Report, id: &str) -> Markup {
    let seconds = |worker: &WorkerReport| worker.timeline.len();
    if run.workers.iter().map(seconds).max().unwrap_or(0) < 2 {
        return html! {};
    }
    html! {
        div .charts {
            (processors(run, report, format!("{id}-cores")))
            @if run.schedule_lag_ns.is_some() {
                (chart(run, format!("{id}-lag"), "Schedule lag",
                       "The latest start of an operation, by worker. If it is close to the latencies, the generator distorts them.",
                       Scale::Durations, |look| Some(look.lag_ns.max(1) as f64), Vec::new()))
            } @else {
                (chart(run, format!("{id}-memory"), "Memory", "Memory that each worker had resident, in MB.", Scale::Amounts,
                       |look| Some(look.rss_bytes as f64 / 1e6), Vec::new()))
            }
        }
    }
}

/// A line beside those of the workers: its name, its class, and its values at the moments.
struct Beside {
    name: &'static str,
    look: &'static str,
    at: Vec<(u64, f64)>,
}

fn processors(run: &RunReport, report: &Report, id: String) -> Markup {
    let busy = curves::busy(run);
    let ends = || [busy.first(), busy.last()].into_iter().flatten().map(|&(at, _)| at);
    let limit = curves::processors(run, report).map(|limit| Beside {
        name: "limit",
        look: "ideal",
        at: ends().map(|at| (at, limit)).collect(),
    });
    let all = (run.workers.len() > 1).then(|| Beside { name: "all workers", look: "all", at: busy.clone() });
    let how = "Processors that the workers kept busy, and, dashed, those that they could have: all workers together \
               stay below that.";
    let beside = all.into_iter().chain(limit).collect();
    chart(run, id, "Processors busy", how, Scale::Amounts, |look| look.cpu, beside)
}

fn chart(
    run: &RunReport,
    id: String,
    title: &str,
    how: &str,
    scale: Scale,
    of: HealthFigure,
    beside: Vec<Beside>,
) -> Markup {
    let workers: Vec<_> = run.workers.iter().filter(|worker| !worker.timeline.is_empty()).take(MOST_DRAWN).collect();
    let mut moments: Vec<u64> =
        workers.iter().flat_map(|worker| worker.timeline.iter().map(|look| look.at_ns)).collect();
    moments.extend(beside.iter().flat_map(|line| &line.at).map(|(at, _)| at));
    moments.sort_unstable();
    moments.dedup();
    let of_workers = workers.iter().flat_map(|worker| worker.timeline.iter().filter_map(of));
    let y = scale.axis(of_workers.chain(beside.iter().flat_map(|line| &line.at).map(|(_, value)| *value)));
    let mut plot = Plot::new(Axis::seconds(moments.last().map_or(1.0, |&ns| ns as f64 / 1e9)), y, 200.0);
    for (worker, look) in workers.iter().zip(LOOKS) {
        plot.line(look, worker.timeline.iter().filter_map(|at| Some((at.at_ns as f64 / 1e9, of(at)?))));
    }
    let seconds = |ns: u64| ns as f64 / 1e9;
    for line in &beside {
        plot.line(line.look, line.at.iter().map(|&(at, value)| (seconds(at), value)));
    }
    let line = |(worker, look): (&&WorkerReport, &str)| {
        let at =
            |ns: &u64| worker.timeline.iter().find(|look| look.at_ns == *ns).and_then(of).map_or(Value::Null, number);
        json!({ "name": format!("worker {}", worker.process), "colour": look, "y": moments.iter().map(at).collect::<Value>() })
    };
    let of_beside = |line: &Beside| {
        let at = |ns: &u64| line.at.iter().find(|(at, _)| at == ns).map_or(Value::Null, |(_, value)| number(*value));
        let is_bound = line.look == "ideal";
        json!({ "name": line.name, "colour": if is_bound { "faint" } else { line.look }, "dashed": is_bound,
                "y": moments.iter().map(at).collect::<Value>() })
    };
    let names = workers.iter().map(|worker| format!("worker {}", worker.process)).collect::<Vec<_>>();
    let legend = LOOKS.into_iter().zip(names.iter().map(String::as_str));
    let legend = legend.chain(beside.iter().map(|line| (line.look, line.name)));
    let figure = ChartFigure {
        id,
        chart: Chart::Lines,
        title,
        how,
        says: format!("{title} of {}.", counted(run.workers.len() as u64, "worker")),
        data: json!({ "unit": scale.unit(), "by": Over::Time, "x": moments.iter().map(|&ns| (ns as f64 / 1e6).round() / 1e3).collect::<Vec<_>>(),
                      "lines": workers.iter().zip(LOOKS).map(line).chain(beside.iter().map(of_beside)).collect::<Vec<_>>() }),
        svg: html! { (plot.svg()) @if workers.len() + beside.len() > 1 { (charts::legend(legend)) } },
    };
    figure.markup()
}

/// Response time, service time and lag side by side; nothing in a closed run, where the first two are equal.
pub(super) fn schedule(run: &RunReport) -> Markup {
    if run.plan.load_model == ModelName::Closed {
        return html! {};
    }
    let rows: Vec<_> =
        Measure::ALL.into_iter().filter_map(|of| Some((words::measure(of), run.measured(of)?))).collect();
    html! {
        section {
            h3 { "Schedule" }
            div .scroll tabindex="0" role="region" aria-label="Schedule" { table {
                thead { tr { @for head in ["Time", "p50", "p90", "p99", "max"] { th scope="col" { (head) } } } }
                tbody { @for ((name, span), s) in rows { tr {
                    th scope="row" { (name) ": " (span) }
                    @for ns in [s.p50, s.p90, s.p99, s.max] { td { (or_dash(ns, duration)) } }
                } } }
            } }
            (tables::facts(&[
                ("Due", Some(counted(run.operations.offered, "operation"))),
                ("Never started", Some(counted(run.operations.dropped, "operation"))),
                ("In flight at most", run.plan.max_in_flight.map(crate::report::units::count)),
            ]))
        }
    }
}
