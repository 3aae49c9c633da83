//! The part of a suite's page above its runs: a table of all runs, the total, and how throughput scales.

use maud::{Markup, html};
use serde_json::json;

use super::figure::{Chart, ChartFigure, number};
use super::palette::Palette;
use super::plot::{Axis, Plot};
use super::tables::{self, WIDE};
use crate::report::curves::{self, Scaling};
use crate::report::units::{count, counted, duration, or_dash, percent, rate};
use crate::report::{Report, RunReport, words};

/// The overview of several runs.
pub(super) fn section(report: &Report, palette: &Palette<'_>) -> Markup {
    let total = &report.total;
    html! {
        section #overview {
            h2 { "All runs" }
            p .headline {
                (counted(total.operations.completed, "operation")) " in " (duration(total.elapsed_ns))
                @if let Some(per_second) = total.throughput { ", " (rate(per_second)) " per second" } "."
            }
            (runs(report))
            @for (i, scaling) in curves::scaling(report).iter().enumerate() { (chart(scaling, i)) }
            h3 { "Results of all runs" }
            (tables::results(total.throughput, &total.latency_ns, total.ok.as_ref(), &total.results, palette))
        }
    }
}

fn runs(report: &Report) -> Markup {
    let time = |ns: Option<u64>| or_dash(ns, duration);
    let row = |i: usize, run: &RunReport| {
        html! { tr {
            th scope="row" { a href=(format!("#run-{}", i + 1)) { (i + 1) " " (tables::name(&words::short(run))) } }
            td .wide { (count(run.operations.completed)) }
            td { (or_dash(run.throughput, rate)) }
            td { (or_dash(run.operations.share_not_ok(), percent)) }
            td .wide { (time(run.latency_ns.p50)) } td { (time(run.latency_ns.p99)) } td .wide { (time(run.latency_ns.max)) }
            td .wide { (duration(run.elapsed_ns)) }
        } }
    };
    html! {
        div .scroll tabindex="0" role="region" aria-label="Runs" { table {
            thead { tr {
                @for (head, class) in [
                    ("Run", None), ("operations", WIDE), ("per second", None), ("not ok", None),
                    ("p50", WIDE), ("p99", None), ("max", WIDE), ("time", WIDE),
                ] { th scope="col" class=[class] { (head) } }
            } }
            tbody { @for (i, run) in report.runs.iter().enumerate() { (row(i, run)) } }
        } }
    }
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

fn table(scaling: &Scaling<'_>) -> Markup {
    html! {
        div .scroll tabindex="0" role="region" aria-label="Scaling" { table {
            caption { (tables::name(words::file_name(scaling.task))) }
            thead { tr {
                @for (head, class) in [
                    ("Shape", None), ("in flight", WIDE), ("per second", None), ("ideal", WIDE),
                    ("of ideal", None), ("p99", None),
                ] { th scope="col" class=[class] { (head) } }
            } }
            tbody { @for point in &scaling.points { tr {
                th scope="row" { (point.shape) @if point.runs > 1 { " (" (point.runs) " runs)" } }
                td .wide { (count(point.in_flight)) } td { (rate(point.throughput)) } td .wide { (rate(point.ideal)) }
                td { (percent(point.efficiency)) }
                td { (or_dash(point.p99, duration)) }
            } } }
        } }
    }
}
