//! The charts of one run: throughput, failures, latency over time, percentiles, heat.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::figure::{Chart, ChartFigure, Over, number, numbers};
use super::lines::{Extras, Line, LineChart};
use super::palette::Palette;
use super::plot::{Axis, Plot, Scale};
use crate::report::curves::{self, Rates};
use crate::report::units::{counted, duration, rate};
use crate::report::{BucketReport, RunReport, Summary};

/// The columns and rows of the drawn heat map; the interactive one has every interval and bin.
const HEAT_COLUMNS: usize = 60;
const HEAT_ROWS: usize = 30;

/// The most pairs of a bin and a count in the heat map's data. Each takes about four bytes, and a page must be small
/// enough to mail.
const MOST_PAIRS: usize = 40_000;

/// The operations of a run with fewer than this are drawn one by one: they have no percentiles over time.
const FEW: u64 = 50;

/// Shades of the heat map's drawing.
const SHADES: usize = 7;

/// All charts of a run; their identifiers begin with `id`.
pub(super) fn all(run: &RunReport, palette: &Palette<'_>, id: &str) -> Markup {
    if run.timeline.buckets.is_empty() {
        return html! { p .nothing { "No operation ended, so there is nothing to draw." } };
    }
    let rates = curves::rates(run, &palette.names());
    html! {
        div .charts {
            div .over-time {
                (throughput(run, palette, &rates, id))
                @if run.operations.not_ok() + run.operations.dropped > 0 { (failures(run, palette, &rates, id)) }
            }
            @match few(run) {
                Some(each) => { (dots(run, &each, id)) (in_flight(run, id)) (percentiles(run, palette, id)) },
                None => { (latency(run, id)) (in_flight(run, id)) (percentiles(run, palette, id)) (heat(run, id)) },
            }
        }
    }
}

/// The edges of the times whose rates are drawn, in seconds: one more than there are rates.
pub(super) fn rate_edges(run: &RunReport) -> Vec<f64> {
    [0].into_iter().chain(curves::rate_ends_ns(run)).map(|ns| ns as f64 / 1e9).collect()
}

/// The edges of the intervals, in seconds: one more than there are intervals.
pub(super) fn edges(run: &RunReport) -> Vec<f64> {
    [0].into_iter().chain(curves::ends_ns(run)).map(|ns| ns as f64 / 1e9).collect()
}

fn most(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(0.0, f64::max)
}

fn throughput(run: &RunReport, palette: &Palette<'_>, rates: &Rates<'_>, id: &str) -> Markup {
    let edges = rate_edges(run);
    let highest = most(&rates.completed).max(most(&rates.due));
    let mut plot = Plot::new(Axis::seconds(edges[edges.len() - 1]), Axis::amounts(highest), 240.0);
    let drain = drain(run);
    if let Some([from, to]) = drain {
        plot.between("gap", from, to);
    }
    // The total is drawn first, then ever smaller sums, so that each covers the part below its own.
    let mut top = rates.completed.clone();
    if most(&rates.others) > 0.0 {
        plot.area("others", &edges, &top);
        subtract(&mut top, &rates.others);
    }
    let mut drawn: Vec<_> =
        palette.drawn().iter().zip(&rates.results).filter(|(_, (_, rates))| most(rates) > 0.0).collect();
    // Failures are on top, where they are visible. Ordering by frequency would shuffle them while a run goes on.
    drawn.sort_by_key(|(drawn, _)| (drawn.is_bad, drawn.slot));
    for (drawn, (_, of_result)) in drawn.iter().rev() {
        plot.area(&format!("{}{}", drawn.classes(), if drawn.is_bad { " bad" } else { "" }), &edges, &top);
        subtract(&mut top, of_result);
    }
    if !rates.due.is_empty() {
        plot.steps("due", &edges, &rates.due.iter().map(|&rate| Some(rate)).collect::<Vec<_>>());
    }
    let results: Vec<Value> = (drawn.iter())
        .map(|(drawn, (name, rates))| {
            json!({ "result": name, "slot": drawn.slot, "colour": drawn.colour, "bad": drawn.is_bad, "rate": numbers(rates) })
        })
        .collect();
    let others = if most(&rates.others) > 0.0 { numbers(&rates.others) } else { Value::Null };
    let figure = ChartFigure {
        id: format!("{id}-throughput"),
        chart: Chart::Throughput,
        title: "Throughput",
        how: match (rates.due.is_empty(), drain) {
            (true, None) => STACKED,
            (true, Some(_)) => STACKED_AND_DRAINED,
            (false, None) => STACKED_OF_OFFERED,
            (false, Some(_)) => STACKED_OF_OFFERED_AND_DRAINED,
        },
        says: format!(
            "Throughput over {}: {} operations per second on average, {} at most in an interval of {}.",
            duration(run.elapsed_ns),
            run.throughput.map_or_else(|| "no".into(), rate),
            rate(most(&rates.completed)),
            duration(run.timeline.interval_ns),
        ),
        data: json!({ "at_s": numbers_exact(&edges), "completed_per_s": numbers(&rates.completed),
                      "failed_per_s": numbers(&rates.failed), "results": results, "others": others,
                      "due_per_s": if rates.due.is_empty() { Value::Null } else { numbers(&rates.due) }, "drain": drain }),
        svg: plot.svg(),
    };
    figure.markup()
}

const STACKED: &str =
    "Operations that ended per second, stacked by result: the upper edge is all of them. Failures are hatched.";
const STACKED_AND_DRAINED: &str = "Operations that ended per second, stacked by result: the upper edge is all of them. \
                                   Failures are hatched. The shaded time is after the planned end.";
const STACKED_OF_OFFERED: &str = "Operations that ended per second, stacked by result: the upper edge is all of them. \
                                  Failures are hatched. The dashed line is what was offered.";
const STACKED_OF_OFFERED_AND_DRAINED: &str = "Operations that ended per second, stacked by result: the upper edge is all of them. Failures are hatched. The dashed \
     line is what was offered; the shaded time is after the planned end.";

/// The time after the planned end in which operations still ended, in seconds.
fn drain(run: &RunReport) -> Option<[f64; 2]> {
    let drain_ns = run.drain_ns.filter(|&ns| ns > run.timeline.interval_ns)?;
    Some([run.elapsed_ns.saturating_sub(drain_ns), run.elapsed_ns].map(|ns| (ns as f64 / 1e6).round() / 1e3))
}

/// What waited, over time: of an open run only, as a closed one has as many in flight as it has instances.
fn in_flight(run: &RunReport, id: &str) -> Markup {
    let (in_flight, waiting) = curves::in_flight(run);
    if waiting.is_empty() {
        return html! {};
    }
    let edges = edges(run);
    let highest = in_flight.iter().chain(&waiting).copied().max().unwrap_or_default();
    let values = |counts: &[u64]| counts.iter().map(|&count| Some(count as f64)).collect();
    let chart = LineChart {
        id: format!("{id}-in-flight"),
        title: "In flight",
        how: if run.operations.lost > 0 {
            "Operations at the end of each interval that had started and not ended, and, dashed, those that were due and \
             had not started: the backlog. Those that were lost are left out, as nobody knows whether they had started."
        } else {
            "Operations at the end of each interval that had started and not ended, and, dashed, those that were due and \
             had not started: the backlog."
        },
        says: format!("At most {} in flight at the end of an interval.", counted(highest, "operation")),
        over: Over::Time,
        x: Axis::seconds(edges[edges.len() - 1]),
        places: edges,
        scale: Scale::Counts,
        height: 130.0,
        is_stepped: true,
        lines: vec![
            Line::new("in flight", "a", values(&in_flight)),
            Line::new("due, not started", "b", values(&waiting)),
        ],
        extras: Extras::default(),
    };
    chart.markup()
}

fn subtract(top: &mut [f64], rates: &[f64]) {
    top.iter_mut().zip(rates).for_each(|(top, rate)| *top = (*top - rate).max(0.0));
}

/// Seconds, exact to the millisecond.
fn numbers_exact(seconds: &[f64]) -> Value {
    let exact = |s: &f64| {
        let rounded = (s * 1e6).round() / 1e6;
        if rounded.fract() == 0.0 { Value::from(rounded as i64) } else { Value::from(rounded) }
    };
    seconds.iter().map(exact).collect()
}

fn failures(run: &RunReport, palette: &Palette<'_>, rates: &Rates<'_>, id: &str) -> Markup {
    let edges = rate_edges(run);
    let mut plot = Plot::new(
        Axis::seconds(edges[edges.len() - 1]),
        Axis::amounts(most(&rates.failed).max(most(&rates.dropped))),
        130.0,
    );
    plot.area("failed wash", &edges, &rates.failed);
    let bad = palette.drawn().iter().zip(&rates.results).filter(|(drawn, _)| drawn.is_bad);
    for (drawn, (_, rates)) in bad {
        plot.steps(&drawn.classes(), &edges, &rates.iter().map(|&rate| Some(rate)).collect::<Vec<_>>());
    }
    let has_dropped = most(&rates.dropped) > 0.0;
    if has_dropped {
        plot.steps("dropped", &edges, &rates.dropped.iter().map(|&rate| Some(rate)).collect::<Vec<_>>());
    }
    let results: Vec<Value> = (palette.drawn().iter().zip(&rates.results))
        .filter(|(drawn, _)| drawn.is_bad)
        .map(|(drawn, (name, rates))| {
            json!({ "result": name, "slot": drawn.slot, "colour": drawn.colour, "bad": true, "rate": numbers(rates) })
        })
        .collect();
    let figure = ChartFigure {
        id: format!("{id}-failures"),
        chart: Chart::Failures,
        title: "Failures",
        how: if has_dropped {
            "Operations per second that were not ok, on a separate scale. Each line is a result; the grey one counts \
             operations that were due and never started."
        } else {
            "Operations per second that were not ok, on a separate scale. Each line is a result."
        },
        says: format!(
            "Failures over time: {} in all, {} per second at most.",
            counted(run.operations.not_ok(), "operation"),
            rate(most(&rates.failed))
        ),
        data: json!({ "at_s": numbers_exact(&edges), "failed_per_s": numbers(&rates.failed), "results": results,
                      "dropped_per_s": if has_dropped { numbers(&rates.dropped) } else { Value::Null } }),
        svg: plot.svg(),
    };
    figure.markup()
}

/// A figure of a summary.
type Figured = fn(&Summary) -> Option<u64>;

/// The percentiles that are drawn over time.
const OVER_TIME: [(&str, Figured); 4] =
    [("p50", |s| s.p50), ("p90", |s| s.p90), ("p99", |s| s.p99), ("max", |s| s.max)];

fn latency(run: &RunReport, id: &str) -> Markup {
    let edges = edges(run);
    let of = |name: &str, figure: Figured| -> Vec<Option<u64>> {
        let figure = |bucket: &BucketReport| match name {
            // It is exact.
            "max" => figure(&bucket.latency_ns),
            _ => curves::settled(bucket, run.timeline.interval_ns, figure),
        };
        run.timeline.buckets.iter().map(figure).collect()
    };
    let lines = OVER_TIME.map(|(name, figure)| (name, of(name, figure)));
    let y = Axis::durations(lines.iter().flat_map(|(_, line)| line.iter().flatten().copied()));
    let mut plot = Plot::new(Axis::seconds(edges[edges.len() - 1]), y, 240.0);
    if let Some([from, to]) = drain(run) {
        plot.between("gap", from, to);
    }
    for (name, line) in lines.iter().rev() {
        let line: Vec<_> = line.iter().map(|ns| ns.map(|ns| ns as f64)).collect();
        match *name {
            // Intervals are not connected, because maxima of neighbours are unrelated.
            "max" => plot.apart(name, &edges, &line),
            _ => plot.steps(name, &edges, &line),
        }
    }
    let mut data = json!({ "at_s": numbers_exact(&edges), "drain": drain(run) });
    for (name, line) in &lines {
        data[format!("{name}_ns")] = json!(line);
    }
    let figure = ChartFigure {
        id: format!("{id}-latency"),
        chart: Chart::Latency,
        title: "Latency over time",
        how: "The durations of the operations that ended in each interval, on a logarithmic scale: half were shorter than \
              p50, one in a hundred longer than p99.",
        says: format!(
            "Latency over time. Of the whole run: median {}, 99th percentile {}, longest {}.",
            shown(run.latency_ns.p50),
            shown(run.latency_ns.p99),
            shown(run.latency_ns.max)
        ),
        data,
        svg: html! { (plot.svg()) (legend(OVER_TIME.map(|(name, _)| (name, name)))) },
    };
    figure.markup()
}

/// The operations of a run that has too few for percentiles over time.
fn few(run: &RunReport) -> Option<Vec<(f64, u64)>> {
    let completed = run.operations.completed;
    // Older reports may lack some.
    (completed < FEW).then(|| curves::each(run)).filter(|each| each.len() as u64 == completed)
}

fn dots(run: &RunReport, each: &[(f64, u64)], id: &str) -> Markup {
    let end = curves::ends_ns(run).last().unwrap_or_default() as f64 / 1e9;
    let chart = LineChart {
        id: format!("{id}-each"),
        title: "Every operation",
        how: "Each dot is an operation, in the middle of the interval in which it ended. They are too few for percentiles \
              over time.",
        says: format!("{}, the longest {}.", counted(each.len() as u64, "operation"), shown(run.latency_ns.max)),
        over: Over::Time,
        x: Axis::seconds(end),
        places: each.iter().map(|&(at, _)| at).collect(),
        scale: Scale::Durations,
        height: 240.0,
        is_stepped: false,
        lines: vec![Line::points("took", "ok-0", each.iter().map(|&(_, ns)| Some(ns as f64)).collect())],
        extras: Extras { end: Some(end), ..Extras::default() },
    };
    chart.markup()
}

/// A legend for lines that are not results: their classes and names.
fn legend<'a>(lines: impl IntoIterator<Item = (&'a str, &'a str)>) -> Markup {
    html! { p .lines { @for (look, name) in lines { span class=(format!("key {look}")) { (super::tables::name(name)) } } } }
}

fn shown(ns: Option<u64>) -> String {
    ns.map_or_else(|| "none".into(), duration)
}

fn percentiles(run: &RunReport, palette: &Palette<'_>, id: &str) -> Markup {
    let all = curves::percentiles(&run.latency_ns);
    let results: Vec<_> = (palette.drawn().iter())
        .filter_map(|drawn| {
            let result = run.results.iter().find(|result| result.result == drawn.name)?;
            Some((drawn, curves::percentiles(&result.latency_ns)))
        })
        .collect();
    let y = Axis::durations(results.iter().flat_map(|(_, curve)| curve).chain(&all).map(|&(_, ns)| ns));
    let mut plot = Plot::new(Axis::nines(all.last().map_or(1.0, |&(nines, _)| nines)), y, 240.0).with_columns();
    let place = |&(nines, ns): &(f64, u64)| (nines, ns as f64);
    for (drawn, curve) in &results {
        plot.line(&drawn.classes(), curve.iter().map(place));
    }
    plot.line("all", all.iter().map(place));
    let curve = |curve: &[(f64, u64)]| -> Value {
        json!({ "nines": curve.iter().map(|&(nines, _)| number(nines)).collect::<Value>(),
                "ns": curve.iter().map(|&(_, ns)| ns).collect::<Value>() })
    };
    let of_results: Vec<Value> = (results.iter())
        .map(|(drawn, points)| {
            json!({ "result": drawn.name, "slot": drawn.slot, "colour": drawn.colour, "bad": drawn.is_bad, "curve": curve(points) })
        })
        .collect();
    let figure = ChartFigure {
        id: format!("{id}-percentiles"),
        chart: Chart::Percentiles,
        title: "Latency distribution",
        how: "The share of operations, to the right, that took no longer than a duration, upwards, from the median on. Each \
              step of the axis leaves a tenth of them: the slowest are at the far right. The thickest line is all \
              results together.",
        says: format!(
            "Latency by percentile: median {}, 90th {}, 99th {}, longest {}.",
            shown(run.latency_ns.p50),
            shown(run.latency_ns.p90),
            shown(run.latency_ns.p99),
            shown(run.latency_ns.max)
        ),
        data: json!({ "all": curve(&all), "results": of_results }),
        svg: plot.svg(),
    };
    figure.markup()
}

fn heat(run: &RunReport, id: &str) -> Markup {
    let edges = edges(run);
    let curves::Heat { intervals, columns } = curves::heat(run, MOST_PAIRS);
    let ends = edges.iter().copied().enumerate().filter(|&(i, _)| i % intervals == 0 || i + 1 == edges.len());
    let edges: Vec<f64> = ends.map(|(_, edge)| edge).collect();
    // Bins mostly follow each other without gaps, so most pairs need only their count.
    let runs = |column: &Vec<(u16, u64)>| -> Value {
        let mut next = 0;
        let counts = column.iter().flat_map(|&(bin, count)| {
            let gap = i64::from(bin) - next;
            next = i64::from(bin) + 1;
            [Some(-gap).filter(|_| gap > 0), Some(count as i64)]
        });
        counts.flatten().map(Value::from).collect()
    };
    let figure = ChartFigure {
        id: format!("{id}-heat"),
        chart: Chart::Heat,
        title: "Latency heat map",
        how: "Each column is an interval, each row a duration; the colour says how many operations took that long. Two \
              bands often mean two code paths; an isolated patch above them is a stall.",
        says: format!("Heat map of latency over time, in {}.", counted(columns.len() as u64, "column")),
        data: json!({ "at_s": numbers_exact(&edges),
                      "bins": "counts of consecutive bins from 0 on, -k for k empty ones; bins up to 99 are nanoseconds, \
                               then bin b begins at ((b - 10) mod 90 + 10) * 10^floor((b - 10) / 90) ns",
                      "columns": columns.iter().map(runs).collect::<Value>() }),
        svg: html! {
            (heat_svg(&edges, &columns))
            p .lines {
                "fewer"
                span .shades aria-hidden="true" { @for shade in 0..SHADES { span style=(format!("--c:var(--heat-{shade})")) {} } }
                "more operations"
            }
        },
    };
    figure.markup()
}

fn heat_svg(edges: &[f64], columns: &[Vec<(u16, u64)>]) -> Markup {
    let bins = || columns.iter().flatten().map(|&(bin, _)| bin);
    let (Some(low), Some(high)) = (bins().min(), bins().max()) else { return html! {} };
    let begins = |bin| curves::bin_begins_ns(bin).max(1);
    let merged = columns.len().div_ceil(HEAT_COLUMNS);
    let (from, to) = ((begins(low) as f64).ln(), (begins(high + 1) as f64).ln());
    let row_of = |bin: u16| (((begins(bin) as f64).ln() - from) / (to - from) * HEAT_ROWS as f64) as usize;
    let bound = |row: usize| (from + (to - from) * row as f64 / HEAT_ROWS as f64).exp();
    let mut cells = Vec::new();
    for (i, columns) in columns.chunks(merged).enumerate() {
        let mut rows = [0_u64; HEAT_ROWS + 1];
        columns.iter().flatten().for_each(|&(bin, count)| rows[row_of(bin).min(HEAT_ROWS)] += count);
        let span = [edges[i * merged], edges[i * merged + columns.len()]];
        let filled = rows.into_iter().enumerate().filter(|&(_, count)| count > 0);
        cells.extend(filled.map(|(row, count)| (span, [bound(row), bound(row + 1)], count)));
    }
    let most = cells.iter().map(|&(_, _, count)| count).max().unwrap_or(1);
    let shade =
        |count: u64| ((count as f64 + 1.0).ln() / (most as f64 + 1.0).ln() * (SHADES - 1) as f64).round() as usize;
    let y = Axis::durations([begins(low), begins(high + 1)]);
    let mut plot = Plot::new(Axis::seconds(edges[edges.len() - 1]), y, 240.0);
    for of in 0..SHADES {
        let same = cells.iter().filter(|&&(_, _, count)| shade(count) == of);
        plot.cells(&format!("heat-{of}"), same.map(|&(columns, rows, _)| (columns, rows)));
    }
    plot.svg()
}
