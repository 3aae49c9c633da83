//! Whatever was not granted never leaves the host.

use std::io::Read;
use std::net::UdpSocket;
use std::sync::atomic::Ordering;

use crate::support::servers::{OK, answer, listen};
use crate::support::{Ran, get, guest, only_result, run};

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
    assert_eq!(
        only_result(&ran),
        format!("not granted: run with --allow http://{forbidden} (GET http://{forbidden}/)")
    );
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

    // Without any grant for TCP there is no socket, so nobody knows where to.
    let anywhere = "tcp://HOST:PORT".to_owned();
    for (grants, named) in [
        (&[][..], &anywhere),
        (&["--allow", &http_grant], &anywhere),
        (&["--allow", &udp_grant], &anywhere),
        (&["--allow", "tcp://10.0.0.1:80"], &tcp_grant),
    ] {
        let (result, refused) = sockets(&["tcp", &tcp], grants);
        assert_ne!(result, "done", "{grants:?}");
        assert_eq!(refused, [format!("--allow {named}")], "{grants:?}");
    }
    let mapped = format!("[::ffff:127.0.0.1]:{}", address.port());
    assert_ne!(sockets(&["tcp", &mapped], &[]).0, "done");
    assert_ne!(sockets(&["tcp", &format!("[::1]:{}", address.port())], &["--allow", &tcp_grant]).0, "done");
    assert_eq!(accepted.load(Ordering::SeqCst), 0);
    assert_eq!(sockets(&["tcp", &tcp], &["--allow", &tcp_grant]), ("done".into(), vec![]));
    assert_eq!(accepted.load(Ordering::SeqCst), 1);

    let (result, refused) = sockets(&["udp", &udp], &["--allow", &tcp_grant]);
    assert_ne!(result, "done");
    assert_eq!(refused, ["--allow udp://HOST:PORT"]);
    assert_eq!(sockets(&["udp", &udp], &["--allow", "udp://127.0.0.1:1"]).1, [format!("--allow {udp_grant}")]);
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
