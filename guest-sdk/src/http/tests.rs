//! URLs and cookies by tables, requests against a real server of a few lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use super::url::{Url, encode};
use super::*;

#[test]
fn urls_are_joined_as_browsers_join_them() {
    let at = Url::parse("http://Host:8080/a/b?q=1").unwrap();
    for (target, joined) in [
        ("https://other/x", "https://other/x"),
        ("//other/x", "http://other/x"),
        ("/x?y", "http://host:8080/x?y"),
        ("/login?next=https://other/x", "http://host:8080/login?next=https://other/x"),
        ("?next=https://other/x", "http://host:8080/a/b?next=https://other/x"),
        ("c", "http://host:8080/a/c"),
        ("./c", "http://host:8080/a/c"),
        ("../c", "http://host:8080/c"),
        ("../../../c/", "http://host:8080/c/"),
        ("..", "http://host:8080/"),
        ("?r=2", "http://host:8080/a/b?r=2"),
        ("#top", "http://host:8080/a/b?q=1"),
    ] {
        assert_eq!(at.join(target).map(|url| url.to_string()), Ok(joined.to_owned()), "{target}");
    }
    assert_eq!(Url::parse("http://[::1]:80/x").unwrap().host(), "[::1]");
    assert_eq!(Url::parse("http://host").unwrap().to_string(), "http://host/");
    for wrong in [
        "host/x",
        "ftp://host",
        "http://",
        "http:///x",
        "http://a b/",
        "http://h:65536/",
        "http://h:x/",
        "http://[::1]:99999/",
    ] {
        assert!(Url::parse(wrong).is_err(), "{wrong}");
    }
    assert_eq!(Url::parse("http://h:/x").unwrap().authority, "h");
    assert!(!Url::parse("http://u:s3cret@h:65536/").unwrap_err().contains("s3cret"));
    for (text, credentials) in [
        ("http://u:p@h/", Some("u:p")),
        ("http://u@h/", Some("u:")),
        ("http://u%40x:p%3Aq%25@h/", Some("u@x:p:q%")),
        ("http://h/", None),
    ] {
        assert_eq!(Url::parse(text).unwrap().take_credentials().as_deref(), credentials.map(str::as_bytes), "{text}");
    }
}

#[test]
fn text_is_encoded() {
    assert_eq!(encode("a b&c=d/é-._~").to_string(), "a%20b%26c%3Dd%2F%C3%A9-._~");
}

#[test]
fn cookies_go_where_they_belong() {
    clear_cookies();
    let url = |text: &str| Url::parse(text).unwrap();
    let of = |text: &str| cookies::of(&url(text));
    let from = url("https://shop.example.com/cart/add");
    cookies::keep(&from, "a=1; Path=/");
    cookies::keep(&from, "b=2");
    cookies::keep(&from, "c=3; Domain=example.com; Path=/; Secure");
    cookies::keep(&from, "d=4; Domain=other.com");
    cookies::keep(&from, "e=5; Domain=com");
    assert_eq!(of("https://shop.example.com/cart/x").as_deref(), Some("b=2; a=1; c=3"));
    assert_eq!(of("http://shop.example.com/cartoon").as_deref(), Some("a=1"));
    assert_eq!(of("https://www.example.com/").as_deref(), Some("c=3"));
    assert_eq!(of("https://other.com/"), None);
    assert_eq!(cookies::merged(Some("b=mine; x=1"), &from).as_deref(), Some("b=mine; x=1; a=1; c=3"));
    assert_eq!(cookies::merged(Some("x=1"), &url("http://elsewhere/")).as_deref(), Some("x=1"));
    cookies::keep(&from, "b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(of("https://shop.example.com/cart/x").as_deref(), Some("a=1; c=3"));
    cookies::keep(&from, "a=; Path=/; Max-Age=0");
    assert_eq!(of("http://shop.example.com/"), None);
    clear_cookies();
    assert_eq!(of("https://shop.example.com/cart/x"), None);
}

/// A server that answers each connection's one request by `answer`, which gets the request's head and body.
fn serve(answer: impl Fn(&str, &str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| answer_one(stream, &answer)));
    format!("http://{address}")
}

fn answer_one(mut stream: TcpStream, answer: &impl Fn(&str, &str) -> String) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
    let lower = head.to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let _ = stream.write_all(answer(&lower, &String::from_utf8_lossy(&body)).as_bytes());
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

#[test]
fn a_request_carries_what_it_was_given() {
    let server = serve(|head, body| response("201 Created", "x-seen: yes\r\n", &format!("{head}{body}")));
    let sent = post(&format!("{server}/objects")).query(&[("q", "a b")]).bearer("token").json(&[1, 2]).send().unwrap();
    assert_eq!((sent.status(), sent.header("X-Seen")), (201, Some("yes")));
    let seen = sent.text();
    assert!(seen.starts_with("post /objects?q=a%20b "), "{seen}");
    assert!(seen.contains("authorization: bearer token") && seen.contains("application/json"), "{seen}");
    assert!(seen.ends_with("[1,2]"), "{seen}");
    let form = put(&server).form(&[("name", "a&b"), ("x", "1")]).basic_auth("u", "p").send().unwrap().text();
    assert!(form.ends_with("name=a%26b&x=1") && form.contains("authorization: basic dtpw"), "{form}");
}

#[test]
fn redirects_are_followed_and_cookies_kept() {
    clear_cookies();
    let server = serve(|head, body| match head.split(' ').nth(1) {
        Some("/start") => response("302 Found", "location: next\r\nset-cookie: id=7\r\n", ""),
        Some("/next") => response("200 OK", "", &format!("{head}{body}")),
        Some("/odd") => response("302 Found", "location: /\u{e9}/a\"b {x}|y?q=%41 \r\n", ""),
        Some("/%c3%a9/a%22b%20%7bx%7d|y?q=%41") => response("200 OK", "", "odd"),
        Some("/again") => response("307 Temporary Redirect", "location: /next\r\n", ""),
        _ => response("302 Found", "location: /loop\r\n", ""),
    });
    let seen = post(&format!("{server}/start")).body("hello").send().unwrap();
    assert_eq!((seen.status(), seen.url()), (200, format!("{server}/next").as_str()));
    assert!(seen.text().starts_with("get /next") && seen.text().contains("cookie: id=7"), "{}", seen.text());
    let again = post(&format!("{server}/again")).body("hello").send().unwrap().text();
    assert!(again.starts_with("post /next") && again.ends_with("hello"), "{again}");
    assert_eq!(get(&format!("{server}/odd")).send().unwrap().text(), "odd");
    assert_eq!(get(&format!("{server}/loop")).send().unwrap().status(), 302);
    assert_eq!(request("GET", &format!("{server}/start")).redirects(0).send().unwrap().status(), 302);
}

#[test]
fn an_error_names_its_request() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = get(&format!("http://{closed}/x")).send().unwrap_err().to_string();
    assert!(error.contains("refused") && error.ends_with(&format!(" (GET http://{closed}/x)")), "{error}");
    assert!(get("nowhere").send().unwrap_err().to_string().contains("is no URL"));
    let server = serve(|_, _| response("503 Service Unavailable", "", "no json"));
    let response = get(&server).send().unwrap();
    assert!(response.json::<u64>().unwrap_err().to_string().contains("is not that JSON"));
    assert_eq!(response.ok().unwrap_err().to_string(), format!("status 503 (GET {server}/)"));
}

#[test]
fn a_request_introduces_itself_unless_it_is_sent_as_given() {
    let server = serve(|head, _| response("200 OK", "", head));
    let seen = |request: Request| request.send().unwrap().text();
    assert!(seen(request("GET", &server)).contains("user-agent: gorgon/"));
    let own = seen(request("GET", &server).header("User-Agent", "mine"));
    assert!(own.contains("user-agent: mine\r\n") && !own.contains("gorgon/"), "{own}");
    assert!(!seen(request("GET", &server).as_given()).contains("user-agent: gorgon/"));
}

#[test]
fn a_length_that_does_not_fit_is_not_sent() {
    let server = serve(|_, body| response("200 OK", "", body));
    let sent = |length: &str| post(&server).header("Content-Length", length).body("0123456789").send();
    assert_eq!(sent("10").unwrap().text(), "0123456789");
    for wrong in ["3", "11", "x", ""] {
        let error = sent(wrong).unwrap_err();
        assert!(error.cause().contains("its body has 10 bytes"), "{error}");
    }
}

#[test]
fn a_body_that_is_not_wanted_is_received_and_not_kept() {
    let server = serve(|_, _| response("200 OK", "x: y\r\n", &"x".repeat(1_000_000)));
    let response = request("GET", &server).discard_body().send().unwrap();
    assert_eq!((response.status(), response.header("x"), response.bytes().len()), (200, Some("y"), 0));
}
