//! The tables: results with their spans, intervals, workers, plan and machine.

use maud::{Markup, html};

use super::palette::{Mark, Palette, swatch};
use crate::guest_text::line;
use crate::metrics::Outcome;
use crate::plan::{AddressOrder, CallOrder, HttpPlan, HttpVersion, KeepAlive, Trust};
use crate::rendering::lines::shell_words;
use crate::report::units::{bytes, count, counted, duration, or_dash, percent, rate};
use crate::report::{BucketReport, GroupReport, Report, ResultReport, RunReport, SpanReport, Summary, curves, words};
use crate::report::{PlanReport, StageReport, WarmupPlan};

/// A guest's text within a page: control characters are escaped, and `bdi` isolates its direction.
pub(super) fn name(text: &str) -> Markup {
    if text.is_empty() {
        return html! { bdi .empty { "(empty)" } };
    }
    let shown = line(text);
    // A long path may be broken behind each of its parts.
    let parts: Vec<&str> = shown.split_inclusive('/').collect();
    html! { bdi { @for (i, part) in parts.iter().enumerate() { @if i > 0 { wbr; } (part) } } }
}

/// The class of a box around a table of so many rows. A longer one scrolls.
pub(super) fn scroll(rows: usize) -> &'static str {
    const WHOLE: usize = 200;
    if rows > WHOLE { "scroll long" } else { "scroll" }
}

fn time(ns: Option<u64>) -> String {
    or_dash(ns, duration)
}

/// The class of a column that a narrow screen leaves out.
pub(super) const WIDE: Option<&str> = Some("wide");
pub(super) const WIDER: Option<&str> = Some("wide wider");

/// Which screens show a column: `wide` ones, or only `wider` ones.
fn room(head: &str) -> Option<&'static str> {
    match head {
        "operations" | "count" | "p50" | "p99" | "failed" | "not ok" => None,
        "per second" | "p95" | "max" | "started" | "ended" => WIDE,
        _ => WIDER,
    }
}

/// A head, with the class that says which screens show its column.
pub(super) fn head(text: &str) -> Markup {
    html! { th scope="col" class=[room(text)] { (text) } }
}

/// The figures of durations, in the order of [`TIMES`].
fn times(summary: &Summary) -> Markup {
    let s = summary;
    let figures = [s.mean, s.min, s.p50, s.p90, s.p95, s.p99, s.p99_9, s.max];
    html! { @for (name, ns) in TIMES.iter().zip(figures) { td class=[room(name)] { (time(ns)) } } }
}

const TIMES: [&str; 8] = ["mean", "min", "p50", "p90", "p95", "p99", "p99.9", "max"];

/// The table of results, each with its spans below.
pub(super) fn results(
    throughput: Option<f64>,
    all: &Summary,
    ok: Option<&GroupReport>,
    results: &[ResultReport],
    palette: &Palette<'_>,
) -> Markup {
    let ok = ok.filter(|ok| ok.operations < all.count);
    html! {
        div class=(scroll(results.len())) tabindex="0" role="region" aria-label="Results" {
            table .results {
                thead { tr {
                    th scope="col" { "Result" }
                    @for text in ["operations", "share", "per second"].into_iter().chain(TIMES) { (head(text)) }
                } }
                tbody { tr .all {
                    th scope="row" { span .swatch.all aria-hidden="true" {} "all" }
                    td { (count(all.count)) } td .wide.wider { "100 %" }
                    td .wide { (or_dash(throughput, rate)) }
                    (times(all))
                }
                @if let Some(ok) = ok { tr .all {
                    th scope="row" { "ok" }
                    td { (count(ok.operations)) }
                    td .wide.wider { (percent(curves::share(ok.operations, all.count).unwrap_or_default())) }
                    td .wide { (or_dash(ok.throughput, rate)) }
                    (times(&ok.latency_ns))
                } } }
                @for result in words::by_failure(results) { (result_rows(result, all.count, palette)) }
            }
        }
    }
}

fn result_rows(result: &ResultReport, all: u64, palette: &Palette<'_>) -> Markup {
    let drawn = palette.of(result.result.raw());
    let is_bad = result.outcome != Outcome::Ok;
    let share = curves::share(result.operations, all).unwrap_or_default();
    html! {
        tbody data-result=[drawn.map(|drawn| drawn.slot)] {
            tr class=[is_bad.then_some("bad")] {
                th scope="row" {
                    span .name {
                        @match drawn { Some(drawn) => (drawn.swatch()), None => (swatch("others", if is_bad { Mark::Cross } else { Mark::None })) }
                        span .text { (name(result.result.raw())) }
                        @if is_bad { span .outcome { (words::outcome(result.outcome)) } }
                    }
                }
                td { (count(result.operations)) }
                td .share.wide.wider { (bar(result.operations, all)) (percent(share)) }
                td .wide { (or_dash(result.throughput, rate)) }
                (times(&result.latency_ns))
            }
            @for span in &result.spans { (span_row(span)) }
            @if !result.reasons.is_empty() || result.reproduce.is_some() {
                tr .more { td colspan="12" {
                    @for (reason, times) in &result.reasons { div { (count(*times)) " × " (name(reason.raw())) } }
                    @if let Some(command) = &result.reproduce { div { "Again: " code { (words_of(command)) } } }
                } }
            }
        }
    }
}

/// The spans over all results.
pub(super) fn spans(spans: &[SpanReport]) -> Markup {
    html! { @if !spans.is_empty() {
        h3 { "Spans of all results" }
        div class=(scroll(spans.len())) tabindex="0" role="region" aria-label="Spans" {
            table {
                thead { tr {
                    th scope="col" { "Span" }
                    @for text in ["count", "failed", "per second"].into_iter().chain(TIMES) { (head(text)) }
                } }
                tbody { @for span in spans { tr class=[(span.failed > Some(0)).then_some("bad")] {
                    th scope="row" { (name(span.name.raw())) }
                    td { (count(span.count)) }
                    td { (or_dash(span.failed, count)) }
                    td .wide { (or_dash(span.throughput, rate)) }
                    (times(&span.latency_ns))
                } } }
            }
        }
    } }
}

fn span_row(span: &SpanReport) -> Markup {
    html! { tr .span {
        th scope="row" { span .name { span .text { (name(span.name.raw())) } } }
        td { (count(span.count)) } td .wide.wider {} td .wide {}
        (times(&span.latency_ns))
    } }
}

/// The share that a part has of a whole, as a bar.
pub(super) fn bar(part: u64, whole: u64) -> Markup {
    let share = curves::share(part, whole).unwrap_or_default();
    html! { span .bar aria-hidden="true" style=(format!("--share:{share:.4}")) {} }
}

/// A table of all intervals, for readers who cannot see the charts.
pub(super) fn timeline(run: &RunReport, id: &str) -> Markup {
    let rows = run.timeline.buckets.iter().map(|bucket| (bucket, curves::rate(run, bucket)));
    html! {
        details #(format!("{id}-intervals")) {
            summary { "All intervals as a table" }
            div class=(scroll(run.timeline.buckets.len())) tabindex="0" role="region" aria-label="Intervals" { table {
                thead { tr {
                    th scope="col" { "from" }
                    @for text in ["started", "ended", "per second", "not ok", "p50", "p90", "p99", "max"] { (head(text)) }
                } }
                tbody { @for (bucket, per_second) in rows { (interval(bucket, per_second)) } }
            } }
            @if run.timeline.buckets.iter().any(|bucket| bucket.partial) { p .note { "* cut short by the end of the run" } }
        }
    }
}

fn interval(bucket: &BucketReport, per_second: f64) -> Markup {
    let s = &bucket.latency_ns;
    html! { tr {
        th scope="row" { (duration(bucket.start_ns)) @if bucket.partial { " *" } }
        td .wide { (count(bucket.started)) } td .wide { (count(bucket.completed)) } td .wide { (rate(per_second)) }
        td { (count(bucket.failed)) }
        td { (time(s.p50)) } td .wide.wider { (time(s.p90)) } td { (time(s.p99)) } td .wide { (time(s.max)) }
    } }
}

/// A table of the worker processes.
pub(super) fn workers(run: &RunReport) -> Markup {
    let most = run.workers.iter().map(|worker| worker.operations).max().unwrap_or(0);
    let heads =
        [("process", None), ("threads", WIDE), ("operations", None), ("cores busy", None), ("peak memory", WIDE)];
    // Processes of different boxes may have the same identifier.
    let on = |worker: &crate::report::WorkerReport| worker.of_box.as_deref().map(name);
    let over_boxes = !run.boxes.is_empty();
    html! {
        div .scroll tabindex="0" role="region" aria-label="Workers" { table {
            thead { tr {
                @if over_boxes { th scope="col" { "box" } }
                @for (head, class) in heads { th scope="col" class=[class] { (head) } }
            } }
            tbody { @for worker in &run.workers { tr {
                @if over_boxes { th scope="row" { @if let Some(on) = on(worker) { (on) } } }
                th scope="row" { (worker.process) }
                td .wide { (worker.threads) }
                td .share { (bar(worker.operations, most)) (count(worker.operations)) }
                td { (curves::cores(worker, run).map_or_else(|| "unknown".into(), |cores| format!("{cores:.2}"))) }
                td .wide { (worker.peak_rss_bytes.map_or_else(|| "unknown".into(), bytes)) }
            } } }
        } }
    }
}

/// A table of the boxes.
pub(super) fn boxes(run: &RunReport) -> Markup {
    html! {
        div .scroll tabindex="0" role="region" aria-label="Boxes" { table {
            thead { tr { @for head in words::BOX_HEAD { th scope="col" { (head) } } } }
            tbody { @for of in &run.boxes { tr {
                @let [name_of, cells @ ..] = words::box_cells(of);
                th scope="row" { (name(&name_of)) }
                @for cell in &cells { td { (cell) } }
            } } }
        } }
    }
}

/// A list of names and values; empty values are left out.
pub(super) fn facts(facts: &[(&str, Option<String>)]) -> Markup {
    html! { dl .facts { @for (name_of, value) in facts { @if let Some(value) = value {
        div { dt { (name_of) } dd { (name(value)) } }
    } } } }
}

/// The whole plan of a run. Naming every field makes the compiler reject a new one that is forgotten here.
#[expect(clippy::too_many_lines, reason = "one entry per part of the plan, and no part is left out")]
pub(super) fn plan(run: &RunReport) -> Markup {
    let task = &run.task;
    let PlanReport {
        operations,
        duration_ns,
        boxes: _, // The shape shows these four.
        processes: _,
        threads: _,
        concurrency: _,
        load_model: _, // The load model's text shows these four, the pause and the ramp.
        rate: _,
        arrivals: _,
        stages,
        max_in_flight,
        pause_ns: _,
        ramp_ns: _,
        warmup,
        first,
        start_jitter_ns,
        seed,
        timeout_ns,
        hook_timeout_ns: _,
        max_memory_bytes,
        max_worker_memory_bytes,
        recycle,
        expect,
        args,
        env,
        dirs,
        allow,
        http:
            HttpPlan {
                trust,
                identity,
                server_name,
                keep_alive,
                version,
                http2_connections,
                dns_ttl_ns,
                dns,
                connect_to,
                proxy,
                unix_socket,
                local_addresses,
                traceparent,
            },
        data,
        calls,
    } = &run.plan;
    let list = |items: &[String]| (!items.is_empty()).then(|| items.join(", "));
    let stage = |stage: &StageReport| format!("{} to {}/s", duration(stage.duration_ns), rate(stage.rate));
    let stages: Vec<String> = stages.iter().map(stage).collect();
    let warmup = warmup.map(|WarmupPlan { operations, duration_ns }| {
        let parts = [operations.map(|n| counted(n, "operation")), duration_ns.map(duration)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    });
    facts(&[
        ("Task", Some(task.path.clone())),
        ("SHA-256", Some(task.sha256.clone())),
        ("Size", Some(bytes(task.bytes))),
        ("Export", Some(task.operation.clone())),
        ("Processes x threads", Some(curves::shape(run))),
        ("Operations", operations.map(count)),
        ("Duration", duration_ns.map(duration)),
        ("First number", Some(first.to_string())),
        ("Seed", Some(seed.to_string())),
        ("Time-out", Some(timeout_ns.map_or_else(|| "none".into(), duration))),
        ("Memory per instance", Some(bytes(*max_memory_bytes))),
        ("Memory per worker", max_worker_memory_bytes.map(bytes)),
        ("Operations per instance", recycle.map(count)),
        ("Load model", Some(words::model(&run.plan))),
        ("Stages", list(&stages)),
        ("Most in flight", max_in_flight.map(count)),
        ("Warm-up", warmup),
        ("Start jitter", (*start_jitter_ns > 0).then(|| duration(*start_jitter_ns))),
        ("Expected results", expect.clone()),
        ("Arguments", list(args)),
        ("Environment", list(env)),
        ("Directories", list(dirs)),
        ("Allowed", list(allow)),
        (
            "Certificates",
            Some(match trust {
                Trust::Roots => "the usual roots".into(),
                Trust::RootsAnd(path) => format!("the usual roots and {}", path.display()),
                Trust::Anyone => "any".into(),
            }),
        ),
        (
            "Connections",
            Some(match keep_alive {
                KeepAlive::Kept => "kept alive".into(),
                KeepAlive::PerRequest => "one per request".into(),
            }),
        ),
        (
            "HTTP",
            Some(match version {
                HttpVersion::Negotiated => "negotiated".into(),
                HttpVersion::Http2 => "HTTP/2".into(),
            }),
        ),
        ("Header traceparent", traceparent.then(|| "sent with each request".into())),
        (
            "HTTP/2 connections",
            (http2_connections.get() > 1).then(|| format!("{http2_connections} of each thread to a destination")),
        ),
        ("Client certificate", identity.as_ref().map(|identity| identity.certificate.display().to_string())),
        ("Name for TLS", server_name.clone()),
        (
            "Names",
            Some(match dns_ttl_ns {
                None => "looked up once per run".into(),
                Some(0) => "looked up for each connection".into(),
                Some(ttl) => format!("looked up again after {}", duration(*ttl)),
            }),
        ),
        (
            "Addresses of a name",
            Some(match dns {
                AddressOrder::Rotate => "in turn".into(),
                AddressOrder::First => "the first".into(),
            }),
        ),
        ("Connected to", list(&connect_to.iter().map(ToString::to_string).collect::<Vec<_>>())),
        ("Proxy", proxy.as_ref().and_then(|proxy| proxy.https.clone().or_else(|| proxy.http.clone()))),
        ("Without the proxy", proxy.as_ref().map(|proxy| proxy.no_proxy.clone()).filter(|hosts| !hosts.is_empty())),
        ("Unix socket", unix_socket.as_ref().map(|path| path.display().to_string())),
        ("Connected from", list(&local_addresses.iter().map(ToString::to_string).collect::<Vec<_>>())),
        ("Data", data.clone()),
        (
            "Calls",
            calls.map(|order| match order {
                CallOrder::InOrder => "in order".into(),
                CallOrder::Random => "in random order".into(),
                CallOrder::Flow => "all in each operation".into(),
            }),
        ),
        ("Started", Some(run.started_at.clone())),
    ])
}

/// The machine.
pub(super) fn machine(report: &Report) -> Markup {
    let environment = &report.environment;
    facts(&[
        ("Gorgon", Some(report.gorgon.clone())),
        ("wasmtime", Some(environment.wasmtime.clone())),
        ("System", Some(environment.os.clone())),
        ("Kernel", environment.kernel.clone()),
        ("Processors", Some(environment.cpus.to_string())),
        ("Model", environment.processor.clone()),
        ("Limit of the cgroup", environment.cpu_limit.map(|limit| format!("{limit} processors"))),
        ("Reading the clock", Some(format!("{} ns", environment.clock_ns))),
    ])
}

/// The command that made the report.
pub(super) fn command(report: &Report) -> Markup {
    html! { @if let Some(command) = &report.command { p .command { span { "reproduce: " } code { (words_of(command)) } } } }
}

/// A command, which is broken between its words.
pub(super) fn words_of(command: &str) -> Markup {
    html! { bdi { @for (i, word) in shell_words(&line(command)).iter().enumerate() {
        @if i > 0 { " " } span .word { (word) }
    } } }
}
