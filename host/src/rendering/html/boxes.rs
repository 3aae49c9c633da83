//! The charts of the boxes of a run.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::charts::{self, legend};
use super::figure::{Chart, ChartFigure, Over, number};
use super::plot::{Axis, Plot, Scale};
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
    let p99 = |timeline: &TimelineReport| {
        timeline.buckets.iter().map(|bucket| bucket.latency_ns.p99.map(|ns| ns as f64)).collect()
    };
    html! {
        div .charts {
            (chart(run, format!("{id}-box-rates"), "Throughput by box",
                   "Operations that ended per second on each box.", Scale::PerSecond, &drawn, &rates))
            (chart(run, format!("{id}-box-p99"), "p99 by box",
                   "The 99th percentile of the durations on each box, by interval. A box that is apart from the others \
                    is slower, or farther away.", Scale::Durations, &drawn, &p99))
        }
    }
}

fn chart(
    run: &RunReport,
    id: String,
    title: &str,
    how: &str,
    scale: Scale,
    drawn: &[DrawnBox<'_>],
    values: &dyn Fn(&TimelineReport) -> Vec<Option<f64>>,
) -> Markup {
    let edges = charts::edges(run);
    let lines: Vec<_> = drawn.iter().map(|(of, timeline)| (of.name.as_str(), values(timeline))).collect();
    let colours: Vec<String> = (0..lines.len()).map(|i| format!("ok-{i}")).collect();
    let y = scale.axis(lines.iter().flat_map(|(_, values)| values.iter().flatten().copied()));
    let mut plot = Plot::new(Axis::seconds(edges.last().copied().unwrap_or(1.0)), y, 200.0);
    lines.iter().zip(&colours).for_each(|((_, values), colour)| plot.steps(colour, &edges, values));
    let of_line = |((name, values), colour): (&(&str, Vec<Option<f64>>), &String)| {
        let y: Value = values.iter().map(|value| value.map_or(Value::Null, number)).collect();
        json!({ "name": name, "colour": colour, "y": y })
    };
    let names = lines.iter().zip(&colours).map(|((name, _), colour)| (colour.as_str(), *name));
    let figure = ChartFigure {
        id,
        chart: Chart::Lines,
        title,
        how,
        says: format!("{title}: {}.", lines.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")),
        data: json!({ "unit": scale.unit(), "by": Over::Time, "steps": true,
                      "x": edges.iter().map(|&s| (s * 1e6).round() / 1e6).collect::<Vec<_>>(),
                      "lines": lines.iter().zip(&colours).map(of_line).collect::<Vec<_>>() }),
        svg: html! { (plot.svg()) (legend(names)) },
    };
    figure.markup()
}
