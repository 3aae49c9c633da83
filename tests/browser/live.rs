//! Tests the page that follows a run.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::process::{Child, Stdio};

use super::chromium::Chromium;
use crate::support::{gorgon, guest, lives, signal, wait_until};

/// Starts a run and returns the address of its page.
fn follow(args: &[&str]) -> (Child, String) {
    let mut run = gorgon();
    run.arg("run").arg(guest("results")).args(["--no-progress", "--json", "-"]).args(args).args(["--web", "--", "3"]);
    let mut gorgon = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(gorgon.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    // The rest must be read, or the run would block.
    std::thread::spawn(move || stderr.read_to_string(&mut String::new()));
    (gorgon, line.trim().strip_prefix("following the run at ").unwrap().to_owned())
}

const OPERATIONS: &str = "Number(document.querySelectorAll('.tile strong')[1]?.textContent.replaceAll(',', '') ?? 0)";

#[test]
fn it_follows_a_run_stops_it_and_stays() {
    let Some(mut browser) = Chromium::start() else { return };
    let (gorgon, address) = follow(&["-d", "120s"]);
    browser.resize(1280, 900, 1.0);
    browser.open(&address);
    // A chart is drawn anew if a result appears that was not there before, so all of them have to be there.
    browser.wait_for(&format!("{OPERATIONS} > 1000 && document.querySelector('figure canvas')"));
    let before = browser.eval(OPERATIONS);
    assert_eq!(browser.eval("document.querySelector('.state').textContent"), "running");
    assert_eq!(browser.eval("document.body.textContent.includes('stopped')"), false);
    browser.eval("document.querySelector('figure canvas').kept = true");
    browser.wait_for(&format!("{OPERATIONS} > {before}"));
    assert_eq!(
        browser.eval("document.querySelector('figure canvas').kept"),
        true,
        "charts grow and are not created again"
    );
    // A reload and a second viewer.
    browser.open(&address);
    let mut second = Chromium::start().unwrap();
    second.open(&address);
    for viewer in [&mut browser, &mut second] {
        let before = viewer.eval(OPERATIONS);
        viewer.wait_for(&format!("{OPERATIONS} > {before}"));
    }
    second.eval("document.querySelector('.live button').click()");
    browser.wait_for("document.querySelector('.live .says').textContent.includes('has ended')");
    assert!(lives(gorgon.id()), "the page stays");
    browser.open(&address);
    assert_eq!(browser.eval("document.querySelector('.live')"), serde_json::Value::Null);
    browser.wait_for("document.querySelector('.state.warning')");
    for viewer in [&browser, &second] {
        assert_eq!(viewer.complaints, Vec::<String>::new());
        assert!(viewer.requests.iter().all(|url| url.starts_with(&address)), "{:?}", viewer.requests);
    }
    signal("INT", gorgon.id());
    let ran = crate::support::ran(gorgon.wait_with_output().unwrap());
    assert_eq!((ran.code, &ran.report["partial"]), (Some(130), &serde_json::Value::Bool(true)));
    ran.adds_up();
}

/// Whether a chart over time is redrawn between two reports, which replace content of the page; false if that did not
/// happen within five reports.
const FLOWS: &str = "new Promise(done => {
    let reports = 0, before;
    new MutationObserver(() => { before = undefined; if (++reports > 5) done(false); })
        .observe(document.querySelector('main'), { childList: true });
    const look = () => {
        const now = document.querySelector('figure[data-chart=latency] canvas').toDataURL();
        if (before !== undefined && before !== now) done(true);
        before = now;
        requestAnimationFrame(look);
    };
    look(); })";

#[test]
fn charts_flow_between_two_reports_unless_reduced_motion_is_preferred() {
    let Some(mut browser) = Chromium::start() else { return };
    let (mut gorgon, address) = follow(&["-d", "120s"]);
    browser.resize(1280, 900, 1.0);
    browser.open(&address);
    browser.wait_for(&format!("{OPERATIONS} > 0 && document.querySelector('figure[data-chart=latency] canvas')"));
    assert_eq!(browser.eval(FLOWS), true);
    browser.media("screen", "light");
    // A chart that still flows reaches its end with the next report.
    let before = browser.eval(OPERATIONS);
    browser.wait_for(&format!("{OPERATIONS} > {before}"));
    assert_eq!(browser.eval(FLOWS), false, "`prefers-reduced-motion: reduce`");
    assert_eq!(browser.complaints, Vec::<String>::new());
    gorgon.kill().unwrap();
    gorgon.wait().unwrap();
    browser.wait_for("document.querySelector('.live .says').textContent.includes('last figures')");
}

#[test]
fn open_focused_and_scrolled_elements_stay_so() {
    let Some(mut browser) = Chromium::start() else { return };
    let (mut gorgon, address) = follow(&["-d", "120s"]);
    browser.resize(1280, 900, 1.0);
    browser.open(&address);
    browser.wait_for(&format!("{OPERATIONS} > 0 && document.querySelector('figure[data-chart=throughput] canvas')"));
    browser.eval("document.querySelector('#run-1-plan').open = true");
    for focused in ["#run-1-plan summary", "#run-1-throughput .uplot", ".chip", ".scroll[aria-label=Results]"] {
        browser.eval(&format!("document.querySelector('{focused}').focus()"));
        let before = browser.eval(OPERATIONS);
        browser.wait_for(&format!("{OPERATIONS} > {before}"));
        assert_eq!(
            browser.eval(&format!("document.activeElement === document.querySelector('{focused}')")),
            true,
            "{focused}"
        );
    }
    assert_eq!(browser.eval("document.querySelector('#run-1-plan').open"), true);
    assert_eq!(browser.complaints, Vec::<String>::new());
    gorgon.kill().unwrap();
    gorgon.wait().unwrap();
}

/// The status of a response.
fn status(address: &str, path: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn it_refuses_a_wrong_token_another_name_and_another_machine() {
    let (mut gorgon, address) = follow(&["-d", "120s"]);
    let (place, token) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let port: u16 = place.split_once(':').unwrap().1.parse().unwrap();
    let page = format!("/{token}");
    assert_eq!(status(place, &page, place), "200");
    assert_eq!(status(place, &page, &format!("localhost:{port}")), "200");
    for wrong in ["/", "/events", "/0123456789abcdef0123456789abcdef/", "/0123456789abcdef0123456789abcdef/stop"] {
        assert_eq!(status(place, wrong, place), "403", "{wrong}");
    }
    for name in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1", ""] {
        assert_eq!(status(place, &page, name), "403", "{name}");
    }
    // An address of this machine that others could use, if it has one.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    match socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()) {
        Ok(outside) if !outside.ip().is_loopback() => assert!(TcpStream::connect((outside.ip(), port)).is_err()),
        _ => eprintln!("SKIPPED: this machine has no address but loopback"),
    }
    // The first signal ends the run and leaves the page, and the next one ends the page.
    for _ in 0..2 {
        signal("INT", gorgon.id());
    }
    wait_until("it ends", || {
        let _ =
            std::process::Command::new("kill").args(["-INT", &gorgon.id().to_string()]).stderr(Stdio::null()).status();
        !lives(gorgon.id())
    });
    gorgon.wait().unwrap();
}
