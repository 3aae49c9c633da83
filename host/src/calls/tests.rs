//! Tests what is read from each format, and where a mistake is reported.

mod fuzz;

use super::*;

fn context<'a>() -> Context<'a> {
    Context { read: &|path| Err(io::Error::new(io::ErrorKind::NotFound, format!("no {path}"))), ..Context::default() }
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
    let headers: Vec<_> = parsed.calls[1].headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!((headers, parsed.notes.len()), (vec!["Accept-Encoding"], 0), "it is decoded");
    for (text, said) in
        [(text, "a.http:5:17: "), ("# @capture x = /x\nGET http://h/{{x}}", "a.http:2:14: `x` is captured")]
    {
        let error = read("a.http", text).unwrap_err();
        assert!(error.starts_with(said) && error.contains("needs --flow"), "{error}");
    }
}

/// A collection of Postman with an empty token, which a script of the first call sets.
const SHOP: &str = r#"{"info": {"name": "shop"}, "variable": [{"key": "token", "value": ""}, {"key": "user", "value": "coll"}],
    "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}"}]}, "item": [
    {"name": "login", "event": [{"listen": "test", "script": {"exec": [
        "pm.test('ok', () => { pm.response.to.have.status(200); });",
        "const json = pm.response.json();", "pm.environment.set(\"token\", json.token);"]}}],
     "request": {"method": "POST", "auth": {"type": "noauth"}, "url": "http://h/login/{{user}}"}},
    {"name": "me", "request": {"method": "GET", "url": {"host": ["h"], "protocol": "http", "path": ["me", ":id"],
        "variable": [{"key": "id", "value": "{{token}}"}]}}}]}"#;

#[test]
fn a_captured_value_counts_before_a_stored_one() {
    let environment = [("token".to_owned(), "OLD".to_owned())];
    let shown = |context: Context<'_>| {
        parse(Path::new("a.json"), SHOP.as_bytes(), &context)
            .map_or_else(|error| vec![error.to_string()], |all| lines(&all))
    };
    let login = "POST http://h/login/coll";
    let flow = [login, "GET http://h/me/{{token}} [Authorization: Bearer {{token}}]"];
    assert_eq!(shown(Context { is_flow: true, ..context() }), flow);
    assert_eq!(shown(Context { is_flow: true, environment: &environment, ..context() }), flow);
    // Without a flow nothing is captured. An empty value would be sent unseen.
    assert!(shown(context())[0].contains("`token` is captured from a response, which needs --flow"));
    let stored =
        parse(Path::new("a.json"), SHOP.as_bytes(), &Context { environment: &environment, ..context() }).unwrap();
    assert_eq!(lines(&stored), [login, "GET http://h/me/OLD [Authorization: Bearer OLD]"]);
    assert_eq!(stored.notes, ["`token` is set by a script, which needs --flow: its stored value counts"]);
    // The environment counts before the collection, rows before both, and the command line before all.
    let user = [("user".to_owned(), "env".to_owned()), ("token".to_owned(), "t".to_owned())];
    let columns = ["user".to_owned()];
    assert_eq!(shown(Context { environment: &user, ..context() })[0], "POST http://h/login/env");
    assert_eq!(
        shown(Context { environment: &user, columns: &columns, ..context() })[0],
        "POST http://h/login/{{user}}"
    );
    assert_eq!(shown(Context { given: &user, columns: &columns, ..context() })[0], "POST http://h/login/env");
}

#[test]
fn a_choice_between_file_and_environment_is_told() {
    let environment = [("host".to_owned(), "http://b".to_owned())];
    let text = "@host = http://a\nGET {{host}}/x\n\n###\nGET {{host}}/y\n";
    let parsed =
        parse(Path::new("a.http"), text.as_bytes(), &Context { environment: &environment, ..context() }).unwrap();
    assert_eq!(lines(&parsed), ["GET http://a/x", "GET http://a/y"]);
    let said = "`host` has a value in line 1, which counts, and another one in the environment; --var decides";
    assert_eq!(parsed.notes, [said]);
}

#[test]
fn a_host_that_no_call_has_is_refused() {
    let text = "http://a.example/\nhttp://b.example:81/\n";
    let played = |only: &[String], skip: &[String]| {
        let parsed = parse(Path::new("a.txt"), text.as_bytes(), &Context { only, skip, ..context() });
        parsed.map(|parsed| parsed.calls.len()).map_err(|error| error.to_string())
    };
    let one = |host: &str| [host.to_owned()];
    assert_eq!(played(&one("A.example"), &[]), Ok(1));
    assert_eq!(played(&[], &one("b.example:81")), Ok(1));
    assert_eq!(played(&one("*.example"), &[]), Ok(2));
    for wrong in ["c.example", "http://a.example", "a.example,b.example", "example", "a.example:81"] {
        let said = format!("a.txt:1:1: no call is to the host `{wrong}`: there are a.example, b.example; write HOST");
        for error in [played(&one(wrong), &[]).unwrap_err(), played(&[], &one(wrong)).unwrap_err()] {
            assert!(error.starts_with(&said), "{error}");
        }
    }
}

#[test]
fn urls_of_curl_are_read_as_curl_reads_them() {
    for (url, wanted) in [
        (r"'http://h/?x\[\]=1&y=\{a\}'", "GET http://h/?x[]=1&y={a}"),
        ("'http://h/?x[]=1'", "GET http://h/?x[]=1"),
        ("'http://[::1]:81/x'", "GET http://[::1]:81/x"),
        ("-g 'http://h/?f[a]=1&t={x}'", "GET http://h/?f[a]=1&t={x}"),
        ("'http://h/[1-3]'", "a.sh:1:6: curl makes several URLs"),
        ("'http://h/{a,b}'", "a.sh:1:6: curl makes several URLs"),
        ("http://h/ \\ \n -d x", "a.sh:1:16: a blank behind this backslash"),
    ] {
        let read = read("a.sh", &format!("curl {url}\n")).map_or_else(|error| error, |parsed| lines(&parsed).concat());
        assert!(read.starts_with(wanted), "{url}: {read}");
    }
}

#[test]
fn only_methods_are_methods() {
    for (text, wanted) in [
        ("get http://h/", "GET http://h/"),
        ("PROPFIND http://h/", "PROPFIND http://h/"),
        ("wget http://h/", "`wget` is not a method"),
        ("Fetch http://h/", "`Fetch` is not a method"),
        ("TODO http://h/", "`TODO` is not a method"),
        ("M-SEARCH http://h/", "M-SEARCH http://h/"),
    ] {
        let read = read("a.txt", text).map_or_else(|error| error, |parsed| lines(&parsed).concat());
        assert!(read.contains(wanted), "{text}: {read}");
    }
}

/// What becomes of a file: its calls, and what is to be known, or why it is refused.
fn outcome(path: &str, text: &str) -> String {
    match read(path, text) {
        Ok(parsed) => [lines(&parsed), parsed.notes].concat().join(" | "),
        Err(error) => error,
    }
}

#[test]
fn command_lines_of_curl_mean_what_curl_makes_of_them() {
    for (line, wanted) in [
        // A caret is text, unless the whole was copied for cmd.
        (r#"curl http://h/ -d '{"op":"^","x":1}'"#, r#"[Accept: */*] {"op":"^","x":1}"#),
        (r#"curl http://h/ -d "a^b^" -H "X: ^1""#, "[X: ^1] [Content-Type"),
        ("curl ^\"http://h/?a=1^&b^\" ^\n  -H ^\"X: y^\"", "GET http://h/?a=1&b [X: y]"),
        ("curl http://h/ -A x -H 'User-Agent: y'", "GET http://h/ [User-Agent: y] [Accept: */*]"),
        ("curl http://h/ -A '' -e ';auto' -b ''", "GET http://h/ [Accept: */*]"),
        ("curl http://h/ -H 'Accept:'", "GET http://h/"),
        ("curl http://h/ -d a=1 -F b=2", "a.sh:1:1: -d and -F are two bodies"),
        ("curl http://h/ -F a=1 -H 'Content-Type: multipart/form-data'", "data; boundary=----gorgon-form-boundary]"),
        ("curl http:/h/x", "a.sh:1:6: `http:/h/x` is not a URL"),
        ("curl http://h/ -d $'q\\cA'", "q\u{1}"),
        ("curl http://h/ -d ~/x", "a.sh:1:19: the shell would put a value here"),
        ("curl -L -X PUT http://h/", "after a redirect, Gorgon changes POST to GET as browsers do, also with -X"),
        ("curl http://h/ -A one -A two", "[User-Agent: two]"),
        ("curl http://h/ -u a:b --oauth2-bearer t", "[Authorization: Bearer t]"),
        (
            "curl http://h/ -u a:b -b x=1 -A y -H 'Authorization:' -H 'Cookie:' -H 'User-Agent:'",
            "GET http://h/ [Accept: */*]",
        ),
        ("curl http://h/ -H 'Cookie: a=1' -H 'Cookie: b=2'", "[Cookie: a=1; b=2]"),
        ("curl http://h/ -H 'Content-Type: a/b' -H 'content-type: c/d'", "a.sh:1:42: a request has one Content-Type"),
        ("curl http://h/ -F a=1 -H 'Content-Type: multipart/mixed'", "-F is sent as multipart/form-data"),
        ("curl http://h/ -F 'y=\"a;b\"' -F 'z=1;type=text/plain;charset=utf-8'", "\r\n\r\na;b\r\n"),
        ("curl http://h/ --data-urlencode 'a@b=c d'", "a@b=c+d"),
        ("curl http://h/ -d $\"abc\"", "abc"),
        ("curl ^\"http://h/^\" ^\n --data-raw \"{\"\"a\"\":\"\"b c\"\"}\" -H \"Y: x^y\"", "[Y: x^y]"),
        ("curl ^\"http://h/^\" ^\n --data-raw \"{\"\"a\"\":\"\"b c\"\"}\"", "{\"a\":\"b c\"}"),
        ("curl ^\"http://h/^\" ^\n -H \"X: %TOKEN%\"", "a.sh:2:9: the shell would put a value here"),
        ("curl -k http://h/", "-k is left out: give --insecure to gorgon, if it is meant"),
        ("curl http://h/ -H 'Connection: close'", "[Connection: close]"),
        ("curl http://h/ -H 'Connection: upgrade'", "line 1: `Connection` is left out: it belongs to the connection"),
    ] {
        let outcome = outcome("a.sh", line);
        assert!(outcome.contains(wanted), "{line}: {outcome}");
    }
    let parsed = read("a.sh", "curl -L --max-redirs 0 http://h/\ncurl -L http://h/\ncurl http://h/").unwrap();
    assert_eq!(parsed.calls.iter().map(|call| call.follows).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn forms_of_editors_are_joined_trimmed_and_encoded() {
    let form = |body: &str| {
        outcome("a.http", &format!("POST http://h/\nContent-Type: application/x-www-form-urlencoded\n\n{body}\n"))
    };
    let head = "POST http://h/ [Content-Type: application/x-www-form-urlencoded] ";
    for (body, wanted) in [
        ("key1 = value1 &\nkey2 = value 2 &\nk3=a%20b+c", "key1=value1&key2=value%202&k3=a%20b+c"),
        ("a=1\n&b=\u{e9}", "a=1&b=%C3%A9"),
    ] {
        assert_eq!(form(body), format!("{head}{wanted}"), "{body}");
    }
    assert!(form("a=1\nb=2").starts_with("a.http:5:1: a line of a form begins with `&`"));
    let text = outcome("a.http", "POST http://h/\n\nhello\n@ann = you\n\n@x=1\n\n### b\nGET http://h/{{x}}");
    assert!(text.starts_with("a.http:6:1: this is a definition behind a body"), "{text}");
    assert!(form("a=1\n\n@token = abc").starts_with("a.http:6:1: this is a definition behind a body"));
}

#[test]
fn odd_files_are_refused_in_short() {
    assert!(outcome("a.txt", "A=$(B)\nB=$(A)\n$(A)/x").starts_with("a.txt:3:1: `A` is defined by itself"));
    assert!(outcome("a.txt", "GET http://h/\0").starts_with("a.txt:1:14: this is no text"));
    let long = outcome("a.txt", &"x".repeat(1_000_000));
    assert!(long.len() < 600 && long.contains(" … "), "{long}");
    let chain: String = (1..60).map(|i| format!("@a{i} = {{{{a{}}}}}\n", i - 1)).collect();
    assert_eq!(outcome("a.http", &format!("@a0 = x\n{chain}GET http://h/{{{{a59}}}}")), "GET http://h/x");
    let looks = outcome("a.json", r#"[{"method": "POST", "url": "http://h/", "body": "UHVuY2ghIQ=="}]"#);
    assert!(looks.contains("line 1: this body looks like base64, and is sent as it is"), "{looks}");
    let two = outcome("a.http", "GET http://h/\nHost: a\nHost: b\n");
    assert!(two.starts_with("a.http:3:1: a request has one Host"), "{two}");
    assert_eq!(
        outcome("a.json", r#"[{"url": "http://h/", "body": 1.50}]"#),
        "POST http://h/ [content-type: application/json] 1.50"
    );
}

#[test]
fn collections_of_postman_mean_what_postman_makes_of_them() {
    let request = |more: &str| {
        outcome(
            "a.json",
            &format!(
                r#"{{"info": {{"name": "c"}}, "variable": [{{"key": "o", "value": {{"a": 1}}}}, {{"key": "v", "value": "a&b"}}],
            "item": [{{"name": "x", {more}}}]}}"#
            ),
        )
    };
    for (more, wanted) in [
        (
            r#""request": {"url": {"host": ["h"], "path": ["x"], "query": [{"key": "k k=", "value": "a b&c=d#e"}, {"key": "v", "value": "{{v}}"}]}}"#,
            "GET http://h/x?k%20k%3D=a%20b%26c=d%23e&v=a&b",
        ),
        (
            r#""request": {"method": "post", "url": "http://h/", "body": {"mode": "raw", "raw": "{\"a\": 1, // c\n\"b\": \"//\"}", "options": {"raw": {"language": "json"}}}}"#,
            "POST http://h/ [Content-Type: application/json] {\"a\": 1, \n\"b\": \"//\"}",
        ),
        (
            r#""request": {"method": "POST", "url": "http://h/", "body": {"mode": "graphql", "graphql": {"query": "query A { a }", "operationName": "A", "variables": "{}"}}}"#,
            r#"{"query":"query A { a }","operationName":"A","variables":{}}"#,
        ),
        (r#""request": {"url": "http://h/{{o}}"}"#, "a.json:2:55: `o` has no value"),
        (
            r#""protocolProfileBehavior": {"disableCookies": true}, "request": {"url": "http://h/"}"#,
            "the setting `disableCookies` changes requests",
        ),
        (
            r#""protocolProfileBehavior": {"strictSSL": true, "maxRedirects": 0}, "request": {"url": "http://h/"}"#,
            "GET http://h/",
        ),
        (
            r#""request": {"auth": {"type": "apikey", "apikey": [{"key": "key", "value": "k"}, {"key": "value", "value": "d e+f%41&"}, {"key": "in", "value": "query"}]}, "url": "http://h/"}"#,
            "GET http://h/?k=d%20e+f%41%26",
        ),
    ] {
        let outcome = request(more);
        assert!(outcome.contains(wanted), "{more}: {outcome}");
    }
}

#[test]
fn values_may_have_places_of_their_own() {
    let environment = [("v".to_owned(), "<{{w}}>".to_owned()), ("w".to_owned(), "W".to_owned())];
    let given = [("x".to_owned(), "{{v}}!".to_owned())];
    let nested = Context { environment: &environment, given: &given, ..context() };
    let parsed = parse(Path::new("a.txt"), b"POST http://h/{{x}}\n", &nested).unwrap();
    assert_eq!(lines(&parsed), ["POST http://h/%3CW%3E!"]);
    let circle = [("v".to_owned(), "{{v}}".to_owned())];
    let error = parse(Path::new("a.txt"), b"http://h/{{v}}", &Context { given: &circle, ..context() }).unwrap_err();
    assert!(error.to_string().contains("`v` is defined by itself"), "{error}");
    let large = format!("@v = {}\nPOST http://h/\n\n{}", "x".repeat(100_000), "{{v}}".repeat(1_000));
    assert!(outcome("a.http", &large).contains("with its values this call is larger than 64 MiB"));
}

#[test]
fn scripts_of_postman_reach_as_far_as_postman_lets_them() {
    let outcome = |listen: &str, script: &str| {
        let script = serde_json::to_string(script).unwrap();
        let text = format!(
            r#"{{"info": {{"name": "c"}}, "variable": [{{"key": "v", "value": "C"}}], "item": [
            {{"name": "a", "event": [{{"listen": "{listen}", "script": {{"exec": [{script}]}}}}], "request": "http://h/a"}},
            {{"name": "b", "request": "http://h/{{{{v}}}}"}}]}}"#
        );
        let parsed = parse(Path::new("a.json"), text.as_bytes(), &Context { is_flow: true, ..context() });
        parsed.map_or_else(|error| error.to_string(), |parsed| [lines(&parsed), parsed.notes].concat().join(" | "))
    };
    for (listen, script, wanted) in [
        ("test", "pm.environment.set('v', pm.response.json().v)", "GET http://h/{{v}}"),
        (
            "test",
            "pm.globals.set('v', pm.response.json().v)",
            "GET http://h/C | line 2: `v` is kept, but a nearer value",
        ),
        ("prerequest", "console.log('x');", "GET http://h/a | GET http://h/C"),
        ("prerequest", "pm.environment.set('v', 'q');", "a script before a request is not run: give `v` by --var"),
        (
            "prerequest",
            "pm.request.headers.add({key: 'X', value: '1'})",
            "a script before a request is not run: remove it",
        ),
        (
            "test",
            "pm.test('x', () => pm.expect(pm.request.url.toString()).to.eql('y'))",
            "GET http://h/a | GET http://h/C",
        ),
    ] {
        let outcome = outcome(listen, script);
        assert!(outcome.contains(wanted), "{script}: {outcome}");
    }
}
