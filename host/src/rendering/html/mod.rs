//! The HTML report: one file that opens offline and can be mailed.
//!
//! The file contains its styles, scripts and data. It can be read without JavaScript: drawings are SVG, and data is in
//! tables. The scripts draw the same data as interactive charts. `maud` creates the markup and escapes every text. The
//! page's policy lets only its own scripts run and prevents all requests.

mod boxes;
mod charts;
mod compare;
mod figure;
mod find;
mod forest;
mod health;
mod lines;
mod overlay;
mod palette;
mod plot;
mod prose;
mod run;
mod suite;
mod tables;

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::guest_text;
use crate::report::units::{count, counted};
use crate::report::{Moment, Report, words};
pub use compare::compare;
pub use find::find;
use palette::{Mark, Palette};

const STYLES: [&str; 2] = [include_str!("uplot/uPlot.min.css"), include_str!("report.css")];
const SCRIPTS: [&str; 3] =
    [include_str!("uplot/uPlot.iife.min.js"), include_str!("kinds.js"), include_str!("report.js")];

/// The additional script of a page that follows a run.
const FOLLOWING: &str = include_str!("live.js");

/// Four squares: the task, multiplied.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath \
                    fill='%232b6cb0' d='M1 1h6v6H1zM9 1h6v6H9zM1 9h6v6H1z'/%3E%3Cpath fill='%23d5510b' d='M9 9h6v6H9z'/%3E\
                    %3C/svg%3E";

/// Writes `report` as a page.
pub fn write(report: &Report, mut to: impl Write) -> io::Result<()> {
    to.write_all(page(report).as_bytes())?;
    to.flush()
}

/// `report` as a page.
pub fn page(report: &Report) -> String {
    finished(document(&title(report), &main(report, Moment::Ended), Reach::Nothing))
}

/// The part of a page that is about `report`. A page that follows a run replaces its own part by it.
pub fn part(report: &Report, moment: Moment) -> String {
    finished(main(report, moment))
}

/// A page that follows a run, with a placeholder if there is no report yet. It receives new parts from `events` and
/// posts a stop to `stop`, both relative to its own address.
pub fn following(report: Option<&Report>) -> String {
    let body = html! {
        div .live.on {
            span role="status" { span .pulse aria-hidden="true" {} span .says { "Following the run." } }
            button type="button" { "Stop the run" }
        }
        @match report {
            Some(report) => (main(report, Moment::Running)),
            None => main #report { h1 { "Not begun yet" } p .nothing { "The first figures are on their way." } },
        }
    };
    finished(document(&report.map_or_else(|| "A run".into(), title), &body, Reach::Run))
}

/// The title of a page.
fn title(report: &Report) -> String {
    if let Some(name) = report.suite.as_ref().and_then(|suite| suite.name.clone()) {
        return name;
    }
    let mut tasks: Vec<&str> = report.runs.iter().map(|run| words::file_name(words::subject(run))).collect();
    tasks.dedup();
    match report.runs.len() {
        1 if !report.has_several_runs() => tasks.join(", "),
        _ => format!("{}: {}", tasks.join(", "), words::runs(report)),
    }
}

/// A page, or a part of one, as text. Invisible or misleading characters from guests are escaped.
fn finished(markup: Markup) -> String {
    guest_text::xml(&markup.into_string())
}

/// What a page's script may connect to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Nothing,
    /// The run that it follows.
    Run,
}

/// A complete document.
fn document(title: &str, body: &Markup, reach: Reach) -> Markup {
    let (connect, following) = match reach {
        Reach::Nothing => ("'none'", None),
        Reach::Run => ("'self'", Some(FOLLOWING)),
    };
    let scripts: Vec<&str> = SCRIPTS.into_iter().chain(following).collect();
    let hashes: Vec<String> =
        scripts.iter().map(|script| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(script)))).collect();
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; connect-src {connect}; base-uri 'none'; \
         form-action 'none'; script-src {}",
        hashes.join(" ")
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – gorgon" }
                link rel="icon" href=(ICON);
                @for style in STYLES { style { (PreEscaped(style)) } }
            }
            body {
                (body)
                (patterns())
                @for script in &scripts { script { (PreEscaped(script)) } }
            }
        }
    }
}

/// The part of a page that is about a report.
fn main(report: &Report, moment: Moment) -> Markup {
    let palette = Palette::new(&report.total.results);
    let clock_ns = report.environment.clock_ns;
    html! {
        main #report {
            (header(report, moment))
            @if let ([run], false) = (report.runs.as_slice(), report.has_several_runs()) {
                (run::summary(run, [words::of_report(report, moment), words::of_run(run, clock_ns)].concat()))
                (results_bar(&palette))
                section #run-1 {
                    h2 .visually-hidden { "The run" }
                    (run::details(run, report, &palette, "run-1"))
                }
            } @else {
                (prose::list(words::of_report(report, moment)))
                (results_bar(&palette))
                (suite::section(report, &palette))
                @for (i, run) in report.runs.iter().enumerate() {
                    @let id = format!("run-{}", i + 1);
                    section #(id) {
                        h2 { "Run " (i + 1) ": " (tables::name(&words::short(run))) }
                        (run::summary(run, words::of_run(run, clock_ns)))
                        (run::details(run, report, &palette, &id))
                    }
                }
            }
            details #machine { summary { "The machine" } (tables::machine(report)) }
            footer { "gorgon " (report.gorgon) " · " (report.schema) " · charts by uPlot (MIT)" }
        }
    }
}

fn header(report: &Report, moment: Moment) -> Markup {
    let (tone, state) = words::state(report, moment);
    let first = report.runs.first();
    html! {
        header {
            h1 { (tables::name(&title(report))) span class=(format!("state {}", prose::look(tone).0)) { (state) } }
            @if let Some(description) = report.suite.as_ref().and_then(|suite| suite.description.as_deref()) {
                p .headline { (tables::name(description)) }
            }
            @if let Some(run) = first {
                p .meta {
                    span { time datetime=(run.started_at) { (words::moment(&run.started_at)) } }
                    @if !report.has_several_runs() { span { (words::shape(run)) } span { (words::model(&run.plan)) } }
                    span { (report.environment.os) ", " (report.environment.cpus) " processors" }
                }
            }
            (tables::command(report))
            @if let (Moment::Running, Some(run)) = (moment, report.runs.last()) {
                @if let Some((share, far)) = words::progress(run) {
                    p .far { progress value=(format!("{share:.4}")) max="1" aria-label="Done" {} span { (far) } }
                }
            }
        }
    }
}

/// The results with their colours: a legend for all charts. If JavaScript runs, they are also switches.
fn results_bar(palette: &Palette<'_>) -> Markup {
    html! {
        nav .results-bar aria-label="Results shown" {
            @for drawn in palette.by_frequency() {
                button type="button" .chip data-toggle=(drawn.slot) aria-pressed="true" title=(drawn.name) {
                    (drawn.swatch()) span .text { (tables::name(drawn.name)) }
                    span .count { (count(drawn.operations)) }
                }
            }
            @let (others, operations) = palette.rest();
            @if others > 0 { span .chip.rest {
                (palette::swatch("others", Mark::None)) span .text { (counted(others, "other")) }
                span .count { (count(operations)) }
            } }
        }
    }
}

/// Patterns for hatching failures, which any drawing may use.
fn patterns() -> Markup {
    html! { svg .patterns width="0" height="0" aria-hidden="true" { defs {
        pattern #hatch width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
            rect width="6" height="6" fill="var(--paper)" {}
            rect width="3" height="6" fill="var(--bad-0)" {}
        }
    } } }
}
