//! Draws reports over each other, run by run, in the order of their files.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::figure::{Chart, ChartFigure, Over, number};
use super::plot::{Axis, Plot, Scale};
use super::{Reach, charts, document, finished, prose, tables};
use crate::report::curves;
use crate::report::units::{count, duration, or_dash, percent, rate};
use crate::report::{BucketReport, Report, RunReport, Summary, units, words};

/// The letters and colours of the compared reports; further ones are distinguished by name only.
const LOOKS: [(&str, &str); 4] = [("a", "ok-0"), ("b", "all"), ("c", "ok-1"), ("d", "ok-2")];

/// A page that overlays reports, each with its name. The sentences appear above, for example whether a difference is
/// more than chance.
pub fn compare(reports: &[(&str, &Report)], sentences: &[&str]) -> String {
    let runs = reports.iter().map(|(_, report)| report.runs.len()).min().unwrap_or(0);
    let title = reports.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" and ");
    let body = html! {
        main #report {
            header {
                h1 { (tables::name(&title)) }
                @for sentence in sentences { p .headline { (tables::name(&prose::capital(sentence))) "." } }
                (legend(reports))
            }
            @for i in 0..runs { (section(i, &of_run(reports, i))) }
            footer { "gorgon " (env!("CARGO_PKG_VERSION")) " · charts by uPlot (MIT)" }
        }
    };
    finished(document(&title, &body, Reach::Nothing))
}

type NamedRun<'a> = (&'a str, &'a RunReport);

fn of_run<'a>(reports: &[(&'a str, &'a Report)], i: usize) -> Vec<NamedRun<'a>> {
    reports.iter().filter_map(|(name, report)| Some((*name, report.runs.get(i)?))).collect()
}

fn look(i: usize) -> (&'static str, &'static str) {
    LOOKS[i % LOOKS.len()]
}

fn legend(reports: &[(&str, &Report)]) -> Markup {
    html! { p .lines { @for (i, (name, report)) in reports.iter().enumerate() {
        span class=(format!("key {}", look(i).0)) { (tables::name(name)) " " (report.runs.first().map(|run| words::moment(&run.started_at)).unwrap_or_default()) }
    } } }
}

fn section(i: usize, runs: &[NamedRun<'_>]) -> Markup {
    let id = format!("run-{}", i + 1);
    let over_time = |name: &str, title: &'static str, how: &'static str, scale, figure: &IntervalFigure<'_>| {
        lines(format!("{id}-{name}"), title, how, scale, runs, figure)
    };
    let latency = |of: fn(&Summary) -> Option<u64>| {
        move |_: &RunReport, bucket: &BucketReport, _: f64| of(&bucket.latency_ns).map(|ns| ns as f64)
    };
    html! {
        section #(id) {
            h2 { "Run " (i + 1) ": " (tables::name(&runs.first().map(|(_, run)| words::short(run)).unwrap_or_default())) }
            (figures(runs))
            div .charts {
                (over_time("throughput", "Throughput", "Operations that ended per second, from the beginning of each run.",
                           Scale::PerSecond, &|_, _, rate| Some(rate)))
                (percentiles(&format!("{id}-percentiles"), runs))
                (over_time("p50", "Median over time", "Half of the operations of an interval took less.", Scale::Durations,
                           &latency(|s| s.p50)))
                (over_time("p99", "p99 over time", "One in a hundred operations of an interval took longer.", Scale::Durations,
                           &latency(|s| s.p99)))
            }
        }
    }
}

/// The figures side by side, and the change from the first report to the last.
fn figures(runs: &[NamedRun<'_>]) -> Markup {
    type Of = fn(&RunReport) -> Option<f64>;
    type Show = fn(f64) -> String;
    let ns: Show = |ns| duration(ns as u64);
    let rows: [(&str, Of, Show); 8] = [
        ("operations", |run| Some(run.operations.completed as f64), |n| count(n as u64)),
        ("per second", |run| run.throughput, rate),
        ("not ok", |run| run.operations.share_not_ok(), percent),
        ("p50", |run| run.latency_ns.p50.map(|ns| ns as f64), ns),
        ("p90", |run| run.latency_ns.p90.map(|ns| ns as f64), ns),
        ("p99", |run| run.latency_ns.p99.map(|ns| ns as f64), ns),
        ("p99.9", |run| run.latency_ns.p99_9.map(|ns| ns as f64), ns),
        ("max", |run| run.latency_ns.max.map(|ns| ns as f64), ns),
    ];
    html! {
        div .scroll tabindex="0" role="region" aria-label="Figures" { table {
            thead { tr { th scope="col" { "Figure" } @for (name, _) in runs { th scope="col" { (tables::name(name)) } } th scope="col" { "change" } } }
            tbody { @for (label, of, show) in rows {
                @let values: Vec<Option<f64>> = runs.iter().map(|(_, run)| of(run)).collect();
                tr {
                    th scope="row" { (label) }
                    @for value in &values { td { (or_dash(*value, show)) } }
                    td { (change(&values)) }
                }
            } }
        } }
    }
}

fn change(values: &[Option<f64>]) -> String {
    let ends = values.first().copied().flatten().zip(values.last().copied().flatten());
    match ends.and_then(|(from, to)| curves::change(from, to)) {
        Some(0.0) => "none".into(),
        of => or_dash(of, units::change),
    }
}

/// A figure of an interval, from its run, the interval itself, and its rate.
type IntervalFigure<'a> = dyn Fn(&RunReport, &BucketReport, f64) -> Option<f64> + 'a;

fn lines(
    id: String,
    title: &str,
    how: &str,
    scale: Scale,
    runs: &[NamedRun<'_>],
    figure: &IntervalFigure<'_>,
) -> Markup {
    let of_run = |run: &RunReport| -> (Vec<f64>, Vec<Option<f64>>) {
        let rates = curves::rates(run, &[]).completed;
        let values = run.timeline.buckets.iter().zip(rates).map(|(bucket, rate)| figure(run, bucket, rate)).collect();
        (charts::edges(run), values)
    };
    let drawn: Vec<_> = runs.iter().map(|(_, run)| of_run(run)).collect();
    // The intervals of two runs may have different lengths, so the common axis has the edges of all.
    let mut edges: Vec<f64> = drawn.iter().flat_map(|(edges, _)| edges.iter().copied()).collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    let held = |(of_run, values): &(Vec<f64>, Vec<Option<f64>>)| -> Vec<Option<f64>> {
        let starts = edges.iter().take(edges.len().saturating_sub(1));
        let at = |start: &f64| of_run.partition_point(|edge| edge <= start).checked_sub(1);
        starts.map(|start| values.get(at(start)?).copied().flatten()).collect()
    };
    let held: Vec<_> = drawn.iter().map(held).collect();
    let values = || held.iter().flatten().flatten().copied();
    let y = scale.axis(values());
    let mut plot = Plot::new(Axis::seconds(edges.last().copied().unwrap_or(1.0)), y, 220.0);
    held.iter().enumerate().for_each(|(i, values)| plot.steps(look(i).0, &edges, values));
    let of_line = |(i, (name, _)): (usize, &NamedRun<'_>)| {
        let y: Value = held[i].iter().map(|value| value.map_or(Value::Null, number)).collect();
        json!({ "name": name, "colour": look(i).1, "dashed": i % 2 == 1, "y": y })
    };
    let data = json!({ "unit": scale.unit(), "by": Over::Time, "steps": true, "x": edges.iter().map(|&s| (s * 1e6).round() / 1e6).collect::<Vec<_>>(),
                       "lines": runs.iter().enumerate().map(of_line).collect::<Vec<_>>() });
    ChartFigure {
        id,
        chart: Chart::Lines,
        title,
        how,
        says: format!("{title} of {} runs.", runs.len()),
        data,
        svg: plot.svg(),
    }
    .markup()
}

fn percentiles(id: &str, runs: &[NamedRun<'_>]) -> Markup {
    let curves: Vec<_> = runs.iter().map(|(_, run)| curves::percentiles(&run.latency_ns)).collect();
    let longest = curves.iter().max_by_key(|curve| curve.len()).cloned().unwrap_or_default();
    let y = Axis::durations(curves.iter().flatten().map(|&(_, ns)| ns));
    let mut plot = Plot::new(Axis::nines(longest.last().map_or(1.0, |&(nines, _)| nines)), y, 220.0);
    for (i, curve) in curves.iter().enumerate() {
        plot.line(look(i).0, curve.iter().map(|&(nines, ns)| (nines, ns as f64)));
    }
    let of_line = |(i, (name, _)): (usize, &NamedRun<'_>)| {
        let y: Value =
            (0..longest.len()).map(|at| curves[i].get(at).map_or(Value::Null, |&(_, ns)| ns.into())).collect();
        json!({ "name": name, "colour": look(i).1, "dashed": i % 2 == 1, "y": y })
    };
    let figure = ChartFigure {
        id: id.to_owned(),
        chart: Chart::Lines,
        title: "Latency distribution",
        how: "The share of operations, to the right, that took no longer than a duration, upwards. Where one curve lies \
              above the other, that run was slower.",
        says: format!("Latency by percentile of {} runs.", runs.len()),
        data: json!({ "unit": "ns", "by": Over::Nines, "x": longest.iter().map(|&(nines, _)| nines).collect::<Vec<_>>(),
                      "lines": runs.iter().enumerate().map(of_line).collect::<Vec<_>>() }),
        svg: plot.svg(),
    };
    figure.markup()
}
