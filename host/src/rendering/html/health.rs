//! The state of the generator: its workers over time, and how well an open run kept to its schedule.

use maud::{Markup, html};

use super::figure::Over;
use super::lines::{Extras, Line, LineChart};
use super::plot::{Axis, Scale};
use super::tables;
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

fn processors(run: &RunReport, report: &Report, id: String) -> Markup {
    let busy = curves::busy(run);
    let limit = curves::processors(run, report).map(|limit| {
        let ends = [busy.first(), busy.last()].into_iter().flatten();
        ("limit".to_owned(), "ideal", ends.map(|&(at, _)| (at, limit)).collect())
    });
    let all = (run.workers.len() > 1).then(|| ("all workers".to_owned(), "all", busy.clone()));
    let how = "Processors that the workers kept busy, and, dashed, those that they could have: all workers together \
               stay below that.";
    let beside = all.into_iter().chain(limit).collect();
    chart(run, id, "Processors busy", how, Scale::Amounts, |look| look.cpu, beside)
}

/// What was sampled: a name, a class, and values at moments in nanoseconds.
type Sampled = (String, &'static str, Vec<(u64, f64)>);

fn chart(
    run: &RunReport,
    id: String,
    title: &str,
    how: &str,
    scale: Scale,
    of: HealthFigure,
    beside: Vec<Sampled>,
) -> Markup {
    let workers = run.workers.iter().filter(|worker| !worker.timeline.is_empty()).take(MOST_DRAWN).zip(LOOKS);
    let of_worker = |(worker, look): (&WorkerReport, &'static str)| {
        let values = worker.timeline.iter().filter_map(|at| Some((at.at_ns, of(at)?)));
        (format!("worker {}", worker.process), look, values.collect())
    };
    let sampled: Vec<Sampled> = workers.map(of_worker).chain(beside).collect();
    let mut moments: Vec<u64> = sampled.iter().flat_map(|(.., values)| values).map(|&(at, _)| at).collect();
    moments.sort_unstable();
    moments.dedup();
    // Not every line has a value at every moment.
    let line = |(name, look, values): &Sampled| {
        let at = |moment: &u64| Some(values[values.binary_search_by_key(moment, |&(at, _)| at).ok()?].1);
        Line::new(name.as_str(), *look, moments.iter().map(at).collect())
    };
    let lines = sampled.iter().map(line).collect();
    let seconds = |ns: u64| ns as f64 / 1e9;
    let chart = LineChart {
        id,
        title,
        how,
        says: format!("{title} of {}.", counted(run.workers.len() as u64, "worker")),
        over: Over::Time,
        x: Axis::seconds(moments.last().map_or(1.0, |&ns| seconds(ns))),
        places: moments.iter().map(|&ns| seconds(ns)).collect(),
        scale,
        height: 200.0,
        is_stepped: false,
        lines,
        extras: Extras::default(),
    };
    chart.markup()
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
