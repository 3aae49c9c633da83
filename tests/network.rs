//! HTTP with real servers: connections, calls, TLS.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use crate::support::servers::{OK, answer, demo, listen, read_head};
use crate::support::{Ran, get, gorgon, guest, only_result, run};

#[test]
fn connections_are_kept_and_counted_on_both_sides() {
    let (address, accepted) = listen(answer(OK));
    let url = format!("http://{address}/");
    let ran = get(&url, &["-n", "300", "-t", "2", "-c", "3", "--allow", &url]);
    assert_eq!(only_result(&ran), "200");
    let (opened, reused) = (ran.figure("/network/opened"), ran.figure("/network/reused"));
    assert_eq!(accepted.load(Ordering::SeqCst) as u64, opened);
    assert!(opened <= 6 && opened + reused == 300, "{opened} opened, {reused} reused");
    assert_eq!(ran.figure("/network/requests"), 300);
    assert_eq!(ran.figure("/network/connect_ns/count"), opened);
    assert_eq!(ran.figure("/network/first_byte_ns/count"), 300);
    assert_eq!((ran.figure("/network/failed"), ran.figure("/network/duration_ns/count")), (0, 300));
    assert_eq!(ran.figure("/network/bytes_in"), 300 * OK.len() as u64);

    let ran = get(&url, &["-n", "20", "-c", "2", "--allow", &url, "--no-keepalive"]);
    assert_eq!((ran.figure("/network/opened"), ran.figure("/network/reused")), (20, 0));
}

#[test]
fn a_flow_uses_the_response_and_times_its_parts() {
    let base = format!("http://{}", demo());
    let env = format!("BASE={base}");
    let ran = run(&guest("flow"), &["-n", "100", "-p", "2", "-c", "5", "--allow", &base, "--env", &env]);
    assert_eq!(ran.adds_up().results(), [("done".into(), "ok".into(), 100)], "{}", ran.stderr);
    let spans = ran.report["runs"][0]["results"][0]["spans"].as_array().unwrap();
    let names: Vec<_> = spans.iter().map(|span| (span["name"].as_str().unwrap(), span["count"].as_u64())).collect();
    assert_eq!(
        names,
        [("POST /objects", Some(100)), ("GET /objects/{id}", Some(100)), ("DELETE /objects/{id}", Some(100))]
    );
    assert_eq!(ran.figure("/network/requests"), 300);
    // Each operation makes three requests, one after the other, so together they take less time than it does.
    let (requests, operations) = (ran.figure("/network/duration_ns/sum"), ran.figure("/latency_ns/sum"));
    assert!(ran.figure("/network/duration_ns/count") == 300 && requests < operations, "{requests} of {operations}");
}

#[test]
fn requests_have_figures_of_their_own() {
    let judged = |url: &str, args: &[&str]| {
        let rules =
            ["--fail-if", "http.failed>=100%", "--fail-if", "http.max>1h", "--fail-if", "http.throughput<0.001"];
        let ran = get(url, &[&["-n", "20", "--allow", url][..], &rules, args].concat());
        let verdict = |i: usize, field: &str| ran.report["verdicts"][i][field].clone();
        // The report begins with a verdict of its own if no operation was ok.
        let first = usize::from(ran.report["verdicts"][0]["origin"] == "built_in");
        let facts = ["failed", "requests", "duration_ns/count"].map(|name| ran.figure(&format!("/network/{name}")));
        (facts, verdict(first, "held"), verdict(first + 1, "judged_by"), verdict(first + 2, "held"))
    };
    let (address, _) = listen(answer(OK));
    let kept = judged(&format!("http://{address}/"), &[]);
    assert_eq!(kept, ([0, 20, 20], false.into(), "value".into(), false.into()));

    // A response that is cut short, an error of the server, and silence until the time-out: all are failures.
    let (cut_short, _) = listen(|stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        if read_head(&mut reader) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok");
        }
    });
    let (error, _) = listen(answer(b"HTTP/1.1 500 Error\r\ncontent-length: 2\r\n\r\nno"));
    let (silent, _) = listen(|stream| drop(BufReader::new(stream).read_to_end(&mut Vec::new())));
    for (address, args) in [(cut_short, &[][..]), (error, &[]), (silent, &["--timeout", "50ms", "-c", "20"])] {
        let failed = judged(&format!("http://{address}/"), args);
        assert_eq!(failed, ([20, 20, 20], true.into(), "value".into(), false.into()), "{address}");
    }

    // Nobody listens: nothing was sent, so there is no time to judge.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = judged(&format!("http://{nobody}/"), &[]);
    assert_eq!(refused, ([20, 20, 0], true.into(), serde_json::Value::Null, false.into()));
}

#[test]
fn each_span_has_its_failures() {
    // Every fourth request for the basket fails, and every tenth for the payment is never answered.
    let asked: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
    let counts = asked.clone();
    let (address, _) = listen(move |stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 || !read_head(&mut reader) {
                return;
            }
            let path = line.split(' ').nth(1).unwrap().to_owned();
            let times = {
                let mut counts = counts.lock().unwrap();
                let times = counts.entry(path.clone()).or_default();
                *times += 1;
                *times
            };
            let status = if path == "/basket" && times % 4 == 0 { "500 Error" } else { "200 OK" };
            if path == "/pay" && times % 10 == 0 {
                continue;
            }
            let response = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok");
            if stream.write_all(response.as_bytes()).is_err() {
                return;
            }
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shop.http");
    let calls = ["basket", "pay"].map(|path| format!("GET http://{address}/{path}\n\n###\n"));
    std::fs::write(&file, calls.concat()).unwrap();
    let csv = directory.path().join("shop.csv");
    let of_run = ["--allow", "calls", "-n", "200", "-c", "4", "--flow", "--timeout", "500ms", "--json", "-"];
    let verdicts = ["--fail-if", "span(GET /basket).failed>24%", "--fail-if", "span(GET /pay).failed>60"];
    let mut command = gorgon();
    command.arg("http").arg(&file).args(of_run).args(verdicts).arg("--csv").arg(&csv);
    let ran = crate::support::ran(command.output().unwrap());
    ran.adds_up();
    let asked = asked.lock().unwrap().clone();
    let spans = ran.report["runs"][0]["spans"].as_array().unwrap();
    let figures = |name: &str| {
        let span = spans.iter().find(|span| span["name"] == name).unwrap();
        ["count", "failed"].map(|figure| span[figure].as_u64().unwrap())
    };
    // The server's own counts.
    assert_eq!(figures("GET /basket"), [asked["/basket"], asked["/basket"] / 4]);
    assert_eq!(figures("GET /pay"), [asked["/pay"], asked["/pay"] / 10]);
    assert!(asked["/basket"] == 200 && asked["/pay"] > 100, "{asked:?}");
    // Those of 500 ms took the most time.
    assert_eq!(spans[0]["name"], "GET /pay");
    assert_eq!(ran.report["verdicts"][0]["value"], 0.25);
    let held = ran.report["verdicts"].as_array().unwrap().iter().map(|of| of["held"].as_bool().unwrap());
    assert_eq!(held.collect::<Vec<_>>(), [true, false]);
    let rows = std::fs::read_to_string(csv).unwrap();
    let rows: Vec<_> = rows.lines().filter(|row| row.contains(",all_spans,")).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
}

#[test]
fn the_demo_needs_no_setup() {
    let output = gorgon().args(["demo", "-n", "50", "-c", "5", "--json", "-"]).output().unwrap();
    let ran = crate::support::ran(output);
    assert_eq!(ran.adds_up().results(), [("done".into(), "ok".into(), 50)], "{}", ran.stderr);
}

#[test]
fn calls_are_played_from_a_file() {
    let base = format!("http://{}", demo());
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text.replace("BASE", &base)).unwrap();
        path
    };
    let play = |path: &std::path::Path, args: &[&str]| {
        let mut gorgon = gorgon();
        gorgon.arg("http").arg(path).args(["--json", "-", "--allow", &base]).args(args);
        crate::support::ran(gorgon.output().unwrap())
    };
    let spans = |ran: &Ran, result: usize| -> Vec<(String, u64)> {
        let spans = ran.report["runs"][0]["results"][result]["spans"].as_array().unwrap().clone();
        let of =
            |span: &serde_json::Value| (span["name"].as_str().unwrap().to_owned(), span["count"].as_u64().unwrap());
        spans.iter().map(of).collect()
    };

    let urls = file("urls.txt", "BASE/\nBASE/bytes?n=10\nBASE/objects/none\n");
    let ran = play(&urls, &["-n", "30", "-c", "3"]);
    assert_eq!(ran.adds_up().results(), [("200".into(), "ok".into(), 20), ("404".into(), "failed".into(), 10)]);
    assert_eq!(spans(&ran, 1), [("GET /objects/none".to_owned(), 10)]);

    let random = |seed: &str| {
        let ran = play(&urls, &["-n", "60", "--random", "--seed", seed]);
        ran.adds_up().results()
    };
    let drawn = random("7");
    assert_eq!(drawn, random("7"));
    assert!(drawn.iter().all(|(_, _, n)| (5..55).contains(n)), "{drawn:?}");

    let flow = "### make\n# @capture id = /id\nPOST BASE/objects\n\nhello\n### read\nGET BASE/objects/{{id}}\n\
                ### drop\nDELETE BASE/objects/{{id}}\n### gone\nGET BASE/objects/{{id}}\n";
    let ran = play(&file("flow.http", flow), &["-n", "20", "-c", "4", "--flow"]);
    assert_eq!(ran.adds_up().results(), [("404".into(), "failed".into(), 20)], "the last one is gone: {}", ran.stderr);
    let expected = ["POST make", "GET read", "DELETE drop", "GET gone"].map(|name| (name.to_owned(), 20));
    assert_eq!(spans(&ran, 0), expected);
    assert_eq!((ran.figure("/network/requests"), ran.figure("/network/failed")), (80, 20));

    let output = gorgon().arg("http").arg(file("wrong.txt", "BASE/\n\nnowhere\n")).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("wrong.txt:3:1: `nowhere` is not a URL"), "{stderr}");
}

/// A TLS server with a certificate for `localhost` from a new authority. It speaks HTTP/1.1 and HTTP/2, and answers
/// with the version of the request. Returns the authority's certificate in a file, and the server's address.
pub(crate) fn secure() -> (tempfile::NamedTempFile, SocketAddr) {
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use rustls::pki_types::PrivateKeyDer;

    let mut parameters = rcgen::CertificateParams::new(vec!["authority".to_owned()]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority = parameters.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority.pem()).unwrap();

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let mut config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                        let status = if request.version() == hyper::Version::HTTP_2 { 202 } else { 201 };
                        let body = http_body_util::Full::new(bytes::Bytes::from("secure"));
                        hyper::Response::builder().status(status).body(body)
                    });
                    let stream = TokioIo::new(stream);
                    if is_http2 {
                        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        let _ = server.serve_connection(stream, service).await;
                    } else {
                        let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
                    }
                });
            }
        });
    });
    (file, address)
}

#[test]
fn tls_follows_the_trust_flags_and_negotiates_http2() {
    let (authority, address) = secure();
    let url = format!("https://localhost:{}/", address.port());
    let authority = authority.path().to_str().unwrap();
    let granted = ["-n", "50", "-c", "5", "--allow", &url];
    let with = |args: &[&str]| get(&url, &[&granted[..], args].concat());

    let ran = with(&[]);
    assert!(only_result(&ran).contains("the server's certificate is not trusted"), "{:?}", ran.results());
    for trust in [&["--ca-cert", authority][..], &["--insecure"]] {
        let ran = with(trust);
        assert_eq!(only_result(&ran), "202", "HTTP/2, by ALPN");
        // One connection carries many requests at once, but requests that begin together may each open one.
        assert!(ran.figure("/network/opened") <= 5 && ran.figure("/network/requests") == 50);
    }
    let missing = gorgon().arg("run").arg(guest("http")).args(["--ca-cert", "none.pem"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cannot use the certificates `none.pem`"));
}

#[test]
fn a_task_that_never_waits_has_one_operation_at_a_time() {
    let mut gorgon = gorgon();
    let output = gorgon.arg("run").arg(guest("noop")).args(["-c", "2"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        stderr.contains("cannot have 2 operations in flight per thread") && stderr.lines().count() == 1,
        "{stderr}"
    );
}
