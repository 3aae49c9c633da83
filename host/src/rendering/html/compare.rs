//! The page of a comparison: for each pair its finding, its figures as a forest plot, its notes, and the runs of both
//! sides drawn over each other.
//!
//! Its figures and sentences are those of the comparison, as in the text. A colour stands for a side, not for a file.

use maud::{Markup, html};

use super::figure::Over;
use super::forest::forest;
use super::lines::{Extras, Line, LineChart};
use super::overlay::{self, Distribution};
use super::plot::{Axis, Scale};
use super::{Reach, charts, document, finished, prose, tables};
use crate::judging::compare::{Comparison, Pair, RunPosition, Runs};
use crate::report::words::{Tone, Word};
use crate::report::{BucketReport, Report, RunReport, Summary, curves};

/// A side: its name, and the class of its lines.
#[derive(Clone, Copy)]
struct Look {
    name: &'static str,
    class: &'static str,
}

const A: Look = Look { name: "A", class: "a" };
const B: Look = Look { name: "B", class: "b" };

/// A run of a side, with its name.
struct SideRun<'a> {
    look: Look,
    name: String,
    report: &'a RunReport,
}

/// The page of `comparison`. `reports` are the compared reports, each with the name of its file.
pub fn compare(comparison: &Comparison, reports: &[(&str, &Report)]) -> String {
    let title = title(comparison);
    let verdict = comparison.verdict().map(|text| {
        let is_held = comparison.fail_if_slower.is_some_and(|slower| slower.held);
        Word::new(if is_held { Tone::Bad } else { Tone::Good }, text)
    });
    let together = comparison.together().map(|text| Word::new(Tone::Plain, text));
    let body = html! {
        main #report {
            header {
                h1 { (tables::name(&title)) }
                (prose::list(verdict.into_iter().chain(together).collect()))
            }
            @for (i, pair) in comparison.pairs.iter().enumerate() {
                (section(pair, i, comparison.pairs.len(), reports))
            }
            footer { "gorgon " (comparison.gorgon) " · " (comparison.schema) " · charts by uPlot (MIT)" }
        }
    };
    finished(document(&title, &body, Reach::Nothing))
}

/// What is compared with what, by side.
fn title(comparison: &Comparison) -> String {
    if let [pair] = comparison.pairs.as_slice() {
        return pair.title();
    }
    let mut others: Vec<String> = comparison.pairs.iter().map(|pair| format!("{} (B)", pair.b.short())).collect();
    others.dedup();
    let first = comparison.pairs.first().map(|pair| pair.a.short()).unwrap_or_default();
    format!("{} compared with {first} (A)", others.join(" and "))
}

fn section(pair: &Pair, i: usize, pairs: usize, reports: &[(&str, &Report)]) -> Markup {
    let id = format!("pair-{}", i + 1);
    let runs = [side(A, &pair.a, reports), side(B, &pair.b, reports)];
    let differs = pair.differs.iter().map(|field| Word::new(Tone::Bad, "the plans differ: ").foreign(field));
    let notes = pair.notes.iter().map(|note| Word::new(Tone::Plain, "").foreign(&prose::capital(note)));
    html! {
        section #(id) {
            @if pairs > 1 {
                h2 { "Comparison " (i + 1) ": " (tables::name(&pair.b.short())) " with " (tables::name(&pair.a.short())) }
            } @else {
                h2 .visually-hidden { "The comparison" }
            }
            p .headline .conclusion { (tables::name(&prose::capital(&pair.sentence))) "." }
            ul .sides {
                @for (look, side) in [(A, &pair.a), (B, &pair.b)] {
                    li { span class=(format!("key {}", look.class)) {
                        b { (look.name) } " " (tables::name(&side.files())) ": " (tables::name(&side.text()))
                    } }
                }
            }
            (prose::list(differs.collect()))
            (forest(pair, &format!("{id}-forest")))
            (prose::list(notes.collect()))
            (drawn(&id, &runs))
        }
    }
}

/// The runs of a side. Each is named by its file, and by its number if the file has several.
fn side<'a>(look: Look, side: &Runs, reports: &[(&str, &'a Report)]) -> Vec<SideRun<'a>> {
    let run = |place: &RunPosition| {
        let (_, report) = reports.iter().find(|(name, _)| *name == place.file)?;
        let number = if report.runs.len() > 1 { format!(", run {}", place.run + 1) } else { String::new() };
        let name = format!("{}: {}{number}", look.name, place.file);
        Some(SideRun { look, name, report: report.runs.get(place.run)? })
    };
    side.runs.iter().filter_map(run).collect()
}

fn drawn(id: &str, sides: &[Vec<SideRun<'_>>; 2]) -> Markup {
    let runs: Vec<&SideRun<'_>> = sides.iter().flatten().collect();
    let over_time = |name: &str, title: &'static str, how: &'static str, scale, figures: &OverTime<'_>| {
        lines(format!("{id}-{name}"), title, how, scale, &runs, figures)
    };
    let rates =
        |run: &RunReport| (charts::rate_edges(run), curves::rates(run, &[]).completed.into_iter().map(Some).collect());
    let latency = |of: fn(&Summary) -> Option<u64>| {
        move |run: &RunReport| {
            let figure =
                |bucket: &BucketReport| curves::settled(bucket, run.timeline.interval_ns, of).map(|ns| ns as f64);
            (charts::edges(run), run.timeline.buckets.iter().map(figure).collect())
        }
    };
    html! {
        div .charts {
            (over_time("throughput", "Throughput", "Operations that ended per second, from the beginning of each run.",
                       Scale::PerSecond, &rates))
            (percentiles(&format!("{id}-percentiles"), sides))
            (over_time("p50", "Median over time", "Half of the operations of an interval took less.", Scale::Durations,
                       &latency(|s| s.p50)))
            (over_time("p99", "p99 over time", "One in a hundred operations of an interval took longer.", Scale::Durations,
                       &latency(|s| s.p99)))
        }
    }
}

/// Figures of a run over time, behind the edges between them.
type OverTime<'a> = dyn Fn(&RunReport) -> (Vec<f64>, Vec<Option<f64>>) + 'a;

fn lines(id: String, title: &str, how: &str, scale: Scale, runs: &[&SideRun<'_>], figures: &OverTime<'_>) -> Markup {
    let drawn: Vec<_> = runs.iter().map(|run| figures(run.report)).collect();
    // The intervals of two runs may have different lengths, so the common axis has the edges of all.
    let mut edges: Vec<f64> = drawn.iter().flat_map(|(edges, _)| edges.iter().copied()).collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    let held = |(of_run, values): &(Vec<f64>, Vec<Option<f64>>)| -> Vec<Option<f64>> {
        let starts = edges.iter().take(edges.len().saturating_sub(1));
        let at = |start: &f64| of_run.partition_point(|edge| edge <= start).checked_sub(1);
        starts.map(|start| values.get(at(start)?).copied().flatten()).collect()
    };
    let line = |(run, drawn): (&&SideRun<'_>, _)| Line::new(run.name.as_str(), run.look.class, held(drawn));
    let lines = runs.iter().zip(&drawn).map(line).collect();
    let chart = LineChart {
        id,
        title,
        how,
        says: format!("{title} of {} runs.", runs.len()),
        over: Over::Time,
        x: Axis::seconds(edges.last().copied().unwrap_or(1.0)),
        places: edges.clone(),
        scale,
        height: 220.0,
        is_stepped: true,
        lines,
        // The sides are named above, and there may be many runs.
        extras: Extras { is_named_elsewhere: true, ..Extras::default() },
    };
    chart.markup()
}

/// The distribution of each side, over all its runs.
fn percentiles(id: &str, sides: &[Vec<SideRun<'_>>; 2]) -> Markup {
    let distribution = |side: &Vec<SideRun<'_>>| {
        let pooled: Vec<_> = side.iter().map(|run| &run.report.latency_ns).collect();
        let Look { name, class } = side.first()?.look;
        let curve = curves::pooled_percentiles(&pooled);
        Some(Distribution { name: name.into(), class: class.into(), curve })
    };
    let drawn: Vec<_> = sides.iter().filter_map(distribution).collect();
    let how = "The share of a side's operations, to the right, that took no longer than a duration, upwards. Where one \
               curve lies above the other, that side was slower.";
    overlay::chart(id.to_owned(), "Latency distribution", how, "Latency by percentile of both sides.".into(), &drawn)
}
