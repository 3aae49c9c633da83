//! Tests the HTML report in a real browser.

mod chromium;
mod kinds;
mod live;
pub(crate) mod reports;

use std::path::{Path, PathBuf};

use gorgon::judging::compare::{self, ReportSet, Scruples};
use gorgon::metrics::Outcome;
use gorgon::rendering::html;
use gorgon::report::Report;

use chromium::Chromium;
use reports::{Returned, SERVICE, record, report};

/// Writes the page of a report into the folder of the tests.
fn page(name: &str, report: &Report) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("html");
    html::write(report, std::fs::File::create(&path).unwrap()).unwrap();
    path
}

/// Whether the canvas of every drawn chart has more than one colour.
const INK: &str = "[...document.querySelectorAll('figure canvas')].map(canvas => {
    const pixels = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    return new Set(pixels).size; })";

/// The elements that make the page wider than the screen: those that extend beyond it and are not in a scrolling
/// element.
const WIDER: &str = "(root => root.scrollWidth <= root.clientWidth ? [] : [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > root.clientWidth && !e.closest('.scroll, .results-bar'))
    .map(e => `${e.tagName}.${e.className}`).concat(['page']))(document.documentElement)";

/// Opens the page of a report, scrolls through it, and waits until all charts are drawn.
fn open(browser: &mut Chromium, path: &Path) {
    browser.media("screen", "light");
    browser.resize(1280, 900, 1.0);
    browser.open_file(path);
    draw_all(browser);
}

fn draw_all(browser: &mut Chromium) {
    let charts = browser.eval("document.querySelectorAll('figure[data-chart]').length").as_u64().unwrap();
    for i in 0..charts {
        let figure = format!("document.querySelectorAll('figure[data-chart]')[{i}]");
        browser.eval(&format!("{figure}.scrollIntoView()"));
        browser.wait_for(&format!("{figure}.dataset.drawn"));
    }
    browser.eval("scrollTo(0, 0)");
    // A chart that takes the remaining space learns its size one frame later.
    browser.eval("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))");
    let outside = "charts.filter(({ u, plot }) => u && u.height !== plot.clientHeight).map(({ figure }) => figure.id)";
    assert_eq!(browser.eval(outside), serde_json::json!([]), "charts that do not fit their boxes");
}

/// Asserts that there were no errors or warnings, and no requests except the page.
fn assert_clean(browser: &Chromium) {
    assert_eq!(browser.complaints, Vec::<String>::new());
    let others: Vec<_> =
        browser.requests.iter().filter(|url| !url.starts_with("file:") && !url.starts_with("data:")).collect();
    assert!(
        others.is_empty() && browser.requests.iter().filter(|url| url.starts_with("file:")).count() == 1,
        "{others:?}"
    );
}

#[test]
fn two_reports_are_drawn_over_each_other() {
    let Some(mut browser) = Chromium::start() else { return };
    let before = report(&[record("checkout.wasm", 60.0, 400.0, 4, &SERVICE)]);
    let after = report(&[record("checkout.wasm", 90.0, 300.0, 4, &SERVICE[..3])]);
    let side = |name: &str, report: &Report| ReportSet { reports: vec![(name.to_owned(), report.clone())] };
    let sides = (side("before.json", &before), [side("after.json", &after)]);
    let comparison = compare::compare(&sides.0, &sides.1, Scruples::Note, 0, Some(0.05)).unwrap();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compared.html");
    let page = html::compare(&comparison, &[("before.json", &before), ("after.json", &after)]);
    std::fs::write(&path, page).unwrap();
    open(&mut browser, &path);
    let ink = browser.eval(INK);
    assert_eq!(ink.as_array().unwrap().len(), 4);
    assert!(ink.as_array().unwrap().iter().all(|colours| colours.as_u64() > Some(4)), "{ink}");
    for width in [1280, 390] {
        browser.resize(width, 900, 1.0);
        draw_all(&mut browser);
        assert_eq!(browser.eval(WIDER), serde_json::json!([]), "at {width}");
        // Each figure has its drawing, none of which leaves its cell.
        let drawn = "[...document.querySelectorAll('.forest td.drawing svg')].map(svg => {
            const cell = svg.parentElement.getBoundingClientRect(), range = svg.querySelector('.range').getBoundingClientRect();
            return range.width > 0 && range.left >= cell.left - 1 && range.right <= cell.right + 1; })";
        assert_eq!(browser.eval(drawn), serde_json::json!(vec![true; 6]), "at {width}");
        if std::env::var_os("GORGON_BLESS").is_some() {
            let picture = browser.picture();
            std::fs::write(path.with_extension(format!("{width}.png")), picture).unwrap();
        }
    }
    assert_clean(&browser);
}

#[test]
fn a_search_is_drawn_around_its_knee() {
    let Some(mut browser) = Chromium::start() else { return };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("found.html");
    std::fs::write(&path, html::find(&reports::found())).unwrap();
    open(&mut browser, &path);
    let ink = browser.eval(INK);
    assert_eq!(ink.as_array().unwrap().len(), 3);
    assert!(ink.as_array().unwrap().iter().all(|colours| colours.as_u64() > Some(4)), "{ink}");
    browser.eval("document.querySelector('#find-latency .uplot').focus()");
    browser.press("End");
    browser.wait_for("document.querySelector('[aria-live=polite]').textContent.includes('p99<500ms')");
    for width in [1280, 390] {
        browser.resize(width, 900, 1.0);
        draw_all(&mut browser);
        assert_eq!(browser.eval(WIDER), serde_json::json!([]), "at {width}");
    }
    assert_clean(&browser);
}

#[test]
fn a_chart_keeps_its_size_when_it_is_drawn_again() {
    let Some(mut browser) = Chromium::start() else { return };
    open(&mut browser, &page("shown", &reports::shown()));
    let height = "document.querySelector('figure[data-chart=latency] canvas').clientHeight";
    let before = browser.eval(height).as_u64().unwrap();
    assert!(before > 300, "{before}: it takes the available space");
    browser.media("screen", "dark");
    browser.wait_for("getComputedStyle(document.body).color === 'rgb(236, 238, 242)'");
    assert_eq!(browser.eval(height), before, "in other colours");
    browser.eval("document.querySelector('.chip').click()");
    assert_eq!(browser.eval(height), before, "without a result");
    browser.resize(390, 900, 1.0);
    browser.wait_for(&format!("{height} < 300"));
    assert_clean(&browser);
}

#[test]
fn everything_has_a_name_for_screen_readers() {
    let Some(mut browser) = Chromium::start() else { return };
    open(&mut browser, &page("shown", &reports::shown()));
    let nameless =
        "[...document.querySelectorAll('table')].flatMap(table => [...table.querySelectorAll('th:not([scope])')])
        .concat([...document.querySelectorAll('button, a, summary')].filter(e => !e.textContent.trim() && !e.ariaLabel),
            [...document.querySelectorAll('[role=img], [role=region], [role=application], nav, section')]
                .filter(e => !e.ariaLabel && !e.querySelector('h2, h3')))
        .map(e => e.outerHTML.slice(0, 80))";
    assert_eq!(browser.eval(nameless), serde_json::json!([]));
    // Every element that can be focused shows its focus.
    let unseen = "[...document.querySelectorAll('main a, main button, main summary, main [tabindex]')].filter(e => {
        e.focus({ focusVisible: true }); return document.activeElement === e && getComputedStyle(e).outlineStyle === 'none' })
        .map(e => e.outerHTML.slice(0, 80))";
    assert_eq!(browser.eval(unseen), serde_json::json!([]));
    let levels = "[...document.querySelectorAll('h1, h2, h3')].map(h => Number(h.tagName[1]))";
    let levels = browser.eval(levels);
    let levels: Vec<u64> = levels.as_array().unwrap().iter().filter_map(serde_json::Value::as_u64).collect();
    assert!(levels[0] == 1 && levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
    assert_clean(&browser);
}

fn runs_of_every_size() -> Vec<(&'static str, Report)> {
    let thousand: Vec<String> = (0..1_000).map(|i| format!("result {i}")).collect();
    let thousand: Vec<Returned<'_>> = thousand.iter().map(|name| (name.as_str(), Outcome::Ok, 1, 900.0)).collect();
    let suite: Vec<_> = [1, 2, 4]
        .map(|threads| record("hash.wasm", 4.0 / f64::from(threads), 500.0 * f64::from(threads), threads, &SERVICE))
        .into();
    vec![
        ("one-result", report(&[record("hello.wasm", 1.0, 2_000.0, 1, &SERVICE[..1])])),
        ("thousand-results", report(&[record("hello.wasm", 20.0, 1_000.0, 1, &thousand)])),
        ("hour", reports::hour()),
        ("suite", report(&suite)),
        ("one-operation", report(&[record("hello.wasm", 0.000_01, 1.0, 1, &SERVICE[..1])])),
        ("nothing", {
            let mut nothing = record("hello.wasm", 1.0, 1.0, 1, &SERVICE[..1]);
            nothing.metrics = Default::default();
            report(&[nothing])
        }),
    ]
}

#[test]
fn every_chart_is_drawn_and_nothing_is_fetched() {
    let Some(mut browser) = Chromium::start() else { return };
    for (name, report) in runs_of_every_size() {
        open(&mut browser, &page(name, &report));
        let ink = browser.eval(INK);
        let ink: Vec<_> = ink.as_array().unwrap().iter().filter_map(serde_json::Value::as_u64).collect();
        assert_eq!(ink.is_empty(), name == "nothing", "{name}");
        assert!(ink.iter().all(|&colours| colours > 4), "{name}: a chart is empty: {ink:?}");
        for width in [1280, 390] {
            browser.resize(width, 900, 1.0);
            browser.wait_for(&format!("({WIDER}).length === 0"));
        }
        assert_clean(&browser);
    }
}

#[test]
fn a_real_open_run_shows_its_schedule() {
    let Some(mut browser) = Chromium::start() else { return };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("open.html");
    let mut run = crate::support::gorgon();
    run.arg("run").arg(crate::support::guest("sleeper")).args(["--rate", "200/s", "-d", "3s", "--max-in-flight", "2"]);
    run.args(["--env", "GORGON_SLEEP_EVERY=1", "--env", "GORGON_SLEEP_MS=40", "--quiet", "--html"]).arg(&path);
    run.status().unwrap();
    open(&mut browser, &path);
    let ink = browser.eval(INK);
    assert!(ink.as_array().unwrap().iter().all(|colours| colours.as_u64() > Some(4)), "{ink}");
    let text = browser.eval("document.body.textContent");
    for said in ["open model, 200/s", "were due and never started", "service: from start to end"] {
        assert!(text.as_str().unwrap().contains(said), "{said}");
    }
    assert_clean(&browser);
}

#[test]
fn an_hour_fits_a_mail_and_a_second() {
    let path = page("hour", &reports::hour());
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes < 500_000, "{bytes} bytes");
    let Some(mut browser) = Chromium::start() else { return };
    browser.resize(1280, 3_000, 1.0);
    browser.open_file(&path);
    browser.wait_for("[...document.querySelectorAll('figure[data-chart]')].every(figure => figure.dataset.drawn)");
    // From the beginning of the navigation to the frame after the last chart.
    let ms = browser.eval("performance.getEntriesByName('drawn').pop().startTime").as_f64().unwrap();
    println!("an hour of 20 results: {bytes} bytes, opened and drawn within {ms:.0} ms");
}

#[test]
fn hovering_and_arrow_keys_show_the_values() {
    let Some(mut browser) = Chromium::start() else { return };
    open(&mut browser, &page("shown", &reports::shown()));
    for (chart, says) in [("throughput", "200"), ("latency", "p99"), ("percentiles", "took at most"), ("heat", "s")] {
        let figure = format!("document.querySelector('figure[data-chart={chart}]')");
        browser.eval(&format!("{figure}.scrollIntoView({{ block: 'center' }})"));
        let place = browser.eval(&format!("(() => {{ const b = {figure}.querySelector('.u-over').getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height * 0.6] }})()"));
        browser.point_at(1.0, 1.0);
        browser.point_at(place[0].as_f64().unwrap(), place[1].as_f64().unwrap());
        let tip = format!("{figure}.querySelector('.tip:not([hidden])')");
        browser.wait_for(&tip);
        let text = browser.eval(&format!("{tip}.textContent"));
        assert!(text.as_str().unwrap().contains(says), "{chart}: {text}");
    }
    browser.eval("document.querySelector('figure[data-chart=latency] .uplot').focus()");
    browser.press("Home");
    browser.press("ArrowRight");
    browser.wait_for("document.querySelector('[aria-live=polite]').textContent.includes('p50')");
    assert_clean(&browser);
}

#[test]
fn a_switch_hides_a_result_everywhere() {
    let Some(mut browser) = Chromium::start() else { return };
    open(&mut browser, &page("shown", &reports::shown()));
    let shown = "(() => { const slot = document.querySelector('.chip[title=\"304\"]').dataset.toggle; return [
        [...document.querySelectorAll(`[data-result=\"${slot}\"]`)].filter(e => e.offsetParent).length,
        document.querySelectorAll(`svg .r${slot}:not(.off)`).length] })()";
    let picture = "document.querySelector('figure[data-chart=throughput] canvas').toDataURL()";
    let (before, drawn) = (browser.eval(shown), browser.eval(picture));
    assert!(before[0].as_u64() > Some(0) && before[1].as_u64() > Some(1), "{before}");
    browser.eval("document.querySelector('.chip[title=\"304\"]').click()");
    assert_eq!(browser.eval(shown), serde_json::json!([0, 0]));
    assert_eq!(browser.eval("document.querySelector('.chip[title=\"304\"]').ariaPressed"), "false");
    assert_ne!(browser.eval(picture), drawn);
    browser.eval("document.querySelector('.tool').click()");
    assert_eq!(browser.eval(shown), before);
    assert_clean(&browser);
}

#[test]
fn tables_can_be_sorted_and_filtered() {
    let Some(mut browser) = Chromium::start() else { return };
    open(&mut browser, &page("shown", &reports::shown()));
    // Failures come first.
    let first = "document.querySelector('.results tbody:nth-of-type(2)').querySelector('tr').className";
    assert_eq!(browser.eval(first), "bad");
    let column = |name: &str| {
        format!("[...document.querySelectorAll('.results thead th')].findIndex(th => th.textContent === '{name}')")
    };
    let cells = format!(
        "[...document.querySelectorAll('.results tbody')].slice(1).map(body => body.rows[0].cells[{}].textContent)",
        column("p99")
    );
    let p99s = |browser: &mut Chromium| {
        let texts = browser.eval(&format!("{cells}.map(weight).filter(n => !isNaN(n))"));
        texts.as_array().unwrap().iter().map(|of| of.as_f64().unwrap()).collect::<Vec<_>>()
    };
    let click = format!("document.querySelectorAll('.results thead th .sort')[{}].click()", column("p99"));
    browser.eval(&click);
    let down = p99s(&mut browser);
    assert!(down.len() > 2 && down.is_sorted_by(|a, b| a >= b), "{down:?}");
    browser.eval(&click);
    let up = p99s(&mut browser);
    assert!(up.is_sorted() && up.len() == down.len(), "{up:?}");
    assert_eq!(browser.eval("document.querySelectorAll('.results [aria-sort=ascending]').length"), 1);
    // A long table has a filter.
    let many = runs_of_every_size().into_iter().find(|(_, report)| report.runs[0].results.len() > 20).unwrap();
    open(&mut browser, &page(many.0, &many.1));
    let name = many.1.runs[0].results[7].result.raw().to_owned();
    let shown =
        "[...document.querySelectorAll('.results tbody')].slice(1).filter(body => body.offsetHeight > 0).length";
    let all = browser.eval(shown).as_u64().unwrap();
    let filter = format!(
        "{{ const field = document.querySelector('input.sift'); field.value = {}; field.dispatchEvent(new Event('input')) }}",
        serde_json::Value::from(name)
    );
    browser.eval(&filter);
    let left = browser.eval(shown).as_u64().unwrap();
    assert!(left >= 1 && left < all, "{left} of {all}");
    assert_clean(&browser);
}

#[test]
fn hostile_names_are_text() {
    let long = "w".repeat(10_000);
    let hostile = [
        "<script>document.title = 'owned'</script>",
        "</script><img src=x onerror=\"document.title='owned'\">",
        "\"quotes\" & 'apostrophes'",
        "🦑🚀 emoji",
        "نتيجة من اليمين \u{202e}desrever",
        "<!--",
        "]]>",
        "${7*7} {{7*7}} %s \\u003c",
        "",
        &long,
    ];
    let results: Vec<Returned<'_>> = hostile.iter().map(|name| (*name, Outcome::Failed, 1, 900.0)).collect();
    let Some(mut browser) = Chromium::start() else { return };
    let mut report = report(&[record(&format!("{}.wasm", hostile[0]), 2.0, 2_000.0, 2, &results)]);
    for result in report.runs[0].results.iter_mut().chain(&mut report.total.results) {
        result.reasons.insert(hostile[1].into(), 3);
        result.reproduce = Some(format!("gorgon test '{}'", hostile[0]));
    }
    let title = html_title(&report);
    for width in [1280, 390] {
        open(&mut browser, &page("hostile", &report));
        browser.resize(width, 900, 1.0);
        assert_eq!(browser.eval("document.title"), title.as_str());
        assert_eq!(browser.eval("document.querySelectorAll('main script:not([type]), main img').length"), 0);
        browser.wait_for(&format!("({WIDER}).length === 0"));
        let names = browser.eval("[...document.querySelectorAll('.results bdi')].map(name => name.textContent)");
        let names: Vec<_> = names.as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
        // Names longer than 256 bytes are cut, regardless of their origin.
        assert!(names.contains(&hostile[0]) && names.contains(&hostile[1]) && names.contains(&&long[..256]));
        assert_clean(&browser);
    }
}

fn html_title(report: &Report) -> String {
    format!("{} – gorgon", report.runs[0].task.path.rsplit('/').next().unwrap())
}

#[test]
fn it_reads_without_javascript_and_on_paper() {
    let Some(mut browser) = Chromium::start() else { return };
    browser.call("Emulation.setScriptExecutionDisabled", serde_json::json!({ "value": true }));
    browser.resize(1280, 900, 1.0);
    browser.open_file(&page("shown", &reports::shown()));
    let drawn = "[...document.querySelectorAll('figure svg')].map(svg => svg.getBoundingClientRect().height > 50 && svg.querySelectorAll('path').length > 2 && svg.querySelectorAll('text').length > 4
         && [...svg.querySelectorAll('text')].every(text => text.getBoundingClientRect().height > 4))";
    // Throughput, failures, latency over time, percentiles, heat map, processors and memory of the workers.
    let all = serde_json::json!([true, true, true, true, true, true, true]);
    assert_eq!(browser.eval(drawn), all);
    browser.call("Emulation.setScriptExecutionDisabled", serde_json::json!({ "value": false }));
    open(&mut browser, &page("shown", &reports::shown()));
    browser.media("print", "dark");
    assert_eq!(browser.eval(drawn), all, "on paper");
    assert_eq!(browser.eval("getComputedStyle(document.querySelector('.uplot')).display"), "none");
    // Each chart lies within its figure, and does not overlap another.
    let over = "[...document.querySelectorAll('figure')].filter((figure, i, all) => {
        const box = figure.getBoundingClientRect(), next = all[i + 1]?.getBoundingClientRect();
        return figure.querySelector('svg').getBoundingClientRect().bottom > box.bottom || next?.top < box.bottom; })
        .map(figure => figure.id)";
    assert_eq!(browser.eval(over), serde_json::json!([]));
    // What is folded on the screen is printed, and folded again afterwards.
    let folded = "document.querySelectorAll('details:not([open])').length";
    let before = browser.eval(folded);
    assert!(before.as_u64() > Some(0));
    browser.eval("addEventListener('beforeprint', () => { window.printed = document.querySelectorAll('details:not([open])').length })");
    let paper = browser.call("Page.printToPDF", serde_json::json!({}));
    assert!(paper["data"].as_str().is_some_and(|pdf| pdf.len() > 10_000));
    assert_eq!((browser.eval("window.printed"), browser.eval(folded)), (0.into(), before));
}
