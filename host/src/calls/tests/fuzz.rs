//! Files that nobody wrote are refused, or what is sent is filled and asked for.

use proptest::prelude::*;

use super::*;

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

/// The files of other tools, by their names.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/calls");
    let folders = ["cases", "http", "har", "others"].map(|folder| root.join(folder));
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap().flatten());
    let files = entries.filter(|entry| entry.path().is_file() && entry.metadata().unwrap().len() < 20_000);
    let mut files: Vec<(String, Vec<u8>)> =
        files.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect();
    files.sort();
    files
}

/// A change of a file: where, how much of it is taken out, and what is put in.
type Change = (usize, usize, Vec<u8>);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let words = [
        &b"{{"[..],
        b"}}",
        b"###",
        b"\n",
        b"\"",
        b"'",
        b"\\",
        b"@x = 1\n",
        b"#",
        b"<@ x",
        b"null",
        b"[",
        b"{",
        b"\xff",
        b"^",
    ];
    let put = prop_oneof![
        prop::sample::select(words.map(<[u8]>::to_vec).to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec((any::<usize>(), 0..12_usize, put), 0..4)
}

proptest! {
    /// A file that was cut, doubled or written over in parts is refused, or what is sent is filled.
    #[test]
    fn changed_files_are_refused_or_filled(which in any::<prop::sample::Index>(), changes in changes(), is_flow in any::<bool>()) {
        static CORPUS: std::sync::LazyLock<Vec<(String, Vec<u8>)>> = std::sync::LazyLock::new(corpus);
        let (name, bytes) = which.get(&CORPUS);
        let mut bytes = bytes.clone();
        for (at, taken, put) in changes {
            let at = at % (bytes.len() + 1);
            let end = (at + taken).min(bytes.len());
            bytes.splice(at..end, put);
        }
        let read = |_: &str| Ok(b"a file".to_vec());
        let context = Context { is_flow, read: &read, ..context() };
        let Ok(parsed) = parse(Path::new(name), &bytes, &context) else { return Ok(()) };
        // A value may have braces of its own.
        let has_braces = |call: &&Call| call.values.iter().flat_map(|used| &used.value).any(|value| value.contains('{'));
        for call in parsed.calls.iter().filter(|call| !call.recorded && !has_braces(call)) {
            let templates = call.headers.iter().map(|header| &header.value).chain([&call.url, &call.body]);
            for part in templates.flat_map(|template| &template.0) {
                if let Part::Text(sent) = part {
                    prop_assert!(!sent.contains("{{"), "{sent:?} of {name}: {:?}", String::from_utf8_lossy(&bytes));
                }
            }
        }
    }
}
