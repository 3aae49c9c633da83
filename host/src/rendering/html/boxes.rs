//! The charts of the boxes of a run.

use maud::{Markup, html};

use super::charts;
use super::figure::Over;
use super::lines::{Extras, Line, LineChart};
use super::plot::{Axis, Scale};
use crate::report::{BoxReport, RunReport, TimelineReport, curves};

/// The most boxes that are drawn; the table and the JSON report have all.
const MOST_DRAWN: usize = 10;

/// A box that is drawn, with its timeline.
type DrawnBox<'a> = (&'a BoxReport, &'a TimelineReport);

/// The charts of the boxes over time; nothing if that is not known.
pub(super) fn charts(run: &RunReport, id: &str) -> Markup {
    let known = run.boxes.iter().filter_map(|of| Some((of, of.timeline.as_ref()?)));
    let drawn: Vec<DrawnBox<'_>> = known.take(MOST_DRAWN).collect();
    if drawn.is_empty() || run.timeline.buckets.is_empty() {
        return html! {};
    }
    let rates = |timeline: &TimelineReport| curves::part_rates(run, timeline).into_iter().map(Some).collect();
    let (intervals, edges) = (charts::edges(run), charts::rate_edges(run));
    let p99 = |timeline: &TimelineReport| {
        timeline.buckets.iter().map(|bucket| bucket.latency_ns.p99.map(|ns| ns as f64)).collect()
    };
    html! {
        div .charts {
            (chart(edges, format!("{id}-box-rates"), "Throughput by box",
                   "Operations that ended per second on each box.", Scale::PerSecond, &drawn, &rates))
            (chart(intervals, format!("{id}-box-p99"), "p99 by box",
                   "The 99th percentile of the durations on each box, by interval. A box that is apart from the others \
                    is slower, or farther away.", Scale::Durations, &drawn, &p99))
        }
    }
}

fn chart(
    edges: Vec<f64>,
    id: String,
    title: &str,
    how: &str,
    scale: Scale,
    drawn: &[DrawnBox<'_>],
    values: &dyn Fn(&TimelineReport) -> Vec<Option<f64>>,
) -> Markup {
    let names: Vec<&str> = drawn.iter().map(|(of, _)| of.name.as_str()).collect();
    let lines = drawn
        .iter()
        .enumerate()
        .map(|(i, (of, timeline))| Line::new(of.name.as_str(), format!("ok-{i}"), values(timeline)));
    let chart = LineChart {
        id,
        title,
        how,
        says: format!("{title}: {}.", names.join(", ")),
        over: Over::Time,
        x: Axis::seconds(edges.last().copied().unwrap_or(1.0)),
        places: edges,
        scale,
        height: 200.0,
        is_stepped: true,
        lines: lines.collect(),
        extras: Extras::default(),
    };
    chart.markup()
}
