//! HTTP and sockets with real servers, good and bad. Whatever was not granted never leaves the host.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gorgon::demo::Server;

use crate::support::{Ran, gorgon, guest, run};

/// The server of the demo, which runs as long as the tests.
pub(crate) fn demo() -> SocketAddr {
    let server = Server::listen(0).unwrap();
    let address = server.address().unwrap();
    std::thread::spawn(move || server.serve());
    address
}

/// A listener that passes each connection to `serve`, on a separate thread, and counts the connections.
fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let (counted, serve) = (accepted.clone(), Arc::new(serve));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    (address, accepted)
}

/// Reads the head of a request; false if the client has closed the connection.
fn read_head(stream: &mut BufReader<TcpStream>) -> bool {
    let mut line = String::new();
    loop {
        line.clear();
        match stream.read_line(&mut line) {
            Ok(0) | Err(_) => return false,
            Ok(_) if line == "\r\n" => return true,
            Ok(_) => {}
        }
    }
}

/// Answers each request on a connection with `bytes`.
fn answer(bytes: &'static [u8]) -> impl Fn(TcpStream) + Send + Sync {
    move |stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while read_head(&mut reader) && stream.write_all(bytes).is_ok() {}
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Runs one GET of `url` with `args`.
fn get(url: &str, args: &[&str]) -> Ran {
    let env = format!("URL={url}");
    let ran = run(&guest("http"), &[&["--env", &env][..], args].concat());
    ran.adds_up();
    ran
}

/// The result that all operations had in common.
fn only_result(ran: &Ran) -> String {
    let results = ran.results();
    assert_eq!(results.len(), 1, "{results:?}");
    results[0].0.clone()
}

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
fn secure() -> (tempfile::NamedTempFile, SocketAddr) {
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

#[test]
fn requests_without_a_grant_never_leave() {
    let (address, accepted) = listen(answer(OK));
    let url = format!("http://{address}/");
    let port = address.port();
    let other = format!("http://127.0.0.1:{}", if port == 1 { 2 } else { port - 1 });
    let by_name = format!("http://localhost:{port}");
    for (grants, wanted) in [
        (vec![], url.clone()),
        (vec!["--allow", &other], url.clone()),
        (vec!["--allow", &by_name], url.clone()),
        (vec!["--allow", &url], by_name.clone()),
        (vec!["--allow", "https://*.example.com"], url.clone()),
        (vec!["--allow", &url], format!("http://[::ffff:127.0.0.2]:{port}/")),
        (vec!["--allow", &url], format!("http://127.1:{port}/")),
    ] {
        let ran = get(&wanted, &[&["-n", "3"][..], &grants].concat());
        let result = only_result(&ran);
        assert!(result.contains("not granted: run with --allow http://"), "{wanted}: {result}");
        assert_eq!(ran.figure("/network/refused/0/count"), 3, "{wanted}");
        let flag = ran.report["runs"][0]["network"]["refused"][0]["flag"].as_str().unwrap().to_owned();
        let granted = get(&wanted, &flag.split(' ').collect::<Vec<_>>());
        let refused = granted.report["runs"][0]["network"]["refused"].as_array().cloned().unwrap_or_default();
        assert!(refused.is_empty(), "{flag}: {refused:?}");
    }
    // Each destination was tried again with the grant that the report suggested. These are the ones that arrived here.
    let came = accepted.load(Ordering::SeqCst);
    assert!((3..=7).contains(&came), "{came}");
    let before = accepted.load(Ordering::SeqCst);
    for _ in 0..3 {
        get(&url, &["-n", "10", "-c", "5"]);
    }
    assert_eq!(accepted.load(Ordering::SeqCst), before);
    let mapped = format!("http://[::ffff:127.0.0.1]:{port}/");
    assert_eq!(only_result(&get(&mapped, &["--allow", &url])), "200", "it is the same address");
}

#[test]
fn a_redirect_needs_a_separate_grant() {
    let (forbidden, accepted) = listen(answer(OK));
    let location = format!("HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: http://{forbidden}/\r\n\r\n");
    let (address, _) = listen(answer(Box::leak(location.into_bytes().into_boxed_slice())));
    let url = format!("http://{address}/");
    let ran = get(&url, &["-n", "4", "--allow", &url]);
    assert_eq!(only_result(&ran), format!("GET http://{forbidden}/: not granted: run with --allow http://{forbidden}"));
    assert_eq!(accepted.load(Ordering::SeqCst), 0);
    let too = format!("http://{forbidden}");
    assert_eq!(only_result(&get(&url, &["-n", "4", "--allow", &url, "--allow", &too])), "200");
}

#[test]
fn refusals_in_prepare_and_cleanup_are_reported() {
    let env = ["--env", "PREPARE=127.0.0.1:3", "--env", "CLEANUP=127.0.0.1:2"];
    let ran =
        run(&guest("sockets"), &[&env[..], &["--allow", "tcp://localhost:1", "--", "lookup", "localhost"]].concat());
    assert_eq!(only_result(&ran), "done");
    assert_eq!(refused(&ran), ["--allow tcp://127.0.0.1:2", "--allow tcp://127.0.0.1:3"]);
    assert_eq!(ran.figure("/network/requests"), 0, "the requests of hooks are not the run's");
}

/// The result of a task that opens sockets, and what was refused.
fn sockets(words: &[&str], grants: &[&str]) -> (String, Vec<String>) {
    let ran = run(&guest("sockets"), &[grants, &["--"], words].concat());
    (only_result(&ran), refused(&ran))
}

/// The flags that would grant the refused destinations.
fn refused(ran: &Ran) -> Vec<String> {
    let refused = ran.adds_up().report["runs"][0]["network"]["refused"].as_array().cloned().unwrap_or_default();
    refused.iter().map(|refusal| refusal["flag"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn sockets_reach_granted_destinations_only() {
    let (address, accepted) = listen(|mut stream| {
        let _ = stream.read(&mut [0; 16]);
    });
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.set_nonblocking(true).unwrap();
    let (tcp, udp) = (address.to_string(), datagrams.local_addr().unwrap().to_string());
    let (tcp_grant, udp_grant) = (format!("tcp://{tcp}"), format!("udp://{udp}"));
    let http_grant = format!("http://{tcp}");

    for grants in [&[][..], &["--allow", &http_grant], &["--allow", &udp_grant], &["--allow", "tcp://10.0.0.1:80"]] {
        let (result, refused) = sockets(&["tcp", &tcp], grants);
        assert_ne!(result, "done", "{grants:?}");
        assert_eq!(refused, [format!("--allow {tcp_grant}")], "{grants:?}");
    }
    let mapped = format!("[::ffff:127.0.0.1]:{}", address.port());
    assert_ne!(sockets(&["tcp", &mapped], &[]).0, "done");
    assert_ne!(sockets(&["tcp", &format!("[::1]:{}", address.port())], &["--allow", &tcp_grant]).0, "done");
    assert_eq!(accepted.load(Ordering::SeqCst), 0);
    assert_eq!(sockets(&["tcp", &tcp], &["--allow", &tcp_grant]), ("done".into(), vec![]));
    assert_eq!(accepted.load(Ordering::SeqCst), 1);

    let (result, refused) = sockets(&["udp", &udp], &["--allow", &tcp_grant]);
    assert_ne!(result, "done");
    assert_eq!(refused, [format!("--allow {udp_grant}")]);
    assert!(datagrams.recv(&mut [0; 16]).is_err(), "nothing has arrived");
    assert_eq!(sockets(&["udp", &udp], &["--allow", &udp_grant]), ("done".into(), vec![]));
    assert_eq!(datagrams.recv(&mut [0; 16]).unwrap(), 5);

    assert_ne!(sockets(&["listen"], &["--allow", &tcp_grant]).0, "done");
    assert_eq!(sockets(&["listen"], &["--allow", "all"]).0, "done");
    // Only granted names may be looked up, because the question itself could carry a secret.
    assert_ne!(sockets(&["lookup", "localhost"], &["--allow", &tcp_grant]).0, "done");
    assert_eq!(sockets(&["lookup", "LocalHost"], &["--allow", "tcp://localhost:1"]).0, "done");
    // A granted name stands for its addresses, at the granted port.
    let by_name = format!("tcp://localhost:{}", address.port());
    assert_eq!(sockets(&["tcp", &tcp], &["--allow", &by_name]).0, "done");
}

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
        (listen(closes).0, "incomplete HTTP response", "failed"),
        (listen(answer(b"this is not HTTP\r\n\r\n")).0, "the response is not HTTP", "failed"),
        (listen(resets).0, "connection closed", "failed"),
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

/// An nginx that listens as `listen` says, with `more` directives. If nginx is not installed, prints so and returns
/// `None`.
fn nginx(listen: &str, more: &str) -> Option<Nginx> {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/errors; events {{}}
         http {{ access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/f;
           uwsgi_temp_path {at}/u; scgi_temp_path {at}/s; {more}
           server {{ listen 127.0.0.1:{port} {listen}; location / {{ return 200 'hello'; }} }} }}"
    );
    std::fs::write(directory.path().join("nginx.conf"), config).unwrap();
    let mut nginx = std::process::Command::new("nginx");
    nginx.arg("-p").arg(directory.path()).arg("-c").arg(directory.path().join("nginx.conf"));
    let Ok(process) = nginx.stderr(std::process::Stdio::null()).spawn() else {
        println!("SKIPPED: nginx is not installed (Debian's nginx-light)");
        return None;
    };
    let nginx = Nginx { process, url: format!("http://127.0.0.1:{port}/"), _directory: directory };
    crate::support::wait_until("nginx listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    Some(nginx)
}

struct Nginx {
    process: std::process::Child,
    url: String,
    _directory: tempfile::TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
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
