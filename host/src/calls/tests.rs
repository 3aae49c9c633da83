//! Tests what is read from each format, and where a mistake is reported.

use proptest::prelude::*;

use super::*;

fn context<'a>() -> Context<'a> {
    Context {
        given: &[],
        environment: &[],
        columns: &[],
        is_flow: false,
        only: &[],
        skip: &[],
        read: &|path| Err(io::Error::new(io::ErrorKind::NotFound, format!("no {path}"))),
    }
}

fn read(path: &str, text: &str) -> Result<Parsed, String> {
    parse(Path::new(path), text.as_bytes(), &context()).map_err(|error| error.to_string())
}

/// Each call as one line.
fn lines(parsed: &Parsed) -> Vec<String> {
    let header = |header: &Header| format!(" [{}: {}]", header.name, header.value.shown());
    let line = |call: &Call| {
        let headers: String = call.headers.iter().map(header).collect();
        format!("{} {}{headers} {}", call.method, call.url.shown(), call.body.shown()).trim_end().to_owned()
    };
    parsed.calls.iter().map(line).collect()
}

#[test]
fn a_line_is_a_url_a_request_or_json() {
    let text = "\
# warm-up
http://host/a?x=1

delete http://host/b/7
{\"method\": \"POST\", \"url\": \"http://host/c\", \"headers\": {\"x\": \"1\"}, \"body\": \"hi\", \"capture\": {\"id\": \"/id\"}}
";
    let parsed = read("calls.txt", text).unwrap();
    assert_eq!(lines(&parsed), ["GET http://host/a?x=1", "DELETE http://host/b/7", "POST http://host/c [x: 1] hi"]);
    let names: Vec<_> = parsed.calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!((names, parsed.calls[2].capture["id"].as_str()), (vec!["/a", "/b/7", "/c"], "/id"));
}

#[test]
fn the_format_is_told_by_the_name_or_by_the_beginning() {
    for (name, text) in [
        ("a.http", "GET http://h/x"),
        ("a.txt", "### x\nGET http://h/x"),
        ("a.har", r#"{"log": {"entries": [{"request": {"method": "GET", "url": "http://h/x"}}]}}"#),
        ("stdin", r#"{"log": {"entries": [{"request": {"method": "GET", "url": "http://h/x"}}]}}"#),
        ("a.json", r#"{"info": {"name": "c"}, "item": [{"name": "/x", "request": "http://h/x"}]}"#),
        ("a.json", "{\n  \"url\": \"http://h/x\"\n}"),
        ("a.json", "[{\"url\": \"http://h/x\"}]"),
        ("stdin", "curl http://h/x -L"),
        ("stdin", "\u{feff}http://h/x"),
    ] {
        assert_eq!(lines(&read(name, text).unwrap()), ["GET http://h/x"], "{name}: {text}");
    }
    // Words within a text tell nothing.
    let text = r#"{"method": "POST", "url": "http://h/x", "body": "\"log\", \"entries\", \"openapi\", \"item\""}"#;
    assert_eq!(read("a.json", text).unwrap().calls.len(), 1);
}

#[test]
fn a_mistake_is_reported_with_line_and_column() {
    for (path, text, said) in [
        ("a.txt", "http://host/\n  nowhere\n", "a.txt:2:3: `nowhere` is not a URL"),
        ("a.txt", "one two three\n", "a.txt:1:1: `one two three` is not a call"),
        ("a.txt", "http://h/a\nhttp://h/{{x}}\n", "a.txt:2:10: `x` has no value"),
        ("a.jsonl", "{\"url\": \"http://h/\"}\n{\"url\": 7}\n", "a.jsonl:2:9: invalid type: integer `7`"),
        ("a.jsonl", "{\"uri\": \"http://h/\"}\n", "a.jsonl:1:2: unknown field `uri`"),
        (
            "a.jsonl",
            "{\"url\": \"http://h/\", \"capture\": {\"x\": \"regex (\"}}\n",
            "a.jsonl:1:1: cannot capture `x`: error: unclosed group",
        ),
        ("a.http", "GET http://h/\nno header\n", "a.http:2:1: `no header` is not a header"),
        ("a.http", "GET http://h/\nA: b\nC d: e\n", "a.http:3:1: `C d: e` is not a header"),
        ("a.http", "### x\nG3=T http://h/\n", "a.http:2:1: `G3=T http://h/` is not a request"),
        ("a.http", "CURL http://h/\n", "a.http:1:1: this is a curl command line"),
        ("a.http", "# @weird\nGET http://h/\n", "a.http:1:1: the directive `@weird` is not known"),
        ("a.http", "POST http://h/\n\n< ./body.json\n", "a.http:3:1: cannot read `./body.json`: no ./body.json"),
        ("a.http", "GET http://h/{{$dotenv X}}\n", "a.http:1:14: `{{$dotenv X}}` cannot be made here"),
        ("a.http", "GET http://h:70000/\n", "a.http:1:1: `http://h:70000/` is not a URL: invalid port number"),
        ("a.har", "{\"log\": {\n  \"entries\": 3}}\n", "a.har:2:"),
        ("a.sh", "curl http://h/ --weird\n", "a.sh:1:16: the option `--weird` of curl is not known"),
        ("a.txt", "# nothing\n", "a.txt:1:1: the file has no calls"),
        ("a.txt", "http://h/a\nhttp://h/\u{1}\n", "a.txt:2:1: a URL cannot have the character"),
    ] {
        let error = read(path, text).unwrap_err();
        assert!(error.starts_with(said), "{text:?}: {error}");
    }
}

#[test]
fn files_of_other_tools_are_named() {
    for (name, text, is) in [
        ("api.yaml", "openapi: 3.0.0\npaths: {}\n", "an OpenAPI description"),
        ("api.json", r#"{"swagger": "2.0", "paths": {}}"#, "a Swagger description"),
        ("x.json", r#"{"__export_format": 4, "resources": []}"#, "an export of Insomnia"),
        ("x.json", r#"{"id": "1", "name": "dev", "values": []}"#, "an environment of Postman"),
        ("x.jmx", "<?xml version=\"1.0\"?>\n<jmeterTestPlan>", "a plan of JMeter"),
        ("x.hurl", "GET http://h/\n", "a file of Hurl"),
        ("x.txt", "GET http://h/\nHTTP 200\n", "a file of Hurl"),
        ("x.bru", "meta {\n}\n", "a file of Bruno"),
        ("x.yml", "config:\n  target: http://h\nscenarios:\n  - flow: []\n", "a script of Artillery"),
        ("x.js", "import http from 'k6/http';\n", "a program"),
        ("x.py", "from locust import HttpUser\n", "a Python program"),
        ("x.json", r#"{"schema": "gorgon.report/1", "gorgon": "0.1.0", "runs": []}"#, "a report of Gorgon"),
        ("x.csv", "url\nhttp://h/\n", "a table"),
        ("x.wasm", "\0asm", "a task"),
    ] {
        let error = read(name, text).unwrap_err();
        assert!(error.starts_with(&format!("{name}:1:1: this is {is}: ")), "{text:?}: {error}");
    }
}

#[test]
fn values_are_captured_for_later_calls_of_a_flow() {
    let text = "# @name login\nPOST http://h/login\n\n### me\nGET http://h/me/{{login.response.body.$.user.id}}\n\
                Accept-Encoding: gzip\n\n> {% client.global.set(\"x\", response.body.x); %}\n\n### x\nGET http://h/{{x}}\n";
    let parsed = parse(Path::new("a.http"), text.as_bytes(), &Context { is_flow: true, ..context() }).unwrap();
    assert_eq!(parsed.calls[0].capture["login.response.body.$.user.id"], "/user/id");
    assert_eq!(parsed.calls[1].capture["x"], "/x");
    assert!(parsed.calls[1].headers.is_empty() && parsed.notes[0].contains("accept-encoding is left out"));
    for (text, said) in
        [(text, "a.http:5:17: "), ("# @capture x = /x\nGET http://h/{{x}}", "a.http:2:14: `x` is captured")]
    {
        let error = read("a.http", text).unwrap_err();
        assert!(error.starts_with(said) && error.contains("needs --flow"), "{error}");
    }
}

/// Pieces of which files of calls are made, good and bad.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("GET http://h/a\n".to_owned()),
        Just("POST http://h/b?x={{x}}\n".to_owned()),
        Just("###\n".to_owned()),
        Just("### a title\n".to_owned()),
        Just("# a comment {{y}}\n".to_owned()),
        Just("// a comment\n".to_owned()),
        Just("# @name login\n".to_owned()),
        Just("# @capture id = /id\n".to_owned()),
        Just("@x = 1\n".to_owned()),
        Just("@y = {{x}}2\n".to_owned()),
        Just("Content-Type: application/json\n".to_owned()),
        Just("Authorization: Basic a b\n".to_owned()),
        Just("X-T: {{ y }} {{$uuid}}\n".to_owned()),
        Just("\n".to_owned()),
        Just("{\"a\": {\"b\": 1}}\n".to_owned()),
        Just("<> 2024-01-01.json\n".to_owned()),
        Just(">> out.json\n".to_owned()),
        Just("> {% client.log(1) %}\n".to_owned()),
        Just("> {%\nclient.global.set(\"t\", response.body.t)\n%}\n".to_owned()),
        Just("< ./body.json\n".to_owned()),
        Just("<@ body.json\n".to_owned()),
        Just("HTTP/1.1 200 OK\n".to_owned()),
        Just("?? status == 200\n".to_owned()),
        "[ -~]{0,20}\n",
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Nothing unfilled is ever sent, nor what editors write for themselves.
    #[test]
    fn what_is_sent_is_filled_and_asked_for(text in pieces(), is_flow in any::<bool>()) {
        let read = |_: &str| Ok(b"{{x}} of a file".to_vec());
        let context = Context { is_flow, read: &read, ..context() };
        let Ok(parsed) = parse(Path::new("a.http"), text.as_bytes(), &context) else { return Ok(()) };
        for call in &parsed.calls {
            let templates = call.headers.iter().map(|header| &header.value).chain([&call.url, &call.body]);
            for part in templates.flat_map(|template| &template.0) {
                match part {
                    Part::Text(sent) => {
                        prop_assert!(!sent.contains("{{"), "{sent:?} of {text:?}");
                        for mark in ["<> ", ">> ", "> {%", "?? ", "###"] {
                            prop_assert!(!sent.lines().any(|line| line.starts_with(mark)), "{mark} in {sent:?} of {text:?}");
                        }
                    }
                    Part::Captured(name) => prop_assert!(is_flow, "{name} of {text:?}"),
                    Part::Bytes(bytes) => prop_assert_eq!(bytes, b"{{x}} of a file"),
                    _ => {}
                }
            }
        }
    }

    /// No text and no bytes end the reader.
    #[test]
    fn any_file_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,80}") {
        for name in ["a.http", "a.har", "a.json", "a.txt", "a.sh"] {
            let _ = parse(Path::new(name), &bytes, &context());
            let _ = parse(Path::new(name), text.as_bytes(), &context());
            let _ = parse(Path::new(name), format!("curl {text}").as_bytes(), &context());
            let _ = parse(Path::new(name), format!("GET http://h/{text}").as_bytes(), &context());
        }
    }
}
