//! The part of a suite's page above its runs: a table of all runs, their distributions, how throughput scales, and the
//! results of all runs if they ran the same task.

use maud::{Markup, html};
use serde_json::json;

use super::figure::{Chart, ChartFigure, number};
use super::overlay::{self, Distribution};
use super::palette::{self, Mark, Palette};
use super::plot::{Axis, Plot};
use super::tables::{self, WIDE};
use crate::report::curves::{self, Scaling};
use crate::report::suite::{self, SuiteRow};
use crate::report::units::{count, counted, duration, or_dash, percent, rate};
use crate::report::{Report, words};

/// The most runs whose distributions are drawn over each other: the style sheet has so many colours.
const MOST_DRAWN: usize = 10;

/// The overview of several runs.
pub(super) fn section(report: &Report, palette: &Palette<'_>) -> Markup {
    let total = &report.total;
    let rows = suite::rows(report);
    html! {
        section #overview {
            h2 { "All runs" }
            p .headline { (words::runs(report)) ", " (words::headline_of_suite(report)) "." }
            (runs(report, &rows))
            div .charts { (percentiles(report, &rows)) }
            @for (i, scaling) in curves::scaling(report).iter().enumerate() { (chart(scaling, i)) }
            @if words::is_of_one_task(report) {
                h3 { "Results of all runs" }
                (tables::results(total.throughput, &total.latency_ns, total.ok.as_ref(), &total.results, palette))
            }
        }
    }
}

/// The runs, which are also the page's table of contents.
fn runs(report: &Report, rows: &[SuiteRow]) -> Markup {
    let has_lost = rows.iter().any(|row| row.lost > 0);
    let is_shown = |head: &str| head != "shape" && (head != "lost" || has_lost);
    let heads: Vec<_> = words::SUITE_HEAD.iter().enumerate().filter(|(_, head)| is_shown(head)).collect();
    let class = |head: &str| WIDE.filter(|_| matches!(head, "operations" | "scaling" | "lost"));
    let row = |i: usize, row: &SuiteRow| {
        let (cells, (mean, spread)) = (words::suite_cells(row), words::suite_rate(row));
        let failed: Vec<usize> = row.numbers.iter().copied().filter(|number| has_failed(report, *number)).collect();
        html! { tr class=[(!failed.is_empty()).then_some("bad")] {
            th scope="row" {
                @if i < MOST_DRAWN { (palette::swatch(&colour(i), Mark::None)) " " }
                (tables::name(&row.name)) ", " span .whole { (row.shape) }
                span .numbers { @for number in &row.numbers {
                    " " a href=(format!("#run-{number}")) { "run " (number) @if failed.contains(number) { " ✕" } }
                } }
            }
            @for (at, head) in &heads { td class=[class(head)] {
                @if **head == "ops/s" { (mean) span .wide { (spread) } } @else { (cells[*at]) }
            } }
        } }
    };
    html! {
        nav .scroll tabindex="0" aria-label="Runs" { table .suite {
            thead { tr {
                th scope="col" { "Run" }
                @for (_, head) in &heads { th scope="col" class=[class(head)] { (head) } }
            } }
            tbody { @for (i, of) in rows.iter().enumerate() { (row(i, of)) } }
        } }
    }
}

/// Whether a verdict failed a run, by its number.
fn has_failed(report: &Report, number: usize) -> bool {
    report.verdicts.iter().any(|verdict| verdict.failed && verdict.run + 1 == number)
}

fn colour(row: usize) -> String {
    format!("ok-{row}")
}

/// The distributions of all runs over each other; repetitions are one curve.
fn percentiles(report: &Report, rows: &[SuiteRow]) -> Markup {
    let distribution = |(i, row): (usize, &SuiteRow)| {
        let pooled: Vec<_> = row.numbers.iter().map(|number| &report.runs[number - 1].latency_ns).collect();
        Distribution {
            name: format!("{}, {}", row.name, row.shape),
            class: colour(i),
            curve: curves::pooled_percentiles(&pooled),
        }
    };
    let drawn: Vec<_> = rows.iter().take(MOST_DRAWN).enumerate().map(distribution).collect();
    let rest = if rows.len() > MOST_DRAWN { " The first ten runs are drawn." } else { "" };
    let how = format!(
        "The share of a run's operations, to the right, that took no longer than a duration, upwards. Repetitions are \
         one curve.{rest}"
    );
    let says = format!("Latency by percentile of {}.", counted(drawn.len() as u64, "run"));
    overlay::chart("all-percentiles".into(), "Latency distributions", &how, says, &drawn)
}

fn chart(scaling: &Scaling<'_>, i: usize) -> Markup {
    let points = &scaling.points;
    let most = points.iter().map(|point| point.throughput.max(point.ideal)).fold(0.0, f64::max);
    let widest = points.iter().map(|point| point.in_flight).max().unwrap_or(1) as f64;
    let mut plot = Plot::new(Axis::amounts(widest), Axis::amounts(most), 260.0);
    let at = |figure: fn(&curves::ScalingPoint) -> f64| points.iter().map(move |p| (p.in_flight as f64, figure(p)));
    plot.line("ideal", [(0.0, 0.0)].into_iter().chain(at(|point| point.ideal)));
    plot.line("all", at(|point| point.throughput));
    plot.points("all", at(|point| point.throughput));
    let best = points.iter().max_by(|a, b| a.throughput.total_cmp(&b.throughput));
    let figure = ChartFigure {
        id: format!("scaling-{}", i + 1),
        chart: Chart::Scaling,
        title: "Scaling",
        how: "Throughput by the number of operations in flight. On the dashed line each of them would do as much as in the \
              smallest shape. Where the curve falls below it, operations wait for each other.",
        says: best.map_or_else(String::new, |best| {
            format!(
                "Scaling over {} shapes: {} per second at most, with {}.",
                points.len(),
                rate(best.throughput),
                best.shape
            )
        }),
        data: json!({
            "in_flight": points.iter().map(|point| point.in_flight).collect::<Vec<_>>(),
            "shape": points.iter().map(|point| &point.shape).collect::<Vec<_>>(),
            "throughput_per_s": points.iter().map(|point| number(point.throughput)).collect::<Vec<_>>(),
            "ideal_per_s": points.iter().map(|point| number(point.ideal)).collect::<Vec<_>>(),
        }),
        svg: plot.svg(),
    };
    html! {
        div .charts.pair { (figure.markup()) (table(scaling)) }
    }
}

/// A share of the ideal, which can be more than all of it.
fn of_ideal(share: f64) -> String {
    if share > 1.0 { format!("{:.0} %", share * 100.0) } else { percent(share) }
}

fn table(scaling: &Scaling<'_>) -> Markup {
    html! {
        div .scroll tabindex="0" role="region" aria-label="Scaling" { table {
            caption { (tables::name(scaling.name)) }
            thead { tr {
                @for (head, class) in [
                    ("Shape", None), ("in flight", WIDE), ("per second", None), ("ideal", WIDE),
                    ("of ideal", None), ("p99", None),
                ] { th scope="col" class=[class] { (head) } }
            } }
            tbody { @for point in &scaling.points { tr {
                th scope="row" { (point.shape) @if point.runs > 1 { " (" (point.runs) " runs)" } }
                td .wide { (count(point.in_flight)) } td { (rate(point.throughput)) } td .wide { (rate(point.ideal)) }
                td { (of_ideal(point.efficiency)) }
                td { (or_dash(point.p99, duration)) }
            } } }
        } }
    }
}
