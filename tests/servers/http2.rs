//! HTTP/2 as servers speak it: refusals, resets, farewells, few streams.

use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Ran, gorgon, only_result, ran};

/// What a server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Odd {
    /// Nothing.
    Fine,
    /// It ends each connection in order after ten requests.
    GoesAway,
    /// It closes each connection after nine answers without a word.
    Closes,
    /// The same with a reason.
    Objects,
    /// It resets every third stream.
    Resets,
    /// It refuses every third stream.
    Refuses,
    /// It refuses all.
    RefusesAll,
    /// It wants HTTP/1.1, and answers that.
    WantsHttp1,
    /// It sends early hints.
    Hints,
    /// It ends its answer before the end, without an error.
    Cuts,
    /// It allows so many streams, and answers after ten milliseconds.
    Allows(u32),
}

/// A server, and how many requests it got.
fn serve(odd: Odd) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let (address, got) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = got.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(speak(stream, odd, count.clone()));
            }
        });
    });
    (address, got)
}

async fn speak(mut stream: TcpStream, odd: Odd, got: Arc<AtomicUsize>) {
    let mut begin = [0; 3];
    if odd == Odd::WantsHttp1 && stream.peek(&mut begin).await.is_ok() && &begin != b"PRI" {
        let _ = stream.write_all(b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        return;
    }
    let most = if let Odd::Allows(most) = odd { most } else { 100 };
    let Ok(mut connection) = h2::server::Builder::new().max_concurrent_streams(most).handshake(stream).await else {
        return;
    };
    let mut n = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        n += 1;
        got.fetch_add(1, Ordering::SeqCst);
        match odd {
            Odd::Closes if n == 10 => return,
            Odd::Objects if n == 10 => {
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                let _ = poll_fn(|context| connection.poll_closed(context)).await;
                return;
            }
            Odd::GoesAway if n == 10 => connection.graceful_shutdown(),
            _ => {}
        }
        // The task keeps the request, because dropping it would reset its stream.
        tokio::spawn(async move {
            answer(respond, odd, n).await;
            drop(request);
        });
    }
}

async fn answer(mut respond: SendResponse<Bytes>, odd: Odd, n: usize) {
    let is_third = n.is_multiple_of(3);
    match odd {
        Odd::Resets if is_third => return respond.send_reset(Reason::INTERNAL_ERROR),
        Odd::Refuses if is_third => return respond.send_reset(Reason::REFUSED_STREAM),
        Odd::RefusesAll => return respond.send_reset(Reason::REFUSED_STREAM),
        Odd::WantsHttp1 => return respond.send_reset(Reason::HTTP_1_1_REQUIRED),
        Odd::Hints => {
            let hints = http::Response::builder().status(103).header("link", "</a>").body(()).unwrap();
            respond.send_informational(hints).unwrap();
        }
        Odd::Allows(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        _ => {}
    }
    let Ok(mut body) = respond.send_response(http::Response::new(()), false) else { return };
    if odd == Odd::Cuts {
        let _ = body.send_data(Bytes::from_static(b"o"), false);
        // It has to be sent before the stream is reset.
        tokio::time::sleep(Duration::from_millis(5)).await;
        return body.send_reset(Reason::NO_ERROR);
    }
    let _ = body.send_data(Bytes::from_static(b"ok"), true);
}

fn call(address: SocketAddr, args: &[&str]) -> Ran {
    let mut gorgon = gorgon();
    gorgon.args(["http", &format!("http://{address}/"), "--http2", "--quiet", "--json", "-"]).args(args);
    ran(gorgon.output().unwrap())
}

#[test]
fn what_servers_do_wrong_is_said_in_the_words_of_http2() {
    let closed = "connection closed";
    let calm = "the server closed the connection (GOAWAY ENHANCE_YOUR_CALM)";
    let reset = "the server reset the stream (INTERNAL_ERROR)";
    for (odd, ok, failed, reason) in [
        (Odd::Fine, 30, 0, ""),
        (Odd::Hints, 30, 0, ""),
        (Odd::GoesAway, 30, 0, ""),
        (Odd::Closes, 27, 3, closed),
        (Odd::Objects, 27, 3, calm),
        (Odd::Cuts, 0, 30, "incomplete HTTP response, after 1 bytes of the body"),
        (Odd::Resets, 20, 10, reset),
        (Odd::Refuses, 30, 0, ""),
        (Odd::RefusesAll, 0, 30, "the server refuses requests (REFUSED_STREAM)"),
    ] {
        let (address, got) = serve(odd);
        let ran = call(address, &["-n", "30"]);
        let results = ran.results();
        let of =
            |wanted: &str| results.iter().find(|(result, _, _)| result == wanted).map_or(0, |(_, _, count)| *count);
        assert_eq!((of("200"), of(reason)), (ok, failed), "{odd:?}: {results:?}");
        let (sent, repeated) = (ran.figure("/network/sent"), ran.figure("/network/repeated"));
        assert_eq!((sent, sent - repeated), (got.load(Ordering::SeqCst) as u64, 30), "{odd:?}");
    }
}

#[test]
fn a_server_that_wants_http1_gets_it() {
    let (address, got) = serve(Odd::WantsHttp1);
    for args in [&["-n", "10"][..], &["-n", "4", "--no-keepalive"]] {
        assert_eq!(only_result(&call(address, args)), "201");
    }
    // One request has learnt it for all.
    assert_eq!(got.load(Ordering::SeqCst), 2);
}

#[test]
fn waiting_for_a_stream_is_no_time_of_the_server() {
    let (address, _) = serve(Odd::Allows(2));
    let ran = call(address, &["-n", "100", "-c", "20"]);
    assert_eq!(only_result(&ran), "200");
    let waits = ran.figure("/network/stream_wait_ns/count");
    // All but the first two of the twenty that begin together, and then nearly all.
    assert!(waits > 50, "{waits} waited");
    let (request, wait) = (ran.figure("/network/duration_ns/p50"), ran.figure("/network/stream_wait_ns/p50"));
    assert!(request < wait / 2, "a request took {request} ns and waited {wait} ns");
    let run = &ran.report["runs"][0]["generator"];
    assert!(run["reasons"].to_string().contains("waited for a free stream of HTTP/2"), "{run}");
    assert!(run["limits"].to_string().contains("streams"), "{run}");

    let ran = call(address, &["-n", "100", "-c", "20", "--http2-connections", "10"]);
    assert_eq!(only_result(&ran), "200");
    assert_eq!(ran.figure("/network/opened"), 10);
    assert!(!ran.report["runs"][0]["generator"]["limits"].to_string().contains("streams"));

    // One that allows a single stream, from the beginning on.
    let (address, _) = serve(Odd::Allows(1));
    let ran = call(address, &["-n", "20", "-c", "5"]);
    assert_eq!((only_result(&ran).as_str(), ran.figure("/network/repeated")), ("200", 0));
}

#[test]
fn a_server_that_allows_no_stream_is_no_hang() {
    let (address, _) = serve(Odd::Allows(0));
    let ran = call(address, &["-n", "4", "-c", "2", "--timeout", "500ms"]);
    assert!(ran.results().iter().all(|(_, outcome, _)| outcome != "ok"), "{:?}", ran.results());
}
