//! HTTP/1.1 as servers speak it: a table of answers, what curl and hey make of them, and so Gorgon.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::servers::{GZIPPED, Nginx, listen, nginx};
use crate::support::{Ran, gorgon, only_result, ran};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What a server does after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It waits for the next request.
    Stays,
    /// It closes the connection.
    Closes,
    /// It closes a connection when a second request comes on it, without an answer.
    ClosesOnSecond,
    /// The same by a reset.
    ResetsOnSecond,
    /// It closes a connection after some milliseconds without a request.
    ClosesIdle,
    /// It closes every tenth time.
    ClosesOnTenth,
}
use Then::{Closes, ClosesIdle, ClosesOnSecond, ClosesOnTenth, ResetsOnSecond, Stays};

/// A request as the server got it.
#[derive(Debug)]
struct Got {
    path: String,
    head: String,
}

/// The answers of a server by path, and the requests that it got.
struct Odd {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Odd {
    fn new(answers: impl IntoIterator<Item = (String, (String, Then))>) -> Self {
        let answers: HashMap<String, (String, Then)> = answers.into_iter().collect();
        let got = Arc::new(Mutex::new(Vec::new()));
        let log = got.clone();
        let (address, _) = listen(move |stream| serve(stream, &answers, &log));
        Self { address, got }
    }

    /// Calls `path` by `args`, and returns what became of it and how many requests the server got.
    fn call(&self, path: &str, args: &[&str]) -> (Ran, usize) {
        let url = format!("http://{}{path}", self.address);
        let mut gorgon = gorgon();
        gorgon.args(["http", &url, "--quiet", "--json", "-", "--timeout", "5s"]).args(args);
        let ran = ran(gorgon.output().unwrap());
        let got = self.got.lock().unwrap().iter().filter(|got| got.path == path).count();
        (ran, got)
    }
}

fn serve(stream: TcpStream, answers: &HashMap<String, (String, Then)>, log: &Mutex<Vec<Got>>) {
    let mut to = stream.try_clone().unwrap();
    let mut from = BufReader::new(stream);
    for count in 1.. {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match from.read_line(&mut head) {
                Ok(1..) => {}
                _ => return,
            }
        }
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        if from.read_exact(&mut body).is_err() {
            return;
        }
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        log.lock().unwrap().push(Got { path: path.clone(), head });
        let (answer, then) = answers
            .get(&path)
            .map_or(("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", Stays), |(answer, then)| (answer, *then));
        if count > 1 && then == ClosesOnSecond {
            return;
        }
        if count > 1 && then == ResetsOnSecond {
            // What was not read makes the system reset the connection.
            socket2::SockRef::from(&to).set_linger(Some(Duration::ZERO)).unwrap();
            return;
        }
        // A character of the answer is a byte.
        let bytes: Vec<u8> = answer.chars().map(|c| u8::try_from(c).unwrap()).collect();
        if to.write_all(&bytes).is_err() || then == Closes || then == ClosesOnTenth && count % 10 == 0 {
            return;
        }
        if then == ClosesIdle {
            to.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        }
    }
}

/// An answer with this first line and these headers, and a body of two bytes.
fn with(first: &str, headers: &str) -> String {
    format!("{first}\r\n{headers}Content-Length: 2\r\n\r\nok")
}

/// What a server answers on a path, what it does then, and the result that all operations have.
type Row = (&'static str, String, Then, &'static str);

/// Heads that are odd or large, and redirects.
fn heads() -> Vec<Row> {
    let many = |count: usize| (0..count).map(|i| format!("X-{i}: v\r\n")).collect::<String>();
    let long = |length: usize| format!("X-Big: {}\r\n", "a".repeat(length));
    let ok = |headers: &str| with("HTTP/1.1 200 OK", headers);
    vec![
        ("/hdrspace", ok("X-Bad : v\r\n"), Stays, "200"),
        ("/lengthspace", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok".into(), Stays, "200"),
        ("/hdrbad", ok("X Bad: v\r\n"), Stays, "200"),
        ("/fold", ok("X-Fold: a\r\n b\r\n"), Stays, "200"),
        ("/bighdr", ok(&long(300_000)), Stays, "200"),
        ("/hugehdr", ok(&long(2_000_000)), Stays, "the head of the response has too many headers, or is too long"),
        ("/manyhdr", ok(&many(100)), Stays, "200"),
        ("/manyhdr1000", ok(&many(1_000)), Stays, "200"),
        ("/latin1", ok("X-Name: caf\u{e9}\r\n"), Stays, "200"),
        ("/rxl", with("HTTP/1.1 302 R", ""), Stays, "302"),
        ("/rempty", with("HTTP/1.1 302 R", "Location:\r\n"), Stays, "302"),
        ("/rok", with("HTTP/1.1 302 R", "Location: /ok\r\n"), Stays, "200"),
        ("/rloop", with("HTTP/1.1 302 R", "Location: /rloop\r\n"), Stays, "302"),
        ("/rlatin1", with("HTTP/1.1 302 R", "Location: /caf\u{e9}\r\n"), Stays, "404"),
        ("/setcookie", ok("Set-Cookie: s=1; Path=/\r\nSet-Cookie: t=2\r\n"), Stays, "200"),
        ("/early413", "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".into(), Closes, "413"),
        ("/500", with("HTTP/1.1 500 Oops", ""), Stays, "500"),
        (
            "/bigbody",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n{}", "x".repeat(5_000_000)),
            Stays,
            "200",
        ),
        ("/extra", format!("{OK}junk-after-the-response"), Stays, "200"),
    ]
}

/// Statuses, connections and bodies.
fn bodies() -> Vec<Row> {
    let ok = |headers: &str| with("HTTP/1.1 200 OK", headers);
    vec![
        ("/ok", OK.into(), Stays, "200"),
        ("/204", "HTTP/1.1 204 No Content\r\n\r\n".into(), Stays, "204"),
        ("/204cl", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n".into(), Stays, "204"),
        ("/304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n".into(), Stays, "304"),
        ("/103", format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{OK}"), Stays, "200"),
        ("/100", format!("HTTP/1.1 100 Continue\r\n\r\n{OK}"), Stays, "200"),
        ("/102x", format!("{}{OK}", "HTTP/1.1 102 Processing\r\n\r\n".repeat(30)), Stays, "200"),
        (
            "/101",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".into(),
            Stays,
            "101",
        ),
        (
            "/trailers",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\n\r\n".into(),
            Stays,
            "200",
        ),
        ("/close", ok("Connection: close\r\n"), Closes, "200"),
        ("/quietclose", OK.into(), Closes, "200"),
        ("/quietclose10", OK.into(), ClosesOnTenth, "200"),
        ("/lateclose", OK.into(), ClosesIdle, "200"),
        ("/stale", OK.into(), ClosesOnSecond, "200"),
        ("/stalerst", OK.into(), ResetsOnSecond, "200"),
        ("/http10", "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello".into(), Closes, "200"),
        ("/http10ka", with("HTTP/1.0 200 OK", "Connection: keep-alive\r\n"), Stays, "200"),
        (
            "/short",
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this".into(),
            Closes,
            "incomplete HTTP response, after 9 bytes of the body",
        ),
        (
            "/shortchunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".into(),
            Closes,
            "incomplete HTTP response, after 5 bytes of the body",
        ),
        ("/silent", String::new(), Closes, "the server closed the connection without an answer"),
        ("/cl2", ok("Content-Length: 2\r\n"), Stays, "200"),
        ("/cl3", ok("Content-Length: 3\r\n"), Stays, "the response is not HTTP"),
        (
            "/clte",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".into(),
            Stays,
            "200",
        ),
        ("/lf", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok".into(), Stays, "200"),
        ("/noreason", with("HTTP/1.1 200", ""), Stays, "200"),
        ("/999", with("HTTP/1.1 999 Odd", ""), Stays, "999"),
        ("/600", with("HTTP/1.1 600 Odd", ""), Stays, "600"),
    ]
}

#[test]
fn odd_answers_are_what_curl_and_hey_make_of_them() {
    let table: Vec<Row> = bodies().into_iter().chain(heads()).collect();
    let odd = Odd::new(table.iter().map(|(path, answer, then, _)| ((*path).to_owned(), (answer.clone(), *then))));
    for (path, _, then, wanted) in &table {
        let (ran, got) = odd.call(path, &["-n", "30", "-c", "3"]);
        let result = only_result(&ran);
        assert_eq!(result, *wanted, "{path}");
        let sent = ran.figure("/network/sent");
        let redirects = if path.starts_with("/r") && *path != "/rxl" && *path != "/rempty" { sent } else { 0 };
        match then {
            // The server may have closed a connection before it could read from it.
            Closes | ClosesIdle | ClosesOnTenth => assert!(sent >= got as u64, "{path}: {sent} sent, {got} received"),
            _ if redirects > 0 => assert!(sent >= got as u64, "{path}: {sent} sent, {got} received"),
            _ => assert_eq!(sent, got as u64, "{path}"),
        }
        assert_eq!(ran.figure("/network/requests") + ran.figure("/network/repeated"), sent, "{path}");
    }
}

#[test]
fn bodies_of_head_and_after_it_do_not_reach_the_next_request() {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "x".repeat(10));
    let odd = Odd::new([("/headbody".to_owned(), (answer, Stays))]);
    let (ran, _) = odd.call("/headbody", &["-X", "HEAD", "-n", "30", "-c", "3"]);
    assert_eq!(only_result(&ran), "200");
}

#[test]
fn a_request_that_may_not_be_repeated_is_sent_once() {
    for (path, then) in [("/stale", ClosesOnSecond), ("/stalerst", ResetsOnSecond)] {
        for (method, is_repeated) in [("POST", false), ("PATCH", false), ("PUT", true), ("DELETE", true)] {
            let odd = Odd::new([(path.to_owned(), (OK.to_owned(), then))]);
            let (ran, got) = odd.call(path, &["-X", method, "--body", "x", "-n", "20"]);
            let ok = ran.results().iter().find(|(result, _, _)| result == "200").map_or(0, |(_, _, count)| *count);
            let repeated = ran.figure("/network/repeated");
            let wanted = if is_repeated { (20, 39, 19) } else { (10, 20, 0) };
            assert_eq!((ok, got, repeated), wanted, "{method} {path}: {:?}", ran.results());
            if !is_repeated {
                let failed = ran.results().into_iter().find(|(_, outcome, _)| outcome == "failed");
                assert_eq!(failed.unwrap().0, "the server closed the connection without an answer");
            }
        }
    }
}

#[test]
fn an_early_answer_counts_although_the_body_was_not_read() {
    // It answers as soon as the head is there, and closes without reading the body.
    let (address, _) = listen(|stream| {
        let mut from = BufReader::with_capacity(1_000, stream.try_clone().unwrap());
        let mut to = stream;
        if crate::support::servers::read_head(&mut from) {
            let _ =
                to.write_all(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let body = directory.path().join("body");
    std::fs::write(&body, vec![b'x'; 5_000_000]).unwrap();
    let mut gorgon = gorgon();
    gorgon.args(["http", &format!("http://{address}/"), "-X", "POST", "--body", &format!("@{}", body.display())]);
    let ran = ran(gorgon.args(["-n", "20", "-c", "3", "--quiet", "--json", "-"]).output().unwrap());
    assert_eq!(only_result(&ran), "413");
}

#[test]
fn names_of_headers_are_written_as_people_write_them() {
    let odd = Odd::new([("/ok".to_owned(), (OK.to_owned(), Stays))]);
    odd.call("/ok", &["-H", "x-request-id: 7", "-H", "Connection: close", "-n", "2"]);
    let got = odd.got.lock().unwrap();
    let head = &got[0].head;
    for line in ["Host: ", "X-Request-Id: 7\r\n", "User-Agent: gorgon/", "Accept: */*\r\n", "Connection: close\r\n"] {
        assert!(head.contains(line), "{line}: {head}");
    }
}

#[test]
fn a_connection_that_is_to_be_closed_is_closed() {
    let odd = Odd::new([("/ok".to_owned(), (OK.to_owned(), Stays))]);
    let (ran, _) = odd.call("/ok", &["-H", "Connection: close", "-n", "10"]);
    assert_eq!((ran.figure("/network/opened"), ran.figure("/network/reused")), (10, 0));
}

#[test]
fn connections_that_end_while_they_are_idle_fail_no_request() {
    let Some(Nginx { ref url, .. }) = nginx("", "keepalive_timeout 1s; keepalive_requests 100000;") else { return };
    let mut gorgon = gorgon();
    gorgon.args(["http", url, "-n", "1000", "-c", "100", "--pause", "0.99s..1.01s", "--quiet", "--json", "-"]);
    let ran = ran(gorgon.output().unwrap());
    assert_eq!(only_result(&ran), "200", "of {}", ran.figure("/network/opened"));
}

#[test]
fn encoded_bodies_are_decoded_for_captures() {
    let body: String = GZIPPED.iter().map(|&byte| char::from(byte)).collect();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let answer = format!("{head}Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n{body}", GZIPPED.len());
    let broken = format!("{head}Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n{{\"id\": 7}}");
    let paths = [("/gzip", answer, Stays), ("/broken", broken, Stays), ("/x/7", OK.into(), Stays)];
    let odd = Odd::new(paths.map(|(path, answer, then)| (path.to_owned(), (answer, then))));
    let directory = tempfile::tempdir().unwrap();
    let play = |path: &str| {
        let file = directory.path().join("flow.http");
        let base = format!("http://{}", odd.address);
        let text = format!(
            "# @capture id = /id\nGET {base}{path}\nAccept-Encoding: gzip, br\n\n###\nGET {base}/x/{{{{id}}}}\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut gorgon = gorgon();
        gorgon.arg("http").arg(&file).args(["--flow", "--allow", "calls", "-n", "4", "--quiet", "--json", "-"]);
        ran(gorgon.output().unwrap())
    };
    assert_eq!(only_result(&play("/gzip")), "200");
    let broken = only_result(&play("/broken"));
    assert!(broken.starts_with("its body cannot be decoded from gzip: "), "{broken}");
    // What is counted is what went over the wire.
    let (ran, _) = odd.call("/gzip", &["-n", "1"]);
    assert!(ran.figure("/network/bytes_in") < 200);
}

#[test]
fn requests_that_a_time_out_ends_are_counted_as_failed() {
    // A head, and a body that does not end; and no answer at all.
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx".to_owned();
    let odd = Odd::new([("/begun".to_owned(), (begun, Stays)), ("/nothing".to_owned(), (String::new(), Stays))]);
    for (path, args) in [("/begun", &[][..]), ("/nothing", &[]), ("/nothing", &["--body", "x"])] {
        let before = odd.got.lock().unwrap().len();
        let url = format!("http://{}{path}", odd.address);
        let mut gorgon = gorgon();
        gorgon.args(["http", &url, "--quiet", "--json", "-", "--timeout", "200ms", "-n", "10", "-c", "5"]).args(args);
        let ran = ran(gorgon.output().unwrap());
        let got = odd.got.lock().unwrap().len() - before;
        assert_eq!((got, ran.figure("/network/sent"), ran.figure("/network/failed")), (10, 10, 10), "{path} {args:?}");
    }
}
