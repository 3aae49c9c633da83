//! Tests what is read from each format, and where a mistake is reported.

use super::*;

fn read(path: &str, text: &str) -> Result<Vec<Call>, String> {
    parse(Path::new(path), text).map_err(|error| error.to_string())
}

#[test]
fn a_line_is_a_url_a_request_or_json() {
    let text = "\
# warm-up
http://host/a?x=1

delete http://host/b/7
{\"method\": \"POST\", \"url\": \"http://host/c\", \"headers\": {\"x\": \"1\"}, \"body\": \"hi\", \"capture\": {\"id\": \"/id\"}}
";
    let calls = read("calls.txt", text).unwrap();
    let seen: Vec<_> = calls.iter().map(|call| (call.method.as_str(), call.url.as_str(), call.name.as_str())).collect();
    assert_eq!(
        seen,
        [("GET", "http://host/a?x=1", "/a"), ("DELETE", "http://host/b/7", "/b/7"), ("POST", "http://host/c", "/c")]
    );
    assert_eq!((calls[2].body.as_str(), calls[2].capture["id"].as_str()), ("hi", "/id"));
}

#[test]
fn an_editors_file_has_requests_with_headers_and_bodies() {
    let text = "\
@base = http://host:8080
### make one
# @capture id = /id
POST {{base}}/objects HTTP/1.1
content-type: application/json

{\"name\": \"x\"}

### 
// read it
GET {{base}}/objects/{{id}}
    ?full=1
accept: */*
";
    let calls = read("flow.http", text).unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!((calls[0].name.as_str(), calls[0].body.as_str()), ("make one", "{\"name\": \"x\"}"));
    assert_eq!(
        (calls[0].url.as_str(), calls[0].headers[0].1.as_str()),
        ("http://host:8080/objects", "application/json")
    );
    assert_eq!(
        (calls[1].name.as_str(), calls[1].url.as_str()),
        ("/objects/{{id}}", "http://host:8080/objects/{{id}}?full=1")
    );
}

#[test]
fn a_browsers_recording_is_read_without_headers_of_its_connection() {
    let text = r#"{"log": {"version": "1.2", "entries": [{"request": {"method": "POST", "url": "https://host/x",
        "headers": [{"name": ":method", "value": "POST"}, {"name": "Host", "value": "host"}, {"name": "Accept", "value": "*/*"}],
        "postData": {"mimeType": "text/plain", "text": "hello"}}}]}}"#;
    let calls = read("session.har", text).unwrap();
    let headers = &calls[0].headers;
    assert_eq!((headers.len(), headers[0].0.as_str(), calls[0].body.as_str()), (1, "Accept", "hello"));
    assert_eq!(read("session.json", &format!("\u{feff}{text}")).unwrap(), calls);

    let text = r#"{"log": {"entries": [{"request": {"method": "GET", "url": "wss://host/live"}},
        {"request": {"method": "POST", "url": "http://host/form",
            "postData": {"params": [{"name": "a", "value": "1 2"}, {"name": "b"}]}}}]}}"#;
    let calls = read("session.har", text).unwrap();
    assert_eq!((calls.len(), calls[0].body.as_str()), (1, "a=1+2&b="));
}

#[test]
fn a_mistake_is_reported_with_line_and_column() {
    for (path, text, said) in [
        ("a.txt", "http://host/\n  nowhere\n", "a.txt:2:3: `nowhere` is not a URL"),
        ("a.txt", "one two three\n", "a.txt:1:1: write a URL, METHOD URL"),
        ("a.jsonl", "{\"url\": \"http://h/\"}\n{\"url\": 7}\n", "a.jsonl:2:9: invalid type: integer `7`"),
        ("a.jsonl", "{\"uri\": \"http://h/\"}\n", "a.jsonl:1:6: unknown field `uri`"),
        (
            "a.jsonl",
            "{\"url\": \"http://h/\", \"capture\": {\"x\": \"regex (\"}}\n",
            "a.jsonl:1:1: cannot capture `x`: error: unclosed group",
        ),
        ("a.http", "GET http://h/\nno header\n", "a.http:2:1: `no header` is not a header"),
        ("a.http", "@base\n", "a.http:1:1: write `@NAME = VALUE`"),
        ("a.http", "### x\nG3T http://h/\n", "a.http:2:1: `G3T` is not a method"),
        ("a.har", "{\"log\": {\n  \"entries\": 3}}\n", "a.har:2:"),
        ("a.http", "POST http://h/\nconnection: close\n", "a.http:1:1: the header `connection` belongs"),
        ("a.http", "POST http://h/\n\n< ./body.json\n", "a.http:3:1: a body from a file is not supported"),
        ("a.http", "GET http://h/{{$guid}}\n", "a.http:1:14: a value that the editor generates"),
        ("a.txt", "# nothing\n", "a.txt:1:1: the file has no calls"),
    ] {
        let error = read(path, text).unwrap_err();
        assert!(error.starts_with(said), "{text:?}: {error}");
    }
}
