//! Calls from the files of other tools: what a server gets, byte for byte, and what is refused.
//!
//! `calls/*/expected.txt` has the files and what is right; the first of them explains the format.

mod expected;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex};

use self::expected::{Expected, Wanted, differences, expected, latin1};
use crate::support::gorgon;
use crate::support::servers::{GZIPPED, listen};

/// The port of the server, as the files name it.
const NAMED_PORT: &str = "18099";

/// A request as the server got it. Bytes are characters of the same number.
#[derive(Clone, Debug, Default)]
struct Got {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

/// A server that keeps what it gets, and its port. `answer` is the JSON that it sends, `token` its `X-Token`.
fn server(answer: &'static str, token: &'static str) -> (u16, Arc<Mutex<Vec<Got>>>) {
    let got: Arc<Mutex<Vec<Got>>> = Arc::default();
    let kept = got.clone();
    let (address, _) = listen(move |stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Some(request) = receive(&mut reader) {
            let response = response(&request, answer, token);
            kept.lock().unwrap().push(request);
            if stream.write_all(&response).is_err() {
                return;
            }
        }
    });
    (address.port(), got)
}

fn receive(reader: &mut BufReader<TcpStream>) -> Option<Got> {
    let line = |reader: &mut BufReader<TcpStream>| {
        let mut bytes = Vec::new();
        reader.read_until(b'\n', &mut bytes).ok().filter(|&read| read > 0)?;
        Some(latin1(bytes.trim_ascii_end()))
    };
    let mut got = Got { line: line(reader)?, ..Got::default() };
    loop {
        let header = line(reader)?;
        let Some((name, value)) = header.split_once(':') else { break };
        got.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let header = |name: &str| got.headers.iter().find(|(of, _)| of == name).map(|(_, value)| value.clone());
    if header("transfer-encoding").is_some() {
        loop {
            let size = usize::from_str_radix(&line(reader)?, 16).ok()?;
            let mut bytes = vec![0; size + 2];
            reader.read_exact(&mut bytes).ok()?;
            if size == 0 {
                break;
            }
            got.body.push_str(&latin1(&bytes[..size]));
        }
    } else if let Some(length) = header("content-length") {
        let mut bytes = vec![0; length.parse().ok()?];
        reader.read_exact(&mut bytes).ok()?;
        got.body = latin1(&bytes);
    }
    Some(got)
}

fn response(request: &Got, answer: &str, token: &str) -> Vec<u8> {
    let path = request.line.split(' ').nth(1).unwrap_or_default();
    let status = path.strip_prefix("/status/").and_then(|path| path.get(..3)).and_then(|code| code.parse().ok());
    let status = match path {
        path if path.contains("/redir") => 302,
        path if path.contains("/notfound") => 404,
        _ => status.unwrap_or(200_u16),
    };
    let accepts_gzip = request.headers.iter().any(|(name, value)| name == "accept-encoding" && value.contains("gzip"));
    let mut more = format!("X-Token: {token}\r\n");
    if path.contains("/redir") {
        more.push_str("Location: /landed\r\n");
    }
    if path.contains("/setcookie") {
        more.push_str("Set-Cookie: sid=new; Path=/\r\n");
    }
    let is_gzip = path.ends_with("/gz") && accepts_gzip;
    if is_gzip {
        more.push_str("Content-Encoding: gzip\r\n");
    }
    let body = if is_gzip { GZIPPED } else { answer.as_bytes() };
    let body = if request.line.starts_with("HEAD ") || matches!(status, 204 | 304) { b"" } else { body };
    let length =
        if matches!(status, 204 | 304) { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{length}{more}\r\n");
    [head.as_bytes(), body].concat()
}

/// Copies the files of `folder` for a server at `port`.
fn copied(folder: &Path, port: u16) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let port = port.to_string();
    assert_eq!(port.len(), NAMED_PORT.len(), "columns of messages depend on its length");
    copy_into(folder, copy.path(), &port);
    copy
}

fn copy_into(folder: &Path, to: &Path, port: &str) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_into(&entry.path(), &target, port);
            continue;
        }
        let mut bytes = std::fs::read(entry.path()).unwrap();
        let wide = |text: &str| text.bytes().flat_map(|byte| [byte, 0]).collect::<Vec<u8>>();
        replace(&mut bytes, NAMED_PORT.as_bytes(), port.as_bytes());
        replace(&mut bytes, &wide(NAMED_PORT), &wide(port));
        std::fs::write(target, bytes).unwrap();
    }
}

/// Replaces `from` by `to`, which is as long.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from) {
        at += found;
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

/// What is wrong with what becomes of a file.
fn mistakes(expected: &Expected, folder: &Path, port: u16, got: &Mutex<Vec<Got>>) -> Vec<String> {
    got.lock().unwrap().clear();
    let is_flow = expected.flags.iter().any(|flag| flag == "--flow");
    let calls = expected.requests.iter().filter(|request| !request.is_followed).count();
    let operations = if is_flow { 1 } else { calls.max(1) };
    let port = port.to_string();
    let mut command = gorgon();
    command.current_dir(folder).arg("http").arg(&expected.file);
    command.args(expected.flags.iter().map(|flag| flag.replace("PORT", &port)));
    command.args(["--allow", "calls", "--json", "-", "-n", &operations.to_string()]);
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).replace(&port, "PORT");
    let got = got.lock().unwrap().clone();
    if let Some(refusal) = &expected.refusal {
        let begins = format!("gorgon: {}:{refusal}", expected.file);
        let is_refused = stderr.lines().any(|line| line.starts_with(&begins));
        if is_refused && output.status.code() == Some(1) && got.is_empty() {
            return Vec::new();
        }
        return vec![format!("it is not refused at {refusal}, but: {stderr}{} requests", got.len())];
    }
    let mut wrong: Vec<String> =
        expected.notes.iter().filter(|note| !stderr.contains(*note)).map(|note| format!("no note {note:?}")).collect();
    let report = String::from_utf8_lossy(&output.stdout);
    if let Some(failure) = expected.failure.as_ref().filter(|failure| !report.contains(*failure)) {
        wrong.push(format!("no operation failed for {failure:?}"));
    }
    if got.len() != expected.requests.len() {
        let lines: Vec<_> = got.iter().map(|got| &got.line).collect();
        wrong.push(format!("{} requests, not {}: {lines:?}", got.len(), expected.requests.len()));
    }
    for (got, wanted) in got.iter().zip(&expected.requests) {
        let wanted = Wanted {
            line: wanted.line.replace("PORT", &port),
            headers: wanted.headers.iter().map(|(name, value)| (name.clone(), value.replace("PORT", &port))).collect(),
            absent: wanted.absent.clone(),
            body: wanted.body.replace("PORT", &port),
            ..Wanted::default()
        };
        wrong.extend(differences(got, &wanted));
    }
    if !wrong.is_empty() {
        wrong.push(format!("stderr: {stderr}"));
    }
    wrong
}

/// Plays the files of a folder, and compares what the server gets.
fn play(name: &str, answer: &'static str, token: &'static str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/calls").join(name);
    let text = std::fs::read_to_string(folder.join("expected.txt")).unwrap();
    let (port, got) = server(answer, token);
    let copy = copied(&folder, port);
    let mut wrong = String::new();
    for expected in expected(&text) {
        let mistakes = mistakes(&expected, copy.path(), port, &got);
        if !mistakes.is_empty() {
            wrong.push_str(&format!("{} {:?}\n    {}\n", expected.file, expected.flags, mistakes.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

const SHORT: &str = r#"{"id":7,"token":"tok-1","list":[{"name":"a"}]}"#;

#[test]
fn files_of_public_reports_are_played_as_they_are_meant() {
    let answer = r#"{"id": 7, "token": "tok 1+2/3", "list": [{"id": 9007199254740993}], "big": 12345678901234567890123, "f": 1.10}"#;
    play("cases", answer, "abc");
}

#[test]
fn files_of_editors_are_played_as_they_are_meant() {
    play("http", SHORT, "hdr-1");
}

#[test]
fn recordings_are_played_as_they_are_meant() {
    play("har", SHORT, "hdr-1");
}

#[test]
fn files_of_other_tools_are_played_as_they_are_meant() {
    play("others", SHORT, "hdr-1");
}

#[test]
fn every_file_has_an_expectation() {
    for name in ["cases", "http", "har", "others"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/calls").join(name);
        let text = std::fs::read_to_string(folder.join("expected.txt")).unwrap();
        let files = std::fs::read_dir(&folder).unwrap().flatten().filter(|entry| entry.path().is_file());
        // Files that others name are mentioned in them or in flags.
        let known = expected(&text);
        for file in files.map(|entry| entry.file_name().into_string().unwrap()) {
            let is_known =
                known.iter().any(|expected| expected.file == file) || text.contains(&format!("# beside: {file}"));
            assert!(is_known || file == "expected.txt", "{name}/{file} has no expectation");
        }
    }
}

/// What a server gets of `gorgon` with `args`, in which PORT stands for its port, and how that ended.
fn sent(args: &[&str], stdin: &str) -> (Vec<Got>, std::process::Output) {
    let (port, got) = server(SHORT, "hdr-1");
    let mut command = gorgon();
    command.args(args.iter().map(|arg| arg.replace("PORT", &port.to_string())));
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    // A command that does not read its input may have ended.
    let _ = child.stdin.take().unwrap().write_all(stdin.replace("PORT", &port.to_string()).as_bytes());
    let mut output = child.wait_with_output().unwrap();
    for text in [&mut output.stdout, &mut output.stderr] {
        *text = String::from_utf8_lossy(text).replace(&port.to_string(), "PORT").into_bytes();
    }
    let got = got.lock().unwrap().clone();
    (got, output)
}

fn header<'a>(got: &'a Got, name: &str) -> Option<&'a str> {
    got.headers.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
}

#[test]
fn a_url_of_the_command_line_is_called_as_curl_does_and_grants_itself() {
    const URL: &str = "http://127.0.0.1:PORT/x?q=a b";
    let (got, output) = sent(&["http", URL, "-n", "3", "-c", "2"], "");
    assert!(output.status.success(), "{output:?}");
    // A query may have secrets, which a report must not pass on.
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.starts_with("http://127.0.0.1:PORT/x: 3 operations"), "{report}");
    assert_eq!(got.len(), 3);
    assert!(got.iter().all(|got| got.line == "GET /x?q=a%20b HTTP/1.1" && got.body.is_empty()), "{got:?}");

    let flags = ["-X", "PUT", "-H", "X-A: b: c", "-H", "x-a: 2", "-u", "ann:p:w", "--json-body", r#"{"a": 1}"#];
    let (got, _) = sent(&[&["http", URL][..], &flags].concat(), "");
    assert_eq!((got[0].line.as_str(), got[0].body.as_str()), ("PUT /x?q=a%20b HTTP/1.1", r#"{"a": 1}"#));
    let values: Vec<_> = got[0].headers.iter().filter(|(name, _)| name == "x-a").map(|(_, value)| value).collect();
    assert_eq!(values, ["b: c", "2"]);
    assert_eq!(header(&got[0], "authorization"), Some("Basic YW5uOnA6dw=="));
    assert_eq!(header(&got[0], "content-type"), Some("application/json"));

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"\xff{{x}}\r\n").unwrap();
    let (got, _) = sent(&["http", URL, "--body", &format!("@{}", file.path().display())], "");
    assert_eq!((got[0].line.as_str(), got[0].body.as_str()), ("POST /x?q=a%20b HTTP/1.1", "\u{ff}{{x}}\r\n"));

    let filled = ["--var", "who=a b", "--var", "unused=1", "-H", "X: {{who}}", "--json-body", r#"{"a": {{who}}}"#];
    let (got, output) = sent(&[&["http", "http://127.0.0.1:PORT/{{who}}"][..], &filled].concat(), "");
    assert_eq!((got[0].line.as_str(), got[0].body.as_str()), ("POST /a%20b HTTP/1.1", r#"{"a": a b}"#));
    assert_eq!(header(&got[0], "x"), Some("a b"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("the command line: no call has {{unused}}, which --var gives"), "{stderr}");

    let (got, output) = sent(&["http", "http://127.0.0.1:PORT/redir/loop"], "");
    assert_eq!((got.len(), output.status.code()), (2, Some(0)), "it leads to another page");
    assert_eq!(header(&got[0], "accept"), Some("*/*"));
    let (got, _) = sent(&["http", "http://127.0.0.1:PORT/x", "-H", "Accept:", "-H", "X-Empty;"], "");
    assert_eq!((header(&got[0], "accept"), header(&got[0], "x-empty")), (None, Some("")));
    assert!(header(&got[0], "user-agent").is_some_and(|name| name.starts_with("gorgon/")));

    let (got, _) = sent(&["http", "http://ann:p%40w@127.0.0.1:PORT/a", "http://127.0.0.1:PORT/b", "-n", "2"], "");
    let lines: Vec<_> = got.iter().map(|got| got.line.as_str()).collect();
    assert_eq!(lines, ["GET /a HTTP/1.1", "GET /b HTTP/1.1"]);
    assert_eq!(
        (header(&got[0], "authorization"), header(&got[1], "authorization")),
        (Some("Basic YW5uOnBAdw=="), None)
    );

    for (args, said) in [
        (&["http", "127.0.0.1:PORT/x"][..], "for a URL write `http://127.0.0.1:PORT/x`"),
        (
            &["http", URL, "-d", "{}"],
            "this is the duration of the run: gorgon http sends a body by --body or --json-body",
        ),
        (&["http", URL, "--json", "{}"], "`{}` is not a file for the report: send JSON by --json-body"),
        (&["http", URL, "--data", "a=1"], "`a=1` is not a CSV file of values: send a body by --body"),
        (&["http", URL, "--json-body", "{a}"], "--json-body is not JSON: key must be a string"),
        (&["http", URL, "-u", "ann"], "-u has no password: write -u NAME:PASSWORD"),
        (&["http", URL, "-H", "x"], "`x` is not a header: write -H 'NAME: VALUE'"),
        (&["http", URL, "-H", "a b: c"], "`a b` is not the name of a header"),
        (&["http", URL, "-H", "Connection: upgrade"], "Gorgon writes the header `Connection` itself"),
        (&["http", "http://127.0.0.1:PORT/{{x}}"], "`x` has no value: give it by --var x=… or a column of --data"),
        (&["http", URL, "--only", "other"], "no call is to the host `other`: there are 127.0.0.1"),
        (&["http", "example.com"], "for a URL write `http://example.com`"),
        (&["http", "http:/127.0.0.1/x"], "`http:/127.0.0.1/x` is not a URL that can be called"),
        (&["http", "a.json", "dev.postman_environment.json"], "an environment is named by --env-name"),
        (&["http", URL, "-e", "dev"], "an environment is named by --env-name"),
        (&["http", URL, "-q", "100"], "`100` is not a URL: a rate is given by --rate 100/s, a duration by -d 100s"),
        (&["http", "-", "-X", "POST"], "`-X` is for URLs of the command line: a file says what it sends"),
        (&["run", "x.wasm", "--allow", "calls"], "a task has none, so write the destination"),
    ] {
        let (got, output) = sent(args, "");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(got.is_empty() && output.status.code() == Some(2) && stderr.contains(said), "{args:?}: {stderr}");
    }
}

#[test]
fn a_file_grants_nothing_by_itself() {
    const LIST: &str = "http://127.0.0.1:PORT/a\nhttp://127.0.0.1:1/b\n";
    let (got, output) = sent(&["http", "-", "--allow", "http://127.0.0.1:PORT"], LIST);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said = "gorgon: stdin calls http://127.0.0.1:1, which is not granted: --allow calls grants all that it calls, --allow \
                http://127.0.0.1:1 only this; --skip HOST leaves calls out";
    assert_eq!((got.len(), output.status.code(), stderr.trim_end()), (0, Some(2), said));
    let only = ["http", "-", "--only", "127.0.0.1:PORT", "--allow", "http://127.0.0.1:PORT"];
    let (got, output) = sent(&only, LIST);
    assert_eq!((got.len(), output.status.code()), (1, Some(0)), "{output:?}");
    let (got, _) = sent(&["http", "-", "--allow", "calls", "-n", "1"], LIST);
    assert_eq!(got.len(), 1);
}

const FLOW: &str = "GET http://127.0.0.1:18099/a/{{name}}?{{$uuid}}\n\
    Authorization: Bearer {{token}}\n\n### b\nPOST http://127.0.0.1:18099/b\nCookie: sid=s3cret; t=1\n\n{{token}}\n";

/// `FLOW` in a file, beside which are environments.
fn flow() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("flow.http"), FLOW).unwrap();
    let shared = r#"{"$shared": {"name": "shared"}, "dev": {"name": "ann"}, "live": {"Security": {"Auth": {}}}}"#;
    std::fs::write(folder.path().join("http-client.env.json"), shared).unwrap();
    std::fs::write(folder.path().join("http-client.private.env.json"), r#"{"dev": {"token": "s3cret"}}"#).unwrap();
    let postman = r#"{"id": "1", "name": "Stage", "values": [{"key": "token", "value": "p", "type": "secret"},
        {"key": "name", "value": "off", "enabled": false}, {"key": "name", "value": "bob"}]}"#;
    std::fs::write(folder.path().join("x.postman_environment.json"), postman).unwrap();
    folder
}

#[test]
fn a_dry_run_shows_requests_without_secrets_and_sends_nothing() {
    let folder = flow();
    let path = folder.path().join("flow.http");
    let (got, output) = sent(&["http", path.to_str().unwrap(), "--env-name", "dev", "--dry-run"], "");
    let wanted = "\
GET http://127.0.0.1:18099/a/ann?{{$uuid}}
Authorization: Bearer ***
User-Agent: gorgon/0.1.0

# name from --env-name
# $uuid made for each operation
# token from --env-name

POST http://127.0.0.1:18099/b
Cookie: sid=***; t=***
User-Agent: gorgon/0.1.0

***

# token from --env-name
";
    assert_eq!((got.len(), String::from_utf8_lossy(&output.stdout).as_ref()), (0, wanted));
    for (args, said) in [
        (&["--env-name", "live"][..], "flow.http:2:23: `token` has no value"),
        (
            &["--env-name", "prod"],
            "no environment beside the calls is called `prod` (http-client.env.json, its private twin, \
             *.postman_environment.json): there are Stage, dev, live",
        ),
    ] {
        let (_, output) = sent(&[&["http", path.to_str().unwrap(), "--dry-run"], args].concat(), "");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && stderr.contains(said), "{stderr}");
    }
    let (_, output) = sent(&["http", path.to_str().unwrap(), "--env-name", "Stage", "--dry-run"], "");
    assert!(String::from_utf8_lossy(&output.stdout).contains("/a/bob?"), "{output:?}");
}

#[test]
fn the_test_mode_shows_each_exchange() {
    let (got, output) =
        sent(&["test", "-", "--allow", "calls"], "http://127.0.0.1:PORT/a\nPUT http://127.0.0.1:PORT/b\n");
    assert_eq!(got.len(), 2);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let shown: Vec<_> = stdout.lines().filter(|line| !line.contains(" ms") && !line.contains("µs")).collect();
    let exchange = ["> GET /a HTTP/1.1", "> host: 127.0.0.1:PORT", "> user-agent: gorgon/0.1.0", "> "];
    assert_eq!(shown[..4], exchange, "{stdout}");
    assert_eq!(shown[4..6], ["< HTTP/1.1 200 OK", "< content-type: application/json"], "{stdout}");
    assert_eq!(shown[6..10], ["< content-length: 46", "< x-token: hdr-1", "< ", SHORT], "{stdout}");
    assert!(stdout.contains("> PUT /b HTTP/1.1") && stdout.contains("2 operations: 2 ok, 0 not"), "{stdout}");

    let body = ["test", "http://127.0.0.1:PORT/a", "--body", "one\ntwo"];
    let stdout = String::from_utf8(sent(&body, "").1.stdout).unwrap();
    assert!(stdout.contains("> content-length: 7\n> \none\ntwo\n< HTTP/1.1 200 OK\n"), "{stdout}");
}

#[test]
fn operations_begin_without_cookies_and_have_rows_of_their_own() {
    for split in [["-c", "1"], ["-c", "3"], ["-t", "2"]] {
        let list = "http://127.0.0.1:PORT/setcookie\nhttp://127.0.0.1:PORT/plain\n";
        let (got, _) = sent(&[&["http", "-", "--allow", "calls", "-n", "12"][..], &split].concat(), list);
        assert!(got.len() == 12 && got.iter().all(|got| header(got, "cookie").is_none()), "{split:?}: {got:?}");

        let folder = tempfile::tempdir().unwrap();
        let rows = folder.path().join("users.csv");
        std::fs::write(&rows, "user,age\nann,1\n\"b, c\",2\n\u{e9},3\n").unwrap();
        let call = "GET http://127.0.0.1:PORT/{{user}}?n={{age}}&id={{$uuid}}&k={{$randomInt 1 9}}\n";
        let args = ["http", "-", "--allow", "calls", "-n", "6", "--seed", "7", "--data", rows.to_str().unwrap()];
        let args = [&args[..], &split].concat();
        let lines = || {
            let (got, output) = sent(&args, call);
            let mut lines: Vec<_> = got.into_iter().map(|got| got.line).collect();
            lines.sort();
            assert_eq!(lines.len(), 6, "{output:?}");
            lines
        };
        let first = lines();
        for path in ["/%C3%A9?n=3&", "/ann?n=1&", "/b,%20c?n=2&"] {
            let of_row = first.iter().filter(|line| line.starts_with(&format!("GET {path}id="))).count();
            assert_eq!(of_row, 2, "{path}: {first:?}");
        }
        // The same seed makes the same values, however the run is split.
        assert_eq!(first, lines());
    }
}

/// Blocks of the page that are files, by their names.
#[test]
fn the_examples_of_the_page_are_read() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/calls.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut files = 0;
    for block in page.split("```").skip(1).step_by(2) {
        let (info, text) = block.split_once('\n').unwrap();
        let Some((_, name)) = info.split_once("file=") else { continue };
        std::fs::write(folder.path().join(name), text).unwrap();
        let mut command = gorgon();
        command.current_dir(folder.path()).args(["http", name, "--flow", "--dry-run"]);
        for value in ["user", "token"].iter().filter(|value| text.contains(&format!("{{{{{value}}}}}"))) {
            command.args(["--var", &format!("{value}=x")]);
        }
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        // A value that is captured needs none by --var.
        let is_told = stderr.is_empty() || stderr.contains("captures.http");
        assert!(output.status.success() && is_told, "{name}: {output:?}");
        files += 1;
    }
    assert_eq!(files, 9);
}

#[test]
fn a_file_names_only_files_beneath_it_and_none_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let calls = folder.path().join("calls");
    std::fs::create_dir(&calls).unwrap();
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    std::fs::write(calls.join("body"), "body").unwrap();
    std::os::unix::fs::symlink("../secret", calls.join("link")).unwrap();
    let run = |from: &Path, file: &str, body: &str| {
        std::fs::write(from.join(file), format!("POST http://127.0.0.1:1/\n\n< {body}\n")).unwrap();
        let output = gorgon().current_dir(from).args(["http", file, "--dry-run"]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(run(&calls, "a.http", "body"), (Some(0), String::new()));
    let above = folder.path().join("secret");
    for body in ["../secret", "link", above.to_str().unwrap()] {
        let (code, stderr) = run(&calls, "a.http", body);
        let said = format!("a.http:3:1: cannot read `{body}`: it is neither beneath the folder of the calls nor");
        assert!(code == Some(1) && stderr.contains(&said), "{stderr}");
    }
    let (code, stderr) = run(folder.path(), "calls/a.http", "../secret");
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "it is beneath the current folder");
    for (body, said) in [(".", "it is not a file"), ("/dev/zero", "it is neither beneath"), ("none", "No such file")] {
        let (code, stderr) = run(&calls, "a.http", body);
        assert!(code == Some(1) && stderr.contains(said), "{stderr}");
    }
}
