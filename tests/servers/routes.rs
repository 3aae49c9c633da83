//! Where requests go: other places, proxies, sockets of the machine, addresses in turn.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};

use crate::support::servers::{OK, answer, listen, read_head};
use crate::support::{Ran, gorgon, only_result, ran, with_mounts};

fn call(url: &str, args: &[&str]) -> Ran {
    let mut gorgon = gorgon();
    gorgon.args(["http", url, "-n", "6", "--timeout", "5s", "--quiet", "--json", "-"]).args(args);
    ran(gorgon.output().unwrap())
}

/// Checks that gorgon does not begin with these arguments, because of `problem`.
fn refused(args: &[&str], problem: &str) {
    let output = gorgon().arg("http").args(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && stderr.contains(problem) && stderr.lines().count() == 1, "{stderr}");
}

/// A proxy, and the first lines and headers that it got. It forwards requests, and opens tunnels.
fn proxy() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let noted = log.clone();
    let (address, _) = listen(move |stream| {
        let mut to_client = stream.try_clone().unwrap();
        let mut from_client = BufReader::new(stream);
        let mut head = String::new();
        while from_client.read_line(&mut head).is_ok_and(|read| read > 0) {
            if !head.ends_with("\r\n\r\n") {
                continue;
            }
            noted.lock().unwrap().push(head.clone());
            let target = head.split(' ').nth(1).unwrap().to_owned();
            if head.starts_with("CONNECT ") {
                let Ok(mut server) = TcpStream::connect(&target) else {
                    let _ = to_client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
                    return;
                };
                to_client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
                let (mut back, mut client) = (server.try_clone().unwrap(), to_client);
                std::thread::spawn(move || std::io::copy(&mut back, &mut client));
                let _ = std::io::copy(&mut from_client, &mut server);
                return;
            }
            let host = target.strip_prefix("http://").unwrap().split('/').next().unwrap();
            let mut server = TcpStream::connect(host).unwrap();
            server.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = vec![0; OK.len()];
            server.read_exact(&mut answer).unwrap();
            to_client.write_all(&answer).unwrap();
            head.clear();
        }
    });
    (address, log)
}

#[test]
fn a_proxy_forwards_plain_requests_and_tunnels_tls() {
    let (plain_server, _) = listen(answer(OK));
    let server = plain_server;
    let (address, log) = proxy();
    let at = format!("http://user:p%40ss@{address}");
    let plain = call(&format!("http://{server}/x"), &["--proxy", &at]);
    assert_eq!((only_result(&plain).as_str(), plain.figure("/network/opened")), ("200", 1));
    let heads = std::mem::take(&mut *log.lock().unwrap());
    assert_eq!(heads.len(), 6);
    // `user:p@ss`.
    let authorization = "Proxy-Authorization: Basic dXNlcjpwQHNz\r\n";
    for head in &heads {
        assert!(head.starts_with(&format!("GET http://{server}/x HTTP/1.1\r\n")), "{head}");
        assert!(head.contains(&format!("Host: {server}\r\n")) && head.contains(authorization), "{head}");
    }
    // Its password is not in the report.
    assert_eq!(plain.report["runs"][0]["plan"]["http"]["proxy"]["http"], format!("http://{address}"));
    assert!(!plain.report.to_string().contains("p%40ss"));

    let (authority, server) = super::super::network::secure();
    let url = format!("https://localhost:{}/", server.port());
    let trusted = ["--proxy", &at, "--ca-cert", authority.path().to_str().unwrap()];
    assert_eq!(only_result(&call(&url, &trusted)), "202");
    let heads = std::mem::take(&mut *log.lock().unwrap());
    assert_eq!(heads.len(), 1, "the tunnel is kept");
    assert!(heads[0].starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", server.port())), "{heads:?}");
    assert!(heads[0].contains(authorization), "{heads:?}");

    // Another place is reached by a tunnel too.
    let place = format!("shop.example:80:127.0.0.1:{}", plain_server.port());
    assert_eq!(only_result(&call("http://shop.example/", &["--proxy", &at, "--connect-to", &place])), "200");
    let heads = std::mem::take(&mut *log.lock().unwrap());
    assert!(heads[0].starts_with(&format!("CONNECT 127.0.0.1:{} HTTP/1.1\r\n", plain_server.port())), "{heads:?}");
    let output = gorgon().args(["http", "http://a/", "--proxy", "socks5://joe:hunter2@127.0.0.1:1"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("hunter2") && stderr.contains("socks5://***@127.0.0.1:1"), "{stderr}");

    // Nobody listens there, says the proxy; and no proxy.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = only_result(&call(&format!("https://{nobody}/"), &["--proxy", &at]));
    assert_eq!(error, format!("the proxy gives no tunnel to {nobody}: status 502 Bad Gateway"));
    let error = only_result(&call(&format!("http://{server}/"), &["--proxy", &format!("http://{nobody}")]));
    assert!(error.starts_with(&format!("the proxy {nobody}: ")), "{error}");
}

#[test]
fn the_environment_names_proxies_and_exceptions() {
    let (server, _) = listen(answer(OK));
    let (address, log) = proxy();
    let call = |args: &[&str], no_proxy: &str| {
        let mut gorgon = gorgon();
        gorgon.env("HTTP_PROXY", address.to_string()).env("NO_PROXY", no_proxy);
        gorgon.args(["http", &format!("http://{server}/"), "-n", "1", "--no-progress"]).args(args);
        let output = gorgon.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (log.lock().unwrap().drain(..).count(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(call(&["--proxy", "env"], "").0, 1);
    assert_eq!(call(&["--proxy", "env"], "127.0.0.0/8").0, 0);
    // A host of this machine is not expected behind a proxy, so nothing is said.
    assert_eq!(call(&[], ""), (0, String::new()));
    let said = |no_proxy: &str| {
        let mut gorgon = gorgon();
        gorgon.env("https_proxy", "http://127.0.0.1:9").env("no_proxy", no_proxy);
        gorgon.args(["http", "https://shop.invalid/", "-n", "1", "--no-progress"]);
        String::from_utf8_lossy(&gorgon.output().unwrap().stderr).into_owned()
    };
    assert!(said("").contains("the environment names a proxy (https_proxy), which is not used: --proxy env uses it"));
    for except in ["invalid", ".invalid", "shop.invalid", "*"] {
        assert!(!said(except).contains("proxy"), "{except}");
    }
    for (proxy, problem) in [
        ("socks5://127.0.0.1:1080", "only proxies that are spoken to over HTTP"),
        ("env", "none of HTTP_PROXY, HTTPS_PROXY and ALL_PROXY is set"),
    ] {
        let mut gorgon = gorgon();
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            gorgon.env_remove(name);
        }
        let output = gorgon.args(["http", "http://127.0.0.1:9/", "--proxy", proxy]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains(problem), "{stderr}");
    }
}

#[test]
fn connections_go_to_another_place_and_grants_stay() {
    let (server, accepted) = listen(answer(OK));
    let place = format!("shop.example:80:127.0.0.1:{}", server.port());
    assert_eq!(only_result(&call("http://shop.example/", &["--connect-to", &place])), "200");
    let all = format!(":::{}", server.port());
    assert_eq!(only_result(&call("http://127.0.0.1:1/", &["--connect-to", &all])), "200");
    assert_eq!(accepted.load(std::sync::atomic::Ordering::SeqCst), 2);
    // The host of the request has to be granted, and the other place has not.
    let mut gorgon = gorgon();
    gorgon.arg("run").arg(crate::support::guest("http")).args(["-n", "1", "--json", "-", "--connect-to", &place]);
    gorgon.args(["--env", "URL=http://shop.example/", "--allow", &format!("http://{server}")]);
    let ran = ran(gorgon.output().unwrap());
    assert!(only_result(&ran).contains("not granted"), "{:?}", ran.results());
}

#[test]
fn a_unix_socket_takes_the_place_of_any_host() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut from = BufReader::new(stream.try_clone().unwrap());
                let mut to = stream;
                let mut line = String::new();
                while from.read_line(&mut line).is_ok_and(|read| read > 0) {
                    if line == "\r\n" && to.write_all(OK).is_err() {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    let ran = call("http://docker/version", &["--unix-socket", path.to_str().unwrap(), "-c", "2"]);
    assert_eq!(only_result(&ran), "200");
    assert_eq!(ran.figure("/network/bytes_in"), 6 * OK.len() as u64);
    let not_a_socket = directory.path().join("file");
    std::fs::write(&not_a_socket, "").unwrap();
    for (path, problem) in [("/nowhere/socket", "No such file"), (not_a_socket.to_str().unwrap(), "it is not a socket")]
    {
        refused(&["http://docker/", "--unix-socket", path], problem);
    }
}

#[test]
fn connections_come_from_the_addresses_that_are_given() {
    let peers = Arc::new(Mutex::new(Vec::new()));
    let seen = peers.clone();
    let (server, _) = listen(move |mut stream| {
        seen.lock().unwrap().push(stream.peer_addr().unwrap().ip().to_string());
        let mut from = BufReader::new(stream.try_clone().unwrap());
        while read_head(&mut from) && stream.write_all(OK).is_ok() {}
    });
    let url = format!("http://{server}/");
    let ran = call(&url, &["--local-address", "127.0.0.5", "--local-address", "127.0.0.6", "--no-keepalive"]);
    assert_eq!(only_result(&ran), "200");
    let peers = std::mem::take(&mut *peers.lock().unwrap());
    let of = |address: &str| peers.iter().filter(|peer| *peer == address).count();
    assert_eq!((of("127.0.0.5"), of("127.0.0.6")), (3, 3), "{peers:?}");
    refused(&[&url, "--local-address", "192.0.2.1"], "cannot connect from 192.0.2.1 (--local-address)");
    assert_eq!(only_result(&call(&url, &["--local-address", "::1"])), "no --local-address can reach 127.0.0.1");
}

#[test]
fn the_addresses_of_a_name_are_used_in_turn() {
    let servers: Vec<_> = (0..2).map(|_| Arc::new(Mutex::new(0))).collect();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (i, count) in servers.iter().enumerate() {
        let (listener, count) =
            (std::net::TcpListener::bind(format!("127.0.0.{}:{port}", i + 2)).unwrap(), count.clone());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                *count.lock().unwrap() += 1;
                std::thread::spawn(move || {
                    let mut from = BufReader::new(stream.try_clone().unwrap());
                    while read_head(&mut from) && stream.write_all(OK).is_ok() {}
                });
            }
        });
    }
    let directory = tempfile::tempdir().unwrap();
    let hosts = directory.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.2 multi.test\n127.0.0.3 multi.test\n").unwrap();
    let url = format!("http://multi.test:{port}/");
    let counts = |args: &[&str]| {
        let mut command = gorgon();
        command.args(["http", &url, "-n", "10", "--no-keepalive", "--quiet", "--json", "-"]).args(args);
        let output = with_mounts(&format!("mount --bind {} /etc/hosts", hosts.display()), &command)?.output().unwrap();
        assert_eq!(only_result(&ran(output)), "200");
        let take = |count: &Arc<Mutex<i32>>| std::mem::take(&mut *count.lock().unwrap());
        Some((take(&servers[0]), take(&servers[1])))
    };
    let Some(rotated) = counts(&[]) else { return };
    assert_eq!(rotated, (5, 5));
    assert_eq!(counts(&["--dns", "rotate"]), Some((5, 5)));
    assert_eq!(counts(&["--dns", "first"]), Some((10, 0)));
}
