//! A flow: create an object, read it by the id that came back, delete it. `BASE` in the environment says where.

use gorgon_guest::{fail, http};
use serde_json::{Value, json};

#[gorgon_guest::operation]
fn flow(n: u64) -> Result<&'static str, http::Error> {
    let base = std::env::var("BASE").unwrap_or_else(|_| "http://127.0.0.1:8080".into());
    order(&base, n)
}

fn order(base: &str, n: u64) -> Result<&'static str, http::Error> {
    let name = format!("object {n}");

    let created =
        http::post(&format!("{base}/objects")).json(&json!({ "name": name })).span("/objects").send()?.ok()?;
    let object = format!("{base}/objects/{}", created.json::<Value>()?["id"]);

    let read = http::request("GET", &object).span("/objects/{id}").send()?.ok()?;
    if read.json::<Value>()?["name"] != name {
        fail(format!("another object was read: {}", read.text()));
    }

    http::request("DELETE", &object).span("/objects/{id}").send()?.ok()?;
    Ok("done")
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use gorgon_guest::testing::take_failure;

    use super::*;

    /// A server that keeps one object, of this name whatever it was created by; where it listens.
    fn serve(name: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for connection in listener.incoming().map(Result::unwrap).take(3) {
                let mut reader = BufReader::new(&connection);
                let mut length = 0;
                let mut line = String::new();
                while line != "\r\n" {
                    line.clear();
                    reader.read_line(&mut line).unwrap();
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                reader.read_exact(&mut vec![0; length]).unwrap();
                let body = json!({ "id": 7, "name": name }).to_string();
                let length = body.len();
                write!(&connection, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
                    .unwrap();
            }
        });
        base
    }

    #[test]
    fn a_flow_reads_what_it_created() {
        assert_eq!(order(&serve("object 3"), 3).unwrap(), "done");
        assert_eq!(take_failure(), None);
    }

    #[test]
    fn another_object_fails_the_operation() {
        assert_eq!(order(&serve("another"), 3).unwrap(), "done");
        assert!(take_failure().is_some_and(|reason| reason.contains("another object was read")));
    }
}
