//! What holds for every kind of page, at every width, and pictures of each for the documentation.

use std::path::{Path, PathBuf};

use gorgon::judging::compare::{self, ReportSet, Scruples};
use gorgon::rendering::html;
use gorgon::report::Report;
use serde_json::json;

use super::chromium::Chromium;
use super::reports::{self, SERVICE, record, report};
use super::{WIDER, assert_clean, draw_all, open, page, runs_of_every_size};

/// A page of each kind that the documentation shows.
fn shown() -> Vec<(&'static str, PathBuf)> {
    let written = |name: &str, text: String| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("html");
        std::fs::write(&path, text).unwrap();
        path
    };
    vec![
        ("report", page("shown", &reports::shown())),
        ("open", page("open-shown", &reports::open())),
        ("few", page("few", &report(&[record("checkout.wasm", 4.0, 10.0, 1, &SERVICE)]))),
        ("suite", page("suite-shown", &reports::suite())),
        ("comparison", written("comparison", comparison())),
        ("search", written("search", html::find(&reports::found()))),
    ]
}

fn comparison() -> String {
    let runs = |per_second: f64| {
        let one = |seconds: f64| record("checkout.wasm", seconds, per_second, 4, &SERVICE[..4]);
        report(&[one(60.0), one(61.0)])
    };
    let (before, after) = (runs(400.0), runs(300.0));
    let side = |name: &str, report: &Report| ReportSet { reports: vec![(name.to_owned(), report.clone())] };
    let (a, b) = (side("before.json", &before), [side("after.json", &after)]);
    let comparison = compare::compare(&a, &b, Scruples::Note, 0, Some(0.05)).unwrap();
    html::compare(&comparison, &[("before.json", &before), ("after.json", &after)])
}

/// The boxes around tables that can be scrolled sideways.
const SIDEWAYS: &str = "[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth + 1)
    .map(box => box.ariaLabel)";

/// The boxes around tables of which a part is hidden, except long ones.
const HIDDEN: &str =
    "[...document.querySelectorAll('.scroll:not(.long)')].filter(box => box.scrollHeight > box.clientHeight + 2)
    .map(box => box.ariaLabel)";

/// The cards of which a part lies outside.
const OUTSIDE: &str =
    "[...document.querySelectorAll('figure, .forest, .columns > section')].filter(box => box.scrollWidth > box.clientWidth + 1)
    .map(box => box.id || box.textContent.slice(0, 30))";

/// The axes with fewer than three labels.
const UNREADABLE: &str = "charts.filter(({ u }) => u).flatMap(({ figure, u }) => u.axes
    .filter(axis => axis._values.filter(label => label !== '' && label != null).length < 3)
    .map(axis => `${figure.id} ${axis.scale}: ${axis._values}`))";

#[test]
fn every_page_fits_its_screen_and_its_axes_can_be_read() {
    let Some(mut browser) = Chromium::start() else { return };
    let sizes = runs_of_every_size().into_iter().map(|(name, report)| (name, page(name, &report)));
    let mut problems = Vec::new();
    for (name, path) in sizes.chain(shown()) {
        open(&mut browser, &path);
        for width in [1280, 768, 390] {
            browser.resize(width, 900, 1.0);
            draw_all(&mut browser);
            let all = [
                ("wider", WIDER),
                ("sideways", SIDEWAYS),
                ("hidden", HIDDEN),
                ("outside", OUTSIDE),
                ("axes", UNREADABLE),
            ];
            for (what, query) in all {
                let found = browser.eval(query);
                if found != json!([]) {
                    problems.push(format!("{name} at {width}, {what}: {found}"));
                }
            }
        }
        assert_clean(&browser);
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn a_chart_gives_its_data() {
    let Some(mut browser) = Chromium::start() else { return };
    open(&mut browser, &page("shown", &reports::shown()));
    let offers = "document.querySelector('#run-1-latency .offers')";
    assert_eq!(browser.eval(&format!("{offers}.offsetHeight")), 0);
    browser.eval("document.querySelector('#run-1-latency .data').click()");
    browser.wait_for(&format!("{offers}.offsetHeight > 0"));
    // The table of every chart has as many columns in each row.
    let tables = browser.eval("charts.map(chart => [chart.figure.id, csv(chart)])");
    for of in tables.as_array().unwrap() {
        let (id, text) = (of[0].as_str().unwrap(), of[1].as_str().unwrap());
        let mut rows = csv::Reader::from_reader(text.as_bytes());
        let heads = rows.headers().unwrap().clone();
        let rows: Vec<_> = rows.records().collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{id}: {error}"));
        assert!(heads.len() >= 2 && rows.len() >= 2, "{id}: {heads:?}");
        assert!(rows.iter().all(|row| row.iter().all(|cell| !cell.contains("undefined"))), "{id}");
    }
    let folder = tempfile::tempdir().unwrap();
    let allowed = json!({ "behavior": "allow", "downloadPath": folder.path(), "eventsEnabled": false });
    browser.call("Browser.setDownloadBehavior", allowed);
    browser.eval(&format!("{offers}.lastChild.click()"));
    let saved = folder.path().join("run-1-latency.csv");
    // The browser makes the file before it writes it.
    let content = || std::fs::read_to_string(&saved).unwrap_or_default();
    crate::support::wait_until("the table is saved", || content().ends_with('\n'));
    let text = content();
    assert!(text.starts_with("at_s,max_ns,p50_ns,p90_ns,p99_ns\n0,"), "{text}");
    // Names from guests are no formulas in a spreadsheet.
    assert_eq!(
        browser.eval("[cell('=1+1'), cell('a\"b,c'), cell(-1.5), cell(null)]"),
        json!(["'=1+1", "\"a\"\"b,c\"", "-1.5", ""])
    );
    assert_clean(&browser);
}

/// The pictures of the documentation; `GORGON_BLESS=1` takes them again.
#[test]
fn pictures_of_the_documentation() {
    let Some(mut browser) = Chromium::start() else { return };
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/images");
    for (name, path) in shown() {
        open(&mut browser, &path);
        for (width, height, scale) in [(1280, 1_500, 0.75), (768, 1_500, 0.75), (390, 1_500, 1.0)] {
            for scheme in ["light", "dark"] {
                browser.media("screen", scheme);
                browser.resize(width, height, scale);
                draw_all(&mut browser);
                let picture = browser.small_picture();
                assert!(picture.starts_with(b"RIFF") && picture.len() > 5_000, "{name}: {}", picture.len());
                if std::env::var_os("GORGON_BLESS").is_some() {
                    std::fs::create_dir_all(&docs).unwrap();
                    std::fs::write(docs.join(format!("{name}-{width}-{scheme}.webp")), picture).unwrap();
                }
            }
        }
    }
}
