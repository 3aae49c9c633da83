//! Servers as they are: what they do wrong is counted, and never a hang.

mod http1;
mod http2;
mod routes;
mod tls;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::support::servers::{Nginx, answer, demo, listen, nginx, read_head};
use crate::support::{get, gorgon, guest, only_result};

#[test]
fn misbehaving_servers_give_counted_results_in_time() {
    let stalls = |stream: TcpStream| {
        let mut reader = BufReader::new(stream);
        read_head(&mut reader);
        let _ = reader.read(&mut [0; 1]);
    };
    let drips = |stream: TcpStream| {
        read_head(&mut BufReader::new(stream.try_clone().unwrap()));
        let mut stream = stream;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let breaks_off = |stream: TcpStream| {
        read_head(&mut BufReader::new(stream.try_clone().unwrap()));
        let mut stream = stream;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
    };
    let closes = |stream: TcpStream| {
        read_head(&mut BufReader::new(stream));
    };
    // The connection is closed while the request is unread, so the system sends a reset.
    let resets = |stream: TcpStream| {
        let _ = stream.peek(&mut [0; 1]);
    };
    let floods = |stream: TcpStream| {
        read_head(&mut BufReader::new(stream.try_clone().unwrap()));
        let mut stream = stream;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        let chunk = vec![b'x'; 1 << 20];
        while stream.write_all(&chunk).is_ok() {}
    };
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let servers: [(SocketAddr, &str, &str); 8] = [
        (listen(stalls).0, "timeout", "timed_out"),
        (listen(drips).0, "timeout", "timed_out"),
        (listen(breaks_off).0, "incomplete HTTP response, after 4 bytes", "failed"),
        (listen(closes).0, "the server closed the connection without an answer", "failed"),
        (listen(answer(b"this is not HTTP\r\n\r\n")).0, "the response is not HTTP", "failed"),
        (listen(resets).0, "the server closed the connection without an answer", "failed"),
        (refused, "connection refused", "failed"),
        (listen(floods).0, "trap: out of memory", "trapped"),
    ];
    for (address, words, outcome) in servers {
        let url = format!("http://{address}/");
        let ran = get(&url, &["-n", "4", "-c", "2", "--allow", &url, "--timeout", "700ms", "--max-memory", "64MiB"]);
        let results = ran.results();
        assert_eq!(results.iter().map(|(_, _, n)| n).sum::<u64>(), 4, "{words}: {results:?}");
        assert!(
            results.iter().all(|(result, out, _)| result.contains(words) && out == outcome),
            "{words}: {results:?}"
        );
        // Without the limits, the servers would block an operation for an hour. Nothing in the test takes as long as a
        // minute.
        assert!(ran.figure("/latency_ns/max") < 60_000_000_000, "{words}");
    }
    let ran = get("http://no-such-host.invalid/", &["--allow", "http://no-such-host.invalid"]);
    assert!(only_result(&ran).contains("cannot resolve no-such-host.invalid"), "{:?}", ran.results());
}

#[test]
fn nginx_is_a_server_like_any_other() {
    let Some(Nginx { url, .. }) = &nginx("", "") else { return };
    let ran = get(url, &["-n", "2000", "-t", "2", "-c", "5", "--allow", url]);
    assert_eq!(ran.results(), [("200".into(), "ok".into(), 2_000)]);
    // By default nginx closes a connection after a thousand requests, and the next request opens a new one.
    assert!(ran.figure("/network/opened") <= 12, "{}", ran.figure("/network/opened"));
}

#[test]
fn requests_that_http2_refuses_at_the_end_of_a_connection_are_repeated() {
    let Some(Nginx { url, .. }) = &nginx("http2", "keepalive_requests 50;") else { return };
    let ran = get(url, &["-n", "2000", "-c", "20", "--http2", "--allow", url]);
    assert_eq!(ran.results(), [("200".into(), "ok".into(), 2_000)]);
    // Forty connections would do if none is refused, and if all requests that wait for a new connection share it.
    assert!((40..=80).contains(&ran.figure("/network/opened")), "{}", ran.figure("/network/opened"));
    let calls = tempfile::NamedTempFile::with_suffix(".http").unwrap();
    std::fs::write(calls.path(), format!("POST {url}\ncontent-type: text/plain\n\nhello\n")).unwrap();
    let mut gorgon = gorgon();
    gorgon.arg("http").arg(calls.path()).args(["-n", "2000", "-c", "20", "--http2", "--allow", url, "--json", "-"]);
    let ran = crate::support::ran(gorgon.output().unwrap());
    assert_eq!(ran.results(), [("200".into(), "ok".into(), 2_000)]);
}

#[test]
fn too_few_file_descriptors_are_named_and_the_run_goes_on() {
    let address = demo();
    let url = format!("http://{address}/slow?ms=50");
    let env = format!("URL={url}");
    let grant = format!("http://{address}");
    let args = ["-n", "200", "-c", "100", "--allow", &grant, "--env", &env, "--json", "-"];
    let output = crate::support::limited("-n 40", &guest("http"), &args);
    let ran = crate::support::ran(output);
    assert_eq!((ran.adds_up().code, ran.figure("/operations/completed")), (Some(0), 200), "{}", ran.stderr);
    let results = ran.results();
    assert!(results.iter().any(|(result, _, _)| result.contains("raise the limit of open files")), "{results:?}");
    assert!(results.iter().any(|(result, outcome, _)| result == "200" && outcome == "ok"), "{results:?}");
}

#[test]
fn a_frozen_server_makes_as_many_operations_slow_as_were_in_flight() {
    const FREEZE: Duration = Duration::from_secs(4);
    let mut server =
        gorgon().args(["demo", "--serve", "--port", "0"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(server.stderr.take().unwrap()).read_line(&mut said).unwrap();
    let url = said.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
    let env = format!("URL={url}/");
    let args = ["-d", "7s", "-t", "2", "-c", "4", "--allow", &url, "--env", &env];
    let watched = crate::support::watch(&guest("http"), &args);
    crate::support::wait_until("requests are answered", || watched.completed() > 0);
    // The freeze begins somewhere between the first two moments, and ends somewhere between the last two.
    let around = std::time::Instant::now();
    crate::support::signal("STOP", server.id());
    let state = format!("/proc/{}/stat", server.id());
    crate::support::wait_until("it is frozen", || std::fs::read_to_string(&state).unwrap().contains(") T "));
    let frozen = std::time::Instant::now();
    std::thread::sleep(FREEZE);
    let frozen = frozen.elapsed();
    crate::support::signal("CONT", server.id());
    let around = around.elapsed();
    let ran = watched.finish();
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(ran.adds_up().code, Some(0), "{}", ran.stderr);
    assert_eq!(only_result(&ran), "200");
    let hdr = ran.report["runs"][0]["latency_ns"]["hdr"].as_str().unwrap();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, hdr).unwrap();
    let histogram: hdrhistogram::Histogram<u64> =
        hdrhistogram::serialization::Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
    // Those in flight waited for the whole freeze. Nothing was invented in between: a correction for coordinated
    // omission adds as many durations above half of the freeze as below. A busy machine does not slow other operations
    // by that much.
    let half = FREEZE.as_nanos() as u64 / 2;
    let slow = histogram.count_between(half, u64::MAX);
    assert!((1..=8).contains(&slow), "{slow} operations were slow, of {}", histogram.len());
    let longest = ran.figure("/latency_ns/max") as f64;
    // It began before the freeze and ended after it, so it is at least as long, up to the histogram's three digits. It
    // began at most one ordinary operation earlier, and ended at most one later. A twentieth is for the machine.
    let ordinary = histogram.iter_recorded().map(|value| value.value_iterated_to()).filter(|&ns| ns < half).max();
    let most = around.as_nanos() as f64 * 1.05 + 2.0 * ordinary.unwrap_or_default() as f64;
    let least = frozen.as_nanos() as f64 * 0.99;
    assert!((least..most).contains(&longest), "the longest took {longest} ns of a freeze of {frozen:?} to {around:?}");
}
